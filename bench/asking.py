"""Clients at a service's port, each a thread with a connection of its own: ask, wait for the answer, ask again."""

import random
import threading
import time
from typing import Any

import cv2
import grpc
import numpy as np
from bosdyn.api import image_pb2, image_service_pb2_grpc
from google.protobuf import json_format

from bench import scene

CALLS = np.dtype([("ended_ns", "<i8"), ("latency_ns", "<i8"), ("age_ns", "<i8"), ("image_bytes", "<i8")])

_OK = image_pb2.ImageResponse.STATUS_OK
_LONGEST_MESSAGE = 100 << 20  # what SDK clients accept
_DEADLINE_S = 10.0
_LOOK_AGAIN_S = 0.05


def request_of(fields: dict[str, Any]) -> Any:
    """The GetImageRequest of a client that asks for one picture."""
    return image_pb2.GetImageRequest(image_requests=[json_format.ParseDict(fields, image_pb2.ImageRequest())])


def first_answer(address: str, request: Any, within_s: float) -> bytes:
    """Ask until there is a picture, and return the whole answer. Raises TimeoutError."""
    until_s = time.monotonic() + within_s
    with _channel(address) as channel:
        stub = image_service_pb2_grpc.ImageServiceStub(channel)
        while time.monotonic() < until_s:
            try:
                response = stub.GetImage(request, timeout=_DEADLINE_S)
            except grpc.RpcError:
                response = image_pb2.GetImageResponse()
            if response.image_responses and response.image_responses[0].status == _OK:
                answer: bytes = response.SerializeToString()
                return answer
            time.sleep(_LOOK_AGAIN_S)
    raise TimeoutError(f"no picture from {address} within {within_s} s")


def ask(
    address: str, wanted: list[dict[str, Any]], until_ns: int, *, decode: bool, pause_s: float
) -> np.ndarray[Any, Any]:
    """Run a client for each of `wanted`, until then (CLOCK_MONOTONIC); returns an entry of `CALLS` for each call.

    `image_bytes` is 0 for a call that brought no good picture, `age_ns` is -1 where the time of exposure was not read:
    that needs `decode`. Each client pauses for `pause_s` on average between its calls.
    """
    calls: list[tuple[int, int, int, int]] = []
    clients = [
        threading.Thread(target=_client, args=(address, request_of(fields), until_ns, decode, pause_s, calls))
        for fields in wanted
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return np.array(calls, CALLS)


def _client(
    address: str, request: Any, until_ns: int, decode: bool, pause_s: float, calls: list[tuple[int, int, int, int]]
) -> None:
    pauses = random.Random(1)  # noqa: S311 - no secrecy
    with _channel(address) as channel:
        stub = image_service_pb2_grpc.ImageServiceStub(channel)
        while (begun_ns := time.monotonic_ns()) < until_ns:
            image = _image(stub, request)
            ended_ns = time.monotonic_ns()
            exposed_ns = _exposed_ns(image) if decode and image is not None else None
            age_ns = -1 if exposed_ns is None else ended_ns - exposed_ns
            size = 0 if image is None or (decode and exposed_ns is None) else len(image.data)
            calls.append((ended_ns, ended_ns - begun_ns, age_ns, size))
            if pause_s:
                time.sleep(pauses.uniform(0, 2 * pause_s))


def _image(stub: Any, request: Any) -> Any:
    """The picture, or None."""
    try:
        answer = stub.GetImage(request, timeout=_DEADLINE_S).image_responses[0]
    except grpc.RpcError:
        return None
    return answer.shot.image if answer.status == _OK else None


def _exposed_ns(image: Any) -> int | None:
    """When the picture was exposed; None for one that is damaged."""
    data = np.frombuffer(image.data, np.uint8)
    try:
        if image.format == image_pb2.Image.FORMAT_JPEG:
            grey = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            return None if grey is None else scene.exposed_ns(np.asarray(grey, np.uint8))
        return scene.exposed_ns(data.reshape(image.rows, image.cols, -1)[:, :, 0])
    except scene.StampError:
        return None


def _channel(address: str) -> grpc.Channel:
    options = [("grpc.max_receive_message_length", _LONGEST_MESSAGE), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(address, options=options)

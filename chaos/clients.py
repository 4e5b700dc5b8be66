"""Clients that ask for images all the time, each in its own way, and look at every pixel.

`python -m chaos.clients JSON`: some directly at the service's port, some through the robot's proxy by the SDK.
"""

import dataclasses
import json
import random
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import grpc
from bosdyn.api import image_pb2, image_service_pb2_grpc
from bosdyn.client import create_standard_sdk
from bosdyn.client.exceptions import Error, RpcError, UnauthenticatedError
from bosdyn.client.image import ImageClient
from bosdyn.client.robot import Robot

from chaos import pictures
from chaos.facts import CallSeen, ImageSeen
from chaos.telling import Lateness, Teller

_IMAGE = image_pb2.Image
_OK = image_pb2.ImageResponse.STATUS_OK
_DEADLINES_S = (1.0, 1.5, 2.0, 5.0)
_LOGIN_S = 2.0
_PAUSE_S = (0.15, 0.35)
_LONGEST_MESSAGE = 100 << 20
_WAYS = (  # what is asked for: format, pixel format, resize ratio
    (_IMAGE.FORMAT_RAW, _IMAGE.PIXEL_FORMAT_UNKNOWN, 0.0),
    (_IMAGE.FORMAT_JPEG, _IMAGE.PIXEL_FORMAT_UNKNOWN, 0.0),
    (_IMAGE.FORMAT_JPEG, _IMAGE.PIXEL_FORMAT_UNKNOWN, 0.5),
    (_IMAGE.FORMAT_JPEG, _IMAGE.PIXEL_FORMAT_GREYSCALE_U8, 0.0),
    (_IMAGE.FORMAT_UNKNOWN, _IMAGE.PIXEL_FORMAT_UNKNOWN, 0.0),
)


@dataclass(frozen=True)
class Settings:
    """Where everything is. `way` is "direct" or "proxy", `count` how many clients this process is."""

    observer: str
    way: str
    count: int
    host: str
    port: int
    robot_port: int
    robot_ca: str
    service: str
    cameras: tuple[str, ...]
    seed: int

    def to_json(self) -> str:
        """For argv."""
        return json.dumps(dataclasses.asdict(self))


class DirectClient:
    """A gRPC stub at the service's own port."""

    def __init__(self, settings: Settings) -> None:
        options = [("grpc.max_receive_message_length", _LONGEST_MESSAGE), ("grpc.use_local_subchannel_pool", 1)]
        options += [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
        options += [("grpc.min_reconnect_backoff_ms", 1000)]
        self._channel = grpc.insecure_channel(f"{settings.host}:{settings.port}", options=options)
        self._stub = image_service_pb2_grpc.ImageServiceStub(self._channel)

    def connect(self) -> bool:
        """Nothing has to be done beforehand."""
        return True

    def ask(self, request: Any, deadline_s: float) -> tuple[Any, str]:
        """Return the response, or None, and the name of the gRPC status."""
        try:
            return self._stub.GetImage(request, timeout=deadline_s), "OK"
        except grpc.RpcError as error:
            return None, error.code().name


class ProxyClient:
    """The SDK's client, by the authority in the robot's directory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._robot: Robot | None = None
        self._client: ImageClient | None = None

    def connect(self) -> bool:
        """Log in and find the service, if that has not been done; False if the robot does not let us now."""
        try:
            self._client = self._client or self._found()
        except (Error, RpcError):
            return False
        return True

    def ask(self, request: Any, deadline_s: float) -> tuple[Any, str]:
        """Return the response, or None, and what the SDK calls the error."""
        client = cast("ImageClient", self._client)
        get_image = client._stub.GetImage  # `get_image` hides the response's header
        try:
            return client.call(get_image, request, lambda whole: whole, None, timeout=deadline_s), "OK"
        except UnauthenticatedError:
            self._client = None  # the robot has forgotten our token: log in again
            return None, "UNAUTHENTICATED"
        except (Error, RpcError) as error:
            return None, type(error).__name__

    def _found(self) -> ImageClient:
        if self._robot is None:
            sdk = create_standard_sdk("chaos", cert_resource_glob=self._settings.robot_ca)
            self._robot = sdk.create_robot("127.0.0.1")
            self._robot.update_secure_channel_port(self._settings.robot_port)
        self._robot.authenticate("user", "password", timeout=_LOGIN_S)
        return self._robot.ensure_client(self._settings.service)


class Asker:
    """One client: asks, checks, tells; in a thread of its own."""

    def __init__(self, name: str, settings: Settings, teller: Teller, lateness: Lateness, seed: int) -> None:
        self._name = name
        self._settings = settings
        self._client = DirectClient(settings) if settings.way == "direct" else ProxyClient(settings)
        self._teller = teller
        self._lateness = lateness
        self._random = random.Random(seed)  # noqa: S311  no secrecy

    def run(self) -> None:
        """Ask until the observer is gone."""
        try:
            while True:
                self._ask()
                time.sleep(self._random.uniform(*_PAUSE_S))
        except OSError:
            return

    def _ask(self) -> None:
        if not self._client.connect():
            return
        request = self._request()
        deadline_s = self._random.choice(_DEADLINES_S)
        asked = time.monotonic()
        response, code = self._client.ask(request, deadline_s)
        ended = time.monotonic()
        by_proxy = self._settings.way == "proxy"
        stall = self._lateness.worst(asked)
        self._teller.tell(CallSeen(ended, self._name, asked, deadline_s, code, by_proxy, stall))
        if response is not None:
            assembled = _monotonic(response.header.response_timestamp)
            for asked_for, answer in zip(request.image_requests, response.image_responses, strict=False):
                self._tell_image(asked_for, answer, asked, ended, assembled, response.header.error.message)

    def _request(self) -> Any:
        sources = self._random.sample(self._settings.cameras, self._random.choice((1, 1, 1, 2, 3)))
        entries = []
        for source in sources:
            image_format, pixel_format, ratio = self._random.choice(_WAYS)
            entry = image_pb2.ImageRequest(image_source_name=source, quality_percent=80, image_format=image_format)
            entry.pixel_format, entry.resize_ratio = pixel_format, ratio
            entries.append(entry)
        return image_pb2.GetImageRequest(image_requests=entries)

    def _tell_image(
        self, asked_for: Any, answer: Any, asked: float, ended: float, assembled: float, reason: str
    ) -> None:
        source = asked_for.image_source_name
        ok = answer.status == _OK
        number, flaw = None, ""
        if ok:
            number, flaw = pictures.read(answer.shot.image, source, resized=bool(asked_for.resize_ratio))
        status = image_pb2.ImageResponse.Status.Name(answer.status)
        self._teller.tell(
            ImageSeen(
                ended,
                self._name,
                source,
                asked,
                ok,
                "" if ok else f"{status} {reason}"[:300],
                number,
                flaw,
                assembled,
                answer.shot.acquisition_time.ToNanoseconds(),
                len(answer.shot.image.data),
            )
        )


def _monotonic(timestamp: Any) -> float:
    """This computer's wall clock, as the service puts it into its headers, in CLOCK_MONOTONIC."""
    return float(timestamp.ToNanoseconds() - time.time_ns() + time.monotonic_ns()) / 1e9


def main() -> None:
    """Run the clients of one process until the observer, or whoever started them, is gone."""
    fields = json.loads(sys.argv[1])
    settings = Settings(**{**fields, "cameras": tuple(fields["cameras"])})
    cv2.setNumThreads(1)
    teller, lateness = Teller(Path(settings.observer)), Lateness()
    lateness.start()
    for number in range(settings.count):
        name = f"{settings.way}-{number}"
        asker = Asker(name, settings, teller, lateness, settings.seed + number)
        threading.Thread(target=asker.run, name=name, daemon=True).start()
    sys.stdin.read()  # until whoever started us closes it, or dies


if __name__ == "__main__":
    main()

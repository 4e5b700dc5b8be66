"""Rings, pictures and a real image server on loopback, as the tests need them."""

import contextlib
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import grpc
import numpy as np
from bosdyn.api import image_pb2, image_service_pb2_grpc
from bosdyn.client.image import ImageClient

from servicer import server
from servicer.image_log import ImageLog
from servicer.image_service import ImageService
from servicer.peers import AllowedPeers
from servicer.robot_clock import RobotClock
from servicer.served_camera import ServedCamera
from shm import DEFAULT_PARAMS_ID, Encoding, Frame, RingWriter, names
from supervision.camera_settings import CameraSettings

Picture = np.ndarray[Any, Any]
IMAGE = image_pb2.Image
STATUS = image_pb2.ImageResponse

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)  # in OpenCV's order
CAPACITY_BYTES = 64 * 96 * 4
OFFSET_NS = 1_700_000_000_000_000_000 - time.monotonic_ns()


def wait_for(condition: Callable[[], Any], within_s: float = 10.0) -> Any:
    """Return the first true answer of `condition`; AssertionError if there is none within the time."""
    deadline_s = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        threading.Event().wait(0.01)
    return answer


def one_colour(colour: tuple[int, ...], rows: int = 64, cols: int = 96) -> Picture:
    """Return a (rows, cols, channels) picture of uint8."""
    return np.full((rows, cols, len(colour)), colour, np.uint8)


def smooth(rows: int = 64, cols: int = 96) -> Picture:
    """Return a BGR picture whose colours change slowly, each channel in its own way."""
    down, across = np.mgrid[0:rows, 0:cols]
    return np.dstack([255 * across / cols, 255 * down / rows, 255 - 255 * across / cols]).astype(np.uint8)


def to_jpeg(picture: Picture) -> bytes:
    """Compress as a camera does."""
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def frame_of(picture: Picture, encoding: Encoding, data: bytes | None = None, padding_bytes: int = 0) -> Frame:
    """Return a frame of the picture; `data` is its compressed form, `padding_bytes` follow every row of a raw one."""
    rows = picture.reshape(len(picture), -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding_bytes)))
    return Frame(
        frame_number=7,
        captured_ns=time.monotonic_ns(),
        rows=picture.shape[0],
        cols=picture.shape[1],
        row_stride_bytes=padded.shape[1],
        encoding=encoding,
        gain=math.nan,
        exposure_s=math.nan,
        params_id=bytes(16),
        epoch=1,
        data=data if data is not None else padded.tobytes(),
    )


class Ring(RingWriter):
    """A camera's ring whose frames are given as pictures."""

    def __init__(
        self,
        instance: str,
        camera: str,
        capacity_bytes: int = CAPACITY_BYTES,
        descriptor: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(instance, camera, payload_capacity_bytes=capacity_bytes, descriptor=dict(descriptor))

    def __enter__(self) -> "Ring":
        super().__enter__()
        return self

    def show(
        self,
        picture: Picture,
        encoding: Encoding = Encoding.BGR8,
        *,
        data: bytes | None = None,
        age_s: float = 0.0,
        gain: float = math.nan,
        exposure_s: float = math.nan,
        params_id: bytes = DEFAULT_PARAMS_ID,
    ) -> int:
        """Publish the picture as captured `age_s` ago; `data` is its compressed form."""
        picture = np.ascontiguousarray(picture)
        return self.publish(
            picture if data is None else data,
            captured_ns=time.monotonic_ns() - round(age_s * 1e9),
            rows=picture.shape[0],
            cols=picture.shape[1],
            row_stride_bytes=0 if data is not None else picture.strides[0],
            encoding=encoding,
            gain=gain,
            exposure_s=exposure_s,
            params_id=params_id,
        )

    @contextlib.contextmanager
    def showing(self, picture: Picture, period_s: float = 0.02) -> Iterator[None]:
        """Publish the picture again and again while the block runs."""
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(period_s):
                self.show(picture)

        self.show(picture)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@dataclass(frozen=True)
class Served:
    """A running image server: the service inside, the generated stub and the SDK's client outside."""

    service: ImageService
    cameras: Mapping[str, ServedCamera]
    peers: AllowedPeers
    server: grpc.Server
    port: int
    stub: Any
    client: ImageClient

    def get(self, *entries: Any, **call: Any) -> Any:
        """Send a GetImageRequest with the stub; an entry is an ImageRequest, or a name for its defaults."""
        requests = [image_pb2.ImageRequest(image_source_name=e) if isinstance(e, str) else e for e in entries]
        return self.stub.GetImage(image_pb2.GetImageRequest(image_requests=requests), timeout=10, **call)

    def one(self, name: str, **fields: Any) -> Any:
        """Return the only ImageResponse for one ImageRequest."""
        (answer,) = self.get(image_pb2.ImageRequest(image_source_name=name, **fields)).image_responses
        return answer


@contextlib.contextmanager
def fresh_instance() -> Iterator[str]:
    """The name of an instance that nobody else uses; its segments are removed afterwards."""
    name = f"t{uuid.uuid4().hex[:16]}"
    try:
        yield name
    finally:
        for segment in names.names_of(name):
            names.remove(segment)


@contextlib.contextmanager
def serving(
    instance: str,
    *cameras: str,
    max_age_s: float | None = 30.0,
    clock: RobotClock | None = None,
    why_silent: Callable[[str], str | None] = lambda _name: None,
    peers: AllowedPeers | None = None,
    log: ImageLog | None = None,
    **settings: CameraSettings,
) -> Iterator[Served]:
    """Run the image service for these cameras on a free port of the loopback; those in `settings` have their own."""
    simple = dict.fromkeys(cameras, CameraSettings(driver="synthetic", max_age_s=max_age_s))
    clock = clock or RobotClock(OFFSET_NS)
    opened = [ServedCamera(instance, name, own, clock) for name, own in {**simple, **settings}.items()]
    served = {camera.source_name: camera for camera in opened}
    service = ImageService(served, why_silent, log)
    peers = peers or AllowedPeers([])
    grpc_server = server.create(service, peers)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    options = [("grpc.max_receive_message_length", 100 << 20)]  # the SDK's
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        client = ImageClient()
        client.channel = channel
        try:
            stub = image_service_pb2_grpc.ImageServiceStub(channel)
            yield Served(service, served, peers, grpc_server, port, stub, client)
        finally:
            grpc_server.stop(None).wait()

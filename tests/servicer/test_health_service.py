"""What the standard health service says, and to whom."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from servicer import server
from servicer.health_service import HealthService
from servicer.image_service import ImageService
from servicer.peers import AllowedPeers
from servicer.robot_clock import RobotClock
from servicer.served_camera import ServedCamera
from supervision.camera_settings import CameraSettings
from tests.servicer.serving import OFFSET_NS, Ring, smooth
from tests.servicer.test_bounds import code_of
from tests.servicer.test_peers import NobodyFromLoopback

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
CHECK = "/grpc.health.v1.Health/Check"


class Asked:
    """A server with a continuous camera "front" and one that captures on request, "rear", and a client."""

    def __init__(self, instance: str, peers: AllowedPeers) -> None:
        self.silent: dict[str, str] = {}
        self.peers = peers
        modes = {"front": "continuous", "rear": "on_request"}
        settings = {
            name: CameraSettings.model_validate({"driver": "synthetic", "max_age_s": 30.0, "mode": mode})
            for name, mode in modes.items()
        }
        cameras = {name: ServedCamera(instance, name, own, RobotClock(OFFSET_NS)) for name, own in settings.items()}
        self.health = HealthService(cameras, self.silent.get)
        self.server = server.create(ImageService(cameras, self.silent.get), peers, self.health)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def check(self, service: str) -> Any:
        """The status of one service."""
        method: Any = self.channel.unary_unary(CHECK)
        answer = method(health_pb2.HealthCheckRequest(service=service).SerializeToString(), timeout=10)
        return health_pb2.HealthCheckResponse.FromString(answer).status

    def close(self) -> None:
        """End both."""
        self.channel.close()
        self.server.stop(None).wait()


@pytest.fixture
def asked(instance: str) -> Iterator[Asked]:
    """For callers from this computer."""
    running = Asked(instance, AllowedPeers([]))
    yield running
    running.close()


def test_a_camera_serves_while_its_frames_are_fresh(asked: Asked, front: Ring) -> None:
    """Before its first frame and after its last fresh one it does not."""
    assert asked.check("front") == NOT_SERVING
    front.show(smooth())
    assert asked.check("front") == SERVING
    front.show(smooth(), age_s=40.0)
    assert asked.check("front") == NOT_SERVING


def test_a_camera_that_idles_serves_unless_something_is_wrong(asked: Asked) -> None:
    """It has no fresh frames, and need not have any."""
    assert asked.check("rear") == SERVING
    asked.silent["rear"] = "rear was hung."
    assert asked.check("rear") == NOT_SERVING


@pytest.mark.parametrize("service", ["", "bosdyn.api.ImageService"])
def test_the_whole_serves_while_any_camera_does(asked: Asked, front: Ring, service: str) -> None:
    """And nothing does from the moment at which the service is being stopped."""
    asked.silent["rear"] = "rear was hung."
    assert asked.check(service) == NOT_SERVING
    front.show(smooth())
    assert asked.check(service) == SERVING
    asked.health.stop()
    assert [asked.check(name) for name in (service, "front", "rear")] == [NOT_SERVING] * 3


def test_what_there_is_not(asked: Asked) -> None:
    """Unknown names, what would hold a thread for ever, and what tells a scanner which services there are."""
    assert code_of(lambda: asked.check("nobody")) is grpc.StatusCode.NOT_FOUND
    for path in (
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.channelz.v1.Channelz/GetServers",
    ):
        method: Any = asked.channel.unary_stream(path)
        assert code_of(lambda method=method: list(method(b"", timeout=10))) is grpc.StatusCode.UNIMPLEMENTED


def test_it_is_for_this_computer_alone(instance: str) -> None:
    """The robot itself is refused, and nobody is told to allow it: it may see images already."""
    running = Asked(instance, NobodyFromLoopback(["10.0.0.1"]))
    assert code_of(lambda: running.check("")) is grpc.StatusCode.PERMISSION_DENIED
    assert (running.peers.refused, running.peers.recently_refused()) == (1, [])
    running.close()


def test_it_answers_while_all_places_are_taken(asked: Asked, front: Ring) -> None:
    """Overload is no bad health, and who asks has little time."""
    front.show(smooth())
    places = asked.server._state.interceptor_pipeline.interceptors[0]._places  # type: ignore[attr-defined]
    while places.take(time.monotonic()):
        pass
    assert asked.check("") == SERVING

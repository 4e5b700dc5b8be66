"""Registered image services reached through the robot, by authority."""

import random
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from bosdyn.api.image_pb2 import ImageRequest
from bosdyn.client.directory_registration import DirectoryRegistrationClient
from bosdyn.client.exceptions import (
    PermissionDeniedError,
    RpcError,
    ServiceUnavailableError,
    TimedOutError,
    UnauthenticatedError,
)

from simulated_robot import SimulatedRobot
from tests.simulated_robot.conftest import Connect
from tests.simulated_robot.image_server import ImageServer
from tests.simulated_robot.waiting import wait_until

SIX_MB = 6_220_800  # 1920 x 1080 RGB


@pytest.fixture
def server() -> Iterator[ImageServer]:
    """An image service of 6 MB images."""
    with ImageServer(random.Random(1).randbytes(SIX_MB)) as running:  # noqa: S311  (test data, not a secret)
        yield running


def _register(client: Any, server: ImageServer, name: str = "camera", **options: Any) -> Any:
    """Register the server under `name` and return the SDK's image client for it."""
    registrations = client.ensure_client(DirectoryRegistrationClient.default_service_name)
    registrations.register(name, "bosdyn.api.ImageService", f"robot-{name}", "127.0.0.1", server.port, **options)
    client.sync_with_directory()
    return client.ensure_client(name)


def test_a_large_image_arrives_byte_for_byte(client: Any, server: ImageServer) -> None:
    """6 MB come through the robot unchanged, and an answer of two images too."""
    images = _register(client, server)
    for count in (1, 2):
        responses = images.get_image([ImageRequest(image_source_name="any")] * count)
        assert [response.shot.image.data for response in responses] == [server.data] * count


def test_services_of_the_same_type_are_told_apart_by_authority(client: Any, server: ImageServer) -> None:
    """Two image services, one robot port: each client reaches its own. This is what `authority_of` is for."""
    with ImageServer(b"another camera's") as another:
        first, second = _register(client, server, "front"), _register(client, another, "rear")
        assert first.list_image_sources()[0].name == server.data[:16].hex()
        assert second.list_image_sources()[0].name == another.data[:16].hex()


def test_the_deadline_is_passed_on(client: Any, server: ImageServer) -> None:
    """The service sees what is left of the caller's deadline; a service that hangs is the SDK's TimedOutError."""
    images = _register(client, server)
    server.hanging = True
    with pytest.raises(TimedOutError):
        images.list_image_sources(timeout=0.3)
    assert server.deadline_s is not None
    assert 0 < server.deadline_s <= 0.3
    assert server.given_up.wait(5)


def test_cancellation_is_passed_on(client: Any, server: ImageServer) -> None:
    """A caller that gives up ends the call at the service."""
    images = _register(client, server)
    server.hanging = True
    call = images.list_image_sources_async()
    assert server.called.wait(5)
    call.cancel()
    assert server.given_up.wait(5)


def test_the_token_stays_with_the_robot(client: Any, server: ImageServer) -> None:
    """What goes to the payload in plain text does not contain the caller's token."""
    _register(client, server).list_image_sources()
    assert "authorization" not in server.metadata


def test_a_token_is_needed_unless_the_service_says_otherwise(
    client: Any, connect: Connect, server: ImageServer
) -> None:
    """A stranger is refused by the proxy, and let through to a service registered for anybody."""
    _register(client, server, "closed")
    _register(client, server, "open", user_token_required=False)
    stranger = connect()
    stranger.sync_with_services_list(client.list_services())
    with pytest.raises(UnauthenticatedError):
        stranger.ensure_client("closed").list_image_sources()
    assert stranger.ensure_client("open").list_image_sources()


def test_an_unregistered_service_is_unavailable(client: Any, server: ImageServer, robot: SimulatedRobot) -> None:
    """A client which still holds the authority of a service that is gone gets ServiceUnavailableError."""
    images = _register(client, server)
    robot.lose_registrations()
    with pytest.raises(ServiceUnavailableError):
        images.list_image_sources()


def test_a_restarted_service_is_reached_again(client: Any) -> None:
    """While nothing listens the service is unavailable; soon after it listens again, calls go through.

    Soon means sooner than gRPC's own back-off, which has grown to 1.6 s after the down time of this test.
    """
    with ImageServer(b"first") as server:
        images = _register(client, server)
        assert images.list_image_sources()
    down_until_s = time.monotonic() + 1.2
    while time.monotonic() < down_until_s:
        with pytest.raises(ServiceUnavailableError):
            images.list_image_sources()
    with ImageServer(b"second", port=server.port) as second:
        wait_until(lambda: _answers(images), within_s=0.8)
        assert second.called.is_set()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, TimedOutError),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError),
        (grpc.StatusCode.INTERNAL, RpcError),
    ],
)
def test_a_services_own_error_is_passed_on(
    client: Any, server: ImageServer, failure: grpc.StatusCode, expected: type[Exception]
) -> None:
    """Status and details are the service's own, not the proxy's."""
    images = _register(client, server)
    server.failure = failure
    with pytest.raises(expected) as raised:
        images.list_image_sources()
    assert raised.value.error.code() is failure  # type: ignore[attr-defined]  # the SDK has no types
    assert raised.value.error.details() == "the service says so"  # type: ignore[attr-defined]  # the SDK has no types


def _answers(images: Any) -> bool:
    try:
        images.list_image_sources()
    except ServiceUnavailableError:
        return False
    return True

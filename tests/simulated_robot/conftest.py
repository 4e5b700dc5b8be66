"""A simulated robot per test, and SDK clients of it."""

from collections.abc import Callable, Iterator
from typing import Any

import bosdyn.client
import pytest

from simulated_robot import SimulatedRobot

Connect = Callable[[], Any]


@pytest.fixture
def robot() -> Iterator[SimulatedRobot]:
    """A robot in order, which lets anybody in."""
    with SimulatedRobot() as simulated:
        yield simulated


@pytest.fixture
def connect(robot: SimulatedRobot) -> Connect:
    """Return a function that makes one more SDK robot object, which has not authenticated."""
    return lambda: sdk_robot(robot)


@pytest.fixture
def client(robot: SimulatedRobot) -> Any:
    """An SDK robot object, authenticated as the payload "guid"."""
    connected = sdk_robot(robot)
    connected.authenticate_from_payload_credentials("guid", "secret", retry_interval=0.01)
    return connected


def sdk_robot(robot: SimulatedRobot) -> Any:
    """Return an unmodified SDK's robot object that reaches `robot`."""
    sdk = bosdyn.client.create_standard_sdk("tests", cert_resource_glob=str(robot.ca_file))
    connected = sdk.create_robot("127.0.0.1")
    connected.update_secure_channel_port(robot.port)
    return connected

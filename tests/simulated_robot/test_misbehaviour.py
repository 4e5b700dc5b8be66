"""What the robot does wrong on command, as the SDK's clients see it."""

import socket
import time
from typing import Any

import pytest
from bosdyn.api.service_fault_pb2 import ServiceFault, ServiceFaultId
from bosdyn.client.directory import DirectoryClient
from bosdyn.client.directory_registration import DirectoryRegistrationClient
from bosdyn.client.exceptions import (
    RetryableRpcError,
    RpcError,
    ServiceUnavailableError,
    TimedOutError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from bosdyn.client.fault import FaultClient

from simulated_robot import Misbehaviour, Refusal, SimulatedRobot
from tests.simulated_robot.waiting import wait_until

FAULT = ServiceFault(fault_id=ServiceFaultId(fault_name="broken", service_name="camera"))


def _populate(client: Any) -> None:
    registrations = client.ensure_client(DirectoryRegistrationClient.default_service_name)
    registrations.register("camera", "bosdyn.api.ImageService", "front", "127.0.0.1", 21100)
    client.ensure_client(FaultClient.default_service_name).trigger_service_fault(FAULT)


def _directory(client: Any) -> Any:
    return client.ensure_client(DirectoryClient.default_service_name)


def _answers(client: Any) -> bool:
    try:
        client.list_services()
    except RetryableRpcError:
        return False
    return True


def test_down_and_back(client: Any, robot: SimulatedRobot) -> None:
    """While it is down, connections are refused; afterwards the same client works with the same token."""
    _populate(client)
    robot.go_down()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", robot.port), timeout=1)
    assert not _answers(client)
    robot.come_back()
    wait_until(lambda: _answers(client))
    assert list(robot.services) == ["camera"]
    assert list(robot.faults) == [("camera", "broken")]


def test_a_reboot_loses_registrations_faults_and_tokens(client: Any, robot: SimulatedRobot) -> None:
    """The old token is refused; after a new authentication the robot is empty."""
    _populate(client)
    robot.reboot(down_s=0.1)
    with pytest.raises(UnauthenticatedError):
        client.list_services()
    client.authenticate_from_payload_credentials("guid", "secret", retry_interval=0.01)
    assert "camera" not in {entry.name for entry in client.list_services()}
    assert robot.services == {}
    assert robot.faults == {}
    assert robot.past_faults == []


def test_silence(client: Any, robot: SimulatedRobot) -> None:
    """A silent robot accepts calls and answers none; only the caller's deadline ends them."""
    robot.misbehave(Misbehaviour(silent=True))
    started_s = time.monotonic()
    with pytest.raises(TimedOutError):
        _directory(client).list(timeout=0.3)
    assert time.monotonic() - started_s >= 0.3
    robot.behave()
    assert _directory(client).list(timeout=5)


def test_a_silent_robot_can_be_stopped(client: Any, robot: SimulatedRobot) -> None:
    """Calls without a deadline that wait for a silent robot end when it goes down."""
    robot.misbehave(Misbehaviour(silent=True))
    waiting = _directory(client).list_async(timeout=None)
    wait_until(lambda: robot.calls["DirectoryService/ListServiceEntries"] == 1)
    robot.go_down()
    with pytest.raises(RpcError):
        waiting.result(timeout=5)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal.UNAUTHENTICATED, UnauthenticatedError),
        (Refusal.TOO_MANY_REQUESTS, TooManyRequestsError),
        (Refusal.SERVICE_UNAVAILABLE, ServiceUnavailableError),
        (Refusal.TIMED_OUT, TimedOutError),
        (Refusal.EXHAUSTED, RpcError),
    ],
)
def test_every_call_is_refused(client: Any, robot: SimulatedRobot, refusal: Refusal, expected: type[Exception]) -> None:
    """Each refusal is the SDK's own error for it, for the logins too."""
    robot.misbehave(Misbehaviour(refusal=refusal))
    with pytest.raises(expected):
        client.list_services()
    with pytest.raises(expected):
        client.authenticate("user", "password")
    robot.behave()
    assert client.list_services()


def test_slowness(client: Any, robot: SimulatedRobot) -> None:
    """Each answer takes at least the delay; a shorter deadline is missed."""
    robot.misbehave(Misbehaviour(delay_s=0.3))
    started_s = time.monotonic()
    client.list_services()
    assert time.monotonic() - started_s >= 0.3
    with pytest.raises(TimedOutError):
        _directory(client).list(timeout=0.1)


def test_only_the_fault_service_is_down(client: Any, robot: SimulatedRobot) -> None:
    """Faults cannot be raised, everything else works."""
    robot.misbehave(Misbehaviour(services_down=frozenset({"fault"})))
    faults = client.ensure_client(FaultClient.default_service_name)
    with pytest.raises(ServiceUnavailableError):
        faults.trigger_service_fault(FAULT)
    assert client.list_services()
    robot.behave()
    faults.trigger_service_fault(FAULT)
    assert list(robot.faults) == [("camera", "broken")]


def test_only_the_fault_service_hangs(client: Any, robot: SimulatedRobot) -> None:
    """Its callers wait for their deadlines, everybody else is answered meanwhile."""
    robot.misbehave(Misbehaviour(services_silent=frozenset({"fault"})))
    faults = client.ensure_client(FaultClient.default_service_name)
    with pytest.raises(TimedOutError):
        faults.trigger_service_fault(FAULT, timeout=0.3)
    assert client.list_services()


def test_lost_faults(client: Any, robot: SimulatedRobot) -> None:
    """The robot forgets its faults and nothing else."""
    _populate(client)
    robot.lose_faults()
    assert robot.faults == {}
    assert list(robot.services) == ["camera"]


def test_calls_are_counted_whether_answered_or_not(client: Any, robot: SimulatedRobot) -> None:
    """Each RPC has its own count."""
    client.list_services()
    robot.misbehave(Misbehaviour(refusal=Refusal.SERVICE_UNAVAILABLE))
    with pytest.raises(ServiceUnavailableError):
        client.list_services()
    assert robot.calls == {
        "PayloadRegistrationService/GetPayloadAuthToken": 1,
        "DirectoryService/ListServiceEntries": 2,
    }


def test_the_port_stays_the_robots_while_it_is_down(robot: SimulatedRobot) -> None:
    """Nobody who asks for any free port gets it, and a second robot on it is refused at any time."""
    with pytest.raises(OSError, match="in use"), SimulatedRobot(robot.port):
        pass
    robot.go_down()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", robot.port))
    robot.come_back()

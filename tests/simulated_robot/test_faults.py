"""Service faults through the SDK's FaultClient, and how the robot's state shows them."""

from typing import Any

import pytest
from bosdyn.api.service_fault_pb2 import ServiceFault, ServiceFaultId
from bosdyn.client.directory_registration import DirectoryRegistrationClient
from bosdyn.client.fault import FaultClient, ServiceFaultAlreadyExistsError, ServiceFaultDoesNotExistError
from bosdyn.client.robot_state import RobotStateClient
from bosdyn.util import timestamp_to_nsec

from simulated_robot import SimulatedRobot
from tests.simulated_robot.waiting import wait_until

SERVICE = "front-camera"


@pytest.fixture
def faults(client: Any) -> Any:
    """The SDK's fault client of the payload "guid"."""
    return client.ensure_client(FaultClient.default_service_name)


def _fault(name: str, service: str = SERVICE, **fields: Any) -> ServiceFault:
    return ServiceFault(fault_id=ServiceFaultId(fault_name=name, service_name=service), **fields)


def _shown(client: Any) -> Any:
    return client.ensure_client(RobotStateClient.default_service_name).get_robot_state().service_fault_state


def test_the_state_shows_a_fault_in_robot_time(client: Any, faults: Any, robot: SimulatedRobot) -> None:
    """Onset is on the robot's clock, the duration grows, the payload is filled in, attributes are aggregated."""
    before_ns = robot.now_ns()
    faults.trigger_service_fault(
        _fault("broken", error_message="why", severity=ServiceFault.SEVERITY_WARN, attributes=["imagery"])
    )
    wait_until(lambda: bool(_shown(client).faults[0].duration.nanos))
    state = _shown(client)
    (shown,) = state.faults
    assert before_ns <= timestamp_to_nsec(shown.onset_timestamp) <= robot.now_ns()
    assert shown.fault_id.payload_guid == "guid"
    assert shown.error_message == "why"
    assert dict(state.aggregated) == {"imagery": ServiceFault.SEVERITY_WARN}
    assert (SERVICE, "broken") in robot.faults


def test_an_active_fault_is_kept(faults: Any, robot: SimulatedRobot) -> None:
    """A second trigger of the same id is refused, and the older one stays."""
    faults.trigger_service_fault(_fault("broken", error_message="first"))
    with pytest.raises(ServiceFaultAlreadyExistsError):
        faults.trigger_service_fault(_fault("broken", error_message="second"))
    assert robot.faults[SERVICE, "broken"].error_message == "first"


def test_one_fault_is_cleared_by_its_id(client: Any, faults: Any, robot: SimulatedRobot) -> None:
    """Only that one goes, it becomes history, and clearing it again says that there is none."""
    faults.trigger_service_fault(_fault("one"))
    faults.trigger_service_fault(_fault("two"))
    faults.clear_service_fault(_fault("one").fault_id)
    assert list(robot.faults) == [(SERVICE, "two")]
    assert [fault.fault_id.fault_name for fault in _shown(client).historical_faults] == ["one"]
    with pytest.raises(ServiceFaultDoesNotExistError):
        faults.clear_service_fault(_fault("one").fault_id)


def test_all_faults_of_a_service_are_cleared(faults: Any, robot: SimulatedRobot) -> None:
    """Those of another service stay."""
    for fault in (_fault("one"), _fault("two"), _fault("one", service="other")):
        faults.trigger_service_fault(fault)
    faults.clear_service_fault(ServiceFaultId(service_name=SERVICE), clear_all_service_faults=True)
    assert list(robot.faults) == [("other", "one")]


def test_all_faults_of_a_payload_are_cleared(faults: Any, robot: SimulatedRobot) -> None:
    """Those of another payload stay."""
    other = _fault("other payload's")
    other.fault_id.payload_guid = "other"
    for fault in (_fault("one"), _fault("two", service=""), other):
        faults.trigger_service_fault(fault)
    faults.clear_service_fault(ServiceFaultId(payload_guid="guid"), clear_all_payload_faults=True)
    assert list(robot.faults) == [(SERVICE, "other payload's")]


def test_registration_clears_the_services_faults(client: Any, faults: Any, robot: SimulatedRobot) -> None:
    """So does unregistration; a fault that is the payload's and of no service stays."""
    registrations = client.ensure_client(DirectoryRegistrationClient.default_service_name)
    faults.trigger_service_fault(_fault("payload's", service=""))
    faults.trigger_service_fault(_fault("before"))
    registrations.register(SERVICE, "bosdyn.api.ImageService", "front", "127.0.0.1", 21100)
    assert list(robot.faults) == [("", "payload's")]
    faults.trigger_service_fault(_fault("while"))
    registrations.unregister(SERVICE)
    assert list(robot.faults) == [("", "payload's")]
    assert [fault.fault_id.fault_name for fault in robot.past_faults] == ["while", "before"]

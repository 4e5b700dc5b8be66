"""Services in the robot's directory: in, alive, out."""

from typing import Any

import pytest
from bosdyn.client.directory import DirectoryClient, NonexistentServiceError
from bosdyn.client.directory_registration import (
    DirectoryRegistrationClient,
    DirectoryRegistrationKeepAlive,
    ServiceAlreadyExistsError,
    ServiceDoesNotExistError,
)
from bosdyn.client.error_callback_result import ErrorCallbackResult
from bosdyn.util import timestamp_to_nsec

from simulated_robot import SimulatedRobot
from simulated_robot.state import LIVENESS_FAULT_NAME
from tests.simulated_robot.waiting import wait_until

NAME = "front-camera"
SERVICE = (NAME, "bosdyn.api.ImageService", "front", "127.0.0.1", 21100)


def _registrations(client: Any) -> Any:
    return client.ensure_client(DirectoryRegistrationClient.default_service_name)


def test_a_registered_service_is_listed(client: Any, robot: SimulatedRobot) -> None:
    """It has its canonical authority, its payload, and the time of its registration in robot time."""
    _registrations(client).register(*SERVICE)
    entry = client.ensure_client(DirectoryClient.default_service_name).get_entry(NAME)
    assert entry.type == "bosdyn.api.ImageService"
    assert entry.authority == "front.spot.robot"
    assert entry.host_payload_guid == "guid"
    assert abs(robot.now_ns() - timestamp_to_nsec(entry.last_update)) < 5e9
    assert client.sync_with_directory()[NAME] == "bosdyn.api.ImageService"
    assert list(robot.services) == [NAME]


def test_own_services_are_listed(client: Any) -> None:
    """The directory names the services of the robot itself."""
    names = {entry.name for entry in client.list_services()}
    assert names >= {"auth", "directory", "directory-registration", "fault", "robot-state", "time-sync", "data-buffer"}


def test_names_and_routes_are_unique(client: Any) -> None:
    """A second service of the same name, the same route, or a robot's own name is refused."""
    registrations = _registrations(client)
    registrations.register(*SERVICE)
    for name, authority in ((NAME, "another"), ("another", "front.spot.robot"), ("fault", "another")):
        with pytest.raises(ServiceAlreadyExistsError):
            registrations.register(name, "bosdyn.api.ImageService", authority, "127.0.0.1", 21101)


def test_update_and_unregister(client: Any, robot: SimulatedRobot) -> None:
    """Both work on a registered service and say so when there is none."""
    registrations = _registrations(client)
    with pytest.raises(ServiceDoesNotExistError):
        registrations.update(*SERVICE)
    registrations.register(*SERVICE)
    registrations.update(NAME, "bosdyn.api.ImageService", "rear", "127.0.0.1", 21101)
    assert robot.services[NAME].authority == "rear.spot.robot"
    registrations.unregister(NAME)
    with pytest.raises(ServiceDoesNotExistError):
        registrations.unregister(NAME)
    with pytest.raises(NonexistentServiceError):
        client.ensure_client(DirectoryClient.default_service_name).get_entry(NAME)


def test_a_service_that_falls_silent_gets_a_liveness_fault(client: Any, robot: SimulatedRobot) -> None:
    """The fault comes after the service's own timeout, and goes with the next request about the service."""
    registrations = _registrations(client)
    registrations.register(*SERVICE, liveness_timeout_secs=0.2)
    assert robot.faults == {}
    wait_until(lambda: (NAME, LIVENESS_FAULT_NAME) in robot.faults)
    before = timestamp_to_nsec(robot.services[NAME].last_update)
    with pytest.raises(ServiceAlreadyExistsError):
        registrations.register(*SERVICE, liveness_timeout_secs=0.2)
    assert robot.faults == {}
    assert timestamp_to_nsec(robot.services[NAME].last_update) - before >= 0.2e9


def test_keep_alive_brings_a_lost_registration_back(client: Any, robot: SimulatedRobot) -> None:
    """The SDK's keep-alive notices that the robot lost the service, and leaving its block unregisters it."""
    with DirectoryRegistrationKeepAlive(_registrations(client), rpc_interval_seconds=0.05).start(*SERVICE):
        assert robot.services[NAME].liveness_timeout_secs == pytest.approx(0.125)
        robot.lose_registrations()
        assert robot.services == {}
        wait_until(lambda: NAME in robot.services)
    assert robot.services == {}


def test_keep_alive_survives_a_reboot(client: Any, robot: SimulatedRobot) -> None:
    """After a reboot the SDK's error callback has to authenticate again; then the service is back."""

    def authenticate_again(_error: Exception) -> ErrorCallbackResult:
        client.authenticate_from_payload_credentials("guid", "secret", retry_interval=0.01)
        return ErrorCallbackResult.RETRY_IMMEDIATELY

    keep_alive = DirectoryRegistrationKeepAlive(_registrations(client), rpc_interval_seconds=0.05)
    keep_alive.reregistration_error_callback = authenticate_again
    with keep_alive.start(*SERVICE):
        robot.reboot(down_s=0.1)
        assert robot.services == {}
        wait_until(lambda: NAME in robot.services)

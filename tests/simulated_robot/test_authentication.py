"""Who gets in, by the SDK's own ways of authenticating."""

import threading
from typing import Any

import pytest
from bosdyn.api.payload_pb2 import Payload
from bosdyn.api.robot_id_pb2 import SoftwareVersion
from bosdyn.client.auth import InvalidLoginError, InvalidTokenError, TemporarilyLockedOutError
from bosdyn.client.exceptions import UnauthenticatedError
from bosdyn.client.payload_registration import (
    InvalidPayloadCredentialsError,
    PayloadAlreadyExistsError,
    PayloadNotAuthorizedError,
    PayloadRegistrationClient,
)

from simulated_robot import SimulatedRobot
from tests.simulated_robot.conftest import Connect, sdk_robot
from tests.simulated_robot.waiting import wait_until


def test_anybody_is_let_in_by_default(connect: Connect) -> None:
    """Without configured credentials, a payload and a user both get a token that is good."""
    payload, user = connect(), connect()
    payload.authenticate_from_payload_credentials("any guid", "any secret", retry_interval=0.01)
    user.authenticate("user", "password")
    assert payload.list_services()
    assert user.list_services()


def test_a_call_without_a_token_is_refused(connect: Connect) -> None:
    """The directory is closed to who has not authenticated; the robot's id is open."""
    stranger = connect()
    assert stranger.get_id().species == "spot"
    with pytest.raises(UnauthenticatedError):
        stranger.list_services()


def test_configured_payloads_only() -> None:
    """A wrong secret or guid, and a payload that no operator has let in, get the SDK's errors for them."""
    with SimulatedRobot(payloads={"guid": "secret"}) as robot:
        payloads = sdk_robot(robot).ensure_client(PayloadRegistrationClient.default_service_name)
        for guid, secret in (("guid", "wrong"), ("other", "secret"), ("", "")):
            with pytest.raises(InvalidPayloadCredentialsError):
                payloads.get_payload_auth_token(guid, secret)
        assert payloads.get_payload_auth_token("guid", "secret")
        robot.authorize_payload("guid", authorized=False)
        with pytest.raises(PayloadNotAuthorizedError):
            payloads.get_payload_auth_token("guid", "secret")


def test_a_payload_waits_for_its_operator() -> None:
    """A payload that registers itself gets in as soon as it is authorized, and not before."""
    with SimulatedRobot(payloads={}) as robot:
        client = sdk_robot(robot)
        introduce = client.register_payload_and_authenticate
        thread = threading.Thread(target=introduce, args=(Payload(GUID="new"), "secret", None, 0.01))
        thread.start()
        wait_until(lambda: robot.calls["PayloadRegistrationService/GetPayloadAuthToken"] > 2)
        assert thread.is_alive()
        robot.authorize_payload("new")
        thread.join(5)
        assert client.list_services()


def test_payload_registration(client: Any) -> None:
    """A payload registers once; its version and attachment are taken with the right secret only."""
    payloads = client.ensure_client(PayloadRegistrationClient.default_service_name)
    payloads.register_payload(Payload(GUID="mine"), "secret")
    with pytest.raises(PayloadAlreadyExistsError):
        payloads.register_payload(Payload(GUID="mine"), "secret")
    payloads.attach_payload("mine", "secret")
    with pytest.raises(InvalidPayloadCredentialsError):
        payloads.update_payload_version("mine", "wrong", SoftwareVersion(major_version=1))


def test_configured_users_only() -> None:
    """A wrong password is the SDK's InvalidLoginError."""
    with SimulatedRobot(users={"spot": "right"}) as robot:
        client = sdk_robot(robot)
        with pytest.raises(InvalidLoginError):
            client.authenticate("spot", "wrong")
        client.authenticate("spot", "right")
        assert client.list_services()


def test_a_user_who_is_locked_out() -> None:
    """Even the right password is the SDK's TemporarilyLockedOutError, until the robot forgives."""
    with SimulatedRobot(users={"spot": "right"}) as robot:
        client = sdk_robot(robot)
        robot.lock_out_user("spot")
        with pytest.raises(TemporarilyLockedOutError):
            client.authenticate("spot", "right")
        robot.lock_out_user("spot", locked_out=False)
        client.authenticate("spot", "right")


def test_a_token_is_renewed_by_itself(client: Any, robot: SimulatedRobot) -> None:
    """The hourly renewal works with a good token, and is refused once the robot has forgotten it."""
    client.authenticate_with_token(client.user_token)
    assert client.list_services()
    robot.revoke_tokens()
    with pytest.raises(UnauthenticatedError):
        client.list_services()
    with pytest.raises(InvalidTokenError):
        client.authenticate_with_token(client.user_token)

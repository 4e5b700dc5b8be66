# ruff: noqa: N802 - the protocol names the methods
"""Payloads introduce themselves, and get tokens for their credentials once an operator has let them in."""

from typing import Any

import grpc
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.payload_registration_pb2 import (
    GetPayloadAuthTokenResponse,
    RegisterPayloadResponse,
    UpdatePayloadAttachedResponse,
    UpdatePayloadVersionResponse,
)
from bosdyn.api.payload_registration_service_pb2_grpc import (
    PayloadRegistrationServiceServicer,
    add_PayloadRegistrationServiceServicer_to_server,
)

from simulated_robot.accounts import Caller
from simulated_robot.state import RobotState


class PayloadRegistrationService(PayloadRegistrationServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Accepts the configured payloads, or any."""

    entry = ServiceEntry(
        name="payload-registration",
        type="bosdyn.api.PayloadRegistrationService",
        authority="payload-registration.spot.robot",
    )
    add_to_server = staticmethod(add_PayloadRegistrationServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def RegisterPayload(self, request: Any, _context: grpc.ServicerContext) -> RegisterPayloadResponse:
        """Take a new payload in."""
        if self._state.accounts.register_payload(request.payload.GUID, request.payload_secret):
            return RegisterPayloadResponse(status=RegisterPayloadResponse.STATUS_OK)
        return RegisterPayloadResponse(status=RegisterPayloadResponse.STATUS_ALREADY_EXISTS)

    def GetPayloadAuthToken(self, request: Any, _context: grpc.ServicerContext) -> GetPayloadAuthTokenResponse:
        """Return a token to a payload which is known and authorized."""
        guid, secret = request.payload_credentials.guid, request.payload_credentials.secret
        accounts = self._state.accounts
        if not accounts.payload_is_known(guid, secret):
            return GetPayloadAuthTokenResponse(status=GetPayloadAuthTokenResponse.STATUS_INVALID_CREDENTIALS)
        if not accounts.payload_is_authorized(guid):
            return GetPayloadAuthTokenResponse(status=GetPayloadAuthTokenResponse.STATUS_PAYLOAD_NOT_AUTHORIZED)
        token = accounts.new_token(Caller(payload_guid=guid))
        return GetPayloadAuthTokenResponse(status=GetPayloadAuthTokenResponse.STATUS_OK, token=token)

    def UpdatePayloadVersion(self, request: Any, _context: grpc.ServicerContext) -> UpdatePayloadVersionResponse:
        """Check the credentials; the version itself is not kept."""
        return UpdatePayloadVersionResponse(status=self._check(UpdatePayloadVersionResponse, request))

    def UpdatePayloadAttached(self, request: Any, _context: grpc.ServicerContext) -> UpdatePayloadAttachedResponse:
        """Check the credentials; a simulated payload has no mass to attach."""
        return UpdatePayloadAttachedResponse(status=self._check(UpdatePayloadAttachedResponse, request))

    def _check(self, response_type: Any, request: Any) -> Any:
        guid, secret = request.payload_credentials.guid, request.payload_credentials.secret
        if not self._state.accounts.payload_exists(guid):
            return response_type.STATUS_DOES_NOT_EXIST
        if not self._state.accounts.payload_is_known(guid, secret):
            return response_type.STATUS_INVALID_CREDENTIALS
        return response_type.STATUS_OK

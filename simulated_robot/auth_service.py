# ruff: noqa: N802 - the protocol names the methods
"""Users' logins, and new tokens for old ones."""

from typing import Any

import grpc
from bosdyn.api.auth_pb2 import GetAuthTokenResponse
from bosdyn.api.auth_service_pb2_grpc import AuthServiceServicer, add_AuthServiceServicer_to_server
from bosdyn.api.directory_pb2 import ServiceEntry

from simulated_robot.accounts import Caller
from simulated_robot.state import RobotState


class AuthService(AuthServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Accepts the configured users, or anybody."""

    entry = ServiceEntry(name="auth", type="bosdyn.api.AuthService", authority="auth.spot.robot")
    add_to_server = staticmethod(add_AuthServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def GetAuthToken(self, request: Any, _context: grpc.ServicerContext) -> GetAuthTokenResponse:
        """Mint a token from name and password, or from a token that is still good."""
        accounts = self._state.accounts
        if request.token:
            caller = accounts.holder(request.token)
            refused = GetAuthTokenResponse.STATUS_INVALID_TOKEN
        elif accounts.user_is_locked_out(request.username):
            caller, refused = None, GetAuthTokenResponse.STATUS_TEMPORARILY_LOCKED_OUT
        else:
            caller = Caller() if accounts.user_is_known(request.username, request.password) else None
            refused = GetAuthTokenResponse.STATUS_INVALID_LOGIN
        if caller is None:
            return GetAuthTokenResponse(status=refused)
        return GetAuthTokenResponse(status=GetAuthTokenResponse.STATUS_OK, token=accounts.new_token(caller))

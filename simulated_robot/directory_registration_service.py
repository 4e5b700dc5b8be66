# ruff: noqa: N802 - the protocol names the methods
"""Payloads put their services into the directory, keep them alive there, and take them out."""

from typing import Any

import grpc
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.directory_registration_pb2 import (
    RegisterServiceResponse,
    UnregisterServiceResponse,
    UpdateServiceResponse,
)
from bosdyn.api.directory_registration_service_pb2_grpc import (
    DirectoryRegistrationServiceServicer,
    add_DirectoryRegistrationServiceServicer_to_server,
)

from simulated_robot.clock import timestamp
from simulated_robot.state import RobotState


class DirectoryRegistrationService(DirectoryRegistrationServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Changes the registry. Every request about a registered service is a sign of its life, even a refused one."""

    entry = ServiceEntry(
        name="directory-registration",
        type="bosdyn.api.DirectoryRegistrationService",
        authority="api.spot.robot",
        user_token_required=True,
    )
    add_to_server = staticmethod(add_DirectoryRegistrationServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def RegisterService(self, request: Any, context: grpc.ServicerContext) -> RegisterServiceResponse:
        """Add a service and clear its faults; an existing one is left as it is."""
        entry = self._completed(request.service_entry, context)
        if not self._state.registry.register(entry, request.endpoint):
            self._state.hear_service(entry.name)
            return RegisterServiceResponse(status=RegisterServiceResponse.STATUS_ALREADY_EXISTS)
        self._state.clear_service_faults(entry.name)
        return RegisterServiceResponse(status=RegisterServiceResponse.STATUS_OK)

    def UpdateService(self, request: Any, context: grpc.ServicerContext) -> UpdateServiceResponse:
        """Replace an existing entry; its faults stay, except the one of liveness."""
        entry = self._completed(request.service_entry, context)
        if not self._state.registry.update(entry, request.endpoint):
            return UpdateServiceResponse(status=UpdateServiceResponse.STATUS_NONEXISTENT_SERVICE)
        self._state.hear_service(entry.name)
        return UpdateServiceResponse(status=UpdateServiceResponse.STATUS_OK)

    def UnregisterService(self, request: Any, _context: grpc.ServicerContext) -> UnregisterServiceResponse:
        """Remove a service and its faults."""
        if not self._state.registry.unregister(request.service_name):
            return UnregisterServiceResponse(status=UnregisterServiceResponse.STATUS_NONEXISTENT_SERVICE)
        self._state.clear_service_faults(request.service_name)
        return UnregisterServiceResponse(status=UnregisterServiceResponse.STATUS_OK)

    def _completed(self, entry: ServiceEntry, context: grpc.ServicerContext) -> ServiceEntry:
        """Add what the robot knows: when the entry came, and from which payload."""
        caller = self._state.caller(context)
        entry.last_update.CopyFrom(timestamp(self._state.clock.now_ns()))
        entry.host_payload_guid = caller.payload_guid if caller else ""
        return entry

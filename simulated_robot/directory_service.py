# ruff: noqa: N802 - the protocol names the methods
"""The list of all services, the robot's own and the registered ones."""

from typing import Any

import grpc
from bosdyn.api.directory_pb2 import GetServiceEntryResponse, ListServiceEntriesResponse, ServiceEntry
from bosdyn.api.directory_service_pb2_grpc import DirectoryServiceServicer, add_DirectoryServiceServicer_to_server

from simulated_robot.state import RobotState


class DirectoryService(DirectoryServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Reads the registry."""

    entry = ServiceEntry(
        name="directory", type="bosdyn.api.DirectoryService", authority="api.spot.robot", user_token_required=True
    )
    add_to_server = staticmethod(add_DirectoryServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def ListServiceEntries(self, _request: Any, _context: grpc.ServicerContext) -> ListServiceEntriesResponse:
        """Return every entry."""
        return ListServiceEntriesResponse(service_entries=self._state.registry.entries())

    def GetServiceEntry(self, request: Any, _context: grpc.ServicerContext) -> GetServiceEntryResponse:
        """Return the entry of one name."""
        for entry in self._state.registry.entries():
            if entry.name == request.service_name:
                return GetServiceEntryResponse(status=GetServiceEntryResponse.STATUS_OK, service_entry=entry)
        return GetServiceEntryResponse(status=GetServiceEntryResponse.STATUS_NONEXISTENT_SERVICE)

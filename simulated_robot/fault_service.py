# ruff: noqa: N802 - the protocol names the methods
"""Payloads raise and clear service faults."""

from collections.abc import Callable
from typing import Any

import grpc
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.fault_service_pb2_grpc import FaultServiceServicer, add_FaultServiceServicer_to_server
from bosdyn.api.service_fault_pb2 import ClearServiceFaultResponse, ServiceFaultId, TriggerServiceFaultResponse

from simulated_robot.state import RobotState


class FaultService(FaultServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Changes the active faults. A fault that names no payload belongs to the calling one."""

    entry = ServiceEntry(
        name="fault", type="bosdyn.api.FaultService", authority="fault.spot.robot", user_token_required=True
    )
    add_to_server = staticmethod(add_FaultServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def TriggerServiceFault(self, request: Any, context: grpc.ServicerContext) -> TriggerServiceFaultResponse:
        """Raise a fault; the older one stays if it is already active."""
        fault = request.fault
        fault.fault_id.payload_guid = self._payload_guid(fault.fault_id, context)
        if self._state.faults.trigger(fault):
            return TriggerServiceFaultResponse(status=TriggerServiceFaultResponse.STATUS_OK)
        return TriggerServiceFaultResponse(status=TriggerServiceFaultResponse.STATUS_FAULT_ALREADY_ACTIVE)

    def ClearServiceFault(self, request: Any, context: grpc.ServicerContext) -> ClearServiceFaultResponse:
        """Clear one fault, all of a service or all of a payload; a status says if there was none."""
        if self._state.faults.clear(_meant_by(request, self._payload_guid(request.fault_id, context))):
            return ClearServiceFaultResponse(status=ClearServiceFaultResponse.STATUS_OK)
        return ClearServiceFaultResponse(status=ClearServiceFaultResponse.STATUS_FAULT_NOT_ACTIVE)

    def _payload_guid(self, fault_id: ServiceFaultId, context: grpc.ServicerContext) -> str:
        caller = self._state.caller(context)
        return fault_id.payload_guid or (caller.payload_guid if caller else "")


def _meant_by(request: Any, payload_guid: str) -> Callable[[ServiceFaultId], bool]:
    """Return whether a fault is one of those that a clear request is about."""
    wanted = request.fault_id

    def is_meant(fault_id: ServiceFaultId) -> bool:
        if request.clear_all_payload_faults and fault_id.payload_guid == payload_guid:
            return True
        if request.clear_all_service_faults and fault_id.service_name == wanted.service_name:
            return True
        name = (fault_id.payload_guid, fault_id.service_name, fault_id.fault_name)
        return bool(name == (payload_guid, wanted.service_name, wanted.fault_name))

    return is_meant

# ruff: noqa: N802 - the protocol names the methods
"""What the robot's state is: of all of it, the service faults."""

from typing import Any

import grpc
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.robot_state_pb2 import RobotState as RobotStateMessage
from bosdyn.api.robot_state_pb2 import RobotStateResponse, ServiceFaultState
from bosdyn.api.robot_state_service_pb2_grpc import RobotStateServiceServicer, add_RobotStateServiceServicer_to_server

from simulated_robot.state import RobotState


class RobotStateService(RobotStateServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Shows active faults with robot time and duration, the cleared ones, and the worst severity per attribute."""

    entry = ServiceEntry(
        name="robot-state", type="bosdyn.api.RobotStateService", authority="state.spot.robot", user_token_required=True
    )
    add_to_server = staticmethod(add_RobotStateServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def GetRobotState(self, _request: Any, _context: grpc.ServicerContext) -> RobotStateResponse:
        """Return the state of this moment."""
        shown = ServiceFaultState(faults=self._state.active_faults(), historical_faults=self._state.faults.history())
        for fault in shown.faults:
            for attribute in fault.attributes:
                shown.aggregated[attribute] = max(shown.aggregated[attribute], fault.severity)
        return RobotStateResponse(robot_state=RobotStateMessage(service_fault_state=shown))

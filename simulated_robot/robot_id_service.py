# ruff: noqa: N802 - the protocol names the methods
"""Who the robot is; answered without a token, as by a real one."""

from typing import Any

import grpc
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.robot_id_pb2 import RobotId, RobotIdResponse
from bosdyn.api.robot_id_service_pb2_grpc import RobotIdServiceServicer, add_RobotIdServiceServicer_to_server

from simulated_robot.state import RobotState


class RobotIdService(RobotIdServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """One robot, always the same."""

    entry = ServiceEntry(name="robot-id", type="bosdyn.api.RobotIdService", authority="id.spot.robot")
    add_to_server = staticmethod(add_RobotIdServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def GetRobotId(self, _request: Any, _context: grpc.ServicerContext) -> RobotIdResponse:
        """Return the identity."""
        return RobotIdResponse(robot_id=RobotId(serial_number="simulated", species="spot", nickname="simulated robot"))

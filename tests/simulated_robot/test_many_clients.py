"""Many clients at once."""

import concurrent.futures
from typing import Any

from bosdyn.api.service_fault_pb2 import ServiceFault, ServiceFaultId
from bosdyn.client.fault import FaultClient

from simulated_robot import SimulatedRobot

CLIENTS = 8
ROUNDS = 25


def test_no_call_is_lost_between_threads(client: Any, robot: SimulatedRobot) -> None:
    """Every fault that many threads raise and clear is there and gone, and every call is counted."""
    faults = client.ensure_client(FaultClient.default_service_name)

    def raise_and_clear(number: int) -> None:
        fault_id = ServiceFaultId(fault_name=f"fault {number}", service_name="camera")
        for _ in range(ROUNDS):
            faults.trigger_service_fault(ServiceFault(fault_id=fault_id))
            assert ("camera", fault_id.fault_name) in robot.faults
            faults.clear_service_fault(fault_id)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(raise_and_clear, range(CLIENTS)))
    assert robot.faults == {}
    assert robot.calls["FaultService/TriggerServiceFault"] == CLIENTS * ROUNDS
    assert robot.calls["FaultService/ClearServiceFault"] == CLIENTS * ROUNDS

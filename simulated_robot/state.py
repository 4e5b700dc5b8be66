"""Everything that one simulated robot knows, behind one lock."""

import collections
import threading
from collections.abc import Mapping, Sequence

import grpc
from bosdyn.api.data_buffer_pb2 import DataBlob
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.service_fault_pb2 import ServiceFault, ServiceFaultId

from simulated_robot.accounts import Accounts, Caller, bearer_token
from simulated_robot.clock import RobotClock, timestamp
from simulated_robot.data_store import DataStore
from simulated_robot.faults import Faults
from simulated_robot.misbehaviour import Misbehaviour
from simulated_robot.registry import Registration, Registry

LIVENESS_FAULT_NAME = "Liveness"
BLOBS_KEPT = 1000


class RobotState:
    """The robot's memory.

    Whoever reads or changes a part of it holds `lock`. The gate takes it around every answer of the robot's own
    services, so that these need not know of it.
    """

    def __init__(
        self,
        own: Sequence[ServiceEntry],
        clock_skew_s: float,
        payloads: Mapping[str, str] | None,
        users: Mapping[str, str] | None,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = RobotClock(clock_skew_s)
        self.accounts = Accounts(payloads, users)
        self.registry = Registry(own)
        self.faults = Faults(self.clock)
        self.misbehaviour = Misbehaviour()
        self.calls: collections.Counter[str] = collections.Counter()
        self.recorded: collections.Counter[str] = collections.Counter()
        self.store = DataStore()
        self.blobs: collections.deque[DataBlob] = collections.deque(maxlen=BLOBS_KEPT)

    def caller(self, context: grpc.ServicerContext) -> Caller | None:
        """Return who is calling; None without a valid token."""
        return self.accounts.holder(bearer_token(context))

    def active_faults(self) -> list[ServiceFault]:
        """Return what is active now, liveness faults included."""
        for registration in self.registry:
            overdue_s = registration.overdue_s()
            if overdue_s > 0:
                self.faults.trigger(_liveness_fault(registration), age_s=overdue_s)
        return self.faults.active()

    def hear_service(self, name: str) -> None:
        """Take a sign of life of a registered service."""
        self.registry.hear(name, timestamp(self.clock.now_ns()))
        self.faults.clear(lambda fault: fault.service_name == name and fault.fault_name == LIVENESS_FAULT_NAME)

    def clear_service_faults(self, name: str) -> bool:
        """Clear every fault of the service; False if there was none."""
        return self.faults.clear(lambda fault: bool(fault.service_name == name))

    def forget(self) -> None:
        """Lose what does not survive a reboot; payloads and their authorization do."""
        self.accounts.revoke_tokens()
        self.registry.clear()
        self.faults.forget()


def _liveness_fault(registration: Registration) -> ServiceFault:
    entry = registration.entry
    return ServiceFault(
        fault_id=ServiceFaultId(
            fault_name=LIVENESS_FAULT_NAME, service_name=entry.name, payload_guid=entry.host_payload_guid
        ),
        error_message=f"{entry.name} has not been heard of for {entry.liveness_timeout_secs:g} s",
        severity=ServiceFault.SEVERITY_WARN,
    )

"""The service faults that are active on the robot, and those that were. `RobotState.lock` guards it."""

import collections
import dataclasses
import time
from collections.abc import Callable

from bosdyn.api.service_fault_pb2 import ServiceFault, ServiceFaultId

from simulated_robot.clock import NS_PER_S, RobotClock, duration, timestamp

HISTORY_LENGTH = 50

_Key = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class _ActiveFault:
    fault: ServiceFault
    onset_monotonic_ns: int

    def snapshot(self) -> ServiceFault:
        """Return the fault with its duration until now."""
        snapshot = ServiceFault()
        snapshot.CopyFrom(self.fault)
        snapshot.duration.CopyFrom(duration(time.monotonic_ns() - self.onset_monotonic_ns))
        return snapshot


class Faults:
    """Active faults by id, in the order of their onset."""

    def __init__(self, clock: RobotClock) -> None:
        self._clock = clock
        self._active: dict[_Key, _ActiveFault] = {}
        self._history: collections.deque[ServiceFault] = collections.deque(maxlen=HISTORY_LENGTH)

    def trigger(self, fault: ServiceFault, age_s: float = 0.0) -> bool:
        """Raise a fault which began `age_s` ago; False, and the older one stays, if it is active."""
        key = _key(fault.fault_id)
        if key in self._active:
            return False
        stored = ServiceFault()
        stored.CopyFrom(fault)
        age_ns = round(age_s * NS_PER_S)
        stored.onset_timestamp.CopyFrom(timestamp(self._clock.now_ns() - age_ns))
        self._active[key] = _ActiveFault(stored, time.monotonic_ns() - age_ns)
        return True

    def clear(self, is_meant: Callable[[ServiceFaultId], bool]) -> bool:
        """Clear every fault whose id `is_meant`; False if there was none."""
        cleared = [key for key, active in self._active.items() if is_meant(active.fault.fault_id)]
        for key in cleared:
            self._history.appendleft(self._active.pop(key).snapshot())
        return bool(cleared)

    def active(self) -> list[ServiceFault]:
        """Return copies of the active faults, each with its duration."""
        return [active.snapshot() for active in self._active.values()]

    def history(self) -> list[ServiceFault]:
        """Return the faults that were cleared, the newest first."""
        return list(self._history)

    def forget(self) -> None:
        """Lose everything, as a reboot does."""
        self._active.clear()
        self._history.clear()


def _key(fault_id: ServiceFaultId) -> _Key:
    return fault_id.payload_guid, fault_id.service_name, fault_id.fault_name

"""The robot's directory: its own services and those that payloads registered. `RobotState.lock` guards it."""

import dataclasses
import time
from collections.abc import Iterator, Sequence

from bosdyn.api.directory_pb2 import Endpoint, ServiceEntry
from google.protobuf.timestamp_pb2 import Timestamp

AUTHORITY_SUFFIX = ".spot.robot"


@dataclasses.dataclass
class Registration:
    """A payload's service: its directory entry, where it is, and when (monotonic) it was last heard of."""

    entry: ServiceEntry
    endpoint: Endpoint
    heard_s: float

    def overdue_s(self) -> float:
        """Seconds since the service should have been heard of; not positive while it is alive.

        A service which asked for no liveness check (timeout 0) is never overdue.
        """
        if not self.entry.liveness_timeout_secs:
            return 0.0
        return time.monotonic() - self.heard_s - float(self.entry.liveness_timeout_secs)


class Registry:
    """Services by name. A name is unique, and so is a pair of authority and service type."""

    def __init__(self, own: Sequence[ServiceEntry]) -> None:
        self._own = {entry.name: entry for entry in own}
        self._registrations: dict[str, Registration] = {}

    def __iter__(self) -> Iterator[Registration]:
        return iter(self._registrations.values())

    def entries(self) -> list[ServiceEntry]:
        """Everything in the directory, the robot's own services first."""
        return [*self._own.values(), *(registration.entry for registration in self)]

    def register(self, entry: ServiceEntry, endpoint: Endpoint) -> bool:
        """Add a service; False, and nothing changes, if its name or its route is taken."""
        route = (canonical_authority(entry.authority), entry.type)
        taken = any(other.name == entry.name or (other.authority, other.type) == route for other in self.entries())
        if not taken:
            self._put(entry, endpoint)
        return not taken

    def update(self, entry: ServiceEntry, endpoint: Endpoint) -> bool:
        """Replace a registered service's entry; False if there is none of this name."""
        known = entry.name in self._registrations
        if known:
            self._put(entry, endpoint)
        return known

    def unregister(self, name: str) -> bool:
        """Remove a registered service; False if there is none of this name."""
        return self._registrations.pop(name, None) is not None

    def hear(self, name: str, last_update: Timestamp) -> None:
        """Note that the service gave a sign of life."""
        if registration := self._registrations.get(name):
            registration.heard_s = time.monotonic()
            registration.entry.last_update.CopyFrom(last_update)

    def route(self, authority: str, service_type: str) -> Registration | None:
        """Return the registered service that a call belongs to, or None."""
        for registration in self:
            if registration.entry.authority == authority and registration.entry.type == service_type:
                return registration
        return None

    def clear(self) -> None:
        """Forget every registration; the robot's own services stay."""
        self._registrations.clear()

    def _put(self, entry: ServiceEntry, endpoint: Endpoint) -> None:
        stored = ServiceEntry()
        stored.CopyFrom(entry)
        stored.authority = canonical_authority(entry.authority)
        self._registrations[entry.name] = Registration(stored, endpoint, time.monotonic())


def canonical_authority(authority: str) -> str:
    """Return the authority as the robot routes by it: a bare name gets the robot's domain."""
    return authority if authority.endswith(AUTHORITY_SUFFIX) else authority + AUTHORITY_SUFFIX

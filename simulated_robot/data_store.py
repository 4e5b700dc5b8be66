"""What the robot has stored of captures: pictures, metadata, alerts and other data. `RobotState.lock` guards it."""

import collections
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

from bosdyn.api.data_acquisition_pb2 import CaptureActionId, DataIdentifier

Kind = Literal["image", "metadata", "alert", "data"]

MOST_ITEMS = 2000
MOST_BYTES = 64 << 20

_Matches = Callable[[CaptureActionId], bool]


class TooLargeError(Exception):
    """One item is larger than all that the store may hold."""


@dataclasses.dataclass(frozen=True)
class StoredItem:
    """One piece of data, with its identifier; `content` is a message, or bytes for the kind "data"."""

    kind: Kind
    data_id: DataIdentifier
    content: Any
    size_bytes: int


class DataStore:
    """Items in the order of their arrival, numbered from 1. The oldest go when there is no room."""

    def __init__(self) -> None:
        self._items: collections.deque[StoredItem] = collections.deque()
        self._held_bytes = 0
        self._last_id = 0

    def __iter__(self) -> Iterator[StoredItem]:
        return iter(self._items)

    @property
    def last_id(self) -> int:
        """The newest item's number; 0 while nothing was ever stored."""
        return self._last_id

    def add(self, kind: Kind, data_id: DataIdentifier, content: Any) -> DataIdentifier:
        """Keep it under the identifier, which gets its number; returns that. Raises TooLargeError."""
        size_bytes = len(content) if isinstance(content, bytes) else content.ByteSize()
        if size_bytes > MOST_BYTES:
            raise TooLargeError(f"{size_bytes} bytes; at most {MOST_BYTES} can be stored")
        self._last_id += 1
        stored_id = DataIdentifier()
        stored_id.CopyFrom(data_id)
        stored_id.id = self._last_id
        self._items.append(StoredItem(kind, stored_id, content, size_bytes))
        self._held_bytes += size_bytes
        while len(self._items) > MOST_ITEMS or self._held_bytes > MOST_BYTES:
            self._held_bytes -= self._items.popleft().size_bytes
        return stored_id

    def actions(self, query: Any) -> list[CaptureActionId]:
        """Return the capture actions that a `DataQueryParams` means and of which something is stored."""
        found: dict[bytes, CaptureActionId] = {}
        for item in self._meant_by(query):
            found.setdefault(item.data_id.action_id.SerializeToString(deterministic=True), item.data_id.action_id)
        return list(found.values())

    def identifiers(self, kind: Kind, query: Any) -> list[DataIdentifier]:
        """Return what is stored of this kind for the capture actions that a `DataQueryParams` means."""
        return [item.data_id for item in self._meant_by(query) if item.kind == kind]

    def _meant_by(self, query: Any) -> Iterator[StoredItem]:
        matches = _matcher(query)
        return (item for item in self._items if matches(item.data_id.action_id))


def _matcher(query: Any) -> _Matches:
    """Return whether an action is in the query's time range, or is one of its actions; without either, all are."""
    if query.HasField("time_range"):
        first_ns = query.time_range.from_timestamp.ToNanoseconds()
        last_ns = query.time_range.to_timestamp.ToNanoseconds()
        return lambda action: first_ns <= action.timestamp.ToNanoseconds() <= last_ns
    if query.HasField("action_ids"):
        wanted = list(query.action_ids.action_ids)
        return lambda action: any(_is_meant(action, one) for one in wanted)
    return lambda _action: True


def _is_meant(action: CaptureActionId, wanted: CaptureActionId) -> bool:
    """What a query leaves empty may be anything."""
    return (
        wanted.action_name in ("", action.action_name)
        and wanted.group_name in ("", action.group_name)
        and (not wanted.HasField("timestamp") or wanted.timestamp == action.timestamp)
    )

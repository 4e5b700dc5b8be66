"""The reading end of a ring: the newest frame, whole or not at all."""

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from shm import layout, names, protocol, rights, segment
from shm.fence import fence_of_this_process
from shm.frame import DEFAULT_PARAMS_ID, Encoding, Frame, FrameFacts, Loss, describes_a_frame

_T = TypeVar("_T")

_MAX_LOOKS = 8
_MAX_LOOKING_S = 0.020
_LOOK_PAUSE_S = 0.0005
_KEEP_NAMELESS_S = 5.0  # a ring that was removed and not replaced is let go: its memory belongs to others
_MAX_FUTURE_NS = 1_000_000_000
_REMEMBERED = (None, DEFAULT_PARAMS_ID)  # what everybody asks for


@dataclass(frozen=True)
class _Known:
    """The facts that were found when `newest` was the newest frame of the ring."""

    newest: int
    facts: FrameFacts


class RingReader:
    """Reads a camera's newest frame from any number of threads. It never waits for the writer.

    There need be no ring yet: every call looks for it. `problem` says in a sentence why there is nothing to read,
    `unreadable` the same of a segment that is there; `lapped` counts looks that the writer overtook.

    Only segments of this user are read, and with `shm_group` those that another user shares with that group. Raises
    ValueError for a bad name, GroupError for a group there is not.
    """

    def __init__(self, instance: str, camera: str, *, shm_group: str | None = None) -> None:
        self.unreadable: str | None = None
        self.lapped = 0
        self._instance = instance
        self._name = names.segment_name(instance, camera)
        self._gid = None if shm_group is None else rights.gid_of(shm_group)
        self._fence = fence_of_this_process(instance)
        self._attached: segment.Attached | None = None
        self._attaching = threading.Lock()
        self._known: dict[bytes | None, _Known] = {}

    @property
    def problem(self) -> str | None:
        """Why the last call found nothing to read, as a sentence; None if it did, or if nobody knows.

        Where there is no ring, it names those that there are: the instance or the camera may be called otherwise.
        """
        if self.unreadable or self._attached is not None or names.path_of(self._name).exists():
            return self.unreadable
        return f"there is no ring {names.path_of(self._name)}{self._what_there_is()}"

    def _what_there_is(self) -> str:
        with contextlib.suppress(OSError):  # there may be no /dev/shm
            if cameras := names.cameras_of(self._instance):
                return f"; present in this instance: {', '.join(cameras)}"
            if instances := names.instances():
                return f", nor any other of this instance; present: {', '.join(instances)}"
        return ""

    def latest(self, params_id: bytes = DEFAULT_PARAMS_ID) -> Frame | None:
        """Copy the newest frame that was captured with these parameters; None if there is none to be had now."""
        found = self._look_often(params_id, lambda attached, metadata, _: _copied(attached, metadata))
        return None if isinstance(found, Loss) else found

    def facts(self, params_id: bytes | None = DEFAULT_PARAMS_ID) -> FrameFacts | None:
        """Return what is known about the newest frame with these parameters (None: with any), without its picture."""
        attached = self._current()
        if attached is None:
            return None
        newest = protocol.newest_number(attached.mapping)
        known = self._known.get(params_id)
        if known is not None and known.newest == newest and known.facts.epoch == attached.header.epoch:
            return known.facts  # nothing was published since then, and what was whole then was the frame
        found = self._look_often(params_id, lambda attached, metadata, _: FrameFacts(**_facts(attached, metadata)))
        if isinstance(found, Loss):
            return None
        if params_id in _REMEMBERED and found.epoch == attached.header.epoch:
            self._known[params_id] = _Known(newest, found)
        return found

    def use(self, fn: Callable[[Frame], _T], params_id: bytes | None = DEFAULT_PARAMS_ID) -> _T | Loss:
        """Run `fn` on the newest frame without a copy, and return its result or why there is none.

        `params_id` None: the newest whatever it was captured with.

        `fn` gets a Frame whose `data` is the ring's own memory, or a copy where it must not change under the
        reader's hands (compressed frames, and after the writer overtook the first try). The result must not refer
        to that memory. It is returned only if the frame stayed whole all the time, and an exception of `fn` is
        raised only then: otherwise both may come from a mixture of two frames.
        """

        def take(attached: segment.Attached, metadata: layout.Metadata, is_first: bool) -> _T | Loss:
            return _used(attached, metadata, fn, in_place=is_first)

        return self._look_often(params_id, take)

    def descriptor(self) -> dict[str, Any] | None:
        """What the worker found out about its camera; None while there is no ring."""
        attached = self._current()
        return attached.header.descriptor if attached else None

    def _look_often(self, params_id: bytes | None, take: "_Take[_T]") -> _T | Loss:
        attached = self._current()
        if attached is None:
            return Loss.CORRUPT if self.unreadable else Loss.NO_FRAME
        until_s = math.inf
        for number in range(_MAX_LOOKS):
            found = _look(attached, params_id, take, is_first=number == 0)
            if found is not Loss.LAPPED:
                return found
            self.lapped += 1
            if number == 0:  # what is done with the first frame does not count as looking
                until_s = time.monotonic() + _MAX_LOOKING_S
            if time.monotonic() > until_s:
                break
            time.sleep(_LOOK_PAUSE_S)
        return Loss.LAPPED

    def _current(self) -> segment.Attached | None:
        """The ring that has the name now, or the last one that had it while nothing has taken its place."""
        attached = self._attached
        if attached is not None and attached.is_current():
            return attached
        with self._attaching:
            if self._attached is attached:
                self._attached = self._attach() or self._keep(attached)
            return self._attached

    def _attach(self) -> segment.Attached | None:
        self.unreadable = None
        try:
            return segment.attach(self._name, self._fence, self._gid)
        except layout.LayoutError as error:
            self.unreadable = f"{names.path_of(self._name)} is no ring: {error}"
        except OSError as error:  # ForeignSegmentError, or this process may open nothing more
            self.unreadable = error.strerror or f"{names.path_of(self._name)}: {error}"
        return None

    @staticmethod
    def _keep(attached: segment.Attached | None) -> segment.Attached | None:
        if attached is None or not attached.is_whole():
            return None
        captured_ns = _look(attached, None, lambda _attached, metadata, _: metadata.captured_ns, is_first=True)
        is_recent = isinstance(captured_ns, int) and time.monotonic_ns() - captured_ns < _KEEP_NAMELESS_S * 1e9
        return attached if is_recent else None


_Take = Callable[[segment.Attached, layout.Metadata, bool], _T | Loss]  # the last: whether it is the first look


def _look(attached: segment.Attached, params_id: bytes | None, take: "_Take[_T]", *, is_first: bool) -> _T | Loss:
    """Look once: at the newest frame, or at the newest with these parameters among those that are still there."""
    memory, ring = attached.mapping, attached.header.layout
    newest = protocol.newest_number(memory)
    if newest == 0:
        return Loss.NO_FRAME
    for number in range(newest, max(newest - ring.slots + 1, 0), -1):
        metadata = _read_metadata(attached, number)
        if metadata is None:
            if number == newest:
                return Loss.LAPPED
            continue  # a ring that is not full yet, or the writer is already here again
        if isinstance(metadata, Loss):
            return metadata
        if params_id is None or metadata.params_id == params_id:
            return take(attached, metadata, is_first)
    # What was searched for may have been overwritten during the search, by newer ones of its kind.
    return Loss.NO_FRAME if protocol.newest_number(memory) == newest else Loss.LAPPED


def _read_metadata(attached: segment.Attached, number: int) -> layout.Metadata | Loss | None:
    memory, ring = attached.mapping, attached.header.layout
    view = protocol.begin_read(memory, ring, number)
    if view is None:
        return None
    metadata = layout.unpack_metadata(bytes(view))
    if not protocol.still_whole(memory, ring, number):
        return None
    if metadata is None or metadata.frame_number != number:
        return Loss.CORRUPT
    if not describes_a_frame(metadata, ring.payload_capacity_bytes):
        return Loss.CORRUPT
    is_board = attached.header.segment_name.endswith(names.BOARD)
    if is_board != (metadata.encoding == Encoding.JSON):  # a camera's readers know pictures only
        return Loss.CORRUPT
    # `now` is taken after the frame was read: a frame that was published meanwhile is not from the future.
    return Loss.CORRUPT if metadata.captured_ns > time.monotonic_ns() + _MAX_FUTURE_NS else metadata


def _used(
    attached: segment.Attached, metadata: layout.Metadata, fn: Callable[[Frame], _T], *, in_place: bool
) -> _T | Loss:
    if not in_place or Encoding(metadata.encoding).compressed:
        copy = _copied(attached, metadata)
        return copy if isinstance(copy, Loss) else fn(copy)
    memory, ring, number = attached.mapping, attached.header.layout, metadata.frame_number
    view = protocol.payload_view(memory, ring, number, metadata.payload_bytes)
    try:
        result = fn(_frame(attached, metadata, view))
    except Exception:
        if protocol.still_whole(memory, ring, number):
            raise
        return Loss.LAPPED
    return result if protocol.still_whole(memory, ring, number) else Loss.LAPPED


def _copied(attached: segment.Attached, metadata: layout.Metadata) -> Frame | Loss:
    memory, ring, number = attached.mapping, attached.header.layout, metadata.frame_number
    copy = bytes(protocol.payload_view(memory, ring, number, metadata.payload_bytes))
    return _frame(attached, metadata, copy) if protocol.still_whole(memory, ring, number) else Loss.LAPPED


def _frame(attached: segment.Attached, metadata: layout.Metadata, data: bytes | memoryview) -> Frame:
    return Frame(**_facts(attached, metadata), row_stride_bytes=metadata.row_stride_bytes, data=data)


def _facts(attached: segment.Attached, metadata: layout.Metadata) -> dict[str, Any]:
    return {
        "frame_number": metadata.frame_number,
        "captured_ns": metadata.captured_ns,
        "rows": metadata.rows,
        "cols": metadata.cols,
        "encoding": Encoding(metadata.encoding),
        "gain": metadata.gain,
        "exposure_s": metadata.exposure_s,
        "params_id": metadata.params_id,
        "epoch": attached.header.epoch,
    }

"""The writing end of a ring: one process, one ring, once."""

import math
import os
import secrets
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from shm import layout, names, protocol, rights, segment
from shm.fence import fence_of_this_process
from shm.frame import DEFAULT_PARAMS_ID, Encoding, describes_a_frame

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Buffer

    Payload = Buffer | np.ndarray[Any, Any]  # before Python 3.12, numpy does not say that an array is a buffer

_MAX_NUMBER = 1 << 53  # exact in JSON, and far below where a sequence counter would overflow


class RingWriter:
    """Publishes frames under a camera's name, inside `with`.

    Entering builds the ring aside; the first `publish` takes the name, so that whoever finds the ring finds a
    frame in it. A restart and a change of size are both just another RingWriter. Leaving never removes the name:
    readers keep the last frame, and names are removed by the supervisor alone.

    The members of `shm_group` may read it too. Raises ValueError for a bad name, GroupError for a group there is not.
    """

    def __init__(
        self,
        instance: str,
        camera: str,
        *,
        payload_capacity_bytes: int,
        descriptor: Mapping[str, Any],
        slots: int = 6,
        shm_group: str | None = None,
    ) -> None:
        self._instance = instance
        self._gid = None if shm_group is None else rights.gid_of(shm_group)
        self._name = names.segment_name(instance, camera)
        self._layout = layout.RingLayout(slots, payload_capacity_bytes)
        self._descriptor = descriptor
        self._inode: int | None = None  # once the ring has its name
        self._next_number: int | None = None
        self._memory: segment.Mapping
        self._header = b""

    def __enter__(self) -> "RingWriter":
        """Build the ring aside.

        Raises ShmFullError, ForeignSegmentError, GroupError, or LayoutError for the descriptor.
        """
        epoch = secrets.randbits(63) | 1
        self._header = header = layout.pack_header(self._layout, epoch, self._name[1:], self._descriptor)
        fence = fence_of_this_process(self._instance)
        self._memory = segment.create_aside(self._name, header, self._layout.total_bytes, fence, self._gid)
        self._inode = self._next_number = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a ring that has its name as it is; remove one that never got a frame."""
        if self._inode is None:
            names.remove(names.aside_name(self._name, os.getpid()))

    @property
    def payload_capacity_bytes(self) -> int:
        """The largest payload that fits into a slot."""
        return self._layout.payload_capacity_bytes

    def publish(
        self,
        payload: "Payload",
        *,
        captured_ns: int,
        rows: int,
        cols: int,
        row_stride_bytes: int,
        encoding: Encoding,
        gain: float = math.nan,
        exposure_s: float = math.nan,
        params_id: bytes = DEFAULT_PARAMS_ID,
    ) -> int:
        """Copy one frame into the ring, make it the newest, and return its number.

        `payload` is any C-contiguous buffer; `captured_ns` is CLOCK_MONOTONIC. Raises ValueError for a payload
        that does not fit or is not what the other arguments say: nothing of it is published then. The first call
        raises ForeignSegmentError if another user took the name meanwhile.
        """
        data = _bytes_of(payload)
        # Not before the first frame is there: until then an older writer may still count on under this name.
        number = self._first_number() if self._next_number is None else self._next_number
        metadata = layout.Metadata(
            number, captured_ns, rows, cols, row_stride_bytes, encoding, len(data), gain, exposure_s, params_id
        )
        if not describes_a_frame(metadata, self._layout.payload_capacity_bytes):
            raise ValueError(f"{len(data)} bytes are no {encoding.name} frame of {rows} x {cols} in this ring")
        protocol.write_frame(self._memory, self._layout, number, layout.pack_metadata(metadata), data)
        self._next_number = number + 1
        if self._inode is None:
            self._inode = segment.take_name(self._name)
        return number

    def is_in_place(self) -> bool:
        """Whether new readers find this ring under its name, all of it, and its header. True before it has a name.

        Somebody else may have removed, cut or overwritten it: a session manager that cleans up after a login
        (RemoveIPC), or a person. The remedy is a new ring; writing on would reach nobody, or end in SIGBUS.
        """
        if self._inode is None:
            return True
        in_place = segment.is_in_place(self._name, self._inode, self._layout.total_bytes)
        return in_place and bytes(self._memory.read(0, layout.HEADER_BYTES)) == self._header

    def count_drop(self) -> None:
        """Count a frame that the camera delivered and that was not published."""
        self._count(layout.DROPS_OFFSET)

    def count_error(self) -> None:
        """Count a capture that failed."""
        self._count(layout.ERRORS_OFFSET)

    def _count(self, offset: int) -> None:
        self._memory.store(offset, self._memory.load(offset) + 1)

    def _first_number(self) -> int:
        """A number above every number that was ever used under this name since boot."""
        now_ms = time.monotonic_ns() // 1_000_000
        try:
            old = segment.attach(self._name, self._memory.fence)
        except layout.LayoutError:
            return now_ms
        return max(now_ms, _last_number(old) + 1) if old else now_ms


def _last_number(old: segment.Attached) -> int:
    """Number of the newest frame of a ring; 0 if the frame itself does not confirm it."""
    if not old.is_whole():
        return 0
    number = protocol.newest_number(old.mapping)
    view = protocol.begin_read(old.mapping, old.header.layout, number)
    metadata = layout.unpack_metadata(bytes(view)) if view is not None else None
    confirmed = metadata is not None and metadata.frame_number == number < _MAX_NUMBER
    return number if confirmed else 0


def _bytes_of(payload: "Payload") -> memoryview:
    try:
        return memoryview(cast("Buffer", payload)).cast("B")
    except TypeError as error:  # not contiguous, or empty
        raise ValueError(f"a payload that is no row of bytes: {error}") from error

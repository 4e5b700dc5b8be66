"""The status board: a ring whose frames are snapshots of the whole status, as JSON.

The same protocol, the same way of taking the name, and the same promise as for frames: a reader gets one whole
snapshot or nothing, and a new supervisor replaces the board in one step.
"""

import time
from types import TracebackType

from shm import names
from shm.frame import Encoding
from shm.reader import RingReader
from shm.records import Status
from shm.writer import RingWriter

_CAPACITY_BYTES = 256 * 1024  # about 200 children with their error texts


class BoardWriter:
    """Publishes the status of an instance, inside `with`. Raises what RingWriter raises."""

    def __init__(self, instance: str, *, shm_group: str | None = None) -> None:
        self._ring = RingWriter(
            instance,
            names.BOARD,
            payload_capacity_bytes=_CAPACITY_BYTES,
            descriptor={},
            slots=4,
            shm_group=shm_group,
        )

    def __enter__(self) -> "BoardWriter":
        """Build the board aside; it takes its name with the first `publish`."""
        self._ring.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last snapshot for whoever reads it."""
        self._ring.__exit__(kind, error, trace)

    def publish(self, status: Status) -> None:
        """Show a new status, on a new board if somebody took the old one away.

        Raises ValueError if it is larger than the board, and what entering raises.
        """
        text = status.to_json()
        if not self._ring.is_in_place():
            self._ring.__enter__()
        self._ring.publish(
            text, captured_ns=time.monotonic_ns(), rows=1, cols=1, row_stride_bytes=0, encoding=Encoding.JSON
        )


class BoardReader:
    """Reads the newest status of an instance. Raises what RingReader raises."""

    def __init__(self, instance: str, *, shm_group: str | None = None) -> None:
        self._ring = RingReader(instance, names.BOARD, shm_group=shm_group)

    @property
    def problem(self) -> str | None:
        """Why a board that is there cannot be read, in a sentence."""
        return self._ring.unreadable

    def latest(self) -> Status | None:
        """The newest status; None while there is no board."""
        frame = self._ring.latest()
        if frame is None:
            return None
        try:
            return Status.from_json(bytes(frame.data))
        except ValueError:
            return None  # not written by a supervisor of this version

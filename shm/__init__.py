"""The contract between the processes: frames and status in shared memory.

A ring has one writer and any number of readers, which never wait for each other:

    with RingWriter("spot", "front", payload_capacity_bytes=921600, descriptor={}) as ring:
        ring.publish(pixels, captured_ns=…, rows=480, cols=640, row_stride_bytes=1920, encoding=Encoding.BGR8)

    reader = RingReader("spot", "front")
    frame = reader.latest()          # None: no frame (yet, or any more)
    frame.pixels()                   # numpy array (480, 640, 3), uint8

Who else may read, from another user or another container: docs/shared-memory.md.

`layout` says where every byte lies, `protocol` in which order they are written and read, and why.
Nothing in here imports numpy before somebody asks for pixels: the supervisor reads the board without it.
"""

from shm.board import BoardReader, BoardWriter
from shm.errors import ForeignSegmentError, GroupError, ShmFullError
from shm.frame import DEFAULT_PARAMS_ID, Encoding, Frame, FrameFacts, Loss
from shm.reader import RingReader
from shm.records import ChildRecord, Status
from shm.writer import RingWriter

__all__ = [
    "DEFAULT_PARAMS_ID",
    "BoardReader",
    "BoardWriter",
    "ChildRecord",
    "Encoding",
    "ForeignSegmentError",
    "Frame",
    "FrameFacts",
    "GroupError",
    "Loss",
    "RingReader",
    "RingWriter",
    "ShmFullError",
    "Status",
]

"""What a reader gets: one frame, or a reason why there is none."""

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shm.layout import Metadata

if TYPE_CHECKING:
    import numpy as np

DEFAULT_PARAMS_ID = bytes(16)
_MAX_SIDE = 65535


class Encoding(enum.IntEnum):
    """How the payload of a frame is to be read. 16-bit samples are little-endian."""

    BGR8 = 1
    BGRA8 = 2
    MONO8 = 3
    MONO16 = 4
    DEPTH16 = 5
    JPEG = 6
    JSON = 100

    @property
    def compressed(self) -> bool:
        """Whether the payload's length says nothing about rows and cols."""
        return self in (Encoding.JPEG, Encoding.JSON)

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes per pixel of a raw encoding. Raises KeyError for a compressed one."""
        return _BYTES_PER_PIXEL[self]

    @property
    def sample_bytes(self) -> int:
        """Bytes per channel value of a raw encoding."""
        return 2 if self in (Encoding.MONO16, Encoding.DEPTH16) else 1


_BYTES_PER_PIXEL = {
    Encoding.BGR8: 3,
    Encoding.BGRA8: 4,
    Encoding.MONO8: 1,
    Encoding.MONO16: 2,
    Encoding.DEPTH16: 2,
}


class Loss(enum.Enum):
    """Why there is no frame. None of these is an error of the reader: look again later."""

    NO_FRAME = "no frame"  # no ring, none published, or none with these parameters
    LAPPED = "lapped"  # the writer overtook every look
    CORRUPT = "corrupt"  # the segment holds something that no writer of ours wrote


@dataclass(frozen=True)
class FrameFacts:
    """What is known about a frame beside its picture.

    `captured_ns` is CLOCK_MONOTONIC. `gain` and `exposure_s` are NaN when unknown; `params_id` is that of the
    custom parameters which the frame was captured with. `epoch` changes when the ring was replaced.
    """

    frame_number: int
    captured_ns: int
    rows: int
    cols: int
    encoding: Encoding
    gain: float
    exposure_s: float
    params_id: bytes
    epoch: int

    def age_s(self) -> float:
        """Seconds since the capture."""
        return (time.monotonic_ns() - self.captured_ns) / 1e9


@dataclass(frozen=True)
class Frame(FrameFacts):
    """One frame. `data` is a copy from `latest()`, and the ring's own memory inside `use(fn)`."""

    row_stride_bytes: int
    data: bytes | memoryview

    def pixels(self) -> "np.ndarray":
        """Read-only view of a raw frame: (rows, cols[, channels]) of uint8, or (rows, cols) of uint16.

        Raises ValueError for a compressed one: what decodes it is the caller's choice.
        """
        import numpy as np  # noqa: PLC0415  the supervisor reads the board without numpy

        if self.encoding.compressed:
            raise ValueError(f"a {self.encoding.name} frame has no pixels before it is decoded")
        sample_bytes = self.encoding.sample_bytes
        channels = self.encoding.bytes_per_pixel // sample_bytes
        rows = np.frombuffer(self.data, f"<u{sample_bytes}").reshape(self.rows, -1)
        image = rows[:, : self.cols * channels]
        return image if channels == 1 else image.reshape(self.rows, self.cols, channels)


def describes_a_frame(metadata: Metadata, capacity_bytes: int) -> bool:
    """Whether metadata can be believed: nothing in it leads outside the slot or contradicts itself."""
    try:
        encoding = Encoding(metadata.encoding)
    except ValueError:
        return False
    if not (1 <= metadata.rows <= _MAX_SIDE and 1 <= metadata.cols <= _MAX_SIDE):
        return False
    if not 1 <= metadata.payload_bytes <= capacity_bytes:
        return False
    if encoding.compressed:
        return True
    least = metadata.cols * encoding.bytes_per_pixel
    stride = metadata.row_stride_bytes
    return stride >= least and stride % encoding.sample_bytes == 0 and stride * metadata.rows == metadata.payload_bytes

"""What a camera is to the worker, and what a frame of it has to be before anybody else sees it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from capture_worker import jpeg
from shm import Encoding
from supervision.lifeline import ErrorCode

WAIT_SLICE_S = 0.1  # how long a camera waits for its next frame before it lets the worker's loop turn
CAPTURE_MARGIN_S = 0.5  # what a capture may take beyond `capture_timeout_s`


class CameraError(Exception):
    """The camera cannot do its work. The message is a sentence for the operator."""

    code: ClassVar[ErrorCode]


class CameraAbsentError(CameraError):
    """There is no such device, file or host."""

    code = "absent"


class OpenFailedError(CameraError):
    """It is there, but does not open or stream."""

    code = "open_failed"


class ReadFailedError(CameraError):
    """A read brought no frame. A few in a row are tolerated."""

    code = "read_failed"


class CorruptFrameError(CameraError):
    """A read brought something that is no frame. A few in a row are tolerated."""

    code = "corrupt"


class ParametersRejectedError(CameraError):
    """The camera does not take these parameters, although they fit its spec."""

    code = "parameters"


class MisconfiguredError(CameraError):
    """What the configuration names is no camera, and trying again will not make it one."""

    code = "bad_configuration"


class UnsupportedRequestError(Exception):
    """The camera class makes no picture of what a client asked for. The message is a sentence for the client."""


class EndOfVideoError(Exception):
    """The video has no more frames: this is success."""


@dataclass(frozen=True)
class CapturedFrame:
    """One valid frame.

    `payload` is C-contiguous: (rows, cols[, channels]) of uint8 or little-endian uint16, or (n,) of uint8 for JPEG.
    `captured_ns` is CLOCK_MONOTONIC, `lost` counts the frames that the camera knows it skipped before this one.
    `gain` and `exposure_s` are NaN when unknown.
    """

    payload: NDArray[Any]
    rows: int
    cols: int
    encoding: Encoding
    captured_ns: int
    lost: int = 0
    gain: float = math.nan
    exposure_s: float = math.nan

    @property
    def row_stride_bytes(self) -> int:
        """Bytes from one row to the next; 0 for JPEG."""
        return 0 if self.encoding.compressed else self.payload.nbytes // self.rows


@dataclass(frozen=True)
class Description:
    """What an open camera knows about itself. `fps` is measured or declared, None if neither is plausible.

    `param_spec` is its `bosdyn.api.DictParam.Spec` in protobuf's JSON mapping (see `shm.parameters`), None if it has no
    parameters. `own_decode` names the (image format, pixel format) pairs, as numbers of the proto, that the camera
    class's own `image_decode` makes; None if pictures are made of the frames in the ring. `found` is what a worker that
    takes over the same device after a crash has to know of it.
    """

    driver: str
    fps: float | None
    param_spec: dict[str, Any] | None = None
    own_decode: tuple[tuple[int, int], ...] | None = None
    found: dict[str, Any] | None = None


class Camera(Protocol):
    """A source of frames, inside `with`.

    `capture_limit_s` is the longest that `capture` may take while nothing is broken: the worker promises it.
    """

    capture_limit_s: float

    def __enter__(self) -> "Camera":
        """Open it. Raises CameraAbsentError or OpenFailedError."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close it."""
        ...

    def describe(self) -> Description:
        """Say what was found out while opening."""
        ...

    def apply(self, values: Mapping[str, Any]) -> None:
        """Use completed parameters (see `shm.parameters`) from now on, and deliver only what is exposed from now on.

        A capture that is under way is abandoned. Raises ParametersRejectedError, or ReadFailedError for a camera that
        is gone. A camera without a `param_spec` gets no parameters, and only drops what is queued.
        """
        ...

    def capture(self) -> CapturedFrame | None:
        """Return the next frame, or None when none was due within `WAIT_SLICE_S`.

        Raises ReadFailedError or CorruptFrameError (try again, a few times), or EndOfVideoError.
        """
        ...


class DecodingCamera(Camera, Protocol):
    """A camera that makes pictures of its frames itself: its `Description` has an `own_decode`."""

    def decode(self, image_request: Mapping[str, Any]) -> bytes:
        """Make a picture of the frame that was captured last: a serialized `bosdyn.api.Image`.

        `image_request` is a `bosdyn.api.ImageRequest` in protobuf's JSON mapping. Raises UnsupportedRequestError for
        what the class cannot make, any other CameraError for what it fails to make.
        """
        ...


_LARGEST_SIDE = 65535  # of what a ring can describe; no JPEG can be larger
_RAW_KINDS = {
    ("uint8", 1): Encoding.MONO8,
    ("uint8", 3): Encoding.BGR8,
    ("uint8", 4): Encoding.BGRA8,
    ("uint16", 1): Encoding.MONO16,
}


def raw_frame(pixels: object, captured_ns: int, *, lost: int = 0, depth: bool = False) -> CapturedFrame:
    """Check decoded pixels and make a frame of them; a copy only if they are not contiguous.

    Accepts (rows, cols[, 1, 3 or 4]) of uint8 and (rows, cols[, 1]) of uint16, which is DEPTH16 if `depth` says so,
    else MONO16. Raises CorruptFrameError for anything else.
    """
    if not isinstance(pixels, np.ndarray):
        raise CorruptFrameError(f"the camera returned {type(pixels).__name__} instead of pixels")
    channels = {2: 1, 3: pixels.shape[-1]}.get(pixels.ndim, 0)
    encoding = _RAW_KINDS.get((pixels.dtype.name, channels))
    if encoding is None or pixels.size == 0:
        raise CorruptFrameError(f"the camera returned an array {pixels.shape} of {pixels.dtype}, which is no picture")
    if depth and encoding is Encoding.MONO16:
        encoding = Encoding.DEPTH16
    rows, cols = pixels.shape[:2]
    if max(rows, cols) > _LARGEST_SIDE:
        raise CorruptFrameError(
            f"the camera returned {cols} x {rows} pixels; no side may have more than {_LARGEST_SIDE}"
        )
    whole = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return CapturedFrame(whole, rows, cols, encoding, captured_ns, lost)


def jpeg_frame(data: object, captured_ns: int, *, size: tuple[int, int] | None = None, lost: int = 0) -> CapturedFrame:
    """Check a JPEG without decoding it and make a frame of it, without what a driver padded it with.

    `data` is an array of uint8 with the bytes in any shape; `size` is the (rows, cols) that was negotiated with the
    device. Raises CorruptFrameError.
    """
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
        raise CorruptFrameError(f"the camera returned {type(data).__name__} instead of a JPEG")
    flat = np.ascontiguousarray(data).reshape(-1)
    try:
        found = jpeg.inspect(flat.tobytes(), size)
    except jpeg.BrokenJpegError as error:
        raise CorruptFrameError(f"the camera returned a broken JPEG: {error}") from error
    return CapturedFrame(flat[: found.length_bytes], found.rows, found.cols, Encoding.JPEG, captured_ns, lost)

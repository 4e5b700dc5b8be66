"""Pictures by the user's own `image_decode`: called as the SDK calls it, and checked."""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from bosdyn.api import image_pb2
from google.protobuf import json_format

from capture_worker import own_picture
from capture_worker.camera import CapturedFrame, CorruptFrameError, UnsupportedRequestError
from capture_worker.camera_data import frame_of
from capture_worker.camera_loading import UserCamera, accepts, in_words
from capture_worker.own_picture import ANY, JPEG, RAW, RGB, RGBA, RLE

Size = tuple[int, int]  # rows, cols
Pairs = tuple[tuple[int, int], ...]  # image format, pixel format

_ALL = tuple(own_picture.SAMPLES)
_WIDE = (own_picture.DEPTH, own_picture.GREY_16)  # no JPEG holds them
_MOST_TOLD = 10  # kinds of failures: a sentence may have another number in it each time
_QUALITY = 75.0
_BEST_QUALITY = 95.0  # of a picture that others will be made of

_log = logging.getLogger(__name__)


class OwnDecoder:
    """Calls the `image_decode` of one camera. Each call is made where `blocking_capture` is: in the main thread.

    `method` is what to call it in a sentence, `pairs` is what `probe` found.
    """

    def __init__(self, user: UserCamera, *, rgb: bool) -> None:
        self.method = f"{user.class_name}.image_decode"
        self.pairs: Pairs = ()
        self._user = user
        self._rgb = rgb
        self._takes_request = _takes_request(user.camera.image_decode)
        self._frames_as: Any = None
        self._told: set[str] = set()
        self._chooses_in: set[int] = set()  # the image formats whose pixel format may be left to the class

    def probe(self, data: Any, size: Size) -> None:
        """Find out, by trying, which (image format, pixel format) the class makes of this data.

        Raises CorruptFrameError if there is none, with the reason of the first failure.
        """
        tries = [(form, pixels) for form in (JPEG, RAW, RLE) for pixels in self._user.pixel_formats or _ALL]
        working, failures = [], []
        for pair in tries:
            try:
                image = self._attempt(data, size, self._request(*pair))
            except CorruptFrameError as error:
                failures.append(error)
                continue
            working.append(pair)
            if pair == (RAW, RGB) and not self._rgb:
                self._compare_channels(data, image)
        if not working:
            self._tell(failures[0])
            raise failures[0]
        if RGBA not in self._user.pixel_formats and (RAW, RGBA) not in working:
            # It repeats the word of the request: clients who find RGBA advertised would ask for it in RAW too.
            working = [pair for pair in working if pair != (JPEG, RGBA)] or working
        self.pairs = tuple(working)
        self._chooses_in = {form for form, _ in working if self._makes(data, size, form, ANY)}
        _log.info("%s makes %s", self.method, ", ".join(own_picture.shown(*pair) for pair in working))

    def requested(self, image_request: Mapping[str, Any]) -> Any:
        """Parse a request from protobuf's JSON. Raises UnsupportedRequestError for what the class does not make."""
        try:
            request = json_format.ParseDict(dict(image_request), image_pb2.ImageRequest())
        except json_format.ParseError as error:
            raise UnsupportedRequestError(f"this is no ImageRequest: {error}") from error
        wanted = request.image_format, request.pixel_format
        makes = [pair for pair in self.pairs if all(want in (ANY, has) for want, has in zip(wanted, pair, strict=True))]
        if not makes:
            raise UnsupportedRequestError(f"{self.method} makes no {own_picture.shown(*wanted)}")
        request.image_format = makes[0][0]  # not every class knows what to make of UNKNOWN
        if request.image_format not in self._chooses_in:
            request.pixel_format = makes[0][1]
        return request

    def _makes(self, data: Any, size: Size, image_format: int, pixel_format: int) -> bool:
        try:
            self._attempt(data, size, self._request(image_format, pixel_format))
        except CorruptFrameError:
            return False
        return True

    def make(self, data: Any, size: Size, request: Any) -> Any:
        """Have the class make an `image_pb2.Image` for a client; the log shows where an exception came from.

        Raises UnsupportedRequestError if only this request is too much for the class, which makes a plain picture of
        the same data; else CorruptFrameError.
        """
        try:
            return self._told_attempt(data, size, request)
        except CorruptFrameError as failure:
            if not _is_plain(request) and self._makes(data, size, *self.pairs[0]):
                raise UnsupportedRequestError(str(failure)) from failure
            raise

    def _told_attempt(self, data: Any, size: Size, request: Any) -> Any:
        try:
            return self._attempt(data, size, request)
        except CorruptFrameError as failure:
            self._tell(failure)
            raise

    def _tell(self, failure: CorruptFrameError) -> None:
        """Log a failure once per kind: the type of the class's own exception, with its stack, or the sentence."""
        error = failure.__cause__
        kind = str(failure) if error is None else type(error).__name__
        if kind not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(kind)
            _log.warning("%s", failure, exc_info=error)

    def _attempt(self, data: Any, size: Size, request: Any) -> Any:
        image = image_pb2.Image(rows=size[0], cols=size[1], format=request.image_format)
        decode = self._user.camera.image_decode
        try:
            if self._takes_request:
                decode(data, image, request)
            else:
                decode(data, image, request.image_format, request.quality_percent)
        except (Exception, SystemExit) as error:
            raise CorruptFrameError(f"{self.method} raised {in_words(error)}") from error
        own_picture.complete(image)
        if wrong := own_picture.problem(image, request.image_format, request.pixel_format):
            raise CorruptFrameError(f"{self.method} {wrong}")
        return image

    def frame(self, data: Any, captured_ns: int) -> CapturedFrame:
        """Have the class make the frame itself, of data that no ring holds. Raises CorruptFrameError."""
        size = self._user.advertised_size
        if self._frames_as is None:
            self._frames_as = self._first_that_works(data, size)
        image = self._told_attempt(data, size, self._frames_as)
        picture = image.data if image.format == JPEG else own_picture.pixels(image)
        frame = frame_of(picture, captured_ns, depth=image.pixel_format == own_picture.DEPTH, rgb=True)
        if frame is None:
            raise CorruptFrameError(f"{self.method} made no picture that a ring holds")
        return frame

    def _first_that_works(self, data: Any, size: Size) -> Any:
        """Choose how frames are made: 16 bits where the source has them, else as a JPEG, which every class makes."""
        declared = self._user.pixel_formats
        ways = [(RAW, wide) for wide in _WIDE if wide in declared]
        ways += [(JPEG, ANY), *((RAW, narrow) for narrow in declared if narrow not in _WIDE), (RAW, ANY)]
        failures = []
        for way in ways:
            request = self._request(*way, _BEST_QUALITY)
            try:
                self._attempt(data, size, request)
            except CorruptFrameError as error:
                failures.append(error)
            else:
                return request
        self._tell(failures[0])
        raise failures[0]

    def _request(self, image_format: int, pixel_format: int, quality_percent: float = _QUALITY) -> Any:
        return image_pb2.ImageRequest(
            image_source_name=self._user.name,
            image_format=image_format,
            pixel_format=pixel_format,
            quality_percent=quality_percent,
        )

    def _compare_channels(self, data: Any, image: Any) -> None:
        """Say it when captured pixels are passed on unchanged as RGB: OpenCV's are not, and the tutorial does that."""
        if isinstance(data, np.ndarray) and data.shape == (image.rows, image.cols, 3) and image.data == data.tobytes():
            _log.warning(
                "%s sends the pixels as they were captured and calls them RGB. If they are OpenCV's, red and blue are "
                'swapped in RAW; image_decode = "pipeline" mends that',
                self.method,
            )


def _is_plain(request: Any) -> bool:
    """Whether it asks for no more than its formats, which were tried while opening."""
    return request.resize_ratio in (0.0, 1.0) and request.quality_percent in (0.0, _QUALITY)


def _takes_request(decode: Callable[..., Any]) -> bool:
    """Tell (data, proto, request) from the SDK's method before 3.1: (data, proto, image_format, quality_percent)."""
    try:
        signature = inspect.signature(decode)
    except ValueError:
        return True
    third = list(signature.parameters)[2:3]
    return third != ["image_format"] and accepts(signature, None, None, None)

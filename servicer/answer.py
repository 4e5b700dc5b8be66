"""Answers as they go over the wire: what is around a picture is serialized once, and its bytes are copied once.

A protobuf message around a picture of 6 MB costs several copies of it, for every client. So a message is made without
the picture, which is put into its place afterwards: a field is its number, its length and its bytes, and so is the
message that holds it. tests/servicer/test_answer.py compares with what protobuf itself makes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bosdyn.api import image_pb2

from servicer.custom_parameters import Parameters
from servicer.picture import Encoded

_PICTURE = ("shot", "image", "data")  # its place in an ImageResponse
_LONGEST_EXPOSURE_S = 3600.0  # beyond is a driver's mistake (some say "infinite")
_LENGTH_DELIMITED = 2  # protobuf's wire type of messages and bytes
_RESPONSE = image_pb2.GetImageResponse.DESCRIPTOR.fields_by_name


@dataclass(frozen=True, eq=False)
class Answer:
    """An `ImageResponse` that may be sent any number of times.

    `message` is all of it but the bytes of the picture, `head` the same as the beginning of its field in the response,
    which `data` ends. `captured_ns` is None where there is no picture.
    """

    message: Any
    head: bytes
    data: bytes = b""
    captured_ns: int | None = None


def with_picture(encoded: Encoded, source: Any, shot: Any, robot_ns: int, parameters: Parameters) -> Answer:
    """The answer with a picture. `source` describes it; `shot` says where the camera is, and is completed."""
    answer = image_pb2.ImageResponse(status=image_pb2.ImageResponse.STATUS_OK, source=source)
    shot.acquisition_time.FromNanoseconds(robot_ns)
    shot.image.rows, shot.image.cols = encoded.rows, encoded.cols
    shot.image.format, shot.image.pixel_format = encoded.wanted.image_format, encoded.wanted.pixel_format
    if math.isfinite(encoded.gain) and encoded.gain >= 0:  # NaN: unknown; -1: some drivers' way to say so
        shot.capture_params.gain = encoded.gain
    if 0 < encoded.exposure_s <= _LONGEST_EXPOSURE_S:
        shot.capture_params.exposure_duration.FromNanoseconds(round(encoded.exposure_s * 1e9))
    if parameters.message is not None:
        shot.capture_params.custom_params.CopyFrom(parameters.message)
    answer.shot.CopyFrom(shot)
    around = _around(answer, _PICTURE, len(encoded.data))
    head = _field(_RESPONSE["image_responses"], len(around) + len(encoded.data)) + around
    return Answer(answer, head, encoded.data, encoded.captured_ns)


def without_picture(message: Any) -> Answer:
    """The answer that this `ImageResponse` is."""
    return Answer(message, _whole(_RESPONSE["image_responses"], message))


def joined(header: Any, answers: Iterable[Answer]) -> bytes:
    """The serialized `GetImageResponse` with this header."""
    parts = [_whole(_RESPONSE["header"], header)]
    for answer in answers:
        parts += (answer.head, answer.data)
    return b"".join(parts)


def _around(message: Any, path: tuple[str, ...], data_bytes: int) -> bytes:
    """Serialize a message so that so many bytes for the field at `path` may follow."""
    name, *inner_path = path
    field = message.DESCRIPTOR.fields_by_name[name]
    if not inner_path:
        return message.SerializeToString() + _field(field, data_bytes)  # type: ignore[no-any-return]
    inner = _around(getattr(message, name), tuple(inner_path), data_bytes)
    others = type(message)()
    others.CopyFrom(message)
    others.ClearField(name)
    return others.SerializeToString() + _field(field, len(inner) + data_bytes) + inner  # type: ignore[no-any-return]


def _whole(field: Any, message: Any) -> bytes:
    inner = message.SerializeToString()
    return _field(field, len(inner)) + inner  # type: ignore[no-any-return]


def _field(field: Any, length: int) -> bytes:
    """What stands in front of a field's bytes: its number and how many they are."""
    return _varint(field.number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

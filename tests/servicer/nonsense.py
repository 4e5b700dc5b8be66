"""Everything that a client could send in place of a sensible GetImage call, from a seed."""

import math
import random
import struct
from collections.abc import Callable
from typing import Any

from bosdyn.api import image_pb2

from tests.servicer import bare_http2

_NAMES = ("front", "rear", "", "front ", "nobody", "\0", "front\n", "ﬀront", "📷", "x" * 300, "ü" * 5000)
_KEYS = ("gain", "exposure", "Gain", "", "\0", "📷", "x" * 200)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 75.0, 100.0, 101.0, 5e-324, -5e-324, 2.2e-308, 1e-9, 1.8e308, 1e300, -1e300)
_NO_NUMBERS = (math.nan, -math.nan, math.inf, -math.inf)
_INTEGERS = (0, 1, -1, 2, 3, 6, 7, 255, 2**31 - 1, -(2**31))
_LISTS = "append"


class Nonsense:
    """One client's imagination. The same seed imagines the same."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311  no secret
        self._makers: tuple[Callable[[], bytes], ...] = (self._message, self._mutated, self._bytes)

    def message(self) -> bytes:
        """What is sent as a GetImageRequest; mostly it is one."""
        (make,) = self._random.choices(self._makers, (70, 22, 8))
        return make()

    def conversation(self) -> bytes:
        """What is sent on a plain connection to a gRPC server."""
        call = bare_http2.GREETING + bare_http2.opening() + bare_http2.request(self._message()[:16_000])
        kind = self._random.randrange(5)
        if kind == 0:
            return self._random.randbytes(self._random.randrange(1, 500))
        if kind == 1:  # half of a frame, or of the greeting
            return call[: self._random.randrange(1, len(call))]
        if kind == 2:
            return self._changed(call)
        if kind == 3:
            return bare_http2.GREETING + self._frames()
        return bare_http2.GREETING + bare_http2.opening(path="/" + "a" * self._random.randrange(120)) + self._frames()

    def _frames(self) -> bytes:
        number, any_frame = self._random.randrange, bare_http2.frame
        frames = [any_frame(number(12), number(256), number(5), self._random.randbytes(number(40))) for _ in range(9)]
        return b"".join(frames)

    def _message(self) -> bytes:
        request = image_pb2.GetImageRequest()
        if self._random.random() < 0.3:
            self._fill(request.header, 2)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3, 8, 40))):
            self._imagine_entry(request.image_requests.add())
        serialized: bytes = request.SerializeToString()
        return serialized + self._unknown_field() if self._random.random() < 0.1 else serialized

    def _imagine_entry(self, entry: Any) -> None:
        entry.image_source_name = self._random.choice(_NAMES[:2] * 8 + _NAMES)
        for field in entry.DESCRIPTOR.fields[1:-1]:  # all but the name and the parameters
            if self._random.random() < 0.4:
                self._set(entry, field, 1)
        if self._random.random() < 0.05:
            entry.image_format = self._random.randrange(4)
            entry.pixel_format = self._random.randrange(8)
        if self._random.random() < 0.3:
            self._fill(entry.custom_params, self._random.choice((1, 2, 3, 8)))
        elif self._random.random() < 0.05:
            self._nest(entry.custom_params, self._random.randrange(51))

    def _nest(self, parameters: Any, depth: int) -> None:
        for _ in range(depth):
            parameters = parameters.values[self._random.choice(_KEYS)].dict_value

    def _fill(self, message: Any, depth: int) -> None:
        for field in message.DESCRIPTOR.fields:
            if self._random.random() < 0.6:
                self._set(message, field, depth)

    def _set(self, message: Any, field: Any, depth: int) -> None:
        value = getattr(message, field.name)
        if field.message_type is None:
            if hasattr(value, _LISTS):
                value.extend(self._scalar(field) for _ in range(self._random.randrange(4)))
            else:
                setattr(message, field.name, self._scalar(field))
        elif depth > 0:
            if field.message_type.GetOptions().map_entry:
                for _ in range(self._random.randrange(3)):
                    self._imagine_parameter(value[self._random.choice(_KEYS)], depth)
            elif hasattr(value, _LISTS):
                self._fill(value.add(), depth - 1)
            else:
                value.SetInParent()
                self._fill(value, depth - 1)

    def _imagine_parameter(self, parameter: Any, depth: int) -> None:
        if "double_value" in parameter.DESCRIPTOR.fields_by_name and self._random.random() < 0.5:
            parameter.double_value.value = self._float()
        else:
            self._fill(parameter, depth - 1)

    def _scalar(self, field: Any) -> Any:
        if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
            return self._float()
        if field.cpp_type == field.CPPTYPE_STRING:
            return self._text().encode() if field.type == field.TYPE_BYTES else self._text()
        if field.cpp_type == field.CPPTYPE_BOOL:
            return self._random.random() < 0.5
        unsigned = field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
        return abs(self._integer()) if unsigned else self._integer()

    def _float(self) -> float:
        kind = self._random.randrange(4)
        if kind == 0:
            return float(struct.unpack("<d", self._random.randbytes(8))[0])
        return (self._random.random(), self._random.choice(_FLOATS), self._random.choice(_NO_NUMBERS))[kind - 1]

    def _integer(self) -> int:
        return self._random.choice((*_INTEGERS, self._random.randrange(-(2**31), 2**31)))

    def _text(self) -> str:
        return self._random.choice((*_NAMES, chr(self._random.randrange(0xD800)) * self._random.randrange(50)))

    def _unknown_field(self) -> bytes:
        return b"\xfa\x7f" + bytes([100]) + self._random.randbytes(100)  # number 2047, with its length

    def _mutated(self) -> bytes:
        return self._changed(self._message())

    def _changed(self, message: bytes) -> bytes:
        changed = bytearray(message)
        for _ in range(self._random.randrange(1, 8)):
            at = self._random.randrange(len(changed) + 1)
            cut = self._random.choice((0, 1, 1, 1, 4, 50))
            changed[at : at + cut] = self._random.randbytes(self._random.choice((0, 1, 1, 1, 5)))
        return bytes(changed)

    def _bytes(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 10, 1000, 100_000, 300_000)))

"""What a servicer may ask of a capture worker, beside looking at its frames: one packet each way.

The worker listens on an abstract Unix socket (SOCK_SEQPACKET) that is named like its ring, and answers in any order;
`number` says which request an answer belongs to. Abstract addresses have no owner: either end asks for the other's
uid (`peer_uid`) before it believes anything. Frames never travel here: an answer names one that is in the ring.
"""

import functools
import json
import socket
import struct
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from shm import names

if TYPE_CHECKING:
    from pydantic import TypeAdapter

PACKET_BYTES = 64 << 10  # the longest packet; with its header it fits any system's socket buffer

_UCRED = struct.Struct("3i")  # pid, uid, gid

Kind = Literal[
    "capture",  # publish a frame with these parameters whose exposure begins after now, and name it
    "decode",  # a picture of a fresh frame by the camera class's own `image_decode`
    "keep",  # somebody still looks: go on capturing. Not answered
    "forget",  # nobody waits any more for the request with this number: leave it. Not answered
]
Failure = Literal[
    "camera",  # no frame, for the reason in the text
    "picture",  # a frame, of which the camera class makes no picture although it should, for the reason in the text
    "parameters",  # the camera rejects these parameters
    "unsupported",  # the camera class does not make a picture of what was asked
    "busy",  # too many wait already
]


@dataclass(frozen=True)
class CaptureRequest:
    """`until_ns` is the CLOCK_MONOTONIC time beyond which nobody waits for the answer.

    `parameters` are completed values (see `shm.parameters`), `params_id` their id in hexadecimal. `image_request` is,
    for "decode", the `bosdyn.api.ImageRequest` in protobuf's JSON mapping.
    """

    number: int
    kind: Kind
    until_ns: int
    params_id: str
    parameters: dict[str, Any] = field(default_factory=dict)
    image_request: dict[str, Any] = field(default_factory=dict)

    def to_packet(self) -> bytes:
        """Serialize. Raises ValueError for more than fits into a packet."""
        return _packet(self)

    @classmethod
    def from_packet(cls, packet: bytes) -> "CaptureRequest":
        """Parse what `to_packet` made. Raises ValueError for anything else."""
        return _requests().validate_json(packet, strict=True)


@dataclass(frozen=True)
class CaptureAnswer:
    """Either a frame or a failure with the operator's sentence.

    `begun_ns` is when the worker began with the capture: it also serves whoever asked before then. To "decode", a file
    descriptor comes with the packet: a memfd with a serialized `bosdyn.api.Image` of the frame.
    """

    number: int
    frame_number: int | None = None
    captured_ns: int | None = None
    begun_ns: int | None = None
    failure: Failure | None = None
    text: str = ""

    def to_packet(self) -> bytes:
        """Serialize."""
        return _packet(self)

    @classmethod
    def from_packet(cls, packet: bytes) -> "CaptureAnswer":
        """Parse what `to_packet` made. Raises ValueError for anything else."""
        return _answers().validate_json(packet, strict=True)


def address(instance: str, camera: str) -> str:
    """The abstract address at which a camera's worker listens."""
    return "\0" + names.segment_name(instance, camera)[1:]


def peer_uid(connected: socket.socket) -> int:
    """Whose process is at the other end (SO_PEERCRED)."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(credentials)[1])


def _packet(message: "CaptureRequest | CaptureAnswer") -> bytes:
    packet = json.dumps(asdict(message), separators=(",", ":")).encode()
    if len(packet) > PACKET_BYTES:
        raise ValueError(f"{len(packet)} bytes; a packet has at most {PACKET_BYTES}")
    return packet


@functools.cache
def _requests() -> "TypeAdapter[CaptureRequest]":
    from pydantic import TypeAdapter  # noqa: PLC0415  only who listens needs it

    return TypeAdapter(CaptureRequest)


@functools.cache
def _answers() -> "TypeAdapter[CaptureAnswer]":
    from pydantic import TypeAdapter  # noqa: PLC0415  only who asks needs it

    return TypeAdapter(CaptureAnswer)

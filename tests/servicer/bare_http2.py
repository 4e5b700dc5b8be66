"""HTTP/2 as far as clients need it who do not keep to it: frames on plain sockets, and what to do with them.

`python -m tests.servicer.bare_http2 PORT SILENT IDLE STOPPED` opens so many connections that say nothing at all, that
say nothing after the greeting, and that ask for a RAW image of "front" which they never read; it says so in a line, and
holds them until its stdin ends.
"""

import resource
import socket
import struct
import sys
from collections.abc import Iterator

from bosdyn.api import image_pb2

DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_STREAM, _END_HEADERS = 1, 4
_FRAME_HEADER_BYTES = 9
_INITIAL_WINDOW_SIZE = 4
_LARGEST_WINDOW = 2**31 - 1
_PATH = "/bosdyn.api.ImageService/GetImage"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS)
GREEDY_GREETING = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(SETTINGS, payload=struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW))
    + frame(WINDOW_UPDATE, payload=struct.pack(">I", _LARGEST_WINDOW - 65535))
)


def opening(stream: int = 1, path: str = _PATH) -> bytes:
    """The beginning of a call; its request is to follow."""
    fields = b"\x83\x86" + b"\x04" + _text(path) + b"\x01" + _text("front")  # POST, http, :path and :authority
    fields += b"".join(b"\x00" + _text(name) + _text(value) for name, value in _OTHER_FIELDS)
    return frame(HEADERS, _END_HEADERS, stream, fields)


_OTHER_FIELDS = (("te", "trailers"), ("content-type", "application/grpc"))


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def request(message: bytes, stream: int = 1) -> bytes:
    """The only request of a call."""
    return frame(DATA, _END_STREAM, stream, b"\0" + struct.pack(">I", len(message)) + message)


def asking_for_raw() -> bytes:
    """A whole call for a large picture."""
    entry = image_pb2.ImageRequest(image_source_name="front", image_format=image_pb2.Image.FORMAT_RAW)
    message = image_pb2.GetImageRequest(image_requests=[entry]).SerializeToString()
    return opening() + request(message)


def connected(port: int, said: bytes) -> socket.socket:
    """A connection on which this was said."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(said)
    return connection


def wait_for_answer(connection: socket.socket, stream: int = 1) -> None:
    """Read until the headers of the answer to this call are there. TimeoutError, EOFError if they do not come."""
    unread = b""
    while True:
        while len(unread) >= _FRAME_HEADER_BYTES + (length := int.from_bytes(unread[:3], "big")):
            if (unread[3], int.from_bytes(unread[5:9], "big")) == (HEADERS, stream):
                return
            unread = unread[_FRAME_HEADER_BYTES + length :]
        if not (chunk := connection.recv(65536)):
            raise EOFError("the connection was closed")
        unread += chunk


def main() -> None:
    """Open all connections, and hold them."""
    port, *counts = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def all_of_them() -> Iterator[socket.socket]:
        says = (b"", GREETING, GREEDY_GREETING + asking_for_raw())
        for said, count in zip(says, counts, strict=True):
            for _ in range(count):
                yield connected(port, said)

    held = list(all_of_them())
    sys.stdout.write(f"{len(held)}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

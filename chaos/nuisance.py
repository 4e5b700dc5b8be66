"""Clients that ask for what nobody should ask for. Nobody else may notice.

`python -m chaos.nuisance HOST PORT` does what the lines on its stdin say: `<kind> <figure>`. It ends with its stdin.
`python -m chaos.nuisance HOST PORT greedy` asks for very much without a deadline, and is stopped by whoever started it.
"""

import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from bosdyn.api import image_pb2, image_service_pb2_grpc

_IMAGE = image_pb2.Image
_HELD_S = 4.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_GREEDY_CALLS = 20
_OPTIONS = [
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_receive_message_length", 100 << 20),
    ("grpc.use_local_subchannel_pool", 1),
]
_GREEDY_OPTIONS = [*_OPTIONS, ("grpc.http2.lookahead_bytes", 16 << 10), ("grpc.http2.bdp_probe", 0)]


class Nuisance:
    """Each method is a kind of fault of the plan; `figure` is its parameter."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._channel = grpc.insecure_channel(f"{host}:{port}", options=_OPTIONS)
        self._stub = image_service_pb2_grpc.ImageServiceStub(self._channel)

    def many_entries(self, figure: float) -> None:
        """Ask for the same image very often in one call."""
        self._ask([image_pb2.ImageRequest(image_source_name="front")] * int(figure))

    def large_request(self, figure: float) -> None:
        """Send a request of so many kB."""
        self._ask([image_pb2.ImageRequest(image_source_name="x" * int(figure * 1000))])

    def odd_request(self, figure: float) -> None:
        """Ask for what cannot be done."""
        odd: list[dict[str, Any]] = [
            {"resize_ratio": float("nan")},
            {"resize_ratio": -1e300, "quality_percent": float("inf")},
            {"image_format": 999},
            {"pixel_format": -1},
            {"fallback_formats": [999] * 1000},
            {"image_source_name": "nobody"},
            {"image_source_name": "../front\n\x00"},
        ]
        for camera in ("front", "rear", "top"):
            request = {"image_source_name": camera, **odd[min(int(figure), len(odd) - 1)]}
            self._ask([image_pb2.ImageRequest(**request)])

    def raw_bytes(self, figure: float) -> None:
        """Send so many bytes of noise, with and without the preface of HTTP/2."""
        noise = random.Random(figure).randbytes(int(figure))  # noqa: S311  no secrecy
        for data in (noise, _PREFACE + noise):
            with socket.create_connection(self._address, timeout=1) as connection:
                connection.sendall(data)

    def silent_connections(self, figure: float) -> None:
        """Open so many connections and say nothing for a while."""
        connections = [socket.create_connection(self._address, timeout=1) for _ in range(int(figure))]
        time.sleep(_HELD_S)
        for connection in connections:
            connection.close()

    def _ask(self, entries: list[Any]) -> None:
        try:
            self._stub.GetImage(image_pb2.GetImageRequest(image_requests=entries), timeout=2)
        except grpc.RpcError:
            return


def _greedy(host: str, port: int) -> None:
    with grpc.insecure_channel(f"{host}:{port}", options=_GREEDY_OPTIONS) as channel:
        stub = image_service_pb2_grpc.ImageServiceStub(channel)
        entry = image_pb2.ImageRequest(image_source_name="front", image_format=_IMAGE.FORMAT_RAW)
        calls = [stub.GetImage.future(image_pb2.GetImageRequest(image_requests=[entry])) for _ in range(_GREEDY_CALLS)]
        sys.stdout.write(f"{len(calls)}\n")
        sys.stdout.flush()
        signal.pause()


def _do(action: Callable[[float], None], figure: float) -> None:
    try:
        action(figure)
    except OSError:  # refused, reset, broken pipe: what the service should do with such clients
        return


def main() -> None:
    """Be a nuisance until stdin ends."""
    host, port = sys.argv[1], int(sys.argv[2])
    if sys.argv[3:] == ["greedy"]:
        _greedy(host, port)
        return
    nuisance = Nuisance(host, port)
    for line in sys.stdin:
        kind, figure = line.split()
        threading.Thread(target=_do, args=(getattr(nuisance, kind), float(figure)), daemon=True).start()


if __name__ == "__main__":
    main()

"""A caller on another address: asks for everything that there is, and writes down what came of it as JSON.

`python -m tests.servicer.foreign_caller HOST PORT`: per method the status, and at the end every byte that the server
sent on a plain connection with a call of its own. Imports only the standard library and gRPC.
"""

import json
import socket
import sys
from typing import Any

import grpc

from tests.servicer.bare_http2 import GREETING, asking_for_raw, opening

METHODS = (
    "/bosdyn.api.ImageService/GetImage",
    "/bosdyn.api.ImageService/ListImageSources",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/there.is/NoSuchMethod",
)


def status_of(channel: grpc.Channel, path: str, message: bytes) -> str:
    """How the call ends."""
    method: Any = channel.unary_unary(path)
    try:
        method(message, timeout=10)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def everything_sent(host: str, port: int, said: bytes) -> bytes:
    """What the server sends until it is silent for a second."""
    with socket.create_connection((host, port), timeout=1) as connection:
        connection.sendall(GREETING + said)
        sent = b""
        try:
            while chunk := connection.recv(65536):
                sent += chunk
        except TimeoutError:
            pass
    return sent


def main() -> None:
    """Call, and tell."""
    host, port = sys.argv[1], int(sys.argv[2])
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        told: dict[str, Any] = {path: status_of(channel, path, b"") for path in METHODS}
    told["asked"] = len(everything_sent(host, port, asking_for_raw()))
    refusal = everything_sent(host, port, opening())  # the request itself never comes
    told["refused without a request"] = b"this address" in refusal
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

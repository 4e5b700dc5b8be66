"""What the transport alone manages: `python -m bench.ceiling_server FOLDER`.

The server of the pipeline's servicer, with its options, threads and admission, and a service that has nothing to do:
for each request it knows the bytes of an answer that the pipeline gave.
"""

import sys
from pathlib import Path
from typing import Any, cast

import grpc

from servicer import memory, server
from servicer.peers import AllowedPeers


class Answers:
    """Has an answer to each request that will come, both as bytes."""

    def __init__(self, folder: Path) -> None:
        self._answers = {
            request.read_bytes(): request.with_suffix(".answer").read_bytes() for request in folder.glob("*.request")
        }

    def GetImage(self, request: bytes, _context: grpc.ServicerContext) -> bytes:  # noqa: N802  gRPC's name
        """Give the answer."""
        return self._answers[request]

    def ListImageSources(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802  gRPC's name
        """Nobody asks for these."""
        raise NotImplementedError


def main() -> None:
    """Serve until stdin ends."""
    server.raise_descriptor_limit()
    memory.use_one_heap()
    answers = Answers(Path(sys.argv[1]))
    grpc_server = server.create(cast("Any", answers), AllowedPeers([]))
    as_bytes = grpc.unary_unary_rpc_method_handler(
        answers.GetImage, request_deserializer=bytes, response_serializer=bytes
    )
    grpc_server.add_registered_method_handlers("bosdyn.api.ImageService", {"GetImage": as_bytes})  # these come first
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    grpc_server.stop(None).wait()


if __name__ == "__main__":
    main()

"""What the transport alone manages: `python -m bench.ceiling_server FOLDER`.

A gRPC server with the options, threads and memory settings of the pipeline's servicer, without its admission, and with
nothing to do: for each request it knows the bytes of an answer that the pipeline gave.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from servicer import memory, server


def main() -> None:
    """Serve until stdin ends."""
    server.raise_descriptor_limit()
    memory.use_one_heap()
    memory.keep_what_was_freed()
    folder = Path(sys.argv[1])
    answers = {path.read_bytes(): path.with_suffix(".answer").read_bytes() for path in folder.glob("*.request")}

    def get_image(request: bytes, _context: grpc.ServicerContext) -> bytes:
        return answers[request]

    method: Any = grpc.unary_unary_rpc_method_handler(get_image)  # bytes to bytes
    grpc_server = grpc.server(
        ThreadPoolExecutor(server.CONCURRENT_CALLS),
        handlers=[grpc.method_handlers_generic_handler("bosdyn.api.ImageService", {"GetImage": method})],
        options=server.options(),
        maximum_concurrent_rpcs=server.CONCURRENT_CALLS,
    )
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    grpc_server.stop(None).wait()


if __name__ == "__main__":
    main()

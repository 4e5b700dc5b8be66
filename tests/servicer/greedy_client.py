"""A client that asks for very much, and does not take it: it is stopped by whoever started it.

Its HTTP/2 window is small, so that the server waits for the window and not for TCP: what a stopped client looks like
through a proxy.

`python -m tests.servicer.greedy_client PORT CALLS`
"""

import signal
import sys

import grpc
from bosdyn.api import image_pb2, image_service_pb2_grpc


def main() -> None:
    """Ask for RAW images without a deadline, say so, and wait to be killed."""
    options = [
        ("grpc.max_receive_message_length", 100 << 20),
        ("grpc.http2.lookahead_bytes", 16 << 10),
        ("grpc.http2.bdp_probe", 0),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=options) as channel:
        stub = image_service_pb2_grpc.ImageServiceStub(channel)
        raw = image_pb2.Image.FORMAT_RAW
        entry = image_pb2.ImageRequest(image_source_name="front", image_format=raw, resize_ratio=0.5)
        request = image_pb2.GetImageRequest(image_requests=[entry])
        calls = [stub.GetImage.future(request) for _ in range(int(sys.argv[2]))]
        sys.stdout.write(f"{len(calls)}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()

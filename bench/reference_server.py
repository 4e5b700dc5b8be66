"""The SDK's image service with the bench's cameras: `python -m bench.reference_server JSON`.

Its classes are as they come, its robot is the simulated one. The server is what `GrpcServiceRunner` makes, except that
it listens on the loopback alone, and the directory is not told of it.
"""

import inspect
import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from bosdyn.api import image_service_pb2_grpc
from bosdyn.client import create_standard_sdk
from bosdyn.client.channel import generate_channel_options
from bosdyn.client.image_service_helpers import CameraBaseImageServicer
from bosdyn.client.server_util import GrpcServiceRunner

from bench.camera import make_source


def main() -> None:
    """Serve until stdin ends."""
    settings = json.loads(sys.argv[1])
    logger = logging.getLogger("reference")
    sources = [make_source(**arguments) for arguments in settings["cameras"]]
    servicer = CameraBaseImageServicer(_robot(settings), "bench-reference", sources, logger)
    runner = inspect.signature(GrpcServiceRunner).parameters
    server = grpc.server(ThreadPoolExecutor(runner["max_workers"].default), options=generate_channel_options())
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"\nready {port}\n")  # the SDK writes there too
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None).wait()


def _robot(settings: dict[str, Any]) -> Any:
    sdk = create_standard_sdk("bench-reference", cert_resource_glob=settings["robot_ca"])
    robot = sdk.create_robot("127.0.0.1")
    robot.update_secure_channel_port(settings["robot_port"])
    robot.authenticate_from_payload_credentials("guid", "secret", retry_interval=0.01)
    return robot


if __name__ == "__main__":
    main()

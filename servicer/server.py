"""The gRPC server: its limits, and where it listens."""

import errno
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
from bosdyn.api import image_service_pb2_grpc

from servicer.admission import Admission
from servicer.image_service import ImageService
from servicer.peers import AllowedPeers

_CONCURRENT_CALLS = 512

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # the default lets a second server bind the same port and take half of the calls
    ("grpc.max_receive_message_length", 256 * 1024),
    ("grpc.max_concurrent_streams", 128),  # of one connection
    ("grpc.max_send_message_length", 100 << 20),  # what SDK clients accept
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),  # SDK clients ping every 5 s
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 4_000),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 300_000),
]


class PortInUseError(Exception):
    """The service's port cannot be had; the message says why, and what to do."""


def create(service: ImageService, peers: AllowedPeers) -> grpc.Server:
    """Make a server for the image service, not yet listening anywhere."""
    server = grpc.server(
        ThreadPoolExecutor(_CONCURRENT_CALLS, thread_name_prefix="request"),
        interceptors=[Admission(peers)],
        options=_OPTIONS,
        maximum_concurrent_rpcs=_CONCURRENT_CALLS,
    )
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(service, server)
    return server


def listen(server: grpc.Server, host_ip: str, port: int) -> None:
    """Listen on the registered address and the loopback, or on every address if the registered one is not ours.

    In a bridged container the robot is told an address of the host, which cannot be bound inside.
    Raises PortInUseError.
    """
    addresses = sorted({host_ip, "127.0.0.1"}) if _is_local(host_ip) else ["0.0.0.0"]
    for address in addresses:
        _require_free(address, port)
        try:
            server.add_insecure_port(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        except RuntimeError as error:
            raise PortInUseError(f"cannot listen on {address}:{port}") from error


def _require_free(address: str, port: int) -> None:
    """Find out before gRPC does, which only says that it failed, and that at length."""
    with socket.socket(_family(address), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC: connections that have ended do not count
        try:
            probe.bind((address, port))
            probe.listen(1)  # two may bind with SO_REUSEADDR, but not listen
        except PermissionError as error:
            raise PortInUseError(f"this user may not listen on port {port}: choose a --port above 1023") from error
        except OSError as error:
            taken = "another program has this port; stop it or choose another --port"
            why = taken if error.errno == errno.EADDRINUSE else error.strerror
            raise PortInUseError(f"cannot listen on {address}:{port}: {why}") from error


def _is_local(address: str) -> bool:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

"""The gRPC server: its limits, and where it listens."""

import errno
import resource
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc

from servicer.admission import Admission
from servicer.health_service import HealthService
from servicer.image_service import ImageService
from servicer.peers import AllowedPeers

CONCURRENT_CALLS = 512
_MOST_DESCRIPTORS = 16_384
_RESERVED_DESCRIPTORS = 256  # for rings, the robot, and this process's own call to itself
_LISTENERS = 3  # the registered address, the loopback, and the Unix socket for that call

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # the default lets a second server bind the same port and take half of the calls
    ("grpc.max_receive_message_length", 256 * 1024),
    ("grpc.max_concurrent_streams", 128),  # of one connection
    ("grpc.max_send_message_length", 100 << 20),  # what SDK clients accept
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.ping_timeout_ms", 5_000),  # the default of a minute goes before the keepalive time-out
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),  # SDK clients ping every 5 s
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 4_000),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 300_000),
]


class PortInUseError(Exception):
    """The service's port cannot be had; the message says why, and what to do."""


def create(service: ImageService, peers: AllowedPeers, health: HealthService | None = None) -> grpc.Server:
    """Make a server for the image service, not yet listening anywhere."""
    server = grpc.server(
        ThreadPoolExecutor(CONCURRENT_CALLS, thread_name_prefix="request"),
        interceptors=[Admission(peers)],
        options=options(),
        maximum_concurrent_rpcs=CONCURRENT_CALLS,
    )
    service.add_to(server)
    if health is not None:
        health.add_to(server)
    return server


def options() -> list[tuple[str, int]]:
    """The options of gRPC that keep one client from harming the others."""
    return [*_OPTIONS, ("grpc.max_allowed_incoming_connections", _most_connections())]


def raise_descriptor_limit() -> None:
    """Have room for many connections: the usual limit of 1,024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _most_connections() -> int:
    """What each listener may have: connections must never use up the descriptors that cameras and the robot need."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - _RESERVED_DESCRIPTORS, soft // 2) // _LISTENERS


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

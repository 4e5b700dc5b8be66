"""Where the server listens, and how it says that it cannot."""

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from bosdyn.api import image_pb2, image_service_pb2_grpc

from servicer import server
from servicer.image_service import ImageService
from servicer.peers import AllowedPeers
from tests.matrix.recording import MeasuredRow

FOREIGN = "203.0.113.7"  # TEST-NET-3: no address of any host


def new_server() -> grpc.Server:
    """A server without cameras that listens nowhere."""
    return server.create(ImageService({}, lambda _: None), AllowedPeers([]))


@pytest.fixture
def port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def grpc_server() -> Iterator[grpc.Server]:
    """A server of ours, stopped in the end."""
    created = new_server()
    yield created
    created.stop(None).wait()


def answers(address: str) -> bool:
    """Whether an image service answers there."""
    with grpc.insecure_channel(address) as channel:
        stub = image_service_pb2_grpc.ImageServiceStub(channel)
        return bool(stub.ListImageSources(image_pb2.ListImageSourcesRequest(), timeout=5).header.error.code)


@pytest.mark.parametrize("host_ip", ["127.0.0.1", "127.0.0.3"])
def test_it_listens_on_its_address_and_on_the_loopback_only(grpc_server: grpc.Server, port: int, host_ip: str) -> None:
    """Nobody on another network finds the port open."""
    server.listen(grpc_server, host_ip, port)
    grpc_server.start()
    assert answers(f"127.0.0.1:{port}")
    assert answers(f"{host_ip}:{port}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.9", port), timeout=5)


def test_it_listens_everywhere_if_the_registered_address_is_not_local(grpc_server: grpc.Server, port: int) -> None:
    """In a bridged container the robot is told an address of the host."""
    server.listen(grpc_server, FOREIGN, port)
    grpc_server.start()
    assert answers(f"127.0.0.1:{port}")
    assert answers(f"127.0.0.9:{port}")


@pytest.mark.row("M29")
@pytest.mark.parametrize("host_ip", ["127.0.0.1", "127.0.0.3", FOREIGN])
def test_a_listener_of_another_program_is_a_port_in_use(port: int, host_ip: str) -> None:
    """The sentence names the port."""
    with socket.create_server(("127.0.0.1", port)), pytest.raises(server.PortInUseError, match=f":{port}: another"):
        server.listen(new_server(), host_ip, port)


@pytest.mark.row("M29")
def test_two_of_ours_do_not_share_a_port(grpc_server: grpc.Server, port: int) -> None:
    """With the library's default the second would take half of the first one's calls."""
    server.listen(grpc_server, "127.0.0.1", port)
    with pytest.raises(server.PortInUseError):
        server.listen(new_server(), "127.0.0.1", port)


@pytest.mark.row("M29")
@pytest.mark.parametrize("reuse", [0, 1])
def test_another_grpc_server_is_a_port_in_use(port: int, reuse: int, row: Callable[[str], MeasuredRow]) -> None:
    """Also one that would share its port."""
    other = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", reuse)])
    other.add_insecure_port(f"127.0.0.1:{port}")
    other.start()
    started_s = time.monotonic()
    with pytest.raises(server.PortInUseError):
        server.listen(new_server(), "127.0.0.1", port)
    row("M29").measured("refused", time.monotonic() - started_s, 1.0)
    other.stop(None).wait()


def test_the_limits_are_set() -> None:
    """Those against stopped and silent clients, whose effect takes too long to be waited for here."""
    options = dict(server._OPTIONS)
    assert options["grpc.so_reuseport"] == 0
    assert options["grpc.max_receive_message_length"] == 256 * 1024
    assert options["grpc.max_send_message_length"] == 100 << 20
    assert options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"] <= 15_000
    assert options["grpc.http2.ping_timeout_ms"] <= options["grpc.keepalive_timeout_ms"]
    assert options["grpc.http2.min_ping_interval_without_data_ms"] < 5_000  # SDK clients ping every 5 s
    assert options["grpc.server_handshake_timeout_ms"] <= 5_000


def test_a_port_that_this_user_may_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 80 is not taken, it is privileged: stopping another program would not help."""

    class Unprivileged(socket.socket):
        def bind(self, address: Any) -> None:
            if address[1]:
                raise PermissionError(errno.EACCES, "Permission denied")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Unprivileged)
    with pytest.raises(server.PortInUseError, match="above 1023"):
        server.listen(new_server(), "127.0.0.1", 80)


@pytest.mark.row("M27")
def test_calls_that_send_nothing_do_not_take_the_others_threads(grpc_server: grpc.Server, port: int) -> None:
    """GRPC waits for a request in a thread: sixteen clients who open a call and go silent stop nobody."""
    server.listen(grpc_server, "127.0.0.1", port)
    grpc_server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        never = threading.Event()

        def silent() -> Iterator[bytes]:
            never.wait(30)
            yield b""

        # As a stream, so that the call is opened without a message; the server takes it for its unary method.
        open_call: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(
            "/bosdyn.api.ImageService/GetImage"
        )
        calls = [open_call.future(silent()) for _ in range(16)]
        assert answers(f"127.0.0.1:{port}")
        never.set()
        for call in calls:
            call.cancel()

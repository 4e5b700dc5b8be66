"""Who may see the images."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from bosdyn.api import image_pb2
from hypothesis import given
from hypothesis import strategies as st

from servicer import peers as peers_module
from servicer.peers import AllowedPeers
from servicer.process import callers
from supervision.settings import RobotSettings, ServicerConfiguration, ServiceSettings
from tests.servicer.serving import Ring, Served, serving, smooth, wait_for


class NobodyFromLoopback(AllowedPeers):
    """The same list without its loopback rule: loopback is all that a test can call from."""

    def admit(self, peer: str, *, local_only: bool = False) -> bool:
        """Judge a caller from 127.0.0.1 as if it were 10.0.0.1."""
        return super().admit(peer.replace("ipv4:127.0.0.1:", "ipv4:10.0.0.1:"), local_only=local_only)


@pytest.mark.parametrize(
    "peer",
    [
        "ipv4:127.0.0.1:5000",
        "ipv4:127.0.0.2:5000",
        "ipv6:[::1]:5000",
        "ipv6:%5B::1%5D:5000",
        "ipv6:[::ffff:127.0.0.1]:5000",
        "unix:",
        "unix-abstract:anything",
        "ipv4:192.168.50.3:1",
        "ipv6:[::ffff:192.168.50.3]:1",
        "ipv6:[fd00::5]:1",
        "ipv6:[FD00:0:0::0005]:1",
        "ipv6:[fe80::7%25eth0]:1",
        "ipv6:%5Bfe80::7%25eth0%5D:1",
        "ipv4:10.1.2.3:1",
    ],
)
def test_the_loopback_and_the_named_may_call(peer: str) -> None:
    """However gRPC and the configuration write the same address."""
    allowed = AllowedPeers(["192.168.50.3", "fd00:0::5", "FE80::7%eth0", "::ffff:10.1.2.3"])
    assert allowed.admit(peer)
    assert (allowed.refused, allowed.recently_refused()) == (0, [])


@pytest.mark.parametrize(
    "peer",
    [
        "ipv4:192.168.50.30:1",
        "ipv4:192.168.50.4:1",
        "ipv4:10.0.0.1:127",
        "ipv6:[fe80::8%25lo]:1",
        "ipv6:[::ffff:10.0.0.1]:1",
        "ipv6:[::2]:1",
        "ipv4:1270.0.0.1:1",
        "ipv4:localhost:1",
        "ipv4:",
        "vsock:2:1",
        ":",
        "localhost",
    ],
)
def test_nobody_else_may(peer: str) -> None:
    """Neighbours, look-alikes and what is no address at all; each is counted and remembered."""
    allowed = AllowedPeers(["192.168.50.3", ""])
    assert not allowed.admit(peer)
    assert allowed.refused == 1
    assert len(allowed.recently_refused()) == 1


def test_who_is_gone_is_not_counted() -> None:
    """GRPC has no name for a caller that hung up before it was asked for: nobody can be warned of nobody."""
    allowed = AllowedPeers(["192.168.50.3"])
    assert not allowed.admit("")
    assert (allowed.refused, allowed.recently_refused()) == (0, [])


@given(st.text(min_size=1, max_size=40) | st.from_regex(r"ipv[46]:\[?[0-9a-f:.%]{0,30}\]?:[0-9]{0,5}"))
def test_no_name_of_a_peer_is_an_exception(peer: str) -> None:
    """Admitted or refused, and the refusals are counted."""
    allowed = AllowedPeers(["robot.local"])
    admitted = allowed.admit(peer)
    assert allowed.refused == (0 if admitted else 1)


def test_a_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its addresses may call, former ones not; when it cannot be looked up any more, the last ones still may."""
    found: list[str] = ["10.0.0.7", "fe80::9%2"]

    def look_up(host: str, _port: None) -> list[Any]:
        if host != "robot" or not found:
            raise socket.gaierror
        return [(0, 0, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    allowed = AllowedPeers(["robot", "nobody"])
    assert not allowed.admit("ipv4:10.0.0.7:1")
    allowed.look_up()
    assert allowed.recently_refused() == []  # it would not be refused now
    found[0] = "10.0.0.8"
    allowed.look_up()
    assert not allowed.admit("ipv4:10.0.0.7:1")
    found.clear()
    allowed.look_up()
    assert allowed.admit("ipv4:10.0.0.8:1")
    assert allowed.admit("ipv6:[fe80::9%25eth0]:1")


def test_a_name_is_looked_up_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody knew at boot may call once it is known; nobody waits for the name service."""
    monkeypatch.setattr(peers_module, "_LOOK_UP_EVERY_S", 0.01)
    asked, answered = threading.Event(), threading.Event()
    found: list[str] = []

    def look_up(_host: str, _port: None) -> list[Any]:
        asked.set()
        assert answered.wait(30)
        if not found:
            raise socket.gaierror
        return [(0, 0, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    allowed = AllowedPeers(["10.0.0.1", "laptop"])
    allowed.start()
    try:
        assert asked.wait(30)
        assert allowed.admit("ipv4:10.0.0.1:1")
        assert not allowed.admit("ipv4:10.0.0.7:1")
        answered.set()
        found.append("10.0.0.7")
        wait_for(lambda: allowed.admit("ipv4:10.0.0.7:1"))
        found[0] = "10.0.0.8"
        wait_for(lambda: not allowed.admit("ipv4:10.0.0.7:1"))
    finally:
        allowed.stop()
    wait_for(lambda: all(thread.name != "names-of-peers" for thread in threading.enumerate()))


def test_a_name_service_that_is_late_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The payload computer and the robot boot together; what is never found is asked for less and less often."""
    lookups: list[str] = []
    monkeypatch.setattr(peers_module, "_FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(peers_module, "_LOOK_UP_EVERY_S", 3600.0)

    def look_up(host: str, _port: None) -> list[Any]:
        lookups.append(host)
        if len(lookups) < 4:
            raise socket.gaierror
        return [(0, 0, 0, "", ("10.0.0.7", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    allowed = AllowedPeers(["robot"])
    allowed.start()
    try:
        wait_for(lambda: allowed.admit("ipv4:10.0.0.7:1"))
        assert len(lookups) == 4
        allowed.look_up_soon()  # the robot is there again, perhaps under another address
        wait_for(lambda: len(lookups) == 5)
    finally:
        allowed.stop()
    wait_for(lambda: all(thread.name != "names-of-peers" for thread in threading.enumerate()))


def test_retries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a typing mistake is no load for the network: 1 s, doubling to a minute; anew when told to."""
    allowed = AllowedPeers(["nobody"])
    waits: list[float] = []

    def wait(timeout_s: float) -> bool:
        waits.append(timeout_s)
        allowed._is_stopped = len(waits) == 11
        return len(waits) == 8

    def find_nothing(*_: object) -> list[Any]:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
    monkeypatch.setattr(allowed._wake, "wait", wait)
    allowed._look_up_for_ever()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 1, 2, 4]


def test_addresses_are_not_looked_up() -> None:
    """There is no thread for nothing."""
    AllowedPeers(["10.0.0.1", "::1"]).start()
    assert all(thread.name != "names-of-peers" for thread in threading.enumerate())


def test_what_no_name_can_look_like_is_left_out() -> None:
    """A typing mistake in the list does not end the look-up of the others."""
    allowed = AllowedPeers(["a..b", "x" * 300, "localhost"])
    allowed.look_up()
    assert "127.0.0.1" in allowed._addresses["localhost"]


@dataclass
class Clock:
    """A monotonic clock that goes when it is told to."""

    now_s: float = 0.0

    def monotonic(self) -> float:
        """Stand in for time.monotonic."""
        return self.now_s


def test_refused_addresses_are_few_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan of the port fills no memory, and leaves no warning for ever."""
    clock = Clock(time.monotonic())
    monkeypatch.setattr(peers_module, "time", clock)
    allowed = AllowedPeers([])
    for number in range(200):
        allowed.admit(f"ipv4:10.0.0.{number}:1")
    assert (allowed.refused, len(allowed.recently_refused())) == (200, 16)
    clock.now_s += 500
    allowed.admit("ipv4:10.0.0.3:1")
    clock.now_s += 500
    assert allowed.recently_refused() == ["10.0.0.3"]
    clock.now_s += 500
    assert allowed.recently_refused() == []


METHODS: list[Callable[[Served], Any]] = [
    lambda served: served.get("front"),
    lambda served: served.get(*["front"] * 1000),
    lambda served: served.stub.ListImageSources(image_pb2.ListImageSourcesRequest(), timeout=5),
]


@pytest.mark.row("M30")
@pytest.mark.parametrize("call", METHODS)
def test_a_foreign_caller_is_denied(instance: str, front: Ring, call: Callable[[Served], Any]) -> None:
    """PERMISSION_DENIED from every method, before anything of it is done, and counted."""
    front.show(smooth())
    with serving(instance, "front", peers=NobodyFromLoopback([])) as served:
        with pytest.raises(grpc.RpcError) as refusal:
            call(served)
        assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert (served.peers.refused, served.peers.recently_refused()) == (1, ["10.0.0.1"])
        assert (served.service.requests, served.service.ended) == (0, 0)


@pytest.mark.parametrize("call", METHODS)
def test_a_named_caller_is_answered(instance: str, front: Ring, call: Callable[[Served], Any]) -> None:
    """The same caller, once it is on the list."""
    front.show(smooth())
    with serving(instance, "front", peers=NobodyFromLoopback(["10.0.0.1"])) as served:
        call(served)
        assert served.peers.refused == 0


def test_who_may_call() -> None:
    """The robot, this computer under the address that it is registered with, and whoever the operator named."""
    configuration = ServicerConfiguration(
        supervisor_pid=1,
        instance="test",
        robot=RobotSettings(hostname="192.168.50.3"),
        service=ServiceSettings(host_ip="192.168.50.5", allowed_peers=("10.0.0.7",)),
        cameras={},
    )
    assert callers(configuration) == ["192.168.50.3", "192.168.50.5", "10.0.0.7"]

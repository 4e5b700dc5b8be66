"""What clients who mean no good, or are merely stopped, cannot do to the others."""

import contextlib
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from bosdyn.api import image_pb2, image_service_pb2_grpc

from servicer import silent_calls
from servicer.peers import AllowedPeers
from servicer.silent_calls import SilentCalls
from tests.matrix.recording import MeasuredRow
from tests.servicer import bare_http2
from tests.servicer.foreign_caller import METHODS
from tests.servicer.serving import IMAGE, STATUS, Ring, Served, serving, smooth, wait_for
from tests.servicer.test_bounds import answers, code_of, entry, greedy_client
from tests.servicer.test_health import Clock
from tests.servicer.test_peers import NobodyFromLoopback
from tests.servicer.test_process import (  # noqa: F401  the fixtures
    SECRET,
    ServicerProcess,
    configuration,
    is_beat,
    is_registered,
    robot,
)

PROJECT = Path(__file__).parents[2]
LIST = image_pb2.ListImageSourcesRequest()

Row = Callable[[str], MeasuredRow]


@contextlib.contextmanager
def silent(port: int, connections: int, calls_of_each: int) -> Iterator[list[Any]]:
    """Calls that are opened and never get their request."""
    opened = [
        bare_http2.connected(port, bare_http2.GREETING + b"".join(map(bare_http2.opening, range(1, 2 * count, 2))))
        for count in [calls_of_each] * connections
    ]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def request_threads() -> int:
    """How many threads of the server's pool there are."""
    return sum(thread.name.startswith("request") for thread in threading.enumerate())


def test_a_silent_call_is_cancelled(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as another call comes after its time; who sends the request is answered."""
    monkeypatch.setattr(silent_calls, "_PATIENCE_S", 0.2)
    never = threading.Event()
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        method: Any = channel.stream_unary("/bosdyn.api.ImageService/GetImage")
        call = method.future(iter(lambda: never.wait(30) and b"", b"never"))
        wait_for(lambda: served.stub.ListImageSources(LIST, timeout=10) and call.done())
        assert call.code() is grpc.StatusCode.CANCELLED
        never.set()


class OpenCall:
    """As much of a call's context as there is to a call that nobody waits for any more."""

    cancelled = False

    def cancel(self) -> None:
        """Stand in for the context's."""
        self.cancelled = True


@pytest.mark.parametrize(("calls", "patience_s"), [(255, 2.0), (256, 0.25)])
def test_many_silent_calls_have_less_time(monkeypatch: pytest.MonkeyPatch, calls: int, patience_s: float) -> None:
    """Two seconds while there are threads enough for all, a quarter of one afterwards."""
    monkeypatch.setattr(silent_calls, "time", clock := Clock())
    silent, opened = SilentCalls(), [OpenCall() for _ in range(calls)]
    with contextlib.ExitStack() as waiting:
        for call in opened:
            waiting.enter_context(silent.awaiting(call))  # type: ignore[arg-type]
        for passed_s, expected in ((patience_s - 0.01, 0), (0.06, calls)):  # calls that come within 0.05 s look once
            clock.now_s += passed_s
            silent.end_overdue()
            assert sum(call.cancelled for call in opened) == expected


def test_a_call_whose_request_has_come_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take as long as it needs, and is not remembered."""
    monkeypatch.setattr(silent_calls, "time", clock := Clock())
    silent, call = SilentCalls(), OpenCall()
    with silent.awaiting(call):  # type: ignore[arg-type]
        pass
    clock.now_s += 60.0
    silent.end_overdue()
    assert not call.cancelled
    assert not silent._opened


def test_a_call_without_a_request_is_invalid(served: Served) -> None:
    """The client has said that nothing will come."""
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        method: Any = channel.stream_unary("/bosdyn.api.ImageService/GetImage")
        assert code_of(lambda: method(iter(()), timeout=10)) is grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_no_request_is_no_traceback(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """It is the client's mistake, and the client's to hear of."""
    with caplog.at_level(logging.DEBUG), grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        method: Any = channel.unary_unary("/bosdyn.api.ImageService/GetImage")
        assert code_of(lambda: method(b"\xff" * 50, timeout=10)) is grpc.StatusCode.INVALID_ARGUMENT
    assert not caplog.records


def test_silent_calls_do_not_keep_a_good_client_out(served: Served) -> None:
    """As many as there are threads, and more: nobody is answered only as long as it takes to see that they are."""
    with silent(served.port, 5, 120):
        wait_for(lambda: request_threads() > 100)
        began_s = time.monotonic()

        def is_answered() -> bool:
            with contextlib.suppress(grpc.RpcError):
                return bool(served.stub.ListImageSources(LIST, timeout=10))
            return False

        wait_for(is_answered, 10.0)
        print(f"\nanswered after {time.monotonic() - began_s:.2f} s")


@pytest.mark.row("M30")
def test_a_foreign_caller_is_refused_before_his_request(instance: str) -> None:
    """Six hundred calls without one hold no thread: each is over at once."""
    with serving(instance, "front", peers=NobodyFromLoopback([])) as served, silent(served.port, 6, 100):
        wait_for(lambda: served.peers.refused == 600)
        admission = served.server._state.interceptor_pipeline.interceptors[0]  # type: ignore[attr-defined]
        assert not admission._silent._opened


def test_ten_thousand_refused_addresses_are_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    """Nor lines of the log."""
    peers, process = AllowedPeers([]), psutil.Process()
    before = process.memory_info().rss
    with caplog.at_level(logging.DEBUG):
        for number in range(10_000):
            assert not peers.admit(f"ipv4:10.{number >> 8}.{number & 255}.7:{number}")
            if number % 100 == 0:
                peers.recently_refused()
    assert (peers.refused, len(peers.recently_refused()), len(caplog.records)) == (10_000, 16, 16)
    assert process.memory_info().rss - before < 5 << 20


@pytest.mark.row("M26")
def test_oversized_requests_are_refused_quickly(served: Served, front: Ring, row: Row) -> None:
    """A hundred thousand entries, 300 kB, ten thousand times the same, parameters 60 deep."""
    front.show(smooth())
    served.get("front")
    deep = image_pb2.GetImageRequest()
    inner = deep.image_requests.add(image_source_name="front").custom_params
    for _ in range(60):
        inner = inner.values["a"].dict_value
    refused = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT
    entries = image_pb2.GetImageRequest(image_requests=[entry()] * 100_000).SerializeToString()
    process = psutil.Process()
    before = process.memory_info().rss
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        method: Any = channel.unary_unary("/bosdyn.api.ImageService/GetImage")
        for what, request in {
            "100,000 entries": entries,
            "300 kB": bytes(300_000),
            "60 deep": deep.SerializeToString(),
        }.items():
            with computing(row("M26"), what):
                assert code_of(lambda request=request: method(request, timeout=10)) in refused
    with computing(row("M26"), "10,000 duplicates"):
        assert "at most 32" in served.get(*["front"] * 10_000).header.error.message
    row("M26").at_most("memory", (process.memory_info().rss - before) / 2**20, 50, "MiB")


@contextlib.contextmanager
def computing(row: MeasuredRow, what: str) -> Iterator[None]:
    """Measure the time of the processor, both ends of the call together: it is the same however busy the computer is.

    By the clock gRPC takes 0.1 to 1 s to tell of a message that is too large, in which nobody does anything.
    """
    began_s = time.process_time()
    yield
    row.measured(f"computing for {what}", time.process_time() - began_s, 0.2)


def test_descriptors_are_enough_for_many_connections() -> None:
    """The limit is raised as far as this user may, and connections never take the last ones."""
    program = (
        "import resource as r; from servicer import server; r.setrlimit(r.RLIMIT_NOFILE, (256, {hard}));"
        "server.raise_descriptor_limit(); print(r.getrlimit(r.RLIMIT_NOFILE)[0], server._most_connections())"
    )
    for hard, expected in ((256, [256, 42]), (2048, [2048, 597])):
        command = [sys.executable, "-c", program.format(hard=hard)]
        printed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=60).stdout
        assert list(map(int, printed.split())) == expected


def test_nobody_writes_into_the_log(configuration: dict[str, Any], robot: Any) -> None:  # noqa: ARG001, F811
    """Headers that are no text or that gRPC finds wrong, before it is known who sends them."""
    with ServicerProcess(configuration) as servicer:
        servicer.report(is_registered)
        before, port = servicer.log, configuration["service"]["port"]
        broken = [bare_http2.opening().replace(b"trailers", no_text) for no_text in (b"\xff" * 8, b"sreliart")]
        broken.append(bare_http2.opening().replace(b"application/grpc", b"\xff" * 16))
        broken.append(bare_http2.opening(path="/\x00" + "a" * 40).replace(b"front", b"\xfe" * 5))
        broken = [said + bare_http2.request(b"") for said in broken]
        for said in (*broken, bare_http2.asking_for_raw()):
            with bare_http2.connected(port, bare_http2.GREETING + said) as connection:
                bare_http2.wait_for_answer(connection)
        servicer.forget_reports()
        servicer.report(is_beat)
        assert not re.search("Traceback|metadata|ncoding", servicer.log.removeprefix(before))


@contextlib.contextmanager
def bad_company(port: int, silent: int, idle: int, stopped: int) -> Iterator[None]:
    """A process that holds so many connections of each kind."""
    argv = [sys.executable, "-m", "tests.servicer.bare_http2", *map(str, (port, silent, idle, stopped))]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT) as company:
        assert company.stdout is not None
        assert int(company.stdout.readline()) == silent + idle + stopped
        try:
            yield
        finally:
            company.kill()


def stop_in_the_middle(client: "subprocess.Popen[bytes]") -> None:
    """Stop a greedy client as soon as it has asked."""
    assert client.stdout is not None
    assert client.stdout.readline()
    client.send_signal(signal.SIGSTOP)


@contextlib.contextmanager
def good_client(port: int, **fields: Any) -> Iterator[list[float]]:
    """Asks for an image twenty times a second; a list of how long each took, infinite where there was none."""
    took_s: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = image_service_pb2_grpc.ImageServiceStub(channel)
            while not ended.wait(0.05):
                began_s = time.monotonic()
                try:
                    answer = stub.GetImage(image_pb2.GetImageRequest(image_requests=[entry(**fields)]), timeout=5)
                    assert answer.image_responses[0].status == STATUS.STATUS_OK
                    took_s.append(time.monotonic() - began_s)
                except (grpc.RpcError, AssertionError):
                    took_s.append(float("inf"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took_s
    finally:
        ended.set()
        thread.join()


def connections_of(process: psutil.Process) -> int:
    """Established ones."""
    return sum(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))


def test_descriptors_that_are_used_up_stop_nobody(
    configuration: dict[str, Any],  # noqa: F811
    instance: str,
) -> None:
    """More connections than a small limit allows: cameras are found again, and the old client is served."""
    with Ring(instance, "front") as front, ServicerProcess(configuration) as servicer:
        front.show(smooth())
        resource.prlimit(servicer.process.pid, resource.RLIMIT_NOFILE, (300, 300))
        servicer.report(is_beat)
        port = configuration["service"]["port"]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = image_service_pb2_grpc.ImageServiceStub(channel)
            stub.ListImageSources(LIST, timeout=10)
            with bad_company(port, 0, 400, 0):
                servicer.forget_reports()
                servicer.report(is_beat)
                servicer.report(is_beat)
                with Ring(instance, "front") as again:
                    again.show(smooth()[:32])

                    def rows() -> int:
                        request = image_pb2.GetImageRequest(image_requests=[entry()])
                        return int(stub.GetImage(request, timeout=10).image_responses[0].shot.image.rows)

                    wait_for(lambda: rows() == 32)
        assert "Traceback" not in servicer.log
        assert "descriptor limit" not in servicer.log


@pytest.mark.soak
@pytest.mark.row("M27")
def test_bad_company(configuration: dict[str, Any], instance: str, row: Row) -> None:  # noqa: F811
    """A thousand connections that say nothing, two hundred that go silent, fifty clients stopped in mid-answer.

    Five of the fifty are real gRPC clients, stopped by a signal; the others read nothing from the start.
    """
    rows, cols = 1080, 1920
    with Ring(instance, "front", rows * cols * 3) as front, ServicerProcess(configuration) as servicer:
        front.show(smooth(rows, cols))
        servicer.report(is_beat)
        process, port = psutil.Process(servicer.process.pid), configuration["service"]["port"]
        with good_client(port) as took_s:
            wait_for(lambda: len(took_s) > 20)
            before, connected = process.memory_info().rss, connections_of(process)
            peak = 0

            def look() -> bool:
                nonlocal peak
                peak = max(peak, process.memory_info().rss)
                return connections_of(process) <= connected

            with bad_company(port, 1000, 200, 45), contextlib.ExitStack() as stopped:
                for _ in range(5):
                    stop_in_the_middle(stopped.enter_context(greedy_client(port, 4)))
                began_s = time.monotonic()
                assert not look()
                wait_for(look, 60.0)
                row("M27").measured("dropped", time.monotonic() - began_s, 20.0)
            wait_for(lambda: process.memory_info().rss < before + (100 << 20), 30.0)
        took_s.sort()
        row("M27").measured("p99 of a good client", took_s[len(took_s) * 99 // 100], 0.5)
        row("M27").at_most("memory", (peak - before) / 2**20, 400, "MiB")
        assert took_s[-1] < float("inf")
        assert "Traceback" not in servicer.log


def test_a_large_answer_to_stopped_clients_leaves_room_for_small_ones(
    instance: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for an ordinary picture is served while they hold all the room that large ones may have."""
    monkeypatch.setattr(served.service, "_in_flight", in_flight := type(served.service._in_flight)(20 << 20))
    rows, cols = 1080, 1920
    with Ring(instance, "front", rows * cols * 3) as front, contextlib.ExitStack() as holding:
        front.show(smooth(rows, cols))
        for _ in range(4):
            said = bare_http2.GREEDY_GREETING + bare_http2.asking_for_raw()
            holding.callback(bare_http2.connected(served.port, said).close)
        wait_for(lambda: served.service.ended == 4)
        wait_for(lambda: in_flight.used_bytes == 2 * rows * cols * 3)  # two of them have room
        assert not answers(served, entry(image_format=IMAGE.FORMAT_RAW))
        assert all(answers(served, entry(quality_percent=quality)) for quality in range(1, 20))


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another network, in a namespace of its own: our address in it, and the command that runs a program there."""
    if os.geteuid() != 0:
        pytest.skip("a network of its own needs root")
    name, ours = f"t{os.getpid()}", f"10.213.{os.getpid() % 250}"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)  # noqa: S607

    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system has no network namespaces")
    try:
        ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        ip("addr", "add", f"{ours}.1/30", "dev", f"{name}a")
        ip("link", "set", f"{name}a", "up")
        ip("-n", name, "addr", "add", f"{ours}.2/30", "dev", f"{name}b")
        ip("-n", name, "link", "set", f"{name}b", "up")
        yield f"{ours}.1", ["ip", "netns", "exec", name]
    finally:
        ip("netns", "del", name)  # the pair goes with it


@pytest.mark.row("M30")
def test_a_neighbour_sees_nothing(
    configuration: dict[str, Any],  # noqa: F811
    instance: str,
    robot: Any,  # noqa: F811
    elsewhere: tuple[str, list[str]],
) -> None:
    """A real caller from another address: PERMISSION_DENIED for every method, no image, and the operator is told."""
    own_address, there = elsewhere
    configuration["service"]["host_ip"] = own_address
    port = configuration["service"]["port"]
    with Ring(instance, "front") as front, ServicerProcess(configuration) as servicer:
        front.show(smooth())
        servicer.report(is_beat)
        command = [*there, sys.executable, "-m", "tests.servicer.foreign_caller", own_address, str(port)]
        printed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=60).stdout
        told = json.loads(printed)
        assert [told[path] for path in METHODS] == ["PERMISSION_DENIED"] * len(METHODS)
        assert told["refused without a request"]
        assert told["asked"] < 1000  # a refusal; the picture has 18 kB
        beat = servicer.report(lambda report: is_beat(report) and report["refused"] == len(METHODS) + 2)
        assert beat["requests"] == 0
        peer = own_address[:-1] + "2"
        wait_for(lambda: any(peer in fault.error_message for fault in robot.faults.values()))
        assert servicer.log.count(f"refused a call from {peer}") == 1
        assert SECRET not in servicer.log

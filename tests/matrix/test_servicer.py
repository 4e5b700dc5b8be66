"""A servicer that dies or hangs: capture goes on, calls fail as they should, and it is back where it was."""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from bosdyn.api import image_pb2, image_service_pb2_grpc
from bosdyn.client.image import build_image_request

from servicer.server import PortInUseError, listen
from supervision import exit_codes
from tests.end_to_end.running import OK, SERVICE_NAME, Pipeline, free_port
from tests.matrix.bare import READY_S, SMALL, running
from tests.matrix.fleet import ABSENT_FAULT, WATCHED, Fleet, kept_rate
from tests.matrix.recording import MeasuredRow

BACK_S = 3.0
BACK_FROM_HANG_S = 8.0
PATIENCE_S = 20.0
CALLS = 50
REGISTER = "DirectoryRegistrationService/UpdateService"

Rows = Callable[[str], MeasuredRow]


def serves(address: str) -> bool:
    """Whether an image is served there. A new connection each time: an old one waits before it connects again."""
    request = image_pb2.GetImageRequest(image_requests=[build_image_request(WATCHED)])
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            answer = image_service_pb2_grpc.ImageServiceStub(channel).GetImage(request, timeout=5.0)
        except grpc.RpcError:
            return False
    return bool(answer.image_responses[0].status == OK)


def back_s(pipeline: Pipeline, harm: signal.Signals) -> float:
    """Harm the servicer, and measure until another one is registered and serves images, by the same address."""
    registrations = pipeline.robot.calls[REGISTER]
    address, started_s = pipeline.address, time.monotonic()
    old = pipeline.kill("servicer", harm)

    def is_back() -> bool:
        record = pipeline.child("servicer")
        registered = pipeline.robot.calls[REGISTER] > registrations
        is_new = record.pid != old and record.state == "running"
        return is_new and registered and serves(address)

    pipeline.wait(is_back, "the service is back and registered", PATIENCE_S)
    took_s = time.monotonic() - started_s
    assert pipeline.address == address
    assert SERVICE_NAME in pipeline.robot.services
    return took_s


class Crowd:
    """Many clients that call again and again; `seen` counts how their calls ended."""

    def __init__(self, address: str) -> None:
        self.seen: Counter[str] = Counter()
        self._address = address
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLS)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        request = image_pb2.GetImageRequest(image_requests=[build_image_request(WATCHED)])
        with grpc.insecure_channel(self._address) as channel:
            stub = image_service_pb2_grpc.ImageServiceStub(channel)
            while not self._done.wait(0.25):  # they share our two cores with the servicer
                try:
                    status = stub.GetImage(request, timeout=5.0).image_responses[0].status
                    self.seen[image_pb2.ImageResponse.Status.Name(status)] += 1
                except grpc.RpcError as error:
                    self.seen[error.code().name] += 1


@pytest.mark.row("M7")
def test_killed_servicer(fleet: Fleet, row: Rows, runs: int) -> None:
    """SIGKILL during 50 GetImage calls: they fail as UNAVAILABLE, capture goes on, and faults are raised again."""
    for _ in range(runs):
        pipeline = fleet.servicer()
        watched = pipeline.child(WATCHED)
        with Crowd(pipeline.address) as crowd:
            pipeline.wait(lambda: sum(crowd.seen.values()) > CALLS, "the crowd is served", 10.0)
            row("M7").measured("served and registered", back_s(pipeline, signal.SIGKILL), BACK_S)
            before = sum(crowd.seen.values())
            pipeline.wait(lambda: sum(crowd.seen.values()) > before + CALLS, "the crowd is served", 10.0)  # noqa: B023
        assert set(crowd.seen) <= {"STATUS_OK", "UNAVAILABLE"}
        assert crowd.seen["UNAVAILABLE"] > 0
        pipeline.wait(lambda: ABSENT_FAULT in pipeline.faults(), "the fault that there was", 5.0)  # noqa: B023
        row("M7").at_least("rate kept by a camera", kept_rate(pipeline, watched), 0.95)
        assert pipeline.child(WATCHED).restarts == 0


@pytest.mark.row("M8")
def test_stopped_servicer(fleet: Fleet, row: Rows, runs: int) -> None:
    """SIGSTOP: it breaks its promise, is killed, and the next one serves within 8 s; capture goes on."""
    for _ in range(runs):
        pipeline = fleet.servicer()
        watched = pipeline.child(WATCHED)
        row("M8").measured("served and registered", back_s(pipeline, signal.SIGSTOP), BACK_FROM_HANG_S)
        assert pipeline.child("servicer").last_exit == "signal SIGKILL"
        row("M8").at_least("rate kept by a camera", kept_rate(pipeline, watched), 0.95)


def plain_listener(port: int) -> Callable[[], object]:
    """Listen as any program does; returns what ends it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener.close


def sharing_grpc_server(port: int) -> Callable[[], object]:
    """A gRPC server as they are by default: willing to share its port with others; returns what ends it."""
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 1)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return lambda: server.stop(None).wait()


@pytest.mark.row("M29")
@pytest.mark.parametrize("occupy", [plain_listener, sharing_grpc_server])
def test_taken_port(row: Rows, runs: int, occupy: Callable[[int], Callable[[], object]]) -> None:
    """Within a second it is clear that the port is another program's; it is never shared."""
    port = free_port()
    release = occupy(port)
    try:
        for _ in range(runs):
            server = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
            started_s = time.monotonic()
            with pytest.raises(PortInUseError, match=str(port)):
                listen(server, "127.0.0.1", port)
            row("M29").measured("refused", time.monotonic() - started_s, 1.0)
    finally:
        release()


@pytest.mark.row("M29")
def test_port_that_another_server_would_share(tmp_path: Path) -> None:
    """The servicer ends with 98, is tried again, and serves as soon as the port is free."""
    port = free_port()
    release = sharing_grpc_server(port)
    with running(tmp_path, {"a": SMALL}, "--port", str(port)) as bare:
        bare.wait(lambda: (child := bare.child("servicer")) is not None and child.restarts >= 2, "two tries", READY_S)
        servicer = bare.child("servicer")
        assert servicer is not None
        assert (servicer.error_code, servicer.last_exit) == ("port_in_use", f"exit code {exit_codes.PORT_IN_USE}")
        assert f"127.0.0.1:{port}" in (servicer.error_text or "")
        bare.await_all("a")
        release()
        bare.await_all("servicer")

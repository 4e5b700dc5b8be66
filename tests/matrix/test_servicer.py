"""A servicer that dies or hangs: capture goes on, calls fail as they should, and it is back where it was."""

import signal
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from bosdyn.api import image_pb2, image_service_pb2_grpc
from bosdyn.client.image import build_image_request

from supervision import exit_codes
from tests.end_to_end.running import OK, SERVICE_NAME, Pipeline, free_port
from tests.matrix.bare import READY_S, SMALL, running
from tests.matrix.crowd import Crowd
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
    assert SERVICE_NAME in pipeline.robot.services
    return took_s


@pytest.mark.row("M7")
def test_killed_servicer(fleet: Fleet, row: Rows, runs: int) -> None:
    """SIGKILL during 50 GetImage calls: they fail as UNAVAILABLE, capture goes on, and faults are raised again."""
    for _ in range(runs):
        pipeline = fleet.servicer()
        watched = pipeline.child(WATCHED)
        with Crowd(pipeline.address, CALLS) as crowd:
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


def sharing_grpc_server(port: int) -> Callable[[], object]:
    """A gRPC server as they are by default: willing to share its port with others; returns what ends it."""
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 1)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return lambda: server.stop(None).wait()


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

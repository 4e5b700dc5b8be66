"""The real process, started and listened to as the supervisor does it."""

import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import pytest
from bosdyn.api import image_pb2, image_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicer import admission, memory, process, server
from servicer.image_service import ImageService
from servicer.peers import AllowedPeers
from servicer.robot_link import RobotLink
from shm import BoardWriter, ChildRecord, Status
from simulated_robot import SimulatedRobot
from supervision import exit_codes
from supervision.lifeline import Lifeline
from supervision.settings import ServicerConfiguration
from tests.servicer.serving import OFFSET_NS, STATUS, Ring, smooth, wait_for

PROJECT = Path(__file__).parents[2]
START_S = 30.0  # the SDK, gRPC and OpenCV, on a busy computer
SECRET = "not-for-the-log"  # noqa: S105  it is what must not appear

Report = dict[str, Any]


class ServicerProcess:
    """One real servicer, inside `with`. Leaving kills it."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.reports: list[Report] = []
        self._configuration = configuration
        self._unread = b""

    def __enter__(self) -> "ServicerProcess":
        self._log = tempfile.TemporaryFile()
        self._report_fd, child_fd = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "servicer", "--report-fd", str(child_fd)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[child_fd],
            cwd=PROJECT,
            start_new_session=True,
        )
        os.close(child_fd)
        os.set_blocking(self._report_fd, False)
        self._stdin.write(json.dumps(self._configuration).encode() + b"\n")
        self._stdin.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        os.close(self._report_fd)
        self._log.close()

    @property
    def _stdin(self) -> Any:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def log(self) -> str:
        """What it has written so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode()

    def hang_up(self) -> None:
        """Close its stdin, as the end of the supervisor does."""
        self._stdin.close()

    def report(self, condition: Callable[[Report], Any], within_s: float = START_S) -> Report:
        """Wait for a report that fulfils the condition, and forget it and those before it."""

        def arrived() -> Report | None:
            self._read()
            while self.reports:
                if condition(report := self.reports.pop(0)):
                    return report
            return None

        found = wait_for(arrived, within_s)
        assert isinstance(found, dict)
        return found

    def forget_reports(self) -> None:
        """From here on only new ones count."""
        self._read()
        self.reports.clear()

    def exit_code(self, within_s: float = START_S) -> int:
        """Wait for its end."""
        return self.process.wait(within_s)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._report_fd, 65536):
                self._unread += chunk
        *lines, self._unread = self._unread.split(b"\n")
        self.reports += [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def robot() -> Iterator[SimulatedRobot]:
    """One robot for all processes here."""
    with SimulatedRobot(payloads={"guid": SECRET}) as simulated:
        yield simulated


@pytest.fixture
def configuration(instance: str, robot: SimulatedRobot) -> dict[str, Any]:
    """The line for a servicer of the cameras "front" and "rear"."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    credentials = {"guid": "guid", "secret": SECRET}
    camera = {"driver": "synthetic", "max_age_s": 60.0}
    return {
        "supervisor_pid": os.getpid(),
        "instance": instance,
        "robot": {"hostname": "127.0.0.1", "port": robot.port, "ca": str(robot.ca_file), **credentials},
        "service": {"host_ip": "127.0.0.1", "port": port},
        "cameras": {"front": camera, "rear": {**camera, "source_name": "Rear 1"}},
    }


def is_beat(report: Report) -> bool:
    """Whether it is a beat of the main loop, and not the promise before the imports."""
    return report["report"] == "beat" and "robot" in report


def is_registered(report: Report) -> bool:
    """Whether it is a beat that says so."""
    return is_beat(report) and report["robot"] == "registered"


@contextlib.contextmanager
def image_service(port: int) -> Iterator[Any]:
    """A stub of the service at this port."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield image_service_pb2_grpc.ImageServiceStub(channel)


def get(stub: Any, name: str) -> Any:
    """Ask for one image."""
    request = image_pb2.GetImageRequest(image_requests=[image_pb2.ImageRequest(image_source_name=name)])
    return stub.GetImage(request, timeout=10)


def test_a_whole_life(configuration: dict[str, Any], instance: str, front: Ring, robot: SimulatedRobot) -> None:
    """Promise, ready, serve with the time of the board, register, report, and leave in an orderly way."""
    front.show(smooth())
    children = (ChildRecord("rear", "camera", "waiting", 0, error_code="absent", error_text="rear is gone."),)
    with BoardWriter(instance) as board, ServicerProcess(configuration) as servicer:
        board.publish(Status(instance, os.getpid(), 0, children, robot_clock_offset_ns=OFFSET_NS))
        assert servicer.report(lambda _: True)["within_ms"] >= 30_000  # the very first: before anything is imported
        port = servicer.report(lambda report: report["report"] == "ready")["port"]
        assert port == configuration["service"]["port"]
        assert (
            servicer.report(lambda report: report["report"] == "beat")["within_ms"] == 5000
        )  # what hangs now is found soon
        with image_service(port) as stub:
            response = get(stub, "front")
            assert response.image_responses[0].status == STATUS.STATUS_OK
            assert get(stub, "Rear 1").header.error.message == "Rear 1: rear is gone."
        beat = servicer.report(lambda report: is_registered(report) and report["requests"] == 2)
        assert beat["refused"] == 0
        assert abs(beat["offset_ns"] + time.monotonic_ns() - robot.now_ns()) < 50_000_000
        wait_for(lambda: ["rear is gone." in fault.error_message for fault in robot.faults.values()] == [True])
        assert [name for _, name in robot.faults] == ["Image Capture Failure for Rear 1"]
        servicer.process.terminate()
        assert servicer.exit_code(5.0) == exit_codes.TERMINATED
        assert not robot.services
        assert SECRET not in servicer.log
        assert "Traceback" not in servicer.log


def test_it_beats_only_while_it_lives(configuration: dict[str, Any]) -> None:
    """A stopped process is silent; a running one beats about once a second."""
    with ServicerProcess(configuration) as servicer:
        servicer.report(is_beat)
        servicer.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: _state(servicer.process.pid) == "T")
        servicer.forget_reports()
        with pytest.raises(AssertionError):
            servicer.report(is_beat, within_s=1.5)
        servicer.process.send_signal(signal.SIGCONT)
        servicer.report(is_beat, within_s=5.0)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.mark.row("M29")
def test_a_port_in_use_is_one_clear_line(configuration: dict[str, Any]) -> None:
    """An error report with the port in it, its own exit code, and no traceback."""
    port = configuration["service"]["port"]
    with socket.create_server(("127.0.0.1", port)), ServicerProcess(configuration) as servicer:
        error = servicer.report(lambda report: report["report"] == "error")
        assert (error["code"], f":{port}: another program" in error["text"]) == ("port_in_use", True)
        assert servicer.exit_code() == exit_codes.PORT_IN_USE
        assert "Traceback" not in servicer.log


def test_a_bad_configuration_is_one_clear_line_without_the_secret(configuration: dict[str, Any]) -> None:
    """It names what is wrong, and shows no value: one of them is the payload's secret."""
    configuration["robot"] = {**configuration["robot"], "secret": [SECRET], "prot": 443}
    with ServicerProcess(configuration) as servicer:
        error = servicer.report(lambda report: report["report"] == "error")
        assert error["code"] == "bad_configuration"
        assert "robot.prot: " in error["text"]
        assert "robot.secret: " in error["text"]
        assert "\n" not in error["text"]
        assert servicer.exit_code() == exit_codes.BAD_CONFIGURATION
        assert SECRET not in error["text"] + servicer.log


def test_it_ends_with_its_supervisor(configuration: dict[str, Any]) -> None:
    """The end of its stdin is the end of the supervisor."""
    with ServicerProcess(configuration) as servicer:
        servicer.report(is_beat)
        servicer.hang_up()
        assert servicer.exit_code(5.0) == exit_codes.ORPHANED


def test_it_does_not_run_for_another_parent(configuration: dict[str, Any]) -> None:
    """Started for a supervisor that is gone already."""
    with ServicerProcess({**configuration, "supervisor_pid": 1}) as servicer:
        assert servicer.exit_code() == exit_codes.ORPHANED


@pytest.mark.row("M19")
def test_it_serves_without_a_robot(configuration: dict[str, Any], front: Ring) -> None:
    """Images with the last known robot time, while the beats say in words what is wrong with the robot."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        configuration["robot"] = {**configuration["robot"], "port": nobody.getsockname()[1]}
        front.show(smooth())
        with BoardWriter(configuration["instance"]) as board:
            board.publish(Status(configuration["instance"], os.getpid(), 0, (), robot_clock_offset_ns=OFFSET_NS))
            with ServicerProcess(configuration) as servicer:
                servicer.report(lambda report: is_beat(report) and "cannot be reached" in report["robot"])
                with image_service(configuration["service"]["port"]) as stub:
                    assert get(stub, "front").image_responses[0].status == STATUS.STATUS_OK
                servicer.process.terminate()
                assert servicer.exit_code(5.0) == exit_codes.TERMINATED


def test_a_server_whose_places_are_all_stuck_is_not_alive(
    configuration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To be refused because nothing moves is no sign of life; to be refused while calls end is."""
    monkeypatch.setattr(admission, "CALL_LIMIT_S", 0.2)
    servicer = process.Servicer(ServicerConfiguration.model_validate(configuration), Lifeline(-1))
    opened = threading.Event()
    monkeypatch.setattr(servicer._service, "_answers", lambda *_: [] if opened.wait(20) else None)
    grpc_server = server.create(servicer._service, servicer._peers)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = image_service_pb2_grpc.ImageServiceStub(channel)
        stuck = [stub.GetImage.future(image_pb2.GetImageRequest()) for _ in range(8)]
        wait_for(lambda: servicer._service.requests == 8)
        assert not servicer._serves(stub)
        opened.set()
        for call in stuck:
            call.result()
        assert servicer._serves(stub)
    grpc_server.stop(None).wait()


class LineToNobody(Lifeline):
    """A servicer's end of the line in this very process, which counts the turns of its loop."""

    turns = 0

    def __init__(self) -> None:
        super().__init__(-1)
        self.facts: Report = {}

    def end_if_orphaned(self) -> None:
        """Nobody could be gone."""
        self.turns += 1

    def _send(self, report: Report) -> None:
        """Keep what was said last."""
        self.facts = report


@contextlib.contextmanager
def running_here(configuration: dict[str, Any]) -> Iterator[tuple[process.Servicer, LineToNobody]]:
    """A servicer whose main loop runs in a thread, until the block ends."""
    line = LineToNobody()
    servicer = process.Servicer(ServicerConfiguration.model_validate(configuration), line)
    thread = threading.Thread(target=servicer.run)
    thread.start()
    try:
        wait_for(lambda: line.turns)
        yield servicer, line
    finally:
        line.stopping = True
        thread.join()


def test_what_is_wrong_is_known_before_the_robot_is_asked(
    configuration: dict[str, Any], instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that began without faults would clear those that a predecessor rightly raised."""
    start = RobotLink.start
    known: list[str] = []

    def remembering(link: RobotLink) -> None:
        known.extend(link._desired_faults())
        start(link)

    monkeypatch.setattr(RobotLink, "start", remembering)
    children = (ChildRecord("rear", "camera", "waiting", 0, error_code="absent", error_text="rear is gone."),)
    with BoardWriter(instance) as board:
        board.publish(Status(instance, os.getpid(), 0, children))
        with running_here(configuration):
            assert "Image Capture Failure for Rear 1" in known


def test_nothing_is_served_while_it_says_farewell(
    configuration: dict[str, Any], front: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches its health is told before the robot is: that may take a while."""
    stop, told = RobotLink.stop, []

    def asking(link: RobotLink, timeout_s: float) -> None:
        told.append(health_of(configuration))
        stop(link, timeout_s)

    monkeypatch.setattr(RobotLink, "stop", asking)
    front.show(smooth())
    with running_here(configuration):
        assert health_of(configuration) == health_pb2.HealthCheckResponse.SERVING
    assert told == [health_pb2.HealthCheckResponse.NOT_SERVING]


def health_of(configuration: dict[str, Any]) -> Any:
    """What the health service says of the whole."""
    with grpc.insecure_channel(f"127.0.0.1:{configuration['service']['port']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status


def test_memory_is_given_back_while_nobody_asks(configuration: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, but never during a call: who needs memory would wait meanwhile."""
    given_back = []
    monkeypatch.setattr(memory, "give_back", lambda: given_back.append(True))
    monkeypatch.setattr(process, "_GIVE_BACK_EVERY_S", 0.0)
    monkeypatch.setattr(process, "_TURN_S", 0.01)
    opened = threading.Event()

    def pass_turns(line: LineToNobody) -> None:
        enough = line.turns + 10
        wait_for(lambda: line.turns > enough)

    with running_here(configuration) as (servicer, line), image_service(configuration["service"]["port"]) as stub:
        monkeypatch.setattr(servicer._service, "_answers", lambda *_: [] if opened.wait(20) else None)
        pass_turns(line)
        assert len(given_back) > 5
        call = stub.GetImage.future(image_pb2.GetImageRequest())
        wait_for(lambda: servicer._service.requests == 1)
        pass_turns(line)
        before = len(given_back)
        pass_turns(line)
        assert len(given_back) == before
        opened.set()
        call.result()
        wait_for(lambda: len(given_back) > before)


def test_memory_is_given_back_though_somebody_always_asks(
    configuration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is stopped behind a proxy never takes its answer: that must not keep all memory here."""
    given_back = threading.Event()
    monkeypatch.setattr(memory, "give_back", given_back.set)
    monkeypatch.setattr(process, "_GIVE_BACK_PATIENCE_S", 0.1)
    monkeypatch.setattr(process, "_TURN_S", 0.01)
    monkeypatch.setattr(ImageService, "idle", False)
    with running_here(configuration):
        assert given_back.wait(20)


def test_news_for_the_board_are_told_at_once(configuration: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is registered, and which faults it shows: not with the next beat, which may be long after the log."""
    monkeypatch.setattr(process, "_SELF_CALL_EVERY_S", 3600.0)
    soon = threading.Event()
    monkeypatch.setattr(AllowedPeers, "look_up_soon", lambda _: soon.set())
    instance, front = configuration["instance"], ChildRecord("front", "camera", "starting", 0)
    rear = replace(front, name="rear")
    with BoardWriter(instance) as board:
        board.publish(Status(instance, os.getpid(), 0, (front, rear)))
        with running_here(configuration) as (_, line):
            wait_for(lambda: line.facts.get("robot") == "registered")
            assert soon.wait(20)  # the robot's name may stand for another address now
            assert line.facts["faults"] == []
            rear = replace(rear, state="waiting", error_code="absent", error_text="rear is gone.")
            board.publish(Status(instance, os.getpid(), 0, (front, rear)))
            wait_for(lambda: line.facts["faults"] == ["Image Capture Failure for Rear 1"])


def test_what_was_freed_goes_back_to_the_system() -> None:
    """Though something that is still needed lies above it, where glibc alone would keep all of it."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library has other ways")
    program = (
        "import psutil; from servicer import memory; memory.use_one_heap(); rss = psutil.Process().memory_info;"
        "held = [b'x' * 100_000 + bytes([n % 256]) for n in range(1000)]; last = held.pop(); held.clear();"
        "before = rss().rss; memory.give_back(); print(before - rss().rss)"
    )
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=60).stdout
    assert int(printed) > 80_000_000


@pytest.mark.slow
def test_overload_is_no_reason_to_be_killed(configuration: dict[str, Any], instance: str) -> None:
    """Promises are kept while far more is asked for than two cores can encode."""
    rows, cols = 2160, 3840
    with Ring(instance, "front", rows * cols * 3) as ring, ServicerProcess(configuration) as servicer:
        ring.show(smooth(rows, cols))
        servicer.report(is_registered)
        ratios = [1.0 - 0.001 * n for n in range(32)]
        entries = [image_pb2.ImageRequest(image_source_name="front", resize_ratio=r) for r in ratios]
        request = image_pb2.GetImageRequest(image_requests=entries)
        servicer.forget_reports()
        with image_service(configuration["service"]["port"]) as stub:
            calls = [stub.GetImage.future(request, timeout=60) for _ in range(100)]
            until_s = time.monotonic() + 8.0
            while time.monotonic() < until_s:
                servicer.report(is_beat, within_s=5.0)
            for call in calls:
                call.cancel()

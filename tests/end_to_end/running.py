"""A whole pipeline as a person starts it, next to a simulated robot that the test can command."""

import contextlib
import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from bosdyn.api import image_pb2
from bosdyn.client import create_standard_sdk
from bosdyn.client.exceptions import RpcError
from bosdyn.client.image import ImageClient, build_image_request

from shm import BoardReader, ChildRecord
from shm.names import names_of
from simulated_robot.robot import SimulatedRobot

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
SERVICE_NAME = "web-cam-service"
OK = image_pb2.ImageResponse.STATUS_OK
DATA_ERROR = image_pb2.ImageResponse.STATUS_IMAGE_DATA_ERROR

_TAG = "SPOT_CAMERAS_TEST"  # in the environment of a supervisor, and so of everything that it starts
_COUNTER = itertools.count()
_START_S = 40.0
_STOP_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Pipeline:
    """A running pipeline. `images` goes through the robot's proxy, by the authority in the robot's directory.

    `address` is where the servicer listens, for clients that do not come through the robot.
    """

    process: "subprocess.Popen[bytes]"
    instance: str
    robot: SimulatedRobot
    images: ImageClient
    address: str
    log_file: Path
    _board: BoardReader = field(repr=False)

    def child(self, name: str) -> ChildRecord:
        """What the board says of a child now."""
        status = self._board.latest()
        assert status is not None, self.log()
        return next(child for child in status.children if child.name == name)

    def pid(self, name: str) -> int:
        """Process id of a child that runs."""
        pid = self.child(name).pid
        assert pid is not None, f"{name} is not running\n{self.log()}"
        return pid

    def kill(self, name: str, signal_number: int) -> int:
        """Send a signal to a child; returns its pid."""
        pid = self.pid(name)
        os.kill(pid, signal_number)
        return pid

    def ask(self, source: str, timeout_s: float = 10.0, custom_params: Any = None, **request: Any) -> Any:
        """One ImageResponse, whatever its status."""
        wanted = build_image_request(source, **request)
        if custom_params is not None:
            wanted.custom_params.CopyFrom(custom_params)
        # The SDK raises on the first bad status; tests want to see it.
        return self.images.get_image([wanted], timeout=timeout_s, disable_error_handler=True)[0]

    def answers(self, source: str) -> bool:
        """Whether the source has an image right now."""
        try:
            return bool(self.ask(source).status == OK)
        except RpcError:  # the service itself is away
            return False

    def faults(self) -> dict[str, str]:
        """The faults of our service that the robot shows: name to text."""
        return {
            name: fault.error_message for (service, name), fault in self.robot.faults.items() if service == SERVICE_NAME
        }

    def status_json(self) -> dict[str, Any]:
        """What `supervisor.py status --json` prints."""
        command = [sys.executable, "supervisor.py", "status", "--json", "--instance", self.instance]
        printed = subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, check=True, timeout=30).stdout
        document: dict[str, Any] = json.loads(printed)
        return document

    def wait(self, condition: Callable[[], object], what: str, within_s: float) -> float:
        """Wait for a condition; returns the seconds it took, and fails with the end of the log."""
        return wait(condition, what, within_s, self.log)

    def wait_for_images(self, sources: Iterable[str], within_s: float) -> None:
        """Wait until each of these sources has answered, so long for each."""
        for source in sources:
            self.wait(functools.partial(self.answers, source), f"{source} answers", within_s)

    def log(self) -> str:
        """The end of the supervisor's output."""
        return self.log_file.read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def running_pipeline(
    folder: Path,
    cameras: Mapping[str, Mapping[str, Any]],
    *flags: str,
    instance: str | None = None,
    **start: Any,
) -> Iterator[Pipeline]:
    """Start a simulated robot and `supervisor.py` with these cameras; yields when the service is registered.

    `start` goes to `start_supervisor`. Leaving ends the supervisor with SIGTERM, within its 5 s, and checks that
    nothing of it is left.
    """
    instance = instance or f"test-{os.getpid()}-{next(_COUNTER)}"
    with SimulatedRobot() as robot:
        config = folder / f"{instance}.toml"
        config.write_text(toml(cameras))
        port = free_port()
        process, log_file = start_supervisor(
            folder,
            *("127.0.0.1", "--robot-port", str(robot.port), "--robot-ca", str(robot.ca_file)),
            *("--guid", "guid", "--secret", "secret", "--host-ip", "127.0.0.1", "--port", str(port)),
            *("--instance", instance, "--config", str(config), *flags),
            tag=instance,
            **start,
        )
        try:
            images = _images(robot, process, log_file)
            yield Pipeline(process, instance, robot, images, f"127.0.0.1:{port}", log_file, BoardReader(instance))
        finally:
            end(process, log_file)
        assert names_of(instance) == []
        assert processes_of(instance) == []


def start_supervisor(
    folder: Path,
    *arguments: str,
    tag: str,
    env: Mapping[str, str] | None = None,
    own_group: bool = False,
    command: Sequence[str] = (sys.executable, str(PROJECT_FOLDER / "supervisor.py")),
) -> "tuple[subprocess.Popen[bytes], Path]":
    """Start `python supervisor.py` with these arguments; its output goes to the file that is returned.

    `tag` is how `processes_of` finds it and its children again. With a process group of its own, a signal to the group
    is one as from a terminal. `command` is another program that becomes a supervisor.
    """
    log_file = folder / f"supervisor-{time.monotonic_ns()}.log"
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {}), _TAG: tag},
            start_new_session=own_group,
        )
    return process, log_file


def end(process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    """End a supervisor in an orderly way, if it still runs, and check that it is in time."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_STOP_S + 1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"did not end within {_STOP_S} s\n{log_file.read_text()[-4000:]}") from None
        assert code == 0, log_file.read_text()[-4000:]


def run_supervisor(folder: Path, *arguments: str, within_s: float = 30.0) -> "subprocess.CompletedProcess[str]":
    """Run `python supervisor.py` to its end."""
    return subprocess.run(
        [sys.executable, str(PROJECT_FOLDER / "supervisor.py"), *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def wait(condition: Callable[[], object], what: str, within_s: float, log: Callable[[], str]) -> float:
    """Wait for a condition; returns the seconds it took."""
    start_s = time.monotonic()
    while not condition():
        assert time.monotonic() - start_s < within_s, f"not within {within_s} s: {what}\n{log()}"
        threading.Event().wait(_POLL_S)
    return time.monotonic() - start_s


def processes_of(tag: str) -> list[int]:
    """Pids of every process that a supervisor with this tag started, and its own."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_TAG) == tag and process.status() != "zombie":
                found.append(process.pid)
    return found


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _images(robot: SimulatedRobot, process: "subprocess.Popen[bytes]", log_file: Path) -> ImageClient:
    """An SDK client that reaches the service through the robot's proxy, once it is registered there."""
    wait(
        lambda: SERVICE_NAME in robot.services or process.poll() is not None,
        "registration",
        _START_S,
        log_file.read_text,
    )
    assert process.poll() is None, log_file.read_text()
    sdk = create_standard_sdk("end-to-end-test", cert_resource_glob=str(robot.ca_file))
    client = sdk.create_robot("127.0.0.1")
    client.update_secure_channel_port(robot.port)
    client.authenticate("user", "password")
    client.sync_with_directory()
    return client.ensure_client(SERVICE_NAME)


def toml(cameras: Mapping[str, Mapping[str, Any]]) -> str:
    """A configuration file with these cameras."""
    lines = []
    for name, keys in cameras.items():
        lines.append(f"[cameras.{name}]")
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in keys.items() if not isinstance(value, dict))
        for table, inner in keys.items():
            if isinstance(inner, dict):
                lines.append(f"[cameras.{name}.{table}]")
                lines.extend(f"{key} = {json.dumps(value)}" for key, value in inner.items())
    return "\n".join(lines) + "\n"

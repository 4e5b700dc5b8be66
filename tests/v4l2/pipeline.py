"""The pipeline on both devices, started as a person starts it and reached as a client of the robot reaches it."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bosdyn.api import image_pb2, service_customization_pb2
from bosdyn.client import create_standard_sdk
from bosdyn.client.image import ImageClient, ImageDataError, build_image_request
from bosdyn.client.robot import Robot
from bosdyn.client.robot_state import RobotStateClient

from shm import BoardReader, RingReader
from shm.records import ChildRecord
from tests.v4l2.vivid import Picture

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
SERVICE_NAME = "web-cam-service"
INSTANCE = "test-v4l2"
START_S = 180.0  # software emulation: importing the SDK alone takes 5 s there, with nothing else running
STOP_S = 30.0
POLL_S = 0.2
RATE_WINDOW_NS = 8_000_000_000
RATE_WINDOWS = 3
LOG_TAIL_BYTES = 4000


@dataclass(frozen=True)
class Pipeline:
    """A running pipeline. `images` goes through the robot's proxy to the service that the robot's directory names."""

    robot: Robot
    images: ImageClient
    robot_state: RobotStateClient
    board: BoardReader
    log: Path

    def raw(self, source: str, **integers: int) -> Picture:
        """Return a RAW answer's picture: (rows, cols, 3) uint8, RGB; `integers` are parameters that are asked for."""
        image = self._shot(source, image_pb2.Image.FORMAT_RAW, **integers).image
        return np.frombuffer(image.data, np.uint8).reshape(image.rows, image.cols, 3)

    def jpeg(self, source: str) -> Picture:
        """Return a JPEG answer's picture, decoded: (rows, cols, 3) uint8, RGB."""
        image = self._shot(source, image_pb2.Image.FORMAT_JPEG).image
        decoded = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.ascontiguousarray(decoded[:, :, ::-1], dtype=np.uint8)

    def answers(self, source: str) -> bool:
        """Whether GetImage of the source is STATUS_OK at this moment, and not STATUS_IMAGE_DATA_ERROR."""
        try:
            self.images.get_image([build_image_request(source)], timeout=10)
        except ImageDataError:
            return False
        return True

    def next_frames(self, camera: str, count: int) -> list[tuple[int, int]]:
        """Return when each next frame was captured, and when it was seen in the ring (CLOCK_MONOTONIC ns)."""
        reader = RingReader(INSTANCE, camera)
        seen: dict[int, tuple[int, int]] = {}

        def enough() -> bool:
            if frame := reader.latest():
                seen.setdefault(frame.frame_number, (frame.captured_ns, time.monotonic_ns()))
            return len(seen) >= count

        wait_until(enough, f"{count} frames of {camera}", 30, self.log, poll_s=0.001)
        return list(seen.values())

    def age_s(self, source: str) -> float:
        """Return how old a picture is when it arrives, by the robot's clock; negative if it is from the future."""
        acquired = self._shot(source, image_pb2.Image.FORMAT_JPEG).acquisition_time
        arrived = self.robot.time_sync.robot_timestamp_from_local_secs(time.time())
        return float((arrived.ToNanoseconds() - acquired.ToNanoseconds()) / 1e9)

    def faults(self) -> list[str]:
        """Return the service's faults as the robot reports them: name and message of each."""
        faults = self.robot_state.get_robot_state(timeout=10).service_fault_state.faults
        ours = (fault for fault in faults if fault.fault_id.service_name == SERVICE_NAME)
        return [f"{fault.fault_id.fault_name}: {fault.error_message}" for fault in ours]

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what `supervisor.py status --json` says of each camera, by name."""
        command = [sys.executable, "supervisor.py", "status", "--json", "--instance", INSTANCE]
        printed = subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, check=True, timeout=60).stdout
        cameras: dict[str, dict[str, Any]] = json.loads(printed)["cameras"]
        return cameras

    def error_code(self, camera: str) -> str | None:
        """Return what the status board says is wrong with the camera."""
        return self._record(camera).error_code

    def restarts(self, camera: str) -> int:
        """Return how often the camera's worker was started again."""
        return self._record(camera).restarts

    def keeps(self, camera: str, wanted_hz: float) -> bool:
        """Whether the camera has this frame rate from now on.

        The emulator shares its host with whatever else runs there; a loss that is ours shows in every window.
        """
        return any(self.rate_hz(camera) >= wanted_hz for _ in range(RATE_WINDOWS))

    def rate_hz(self, camera: str) -> float:
        """Measure the published frames per second of their own capture times, over one window."""
        start = self._record(camera)
        wanted_ns = (start.captured_ns or 0) + RATE_WINDOW_NS
        self.wait_until(lambda: (self._record(camera).captured_ns or 0) >= wanted_ns, f"{camera} to go on", 30)
        end = self._record(camera)
        return (end.frames - start.frames) * 1e9 / ((end.captured_ns or 0) - (start.captured_ns or 0))

    def _record(self, camera: str) -> ChildRecord:
        board = self.board.latest()
        assert board, f"there is no status board\n{_tail(self.log)}"
        return next(child for child in board.children if child.name == camera)

    def wait_until(self, condition: Callable[[], bool], what: str, within_s: float) -> float:
        """Wait for the condition and return how long it took, in seconds. Fails with the end of its log."""
        return wait_until(condition, what, within_s, self.log)

    def parameters(self, source: str) -> service_customization_pb2.DictParam.Spec:
        """Return what the source advertises."""
        return next(found.custom_params for found in self.images.list_image_sources(timeout=10) if found.name == source)

    def _shot(self, source: str, image_format: "image_pb2.Image.Format", **integers: int) -> image_pb2.ImageCapture:
        request = build_image_request(
            source, quality_percent=95, image_format=image_format, pixel_format=image_pb2.Image.PIXEL_FORMAT_RGB_U8
        )
        for key, value in integers.items():
            request.custom_params.values[key].int_value.value = value
        return self.images.get_image([request], timeout=10)[0].shot


@contextlib.contextmanager
def running_pipeline(folder: Path, devices: Mapping[str, int | str]) -> Iterator[Pipeline]:
    """Run a simulated robot and the supervisor on these devices; yields once the service is registered.

    The pictures of these devices may stand still: they are compared with what the driver should have drawn.
    """
    robot_port = _free_port()
    robot = ["-m", "simulated_robot", "--port", str(robot_port), "--ca-out", str(folder / "ca.pem")]
    cameras = (
        f"[cameras.{name}]\ndevice = {json.dumps(device)}\nfrozen_after_s = 0\n" for name, device in devices.items()
    )
    (folder / "pipeline.toml").write_text("".join(cameras))
    supervise = [
        *("supervisor.py", "127.0.0.1", "--robot-port", str(robot_port), "--robot-ca", str(folder / "ca.pem")),
        *("--host-ip", "127.0.0.1", "--port", str(_free_port()), "--guid", "v4l2-test", "--secret", "v4l2-test"),
        *("--instance", INSTANCE, "--config", str(folder / "pipeline.toml")),
    ]
    with _running(robot, folder / "robot.log"):
        wait_until(lambda: _accepts_connections(robot_port), "the robot listens", START_S, folder / "robot.log")
        with _running(supervise, folder / "supervisor.log") as supervisor:
            pipeline = _connect(robot_port, folder, supervisor)
            try:
                yield pipeline
            finally:
                pipeline.robot.stop_time_sync()


def wait_until(
    condition: Callable[[], bool], what: str, within_s: float, log: Path, *, poll_s: float = POLL_S
) -> float:
    """Wait for the condition and return how long it took, in seconds. Fails with the end of the log."""
    start_s = time.monotonic()
    while not condition():
        assert time.monotonic() - start_s < within_s, f"not within {within_s} s: {what}\n{_tail(log)}"
        time.sleep(poll_s)
    return time.monotonic() - start_s


def _tail(log: Path) -> str:
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


@contextlib.contextmanager
def _running(arguments: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=PROJECT_FOLDER, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(STOP_S)
    assert exit_code == 0, f"exit code {exit_code}\n{_tail(log)}"


def _connect(robot_port: int, folder: Path, supervisor: "subprocess.Popen[bytes]") -> Pipeline:
    log = folder / "supervisor.log"
    robot = create_standard_sdk("v4l2-test", cert_resource_glob=str(folder / "ca.pem")).create_robot("127.0.0.1")
    robot.update_secure_channel_port(robot_port)
    robot.authenticate("user", "password")

    def registered() -> bool:
        assert supervisor.poll() is None, f"the supervisor has ended\n{_tail(log)}"
        return SERVICE_NAME in robot.sync_with_directory()

    wait_until(registered, "the service is registered", START_S, log)
    robot.time_sync.wait_for_sync(timeout_sec=START_S)
    images = robot.ensure_client(SERVICE_NAME)
    return Pipeline(
        robot, images, robot.ensure_client(RobotStateClient.default_service_name), BoardReader(INSTANCE), log
    )


def _accepts_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

"""The pipeline on both devices, started as a person starts it and reached as a client of the robot reaches it."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bosdyn.api import image_pb2
from bosdyn.client import create_standard_sdk
from bosdyn.client.image import ImageClient, ImageDataError, build_image_request
from bosdyn.client.robot_state import RobotStateClient

from shm import BoardReader
from tests.v4l2.vivid import Picture

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
SERVICE_NAME = "web-cam-service"
INSTANCE = "test-v4l2"
START_S = 180.0  # software emulation: importing the SDK alone takes 5 s there, with nothing else running
STOP_S = 30.0
POLL_S = 0.2
LOG_TAIL_BYTES = 4000


@dataclass(frozen=True)
class Pipeline:
    """A running pipeline. `images` goes through the robot's proxy to the service that the robot's directory names."""

    images: ImageClient
    robot_state: RobotStateClient
    board: BoardReader
    log: Path

    def raw(self, source: str) -> Picture:
        """Return a RAW answer's picture: (rows, cols, 3) uint8, RGB."""
        image = self._image(source, image_pb2.Image.FORMAT_RAW)
        return np.frombuffer(image.data, np.uint8).reshape(image.rows, image.cols, 3)

    def jpeg(self, source: str) -> Picture:
        """Return a JPEG answer's picture, decoded: (rows, cols, 3) uint8, RGB."""
        image = self._image(source, image_pb2.Image.FORMAT_JPEG)
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

    def faults(self) -> list[str]:
        """Return the service's faults as the robot reports them: name and message of each."""
        faults = self.robot_state.get_robot_state(timeout=10).service_fault_state.faults
        ours = (fault for fault in faults if fault.fault_id.service_name == SERVICE_NAME)
        return [f"{fault.fault_id.fault_name}: {fault.error_message}" for fault in ours]

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what `supervisor.py status --json` says of each child, by name."""
        command = [sys.executable, "supervisor.py", "status", "--json", "--instance", INSTANCE]
        printed = subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, check=True, timeout=60).stdout
        return {child["name"]: child for child in json.loads(printed)["children"]}

    def rate_hz(self, camera: str, over_s: float) -> float:
        """Measure a camera's frame rate from now on: published frames per second of their own capture times."""
        start = self._beat(camera)
        self.wait_until(lambda: self._beat(camera)[1] - start[1] >= over_s, f"{over_s} s of {camera}", 3 * over_s)
        end = self._beat(camera)
        return (end[0] - start[0]) / (end[1] - start[1])

    def _beat(self, camera: str) -> tuple[int, float]:
        """Return the number of the frames until now and when the last one was captured, in seconds."""
        board = self.board.latest()
        record = next(child for child in board.children if child.name == camera) if board else None
        if record is None or record.captured_ns is None:
            raise AssertionError(f"the board has no frame of {camera}\n{_tail(self.log)}")
        return record.frames, record.captured_ns / 1e9

    def wait_until(self, condition: Callable[[], bool], what: str, within_s: float) -> float:
        """Wait for the condition and return how long it took, in seconds. Fails with the end of its log."""
        return wait_until(condition, what, within_s, self.log)

    def _image(self, source: str, image_format: "image_pb2.Image.Format") -> image_pb2.Image:
        request = build_image_request(
            source, quality_percent=95, image_format=image_format, pixel_format=image_pb2.Image.PIXEL_FORMAT_RGB_U8
        )
        return self.images.get_image([request], timeout=10)[0].shot.image


@contextlib.contextmanager
def running_pipeline(folder: Path, device_names: list[str]) -> Iterator[Pipeline]:
    """Run a simulated robot and the supervisor on these devices; yields once the service is registered."""
    robot_port = _free_port()
    robot = ["-m", "simulated_robot", "--port", str(robot_port), "--ca-out", str(folder / "ca.pem")]
    pipeline = [
        *("supervisor.py", "127.0.0.1", "--robot-port", str(robot_port), "--robot-ca", str(folder / "ca.pem")),
        *("--host-ip", "127.0.0.1", "--port", str(_free_port()), "--guid", "v4l2-test", "--secret", "v4l2-test"),
        *("--instance", INSTANCE, "--device-name", *device_names),
    ]
    with _running(robot, folder / "robot.log"):
        wait_until(lambda: _accepts_connections(robot_port), "the robot listens", START_S, folder / "robot.log")
        with _running(pipeline, folder / "supervisor.log"):
            yield _connect(robot_port, folder)


def wait_until(condition: Callable[[], bool], what: str, within_s: float, log: Path) -> float:
    """Wait for the condition and return how long it took, in seconds. Fails with the end of the log."""
    start_s = time.monotonic()
    while not condition():
        assert time.monotonic() - start_s < within_s, f"not within {within_s} s: {what}\n{_tail(log)}"
        time.sleep(POLL_S)
    return time.monotonic() - start_s


def _tail(log: Path) -> str:
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


@contextlib.contextmanager
def _running(arguments: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=PROJECT_FOLDER, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(STOP_S)
    assert exit_code == 0, f"exit code {exit_code}\n{_tail(log)}"


def _connect(robot_port: int, folder: Path) -> Pipeline:
    log = folder / "supervisor.log"
    robot = create_standard_sdk("v4l2-test", cert_resource_glob=str(folder / "ca.pem")).create_robot("127.0.0.1")
    robot.update_secure_channel_port(robot_port)
    robot.authenticate("user", "password")
    wait_until(lambda: SERVICE_NAME in robot.sync_with_directory(), "the service is registered", START_S, log)
    images = robot.ensure_client(SERVICE_NAME)
    return Pipeline(images, robot.ensure_client(RobotStateClient.default_service_name), BoardReader(INSTANCE), log)


def _accepts_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

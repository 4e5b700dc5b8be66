"""The pipeline that suffers: `supervisor.py` with three synthetic cameras, started as a person starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chaos.facts import Camera
from chaos.processes import TAG, processes_of
from shm import BoardReader, ChildRecord
from shm.names import names_of, path_of
from simulated_robot.robot import SimulatedRobot

SERVICE_NAME = "web-cam-service"
MAX_AGE_S, FROZEN_AFTER_S = 0.5, 3.0
CAMERAS = (
    Camera("front", 15.0, MAX_AGE_S, FROZEN_AFTER_S, ring_mb=6 * 0.93),
    Camera("rear", 10.0, MAX_AGE_S, FROZEN_AFTER_S, ring_mb=6 * 1.06),
    Camera("top", 10.0, MAX_AGE_S, FROZEN_AFTER_S, ring_mb=6 * 0.32),
)
BUDGET_MB = sum(camera.ring_mb for camera in CAMERAS) + 3 * 6.4 + 2 * 1.1  # each may be replaced now; the board too

_PROJECT = Path(__file__).resolve().parent.parent
_ENCODINGS = {"front": "bgr8", "rear": "jpeg", "top": "mono8"}
_STOP_S = 5.0


class Pipeline:
    """Starts, kills and restarts the supervisor. `tag` is how its processes are found; the log is one file."""

    def __init__(self, folder: Path, robot: SimulatedRobot, host_ip: str, port: int, longest_s: float) -> None:
        self.instance = self.tag = f"chaos-{os.getpid()}"
        self.folder = folder
        self.log_file = folder / "pipeline.log"
        self.host_ip, self.port = host_ip, port
        self.process: subprocess.Popen[bytes] | None = None
        self._robot = robot
        self._longest_s = longest_s
        self._board = BoardReader(self.instance)

    def start(self) -> None:
        """Start the supervisor."""
        self.write_configuration()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, str(_PROJECT / "supervisor.py"), *self._arguments()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, TAG: self.tag},
            )

    def stop(self) -> tuple[int | None, float]:
        """End it in an orderly way; returns the exit code, None if it took too long, and how long it took."""
        if self.process is None:
            return 0, 0.0
        begun_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code: int | None = self.process.wait(_STOP_S + 0.5)
        except subprocess.TimeoutExpired:
            code = None
        return code, time.monotonic() - begun_s

    def kill_all(self) -> None:
        """SIGKILL whatever is left of it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in processes_of(self.tag):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def child(self, name: str) -> ChildRecord | None:
        """What the board of the present supervisor says about a child."""
        status = self._board.latest()
        if status is None or self.process is None or status.supervisor_pid != self.process.pid:
            return None
        return next((child for child in status.children if child.name == name), None)

    def running_pid(self, name: str) -> int | None:
        """The process of a child that is at work; None if there is none."""
        child = self.child(name)
        return child.pid if child is not None and child.state == "running" else None

    def processes(self) -> list[int]:
        """All of its processes."""
        return processes_of(self.tag)

    def inodes(self) -> dict[int, str]:
        """Its segments that are there now."""
        found = {}
        for name in names_of(self.instance):
            try:
                found[path_of(name).stat().st_ino] = name
            except FileNotFoundError:
                continue
        return found

    def post_mortems(self) -> set[str]:
        """The files about processes that died which are there now."""
        return {str(path) for path in (self._post_mortem_dir / self.instance).glob("*.txt")}

    @property
    def _post_mortem_dir(self) -> Path:
        return self.folder / "post-mortem"

    def control_file(self, camera: str) -> Path:
        """Where a synthetic camera looks what to do wrong."""
        return self.folder / f"{camera}.control"

    @property
    def configuration_file(self) -> Path:
        """The TOML file."""
        return self.folder / "chaos.toml"

    def write_configuration(self) -> None:
        """Write the TOML file, whatever is there now."""
        lines = [f"post_mortem_dir = {json.dumps(str(self._post_mortem_dir))}"]
        for camera in CAMERAS:
            lines += [f"[cameras.{camera.name}]", 'driver = "synthetic"', "width = 640", "height = 480"]
            lines += [f"fps = {camera.fps}", f"max_age_s = {camera.max_age_s}"]
            lines += [f"frozen_after_s = {camera.frozen_after_s}", f"[cameras.{camera.name}.synthetic]"]
            lines += [f'encoding = "{_ENCODINGS[camera.name]}"']
            lines += [f"control_file = {json.dumps(str(self.control_file(camera.name)))}"]
        self.configuration_file.write_text("\n".join(lines) + "\n")

    def _arguments(self) -> list[str]:
        robot = ["127.0.0.1", "--robot-port", str(self._robot.port), "--robot-ca", str(self._robot.ca_file)]
        who = ["--guid", "guid", "--secret", "secret", "--host-ip", self.host_ip, "--port", str(self.port)]
        end = ["--duration", str(self._longest_s)]  # whatever becomes of whoever started it
        return [*robot, *who, *end, "--instance", self.instance, "--config", str(self.configuration_file)]

"""Everybody around the pipeline: the observer, the clients, the stranger, the local program, and the nuisances."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaos.clients import Settings
from chaos.isolation import STRANGER_IP
from chaos.observer import SOCKET
from chaos.pipeline import CAMERAS, SERVICE_NAME, Pipeline

_Process = subprocess.Popen[bytes]
_ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # the pipeline's alone
_ELSEWHERE, _LESS = ("clients", "nuisance", "intruder"), 5  # in the field they compute on other computers


class Crowd:
    """Starts them and ends them; `annoy` does what clients should not do. `finish` returns what the observer found."""

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self.status: dict[str, Any] = {}
        self.reader: _Process | None = None
        self._pipeline = pipeline
        self._seed = seed
        self._started: list[_Process] = []
        self._observer: _Process | None = None
        self._nuisance: _Process | None = None
        self._listening = threading.Event()

    @property
    def socket(self) -> Path:
        """Where the observer listens."""
        return self._pipeline.folder / SOCKET

    @property
    def observer_lives(self) -> bool:
        """Whether it still observes."""
        return self._observer is not None and self._observer.poll() is None

    def start_observer(self, timeout_s: float) -> None:
        """Start the observer and wait until it listens. Raises TimeoutError."""
        pipeline = self._pipeline
        where = [str(pipeline.folder), pipeline.instance, pipeline.tag, str(pipeline.log_file)]
        self._observer = self._start("observer", *where, stdout=subprocess.PIPE)
        threading.Thread(target=self._follow, args=(self._observer,), daemon=True).start()
        if not self._listening.wait(timeout_s):
            raise TimeoutError("the observer does not start")

    def start_clients(self, count: int, robot_port: int, robot_ca: Path, *, stranger: bool) -> None:
        """Start the clients, half of them through the robot's proxy, and everybody else."""
        pipeline = self._pipeline
        names = tuple(camera.name for camera in CAMERAS)
        for way, number in (("direct", count - count // 2), ("proxy", count // 2)):
            where = (str(self.socket), way, number, pipeline.host_ip, pipeline.port, robot_port, str(robot_ca))
            settings = Settings(*where, SERVICE_NAME, names, self._seed + (1000 if way == "proxy" else 0))
            self._start("clients", settings.to_json())
        self.start_reader()
        self._nuisance = self._start("nuisance", pipeline.host_ip, str(pipeline.port))
        if stranger:
            self._start("intruder", str(self.socket), STRANGER_IP, pipeline.host_ip, str(pipeline.port))

    def start_reader(self) -> None:
        """Start the local program that reads the rings."""
        names = (camera.name for camera in CAMERAS)
        self.reader = self._start("local_reader", str(self.socket), self._pipeline.instance, *names)

    def annoy(self, kind: str, figure: float, hold_s: float) -> Iterator[float]:
        """Do this kind of nuisance, as a fault's steps."""
        if kind == "stopped_clients":
            yield from self._stop_clients(int(figure), hold_s)
        elif self._nuisance is not None and self._nuisance.stdin is not None:
            self._nuisance.stdin.write(f"{kind} {figure}\n".encode())
            self._nuisance.stdin.flush()
            yield hold_s

    def finish(self, timeout_s: float) -> dict[str, Any]:
        """Have the observer finish. Returns what it said last, with its "result"; without one if it died."""
        if self._observer is None or self._observer.stdin is None:
            return {}
        try:
            self._observer.stdin.write(b"\n")
            self._observer.stdin.close()
            self._observer.wait(timeout_s)
        except (OSError, subprocess.TimeoutExpired):
            return {}
        for _ in range(100):
            if "result" in self.status:
                break
            threading.Event().wait(0.05)
        return self.status

    def end(self) -> None:
        """End everybody."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def _stop_clients(self, count: int, hold_s: float) -> Iterator[float]:
        where = self._pipeline.host_ip, str(self._pipeline.port)
        greedy = [self._start("nuisance", *where, "greedy", stdout=subprocess.DEVNULL) for _ in range(min(count, 3))]
        yield 1.5  # until they have asked
        for process in greedy:
            process.send_signal(signal.SIGSTOP)
        yield hold_s
        for process in greedy:
            process.kill()
            process.wait()

    def _follow(self, observer: _Process) -> None:
        for line in observer.stdout or ():
            self.status = {**self.status, **json.loads(line)}
            self._listening.set()

    def _start(self, module: str, *arguments: str, stdout: int | None = None) -> _Process:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", f"chaos.{module}", *arguments],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=stdout,
            env={**_ENVIRONMENT, "GRPC_VERBOSITY": "NONE"},
        )
        if module in _ELSEWHERE:
            os.setpriority(os.PRIO_PROCESS, process.pid, _LESS)
        self._started.append(process)
        return process

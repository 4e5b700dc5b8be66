"""Runs a real supervisor over scripted children, and waits for what the board, the log or /proc says about it."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil

from shm import names
from shm.board import BoardReader
from shm.records import ChildRecord, Status
from supervision.instance import lock_path
from supervision.process import PROJECT_FOLDER

DEADLINE_S = 20.0
_TAG = "SUPERVISION_TEST_INSTANCE"
_numbers = itertools.count()

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Return the first true answer of `look`, or fail with `what` after the deadline."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        if answer := look():
            return answer
        time.sleep(0.01)
    raise AssertionError(f"not within {deadline_s} s: {what}")


def new_instance() -> str:
    """Return an instance name that nobody else on this machine uses."""
    return f"test-{os.getpid()}-{next(_numbers)}"


class RunningSupervisor:
    """A supervisor process inside `with`; `cameras` maps names to behaviours of tests.supervision.scripted_child.

    A name may be `user:password@name`: then the device's URL has these.
    """

    def __init__(self, log_file: Path, cameras: dict[str, str], **request: Any) -> None:
        self.instance: str = request.pop("instance", None) or new_instance()
        self.log_file = log_file
        self._stdin: int = request.pop("stdin", subprocess.DEVNULL)
        self._pipe_log: bool = request.pop("pipe_log", False)
        more_settings = {"simulate": request.pop("simulate", False), "service": request.pop("service", {})}
        more_settings["shm_group"] = request.pop("shm_group", None)
        self.post_mortems = log_file.parent / "post-mortem" / self.instance
        self._prefix: list[str] = request.pop("prefix", [])  # of the command, as `unshare`
        self._pid_on_board: int | None = request.pop("pid_on_board", None)  # if that is not the one that we know
        document = settings_document(self.instance, cameras)
        document["post_mortem_dir"] = str(request.pop("post_mortem_dir", self.post_mortems.parent))
        document["child_memory_limit_mb"] = request.pop("child_memory_limit_mb", 1024)
        document["robot"] |= request.pop("robot", {})
        self._request = {"settings": {**document, **more_settings}, **request}
        self._board = BoardReader(self.instance)

    def __enter__(self) -> "RunningSupervisor":
        """Start it."""
        with self.log_file.open("ab") as log:
            self.popen = subprocess.Popen(
                [
                    *self._prefix,
                    sys.executable,
                    "-m",
                    "tests.supervision.scripted_supervisor",
                    json.dumps(self._request),
                ],
                cwd=PROJECT_FOLDER,
                env={**os.environ, _TAG: self.instance},
                stdin=self._stdin,
                stderr=subprocess.PIPE if self._pipe_log else log,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it in an orderly way if that is quick, kill whatever is left, and remove its names."""
        for patience_s in (0.5, 5.0):  # the second signal tells it to kill its children at once
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(patience_s)
        self.popen.kill()
        self.popen.wait()
        if self.popen.stderr:
            self.popen.stderr.close()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for name in names.names_of(self.instance):
            names.remove(name)
        lock_path(self.instance).unlink(missing_ok=True)

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self.log_file.read_text(errors="replace")

    def status(self) -> Status | None:
        """Return the newest status, unless it is one of an earlier supervisor."""
        status = self._board.latest()
        return status if status and status.supervisor_pid == (self._pid_on_board or self.popen.pid) else None

    def child(self, name: str) -> ChildRecord | None:
        """Return the record of a child."""
        status = self.status()
        return next((child for child in status.children if child.name == name), None) if status else None

    def wait_until(
        self, name: str, accept: Callable[[ChildRecord], bool], deadline_s: float = DEADLINE_S
    ) -> ChildRecord:
        """Return a child's record once it is accepted."""

        def look() -> ChildRecord | None:
            child = self.child(name)
            return child if child and accept(child) else None

        try:
            return wait_for(look, name, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.child(name)}\n{self.log}") from error

    def wait_until_working(self, name: str) -> int:
        """Return a child's pid once it works and, as a camera, has delivered frames."""
        child = self.wait_until(name, lambda child: child.state == "running" and child.frames > 0)
        assert child.pid is not None
        return child.pid

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal, and return how many seconds the supervisor took to end."""
        started_s = time.monotonic()
        self.popen.send_signal(number)
        self.popen.wait(DEADLINE_S)
        return time.monotonic() - started_s

    def processes(self) -> list[psutil.Process]:
        """Return every process that descends from this supervisor, itself too, zombies not."""
        return list(_tagged(self.instance))


def settings_document(instance: str, cameras: dict[str, str]) -> dict[str, Any]:
    """Return settings for scripted cameras, as JSON values."""
    return {
        "instance": instance,
        "robot": {"guid": "g", "secret": "s"},
        "cameras": {
            name.rpartition("@")[2]: {"device": f"test://{name}/{behaviour}"} for name, behaviour in cameras.items()
        },
    }


def _tagged(instance: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_TAG) == instance and process.status() != psutil.STATUS_ZOMBIE:
                yield process

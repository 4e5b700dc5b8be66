"""Starts a capture worker as the supervisor does, and listens to its reports and its ring."""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from shm import Frame, RingReader, names
from supervision.camera_settings import CameraSettings

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 20.0

_T = TypeVar("_T")


def wait_for(condition: Callable[[], _T | None], deadline_s: float = DEADLINE_S) -> _T:
    """Ask until the answer is true, and return it."""
    until_s = time.monotonic() + deadline_s
    while time.monotonic() < until_s:
        if answer := condition():
            return answer
        time.sleep(0.001)
    raise AssertionError(f"not true within {deadline_s} s")


class WorkerProcess:
    """One real worker, inside `with`. Leaving kills it and removes its names.

    `file_limit_bytes` makes larger segments fail, as in a small /dev/shm; `changes` go into the configuration line.
    """

    def __init__(
        self, settings: CameraSettings, name: str = "front", file_limit_bytes: int | None = None, **changes: Any
    ) -> None:
        self.name = name
        self.instance = f"t{uuid.uuid4().hex[:16]}"
        self.reports: list[dict[str, Any]] = []
        self._settings = settings
        self._changes = changes
        self._file_limit_bytes = file_limit_bytes
        self._unread = b""

    def __enter__(self) -> "WorkerProcess":
        """Start the process and send its configuration."""
        self._log = tempfile.TemporaryFile()
        self._report_fd, child_fd = os.pipe()
        argv = [sys.executable, "-m", "capture_worker", "--report-fd", str(child_fd)]
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[child_fd],
            cwd=PROJECT,
            start_new_session=True,
        )
        os.close(child_fd)
        os.set_blocking(self._report_fd, False)
        self.reader = RingReader(self.instance, self.name)
        if self._file_limit_bytes is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (self._file_limit_bytes,) * 2)
        self._send_configuration()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no process, no descriptor and no name behind."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._log.close()
        os.close(self._report_fd)
        for name in names.names_of(self.instance):
            names.remove(name)

    def _send_configuration(self) -> None:
        """Write the line that the supervisor would write."""
        configuration = {
            "supervisor_pid": os.getpid(),
            "instance": self.instance,
            "name": self.name,
            "camera": self._settings.model_dump(mode="json"),
            **self._changes,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(configuration).encode() + b"\n")
        self.process.stdin.flush()

    def read_reports(self) -> list[dict[str, Any]]:
        """Return everything reported so far."""
        while select.select([self._report_fd], [], [], 0)[0] and (chunk := os.read(self._report_fd, 65536)):
            *lines, self._unread = (self._unread + chunk).split(b"\n")
            self.reports += [json.loads(line) for line in lines]
        return self.reports

    def wait_report(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Wait for a report of this kind that has these facts."""

        def found() -> dict[str, Any] | None:
            wanted = {"report": kind, **facts}
            return next((report for report in self.read_reports() if wanted.items() <= report.items()), None)

        return wait_for(found)

    def wait_beat(self, **at_least: int) -> dict[str, Any]:
        """Wait for a beat whose facts reach these figures."""

        def found() -> dict[str, Any] | None:
            beats = (report for report in self.read_reports() if report["report"] == "beat")
            return next((b for b in beats if all(b.get(key, -1) >= least for key, least in at_least.items())), None)

        return wait_for(found)

    def wait_count(self, count: int) -> None:
        """Wait until there were so many reports."""
        wait_for(lambda: len(self.read_reports()) >= count)

    def wait_end(self) -> tuple[int, str]:
        """Wait until it ends by itself: its exit code and its log."""
        code = self.process.wait(DEADLINE_S)
        self.read_reports()
        self._log.seek(0)
        return code, self._log.read().decode()

    def log(self) -> str:
        """Return what it has logged so far."""
        fd = self._log.fileno()
        return os.pread(fd, os.fstat(fd).st_size, 0).decode()

    def error(self) -> tuple[str, str]:
        """Return code and text of the last error report."""
        errors = [report for report in self.read_reports() if report["report"] == "error"]
        return errors[-1]["code"], errors[-1]["text"]

    def terminate(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)

    def frames(self, deadline_s: float = DEADLINE_S) -> Iterator[Frame]:
        """Yield every new frame that can be caught, until the deadline."""
        last_number = -1
        until_s = time.monotonic() + deadline_s
        while time.monotonic() < until_s:
            frame = self.reader.latest()
            if frame is not None and frame.frame_number > last_number:
                last_number = frame.frame_number
                yield frame
            else:
                time.sleep(0.001)

    def take(self, count: int) -> list[Frame]:
        """Catch so many frames."""
        frames = self.frames()
        caught = [frame for _, frame in zip(range(count), frames, strict=False)]
        assert len(caught) == count
        return caught

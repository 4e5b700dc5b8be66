"""A pipeline without a robot, for rows about processes alone: quick to start, and nothing of it is in our process."""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shm import BoardReader, ChildRecord, names
from tests.end_to_end.running import free_port, processes_of, start_supervisor, toml, wait

READY_S = 30.0
FPS = 10.0
SMALL = {"driver": "synthetic", "width": 160, "height": 120, "fps": FPS}
TWO_CAMERAS = {"a": SMALL, "b": SMALL}

_numbers = itertools.count()


@dataclass(frozen=True)
class Bare:
    """A running supervisor; its robot is one that never answers."""

    process: "subprocess.Popen[bytes]"
    instance: str
    log_file: Path
    _board: BoardReader = field(repr=False)

    def child(self, name: str) -> ChildRecord | None:
        """What this supervisor's board says of a child, if there is a board yet."""
        status = self._board.latest()
        if status is None or status.supervisor_pid != self.process.pid:
            return None
        return next(child for child in status.children if child.name == name)

    def works(self, name: str) -> bool:
        """Whether a child is ready, and a camera has delivered frames."""
        child = self.child(name)
        return child is not None and child.state == "running" and (child.kind != "camera" or child.frames > 0)

    def pid(self, name: str) -> int:
        """Process id of a child that runs."""
        child = self.child(name)
        assert child is not None, self.log()
        assert child.pid is not None, self.log()
        return child.pid

    def wait(self, condition: Callable[[], object], what: str, within_s: float) -> float:
        """Wait for a condition; returns the seconds it took, and fails with the end of the log."""
        return wait(condition, what, within_s, self.log)

    def await_all(self, *children: str) -> None:
        """Wait until these children work."""
        for name in children:
            self.wait(lambda name=name: self.works(name), f"{name} works", READY_S)  # type: ignore[misc]

    def kept_rate(self, before: ChildRecord, window_s: float = 5.0) -> float:
        """The part of its rate that a small camera has kept since `before`, by its own frames' capture times."""

        def now() -> ChildRecord:
            child = self.child(before.name)
            assert child is not None
            return child

        def measured_s() -> float:
            return ((now().captured_ns or 0) - (before.captured_ns or 0)) / 1e9

        self.wait(lambda: measured_s() > window_s, f"{window_s} s of {before.name}", 3 * window_s)
        after = now()
        assert after.pid == before.pid
        return (after.frames - before.frames) / (((after.captured_ns or 0) - (before.captured_ns or 0)) / 1e9) / FPS

    def log(self) -> str:
        """The end of the supervisor's output."""
        return self.log_file.read_text(errors="replace")[-4000:]


def new_instance() -> str:
    """An instance name that nobody else on this machine uses."""
    return f"test-bare-{os.getpid()}-{next(_numbers)}"


def start(
    folder: Path, cameras: dict[str, dict[str, Any]], instance: str, *flags: str, head: str = "", **how: Any
) -> Bare:
    """Start a supervisor whose robot is out of reach. `head` is what its configuration says beside the cameras."""
    config = folder / f"{instance}.toml"
    config.write_text(head + toml(cameras))
    process, log_file = start_supervisor(
        folder,
        *("127.0.0.1", "--robot-port", str(free_port()), "--guid", "guid", "--secret", "secret"),
        *("--host-ip", "127.0.0.1", "--instance", instance, "--config", str(config)),
        *(flags if "--port" in flags else ("--port", str(free_port()), *flags)),
        tag=instance,
        **how,
    )
    return Bare(process, instance, log_file, BoardReader(instance))


@contextlib.contextmanager
def running(folder: Path, cameras: dict[str, dict[str, Any]], *flags: str, **how: Any) -> Iterator[Bare]:
    """A supervisor that is ended in the end, however that may be, and leaves nothing."""
    bare = start(folder, cameras, how.pop("instance", None) or new_instance(), *flags, **how)
    try:
        yield bare
    finally:
        clean_up(bare)


def clean_up(bare: Bare) -> None:
    """End a supervisor by SIGTERM if that works, and remove whatever may be left of it."""
    bare.process.terminate()
    try:
        bare.process.wait(6)
    except subprocess.TimeoutExpired:
        bare.process.kill()
        bare.process.wait()
    for pid in processes_of(bare.instance):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    for name in names.names_of(bare.instance):
        names.remove(name)
    (names.SHM_DIR / f"{bare.instance}.lock").unlink(missing_ok=True)

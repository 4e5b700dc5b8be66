"""The computer's wall clock jumps, as when a computer without a battery finds a time server: nobody notices."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.running import Pipeline, running_pipeline
from tests.matrix.bare import TWO_CAMERAS
from tests.matrix.client import Client
from tests.matrix.fleet import await_answers
from tests.matrix.recording import MeasuredRow

HOUR_S = 3600.0
AHEAD_S = (HOUR_S, 20.0, -HOUR_S, 40.0)  # no place twice: a clock that is back where it was asks for no sync
CHILDREN = ("a", "b", "servicer")

Rows = Callable[[str], MeasuredRow]

# Python's own functions are the edge to the clock; CLOCK_MONOTONIC stays. gRPC keeps the kernel's: half of it is no
# Python, and its two halves compare their deadlines.
SHIFTED_CLOCK = """
import sys, time

def _shifted(function, unit):
    def now(*clock):
        is_wall = not clock or clock[0] == time.CLOCK_REALTIME
        if not is_wall or sys._getframe(1).f_globals["__name__"].startswith("grpc"):
            return function(*clock)
        with open({file!r}) as ahead_s:
            return function(*clock) + type(unit)(float(ahead_s.read()) * unit)
    return now

time.time, time.time_ns = _shifted(time.time, 1.0), _shifted(time.time_ns, 10**9)
time.clock_gettime, time.clock_gettime_ns = _shifted(time.clock_gettime, 1.0), _shifted(time.clock_gettime_ns, 10**9)
"""


class Clock:
    """The wall clock of a pipeline, relative to ours."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_ahead(0)

    def set_ahead(self, ahead_s: float) -> None:
        """Jump, so that it is so far ahead of ours."""
        new = self._file.with_suffix(".new")
        new.write_text(str(ahead_s))
        new.rename(self._file)


@pytest.fixture
def stepped(tmp_path: Path) -> Iterator[tuple[Pipeline, Clock]]:
    """A pipeline whose wall clock can be stepped."""
    clock = Clock(tmp_path / "ahead_s")
    (tmp_path / "sitecustomize.py").write_text(SHIFTED_CLOCK.format(file=str(tmp_path / "ahead_s")))
    with running_pipeline(tmp_path, TWO_CAMERAS, env={"PYTHONPATH": str(tmp_path)}) as pipeline:
        await_answers(pipeline, TWO_CAMERAS)
        yield pipeline, clock


@pytest.mark.row("M18")
def test_wall_clock_jumps(stepped: tuple[Pipeline, Clock], row: Rows) -> None:
    """An hour ahead and an hour back: no restart, no fault, and every picture has its true age by the robot's clock."""
    pipeline, clock = stepped
    pids = [pipeline.pid(name) for name in CHILDREN]
    with Client(pipeline, "a") as answers:
        for ahead_s in AHEAD_S:
            syncs, ok = pipeline.robot.calls["TimeSyncService/TimeSyncUpdate"], answers.ok
            clock.set_ahead(ahead_s)
            pipeline.wait(lambda: pipeline.robot.calls["TimeSyncService/TimeSyncUpdate"] > syncs, "a sync", 10.0)  # noqa: B023
            pipeline.wait(lambda: answers.ok > ok + 30, "the client is served", 20.0)  # noqa: B023
            assert answers.wrong == []
    assert (answers.refused, answers.failed) == (0, [])
    row("M18").at_most("restarts", sum(pipeline.child(name).restarts for name in CHILDREN), 0)
    assert [pipeline.pid(name) for name in CHILDREN] == pids
    assert pipeline.faults() == {}

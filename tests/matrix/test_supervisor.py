"""The end of the supervisor, as it was meant and otherwise: no process is left, and the next start finds all clean."""

import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from shm import names
from tests.end_to_end.running import SERVICE_NAME, Pipeline, processes_of, running_pipeline
from tests.matrix.bare import SMALL, TWO_CAMERAS, Bare, clean_up, new_instance, start
from tests.matrix.fleet import await_answers
from tests.matrix.recording import MeasuredRow

PATIENCE_S = 20.0
ORDERS = list(itertools.permutations(["supervisor", "servicer", "a", "b"]))

Rows = Callable[[str], MeasuredRow]
Starter = Callable[[], Bare]


@pytest.fixture
def next_start(tmp_path: Path) -> Iterator[Starter]:
    """Starts a supervisor of one instance, again and again; whatever the last one left is gone once it runs."""
    instance = new_instance()
    own = {f"/{instance}.board", f"/{instance}.cam.a", f"/{instance}.cam.b"}
    with contextlib.ExitStack() as stack:

        def start_again() -> Bare:
            left = names.names_of(instance)
            bare = start(tmp_path, TWO_CAMERAS, instance)
            stack.callback(clean_up, bare)
            bare.await_all("a", "b", "servicer")
            assert set(names.names_of(instance)) == own
            assert f"removed {len(left)} names" in bare.log_file.read_text() or not left
            return bare

        yield start_again


def gone_s(bare: Bare) -> float:
    """Wait until no process of the pipeline is left; returns the seconds it took."""
    took_s = bare.wait(lambda: processes_of(bare.instance) == [], "no process is left", PATIENCE_S)
    bare.process.wait()
    return took_s


@pytest.mark.row("M9")
def test_killed_supervisor(next_start: Starter, row: Rows, runs: int) -> None:
    """SIGKILL: no process is left after 3 s, and the next start removes the segments."""
    for _ in range(runs):
        bare = next_start()
        assert len(processes_of(bare.instance)) == 4
        bare.process.kill()
        row("M9").measured("no process left", gone_s(bare), 3.0)
        assert names.names_of(bare.instance)
    next_start()


@pytest.mark.row("M10")
@pytest.mark.parametrize("orders", [1, pytest.param(len(ORDERS), marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_every_order_of_ends(next_start: Starter, row: Rows, runs: int, orders: int, number: signal.Signals) -> None:
    """Whoever ends first: no process is left after 5 s, and no segment after the next start."""
    for order in random.sample(ORDERS, max(orders, min(runs, len(ORDERS)))):
        bare = next_start()
        pids = {name: bare.process.pid if name == "supervisor" else bare.pid(name) for name in order}
        for name in order:
            with contextlib.suppress(ProcessLookupError):  # it had ended with the supervisor
                os.kill(pids[name], number)
        row("M10").measured(f"no process left after {number.name}", gone_s(bare), 5.0)
    next_start()


HOLD = """
import os, signal, sys
if {module!r} in sys.orig_argv:
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def held(bare: Bare) -> list[int]:
    """Pids of the pipeline's processes that are stopped."""
    found = []
    for pid in processes_of(bare.instance):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                found.append(pid)
    return found


@pytest.mark.row("M11")
@pytest.mark.parametrize("module", ["capture_worker", "servicer"])
def test_supervisor_dies_before_its_child_can_notice(tmp_path: Path, row: Rows, runs: int, module: str) -> None:
    """A child that had not yet asked for the parent-death signal ends within 1 s, once it runs on."""
    (tmp_path / "sitecustomize.py").write_text(HOLD.format(module=module))  # runs before any line of the child's own
    for _ in range(runs):
        bare = start(tmp_path, {"a": SMALL}, new_instance(), env={"PYTHONPATH": str(tmp_path)})
        try:
            bare.wait(lambda: held(bare), "the child is held", PATIENCE_S)  # noqa: B023
            bare.process.kill()
            bare.process.wait()
            (child,) = held(bare)
            os.kill(child, signal.SIGCONT)
            row("M11").measured("child gone", gone_s(bare), 1.0)
        finally:
            clean_up(bare)


def twice(pipeline: Pipeline) -> None:
    """SIGTERM, and once more as soon as it has been heard."""
    pipeline.process.terminate()
    pipeline.wait(lambda: "stopping (SIGTERM)" in pipeline.log(), "the first one is heard", PATIENCE_S)
    pipeline.process.terminate()


ENDS: dict[str, Callable[[Pipeline], object]] = {
    "SIGTERM": lambda pipeline: pipeline.process.terminate(),
    "SIGTERM twice": twice,
    "SIGINT to the group": lambda pipeline: os.killpg(pipeline.process.pid, signal.SIGINT),
}


@pytest.mark.row("M36")
@pytest.mark.parametrize(
    "way", [pytest.param("SIGTERM", marks=pytest.mark.soak), "SIGTERM twice", "SIGINT to the group"]
)
def test_orderly_end(tmp_path: Path, row: Rows, runs: int, way: str) -> None:
    """Within 5 s, with exit code 0, and nothing is left; who asks once leaves the robot's directory, too."""
    for _ in range(runs):
        with running_pipeline(tmp_path, TWO_CAMERAS, own_group=True) as pipeline:
            await_answers(pipeline, TWO_CAMERAS)
            started_s = time.monotonic()
            ENDS[way](pipeline)
            assert pipeline.process.wait(PATIENCE_S) == 0
            row("M36").measured("the end", time.monotonic() - started_s, 5.0)
            assert processes_of(pipeline.instance) == []
            assert names.names_of(pipeline.instance) == []
            assert way == "SIGTERM twice" or SERVICE_NAME not in pipeline.robot.services

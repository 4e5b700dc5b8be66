"""A robot that is away, or not in order: images are served as ever, and it knows all about us when it is back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulated_robot import SimulatedRobot
from simulated_robot.misbehaviour import Misbehaviour, Refusal
from simulated_robot.robot import DEFAULT_CLOCK_SKEW_S
from tests.end_to_end.running import SERVICE_NAME, Pipeline, running_pipeline
from tests.matrix.bare import TWO_CAMERAS, running
from tests.matrix.client import Client
from tests.matrix.fleet import ABSENT_FAULT, await_answers
from tests.matrix.recording import MeasuredRow

CALLS = 200
REGISTERED_S = 35.0
FAULTS_S = 5.0
DOWN_S = 3.0
SLOWER_S = 0.005  # the row's fifth is less than 1 ms of calls as quick as these
TRIES = 5
PATIENCE_S = 60.0

Rows = Callable[[str], MeasuredRow]


CAMERAS: dict[str, dict[str, Any]] = {**TWO_CAMERAS, "gone": {"device": "/dev/video99"}}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline with a lasting fault, whose robot's clients are not asked anything: their sessions end with it."""
    with running_pipeline(tmp_path_factory.mktemp("robot"), CAMERAS) as pipeline:
        await_answers(pipeline, TWO_CAMERAS)
        pipeline.wait(lambda: ABSENT_FAULT in pipeline.faults(), "the lasting fault", PATIENCE_S)
        yield pipeline


def reboot(robot: SimulatedRobot) -> None:
    """Away for a while, and back with nothing in mind; its clock goes on, so that ages can be judged by it."""
    robot.reboot(down_s=DOWN_S, clock_skew_s=DEFAULT_CLOCK_SKEW_S)


def refuse(refusal: Refusal) -> Callable[[SimulatedRobot], None]:
    """Answer every call so."""
    return lambda robot: robot.misbehave(Misbehaviour(refusal=refusal))


TROUBLES: dict[str, Callable[[SimulatedRobot], None]] = {
    "reboots": reboot,
    "is silent": lambda robot: robot.misbehave(Misbehaviour(silent=True)),
    "says 401": refuse(Refusal.UNAUTHENTICATED),
    "is exhausted": refuse(Refusal.EXHAUSTED),
}


def p99_s(pipeline: Pipeline, meanwhile: Callable[[], object] = lambda: None) -> float:
    """How long 99 of 100 calls took at most, of clients that do not come through the robot; each had its image."""
    with Client(pipeline, "a", pause_s=0.01) as answers:
        meanwhile()
        pipeline.wait(lambda: len(answers.took_s) >= CALLS, f"{CALLS} calls", PATIENCE_S)
    assert (answers.wrong, answers.refused, answers.failed) == ([], 0, [])
    return answers.percentile_s(99)


def slower_s(pipeline: Pipeline, trouble: Callable[[SimulatedRobot], None]) -> float:
    """How much longer the trouble makes calls last. It does so each time; what else this computer does, does not."""
    differences_s: list[float] = []
    while len(differences_s) < TRIES and min(differences_s, default=SLOWER_S) >= SLOWER_S:
        before_s = p99_s(pipeline)
        differences_s.append(p99_s(pipeline, lambda: trouble(pipeline.robot)) - before_s)
    return min(differences_s)


@pytest.mark.row("M19")
@pytest.mark.parametrize(
    "trouble", ["reboots", *(pytest.param(name, marks=pytest.mark.soak) for name in TROUBLES if name != "reboots")]
)
def test_robot_in_trouble(pipeline: Pipeline, row: Rows, runs: int, trouble: str) -> None:
    """GetImage is as fast as before; afterwards we are registered within 35 s, and the robot shows our faults."""
    robot, camera = pipeline.robot, pipeline.child("a")
    for _ in range(runs):
        row("M19").at_most("p99 of GetImage longer by", slower_s(pipeline, TROUBLES[trouble]), SLOWER_S, "s")
        robot.lose_registrations()
        robot.lose_faults()
        robot.behave()
        took_s = pipeline.wait(lambda: SERVICE_NAME in robot.services, "registered", PATIENCE_S)
        row("M19").measured("registered", took_s, REGISTERED_S)
        took_s = pipeline.wait(lambda: ABSENT_FAULT in pipeline.faults(), "the fault", PATIENCE_S)
        row("M19").measured("fault shown again", took_s, FAULTS_S)
    assert (pipeline.child("a").pid, pipeline.child("servicer").restarts) == (camera.pid, 0)


@pytest.mark.row("M19")
@pytest.mark.soak
def test_robot_that_is_down_at_boot(tmp_path: Path, row: Rows) -> None:
    """Cameras capture meanwhile; the service is registered within 35 s of the robot's start."""
    with SimulatedRobot() as robot:
        robot.go_down()
        flags = ("--robot-port", str(robot.port), "--robot-ca", str(robot.ca_file))
        with running(tmp_path, TWO_CAMERAS, *flags) as bare:
            bare.await_all("a", "b", "servicer")
            before = bare.child("a")
            assert before is not None
            assert bare.kept_rate(before, 20.0) >= 0.95
            robot.come_back()
            took_s = bare.wait(lambda: SERVICE_NAME in robot.services, "registered", PATIENCE_S)
            row("M19").measured("registered", took_s, REGISTERED_S)
            servicer = bare.child("servicer")
            assert servicer is not None
            assert servicer.restarts == 0

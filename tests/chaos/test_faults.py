"""What cannot be done is not told as done: nobody judges what follows it, and nobody is excused by it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from chaos.crowd import Crowd
from chaos.facts import Fact, Injected, Over
from chaos.faults import Faults, Unable
from chaos.pipeline import Pipeline
from chaos.schedule import Injection
from shm.names import path_of, segment_name
from simulated_robot.robot import SimulatedRobot

RING_BYTES = 8192
KINDS = [f"segment_{what}" for what in ("truncated", "header", "counters", "removed", "replaced")]


@pytest.fixture
def ring() -> Iterator[Path]:
    """Where front's ring is, of a pipeline that is at work; it is not there yet."""
    path = path_of(segment_name(f"chaos-test-{os.getpid()}", "front"))
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def told() -> list[Fact]:
    """What the observer is told."""
    return []


@pytest.fixture
def faults(told: list[Fact]) -> Faults:
    """Does faults to that pipeline."""
    pipeline = SimpleNamespace(instance=f"chaos-test-{os.getpid()}", running_pid=lambda _: 4711)
    nobody = SimpleNamespace()
    return Faults(cast(Pipeline, pipeline), cast(SimulatedRobot, nobody), cast(Crowd, nobody), told.append)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ring_that_is_not_there_is_not_damaged(faults: Faults, told: list[Fact], kind: str) -> None:
    """It may just be made anew."""
    with pytest.raises(Unable, match="front has no ring"):
        next(faults.steps(Injection(1, 0.0, kind, "front", 0.0, 1.0)))
    assert told == []


def test_counters_are_damaged_in_a_ring_only(faults: Faults, told: list[Fact], ring: Path) -> None:
    """Of what is damaged already nobody knows where the counters are."""
    ring.write_bytes(bytes(RING_BYTES))
    with pytest.raises(Unable, match="damaged already"):
        next(faults.steps(Injection(1, 0.0, "segment_counters", "front", 0.0, 1.0)))
    assert told == []


def test_without_room_nothing_is_replaced(
    faults: Faults, told: list[Fact], ring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ring stays as it is; what nobody expects ends the run."""
    ring.write_bytes(b"ring")
    codes = [errno.EIO, errno.ENOSPC]

    def fail(_path: Path, _data: bytes) -> int:
        code = codes.pop()
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(Unable, match="no room"):
        next(faults.steps(Injection(1, 0.0, "segment_replaced", "front", 0.0, 1.0)))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        next(faults.steps(Injection(2, 0.0, "segment_replaced", "front", 0.0, 1.0)))
    assert told == []
    assert ring.read_bytes() == b"ring"


def test_damage_is_told_when_it_is_done(faults: Faults, told: list[Fact], ring: Path) -> None:
    """With the time before it, so that what follows it comes later."""
    ring.write_bytes(bytes(RING_BYTES))
    assert list(faults.steps(Injection(1, 0.0, "segment_truncated", "front", 0.0, 1.0))) == []
    assert [type(fact) for fact in told] == [Injected, Over]
    assert ring.stat().st_size == RING_BYTES // 2

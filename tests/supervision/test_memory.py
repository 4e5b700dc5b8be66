"""A child whose memory grows is started again in time, and never two of them together."""

import mmap
import os
from pathlib import Path
from typing import cast

import pytest

from supervision.child import Child
from supervision.memory import INTERVAL_NS, MemoryWatch
from supervision.process import ChildProcess
from tests.supervision.running import RunningSupervisor

MB = 1_000_000


@pytest.mark.row("M34")
def test_leaking_worker_is_started_again(tmp_path: Path) -> None:
    """It is asked to end, in an orderly way; the reason is on the board and in the log; the others go on."""
    cameras = {"front": "leak", "rear": "work"}
    with RunningSupervisor(tmp_path / "log", cameras, child_memory_limit_mb=300) as supervisor:
        other = supervisor.wait_until_working("rear")
        front = supervisor.wait_until("front", lambda child: child.restarts == 1)
        assert (front.error_code, front.last_exit) == ("memory", "exit code 0")
        assert "may use 300 MB (child_memory_limit_mb): started again" in (front.error_text or "")
        assert "front: memory: used" in supervisor.log
        assert front.post_mortem is None, "it was asked to end"
        assert supervisor.wait_until_working("rear") == other


def test_without_a_limit() -> None:
    """A limit of 0 is none."""
    watch, child = MemoryWatch(), FakeChild(900 * MB)
    watch.look([as_child(child)], 0, 10 * INTERVAL_NS)
    assert child.reasons == []


class FakeChild:
    """A child that uses some memory, in the place of its process too."""

    def __init__(self, used_bytes: int) -> None:
        self.used_bytes = used_bytes
        self.process = self
        self.state = "running"
        self.reasons: list[str] = []

    def own_memory_bytes(self) -> int:
        """What it uses."""
        return self.used_bytes

    def restart_because(self, code: str, why: str, _now_ns: int) -> None:
        """Take note."""
        assert code == "memory"
        self.reasons.append(why)
        self.state = "stopping"


def as_child(fake: FakeChild) -> Child:
    """Return it as what it is in the place of."""
    return cast("Child", fake)


def test_one_after_the_other() -> None:
    """The largest goes first; the next one when that works again, or after a minute if it does not come back."""
    watch, fakes = MemoryWatch(), [FakeChild(size * MB) for size in (700, 900, 100, 800)]
    children = [as_child(fake) for fake in fakes]

    def restarted() -> list[int]:
        return [index for index, fake in enumerate(fakes) if fake.reasons]

    now_ns = 10 * INTERVAL_NS
    watch.look(children, 600, now_ns)
    for state in ("stopping", "waiting", "starting"):
        fakes[1].state = state
        now_ns += INTERVAL_NS
        watch.look(children, 600, now_ns)
        assert restarted() == [1]
    fakes[1].state, fakes[1].used_bytes = "running", 50 * MB
    watch.look(children, 600, now_ns + INTERVAL_NS)
    assert restarted() == [1, 3]
    fakes[3].state = "waiting"
    watch.look(children, 600, now_ns + 50 * 1_000_000_000)
    assert restarted() == [1, 3]
    watch.look(children, 600, now_ns + 70 * 1_000_000_000)
    assert restarted() == [0, 1, 3]


def test_frames_in_shared_memory_are_not_counted() -> None:
    """What counts is what a process has alone."""
    me = cast("ChildProcess", type("Me", (), {"pid": os.getpid()}))
    before = ChildProcess.own_memory_bytes(me)
    shared = mmap.mmap(-1, 100 * MB)  # shared and anonymous is shmem, as a segment is
    shared.write(b"x" * len(shared))
    between = ChildProcess.own_memory_bytes(me)
    private = b"x" * (100 * MB)
    after = ChildProcess.own_memory_bytes(me)
    assert before > 5 * MB
    assert between - before < 30 * MB
    assert after - between > 70 * MB
    del private
    shared.close()

"""A writer is killed at each single step of making a ring: no reader notices, and the next writer goes on."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from shm import RingReader, RingWriter, names
from tests.matrix.recording import MeasuredRow
from tests.shm import staged_writer
from tests.shm.stamped import PROJECT, publish, stamp_of

WRITING = ("header", "metadata", "payload")
DEATHS = [
    (step, moment)
    for step in staged_writer.STEPS
    for moment in staged_writer.MOMENTS
    if moment != "within" or step in WRITING
]


@pytest.fixture(scope="module")
def mortuary() -> Iterator["subprocess.Popen[str]"]:
    """The process whose children die."""
    argv = [sys.executable, "-m", "tests.shm.staged_writer"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def death(mortuary: "subprocess.Popen[str]", *line: str) -> int:
    """Pid of the writer that died at this step."""
    assert mortuary.stdin is not None
    assert mortuary.stdout is not None
    mortuary.stdin.write("\t".join(line) + "\n")
    mortuary.stdin.flush()
    return int(mortuary.stdout.readline())


def writer(instance: str) -> RingWriter:
    """A writer of the camera "front"."""
    return RingWriter(instance, "front", payload_capacity_bytes=4096, descriptor={}, slots=4)


@pytest.mark.row("M17")
@pytest.mark.parametrize(("step", "moment"), DEATHS)
def test_death_at(
    instance: str, step: str, moment: str, mortuary: "subprocess.Popen[str]", row: Callable[[str], MeasuredRow]
) -> None:
    """Readers have the old ring, or the new one once it has its name; the rest is swept, the next writer goes on."""
    with writer(instance) as ring:
        old = publish(ring, 1, 64)
    reader = RingReader(instance, "front")
    assert reader.latest() is not None
    pid = death(mortuary, instance, step, moment)
    assert pid > 0
    died_s = time.monotonic()

    has_name = (step, moment) == ("rename", "after")
    for each in (reader, RingReader(instance, "front")):
        frame = each.latest()
        assert frame is not None
        assert stamp_of(frame).stamp == (staged_writer.STAMP if has_name else 1)
        found = frame.frame_number
        assert (found > old) == has_name
        assert each.problem is None
    has_fence_left = (step, moment) == ("fence", "after")
    has_ring_left = not has_name and step != "fence" and (step, moment) != ("create", "before")
    kept, left = f"/{instance}.cam.front", names.names_of(instance)
    assert (f"{kept}.new.{pid}" in left) == has_ring_left
    assert len(left) == 1 + has_ring_left + has_fence_left

    with writer(instance) as ring:
        assert publish(ring, 2, 64) > found
    for each in (reader, RingReader(instance, "front")):
        frame = each.latest()
        assert frame is not None
        assert stamp_of(frame).stamp == 2
    row("M17").measured("the next writer's frame", time.monotonic() - died_s, 3.0)
    for name in names.names_of(instance):
        names.remove(name)
    assert [entry for entry in os.listdir(names.SHM_DIR) if instance in entry] == []

"""Segments of a running pipeline: whose they are, and what becomes of it when somebody takes, cuts or replaces them.

Only their owner can cut a segment while it is mapped, and nothing can keep the process that is in the middle of it from
the signal that follows. So these tests show how soon it is back, and that nobody else notices.
"""

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from bosdyn.client.exceptions import RpcError

from shm import RingReader, RingWriter, layout, names
from supervision.instance import lock_path
from tests.end_to_end.running import Pipeline, free_port, run_supervisor, running_pipeline
from tests.matrix.fleet import kept_rate
from tests.matrix.recording import MeasuredRow
from tests.shm.stamped import publish, stamp_of

PATIENCE_S = 40.0  # with a machine that does much else, too: rows M1, M5 and M7 have the tight bounds
FOREIGN_UID = 65534
FPS = 15.0
SMALL = {"driver": "synthetic", "width": 320, "height": 240, "fps": FPS}
CAMERAS: dict[str, dict[str, Any]] = {
    "other": SMALL,
    "taken": SMALL,
    "wide": {"driver": "synthetic", "width": 1280, "height": 720, "fps": 10.0},
}

Row = Callable[[str], MeasuredRow]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def ring_path(pipeline: Pipeline, camera: str) -> Path:
    """The file of a camera's ring."""
    return names.path_of(names.segment_name(pipeline.instance, camera))


def segments_of(pipeline: Pipeline) -> dict[str, int]:
    """The instance's names, and which inode each is."""
    return {name: names.path_of(name).stat().st_ino for name in names.names_of(pipeline.instance)}


@pytest.fixture(scope="module")
def living_instance() -> Iterator[RingWriter]:
    """A ring of another instance, whose name begins like that of the pipeline, and which nobody may touch."""
    instance = f"test-segments-{os.getpid()}-2"
    with RingWriter(instance, "other", payload_capacity_bytes=64, descriptor={}) as ring:
        publish(ring, 1, 64)
        yield ring
    for name in names.names_of(instance):
        names.remove(name)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, living_instance: RingWriter) -> Iterator[Pipeline]:
    """Three synthetic cameras; an earlier supervisor of their instance was killed and left its names."""
    instance, folder = f"test-segments-{os.getpid()}", tmp_path_factory.mktemp("segments")
    for camera in ("other", "removed"):
        with RingWriter(instance, camera, payload_capacity_bytes=64, descriptor={}) as left:
            publish(left, 1, 64)
    names.path_of(names.aside_name(names.segment_name(instance, "wide"), 4194304)).write_bytes(b"half made")
    assert living_instance.is_in_place()
    with running_pipeline(folder, CAMERAS, instance=instance) as pipeline:
        pipeline.wait_for_images(CAMERAS, PATIENCE_S)
        yield pipeline


@pytest.mark.row("M16")
def test_only_its_own_leftovers_are_removed(pipeline: Pipeline, living_instance: RingWriter) -> None:
    """What an earlier run left is gone; another instance's ring is untouched, and its readers go on."""
    cameras = {names.segment_name(pipeline.instance, camera) for camera in CAMERAS}
    assert set(segments_of(pipeline)) == {*cameras, names.segment_name(pipeline.instance, names.BOARD)}
    assert living_instance.is_in_place()
    frame = RingReader(f"{pipeline.instance}-2", "other").latest()
    assert frame is not None
    assert stamp_of(frame).stamp == 1


def test_every_segment_is_its_owners_alone(pipeline: Pipeline) -> None:
    """Rings, board and lock have mode 0600 and the pipeline's own user."""
    paths = [names.path_of(name) for name in names.names_of(pipeline.instance)]
    assert len(paths) == len(CAMERAS) + 1
    for path in (*paths, lock_path(pipeline.instance)):
        facts = path.stat()
        assert (facts.st_mode & 0o7777, facts.st_uid) == (0o600, os.geteuid()), path


@pytest.mark.row("M15")
def test_a_second_pipeline(pipeline: Pipeline, tmp_path: Path, row: Row) -> None:
    """It ends with 100 and names the first one, whose segments, processes and pictures it does not touch."""
    segments, pids = segments_of(pipeline), {name: pipeline.pid(name) for name in (*CAMERAS, "servicer")}
    other = pipeline.child("other")
    flags = ("--simulate", "--instance", pipeline.instance, "--port", str(free_port()))
    begun_s = time.monotonic()
    second = run_supervisor(tmp_path, *flags)
    row("M15").measured("refused, the start of Python included", time.monotonic() - begun_s, 10.0)
    assert second.returncode == 100
    assert str(pipeline.process.pid) in second.stderr
    assert segments_of(pipeline) == segments
    assert {name: pipeline.pid(name) for name in pids} == pids
    row("M15").at_least("rate kept by a camera of the first", kept_rate(pipeline, other, 3.0, FPS), 0.95)


@as_root
def test_a_name_that_another_user_took(pipeline: Pipeline) -> None:
    """The worker ends with 71, board and robot say why; the others run on; once it is free, it is taken again."""
    path, other = ring_path(pipeline, "taken"), pipeline.child("other")
    os.chown(path, FOREIGN_UID, -1)
    pipeline.kill("taken", signal.SIGKILL)
    pipeline.wait(lambda: pipeline.child("taken").last_exit == "exit code 71", "it ends with 71", PATIENCE_S)
    record = pipeline.child("taken")
    assert record.error_code == "shm_foreign"
    assert "belongs to another user" in str(record.error_text)
    pipeline.wait(lambda: "belongs to another user" in str(pipeline.faults()), "the fault says it", PATIENCE_S)
    assert path.stat().st_uid == FOREIGN_UID
    assert kept_rate(pipeline, other, 3.0, FPS) >= 0.95
    path.unlink()
    pipeline.wait(lambda: pipeline.answers("taken"), "it is back", PATIENCE_S)
    assert path.stat().st_uid == os.geteuid()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that is stopped for a moment."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            pass
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_being_written(fd: int, ring: layout.RingLayout) -> bool:
    """Whether some slot is in the middle of a frame, read without a mapping."""
    return any(os.pread(fd, 1, ring.slot_offset(slot))[0] & 1 for slot in range(ring.slots))


def cut_in_the_middle_of_a_frame(pipeline: Pipeline, camera: str) -> None:
    """Cut a ring to nothing while its worker copies a frame into it."""
    path, pid = ring_path(pipeline, camera), pipeline.pid(camera)
    fd = os.open(path, os.O_RDONLY)
    try:
        ring = layout.unpack_header(os.pread(fd, layout.HEADER_BYTES, 0)).layout
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            if is_being_written(fd, ring):
                with stopped(pid):
                    if is_being_written(fd, ring):
                        os.truncate(path, 0)
                        return
    finally:
        os.close(fd)
    raise AssertionError("no frame was seen in the middle")


@pytest.mark.row("M14")
def test_a_ring_that_is_cut_in_the_middle_of_a_frame(pipeline: Pipeline) -> None:
    """The worker dies of SIGBUS, and a new one delivers soon; the other camera and the servicer do not notice."""
    other, servicer, old = pipeline.pid("other"), pipeline.pid("servicer"), pipeline.pid("wide")
    cut_in_the_middle_of_a_frame(pipeline, "wide")
    pipeline.wait(
        lambda: pipeline.child("wide").pid not in (None, old) and pipeline.answers("wide"), "it is back", PATIENCE_S
    )
    assert pipeline.child("wide").last_exit == "signal SIGBUS"
    assert (pipeline.pid("other"), pipeline.pid("servicer")) == (other, servicer)


@contextlib.contextmanager
def asked_all_the_time(pipeline: Pipeline, camera: str, clients: int = 3) -> Iterator[threading.Event]:
    """Keep the servicer busy with pictures that differ, so that it is in the ring nearly always; until the event."""
    done, qualities = threading.Event(), itertools.cycle(range(5, 100))

    def ask() -> None:
        while not done.is_set():
            with contextlib.suppress(RpcError):
                pipeline.ask(camera, quality_percent=next(qualities))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        done.set()
        for thread in threads:
            thread.join()


def cut_until_it_dies(pipeline: Pipeline, camera: str, servicer: int) -> None:
    """Cut the ring under the servicer's hands until it was in the middle of it."""
    for _ in range(100):
        with stopped(servicer):
            os.truncate(ring_path(pipeline, camera), 0)
        until_s = time.monotonic() + 0.5
        while time.monotonic() < until_s:
            if not psutil.pid_exists(servicer) or pipeline.child("servicer").pid != servicer:
                return
            threading.Event().wait(0.01)
        with contextlib.suppress(FileNotFoundError):
            pipeline.wait(lambda: ring_path(pipeline, camera).stat().st_size > 0, "a new ring", PATIENCE_S)
    raise AssertionError("the servicer was never in the middle of the ring")


@pytest.mark.row("M14")
def test_a_ring_that_is_cut_in_the_middle_of_a_picture(pipeline: Pipeline) -> None:
    """The servicer dies of SIGBUS at worst, and a new one answers soon; the other camera captures on.

    While faulthandler writes the stacks of that, other threads run on, and reading theirs may be a SIGSEGV instead.
    """
    other, servicer = pipeline.pid("other"), pipeline.pid("servicer")
    with asked_all_the_time(pipeline, "wide") as enough:
        cut_until_it_dies(pipeline, "wide", servicer)
        enough.set()
        pipeline.wait(lambda: pipeline.answers("other"), "it answers again", PATIENCE_S)
    assert pipeline.child("servicer").last_exit in ("signal SIGBUS", "signal SIGSEGV")
    pipeline.wait(lambda: pipeline.answers("wide"), "the cut one too", PATIENCE_S)
    assert pipeline.pid("other") == other

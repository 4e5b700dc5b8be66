"""The fence without a C extension, and the counters that it keeps in order."""

import errno
import subprocess
import sys
import threading

import posix_ipc
import pytest

from shm import RingReader, layout, names, segment
from shm.fence import Fence, fence_of_this_process
from tests.shm.stamped import PROJECT

_PATTERNS = (0x1111111111111111, 0xEEEEEEEEEEEEEEEE)
_ALTERNATE = """
import sys
from shm import RingWriter, layout
from shm import Encoding
with RingWriter(sys.argv[1], "cells", payload_capacity_bytes=1, descriptor={}) as ring:
    ring.publish(b"x", captured_ns=0, rows=1, cols=1, row_stride_bytes=1, encoding=Encoding.MONO8)
    print("ready", flush=True)
    patterns = (0x1111111111111111, 0xEEEEEEEEEEEEEEEE)
    for i in range(300_000):
        ring._memory.store(layout.DROPS_OFFSET, patterns[i & 1])
"""


def test_threads_share_a_fence() -> None:
    """Six threads use one fence 20,000 times each at once: it never fails, and no token is lost or left."""
    use_at_once(fence := Fence("fencetest"))
    assert fence._semaphore is not None
    assert fence._semaphore.value == 0


def use_at_once(fence: Fence) -> None:
    """Use it from six threads."""
    errors = []

    def work() -> None:
        try:
            for _ in range(20_000):
                fence()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_fence_has_no_name() -> None:
    """Nothing of a fence is left in /dev/shm, neither while it lives nor afterwards."""
    fence = Fence("fencetest")
    assert names.names_of("fencetest") == []
    fence()
    del fence
    assert names.names_of("fencetest") == []


def test_a_fence_whose_name_was_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that removes the name between its creation and its removal does no harm."""
    unlink = posix_ipc.Semaphore.unlink

    class Swept(posix_ipc.Semaphore):  # type: ignore[misc]  # posix_ipc has no types
        def unlink(self) -> None:
            unlink(self)
            unlink(self)

    monkeypatch.setattr(posix_ipc, "Semaphore", Swept)
    Fence("fencetest")()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), posix_ipc.PermissionsError("read-only"), posix_ipc.Error("none")]
)
def test_no_room_for_a_fence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A /dev/shm that is full to the last page, or read-only, is one that threads can read from all the same."""

    def none(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(posix_ipc, "Semaphore", none)
    use_at_once(fence := Fence("fencetest"))
    assert fence._semaphore is None


def test_an_interrupted_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between the two steps of a fence without a semaphore breaks none of the thread's next ones."""
    monkeypatch.setattr("shm.fence._semaphore", lambda _name: None)
    interrupted = Fence("fencetest")
    interrupted._locks.mine.release()  # the second step was not taken
    for _ in range(3):
        interrupted()
    assert interrupted._locks.mine.locked()


def test_a_process_makes_one_fence(instance: str) -> None:
    """All rings of a process share one semaphore."""
    assert RingReader(instance, "a")._fence is RingReader(instance, "b")._fence is fence_of_this_process(instance)


def test_a_counter_is_never_half_written(instance: str) -> None:
    """Another process that stores two patterns in turn is never seen with a third value, nor with zero again."""
    child = subprocess.Popen(
        [sys.executable, "-c", _ALTERNATE, instance], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        seen = _values_while_running(child, instance)
    assert child.returncode == 0
    assert seen[0] in {0, *_PATTERNS}
    assert set(seen[1:]) == set(_PATTERNS)


def _values_while_running(child: "subprocess.Popen[str]", instance: str) -> list[int]:
    """Every change of the counter that was seen, in order."""
    attached = segment.attach(names.segment_name(instance, "cells"), Fence(instance))
    assert attached is not None
    seen = [attached.mapping.load(layout.DROPS_OFFSET)]
    while child.poll() is None:
        for _ in range(1000):
            value = attached.mapping.load(layout.DROPS_OFFSET)
            if value != seen[-1]:
                seen.append(value)
    return seen

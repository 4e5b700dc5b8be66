"""One supervisor per instance, which removes its own names and nobody else's."""

import contextlib
import errno
import fcntl
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shm import Encoding, ForeignSegmentError, RingWriter, ShmFullError, names
from supervision import exit_codes
from supervision import instance as instance_module
from supervision.flags import parse_flags, settings_from_flags
from supervision.instance import AlreadyRunningError, InstanceLock, is_held, lock_path
from tests.supervision.running import RunningSupervisor, new_instance


@pytest.mark.row("M15")
def test_second_supervisor_names_the_holder(tmp_path: Path) -> None:
    """The second supervisor of an instance ends with 100 and says who holds it; the first goes on."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        pid = supervisor.wait_until_working("front")
        with RunningSupervisor(tmp_path / "2", {"front": "work"}, instance=supervisor.instance) as second:
            assert second.popen.wait(10) == exit_codes.ALREADY_RUNNING
            lines = second.log.splitlines()
            assert len(lines) == 1
            assert f"supervisor with pid {supervisor.popen.pid}" in lines[0]
            second.processes = list  # type: ignore[method-assign]  # its name is the first one's
            assert supervisor.wait_until_working("front") == pid


@pytest.mark.row("M16")
def test_only_own_names_are_swept(tmp_path: Path) -> None:
    """A start removes what a dead supervisor of this instance left, and nothing of an instance with a longer name."""
    mine = new_instance()
    dead = [names.path_of(f"/{mine}.cam.front"), names.path_of(f"/{mine}.cam.front.new.12345")]
    foreign = names.path_of(f"/{mine}-2.cam.front")
    for path in (*dead, foreign):
        path.touch()
    try:
        with RunningSupervisor(tmp_path / "log", {"front": "work"}, instance=mine) as supervisor:
            supervisor.wait_until_working("front")
            assert not any(path.exists() for path in dead)
            assert foreign.exists()
    finally:
        foreign.unlink()


def test_a_link_to_itself_is_swept_like_anything_else(tmp_path: Path) -> None:
    """What a stranger may put under a ring's name before the start does not keep a supervisor from starting."""
    mine = new_instance()
    path = names.path_of(f"/{mine}.cam.front")
    path.symlink_to(path.name)
    (tmp_path / "c.toml").write_text('simulate = true\n[cameras.front]\ndriver = "synthetic"\n')
    flags = ("--config", str(tmp_path / "c.toml"), "--instance", mine)
    settings_from_flags(parse_flags(flags), tmp_path)  # checks, and counts what its old rings occupy
    with InstanceLock(mine) as lock:
        assert lock.remove_all_names() == 1
    assert not path.is_symlink()


def test_lock_is_seen_and_given_back() -> None:
    """Whether an instance runs can be asked at any time, by anybody, without disturbing it."""
    instance = new_instance()
    assert not is_held(instance)
    with InstanceLock(instance):
        assert is_held(instance)
        with pytest.raises(AlreadyRunningError, match="pid"), InstanceLock(instance):
            pass
        assert is_held(instance)
    assert not is_held(instance)
    assert not lock_path(instance).exists()


def test_status_does_not_keep_a_supervisor_from_starting() -> None:
    """Who only looks whether the lock is free holds it for a moment; a supervisor that starts then waits for it."""
    instance = new_instance()
    fd = os.open(lock_path(instance), os.O_RDONLY | os.O_CREAT, 0o600)  # as a killed supervisor leaves it
    fcntl.flock(fd, fcntl.LOCK_SH)
    looker = threading.Timer(0.1, os.close, [fd])
    looker.start()
    with InstanceLock(instance):
        looker.join()


def test_lock_that_is_removed_while_somebody_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer that got hold of the last holder's file takes the one that has the name: or two would hold locks."""
    instance, try_lock, tries = new_instance(), instance_module._try_lock, []

    def after_the_last_holder_left(fd: int, operation: int, patience_s: float) -> bool:
        tries.append(fd)
        if len(tries) == 1:
            lock_path(instance).unlink()
        return try_lock(fd, operation, patience_s)

    monkeypatch.setattr(instance_module, "_try_lock", after_the_last_holder_left)
    with InstanceLock(instance):
        monkeypatch.undo()
        assert len(tries) == 2
        assert is_held(instance)
    assert not lock_path(instance).exists()


def test_lock_file_that_somebody_removed_is_taken_again() -> None:
    """A session manager that cleans up after a login removes it under a running supervisor: it stays the only one."""
    instance = new_instance()
    with InstanceLock(instance) as lock:
        lock_path(instance).unlink()
        lock.keep(0)
        assert is_held(instance)
        with pytest.raises(AlreadyRunningError), InstanceLock(instance):
            pass
    assert not lock_path(instance).exists()


@pytest.mark.parametrize("why", [ShmFullError(errno.ENOSPC, "full"), ForeignSegmentError(errno.EACCES, "foreign")])
def test_lock_that_cannot_be_taken_again_yet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: OSError
) -> None:
    """A full /dev/shm, or another user's file, ends no cameras: it is said a few times, and tried again."""
    instance, take = new_instance(), InstanceLock._take
    with InstanceLock(instance) as lock:
        lock_path(instance).unlink()

        def fail(_: InstanceLock) -> None:
            raise why

        monkeypatch.setattr(InstanceLock, "_take", fail)
        for second in range(100):
            lock.keep(second * 1_000_000_000)
        monkeypatch.setattr(InstanceLock, "_take", take)
        assert [message.split(": ")[1] for message in caplog.messages] == [why.strerror] * 3
        assert not is_held(instance)
        lock.keep(100_000_000_000)
        assert is_held(instance)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("make", [_fifo, _link_to_itself, _socket, Path.mkdir])
def test_lock_file_that_is_none(make: Callable[[Path], None]) -> None:
    """What somebody else has put under the lock's name is named, with its path; who only asks does not wait for it."""
    path = lock_path(instance := new_instance())
    make(path)
    try:
        with pytest.raises(ForeignSegmentError, match=f"{path} is no lock file: remove it"), InstanceLock(instance):
            pass
        with contextlib.suppress(OSError):
            assert not is_held(instance)
        assert path.lstat(), "it is still there"
    finally:
        path.rmdir() if path.is_dir() else path.unlink()


def test_lock_that_another_supervisor_has_by_now() -> None:
    """Who lost it to a faster one removes nothing of that one's any more, its lock file least of all."""
    instance = new_instance()
    with InstanceLock(instance) as lock:
        lock_path(instance).unlink()
        with InstanceLock(instance), RingWriter(instance, "front", payload_capacity_bytes=4, descriptor={}) as ring:
            ring.publish(b"\0" * 4, captured_ns=1, rows=2, cols=2, row_stride_bytes=2, encoding=Encoding.MONO8)
            with pytest.raises(AlreadyRunningError):
                lock.keep(0)
            assert lock.remove_all_names() == 0
            lock.__exit__(None, None, None)
            assert is_held(instance)
    names.remove(names.segment_name(instance, "front"))

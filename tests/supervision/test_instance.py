"""One supervisor per instance, which removes its own names and nobody else's."""

import contextlib
import fcntl
import os
import threading
from pathlib import Path

import pytest

from shm import names
from supervision import exit_codes
from supervision.instance import AlreadyRunningError, InstanceLock, is_held, lock_path
from tests.supervision.running import RunningSupervisor, new_instance


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


def test_lock_that_is_removed_while_somebody_opens_it() -> None:
    """However holders and newcomers meet, there is one holder: the file that is locked is the file of that name."""
    instance, holders, most = new_instance(), [], []

    def hold_again_and_again() -> None:
        for _ in range(50):
            with contextlib.suppress(AlreadyRunningError), InstanceLock(instance):
                holders.append(1)
                most.append(len(holders))
                holders.pop()

    threads = [threading.Thread(target=hold_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) > 10
    assert max(most) == 1
    assert not lock_path(instance).exists()

"""A pipeline of an ordinary user that shares its frames with a group: members read, nobody else does."""

import os
import signal
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm import BoardReader, names
from supervision.instance import lock_path
from tests.end_to_end.running import end, free_port, start_supervisor, wait
from tests.shm.test_rights import GID, OTHER_GID, OTHER_UID, read_as, rights_of

USER = 65533
PROJECT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")


def everybodys_python() -> str:
    """A Python of this version that every user may run."""
    system = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    for python in (Path(sys.executable), system):
        folders = python.resolve().parents if python.exists() else ()
        if folders and all(folder.stat().st_mode & stat.S_IXOTH for folder in (python.resolve(), *folders)):
            return str(python)
    pytest.skip("no Python that another user may run")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter; those of pytest are root's alone."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_members_read(folder: Path) -> None:
    """Rings and board are 0640 with the group, those of a worker's successor too; the lock is the owner's alone."""
    instance = f"test-group-{os.getpid()}"
    config = folder / "group.toml"
    config.write_text(f'simulate = true\nshm_group = "{GID}"\n[cameras.front]\ndriver = "synthetic"\nfps = 10.0\n')
    as_user = ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--groups", str(GID))
    process, log_file = start_supervisor(
        folder,
        *("--config", str(config), "--instance", instance, "--port", str(free_port())),
        tag=instance,
        env={"PYTHONPATH": sysconfig.get_path("purelib"), "HOME": str(folder)},
        command=(*as_user, everybodys_python(), str(PROJECT / "supervisor.py")),
    )
    board = BoardReader(instance, shm_group=str(GID))

    def pid_of_ready_camera() -> int | None:
        status = board.latest()
        front = next((child for child in status.children if child.name == "front"), None) if status else None
        return front.pid if front and front.state == "running" and front.frames else None

    try:
        wait(pid_of_ready_camera, "frames", 30, log_file.read_text)
        old = pid_of_ready_camera()
        assert old is not None
        check_who_may_read(instance)
        os.kill(old, signal.SIGKILL)
        wait(lambda: pid_of_ready_camera() not in (None, old), "a successor", 20, log_file.read_text)
        check_who_may_read(instance)
    finally:
        end(process, log_file)
    assert names.names_of(instance) == []


def check_who_may_read(instance: str) -> None:
    """The rights are as documented, and two other users find what these allow."""
    for name in (f"/{instance}.board", f"/{instance}.cam.front"):
        assert rights_of(name) == (0o640, USER, GID)
    assert lock_path(instance).stat().st_mode & 0o777 == 0o600
    member, stranger = (read_as(OTHER_UID, [gid], instance, str(GID)) for gid in (GID, OTHER_GID))
    assert (bool(member["frame"]), member["board"], member["problem"]) == (True, True, None)
    assert (stranger["frame"], stranger["board"]) == (None, False)
    assert f"--group-add {GID}" in stranger["problem"]

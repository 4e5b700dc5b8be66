"""A group for readers that cannot be is said before anything starts, in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shm import names
from supervision import exit_codes
from supervision.checks import check
from supervision.configuration import ConfigurationError, complete, validate
from supervision.process import PROJECT_FOLDER
from tests.supervision.running import RunningSupervisor, new_instance, wait_for

SIMULATE = 'simulate = true\n[cameras.front]\ndriver = "synthetic"\n'

# A first check loads all that it needs: the other user may not be let into root's Python.
_CHECKED_AS_ANOTHER_USER = """
import os, sys
from supervision.checks import check
from supervision.cli import exit_code_of
from supervision.configuration import complete, validate
settings = validate(complete({"simulate": True, "shm_group": "61234"}), "test")
check(settings.model_copy(update={"shm_group": None}))
os.setgroups([61235])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(exit_code_of(lambda: check(settings)))
"""


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with these arguments to its end; not under coverage, whose files another user could not write."""
    argv = [sys.executable, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    return subprocess.run(
        argv, cwd=PROJECT_FOLDER, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("shm_group", "sentence"),
    [
        ('"no-such-group"', "shm_group: there is no group 'no-such-group' on this computer"),
        ('"4294967295"', "shm_group: 4294967295 is no number of a group"),
        ('""', "shm_group:"),
        ('"a group"', "shm_group:"),
        ("61234", "shm_group: should be text"),
    ],
)
def test_what_is_no_group(tmp_path: Path, shm_group: str, sentence: str) -> None:
    """A group that there is not, or that is none: exit code 78, one line, nothing started."""
    instance = new_instance()
    (tmp_path / "group.toml").write_text(f"instance = '{instance}'\nshm_group = {shm_group}\n{SIMULATE}")
    done = run("supervisor.py", "--config", str(tmp_path / "group.toml"))
    assert done.returncode == exit_codes.BAD_CONFIGURATION
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert names.names_of(instance) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_group_of_others() -> None:
    """A user who is not in the group cannot share with it, and hears how to come in."""
    done = run("-c", _CHECKED_AS_ANOTHER_USER)
    assert done.returncode == exit_codes.BAD_CONFIGURATION, done.stderr
    assert done.stderr.count("\n") == 1
    assert "--group-add 61234" in done.stderr


def test_an_own_group_passes() -> None:
    """The user's own group, by its number, is one."""
    document = {"simulate": True, "shm_group": str(os.getegid())}
    check(validate(complete(document), "test"))
    with pytest.raises(ConfigurationError, match="shm_group"):
        check(validate(complete({**document, "shm_group": "no-such-group"}), "test"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is in every group")
def test_the_board_is_shared_too(tmp_path: Path) -> None:
    """The board has the group from its first moment, and keeps it when it has to be made anew."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, shm_group="61234") as supervisor:
        supervisor.wait_until_working("front")
        board = names.path_of(f"/{supervisor.instance}.board")
        for _ in range(2):
            facts = board.stat()
            assert (facts.st_mode & 0o777, facts.st_gid) == (0o640, 61234)
            board.unlink()
            wait_for(board.exists, "a new board")
        assert supervisor.popen.poll() is None
        supervisor.stop(signal.SIGTERM)

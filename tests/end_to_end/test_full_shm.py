"""No room in /dev/shm, at the start and while everything runs: a sentence with the remedy, and the others go on."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.running import PROJECT_FOLDER, free_port
from tests.matrix.recording import MeasuredRow

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small /dev/shm")

Row = Callable[[str], MeasuredRow]


def in_small_shm(size_kib: int, ballast_kib: int, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command whose /dev/shm is its own, and show afterwards, on stdout, what is left there."""
    script = (
        f"mount -t tmpfs -o size={size_kib}k tmpfs /dev/shm && "
        f'head -c {ballast_kib}k /dev/zero > /dev/shm/ballast && "$@"; code=$?; ls /dev/shm; exit $code'
    )
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
    return subprocess.run(
        argv,
        cwd=PROJECT_FOLDER,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.row("M13")
def test_full_while_running(tmp_path: Path, row: Row) -> None:
    """A worker that finds no room is a fault with the remedy, no SIGBUS; the others run on; room brings it back."""
    done = in_small_shm(24 << 10, 0, sys.executable, "-m", "tests.end_to_end.full_shm", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1:] == []
    figures = json.loads(done.stdout.splitlines()[0])
    row("M13").measured("said after the worker's end", figures["said_s"], 10.0)
    row("M13").at_least("rate kept by the other camera", figures["kept_rate"], 0.95)
    row("M13").measured("back after there was room", figures["back_s"], 40.0)


@pytest.mark.row("M13")
@pytest.mark.parametrize(("free_kib", "what"), [(0, "a lock"), (512, ".board")])
def test_full_at_the_start(tmp_path: Path, free_kib: int, what: str) -> None:
    """Without room for the lock or the board: one line with what to do, exit code 71, nothing left."""
    (tmp_path / "c.toml").write_text('simulate = true\n[cameras.front]\ndevice = "/dev/video99"\n')
    flags = ("--config", str(tmp_path / "c.toml"), "--port", str(free_port()), "--duration", "5")
    done = in_small_shm(1024, 1024 - free_kib, sys.executable, "supervisor.py", *flags)
    assert done.returncode == 71, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("supervisor.py: ")]
    assert what in said
    assert "shm_size" in said
    assert done.stdout == "ballast\n"

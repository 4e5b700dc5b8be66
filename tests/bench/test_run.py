"""Whole runs with real processes: tiny, but with all that a large one has."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.processes import PROJECT_FOLDER
from shm.names import SHM_DIR

_TAG = "SPOT_BENCH_TEST"


def start(folder: Path, *flags: str) -> "subprocess.Popen[str]":
    """Start the bench with a folder of its own for what it leaves while it runs."""
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *flags, "--out", str(folder / "results")],
        cwd=PROJECT_FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder / "tmp"), _TAG: str(folder)},
    )


def assert_nothing_is_left(folder: Path, bench_pid: int) -> None:
    """No process, no segment, no file."""
    tagged = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_TAG) == str(folder) and process.status() != "zombie":
                tagged.append(process.name())
        except psutil.Error:
            continue
    assert tagged == []
    assert [name for name in os.listdir(SHM_DIR) if name.startswith(f"bench-{bench_pid}-")] == []
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_tiny_run(tmp_path: Path) -> None:
    """All three servers give pictures, the age is read from them, the result is a file, and nothing is left."""
    process = start(tmp_path, "--cells", "vga-jpeg-[8a]*", "--repeats", "1", "--seconds", "0.3")
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (0, 1), output  # what is fast enough is another question
    document = json.loads(next((tmp_path / "results").glob("*-full.json")).read_text())
    parts = {(part["cell"], part["server"]): part for part in document["parts"]}
    load = [parts["vga-jpeg-8", server] for server in ("reference", "pipeline", "ceiling")]
    assert all(part["images"] > 0 and part["errors"] == 0 and part["cpu_ms"] > 0 for part in load), output
    assert load[1]["image_bytes"] == pytest.approx(load[2]["image_bytes"], rel=0.1)
    assert all(parts["vga-jpeg-age", server]["age_p50_ms"] > 0 for server in ("reference", "pipeline"))
    assert all(part["capture_rate"] > 0 for part in load[:2])
    assert {goal["goal"]["cell"] for goal in document["goals"]} == {"vga-jpeg-8", "vga-jpeg-age"}
    assert_nothing_is_left(tmp_path, process.pid)


@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a measurement, while two of the servers are stopped."""
    process = start(tmp_path, "--cells", "vga-jpeg-8", "--repeats", "50", "--seconds", "0.2")
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("["))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert_nothing_is_left(tmp_path, process.pid)


def test_an_unknown_cell_is_a_usage_error(tmp_path: Path) -> None:
    """And the cells that there are get named."""
    process = start(tmp_path, "--cells", "8k-*")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "1080p-jpeg-8" in output

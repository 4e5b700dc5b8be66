"""Real processes on one name: frames as fast as possible, replacements, and SIGKILL at every step."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from shm import RingReader, names
from tests.shm import hammer_writer
from tests.shm.stamped import PROJECT

SEED = int(os.environ.get("HAMMER_SEED", "20"))
KILLS = 600
SECONDS = 40


@contextlib.contextmanager
def started(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process of this folder, which ends when its stdin is closed or by itself."""
    argv = [sys.executable, "-m", f"tests.shm.{module}", *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        try:
            yield process
        finally:
            if process.stdin and not process.stdin.closed:
                process.stdin.close()


def last_line_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """End the process, and parse the last line that it printed."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    line = process.stdout.read().splitlines()[-1]
    assert process.wait(timeout=20) == 0
    return dict(json.loads(line))


def hammer(instance: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What the writers did, and what a reader by copy and a reader in place saw."""
    with started("hammer_reader", instance, "latest") as latest, started("hammer_reader", instance, "use") as use:
        with started("hammer_writer", instance, str(SEED), str(KILLS), str(SECONDS)) as writers:
            for reader in (latest, use):
                assert reader.stdout is not None
                assert reader.stdout.readline() == "looking\n"
            written = last_line_of(writers)
        return written, {"latest": last_line_of(latest), "use": last_line_of(use)}


@pytest.mark.row("M1")
@pytest.mark.slow
def test_no_reader_sees_what_was_never_whole(instance: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Over hundreds of kills at every step: nothing torn, half made, absent, changed or going back."""
    written, seen = hammer(instance)
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}: {json.dumps(written)}\n{json.dumps(seen)}\n")
    assert written["kills"] >= 200
    for step in (f"{moment} {name}" for moment in hammer_writer.MOMENTS for _, name in hammer_writer.STEPS):
        assert written["at"].get(step, 0) > 0, step
    for counts in seen.values():
        assert {"torn", "no_frame", "corrupt", "backward", "changed"} & counts.keys() == set()
        assert counts["frames"] > 200
    assert sum(counts["overtaken"] for counts in seen.values()) > 0
    check_what_is_left(instance)


def check_what_is_left(instance: str) -> None:
    """The last ring is still readable, and sweeping by name leaves nothing of all the dead."""
    assert RingReader(instance, "hammer").latest() is not None
    for name in names.names_of(instance):
        names.remove(name)
    assert [left for left in os.listdir(names.SHM_DIR) if instance in left] == []

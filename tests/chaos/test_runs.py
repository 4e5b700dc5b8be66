"""Whole chaos runs: a short one of the build as it is, long ones, and builds that are broken on purpose."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.tally import INVARIANTS

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
BROKEN_BUILDS = Path(__file__).resolve().parent / "broken_builds"

# What holds on any machine; the others promise times and rates, which a busy machine breaks.
TIMELESS = {"I1", "I2", "I3", "I4", "I8", "I9", "I10", "I13"}
JUDGED_BY_ANY_RUN = {"I1", "I2", "I3", "I4", "I6", "I8", "I9", "I10", "I12"}  # however short, on any machine

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs a network of its own, for a stranger to call from")


def run(
    folder: Path, seconds: int, seed: int, *flags: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run chaos and return its report."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "chaos", "--duration", str(seconds), "--seed", str(seed), "--report", str(report)]
    done = subprocess.run(
        [*command, *flags],
        cwd=PROJECT_FOLDER,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=seconds + 240,
        check=False,
    )
    print(done.stdout)
    assert report.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    document: dict[str, Any] = json.loads(report.read_text())
    assert done.returncode == (0 if document["clean"] else 1)
    assert document["trouble"] == ""
    return document


def violated(report: dict[str, Any]) -> set[str]:
    """The invariants that did not hold."""
    counts = report["observed"]["result"]["invariants"]
    return {name for name, count in counts.items() if count["violations"]}


def judged(report: dict[str, Any]) -> set[str]:
    """The invariants that were checked at all."""
    counts = report["observed"]["result"]["invariants"]
    return {name for name, count in counts.items() if count["checks"]}


@pytest.mark.row("M35")
@pytest.mark.slow
def test_short_run(tmp_path: Path) -> None:
    """A worker, a camera, a ring, the robot and a client do wrong: all recover, and nothing wrong is ever served.

    The seed is one that has each of these within five seconds, and each camera has one of them: none is restarting when
    its turn comes. What follows the faults takes longer than they do.
    """
    kinds = ("kill", "wrong_size", "segment_truncated", "robot_forgets_faults", "odd_request")
    report = run(tmp_path, 5, 22238, "--only", *kinds)
    assert set(report["injected"]) == set(kinds)
    assert violated(report) & TIMELESS == set(), report["observed"]["result"]
    assert judged(report) >= JUDGED_BY_ANY_RUN
    assert report["observed"]["images"] > 50
    assert report["observed"]["result"]["not_recovered"] == []


@pytest.mark.row("M35")
@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_long_run(tmp_path: Path, seed: int) -> None:
    """Two minutes of chaos break nothing, on a machine that has nothing else to do; and everything is judged."""
    report = run(tmp_path, 120, seed)
    assert violated(report) == set()
    without_a_stranger = {"I13"} if "namespaces" in report["left_out"] else set()
    assert judged(report) == set(INVARIANTS) - without_a_stranger


@as_root
@pytest.mark.soak
@pytest.mark.parametrize(
    ("broken", "kinds", "seconds"),
    [
        ({"I1", "I2", "I3", "I7", "I11"}, ("stop", "kill"), 30),
        ({"I4", "I5", "I6", "I9", "I12", "I13"}, ("odd_request",), 15),
        ({"I8", "I10", "I14"}, ("kill", "supervisor_kill"), 60),
    ],
    ids=["what is served", "who does it", "how it lives"],
)
def test_broken_builds_are_seen(tmp_path: Path, broken: set[str], kinds: tuple[str, ...], seconds: int) -> None:
    """A build in which one function of the product does the wrong thing: the observer sees that in the real thing."""
    environment = {"CHAOS_BROKEN": ",".join(sorted(broken)), "PYTHONPATH": str(BROKEN_BUILDS)}
    report = run(tmp_path, seconds, 3, "--only", *kinds, environment=environment)
    assert broken - violated(report) == set()


def test_every_invariant_is_broken_by_some_build() -> None:
    """None is forgotten."""
    text = (BROKEN_BUILDS / "sitecustomize.py").read_text()
    assert all(f'"{name}": (' in text for name in INVARIANTS)

"""The plan of a chaos run: the seed's alone, of every kind, and within its own limits."""

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

from chaos.schedule import BY_NAME, CAMERAS, KINDS, plan

PROJECT_FOLDER = Path(__file__).resolve().parents[2]


def test_the_same_seed_is_the_same_plan() -> None:
    """Also in another process, whose hashes have another seed."""
    expected = "".join(f"{injection}\n" for injection in plan(42, 120))
    command = [sys.executable, "-m", "chaos", "--plan", "--seed", "42", "--duration", "120"]
    printed = subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True).stdout
    assert printed == expected


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    """What was seen in the first minute of a night's run can be seen again in a minute."""
    assert plan(7, 600)[:20] == plan(7, 60)[:20]


def test_other_seeds_are_other_plans() -> None:
    """A hundred seeds, a hundred plans."""
    assert len({plan(seed, 30) for seed in range(100)}) == 100


def test_every_kind_comes() -> None:
    """Half an hour has all of them, the ends of processes more than once."""
    counts = Counter(injection.kind for injection in plan(1, 1800))
    assert set(counts) == {kind.name for kind in KINDS}
    assert min(counts[kind.name] for kind in KINDS if kind.ends_process) > 1


def test_every_half_to_three_seconds() -> None:
    """Faults follow each other as the issue says, but for moments at which every victim is busy."""
    times = [injection.at_s for injection in plan(3, 1800)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 0.499
    assert sum(gap <= 3.001 for gap in gaps) == len(gaps)


def test_who_dies_again_and_again_has_time_to_be_forgiven() -> None:
    """No camera's worker is ended more than a few times within a minute."""
    ends = [injection for injection in plan(5, 1800) if BY_NAME[injection.kind].ends_process]
    for camera in CAMERAS:
        times = [injection.at_s for injection in ends if injection.target == camera]
        assert max(sum(start <= t < start + 60 for t in times) for start in times) <= 12


def test_a_target_that_is_held_is_left_alone() -> None:
    """Two faults never fight for one camera's control file, or for the robot."""
    held: dict[str, float] = {}
    for injection in plan(9, 1800):
        if injection.target:
            assert injection.at_s >= held.get(injection.target, 0.0)
            held[injection.target] = injection.at_s + injection.hold_s


def test_what_the_machine_lacks_is_left_out() -> None:
    """Without root nothing needs another user's files, and `only` is obeyed."""
    kinds = {injection.kind for injection in plan(1, 1800, without=("namespaces", "root"))}
    assert not kinds & {"shm_full", "segment_foreign"}
    assert {injection.kind for injection in plan(1, 300, only=("kill", "robot_reboot"))} == {"kill", "robot_reboot"}

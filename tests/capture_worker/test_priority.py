"""Capture workers go before what computes all the time, as far as their user may ask for that."""

import ctypes
import os
import subprocess
import sys

import pytest

from capture_worker.priority import go_first

_PR_CAPBSET_DROP, _CAP_SYS_NICE = 24, 23

ASK = "import os; from capture_worker.priority import go_first; go_first(); print(os.getpriority(os.PRIO_PROCESS, 0))"


def niceness(*, may: bool) -> int:
    """What a process with or without CAP_SYS_NICE ends up with."""

    def become() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        if not may:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_SYS_NICE, 0, 0, 0)

    ran = subprocess.run([sys.executable, "-c", ASK], preexec_fn=become, capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.skipif(os.getuid() != 0, reason="gives up a right that only root has")
@pytest.mark.parametrize(("may", "expected"), [(False, 0), (True, -10)])
def test_as_far_as_the_user_may(may: bool, expected: int) -> None:
    """Without the right nothing happens: it is no reason not to capture."""
    assert niceness(may=may) == expected


@pytest.mark.skipif(os.getuid() == 0, reason="root may always")
def test_a_user_without_the_right_captures_all_the_same() -> None:
    """Nothing is raised."""
    go_first()

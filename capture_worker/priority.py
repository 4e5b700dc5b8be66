"""Cameras before clients: an answer that waits comes later, a frame that nobody took in time is lost."""

import contextlib
import os
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")
_NICE = -10


def go_first() -> None:
    """Have this process scheduled before what computes all the time, as far as its user may ask for that.

    Root may, and whom RLIMIT_NICE lets (see deploy/). Of 1080p cameras beside clients that kept both cores busy, one
    frame in ten was lost without. Call it before there are threads: each has a priority of its own.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, max(-20, os.getpriority(os.PRIO_PROCESS, 0) + _NICE))
    # Each child is a session of its own, and where the kernel shares time between sessions, nice counts only within.
    with contextlib.suppress(OSError):
        _AUTOGROUP.write_text(str(_NICE))

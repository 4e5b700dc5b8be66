"""What the observer looks at itself, each in a thread: board and rings, processes, the log, the machine."""

import collections
import re
import time
from collections.abc import Callable
from pathlib import Path

from chaos.facts import (
    ChildSeen,
    Fact,
    LoadSeen,
    LogSeen,
    ProcessSeen,
    RingSeen,
    SegmentsSeen,
    Stalled,
    Tick,
    WritersSeen,
)
from chaos.isolation import is_isolated
from chaos.pipeline import BUDGET_MB, CAMERAS
from chaos.processes import busy_cpu_s, own_cpu_s, processes_of, usage, writers
from shm import BoardReader, Frame, Loss, RingReader, Status
from shm.names import names_of, path_of, segment_name

BOARD_EVERY_S = 0.04
PROCESSES_EVERY_S = 2.0
LOAD_EVERY_S = 5.0
STALL_S = 0.25
_FIGURES = re.compile(r"[0-9]+(\.[0-9]+)?")
_STALL_LOOK_S = 0.05

Tell = Callable[[Fact], None]


def watch_board(instance: str, tell: Tell) -> None:
    """Tell every change on the board, every camera's newest frame, and that time passes."""
    board = BoardReader(instance)
    rings = {camera.name: RingReader(instance, camera.name) for camera in CAMERAS}
    seen: dict[str, ChildSeen] = {}
    ticked = 0.0
    while True:
        status = board.latest()
        if status is not None:
            _tell_children(status, seen, tell)
        for name, ring in rings.items():
            _tell_ring(name, ring, tell)
        if time.monotonic() - ticked > 0.2:  # noqa: PLR2004 - seconds
            ticked = time.monotonic()
            tell(Tick(ticked))
        time.sleep(BOARD_EVERY_S)


def _tell_children(status: Status, seen: dict[str, ChildSeen], tell: Tell) -> None:
    for child in status.children:
        old = seen.get(child.name)
        next_start = child.next_start_ns / 1e9 if child.next_start_ns is not None else None
        new = ChildSeen(
            time.monotonic(),
            status.supervisor_pid,
            child.name,
            child.pid,
            child.state,
            child.since_ns / 1e9,
            child.restarts,
            child.last_exit,
            next_start,
        )
        if old is None or (old.supervisor_pid, old.pid, old.state, old.since) != (
            new.supervisor_pid,
            new.pid,
            new.state,
            new.since,
        ):
            seen[child.name] = new
            tell(new)


def _tell_ring(name: str, ring: RingReader, tell: Tell) -> None:
    def facts(frame: Frame) -> tuple[int, int, float]:
        return frame.epoch, frame.frame_number, frame.captured_ns / 1e9

    found = ring.use(facts, None)
    if not isinstance(found, Loss):
        tell(RingSeen(time.monotonic(), name, *found))


def watch_processes(instance: str, tag: str, tell: Tell) -> None:
    """Tell what the processes use, who writes into which ring, and what is in /dev/shm."""
    board = BoardReader(instance)
    while True:
        status = board.latest()
        names = {child.pid: child.name for child in status.children} if status else {}
        if status:
            names[status.supervisor_pid] = "supervisor"
        for pid, name in names.items():
            used = usage(pid) if pid is not None else None
            if pid is not None and used is not None:
                tell(ProcessSeen(time.monotonic(), name, pid, *used))
        pids = processes_of(tag)
        for camera in CAMERAS:
            for inode, found in writers(pids, segment_name(instance, camera.name)).items():
                tell(WritersSeen(time.monotonic(), camera.name, inode, tuple(sorted(found))))
        tell(SegmentsSeen(time.monotonic(), _segments_mb(instance), BUDGET_MB))
        time.sleep(PROCESSES_EVERY_S)


def _segments_mb(instance: str) -> float:
    total = 0
    for name in names_of(instance):
        try:
            total += path_of(name).stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total / 1e6


def watch_log(path: Path, tell: Tell) -> None:
    """Tell every ten seconds what was logged in the last minute."""
    lines: collections.deque[tuple[float, str]] = collections.deque()
    with path.open(errors="replace") as log:
        told = time.monotonic() + 50
        while True:
            now = time.monotonic()
            lines.extend((now, _FIGURES.sub("#", line.strip())[:200]) for line in log.readlines())
            while lines and lines[0][0] < now - 60:
                lines.popleft()
            if now - told > 10:  # noqa: PLR2004 - seconds
                told = now
                counted = collections.Counter(text for _, text in lines).most_common(1)
                text, most = counted[0] if counted else ("", 0)
                tell(LogSeen(now, len(lines), most, text))
            time.sleep(1.0)


def watch_load(tell: Tell) -> None:
    """Tell how busy the machine is: what violates a time or a rate on a machine that others use may be theirs."""
    told, busy, own = time.monotonic(), busy_cpu_s(), own_cpu_s()
    while True:
        time.sleep(LOAD_EVERY_S)
        last = told, busy, own
        told, busy, own = time.monotonic(), busy_cpu_s(), own_cpu_s()
        passed = told - last[0]
        own_cores = max(0.0, own - last[2]) / passed if is_isolated() else None
        others = max(0.0, (busy - last[1]) / passed - own_cores) if own_cores is not None else None
        tell(LoadSeen(told, own_cores, others))


def watch_machine(tell: Tell) -> None:
    """Tell when a thread that wanted to wake up did not for so long that no promise counts."""
    while True:
        before = time.monotonic()
        time.sleep(_STALL_LOOK_S)
        now = time.monotonic()
        if now - before - _STALL_LOOK_S > STALL_S:
            tell(Stalled(now, before))

"""The processes of a run as the kernel knows them: found by a word in their environment, whoever started them."""

import os
from collections.abc import Iterable
from pathlib import Path

from shm import names

TAG = "SPOT_CHAOS"
_TICKS = os.sysconf("SC_CLK_TCK")


def processes_of(tag: str) -> list[int]:
    """Pids of every process that runs with this tag in its environment; zombies run no more."""
    wanted = f"{TAG}={tag}".encode()
    return [pid for pid in _all_pids() if wanted in _read(pid, "environ").split(b"\0") and _state(pid) not in "ZX"]


def usage(pid: int) -> tuple[int, int, float] | None:
    """Descriptors, threads and MB of memory of its own; None if it is gone."""
    try:
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in _read(pid, "status").decode().splitlines() if ":" in line)
    if "Threads" not in fields or "RssAnon" not in fields:
        return None
    return descriptors, int(fields["Threads"]), int(fields["RssAnon"].split()[0]) / 1024


def writers(pids: Iterable[int], name: str) -> dict[int, set[int]]:
    """Which of these processes have the segment of this name mapped for writing: inode → pids."""
    found: dict[int, set[int]] = {}
    for pid in pids:
        for line in _read(pid, "maps").decode(errors="replace").splitlines():
            parts = line.split(None, 5)
            if len(parts) == 6 and parts[5] == str(names.path_of(name)) and parts[1].startswith("rw"):  # noqa: PLR2004
                found.setdefault(int(parts[4]), set()).add(pid)
    return found


def busy_cpu_s() -> float:
    """Seconds that all cores together have worked since boot."""
    user, nice, system, _idle, _wait, *rest = (int(value) for value in _read("", "stat").split(b"\n")[0].split()[1:])
    return (user + nice + system + sum(rest[:2])) / _TICKS


def own_cpu_s() -> float:
    """Of these, what the processes of this run took, and those of them that are gone."""
    return sum(_cpu_s(pid) for pid in _all_pids() if _network_of(pid) == _network_of("self"))


def _cpu_s(pid: int) -> float:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return sum(int(value) for value in fields[11:15]) / _TICKS


def _network_of(pid: int | str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _state(pid: int) -> str:
    return _read(pid, "stat").decode(errors="replace").rpartition(")")[2].strip()[:1] or "X"


def _read(pid: int | str, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""

"""The bench's processes: how they start and end, how they are stopped meanwhile, and what the kernel says they used."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PROJECT_FOLDER = Path(__file__).resolve().parents[1]

_PR_SET_PDEATHSIG = 1
_END_S = 6.0
_TICKS = os.sysconf("SC_CLK_TCK")
_LIBC = ctypes.CDLL(None)

Usage = Mapping[tuple[int, str], int]  # (pid, thread) → nanoseconds on a core


@contextlib.contextmanager
def running(arguments: Sequence[str], log: Path, *, talks: bool = True) -> Iterator["subprocess.Popen[bytes]"]:
    """Run Python with these arguments, in a session of its own; end it in an orderly way, and then in any way.

    One that `talks` has pipes as stdin and stdout, and ends when its stdin does; what else it says goes to the log. It
    dies with the bench.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *arguments],
            cwd=PROJECT_FOLDER,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else output,
            stderr=output,
            start_new_session=True,  # a terminal's Ctrl-C is for the bench, which ends them in their order
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the bench has no threads
        )
    try:
        yield process
    finally:
        _end(process)


def ready_word(process: "subprocess.Popen[bytes]", word: str, log: Path) -> str:
    """Wait for the line in which a program says that it is ready, and return it. Raises RuntimeError if it ends."""
    assert process.stdout is not None  # noqa: S101 - one that talks
    for line in process.stdout:
        if word in (text := line.decode(errors="replace").strip()):
            return text
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def send(pids: Iterable[int], signal_number: int) -> None:
    """Send a signal to each of these, if it is there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def usage(pids: Iterable[int]) -> Usage:
    """What every thread of these processes has used until now. Raises FileNotFoundError if one of them is gone."""
    used: dict[tuple[int, str], int] = {}
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                used[pid, thread] = _thread_ns(Path(f"/proc/{pid}/task/{thread}"))
    return used


def used_s(before: Usage, after: Usage, pids: Iterable[int]) -> float:
    """Seconds of CPU that these processes used between two looks. What ended meanwhile is not known."""
    wanted = set(pids)
    return sum(end - before.get(key, 0) for key, end in after.items() if key[0] in wanted) / 1e9


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes; what several share is counted once (PSS)."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def _thread_ns(thread: Path) -> int:
    """Nanoseconds on a core; a kernel without schedstat counts in ticks of ten milliseconds."""
    try:
        return int((thread / "schedstat").read_text().split()[0])
    except FileNotFoundError:
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        return sum(int(value) for value in fields[11:13]) * 1_000_000_000 // _TICKS


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    if process.stdin is None:
        process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

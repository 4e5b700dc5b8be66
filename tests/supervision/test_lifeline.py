"""The child's end of the report pipe: it never blocks, and it never outlives its supervisor."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from supervision import exit_codes
from supervision.lifeline import REPORT_LINE_BYTES, Lifeline
from supervision.process import PROJECT_FOLDER
from supervision.reports import Beat, Error, Ready, ReportStream

ATTACHED = """
import sys, time
from supervision.lifeline import Lifeline
lifeline = Lifeline(int(sys.argv[1]))
lifeline.attach()
lifeline.ready(said=lifeline.configuration["said"])
while not lifeline.stopping:
    lifeline.end_if_orphaned()
    lifeline.promise(1.0, said=lifeline.configuration["said"])
    time.sleep(0.01)
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe whose ends do not block."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    yield read_fd, write_fd
    os.close(read_fd)
    os.close(write_fd)


def attached(report_fd: int) -> "subprocess.Popen[bytes]":
    """Start a process that is attached to us; its stderr is a pipe, as under the supervisor."""
    return subprocess.Popen(
        [sys.executable, "-c", ATTACHED, str(report_fd)],
        bufsize=0,
        cwd=PROJECT_FOLDER,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(report_fd,),
    )


def tell(process: "subprocess.Popen[bytes]", **configuration: object) -> None:
    """Write a configuration line."""
    assert process.stdin is not None
    process.stdin.write(json.dumps({"supervisor_pid": os.getpid(), **configuration}).encode() + b"\n")


def test_reports_arrive(pipe: tuple[int, int]) -> None:
    """What a child says comes out of the supervisor's parser as it was meant."""
    lifeline = Lifeline(pipe[1])
    lifeline.ready(port=21100)
    lifeline.promise(1.5, frames=3, frame_number=9, drops=1)
    lifeline.error("absent", "there is no /dev/video7")
    ready, beat, error = ReportStream("front").feed(os.read(pipe[0], 65536))
    assert isinstance(ready, Ready)
    assert ready.facts == {"port": 21100}
    assert isinstance(beat, Beat)
    assert (beat.within_ms, beat.frames, beat.frame_number, beat.facts) == (1500, 3, 9, {"drops": 1})
    assert isinstance(error, Error)
    assert (error.code, error.text) == ("absent", "there is no /dev/video7")


@pytest.mark.parametrize("text", ["é" * 5000, "\x01" * 5000, "\U0001f4f7" * 5000, "no text: \udcff", "a" * 5000])
def test_any_error_text_fits(pipe: tuple[int, int], text: str) -> None:
    """However long and strange, an error arrives as one report."""
    Lifeline(pipe[1]).error("open_failed", text)
    line = os.read(pipe[0], 65536)
    assert len(line) <= REPORT_LINE_BYTES
    (error,) = ReportStream("front").feed(line)
    assert isinstance(error, Error)
    assert error.text[:5] == text[:5]


def test_same_promise_is_sent_ten_times_a_second_at_most(pipe: tuple[int, int]) -> None:
    """A fast loop does not flood the pipe; another promise is sent at once, the shorter one too."""
    lifeline = Lifeline(pipe[1])
    for within_s in (1.0, 1.0, 1.0, 15.0, 15.0, 1.0):
        lifeline.promise(within_s)
    beats = ReportStream("front").feed(os.read(pipe[0], 65536))
    assert [beat.within_ms for beat in beats if isinstance(beat, Beat)] == [1000, 15000, 1000]


def test_full_pipe_drops_reports_and_blocks_nobody(pipe: tuple[int, int]) -> None:
    """A supervisor that does not read loses whole lines, never halves of them."""
    lifeline = Lifeline(pipe[1])
    for _ in range(1000):
        lifeline.error("corrupt", "x" * 600)
    reports = ReportStream("front").feed(os.read(pipe[0], 1 << 20))
    assert 60 < len(reports) < 1000
    assert all(isinstance(report, Error) and report.text == "x" * 600 for report in reports)


def test_too_long_report_is_a_mistake_of_the_caller(pipe: tuple[int, int]) -> None:
    """A report that could be torn in the pipe is refused."""
    with pytest.raises(ValueError, match="longer than 4096"):
        Lifeline(pipe[1]).ready(text="x" * 5000)


def test_configuration_goes_down(pipe: tuple[int, int]) -> None:
    """Its line is waited for, also when it comes in pieces; what follows means nothing."""
    with attached(pipe[1]) as process:
        assert process.stdin is not None
        process.stdin.write(f'{{"supervisor_pid":{os.getpid()},"sa'.encode())
        process.stdin.write(b'id":"one"}\n')
        assert _waits_for(pipe[0], b'"report":"ready","said":"one"')
        tell(process, said="two")
        assert _waits_for(pipe[0], b'"within_ms":1000,"said":"one"')
        process.terminate()
        assert process.wait(5) == exit_codes.FINISHED


def test_closed_stdin_ends_the_child(pipe: tuple[int, int]) -> None:
    """When nobody can configure the child any more, it ends as an orphan, even with nobody at its stderr."""
    with attached(pipe[1]) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        tell(process, said="one")
        assert _waits_for(pipe[0], b"ready")
        process.stderr.close()
        process.stdin.close()
        assert process.wait(5) == exit_codes.ORPHANED


def test_closed_report_pipe_ends_the_child() -> None:
    """When nobody reads the promises any more, the child ends as an orphan."""
    read_fd, write_fd = os.pipe()
    with attached(write_fd) as process:
        os.close(write_fd)
        os.close(read_fd)
        tell(process, said="one")
        assert process.wait(5) == exit_codes.ORPHANED


@pytest.mark.row("M11")
def test_foreign_parent_ends_the_child(pipe: tuple[int, int]) -> None:
    """A child whose supervisor died before it could ask for the parent-death signal notices another parent."""
    with attached(pipe[1]) as process:
        tell(process, supervisor_pid=1 if os.getpid() != 1 else 2)
        assert process.wait(5) == exit_codes.ORPHANED
        assert process.stderr is not None
        assert b"the supervisor is gone" in process.stderr.read()


def _waits_for(fd: int, text: bytes) -> bool:
    os.set_blocking(fd, True)
    read = b""
    while text not in read:
        read += os.read(fd, 65536)
    return True

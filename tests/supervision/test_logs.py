"""The log of a child is bounded, and its end is kept."""

import json
import logging
import os
import subprocess
import sys
import time

import pytest

from supervision.line_budget import AT_ONCE, RESERVE, LineBudget
from supervision.logs import LINE_BYTES, LINES_PER_S, STACK_LINES, TAIL_LINES, ChildLog
from supervision.masking import Mask
from supervision.output import Output, OutputHandler
from supervision.process import PROJECT_FOLDER

SECOND_NS = 1_000_000_000


def test_lines_carry_the_name(caplog: pytest.LogCaptureFixture) -> None:
    """Lines are put together from pieces, and prefixed."""
    caplog.set_level("INFO")
    log = ChildLog("front")
    log.feed(b"first\nsec", SECOND_NS)
    log.feed(b"ond\nlast", SECOND_NS)
    log.flush()
    assert caplog.messages == ["[front] first", "[front] second", "[front] last"]


def test_too_many_lines_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """What exceeds the lines of a second is counted, and the count shown in the next second."""
    caplog.set_level("INFO")
    log = ChildLog("front")
    log.feed(b"x\n" * 1000, SECOND_NS)
    assert len(caplog.messages) == LINES_PER_S
    log.tick(2 * SECOND_NS)
    assert caplog.messages[-1] == f"[front] … and {1000 - LINES_PER_S} more lines that are not shown"


def test_tail_holds_the_newest_lines_shown_or_not() -> None:
    """The post-mortem needs the last lines, which a flood is most likely to hide."""
    log = ChildLog("front")
    log.feed(b"".join(b"line %d\n" % number for number in range(1000)), SECOND_NS)
    assert len(log.tail) == TAIL_LINES
    assert log.tail[-1] == "line 999"


def test_a_day_of_restarts_is_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Of a child that is started twice a minute, the first process is shown, then one in ten minutes."""
    caplog.set_level("INFO")
    log = ChildLog("gone")
    for start in range(2880):
        log.begin(start * 30 * SECOND_NS)
        log.feed(b"there is no /dev/video7\nending\n", start * 30 * SECOND_NS)
        log.tick((start * 30 + 5) * SECOND_NS)
    assert caplog.messages[:2] == ["[gone] there is no /dev/video7", "[gone] ending"]
    assert len(caplog.messages) < 3 * 150
    assert "[gone] … and 38 more lines that are not shown" in caplog.messages
    assert log.tail == ("there is no /dev/video7", "ending")


def test_process_that_lasts_is_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    """A process that was started too soon to be shown is shown when the ten minutes are over, or when it is asked."""
    caplog.set_level("INFO")
    log = ChildLog("front")
    for _ in range(2):
        log.begin(SECOND_NS)
    log.feed(b"unheard\n", SECOND_NS)
    log.feed(b"heard\n", 700 * SECOND_NS)
    assert caplog.messages == ["[front] … and 1 more lines that are not shown", "[front] heard"]
    log.listen()
    log.begin(701 * SECOND_NS)
    log.feed(b"changed\n", 701 * SECOND_NS)
    assert caplog.messages[-1] == "[front] changed"


def test_endless_line_is_cut() -> None:
    """A child that never ends its line costs no memory."""
    log = ChildLog("front")
    for _ in range(100):
        log.feed(b"x" * 65536, SECOND_NS)
    assert {len(line) for line in log.tail} == {LINE_BYTES}


@pytest.mark.parametrize("size", [1, 700, 1020, 1500])
def test_secret_is_masked_however_the_pipe_cuts_it(size: int) -> None:
    """Also in a line that never ends, which is not kept until its end."""
    log = ChildLog("front", Mask('{"password": "hush-hush-hush"}'))
    said = b"x" * 1015 + b"hush-hush-hush" + b"y" * 1000
    for start in range(0, len(said), size):
        log.feed(said[start : start + size], SECOND_NS)
    log.flush()
    shown = "".join(log.tail)
    assert "hush" not in shown
    assert shown.count("x") >= LINE_BYTES


def test_pipe_full_of_empty_lines_is_little_work(caplog: pytest.LogCaptureFixture) -> None:
    """The supervisor's loop must turn: what is neither shown nor kept is only counted, and all is masked at once."""
    caplog.set_level("INFO")
    log = ChildLog("front", Mask(json.dumps([{"password": f"secret-{number}"} for number in range(30)])))
    started_s = time.process_time()
    for _ in range(16):
        log.feed(b"\n" * 65_535 + b"last\n", SECOND_NS)
    assert time.process_time() - started_s < 1.0  # 0.1 s here; a line at a time it would be more than ten
    assert log.tail[-1] == "last"
    log.tick(2 * SECOND_NS)
    assert caplog.messages[-1] == f"[front] … and {16 * 65_536 - LINES_PER_S} more lines that are not shown"


def test_output_drops_what_nobody_reads() -> None:
    """A reader that has stalled, and one that is gone, cost lines and nothing else."""
    read_fd, write_fd = os.pipe()
    output = Output(write_fd)
    for number in range(10_000):
        output.write(f"line {number}")
    assert os.read(read_fd, 100).startswith(b"line 0\nline 1\n")
    os.close(read_fd)
    output.write("nobody is there")
    os.close(write_fd)
    output.write("not even a pipe")


def test_a_stack_and_the_lines_before_it_do_not_push_each_other_out() -> None:
    """A stack that was asked for, or that a fatal signal left, is kept from its beginning, beside the tail."""
    log = ChildLog("front")
    log.feed(b"opening the device\nreading", SECOND_NS)
    log.expect_stack()
    log.feed(b"Current thread 0x1:\n" + b"  File x\n" * (STACK_LINES - 1), SECOND_NS)
    assert list(log.tail) == ["opening the device", "reading"]
    assert log.stack[0] == "Current thread 0x1:"
    log.feed(b"and on\n", SECOND_NS)
    assert len(log.stack) == STACK_LINES
    assert log.tail[-1] == "and on"
    log.begin(SECOND_NS)
    assert [*log.tail, *log.stack] == []
    log.feed(b"before\nFatal Python error: Segmentation fault\n  File y\n", SECOND_NS)
    assert list(log.tail) == ["before"]
    assert log.stack == ("Fatal Python error: Segmentation fault", "  File y")


def test_any_number_of_children_is_sixty_lines_a_minute() -> None:
    """Sixty lines at most in any minute, of them a reserve for what the supervisor says; the others are counted."""
    budget, seconds = LineBudget(), range(1000)
    shown: list[tuple[int, str]] = []
    for second in seconds:
        for _ in range(20):
            if budget.allows(1, second * SECOND_NS, child="front"):
                shown.append((second, "child"))
        if budget.allows(1, second * SECOND_NS):
            shown.append((second, "own"))
    for start in seconds:
        assert sum(start <= second < start + 60 for second, _ in shown) <= 60
    assert sum(who == "own" for _, who in shown) > 150
    assert "lines before it that are not shown" in budget.take_left_out()
    assert budget.take_left_out() == ""


def test_child_that_floods_leaves_lines_for_the_others() -> None:
    """However much some children write, at once or for an hour, one that begins to is heard."""
    budget = LineBudget()

    def shown(child: str, second: int) -> int:
        return sum(budget.allows(1, second * SECOND_NS, child=child) for _ in range(1000))

    assert [shown(child, 0) for child in ("front", "left", "rear")] == [18, 9, 5]
    for second in range(3600):
        for child in ("front", "left"):
            shown(child, second)
    assert shown("rear", 3600) >= 6


def test_log_of_the_command_line_keeps_lines_for_the_supervisor() -> None:
    """What it says itself is shown in the middle of a flood, and every child is."""
    program = """
import logging
from supervision.cli import log_to_stderr
from supervision.logs import ChildLog
log_to_stderr(verbose=False)
for second in range(100):
    ChildLog("front").feed(b"flood\\n" * 1000, second * 10**9)
ChildLog("rear").feed(b"help\\n", 10**9)
for number in range(8):
    logging.getLogger("supervision").info("own %d", number)
"""
    command = [sys.executable, "-c", program]
    log = subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, timeout=30, check=True).stderr
    assert log.count("[front]") < AT_ONCE / 2
    assert log.count("[rear] help") == 1
    assert log.count(" own ") == 8


def test_long_record_is_shown_without_its_middle() -> None:
    """A traceback of any length fits into the lines that are kept for the supervisor: what it is about, and its end."""
    read_fd, write_fd = os.pipe()
    handler, text = OutputHandler(Output(write_fd), LineBudget()), "\n".join(map(str, range(1000)))
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, text, (), None))
    lines = os.read(read_fd, 65536).decode().splitlines()
    assert len(lines) <= RESERVE
    assert (lines[0], lines[-1]) == ("0", "999")
    assert f"… {1000 - RESERVE + 1} lines that -v shows …" in lines
    os.close(read_fd)
    os.close(write_fd)


def test_lines_beyond_the_budget_are_counted_in_the_next_one() -> None:
    """What is left out shows in the next line that is written."""
    read_fd, write_fd = os.pipe()
    handler = OutputHandler(Output(write_fd), budget := LineBudget())
    record = logging.LogRecord("x", logging.INFO, "", 0, "one\ntwo", (), None)
    for _ in range(AT_ONCE):
        handler.emit(record)
    budget._left += 2
    handler.emit(record)
    lines = os.read(read_fd, 65536).decode().splitlines()
    assert len(lines) == AT_ONCE + 2
    assert lines[-1] == f"two (and {AT_ONCE} lines before it that are not shown; -v shows all)"
    os.close(read_fd)
    os.close(write_fd)

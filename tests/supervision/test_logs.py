"""The log of a child is bounded, and its end is kept."""

import json
import logging
import os
import subprocess
import sys
import time

import pytest

from supervision.line_budget import CHILDREN_AT_ONCE, OWN_AT_ONCE, LineBudget
from supervision.logs import LAST_LINES, LINE_BYTES, LINES_PER_S, STACK_LINES, TAIL_LINES, ChildLog
from supervision.masking import Mask
from supervision.output import IS_LEFT_OUT, Output, OutputHandler
from supervision.process import PROJECT_FOLDER
from supervision.sparing import FIRST_LINES

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
    """Of a child that is started twice a minute, three processes are shown, then one in ten minutes."""
    caplog.set_level("INFO")
    log = ChildLog("gone")
    for start in range(2880):
        log.begin(start * 30 * SECOND_NS)
        log.feed(b"there is no /dev/video7\nending\n", start * 30 * SECOND_NS)
        log.tick((start * 30 + 5) * SECOND_NS)
    assert caplog.messages[:6] == ["[gone] there is no /dev/video7", "[gone] ending"] * 3
    assert len(caplog.messages) < 3 * 150
    assert "[gone] … and 38 more lines that are not shown" in caplog.messages
    assert log.tail == ("there is no /dev/video7", "ending")


def test_process_that_lasts_is_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    """A process that was started too soon to be shown is shown when the ten minutes are over, or when it is asked."""
    caplog.set_level("INFO")
    log = ChildLog("front")
    for _ in range(FIRST_LINES + 1):
        log.begin(SECOND_NS)
    log.feed(b"unheard\n", SECOND_NS)
    log.feed(b"heard\n", 700 * SECOND_NS)
    assert caplog.messages == ["[front] … and 1 more line that is not shown", "[front] heard"]
    log.begin(701 * SECOND_NS)
    log.listen()
    log.feed(b"ending\n", 702 * SECOND_NS)
    for second in range(703, 703 + FIRST_LINES):
        log.begin(second * SECOND_NS)
        log.feed(b"changed\n", second * SECOND_NS)
    assert caplog.messages[-FIRST_LINES:] == ["[front] changed"] * FIRST_LINES


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


def test_any_number_of_children_is_a_line_a_second() -> None:
    """180 lines at most in any minute, and a line a second in the long run; what the supervisor says has its place."""
    budget, seconds = LineBudget(), range(1000)
    shown: list[tuple[int, str]] = []
    for second in seconds:
        for child in ("front", "rear", "left"):
            shown += [(second, "child") for _ in range(20) if budget.allows(1, second * SECOND_NS, child=child)]
        if second % 3 == 0:
            assert budget.allows(1, second * SECOND_NS)
            shown.append((second, "own"))
    for start in seconds:
        assert sum(start <= second < start + 60 for second, _ in shown) <= 180
    assert len(shown) <= len(seconds) + 120
    assert budget.take_left_out() == ""


def test_own_lines_are_bounded_and_counted() -> None:
    """Our own lines, too: whatever we have forgotten to say sparingly."""
    budget = LineBudget()
    assert sum(budget.allows(1, second * SECOND_NS) for second in range(60) for _ in range(9)) <= OWN_AT_ONCE + 30
    assert "lines before it that are not shown" in budget.take_left_out()
    assert budget.take_left_out() == ""


def test_child_that_floods_leaves_lines_for_the_others() -> None:
    """However much some children write, at once or for an hour, one that begins to is heard."""
    budget = LineBudget()

    def shown(child: str, second: int) -> int:
        return sum(budget.allows(1, second * SECOND_NS, child=child) for _ in range(60))

    assert [shown(child, 0) for child in ("front", "left", "rear")] == [56, 14, 3]
    for second in range(3600):
        for child in ("front", "left"):
            shown(child, second)
    assert shown("rear", 3600) >= 6


def test_first_traceback_is_whole_after_an_ordinary_start() -> None:
    """Fifty lines of one child find room when the supervisor and eight others have said what they say then."""
    budget = LineBudget()
    said = [budget.allows(1, 0) for _ in range(12)] + [budget.allows(1, 0, child=f"cam{n}") for n in range(8)]
    assert all(said)
    assert all(budget.allows(1, 0, child="front") for _ in range(50))


def test_end_of_what_a_process_wrote_is_shown() -> None:
    """A traceback that must be cut loses its middle: the lines that say what it is are shown, with a count."""
    program = """
import logging
from supervision.cli import log_to_stderr
from supervision.logs import ChildLog
log_to_stderr(verbose=False)
for name in ("front", "left", "rear"):
    log = ChildLog(name)
    log.begin(10**9)
    log.feed(b"".join(b"line %d\\n" % number for number in range(45)) + b"RuntimeError: no luck", 10**9)
    log.end()
logging.getLogger("supervision").info("rear: ended")
"""
    lines = log_of(program)
    ends = [line for line in lines if "RuntimeError: no luck" in line]
    assert [end.split("[")[1].split("]")[0] for end in ends] == ["front", "left", "rear"]
    assert sum("[front] line" in line for line in lines) == 45
    before = 46 - sum("[rear]" in line for line in lines) + 1  # the line with the count is one of them
    assert any(f"[rear] … and {before} more lines that are not shown before these:" in line for line in lines)
    assert lines[-1].endswith("rear: ended")
    assert lines[-2] == "[rear] RuntimeError: no luck"


def test_end_that_was_shown_is_not_shown_again(caplog: pytest.LogCaptureFixture) -> None:
    """Of what one second leaves out the end is shown, when the process ends; of what goes on, nothing is said twice."""
    caplog.set_level("INFO")
    log = ChildLog("front")
    log.begin(SECOND_NS)
    log.feed(b"x\n" * LINES_PER_S * 2 + b"last\n", SECOND_NS)
    log.end()
    more = LINES_PER_S + 1 - LAST_LINES
    shown = [f"[front] … and {more} more lines that are not shown before these:", *["[front] x"] * 5, "[front] last"]
    assert caplog.messages[LINES_PER_S:] == ["\n".join(shown)]
    log.begin(700 * SECOND_NS)
    log.feed(b"x\n" * LINES_PER_S * 2, 700 * SECOND_NS)
    log.feed(b"well\n", 702 * SECOND_NS)
    log.end()
    assert caplog.messages[-2:] == [f"[front] … and {LINES_PER_S} more lines that are not shown", "[front] well"]


class NoPlace(logging.Handler):
    """A log that has no place for anything."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say so."""
        setattr(record, IS_LEFT_OUT, True)


@pytest.mark.parametrize("counted_by_a_tick", [True, False])
@pytest.mark.parametrize("handler", [NoPlace(), logging.NullHandler()])
def test_what_is_left_out_is_counted_once(
    handler: logging.Handler, counted_by_a_tick: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a tick, with the end, or after an end that found no place; those lines are the ones that the log counts."""
    caplog.set_level("INFO")
    log = ChildLog("front")
    log.begin(SECOND_NS)
    log.feed(b"x\n" * LINES_PER_S * 2, SECOND_NS)
    if counted_by_a_tick:
        log.tick(2 * SECOND_NS)
    with monkeypatch.context() as end:
        end.setattr(logging.getLogger("child.front"), "handlers", [handler])
        log.end()
    log.begin(3 * SECOND_NS)
    log.tick(4 * SECOND_NS)
    counts = [int(line.split()[3]) for line in "\n".join(caplog.messages).splitlines() if "more line" in line]
    before = LINES_PER_S - LAST_LINES
    is_counted_again = isinstance(handler, NoPlace) and not counted_by_a_tick
    assert counts == ([LINES_PER_S] if counted_by_a_tick else [before, before] if is_counted_again else [before])


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
    lines = log_of(program)
    assert sum("[front]" in line for line in lines) < CHILDREN_AT_ONCE
    assert sum("[rear] help" in line for line in lines) == 1
    assert sum(" own " in line for line in lines) == 8


def log_of(program: str) -> list[str]:
    """Run a program, and return the lines of its log."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, timeout=30, check=True)
    return done.stderr.splitlines()


def test_long_record_is_shown_without_its_middle() -> None:
    """A traceback of any length fits into the lines that are kept for the supervisor: what it is about, and its end."""
    read_fd, write_fd = os.pipe()
    handler, text = OutputHandler(Output(write_fd), LineBudget()), "\n".join(map(str, range(1000)))
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, text, (), None))
    lines = os.read(read_fd, 65536).decode().splitlines()
    assert len(lines) == 12
    assert (lines[0], lines[-1]) == ("0", "999")
    assert "… 989 lines that -v shows …" in lines
    os.close(read_fd)
    os.close(write_fd)


def test_lines_beyond_the_budget_are_counted_in_the_next_one() -> None:
    """What is left out shows in the next line that is written."""
    read_fd, write_fd = os.pipe()
    handler = OutputHandler(Output(write_fd), budget := LineBudget())
    record = logging.LogRecord("x", logging.INFO, "", 0, "one\ntwo", (), None)
    for _ in range(OWN_AT_ONCE):
        handler.emit(record)
    budget._own.left += 2
    handler.emit(record)
    lines = os.read(read_fd, 65536).decode().splitlines()
    assert len(lines) == OWN_AT_ONCE - 1 + 2
    assert lines[-1] == f"two (and {OWN_AT_ONCE + 1} lines before it that are not shown; -v shows all)"
    os.close(read_fd)
    os.close(write_fd)

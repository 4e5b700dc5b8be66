"""The log of a child is bounded, and its end is kept."""

import os

import pytest

from supervision.logs import LINE_BYTES, LINES_PER_S, TAIL_LINES, ChildLog
from supervision.output import Output

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
    for _ in range(4):
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

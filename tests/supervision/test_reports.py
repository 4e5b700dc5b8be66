"""Whatever a child sends up its pipe, the supervisor lives, and the board can be written."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.records import ChildRecord, Status
from supervision.health import Health
from supervision.lifeline import ERROR_CHARACTERS
from supervision.masking import Mask
from supervision.reports import Beat, Error, Ready, ReportStream
from supervision.timing import Timing

KEYS = ("within_ms", "frames", "frame_number", "captured_ns", "rows", "cols", "encoding", "offset_ns", "code", "text")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLAUSIBLE = st.integers(0, 1 << 70) | st.sampled_from(["bgr8", "absent", "hung"]) | VALUES
REPORTS = st.fixed_dictionaries(
    {"report": st.sampled_from(["ready", "beat", "error", "bite"]), "within_ms": st.just(1000) | PLAUSIBLE},
    optional={key: PLAUSIBLE for key in KEYS if key != "within_ms"},
)


def record_after(reports: list[Ready | Beat | Error]) -> ChildRecord:
    """Return a camera's record after these reports, one per second."""
    health = Health("front", Timing(), needs_frames=True)
    for second, report in enumerate(reports):
        if isinstance(report, Beat):
            health.take_beat(report, second * 1_000_000_000)
        elif isinstance(report, Ready):
            health.take_ready(report)
        else:
            health.take_error(report)
    fields: dict[str, Any] = health.fields(len(reports) * 1_000_000_000)
    return ChildRecord("front", "camera", "running", 0, **fields)


@settings(deadline=None)
@given(st.lists(REPORTS, max_size=10))
def test_any_report_ends_on_a_board_that_can_be_read(reports: list[dict[str, Any]]) -> None:
    """Strange values are rejected or harmless: the status that they lead to survives being written and read."""
    stream = ReportStream("front")
    taken = [report for sent in reports for report in stream.feed(json.dumps(sent).encode() + b"\n")]
    status = Status("spot", 1, 0, (record_after(taken),))
    assert Status.from_json(status.to_json()).children[0].name == "front"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=20))
def test_any_bytes_are_survived(chunks: list[bytes]) -> None:
    """Bytes that are no reports are dropped, and what follows them is understood."""
    stream = ReportStream("front")
    for chunk in chunks:
        assert stream.feed(chunk) == [] or b"report" in b"".join(chunks)
    stream.feed(b"\n")
    (ready,) = stream.feed(b'{"report":"ready"}\n')
    assert isinstance(ready, Ready)


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), max_size=20))
def test_cuts_do_not_matter(sizes: list[int]) -> None:
    """The same reports come out however the pipe has cut them."""
    sent = b'{"report":"ready","port":1}\n{"report":"error","code":"absent","text":"x"}\n' * 5
    stream = ReportStream("front")
    got = []
    for size in [*sizes, len(sent)]:
        chunk, sent = sent[:size], sent[size:]
        got += stream.feed(chunk)
    assert [report.report for report in got] == ["ready", "error"] * 5


def test_more_than_a_report_may_hold_is_no_report() -> None:
    """Neither a line that is longer than the pipe promises, nor an endless sentence in a shorter one."""
    stream = ReportStream("front")
    for characters in (1001, 5000, 30_000):
        line = json.dumps({"report": "error", "code": "absent", "text": "x" * characters}).encode() + b"\n"
        assert stream.feed(line) == []
    assert len(stream.feed(b'{"report": "error", "code": "absent", "text": "short"}\n')) == 1


@pytest.mark.parametrize("password", ["report", "frames", "within_ms", "encoding", "123456", "mono16", "open_failed"])
def test_secret_that_is_a_word_of_ours_breaks_no_report(password: str) -> None:
    """Only texts are masked, after they were understood: neither keys nor codes nor numbers."""
    stream = ReportStream("front", Mask(json.dumps({"camera": {"password": password}})))
    sent = [
        {"report": "ready", "port": 123456, "said": ["with", f"a {password}"], f"a {password}": 1},
        {"report": "beat", "within_ms": 1000, "frames": 123456, "frame_number": 1234567, "encoding": "mono16"},
        {"report": "error", "code": "open_failed", "text": f"cannot open with {password}"},
    ]
    ready, beat, error = stream.feed(b"".join(json.dumps(report).encode() + b"\n" for report in sent))
    assert isinstance(ready, Ready)
    assert isinstance(beat, Beat)
    assert isinstance(error, Error)
    assert ready.facts == {"port": 123456, "said": ["with", "a …"], f"a {password}": 1}
    assert (beat.within_ms, beat.frames, beat.encoding) == (1000, 123456, "mono16")
    assert (error.code, error.text) == ("open_failed", "cannot open with …")


def test_secret_is_masked_where_the_child_cut_it() -> None:
    """An error's text has its length from the child: the beginning of a secret at its end is none to show."""
    token = "".join(f"{number:04}" for number in range(200))
    stream = ReportStream("front", Mask(json.dumps({"camera": {"device": f"rtsp://cam/x?token={token}"}})))
    text = f"cannot open with {token}"[:ERROR_CHARACTERS]
    (error,) = stream.feed(json.dumps({"report": "error", "code": "absent", "text": text}).encode() + b"\n")
    assert isinstance(error, Error)
    assert error.text == "cannot open with …"


def test_what_is_no_report_is_cited_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """A line that is dropped is logged as an example, masked like any other."""
    ReportStream("front", Mask('{"password": "hush-hush"}')).feed(b"the password is hush-hush\n")
    (message,) = caplog.messages
    assert "the password is" in message
    assert "hush" not in message

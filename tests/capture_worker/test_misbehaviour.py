"""A script says what goes wrong and when; a script that nobody can follow is refused."""

import re
from pathlib import Path
from typing import get_args

import pytest

from capture_worker.misbehaviour import Misbehaviour, ScriptError, parse_order, parse_script
from supervision.camera_settings import MisbehaviourKind


def test_a_script_is_sorted_by_time() -> None:
    """Lines may come in any order, with any spaces."""
    script = parse_script(("2: unplug", " 0.5 :  slow   0.25 ", "1: wrong_size 320x240"))
    assert script == (
        Misbehaviour(0.5, "slow", "0.25"),
        Misbehaviour(1.0, "wrong_size", "320x240"),
        Misbehaviour(2.0, "unplug"),
    )
    assert script[0].figure(9.0) == 0.25
    assert script[1].size((1, 1)) == (240, 320)
    assert script[2].figure(9.0) == 9.0


def test_only_what_is_compressed_can_be_corrupt() -> None:
    """Raw pixels are a picture whatever they are."""
    assert parse_script(("1: corrupt",), "jpeg") == (Misbehaviour(1.0, "corrupt"),)
    with pytest.raises(ScriptError, match=r'"1: corrupt": only a camera with encoding jpeg .* is mono8'):
        parse_script(("1: corrupt",), "mono8")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hang", "write"),
        ("-1: hang", "write"),
        ("1e3: hang", "write"),
        ("1: ", "write"),
        ("1: explode", "explode is none of hang, crash"),
        ("1: hang 3", "hang cannot be done with 3"),
        ("1: slow fast", "slow cannot be done with fast"),
        ("1: slow -1", "slow cannot be done with -1"),
        ("1: garbage 0", "garbage cannot be done with 0"),
        ("1: wrong_size 10x10", "at least 16 x 16"),
        ("1: wrong_size 640", "wrong_size cannot"),
        ("1: crash now please", "write"),
    ],
)
def test_a_bad_line_is_named(line: str, reason: str) -> None:
    """The message shows the line and what is wrong with it."""
    with pytest.raises(ScriptError, match=reason) as refused:
        parse_script(("1: hang", line))
    assert f'"{line}"' in str(refused.value)


def test_the_page_lists_every_misbehaviour() -> None:
    """Each has a row, whose example can be followed."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "breaking-cameras.md").read_text()
    orders = [parse_order(example) for example in re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)]
    assert {order.kind for order in orders} == set(get_args(MisbehaviourKind))

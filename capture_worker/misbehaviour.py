"""The script of a synthetic camera: what it does wrong on purpose, and when.

A line is `"<seconds after open>: <what> [argument]"`:

    hang             block inside C and ignore SIGTERM
    crash            raise an unexpected exception
    exit [code]      end without a word (1)
    segfault         die of SIGSEGV
    slow [seconds]   take so long for every frame from now on (0.5)
    wrong_size [WxH] deliver another size from now on (half of both)
    freeze           deliver the same picture from now on, with times that advance
    garbage [count]  deliver things that are no frames, `count` of them or from now on
    unplug           fail every read from now on
    reject [gain]    refuse parameters with so much gain or more from now on (0)
"""

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

Kind = Literal["hang", "crash", "exit", "segfault", "slow", "wrong_size", "freeze", "garbage", "unplug", "reject"]

_LINE = re.compile(r"\s*(?P<at>\d+(?:\.\d+)?)\s*:\s*(?P<kind>\w+)(?:\s+(?P<argument>\S+))?\s*", re.ASCII)
_ARGUMENTS = {
    "exit": r"\d{1,3}",
    "slow": r"\d+(\.\d+)?",
    "wrong_size": r"\d{2,5}x\d{2,5}",
    "garbage": r"[1-9]\d{0,5}",
    "reject": r"\d+(\.\d+)?",
}


class ScriptError(ValueError):
    """A line of a script that nobody can follow; the message says which and why."""


@dataclass(frozen=True)
class Misbehaviour:
    """One line of a script: from `at_s` seconds after open on, do `kind`. `argument` is "" if none was given."""

    at_s: float
    kind: Kind
    argument: str = ""

    def figure(self, default: float) -> float:
        """Return the argument as a number."""
        return float(self.argument or default)

    def size(self, default: tuple[int, int]) -> tuple[int, int]:
        """Return the argument as (rows, cols)."""
        if not self.argument:
            return default
        cols, rows = self.argument.split("x")
        return int(rows), int(cols)


def parse_script(lines: tuple[str, ...]) -> tuple[Misbehaviour, ...]:
    """Parse a whole script, in the order of time. Raises ScriptError."""
    return tuple(sorted((_parse(line) for line in lines), key=lambda step: step.at_s))


def _parse(line: str) -> Misbehaviour:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ScriptError(f'script line "{line}": write "<seconds after open>: <misbehaviour>"')
    kind, argument = found["kind"], found["argument"] or ""
    if kind not in get_args(Kind):
        raise ScriptError(f'script line "{line}": {kind} is none of {", ".join(get_args(Kind))}')
    if argument and not re.fullmatch(_ARGUMENTS.get(kind, ""), argument):
        raise ScriptError(f'script line "{line}": {kind} cannot be done with {argument}')
    if kind == "wrong_size" and argument and min(int(side) for side in argument.split("x")) < 16:  # noqa: PLR2004
        raise ScriptError(f'script line "{line}": a picture has at least 16 x 16 pixels')
    return Misbehaviour(float(found["at"]), cast("Kind", kind), argument)

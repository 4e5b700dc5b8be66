"""What a synthetic camera does wrong on purpose: when its script says so, or while its control file does.

A line of a script is `"<seconds after open>: <what> [argument]"`, that of a control file `<what> [argument]`:

    hang             block inside C and ignore SIGTERM
    crash            raise an unexpected exception
    exit [code]      end without a word (1)
    segfault         die of SIGSEGV
    slow [seconds]   take so long for every frame from now on (0.5)
    wrong_size [WxH] deliver another size from now on (half of both)
    freeze           deliver the same picture from now on, with times that advance
    garbage [count]  deliver things that are no frames, `count` of them or from now on
    corrupt          deliver frames that look whole and of which no picture can be made (encoding jpeg only: raw pixels
                     are a picture whatever they are)
    unplug           fail every read from now on; while a control file says so, there is nothing to open either
    reject [gain]    refuse parameters with so much gain or more from now on (0)

"From now on" is, for a control file, as long as it says so.
"""

import re
from dataclasses import dataclass
from typing import cast, get_args

from supervision.camera_settings import MISBEHAVIOUR_ARGUMENTS, MisbehaviourKind

ENDING: tuple[MisbehaviourKind, ...] = ("hang", "crash", "exit", "segfault")  # the process does these once

_WHAT = r"\s*(?P<kind>\w+)(?:\s+(?P<argument>\S+))?\s*"
_ORDER = re.compile(_WHAT, re.ASCII)
_LINE = re.compile(rf"\s*(?P<at>\d+(?:\.\d+)?)\s*:{_WHAT}", re.ASCII)


class ScriptError(ValueError):
    """A line of a script that nobody can follow; the message says which and why."""


@dataclass(frozen=True)
class Misbehaviour:
    """One line of a script: from `at_s` seconds after open on, do `kind`. `argument` is "" if none was given."""

    at_s: float
    kind: MisbehaviourKind
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


def parse_script(lines: tuple[str, ...], encoding: str = "jpeg") -> tuple[Misbehaviour, ...]:
    """Parse a whole script of a camera with this encoding, in the order of time. Raises ScriptError."""
    return tuple(sorted((_parse(line, encoding) for line in lines), key=lambda step: step.at_s))


def parse_order(text: str, encoding: str = "jpeg") -> Misbehaviour:
    """Parse what a control file says, for a camera with this encoding. Raises ScriptError."""
    found = _ORDER.fullmatch(text)
    if found is None:
        raise ScriptError(f"{text!r}: write one misbehaviour, with its argument if it has one")
    return _checked(0.0, found["kind"], found["argument"] or "", repr(text.strip()), encoding)


def _parse(line: str, encoding: str) -> Misbehaviour:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ScriptError(f'script line "{line}": write "<seconds after open>: <misbehaviour>"')
    return _checked(float(found["at"]), found["kind"], found["argument"] or "", f'script line "{line}"', encoding)


def _checked(at_s: float, kind: str, argument: str, shown: str, encoding: str) -> Misbehaviour:
    if kind not in get_args(MisbehaviourKind):
        raise ScriptError(f"{shown}: {kind} is none of {', '.join(get_args(MisbehaviourKind))}")
    if argument and not re.fullmatch(MISBEHAVIOUR_ARGUMENTS.get(kind, ""), argument):
        raise ScriptError(f"{shown}: {kind} cannot be done with {argument}")
    if kind == "wrong_size" and argument and min(int(side) for side in argument.split("x")) < 16:  # noqa: PLR2004
        raise ScriptError(f"{shown}: a picture has at least 16 x 16 pixels")
    if kind == "corrupt" and encoding != "jpeg":
        raise ScriptError(f"{shown}: only a camera with encoding jpeg can be corrupt, this one's is {encoding}")
    return Misbehaviour(at_s, cast("MisbehaviourKind", kind), argument)

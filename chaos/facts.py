"""What the observer is told, and what it sees for itself: one JSON object per line. All times are CLOCK_MONOTONIC, s.

A fact says what happened, never what to think of it: that is the judges' work.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

SUPERVISOR, SERVICER, ROBOT = "supervisor", "servicer", "robot"  # beside the cameras' names: who a fault concerns


@dataclass(frozen=True)
class Injected:
    """Fault `index` of the plan is done now. `ends_process`: the process of `target` has to end of it."""

    t: float
    index: int
    kind: str
    target: str
    concerns: tuple[str, ...]
    ends_process: bool = False
    figure: float = 0.0


@dataclass(frozen=True)
class Over:
    """What fault `index` did is undone, or was done within a moment: what is broken now may recover."""

    t: float
    index: int


@dataclass(frozen=True)
class ImageSeen:
    """One entry of one GetImage call, as its client got it.

    `number` is what the picture itself says, None without a picture that is whole; `flaw` says what is wrong with it
    ("torn: …", "foreign: …"). `assembled` is when the service says that it put the answer together.
    """

    t: float
    client: str
    source: str
    asked: float
    ok: bool
    reason: str = ""
    number: int | None = None
    flaw: str = ""
    assembled: float | None = None
    acquired_ns: int = 0
    data_bytes: int = 0


@dataclass(frozen=True)
class CallSeen:
    """One GetImage call: how long it took, and its gRPC status. `stall` is its client's own delay."""

    t: float
    client: str
    asked: float
    deadline: float
    code: str
    by_proxy: bool
    stall: float = 0.0


@dataclass(frozen=True)
class ChildSeen:
    """What the status board says of one child."""

    t: float
    supervisor_pid: int
    name: str
    pid: int | None
    state: str
    since: float
    restarts: int
    last_exit: str | None
    next_start: float | None


@dataclass(frozen=True)
class RingSeen:
    """The newest frame of a camera's ring, as a local program reads it."""

    t: float
    camera: str
    epoch: int
    number: int
    captured: float


@dataclass(frozen=True)
class WritersSeen:
    """Which of the pipeline's processes have a ring mapped for writing, by the kernel's own list."""

    t: float
    camera: str
    inode: int
    pids: tuple[int, ...]


@dataclass(frozen=True)
class ProcessSeen:
    """What one process of the pipeline uses."""

    t: float
    name: str
    pid: int
    descriptors: int
    threads: int
    memory_mb: float


@dataclass(frozen=True)
class SegmentsSeen:
    """What the pipeline's segments take in /dev/shm, and what they may take."""

    t: float
    used_mb: float
    budget_mb: float


@dataclass(frozen=True)
class RobotSeen:
    """The robot's own list of our service's faults, name → text. `answers` is False while it misbehaves or is down.

    `missing` are the files that the texts name and that nobody has ever seen: one that was there may be removed.
    `looks` counts how often our service has asked for that list: each is a turn of its reconciliation.
    """

    t: float
    answers: bool
    registered: bool
    faults: Mapping[str, str]
    looks: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogSeen:
    """The lines that the pipeline logged in the minute before `t`, and the one that came most often."""

    t: float
    lines: int
    most: int = 0
    text: str = ""


@dataclass(frozen=True)
class ReaderEnded:
    """A process that only reads (a local program at the rings) has ended: `how` is a signal or an exit code."""

    t: float
    name: str
    how: str


@dataclass(frozen=True)
class SupervisorEnded:
    """A supervisor has ended: of fault `index`, or, if that is None, by itself or asked to."""

    t: float
    index: int | None
    how: str
    expected: bool


@dataclass(frozen=True)
class LeftBehind:
    """What was still there when it had to be gone: "processes" 3 s after a kill, "segments" after the next start."""

    t: float
    what: str
    left: tuple[str, ...]


@dataclass(frozen=True)
class IntruderSeen:
    """A call from an address outside the allow-list: how it ended, and how many bytes came back."""

    t: float
    code: str
    bytes_back: int


@dataclass(frozen=True)
class Stalled:
    """The machine did not let a waiting thread run between these times: nobody's promise counts in them."""

    t: float
    since: float


@dataclass(frozen=True)
class LoadSeen:
    """How many cores this run and everybody else on the machine kept busy; None for what cannot be told apart."""

    t: float
    own_cores: float | None
    other_cores: float | None


@dataclass(frozen=True)
class Tick:
    """Time has passed, and what should have happened by now can be judged."""

    t: float


Fact: TypeAlias = (
    Injected
    | Over
    | ImageSeen
    | CallSeen
    | ChildSeen
    | RingSeen
    | WritersSeen
    | ProcessSeen
    | SegmentsSeen
    | RobotSeen
    | LogSeen
    | ReaderEnded
    | SupervisorEnded
    | LeftBehind
    | IntruderSeen
    | Stalled
    | LoadSeen
    | Tick
)
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in Fact.__args__}


def to_line(fact: Fact) -> bytes:
    """Write a fact as one line."""
    return json.dumps({"fact": type(fact).__name__, **dataclasses.asdict(fact)}).encode() + b"\n"


def from_line(line: bytes) -> Fact:
    """Read what `to_line` wrote."""
    fields = json.loads(line)
    kind = _KINDS[fields.pop("fact")]
    fact: Fact = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})
    return fact


@dataclass(frozen=True)
class Camera:
    """What the observer knows of a configured camera beforehand."""

    name: str
    fps: float
    max_age_s: float
    frozen_after_s: float
    ring_mb: float = field(default=0.0)

    def captured(self, number: int) -> float:
        """When frame `number` of the synthetic camera was captured: its pictures carry their own time."""
        return number * round(1e9 / self.fps) / 1e9

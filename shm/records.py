"""What the status board says: one record per configured camera and child, from the first moment.

Written by the supervisor only; read by the servicer (why is a camera silent?), by `supervisor.py status`
and by anybody else on the machine.
"""

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Kind = Literal["camera", "servicer", "simulated_robot"]

State = Literal[
    "starting",  # the process runs, and has not yet said that it is ready
    "running",  # ready, and every promise kept so far
    "killing",  # broke its promise; being killed
    "unkillable",  # killed, and still there: the kernel holds it (state D)
    "waiting",  # not running; starts again at `next_start_ns`
    "stopping",  # asked to end
    "finished",  # ended by itself with exit code 0, or stopped: not started again
    "refused",  # says that its configuration is bad: not started again
]


@dataclass(frozen=True)
class ChildRecord:
    """One process and, for a camera, what it last said about its frames.

    All `_ns` are CLOCK_MONOTONIC. `last_exit` is "signal SIGSEGV" or "exit code 69" of the previous process.
    `error_code` is one of the lifeline's closed list, `error_text` a sentence for the operator; both stay until
    the child has worked again for a while. `post_mortem` is the file that tells how the last process died that was not
    meant to, or one that ended the same way before; it is written in the next moment, or no longer named. `facts` are
    what only this kind of child reports (the servicer: port, robot, refused, requests).
    """

    name: str
    kind: Kind
    state: State
    since_ns: int
    pid: int | None = None
    restarts: int = 0
    last_exit: str | None = None
    error_code: str | None = None
    error_text: str | None = None
    post_mortem: str | None = None
    next_start_ns: int | None = None
    frames: int = 0
    rate_hz: float = 0.0
    frame_number: int | None = None
    captured_ns: int | None = None
    rows: int | None = None
    cols: int | None = None
    encoding: str | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """The whole board. `robot_clock_offset_ns` is robot wall clock minus CLOCK_MONOTONIC, None before a time sync."""

    instance: str
    supervisor_pid: int
    updated_ns: int
    children: tuple[ChildRecord, ...]
    robot_clock_offset_ns: int | None = None

    def to_json(self) -> bytes:
        """Serialize to UTF-8 JSON."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Status":
        """Parse what `to_json` made. Raises ValueError for what is missing or of another type."""
        return _checked().validate_json(text, strict=True)


@functools.cache
def _checked() -> "TypeAdapter[Status]":
    from pydantic import TypeAdapter  # noqa: PLC0415  only who reads a board needs it

    return TypeAdapter(Status)

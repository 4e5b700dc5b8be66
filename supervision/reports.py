"""The lines that children send up their report pipe, checked before they are believed.

The other end is `supervision.lifeline`. A line that is too long, no JSON, or no report we know is dropped, and the
first of them logged: a child that has gone mad must not take the supervisor with it.
"""

import logging
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from supervision.lifeline import ERROR_CHARACTERS, REPORT_LINE_BYTES, ErrorCode
from supervision.masking import Mask

_log = logging.getLogger(__name__)

_Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class _Report(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def facts(self) -> dict[str, Any]:
        """What only this kind of child says."""
        return self.model_extra or {}


class Ready(_Report):
    """The child does its work now."""

    report: Literal["ready"]


class Beat(_Report):
    """A promise: the next beat comes within `within_ms`. With a camera's last frame, when there was one.

    `idle` is the fact that a camera delivers nothing because nobody asks for it.
    """

    report: Literal["beat"]
    within_ms: Annotated[int, Field(ge=0, le=3_600_000)]
    frames: _Count = 0
    frame_number: _Count | None = None
    captured_ns: _Count | None = None
    rows: _Count | None = None
    cols: _Count | None = None
    encoding: Annotated[str, Field(max_length=32)] | None = None
    offset_ns: Annotated[int, Field(gt=-1 << 63, lt=1 << 63)] | None = None

    @property
    def idle(self) -> bool:
        """Whether no frame is to be expected."""
        return self.facts.get("idle") is True


class Error(_Report):
    """What is wrong, in one sentence for the person who can act."""

    report: Literal["error"]
    code: ErrorCode
    text: Annotated[str, Field(max_length=1000)]


Report = Ready | Beat | Error
_PARSER: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="report")])


class ReportStream:
    """Cuts what arrives on the pipe of one process into reports. `name` is the child's, for the log.

    `mask` takes out what must not be shown: of texts, never of what we read ourselves.
    """

    def __init__(self, name: str, mask: Mask | None = None) -> None:
        self._name = name
        self._mask = mask or Mask()
        self._unfinished = b""
        self._rejected = False

    def feed(self, chunk: bytes) -> list[Report]:
        """Return the reports that `chunk` completes, in order."""
        *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
        if len(self._unfinished) > REPORT_LINE_BYTES:
            self._reject(self._unfinished)
            self._unfinished = b""
        return [report for line in lines if (report := self._parse(line)) is not None]

    def _parse(self, line: bytes) -> Report | None:
        try:
            # What many children say together must fit onto the board: no report may be longer than the pipe promises.
            if len(line) < REPORT_LINE_BYTES:
                return self._masked(_PARSER.validate_json(line))
        except ValidationError:
            pass
        self._reject(line)
        return None

    def _masked(self, report: Report) -> Report:
        if isinstance(report, Error):
            is_cut = len(report.text) >= ERROR_CHARACTERS
            mask = self._mask.at_cut if is_cut else self._mask.in_values
            return report.model_copy(update={"text": mask(report.text)})
        return report.model_copy(update=self._mask.in_values(report.facts))

    def _reject(self, line: bytes) -> None:
        if not self._rejected:
            _log.warning("%s: sends lines that are no reports, such as %.100r", self._name, self._mask(line))
        self._rejected = True

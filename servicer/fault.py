"""What the robot is to show its operator: faults with constant names, a severity and a text that says what to do."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warn", "critical"]


@dataclass(frozen=True)
class Fault:
    """One fault under its name. The text is for the operator, who reads it on the tablet."""

    text: str
    severity: Severity = "warn"

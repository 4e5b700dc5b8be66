"""A robot link that runs against a simulated robot, ten times as fast as in the field."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from servicer import robot_link
from servicer.fault import CAPTURE_FAULT, Fault
from servicer.image_log import ImageLog
from servicer.robot_clock import RobotClock
from servicer.robot_link import RobotLink
from simulated_robot import SimulatedRobot
from supervision.settings import RobotSettings, ServiceSettings

NAME = "web-cam-service"
CREDENTIALS = {"guid": "guid", "secret": "secret"}
TEST_BACKOFF_S = (0.05, 0.4)


@dataclass
class Linked:
    """A running link, and what it is to show."""

    robot: SimulatedRobot
    clock: RobotClock
    desired: Mapping[str, Fault] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.link: RobotLink

    def show(self, **faults: str) -> None:
        """Change the desired faults, as the health does."""
        self.desired = {CAPTURE_FAULT.format(name): Fault(text) for name, text in faults.items()}
        self.link.wake()

    def shown(self) -> dict[str, str]:
        """Our faults on the robot: name → text."""
        active = self.robot.faults
        return {name: fault.error_message for (service, name), fault in active.items() if service == NAME}

    def is_whole(self) -> bool:
        """Registered, and exactly the desired faults on the robot."""
        texts = {name: fault.text for name, fault in self.desired.items()}
        return NAME in self.robot.services and self.shown() == texts and self.link.state == "registered"


@contextlib.contextmanager
def linked(robot: SimulatedRobot, image_log: ImageLog | None = None, **changes: Any) -> Iterator[Linked]:
    """Run a link to the robot; `changes` are of its RobotSettings."""
    settings = RobotSettings(hostname="127.0.0.1", port=robot.port, **{"ca": robot.ca_file, **CREDENTIALS, **changes})
    running = Linked(robot, RobotClock(None))
    running.link = RobotLink(
        settings,
        ServiceSettings(host_ip="127.0.0.1", port=21100),
        running.clock,
        lambda: running.desired,
        image_log,
    )
    running.link.start()
    try:
        yield running
    finally:
        running.link.stop(5.0)
        assert not running.link._thread.is_alive()


def shorten_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything as in the field, ten times as fast."""
    monkeypatch.setattr(robot_link, "_RECONCILE_EVERY_S", 0.2)
    monkeypatch.setattr(robot_link, "_REGISTER_EVERY_S", 1.0)
    monkeypatch.setattr(robot_link, "_FIRST_RETRY_S", TEST_BACKOFF_S[0])
    monkeypatch.setattr(robot_link, "_LONGEST_RETRY_S", TEST_BACKOFF_S[1])
    monkeypatch.setattr(robot_link, "_LOG_EVERY_S", 0.1)
    monkeypatch.setattr(robot_link, "_LOG_AGAIN_S", 0.5)
    monkeypatch.setattr("servicer.robot_connection._DEADLINE_S", 0.5)

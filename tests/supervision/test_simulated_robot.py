"""With a simulated robot: the servicer is told where it is, and told again when it has a new certificate."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervision import exit_codes
from tests.supervision.running import RunningSupervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[RunningSupervisor]:
    """Run a camera and a simulated robot, which says that its port is 4321."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, simulate=True) as supervisor:
        yield supervisor


def test_servicer_knows_the_robot_from_the_start(supervisor: RunningSupervisor) -> None:
    """The servicer is started once, with the port that the robot found and the certificate that it wrote."""
    supervisor.wait_until_working("servicer")
    servicer, robot = supervisor.child("servicer"), supervisor.child("simulated_robot")
    assert servicer is not None
    assert robot is not None
    assert servicer.facts["robot_port"] == robot.facts["port"] == 4321
    assert servicer.facts["robot_ca"] == robot.facts["ca"]
    assert servicer.restarts == 0


def test_restarted_robot_restarts_the_servicer(supervisor: RunningSupervisor) -> None:
    """A robot that was killed comes back on its port, and the servicer starts again to trust its new certificate."""
    front = supervisor.wait_until_working("front")
    supervisor.wait_until_working("servicer")
    os.kill(supervisor.wait_until_working("simulated_robot"), signal.SIGKILL)
    supervisor.wait_until(
        "simulated_robot", lambda child: child.restarts == 1 and child.facts.get("given_port") == 4321
    )
    servicer = supervisor.wait_until("servicer", lambda child: child.restarts == 1 and child.state == "running")
    assert servicer.error_code is None
    assert supervisor.wait_until_working("front") == front


def test_robot_that_refuses_is_the_end(tmp_path: Path) -> None:
    """Without the robot nobody is served: the supervisor ends with the robot's 78, as with the servicer's."""
    robot = {"ca": str(tmp_path / "refuse")}
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, simulate=True, robot=robot) as supervisor:
        assert supervisor.popen.wait(10) == exit_codes.BAD_CONFIGURATION
        assert "simulated_robot: bad_configuration: no such mode" in supervisor.log
        assert supervisor.processes() == []

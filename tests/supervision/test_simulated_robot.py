"""With a simulated robot: the servicer is told where it is, and told again when it has a new certificate."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm import names
from supervision import exit_codes
from supervision.certificate_folder import certificate_folder
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


def test_a_killed_run_leaves_its_certificate_to_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start of the instance removes it, and no link that somebody put there, nor others'."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shm = names.SHM_DIR.stat().st_dev
    left, other, foreign, elsewhere = (
        tmp_path / f"spot-cameras-ca.{name}"
        for name in (f"front.{shm}.abc", f"front-2.{shm}.abc", f"front.{shm}.somebody", f"front.{shm}7.abc")
    )
    for folder in (left, other, foreign, elsewhere):
        folder.mkdir(mode=0o700)
        (folder / "ca.pem").touch()
    foreign.chmod(0o755)
    link = tmp_path / f"spot-cameras-ca.front.{shm}.link"
    link.symlink_to(other)
    with certificate_folder("front") as folder:
        assert sorted(tmp_path.iterdir()) == sorted([folder, other, foreign, elsewhere, link])
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (other / "ca.pem").exists()
    assert not folder.exists()


def test_robot_that_refuses_is_the_end(tmp_path: Path) -> None:
    """Without the robot nobody is served: the supervisor ends with the robot's 78, as with the servicer's."""
    robot = {"ca": str(tmp_path / "refuse")}
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, simulate=True, robot=robot) as supervisor:
        assert supervisor.popen.wait(10) == exit_codes.BAD_CONFIGURATION
        assert "simulated_robot: bad_configuration: no such mode" in supervisor.log
        assert supervisor.processes() == []

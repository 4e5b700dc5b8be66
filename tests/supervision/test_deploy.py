"""The files for systemd and Docker: what can be checked of them without either."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from supervision import exit_codes
from supervision.process import PROJECT_FOLDER
from supervision.timing import Timing
from tests.test_architecture import OURS

DEPLOY = PROJECT_FOLDER / "deploy"
UNIT = (DEPLOY / "spot-cameras.service").read_text()


def test_unit_knows_the_exit_codes_and_the_times() -> None:
    """What would fail again is not restarted, and a stop has the time that it may take."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT)
    service = unit["Service"]
    never = {exit_codes.FINISHED, exit_codes.USAGE, exit_codes.BAD_CONFIGURATION, exit_codes.ALREADY_RUNNING}
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} == never
    assert float(service["TimeoutStopSec"]) > Timing().stop_s + 1
    assert (service["Type"], service["LimitCORE"], service["NoNewPrivileges"]) == ("notify", "0", "yes")


def test_unit_may_open_cameras_that_come_later() -> None:
    """A class of devices is looked up when the unit starts: its module must be there, whether or not a camera is."""
    assert "DeviceAllow=char-video4linux rw\n" in UNIT
    for key in ("Wants", "After"):
        assert re.search(f"^{key}=.*modprobe@videodev.service", UNIT, re.MULTILINE)


def test_unit_survives_what_it_forbids() -> None:
    """A system call that is not allowed is an error for whoever tries it, not a crash that comes again and again."""
    assert "SystemCallErrorNumber=EPERM\n" in UNIT


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    """Every directive and every value in it."""
    here = UNIT.replace("/opt/spot-cameras/.venv/bin/python", sys.executable).replace(
        "file:/opt/spot-cameras/docs", f"file:{PROJECT_FOLDER}/docs"
    )
    (tmp_path / "spot-cameras.service").write_text(here)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "spot-cameras.service")]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_compose_file_takes_away_every_right() -> None:
    """No root, no capability, nothing to write to but the state and /tmp; time to end, and room for frames."""
    (service,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    assert service["network_mode"] == "host"
    assert service["user"].split(":")[0] != "0"
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert float(service["stop_grace_period"].removesuffix("s")) > Timing().stop_s + 1
    assert int(service["shm_size"].removesuffix("mb")) > 64
    assert "init" not in service
    assert (PROJECT_FOLDER / "deploy" / service["build"]["context"]).resolve() == PROJECT_FOLDER


def test_compose_file_starts_without_a_camera() -> None:
    """No device need be there, all that come may be opened, and /dev/shm stays the container's own."""
    (service,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    assert "devices" not in service
    assert service["device_cgroup_rules"] == ["c 81:* rw"]
    assert "/dev:/dev/host:ro" in service["volumes"]
    assert not any(":/dev:" in f"{volume}:" for volume in service["volumes"])


def test_image_has_every_process_in_it() -> None:
    """The folders that run, the project's own files, and a user who is not root."""
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()}
    assert copied == {package for package in OURS if package not in ("supervisor", "bench", "chaos")} | {
        *("pyproject.toml", "README.md", "supervisor.py")
    }
    assert all((PROJECT_FOLDER / name).exists() for name in copied)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text()
    assert all(f"!{name}" in ignored for name in copied)
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)

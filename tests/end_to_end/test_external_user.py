"""A computer that is no payload of the robot: it comes in as a user, and the password stays where it belongs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bosdyn.api import image_pb2

from simulated_robot import SimulatedRobot
from tests.end_to_end.running import SERVICE_NAME, end, free_port, processes_of, start_supervisor, wait
from tests.simulated_robot.conftest import sdk_robot

PASSWORD = "not-for-anybody-else"  # noqa: S105  it is what must not appear
CONFIGURATION = 'service.log_images = true\n[cameras.front]\ndriver = "synthetic"\n'


@pytest.fixture
def robot() -> Iterator[SimulatedRobot]:
    """A robot that knows no payload, and one user."""
    with SimulatedRobot(payloads={}, users={"operator": PASSWORD}) as simulated:
        yield simulated


def test_a_user_serves_images_and_logs_them(
    robot: SimulatedRobot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and password come from the environment; no child inherits the password, no argument and no log shows it."""
    monkeypatch.setenv("BOSDYN_CLIENT_USERNAME", "operator")
    monkeypatch.setenv("BOSDYN_CLIENT_PASSWORD", PASSWORD)
    instance = f"test-user-{os.getpid()}"
    (tmp_path / "user.toml").write_text(CONFIGURATION)
    process, log_file = start_supervisor(
        tmp_path,
        *("external", "--config", "user.toml", "127.0.0.1", "--instance", instance, "--port", str(free_port())),
        *("--robot-port", str(robot.port), "--robot-ca", str(robot.ca_file), "-v"),
        tag=instance,
    )
    try:
        wait(lambda: SERVICE_NAME in robot.services, "registration", 40, log_file.read_text)
        client = sdk_robot(robot)
        client.authenticate("operator", PASSWORD)
        client.sync_with_directory()
        images = client.ensure_client(SERVICE_NAME)
        wait(lambda: _picture(images), "an image", 20, log_file.read_text)
        wait(lambda: robot.recorded["blobs"] >= 2, "the log of it", 20, log_file.read_text)
        assert max(len(blob.data) for blob in robot.blobs) < len(_picture(images))
        for pid in processes_of(instance):
            assert PASSWORD not in _of_process(pid, "cmdline")
            assert pid == process.pid or PASSWORD not in _of_process(pid, "environ")
        assert len(processes_of(instance)) == 3
    finally:
        end(process, log_file)
    assert PASSWORD not in log_file.read_text()


def _picture(images: Any) -> bytes:
    request = image_pb2.ImageRequest(image_source_name="front")
    return bytes(images.get_image([request], disable_error_handler=True)[0].shot.image.data)


def _of_process(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace")

"""Things that a person gets wrong or finds in the way: one clear line each, and the rest goes on."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shm.names import names_of
from tests.end_to_end.running import (
    DATA_ERROR,
    PROJECT_FOLDER,
    free_port,
    processes_of,
    run_supervisor,
    running_pipeline,
)
from tests.end_to_end.test_real_video import clip

SYNTHETIC = {"driver": "synthetic"}


@pytest.mark.row("M15")
def test_second_supervisor_of_an_instance(tmp_path: Path) -> None:
    """The second one names the process that holds the instance, and ends with exit code 100."""
    with running_pipeline(tmp_path, {"front": SYNTHETIC}) as pipeline:
        flags = ("--simulate", "--instance", pipeline.instance, "--port", str(free_port()))
        second = run_supervisor(tmp_path, *flags)
        assert second.returncode == 100
        assert second.stderr.count("\n") == 1
        assert str(pipeline.process.pid) in second.stderr
        assert pipeline.answers("front")


@pytest.mark.row("M29")
def test_port_in_use(tmp_path: Path) -> None:
    """A taken port is said in a sentence that names it; the cameras run; the service comes when the port is free."""
    instance = f"test-port-{os.getpid()}"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        flags = ("--simulate", "--instance", instance, "--port", str(port), "--duration", "4")
        blocked = run_supervisor(tmp_path, *flags)
    assert blocked.returncode == 0
    assert f"127.0.0.1:{port}" in blocked.stderr
    assert "another program" in blocked.stderr
    assert "front: ready" in blocked.stderr
    assert names_of(instance) == []


def test_missing_credentials_file(tmp_path: Path) -> None:
    """A missing credentials file is one line that names it; nothing is started."""
    flags = ("127.0.0.1", "--payload-credentials-file", "nowhere.txt", "--host-ip", "127.0.0.1", "--device-name", "0")
    refused = run_supervisor(tmp_path, *flags, "--instance", "test-credentials")
    assert refused.returncode == 78
    assert refused.stderr.count("\n") == 1
    assert "nowhere.txt" in refused.stderr


def test_camera_that_does_not_exist(tmp_path: Path) -> None:
    """An absent camera is a fault that says so; it is still listed; the other camera runs."""
    with running_pipeline(tmp_path, {"gone": {"device": "/dev/video99"}, "front": SYNTHETIC}) as pipeline:
        pipeline.wait(lambda: pipeline.answers("front"), "front answers", 20)
        pipeline.wait(pipeline.faults, "the fault is shown", 10)
        assert "/dev/video99" in pipeline.faults()["Image Capture Failure for gone"]
        assert [source.name for source in pipeline.images.list_image_sources()] == ["gone", "front"]
        assert pipeline.ask("gone").status == DATA_ERROR
        assert pipeline.child("gone").error_code == "absent"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small /dev/shm")
def test_full_shared_memory(tmp_path: Path) -> None:
    """A camera that does not fit into /dev/shm says so, with the remedy; the other camera runs."""
    # The size of a clip is not known before it is open, so this cannot be refused at the start.
    (tmp_path / "two.toml").write_text(
        'simulate = true\n[cameras.large]\ndevice = "large.mp4"\nloop = true\n'
        '[cameras.small]\ndriver = "synthetic"\nwidth = 320\nheight = 240\n'
    )
    (tmp_path / "large.mp4").symlink_to(clip("bigbuckbunny.mp4"))
    ended = in_small_shm(tmp_path, "--config", "two.toml", "--port", str(free_port()), "--duration", "6")
    assert ended.returncode == 0, ended.stderr
    assert "shm_size" in ended.stderr
    assert "small: ready" in ended.stderr
    assert "large: ready" not in ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small /dev/shm")
def test_shared_memory_that_is_known_to_be_too_small(tmp_path: Path) -> None:
    """Cameras whose sizes are configured and cannot fit are refused at the start, in one line with the remedy."""
    refused = in_small_shm(tmp_path, "--simulate", "--port", str(free_port()), "--duration", "6")
    assert refused.returncode == 71
    assert refused.stderr.count("\n") == 1
    assert "shm_size" in refused.stderr


def in_small_shm(folder: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """Run a supervisor whose /dev/shm has 8 MB, in a mount namespace of its own."""
    script = 'mount -t tmpfs -o size=8m tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, str(PROJECT_FOLDER / "supervisor.py")]
    return subprocess.run(
        [*command, *flags],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_demo_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    """`--simulate --duration` shows what is served and a line a second, and ends with exit code 0."""
    instance = f"test-demo-{os.getpid()}"
    ended = run_supervisor(
        tmp_path, "--simulate", "--instance", instance, "--port", str(free_port()), "--duration", "6"
    )
    assert ended.returncode == 0, ended.stderr
    assert "web-cam-service" in ended.stdout
    assert "robot-web-cam" in ended.stdout
    assert sum("front" in line and "Hz" in line for line in ended.stdout.splitlines()) >= 4
    assert names_of(instance) == []
    assert processes_of(instance) == []


def test_example_configuration_runs(tmp_path: Path) -> None:
    """`pipeline.example.toml` runs as it is."""
    flags = ("--config", str(PROJECT_FOLDER / "pipeline.example.toml"), "--instance", f"test-example-{os.getpid()}")
    ended = run_supervisor(tmp_path, *flags, "--port", str(free_port()), "--duration", "4")
    assert ended.returncode == 0, ended.stderr

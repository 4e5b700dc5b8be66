"""A camera is known by the path that its driver gives it, wherever it is plugged in: before the pipeline runs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from tests.capture_worker.harness import WorkerProcess, wait_for
from tests.v4l2 import vivid

pytestmark = pytest.mark.v4l2

START_S = 90.0
OWN_PATH = Path("/dev/v4l/by-id/usb-Test_Camera-video-index0")


@pytest.fixture(autouse=True)
def plugged_in() -> Iterator[None]:
    """Let the path lead to the first device, as udev makes it. The two show different pictures."""
    for name, node in vivid.NODES.items():
        vivid.show_bars(node, vivid.BRIGHTNESS[name])
    OWN_PATH.parent.mkdir(parents=True, exist_ok=True)
    OWN_PATH.symlink_to(vivid.NODES["video0"])
    yield
    OWN_PATH.unlink(missing_ok=True)


def test_a_camera_is_found_again_as_another_device() -> None:
    """Unplugged, it is absent; plugged in again it is another /dev/videoN, and the same camera."""
    settings = CameraSettings(device=str(OWN_PATH))
    with WorkerProcess(settings) as worker:
        assert_shows(worker, "video0")
        with vivid.unplugged(vivid.NODES["video0"]):
            OWN_PATH.unlink()
            assert worker.process.wait(START_S) == exit_codes.CAMERA_FAILED
            worker.read_reports()
            assert worker.error()[0] == "read_failed"
            with WorkerProcess(settings) as too_early:
                assert too_early.process.wait(START_S) == exit_codes.CAMERA_FAILED
                too_early.read_reports()
                code, text = too_early.error()
                assert code == "absent"
                assert text.startswith(f"there is no {OWN_PATH}; `python supervisor.py --list` shows: ")
            OWN_PATH.symlink_to(vivid.NODES["video1"])
            with WorkerProcess(settings) as again:
                assert_shows(again, "video1")


def assert_shows(worker: WorkerProcess, device: str) -> None:
    """Wait for its first frame: that is the picture of this device."""
    wait_for(lambda: any(report["report"] == "ready" for report in worker.read_reports()), START_S)
    frame = wait_for(worker.reader.latest)
    assert np.array_equal(frame.pixels()[:, :, ::-1], vivid.picture(vivid.BRIGHTNESS[device]))

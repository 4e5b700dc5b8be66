"""Devices are found by asking the kernel; here, a fake one answers at the system call."""

import errno
import fcntl
import json
from pathlib import Path

import pytest

from capture_worker import __main__ as command
from capture_worker import devices
from capture_worker.devices import V4L2_CAPABILITY, CaptureDevice, find_capture_devices

CAMERA = devices.V4L2_CAP_VIDEO_CAPTURE | 0x04000000  # and streaming
WHOLE_WEBCAM = CAMERA | devices.V4L2_CAP_META_CAPTURE | devices.V4L2_CAP_DEVICE_CAPS


class FakeKernel:
    """Answers VIDIOC_QUERYCAP for files in a directory as drivers do; `nodes` maps a name to its answer."""

    def __init__(self, dev: Path) -> None:
        self.nodes: dict[str, tuple[str, int, int] | OSError] = {}
        self._dev = dev

    def add(self, node: str, card: str, capabilities: int, device_caps: int) -> None:
        """Add a device node."""
        self.nodes[node] = (card, capabilities, device_caps)
        (self._dev / node).touch()

    def add_broken(self, node: str, number: int) -> None:
        """Add a node that answers with an error."""
        self.nodes[node] = OSError(number, "broken")
        (self._dev / node).touch()

    def ioctl(self, fd: int, request: int, buffer: bytearray, mutate: bool) -> int:
        """Answer in the place of the kernel."""
        assert (request, len(buffer), mutate) == (devices.VIDIOC_QUERYCAP, 104, True)
        answer = self.nodes[Path(f"/proc/self/fd/{fd}").resolve().name]
        if isinstance(answer, OSError):
            raise answer
        card, capabilities, device_caps = answer
        buffer[:] = V4L2_CAPABILITY.pack(b"uvcvideo", card.encode(), b"usb-1.2", 0x60100, capabilities, device_caps)
        return 0


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """Return an empty directory in the place of /dev."""
    return tmp_path


@pytest.fixture
def kernel(dev: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """Put a fake in the place of the system call."""
    kernel = FakeKernel(dev)
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    return kernel


def test_metadata_nodes_are_left_out(kernel: FakeKernel, dev: Path) -> None:
    """A webcam's second node shares the hardware's capabilities, but delivers no pictures."""
    kernel.add("video0", "Cam", WHOLE_WEBCAM, CAMERA)
    kernel.add("video1", "Cam", WHOLE_WEBCAM, devices.V4L2_CAP_META_CAPTURE)
    assert find_capture_devices(dev) == [
        CaptureDevice(str(dev / "video0"), 0, "Cam", "uvcvideo", "usb-1.2", stable_path=None)
    ]


def test_devices_are_sorted_by_number(kernel: FakeKernel, dev: Path) -> None:
    """video10 comes after video2, and what only looks like a device is not asked."""
    for node in ("video10", "video2", "video0"):
        kernel.add(node, "Cam", WHOLE_WEBCAM, CAMERA)
    (dev / "video").touch()
    (dev / "vbi0").touch()
    assert [device.index for device in find_capture_devices(dev)] == [0, 2, 10]


def test_old_drivers_and_several_planes_count(kernel: FakeKernel, dev: Path) -> None:
    """Without the flag for it, device_caps says nothing; multi-planar devices are cameras too."""
    kernel.add("video0", "Old", CAMERA, 0)
    kernel.add("video1", "Planes", devices.V4L2_CAP_DEVICE_CAPS, devices.V4L2_CAP_VIDEO_CAPTURE_MPLANE)
    assert [device.name for device in find_capture_devices(dev)] == ["Old", "Planes"]


def test_codecs_and_outputs_are_no_cameras(kernel: FakeKernel, dev: Path) -> None:
    """What takes pictures in is not listed."""
    kernel.add("video0", "Codec", CAMERA | devices.V4L2_CAP_VIDEO_OUTPUT, 0)
    kernel.add("video1", "Output", devices.V4L2_CAP_VIDEO_OUTPUT, 0)
    assert find_capture_devices(dev) == []


def test_a_broken_node_hides_no_other(kernel: FakeKernel, dev: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A node that cannot be asked is logged."""
    kernel.add_broken("video0", errno.ENODEV)
    kernel.add("video1", "Cam", WHOLE_WEBCAM, CAMERA)
    assert [device.index for device in find_capture_devices(dev)] == [1]
    assert "video0 cannot be asked" in caplog.text


def test_the_stable_name_is_found(kernel: FakeKernel, dev: Path) -> None:
    """The link by serial number wins over the one by port."""
    kernel.add("video0", "Cam", WHOLE_WEBCAM, CAMERA)
    for kind in ("by-path", "by-id"):
        (dev / "v4l" / kind).mkdir(parents=True)
        (dev / "v4l" / kind / "cam-index0").symlink_to("../../video0")
    assert find_capture_devices(dev)[0].stable_path == str(dev / "v4l" / "by-id" / "cam-index0")


def test_the_list_is_json_lines(
    kernel: FakeKernel, dev: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs read one object per line, and no line is no camera: that is no error."""
    monkeypatch.setattr(command, "find_capture_devices", lambda: find_capture_devices(dev))
    monkeypatch.setattr("sys.argv", ["capture_worker", "--list"])
    assert command.main() == 0
    assert capsys.readouterr().out == ""
    kernel.add("video0", "Cam", WHOLE_WEBCAM, CAMERA)
    assert command.main() == 0
    assert json.loads(capsys.readouterr().out) == {
        "device": str(dev / "video0"),
        "index": 0,
        "name": "Cam",
        "driver": "uvcvideo",
        "bus": "usb-1.2",
        "stable_path": None,
    }

"""A webcam's controls as its driver shows them, in the place of the kernel: it answers at the system call."""

import errno
from dataclasses import dataclass, field
from pathlib import Path

from capture_worker import devices, v4l2_controls
from capture_worker.v4l2_controls import (
    V4L2_CONTROL,
    V4L2_CTRL_FLAG_INACTIVE,
    V4L2_CTRL_FLAG_NEXT_CTRL,
    V4L2_CTRL_FLAG_READ_ONLY,
    V4L2_CTRL_FLAG_WRITE_ONLY,
    V4L2_CTRL_TYPE_BOOLEAN,
    V4L2_CTRL_TYPE_INTEGER,
    V4L2_CTRL_TYPE_INTEGER_MENU,
    V4L2_CTRL_TYPE_MENU,
    V4L2_QUERYCTRL,
    V4L2_QUERYMENU,
    V4L2_QUERYMENU_VALUE,
    VIDIOC_G_CTRL,
    VIDIOC_QUERYCTRL,
    VIDIOC_QUERYMENU,
    VIDIOC_S_CTRL,
)

NODE = "/dev/null"  # exists, and may be opened
BUTTON, CONTROL_CLASS = 4, 6


@dataclass
class FakeControl:
    """One control. It is inactive unless the control `master` has the value `manual`."""

    id: int
    name: str
    minimum: int
    maximum: int
    step: int
    value: int
    type: int = V4L2_CTRL_TYPE_INTEGER
    flags: int = 0
    options: dict[int, str | int] = field(default_factory=dict)
    master: str | None = None
    manual: int = 0
    makes: int | None = None  # of every value that is written
    refuses: int | None = None  # to be written, with this errno


def controls_of_a_webcam() -> list[FakeControl]:
    """Return what a usual UVC webcam has, and some that are nothing for a client."""
    boolean, menu = V4L2_CTRL_TYPE_BOOLEAN, V4L2_CTRL_TYPE_MENU
    return [
        FakeControl(0x00980001, "User Controls", 0, 0, 0, 0, CONTROL_CLASS, V4L2_CTRL_FLAG_READ_ONLY),
        FakeControl(0x00980900, "Brightness", -64, 64, 1, 0),
        FakeControl(0x00980901, "Contrast", 0, 95, 1, 32),
        FakeControl(0x00980905, "Volume", 0, 255, 1, 200),
        FakeControl(0x0098090C, "White Balance, Automatic", 0, 1, 1, 1, boolean),
        FakeControl(0x0098090D, "Do White Balance", 0, 0, 0, 0, BUTTON, V4L2_CTRL_FLAG_WRITE_ONLY),
        FakeControl(0x00980913, "Gain", 0, 255, 1, 16),
        FakeControl(
            0x00980918, "Power Line Frequency", 0, 2, 1, 1, menu, options={0: "Disabled", 1: "50 Hz", 2: "60 Hz"}
        ),
        FakeControl(
            0x0098091A, "White Balance Temperature", 2800, 6500, 10, 57343, master="White Balance, Automatic", manual=0
        ),
        FakeControl(0x0098F901, "Boolean of the driver's own", 0, 1, 1, 1, boolean),
        FakeControl(
            0x009A0901, "Auto Exposure", 0, 3, 1, 3, menu, options={1: "Manual Mode", 3: "Aperture Priority Mode"}
        ),
        FakeControl(0x009A0902, "Exposure Time, Absolute", 1, 20000, 1, 157, master="Auto Exposure", manual=1),
        FakeControl(0x009A0904, "Pan, Relative", -1, 1, 1, 0),
        FakeControl(0x009A0910, "Privacy", 0, 1, 1, 0, boolean, V4L2_CTRL_FLAG_READ_ONLY),
        FakeControl(0x009D0903, "Compression Quality", 1, 100, 1, 80),
        FakeControl(
            0x009E0901, "Link Frequency", 0, 1, 1, 1, V4L2_CTRL_TYPE_INTEGER_MENU, options={0: 300000000, 1: 600000000}
        ),
    ]


class FakeWebcam:
    """A driver. `written` lists what was written, in order; `reads` counts values that were asked for."""

    def __init__(self, controls: list[FakeControl] | None = None) -> None:
        self.controls = {control.id: control for control in controls or controls_of_a_webcam()}
        self.bus = "usb-1.2"
        self.unplugged = False
        self.written: list[tuple[str, int]] = []
        self.reads = 0
        self.breaks_after: int | None = None
        self.begins_again = False

    def __getitem__(self, name: str) -> FakeControl:
        """Return a control by its name."""
        return next(control for control in self.controls.values() if control.name == name)

    def ioctl(self, fd: int, request: int, buffer: bytearray, mutate: bool) -> int:
        """Answer in the place of the kernel."""
        assert mutate
        assert Path(f"/proc/self/fd/{fd}").resolve() == Path(NODE)
        if self.unplugged:
            raise OSError(errno.ENODEV, "No such device")
        answers = {
            devices.VIDIOC_QUERYCAP: self._query_capabilities,
            VIDIOC_QUERYCTRL: self._query,
            VIDIOC_QUERYMENU: self._query_menu,
            VIDIOC_G_CTRL: self._get,
            VIDIOC_S_CTRL: self._set,
        }
        buffer[:] = answers[request](bytes(buffer))
        return 0

    def _query_capabilities(self, _asked: bytes) -> bytes:
        return devices.V4L2_CAPABILITY.pack(b"uvcvideo", b"Cam", self.bus.encode(), 0x60100, 0x84A00001, 0x04200001)

    def _query(self, asked: bytes) -> bytes:
        wanted = V4L2_QUERYCTRL.unpack(asked)[0]
        if wanted & V4L2_CTRL_FLAG_NEXT_CTRL:
            last = wanted & ~V4L2_CTRL_FLAG_NEXT_CTRL
            if last == self.breaks_after:
                raise OSError(errno.EIO, "Input/output error")
            wanted = next((id_ for id_ in sorted(self.controls) if id_ > last), 0)
            if self.begins_again:
                wanted = wanted or min(self.controls)
        control = self._find(wanted)
        master = None if control.master is None else self[control.master]
        inactive = 0 if master is None or master.value == control.manual else V4L2_CTRL_FLAG_INACTIVE
        return V4L2_QUERYCTRL.pack(
            *(control.id, control.type, control.name.encode(), control.minimum, control.maximum, control.step),
            *(control.minimum, control.flags | inactive),
        )

    def _query_menu(self, asked: bytes) -> bytes:
        wanted, index, _ = V4L2_QUERYMENU.unpack(asked)
        option = self._find(wanted).options.get(index)
        if option is None:
            raise OSError(errno.EINVAL, "Invalid argument")
        if isinstance(option, int):
            return V4L2_QUERYMENU_VALUE.pack(wanted, index, option)
        return V4L2_QUERYMENU.pack(wanted, index, option.encode())

    def _get(self, asked: bytes) -> bytes:
        self.reads += 1
        control = self._find(V4L2_CONTROL.unpack(asked)[0])
        return V4L2_CONTROL.pack(control.id, control.value)

    def _set(self, asked: bytes) -> bytes:
        wanted, value = V4L2_CONTROL.unpack(asked)
        control = self._find(wanted)
        if control.refuses is not None:
            raise OSError(control.refuses, "Refused")
        if v4l2_controls.V4L2_QUERYCTRL.unpack(self._query(V4L2_QUERYCTRL.pack(wanted, 0, b"", 0, 0, 0, 0, 0)))[7] & (
            V4L2_CTRL_FLAG_INACTIVE
        ):
            raise OSError(errno.EACCES, "Permission denied")  # as uvcvideo has it
        value = control.minimum + (value - control.minimum) // max(control.step, 1) * max(control.step, 1)
        control.value = (
            control.makes if control.makes is not None else min(max(value, control.minimum), control.maximum)
        )
        self.written.append((control.name, control.value))
        return V4L2_CONTROL.pack(wanted, control.value)

    def _find(self, control_id: int) -> FakeControl:
        if control_id not in self.controls:
            raise OSError(errno.EINVAL, "Invalid argument")
        return self.controls[control_id]

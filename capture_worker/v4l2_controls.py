"""The controls of a V4L2 device, asked of the kernel itself. The names are its own (linux/videodev2.h).

OpenCV knows some of them too, but neither their ranges nor their units, and it says that a refused value was set.
"""

import errno
import fcntl
import logging
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

VIDIOC_QUERYCTRL = 0xC0445624  # _IOWR('V', 36, struct v4l2_queryctrl)
VIDIOC_QUERYMENU = 0xC02C5625  # _IOWR('V', 37, struct v4l2_querymenu)
VIDIOC_G_CTRL = 0xC008561B  # _IOWR('V', 27, struct v4l2_control)
VIDIOC_S_CTRL = 0xC008561C  # _IOWR('V', 28, struct v4l2_control)
V4L2_QUERYCTRL = struct.Struct("=II32siiiiI8x")  # id, type, name, minimum, maximum, step, default_value, flags
V4L2_QUERYMENU = struct.Struct("=II32s4x")  # id, index, name
V4L2_QUERYMENU_VALUE = struct.Struct("=IIq28x")  # id, index, value: the same of an integer menu
V4L2_CONTROL = struct.Struct("=Ii")  # id, value

V4L2_CTRL_TYPE_INTEGER = 1
V4L2_CTRL_TYPE_BOOLEAN = 2
V4L2_CTRL_TYPE_MENU = 3
V4L2_CTRL_TYPE_INTEGER_MENU = 9

V4L2_CTRL_FLAG_DISABLED = 0x0001
V4L2_CTRL_FLAG_GRABBED = 0x0002
V4L2_CTRL_FLAG_READ_ONLY = 0x0004
V4L2_CTRL_FLAG_UPDATE = 0x0008
V4L2_CTRL_FLAG_INACTIVE = 0x0010
V4L2_CTRL_FLAG_WRITE_ONLY = 0x0040
V4L2_CTRL_FLAG_VOLATILE = 0x0080
V4L2_CTRL_FLAG_HAS_PAYLOAD = 0x0100
V4L2_CTRL_FLAG_EXECUTE_ON_WRITE = 0x0200
V4L2_CTRL_FLAG_MODIFY_LAYOUT = 0x0400
V4L2_CTRL_FLAG_NEXT_CTRL = 0x80000000

V4L2_CTRL_CLASS_USER = 0x00980000
V4L2_CTRL_CLASS_CAMERA = 0x009A0000
V4L2_CTRL_CLASS_IMAGE_SOURCE = 0x009E0000
V4L2_CTRL_CLASS_IMAGE_PROC = 0x009F0000

V4L2_CID_BASE = V4L2_CTRL_CLASS_USER | 0x900
V4L2_CID_BRIGHTNESS = V4L2_CID_BASE + 0
V4L2_CID_HUE = V4L2_CID_BASE + 3
V4L2_CID_AUDIO_VOLUME = V4L2_CID_BASE + 5
V4L2_CID_AUDIO_LOUDNESS = V4L2_CID_BASE + 10
V4L2_CID_AUTO_WHITE_BALANCE = V4L2_CID_BASE + 12
V4L2_CID_RED_BALANCE = V4L2_CID_BASE + 14
V4L2_CID_BLUE_BALANCE = V4L2_CID_BASE + 15
V4L2_CID_EXPOSURE = V4L2_CID_BASE + 17
V4L2_CID_AUTOGAIN = V4L2_CID_BASE + 18
V4L2_CID_GAIN = V4L2_CID_BASE + 19
V4L2_CID_HUE_AUTO = V4L2_CID_BASE + 25
V4L2_CID_WHITE_BALANCE_TEMPERATURE = V4L2_CID_BASE + 26
V4L2_CID_CHROMA_AGC = V4L2_CID_BASE + 29
V4L2_CID_AUTOBRIGHTNESS = V4L2_CID_BASE + 32
V4L2_CID_CHROMA_GAIN = V4L2_CID_BASE + 36
V4L2_CID_CAMERA_CLASS_BASE = V4L2_CTRL_CLASS_CAMERA | 0x900
V4L2_CID_EXPOSURE_AUTO = V4L2_CID_CAMERA_CLASS_BASE + 1
V4L2_CID_EXPOSURE_ABSOLUTE = V4L2_CID_CAMERA_CLASS_BASE + 2
V4L2_CID_PAN_RELATIVE = V4L2_CID_CAMERA_CLASS_BASE + 4
V4L2_CID_TILT_RELATIVE = V4L2_CID_CAMERA_CLASS_BASE + 5
V4L2_CID_FOCUS_ABSOLUTE = V4L2_CID_CAMERA_CLASS_BASE + 10
V4L2_CID_FOCUS_RELATIVE = V4L2_CID_CAMERA_CLASS_BASE + 11
V4L2_CID_FOCUS_AUTO = V4L2_CID_CAMERA_CLASS_BASE + 12
V4L2_CID_ZOOM_RELATIVE = V4L2_CID_CAMERA_CLASS_BASE + 14
V4L2_CID_ZOOM_CONTINUOUS = V4L2_CID_CAMERA_CLASS_BASE + 15
V4L2_CID_IRIS_ABSOLUTE = V4L2_CID_CAMERA_CLASS_BASE + 17
V4L2_CID_IRIS_RELATIVE = V4L2_CID_CAMERA_CLASS_BASE + 18
V4L2_CID_AUTO_N_PRESET_WHITE_BALANCE = V4L2_CID_CAMERA_CLASS_BASE + 20
V4L2_CID_ISO_SENSITIVITY = V4L2_CID_CAMERA_CLASS_BASE + 23
V4L2_CID_ISO_SENSITIVITY_AUTO = V4L2_CID_CAMERA_CLASS_BASE + 24
V4L2_CID_PAN_SPEED = V4L2_CID_CAMERA_CLASS_BASE + 32
V4L2_CID_TILT_SPEED = V4L2_CID_CAMERA_CLASS_BASE + 33

V4L2_EXPOSURE_MANUAL = 1
V4L2_EXPOSURE_SHUTTER_PRIORITY = 2

_TYPES = (V4L2_CTRL_TYPE_INTEGER, V4L2_CTRL_TYPE_BOOLEAN, V4L2_CTRL_TYPE_MENU, V4L2_CTRL_TYPE_INTEGER_MENU)
_MENUS = (V4L2_CTRL_TYPE_MENU, V4L2_CTRL_TYPE_INTEGER_MENU)
_CLASSES = (
    V4L2_CTRL_CLASS_USER,
    V4L2_CTRL_CLASS_CAMERA,
    V4L2_CTRL_CLASS_IMAGE_SOURCE,
    V4L2_CTRL_CLASS_IMAGE_PROC,
)
_UNUSABLE = (
    V4L2_CTRL_FLAG_DISABLED
    | V4L2_CTRL_FLAG_GRABBED  # not while the device streams, and a camera always does
    | V4L2_CTRL_FLAG_READ_ONLY
    | V4L2_CTRL_FLAG_WRITE_ONLY
    | V4L2_CTRL_FLAG_HAS_PAYLOAD
    | V4L2_CTRL_FLAG_EXECUTE_ON_WRITE
    | V4L2_CTRL_FLAG_MODIFY_LAYOUT  # OpenCV would not know the new layout
)
_NO_STATE_OF_A_PICTURE = {  # the sound of a TV card, and movements
    *range(V4L2_CID_AUDIO_VOLUME, V4L2_CID_AUDIO_LOUDNESS + 1),
    *(V4L2_CID_PAN_RELATIVE, V4L2_CID_TILT_RELATIVE, V4L2_CID_FOCUS_RELATIVE, V4L2_CID_ZOOM_RELATIVE),
    *(V4L2_CID_IRIS_RELATIVE, V4L2_CID_ZOOM_CONTINUOUS, V4L2_CID_PAN_SPEED, V4L2_CID_TILT_SPEED),
}
_SWITCHES = {
    *(V4L2_CID_AUTO_WHITE_BALANCE, V4L2_CID_AUTOGAIN, V4L2_CID_HUE_AUTO, V4L2_CID_CHROMA_AGC, V4L2_CID_AUTOBRIGHTNESS),
    *(V4L2_CID_EXPOSURE_AUTO, V4L2_CID_FOCUS_AUTO, V4L2_CID_AUTO_N_PRESET_WHITE_BALANCE, V4L2_CID_ISO_SENSITIVITY_AUTO),
}
AUTOMATIC_OF = {  # who does a control's work while it is inactive
    V4L2_CID_BRIGHTNESS: V4L2_CID_AUTOBRIGHTNESS,
    V4L2_CID_HUE: V4L2_CID_HUE_AUTO,
    V4L2_CID_RED_BALANCE: V4L2_CID_AUTO_WHITE_BALANCE,
    V4L2_CID_BLUE_BALANCE: V4L2_CID_AUTO_WHITE_BALANCE,
    V4L2_CID_WHITE_BALANCE_TEMPERATURE: V4L2_CID_AUTO_WHITE_BALANCE,
    V4L2_CID_EXPOSURE: V4L2_CID_EXPOSURE_AUTO,
    V4L2_CID_EXPOSURE_ABSOLUTE: V4L2_CID_EXPOSURE_AUTO,
    V4L2_CID_IRIS_ABSOLUTE: V4L2_CID_EXPOSURE_AUTO,
    V4L2_CID_GAIN: V4L2_CID_AUTOGAIN,
    V4L2_CID_CHROMA_GAIN: V4L2_CID_CHROMA_AGC,
    V4L2_CID_FOCUS_ABSOLUTE: V4L2_CID_FOCUS_AUTO,
    V4L2_CID_ISO_SENSITIVITY: V4L2_CID_ISO_SENSITIVITY_AUTO,
}
_DRIVER_SPECIFIC = 0x1000  # V4L2_CTRL_DRIVER_PRIV
_CLASS_MASK = 0x0FFF0000  # V4L2_CTRL_ID2CLASS
_NUMBER_MASK = 0xFFFF
_MOST_OPTIONS = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Control:
    """One control as the driver describes it. `options` are a menu's, by name, in the driver's order."""

    id: int
    type: int
    name: str
    minimum: int
    maximum: int
    step: int
    default: int
    flags: int
    options: tuple[tuple[str, int], ...] = ()

    @property
    def is_menu(self) -> bool:
        """Whether its values have names."""
        return self.type in _MENUS

    @property
    def is_inactive(self) -> bool:
        """Whether it has no effect now, because an automatic does its work."""
        return bool(self.flags & V4L2_CTRL_FLAG_INACTIVE)

    @property
    def is_volatile(self) -> bool:
        """Whether the hardware itself says what is in force."""
        return bool(self.flags & V4L2_CTRL_FLAG_VOLATILE)

    @property
    def is_switch(self) -> bool:
        """Whether other controls depend on it, as exposure time does on auto exposure."""
        return self.id in _SWITCHES or bool(self.flags & V4L2_CTRL_FLAG_UPDATE)

    @property
    def is_usable(self) -> bool:
        """Whether it is a standard control for the look of a picture, can be set while streaming, and stays set."""
        return (
            self.type in _TYPES
            and self.id & _CLASS_MASK in _CLASSES
            and self.id & _NUMBER_MASK < _DRIVER_SPECIFIC
            and self.id not in _NO_STATE_OF_A_PICTURE
            and not self.flags & _UNUSABLE
            and self.minimum <= self.maximum
        )


def open_device(node: str) -> int:
    """A descriptor for controls, beside the one that streams: the kernel allows that, and nothing waits on it."""
    return os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def find_controls(fd: int) -> Iterator[Control]:
    """Yield the usable controls of an open device in the driver's order. Raises OSError if it has none at all."""
    last_id = 0
    while (control := _query_next(fd, last_id)) and control.id > last_id:  # a driver that goes back would never end
        last_id = control.id
        if control.is_usable:
            found = replace(control, options=tuple(_options(fd, control))) if control.is_menu else control
            if found.options or not found.is_menu:
                yield found


def query_control(fd: int, control_id: int) -> Control:
    """Ask for one control, without its options: the flags change with the automatic that it depends on."""
    answer = bytearray(V4L2_QUERYCTRL.size)
    V4L2_QUERYCTRL.pack_into(answer, 0, control_id, 0, b"", 0, 0, 0, 0, 0)
    fcntl.ioctl(fd, VIDIOC_QUERYCTRL, answer, True)
    found_id, kind, name, minimum, maximum, step, default, flags = V4L2_QUERYCTRL.unpack(answer)
    return Control(found_id, kind, _text(name), minimum, maximum, max(step, 1), default, flags)


def get_value(fd: int, control: Control) -> int:
    """Ask what is in force."""
    answer = bytearray(V4L2_CONTROL.pack(control.id, 0))
    fcntl.ioctl(fd, VIDIOC_G_CTRL, answer, True)
    return int(V4L2_CONTROL.unpack(answer)[1])


def set_value(fd: int, control: Control, value: int) -> int:
    """Set it, and return what the driver made of the value: out of range or off the step, it takes the nearest."""
    answer = bytearray(V4L2_CONTROL.pack(control.id, value))
    fcntl.ioctl(fd, VIDIOC_S_CTRL, answer, True)
    return int(V4L2_CONTROL.unpack(answer)[1])


def key_of(control: Control) -> str:
    """The control's name as v4l2-ctl spells it: `white_balance_temperature`."""
    return re.sub(r"[^a-z0-9]+", "_", control.name.lower()).strip("_")


def _query_next(fd: int, control_id: int) -> Control | None:
    try:
        return query_control(fd, control_id | V4L2_CTRL_FLAG_NEXT_CTRL)
    except OSError as error:
        if control_id == 0:
            raise
        if error.errno != errno.EINVAL:  # EINVAL: that was the last one
            _log.warning("the controls after 0x%08x cannot be asked for: %s", control_id, error.strerror)
        return None


def _options(fd: int, control: Control) -> Iterator[tuple[str, int]]:
    """Yield the options that there are: drivers leave out what a device does not have."""
    seen = set()
    for index in range(control.minimum, min(control.maximum, control.minimum + _MOST_OPTIONS) + 1):
        answer = bytearray(V4L2_QUERYMENU.pack(control.id, index & 0xFFFFFFFF, b""))
        try:
            fcntl.ioctl(fd, VIDIOC_QUERYMENU, answer, True)
        except OSError:
            continue
        if control.type == V4L2_CTRL_TYPE_INTEGER_MENU:
            name = str(V4L2_QUERYMENU_VALUE.unpack(answer)[2])
        else:
            name = _text(V4L2_QUERYMENU.unpack(answer)[2])
        if name not in seen:
            seen.add(name)
            yield name, index


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="replace")

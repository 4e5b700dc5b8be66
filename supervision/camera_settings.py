"""What a person can configure of one camera: its source, its timing, its parameters, its geometry."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator


def _without_zero_byte(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("is no path")
    return path


FilePath = Annotated[Path, AfterValidator(_without_zero_byte)]
PositiveSeconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Pixels = Annotated[int, Field(ge=0, le=65535)]
_Side = Annotated[int, Field(ge=1, le=65535)]
FrameName = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,128}$")]

_SOURCE_NAME = r"^[^\x00-\x1f]{1,128}$"
_FACTORY = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"
_NOT_A_UNIT = 1e-3
_SAME_SHAPE = 1.02  # 1080 rows are 1088 to some codecs
OTHER_CHILDREN = ("servicer", "simulated_robot")  # names that no camera may have

MisbehaviourKind = Literal[
    "hang", "crash", "exit", "segfault", "slow", "wrong_size", "freeze", "garbage", "corrupt", "unplug", "reject"
]
MISBEHAVIOUR_ARGUMENTS: Mapping[str, str] = {  # patterns; the others have none
    "exit": r"\d{1,3}",
    "slow": r"\d+(\.\d+)?",
    "wrong_size": r"\d{2,5}x\d{2,5}",
    "garbage": r"[1-9]\d{0,5}",
    "reject": r"\d+(\.\d+)?",
}
_MISBEHAVIOUR = "|".join(
    kind + (f"( +{MISBEHAVIOUR_ARGUMENTS[kind]})?" if kind in MISBEHAVIOUR_ARGUMENTS else "")
    for kind in get_args(MisbehaviourKind)
)
_SCRIPT_LINE = rf"^\d+(\.\d+)?: *({_MISBEHAVIOUR})$"


class Strict(BaseModel):
    """Knows every key it may have, and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticSettings(Strict):
    """The test pattern camera: what it delivers, and what it does wrong on purpose.

    `script` is a list of `"<seconds after open>: <misbehaviour> [argument]"`; what each does is in
    capture_worker/misbehaviour.py. `control_file` is a file that says `<misbehaviour> [argument]` while the camera
    runs: what it does wrong besides, as long as the file says so.
    """

    encoding: Literal["bgr8", "bgra8", "mono8", "mono16", "depth16", "jpeg"] = "bgr8"
    script: tuple[Annotated[str, Field(pattern=_SCRIPT_LINE)], ...] = ()
    control_file: FilePath | None = None


class CameraInterfaceSettings(Strict):
    """A camera class of the user's own, written for the SDK's `image_service_helpers`.

    `factory` is `module:Name` of a `CameraInterface` class, or of something that returns `VisualImageSource` objects
    when it is called; `arguments` are what it is called with, a list or a table. `source` chooses one by its name if
    there are several. `python_path` is where its module lies. `image_decode` says who makes pictures: this pipeline, in
    the servicer, or the class's own method, in the worker. `channel_order` is that of the arrays it returns.
    """

    factory: Annotated[str, Field(pattern=_FACTORY)]
    arguments: list[JsonValue] | dict[str, JsonValue] = []
    source: str | None = None
    python_path: FilePath | None = None
    image_decode: Literal["pipeline", "own"] = "pipeline"
    channel_order: Literal["bgr", "rgb"] = "bgr"


class CameraModelSettings(Strict):
    """How a point in space becomes a pixel, for the picture as the camera delivers it at `width` x `height` pixels.

    Focal lengths, principal point and skew are in pixels of that size; the centre of the first pixel is (0, 0).
    `distortion` is (k1, k2, p1, p2, k3) for `brown_conrady`, (k1, k2, k3, k4) for `kannala_brandt`, none for `pinhole`.
    """

    kind: Literal["pinhole", "brown_conrady", "kannala_brandt"] = "pinhole"
    width: Annotated[int, Field(ge=1, le=65535)]
    height: Annotated[int, Field(ge=1, le=65535)]
    focal_length: tuple[_Positive, _Positive]
    principal_point: tuple[_Finite, _Finite]
    skew: _Finite = 0.0
    distortion: tuple[_Finite, ...] = ()

    @model_validator(mode="after")
    def _check_distortion(self) -> "CameraModelSettings":
        needed = {"pinhole": 0, "brown_conrady": 5, "kannala_brandt": 4}[self.kind]
        if len(self.distortion) != needed:
            raise ValueError(f"distortion: a {self.kind} model has {needed} coefficients, not {len(self.distortion)}")
        return self

    def is_for_shape(self, rows: int, cols: int) -> bool:
        """Whether frames of this size can be the calibrated picture, scaled: their sides have its ratio within 2 %."""
        ratio = (self.width * rows) / (self.height * cols)
        return max(ratio, 1 / ratio) <= _SAME_SHAPE


class MountSettings(Strict):
    """Where the camera is on the robot: the pose of its sensor in the frame `parent`.

    `position_m` is (x, y, z). The orientation is either `rpy_deg`, roll, pitch and yaw of a camera that otherwise looks
    along the parent's x axis with its top towards z, or `quaternion_wxyz` of the sensor frame itself (x to the right of
    the picture, y down, z out of the lens). `frame_name` is the sensor frame's name, default the image source's.
    """

    position_m: tuple[_Finite, _Finite, _Finite]
    rpy_deg: tuple[_Finite, _Finite, _Finite] | None = None
    quaternion_wxyz: tuple[_Finite, _Finite, _Finite, _Finite] | None = None
    parent: FrameName = "body"
    frame_name: FrameName | None = None

    @model_validator(mode="after")
    def _check_orientation(self) -> "MountSettings":
        if self.rpy_deg is not None and self.quaternion_wxyz is not None:
            raise ValueError("rpy_deg, or quaternion_wxyz, not both")
        if self.quaternion_wxyz is not None and abs(math.hypot(*self.quaternion_wxyz) - 1) > _NOT_A_UNIT:
            raise ValueError("quaternion_wxyz: is no rotation: its length is not 1")
        return self


class CameraSettings(Strict):
    """One camera: one worker process, one ring, one image source.

    `source_name` is the image source's name for clients, default the camera's own. `device` is an index, a /dev path, a
    video file or a URL for the driver `opencv`; the others have none. `mode` says when it captures: always, for each
    request, or from a request until nobody has asked for `idle_after_s`. `parameters` are the custom parameters that it
    runs with while a client asks for no others.

    `max_age_s` None means max(0.5 s, 3 measured frame periods), and no limit of its own for a camera that captures on
    request. `frozen_after_s` is how long a camera may deliver the same picture before that is a fault; None means 5 s
    and 150 frames, and that a video file may stand still; 0 means for ever. Sizes are in pixels, `fps` in frames per
    second; None leaves them as the device has them (the synthetic camera: 640 x 480 at 30). `depth_scale` is how many
    units of a depth image make a metre.

    The picture is cropped to (left, top, width, height), then turned clockwise, then flipped; `camera_model` and
    `mount` describe the camera as it is without all this. `calibration` is a file to read the camera model from.
    """

    driver: Literal["opencv", "synthetic", "camera_interface"] = "opencv"
    source_name: Annotated[str, Field(pattern=_SOURCE_NAME)] | None = None
    device: int | str | None = None
    codec: Annotated[str, Field(min_length=4, max_length=4)] | None = None
    width: Annotated[int, Field(ge=16, le=16384)] | None = None
    height: Annotated[int, Field(ge=16, le=16384)] | None = None
    fps: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    loop: bool = False
    slots: Annotated[int, Field(ge=4, le=64)] = 6
    max_age_s: PositiveSeconds | None = None
    frozen_after_s: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] | None = None
    open_timeout_s: PositiveSeconds = 15.0
    capture_timeout_s: PositiveSeconds = 1.0
    required: bool = True
    mode: Literal["continuous", "on_request", "while_asked"] = "continuous"
    idle_after_s: PositiveSeconds = 10.0
    parameters: dict[str, JsonValue] = {}
    depth_scale: _Positive = 1000.0
    crop: tuple[_Pixels, _Pixels, _Side, _Side] | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    flip: Literal["none", "horizontal", "vertical"] = "none"
    calibration: FilePath | None = None
    camera_model: CameraModelSettings | None = None
    mount: MountSettings | None = None
    synthetic: SyntheticSettings = SyntheticSettings()
    camera_interface: CameraInterfaceSettings | None = None

    @property
    def read_limit_s(self) -> int:
        """Whole seconds after which OpenCV gives up a read of a live device; its own limits count in seconds."""
        return max(2, math.ceil(self.capture_timeout_s))

    @model_validator(mode="after")
    def _check_device(self) -> "CameraSettings":
        if self.driver != "camera_interface" and self.camera_interface is not None:
            raise ValueError('the table camera_interface needs driver = "camera_interface"')
        if self.driver == "opencv" and self.device is None:
            raise ValueError("needs a device: an index, a /dev path, a video file or a URL")
        if self.driver != "opencv" and self.device is not None:
            raise ValueError(f"a {self.driver} camera has no device")
        if self.driver == "camera_interface" and self.camera_interface is None:
            raise ValueError("driver camera_interface needs the table camera_interface, which names the class")
        if self.calibration is not None and self.camera_model is not None:
            raise ValueError("calibration, or camera_model, not both")
        if isinstance(self.device, int) and self.device < 0:
            raise ValueError("device: an index is 0 or more")
        if isinstance(self.device, str) and (not self.device or "\0" in self.device):
            raise ValueError("device: is no path")
        if isinstance(self.device, str) and "://" in self.device:
            _check_url(self.device)
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together")
        return self


def _check_url(text: str) -> None:
    try:
        urlsplit(text)
    except ValueError:
        raise ValueError("device: is no URL") from None  # its own words cite the URL, with the password

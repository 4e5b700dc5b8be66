"""What a person can configure, and what each child is told: one declaration for TOML, flags and stdin lines.

Every value is validated before the first process starts. Unknown keys are errors, so that a typing mistake
in a file on a robot is a sentence at the start instead of a default that nobody asked for.
"""

import math
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer, model_validator

NAME_PATTERN = r"^[a-z0-9_-]{1,32}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
PositiveSeconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]

_SCRIPT_LINE = r"^\d+(\.\d+)?: *[a-z_]+( +\S+)?$"
ROBOT_PORT = 443
PAYLOAD_ROBOT = "192.168.50.3"
PAYLOAD_CREDENTIALS = Path("/opt/payload_credentials/payload_guid_and_secret")
PAYLOAD_PORTS = range(21000, 22001)  # what a CORE I/O lets in …
RESERVED_PORT = 21443  # … except this one
DEFAULT_PORT = 21100


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticSettings(_Settings):
    """The test pattern camera: what it delivers, and what it does wrong on purpose.

    `script` is a list of `"<seconds after open>: <misbehaviour> [argument]"`, each misbehaviour one of `hang`, `crash`,
    `exit`, `segfault`, `slow`, `wrong_size`, `freeze`, `garbage`, `unplug` (see capture_worker/misbehaviour.py).
    """

    encoding: Literal["bgr8", "bgra8", "mono8", "mono16", "depth16", "jpeg"] = "bgr8"
    script: tuple[Annotated[str, Field(pattern=_SCRIPT_LINE)], ...] = ()


class CameraSettings(_Settings):
    """One camera: one worker process, one ring, one image source.

    `device` is an index, a /dev path, a video file or a URL for the driver `opencv`; it is not used by `synthetic`.
    `max_age_s` None means max(0.5 s, 3 measured frame periods). Sizes are in pixels, `fps` in frames per second;
    None leaves them as the device has them (the synthetic camera: 640 x 480 at 30).
    """

    driver: Literal["opencv", "synthetic"] = "opencv"
    device: int | str | None = None
    codec: Annotated[str, Field(min_length=4, max_length=4)] | None = None
    width: Annotated[int, Field(ge=16, le=16384)] | None = None
    height: Annotated[int, Field(ge=16, le=16384)] | None = None
    fps: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    loop: bool = False
    slots: Annotated[int, Field(ge=4, le=64)] = 6
    max_age_s: PositiveSeconds | None = None
    open_timeout_s: PositiveSeconds = 15.0
    capture_timeout_s: PositiveSeconds = 1.0
    required: bool = True
    synthetic: SyntheticSettings = SyntheticSettings()

    @property
    def read_limit_s(self) -> int:
        """Whole seconds after which OpenCV gives up a read of a live device; its own limits count in seconds."""
        return max(2, math.ceil(self.capture_timeout_s))

    @model_validator(mode="after")
    def _check_device(self) -> "CameraSettings":
        if self.driver == "opencv" and self.device is None:
            raise ValueError("needs a device: an index, a /dev path, a video file or a URL")
        if self.driver == "synthetic" and self.device is not None:
            raise ValueError("a synthetic camera has no device")
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


class RobotSettings(_Settings):
    """The robot that the service registers with, and how the payload proves who it is.

    `port` and `ca` differ from their defaults only for a simulated robot. Either `payload_credentials_file`
    (guid on its first line, secret on its second) or `guid` and `secret`.
    """

    hostname: Annotated[str, Field(min_length=1)] = PAYLOAD_ROBOT
    port: Port = ROBOT_PORT
    ca: Path | None = None
    payload_credentials_file: Path | None = None
    guid: str | None = None
    secret: SecretStr | None = None

    def credentials(self) -> tuple[str, str]:
        """The payload's guid and secret. Raises OSError or ValueError for a file that does not hold them."""
        if self.payload_credentials_file is None:
            return self.guid or "", self.secret.get_secret_value() if self.secret else ""
        text = self.payload_credentials_file.read_text(encoding="utf-8")
        lines = [line.strip() for line in text.splitlines()[:2]]
        if len(lines) < 2 or not all(lines):  # noqa: PLR2004 - guid and secret
            raise ValueError(
                f"{self.payload_credentials_file}: needs the guid on its first line and the secret on its second"
            )
        return lines[0], lines[1]

    @field_serializer("secret", when_used="json")
    def _reveal_on_the_pipe(self, secret: SecretStr | None) -> str | None:
        # JSON is only ever made for a child's stdin, which nobody else can read; str() and repr() stay masked.
        return secret.get_secret_value() if secret else None


class ServiceSettings(_Settings):
    """The image service: its names in the robot's directory and where it listens.

    `host_ip` is the address that is registered with the robot, not necessarily one of this host (a bridged
    container). None means the address of the route to the robot. `allowed_peers` are addresses or names that may
    call besides the loopback and the robot.
    """

    name: str = "web-cam-service"
    authority: str = "robot-web-cam"
    port: Port = DEFAULT_PORT
    host_ip: str | None = None
    allowed_peers: tuple[Annotated[str, Field(pattern=r"^[0-9A-Za-z.:_-]{1,253}$")], ...] = ()


class Settings(_Settings):
    """Everything. `cameras` keeps the order in which they were named."""

    instance: Name = "spot-cameras"
    robot: RobotSettings = RobotSettings()
    service: ServiceSettings = ServiceSettings()
    cameras: dict[Name, CameraSettings] = {}
    simulate: bool = False


class WorkerConfiguration(_Settings):
    """The line on a capture worker's stdin."""

    supervisor_pid: int
    instance: Name
    name: Name
    camera: CameraSettings


class ServicerConfiguration(_Settings):
    """The line on the servicer's stdin."""

    supervisor_pid: int
    instance: Name
    robot: RobotSettings
    service: ServiceSettings
    cameras: dict[Name, CameraSettings]


class SimulatedRobotConfiguration(_Settings):
    """The line on the stdin of a simulated robot that the supervisor runs."""

    supervisor_pid: int
    port: Annotated[int, Field(ge=0, le=65535)]
    ca_out: Path


def without_credentials(text: str) -> str:
    """Return text as it may be shown: of a URL, in order or not, scheme, host and path."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    address = re.split(r"[?#]", rest)[0]
    if "@" in rest[len(address) :]:  # a password with such a character in it, or a query: nobody can tell
        return f"{scheme}://…"
    return f"{scheme}://{address.rpartition('@')[2]}"


def what_is_wrong(error: ValidationError) -> str:
    """All that is wrong with a configuration line, in one line without the values: one of them is a secret."""
    return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())

"""What a person can configure, and what each child is told: one declaration for TOML, flags and stdin lines.

Every value is validated before the first process starts. Unknown keys are errors, so that a typing mistake
in a file on a robot is a sentence at the start instead of a default that nobody asked for.
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_serializer

from supervision.camera_settings import CameraSettings, FilePath, Strict
from supervision.small_file import read_small_file

NAME_PATTERN = r"^[a-z0-9_-]{1,32}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Port = Annotated[int, Field(ge=1, le=65535)]

ROBOT_PORT = 443
PAYLOAD_ROBOT = "192.168.50.3"
PAYLOAD_CREDENTIALS = Path("/opt/payload_credentials/payload_guid_and_secret")
PAYLOAD_PORTS = range(21000, 22001)  # what a CORE I/O lets in …
RESERVED_PORT = 21443  # … except this one
DEFAULT_PORT = 21100


class RobotSettings(Strict):
    """The robot that the service registers with, and how the payload proves who it is.

    `port` and `ca` differ from their defaults only for a simulated robot. Either `payload_credentials_file`
    (guid on its first line, secret on its second), or `guid` and `secret`, or a user's name and password, for a
    computer that is no payload of the robot.
    """

    hostname: Annotated[str, Field(min_length=1)] = PAYLOAD_ROBOT
    port: Port = ROBOT_PORT
    ca: FilePath | None = None
    payload_credentials_file: FilePath | None = None
    guid: str | None = None
    secret: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None

    def credentials(self) -> tuple[str, str]:
        """The payload's guid and secret. Raises OSError or ValueError for a file that does not hold them."""
        if self.payload_credentials_file is None:
            return self.guid or "", self.secret.get_secret_value() if self.secret else ""
        text = read_small_file(self.payload_credentials_file).decode()
        lines = [line.strip() for line in text.splitlines()[:2]]
        if len(lines) < 2 or not all(lines):  # noqa: PLR2004 - guid and secret
            raise ValueError(
                f"{self.payload_credentials_file}: needs the guid on its first line and the secret on its second"
            )
        return lines[0], lines[1]

    @field_serializer("secret", "password", when_used="json")
    def _reveal_on_the_pipe(self, secret: SecretStr | None) -> str | None:
        # JSON is only ever made for a child's stdin, which nobody else can read; str() and repr() stay masked.
        return secret.get_secret_value() if secret else None


class ServiceSettings(Strict):
    """The image service: its names in the robot's directory and where it listens.

    `host_ip` is the address that is registered with the robot, not necessarily one of this host (a bridged
    container). None means the address of the route to the robot. `allowed_peers` are addresses or names that may
    call besides the loopback and the robot. `log_images` sends every request and answer, without the pictures, to the
    robot's data buffer.
    """

    name: str = "web-cam-service"
    authority: str = "robot-web-cam"
    port: Port = DEFAULT_PORT
    host_ip: str | None = None
    allowed_peers: tuple[Annotated[str, Field(pattern=r"^[0-9A-Za-z.:_-]{1,253}$")], ...] = ()
    log_images: bool = False


class Settings(Strict):
    """Everything. `cameras` keeps the order in which they were named.

    `shm_group` is a group of this computer, or its number, whose members may read the rings and the board too: for a
    detector of another user or in another container.
    `post_mortem_dir` is where the reports on processes that died are kept; None is a folder of this user's own.
    `child_memory_limit_mb` is how much memory of its own a child may use (MB of 10^6 bytes, frames in /dev/shm not
    counted) before it is ended in an orderly way and started again; 0 is no limit.
    """

    instance: Name = "spot-cameras"
    shm_group: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")] | None = None
    post_mortem_dir: FilePath | None = None
    child_memory_limit_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    robot: RobotSettings = RobotSettings()
    service: ServiceSettings = ServiceSettings()
    cameras: dict[Name, CameraSettings] = Field(default_factory=dict)
    simulate: bool = False


class WorkerConfiguration(Strict):
    """The line on a capture worker's stdin."""

    supervisor_pid: int
    instance: Name
    shm_group: str | None = None
    name: Name
    camera: CameraSettings


class ServicerConfiguration(Strict):
    """The line on the servicer's stdin."""

    supervisor_pid: int
    instance: Name
    robot: RobotSettings
    service: ServiceSettings
    cameras: dict[Name, CameraSettings]


class SimulatedRobotConfiguration(Strict):
    """The line on the stdin of a simulated robot that the supervisor runs."""

    supervisor_pid: int
    port: Annotated[int, Field(ge=0, le=65535)]
    ca_out: FilePath


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

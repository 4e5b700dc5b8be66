"""From a TOML file and the flags to validated settings; what is wrong becomes one line that names file and key.

Nothing here starts or touches anything but the configuration file: a `ConfigurationError` is always early enough.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from supervision.problems import first_problem
from supervision.settings import PAYLOAD_CREDENTIALS, PAYLOAD_ROBOT, Settings, without_credentials
from supervision.small_file import read_small_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FLAGS = "command line"
_NAME_CHARACTERS = re.compile(r"[^a-z0-9_-]+")
_NAME_LENGTH = 32
_INDEX_DIGITS = 9
_TOO_DEEP = "its tables or lists are nested too deeply"
PAYLOAD_KEYS = ("payload_credentials_file", "guid", "secret")
USER_KEYS = ("username", "password")
CREDENTIAL_KEYS = (*PAYLOAD_KEYS, *USER_KEYS)

SIMULATED_CAMERAS: dict[str, Any] = {
    "front": {"driver": "synthetic", "width": 640, "height": 480, "fps": 30.0},
    "rear": {"driver": "synthetic", "width": 1280, "height": 720, "fps": 15.0, "synthetic": {"encoding": "jpeg"}},
}


class ConfigurationError(Exception):
    """The configuration cannot work. The message is one line for the person who wrote it."""

    exit_code = exit_codes.BAD_CONFIGURATION


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file. Relative paths in it are made absolute against its folder. Raises ConfigurationError."""
    try:
        document = tomllib.loads(read_small_file(path).decode())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: {_TOO_DEEP}") from error
    except ValueError as error:  # no TOML, no text, or a number with thousands of digits
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}") from error
    _make_paths_absolute(document, path.resolve().parent)
    return document


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with what `above` says put over it, table by table."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def validate(document: dict[str, Any], source: str) -> Settings:
    """Turn a document into settings; `source` is named in errors. Raises ConfigurationError."""
    try:
        # As JSON and strict: TOML has real types, so the text "30" is a mistake where a number belongs.
        return Settings.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {first_problem(error)}") from error
    except TypeError as error:
        raise ConfigurationError(f"{source}: dates and times are no values here") from error
    except RecursionError as error:
        raise ConfigurationError(f"{source}: {_TOO_DEEP}") from error
    except ValueError as error:  # TOML has no limit for hexadecimal numbers, and Python for writing them
        raise ConfigurationError(f"{source}: {error}") from error


def device_from_text(text: str, folder: Path) -> int | str:
    """Understand a device as people write it: an index, a URL, or a path, which becomes absolute against `folder`."""
    if text.isascii() and text.isdigit() and len(text) <= _INDEX_DIGITS:
        return int(text)
    return text if "://" in text else str(folder / text)


def source_name(device: int | str) -> str:
    """Return the image source's name for a device: video<N>, or the end of its path, in the characters of a name."""
    if isinstance(device, int):
        return f"video{device}"
    if "://" in device:
        url = urlsplit(without_credentials(device))
        text = f"{url.hostname or ''}{url.path}"
    else:
        text = Path(device).name
    return _NAME_CHARACTERS.sub("-", text.lower()).strip("-")[:_NAME_LENGTH].rstrip("-") or "camera"


def shown_device(camera: CameraSettings) -> str:
    """Return a camera's source as it may be shown: a URL without its user, password and query."""
    if camera.camera_interface is not None:
        return camera.camera_interface.factory
    if camera.driver == "synthetic":
        return "synthetic"
    return without_credentials(str(camera.device))


def complete(document: dict[str, Any], login: tuple[str, str] | None = None) -> dict[str, Any]:
    """Fill in what nobody said: the simulated cameras, and who we are.

    That is the payload of a payload computer, if its file is there, or else the user who may `login`, if there is one.
    """
    document = dict(document)
    robot = document.get("robot", {})
    if document.get("simulate") is True:
        document.setdefault("cameras", dict(SIMULATED_CAMERAS))
    elif isinstance(robot, dict) and not any(key in robot for key in CREDENTIAL_KEYS):
        document["robot"] = {**robot, **_who_we_are(robot, login)}
    return document


def _who_we_are(robot: dict[str, Any], login: tuple[str, str] | None) -> dict[str, str]:
    is_payload = robot.get("hostname", PAYLOAD_ROBOT) == PAYLOAD_ROBOT
    if is_payload and (login is None or PAYLOAD_CREDENTIALS.exists()):
        return {"payload_credentials_file": str(PAYLOAD_CREDENTIALS)}
    return dict(zip(USER_KEYS, login, strict=True)) if login else {}


def _make_paths_absolute(document: dict[str, Any], folder: Path) -> None:
    cameras = document.get("cameras")
    _make_absolute(document, ("post_mortem_dir",), folder)
    _make_absolute(document.get("robot"), ("ca", "payload_credentials_file"), folder)
    for camera in cameras.values() if isinstance(cameras, dict) else ():
        if isinstance(camera, dict):
            if isinstance(camera.get("device"), str):
                camera["device"] = device_from_text(camera["device"], folder)
            _make_absolute(camera, ("calibration",), folder)
            _make_absolute(camera.get("synthetic"), ("control_file",), folder)
            _make_absolute(camera.get("camera_interface"), ("python_path",), folder)


def _make_absolute(table: Any, keys: tuple[str, ...], folder: Path) -> None:
    for key in keys if isinstance(table, dict) else ():
        if isinstance(table.get(key), str):
            table[key] = str(folder / table[key])

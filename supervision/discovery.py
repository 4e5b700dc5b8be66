"""Which cameras this computer has, asked of a child: a driver may hang or crash there, and not in the supervisor."""

import json
import os
import subprocess
import sys
from typing import Any

from supervision import exit_codes
from supervision.configuration import ConfigurationError, source_name, without_credentials
from supervision.crew import MODULES
from supervision.process import PROJECT_FOLDER

_PATIENCE_S = 20.0


class NoCameraFoundError(Exception):
    """Nothing was configured, and nothing is plugged in. The message is a sentence."""

    exit_code = exit_codes.NO_CAMERA_FOUND


def find_cameras(module: str = MODULES["camera"]) -> dict[str, Any]:
    """Return a configuration table of the cameras that `python -m module --list` names. Raises NoCameraFoundError."""
    try:
        listing = subprocess.run(  # noqa: S603 - our own module, and no shell
            [sys.executable, "-m", module, "--list"],
            check=True,
            timeout=_PATIENCE_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=PROJECT_FOLDER,
            env={**os.environ, "PYTHONPATH": str(PROJECT_FOLDER)},
        )
        devices = [json.loads(line)["device"] for line in listing.stdout.splitlines()]
    except (subprocess.SubprocessError, OSError, ValueError, KeyError, TypeError) as error:
        raise NoCameraFoundError(f"the cameras could not be listed: {error}") from error
    if not devices:
        raise NoCameraFoundError(
            "no camera was found: plug one in, pass its device into the container, or name one with --device-name"
        )
    return cameras_named_after(devices)


def cameras_named_after(devices: list[int | str]) -> dict[str, Any]:
    """Return a configuration table for devices, in their order, named after them. Raises ConfigurationError."""
    cameras: dict[str, Any] = {}
    for device in devices:
        try:
            name = source_name(device)
        except ValueError as error:  # its own words cite the URL, with the password
            raise ConfigurationError(f"--device-name: {_shown(device)} is no URL") from error
        if name in cameras:
            raise ConfigurationError(
                f"--device-name: {_shown(device)} and {_shown(cameras[name]['device'])} would both be called {name}; "
                "name them in a configuration file"
            )
        cameras[name] = {"device": device}
    return cameras


def _shown(device: int | str) -> str:
    return without_credentials(str(device))

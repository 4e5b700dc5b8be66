"""Which cameras this computer has, asked of a child: a driver may hang or crash there, and not in the supervisor."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from supervision import exit_codes
from supervision.configuration import ConfigurationError, source_name
from supervision.crew import MODULES
from supervision.lifeline import die_with_parent
from supervision.process import PROJECT_FOLDER
from supervision.settings import without_credentials

_PATIENCE_S = 20.0
_KILLED_S = 1.0  # whoever is there so long after SIGKILL is held by a driver


class NoCameraFoundError(Exception):
    """Nothing was configured, and nothing is plugged in. The message is a sentence."""

    exit_code = exit_codes.NO_CAMERA_FOUND


def find_cameras(module: str = MODULES["camera"], patience_s: float = _PATIENCE_S) -> dict[str, Any]:
    """Return a configuration table of the cameras that `python -m module --list` names. Raises NoCameraFoundError."""
    return cameras_named_after([device["device"] for device in list_devices(module, patience_s)])


def list_devices(module: str = MODULES["camera"], patience_s: float = _PATIENCE_S) -> list[dict[str, Any]]:
    """Return what `python -m module --list` says of each capture device, at least one. Raises NoCameraFoundError."""
    try:
        devices = [json.loads(line) for line in _listing(module, patience_s).splitlines()]
    except subprocess.TimeoutExpired as error:
        raise NoCameraFoundError(
            f"the cameras could not be listed within {patience_s:g} s: a driver does not answer; "
            "name the cameras with --device-name, or in a configuration file"
        ) from error
    except (OSError, ValueError) as error:
        raise NoCameraFoundError(f"the cameras could not be listed: {error}") from error
    if not all(isinstance(device, dict) and isinstance(device.get("device"), str) for device in devices):
        raise NoCameraFoundError(f"the cameras could not be listed: python -m {module} --list says something else")
    if not devices:
        raise NoCameraFoundError(
            "no camera was found: plug one in, pass its device into the container, or name one with --device-name"
        )
    return devices


def table_of(devices: list[dict[str, Any]]) -> str:
    """Return the devices as a table for a person: what each is called here, and how to name it."""
    rows: list[tuple[str, ...]] = [("SOURCE", "DEVICE", "CAMERA", "DRIVER", "BUS", "STABLE PATH")]
    rows += [
        (
            source_name(each["device"]),
            *(_cell(each.get(key)) for key in ("device", "name", "driver", "bus", "stable_path")),
        )
        for each in devices
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    """What a driver says of itself, without what a terminal would obey."""
    text = "" if value is None else str(value)
    return "".join(character if character.isprintable() else "?" for character in text) or "-"


def _listing(module: str, patience_s: float) -> bytes:
    with _lister(module) as lister:
        listing, _ = lister.communicate(timeout=patience_s)
    if lister.returncode:
        raise OSError(f"python -m {module} --list ended with exit code {lister.returncode}")
    return listing


@contextlib.contextmanager
def _lister(module: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the lister inside `with`; afterwards its whole group is killed, and not waited for if a driver holds it."""
    lister = subprocess.Popen(  # noqa: S603 - our own module, and no shell
        [sys.executable, "-m", module, "--list"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=PROJECT_FOLDER,
        env={**os.environ, "PYTHONPATH": str(PROJECT_FOLDER)},
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - we have no threads yet
    )
    try:
        yield lister
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(lister.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            lister.wait(_KILLED_S)
        if lister.stdout:
            lister.stdout.close()


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

"""Cameras that nobody named are found by a child."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from supervision import cli, exit_codes
from supervision.cli import exit_code_of
from supervision.discovery import NoCameraFoundError, find_cameras, list_devices, table_of
from supervision.flags import parse_flags, settings_from_flags
from supervision.process import PROJECT_FOLDER
from supervision.settings import Settings
from tests.supervision.running import wait_for

LISTER = "tests.supervision.scripted_child"


def test_cameras_are_named_after_their_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of the listing becomes a camera, in the listing's order."""
    monkeypatch.setenv(
        "SCRIPTED_LIST",
        '{"device": "/dev/video0", "index": 0, "card": "Webcam"}\n{"device": "/dev/video2", "index": 2, "card": "x"}\n',
    )
    cameras = find_cameras(LISTER)
    assert cameras == {"video0": {"device": "/dev/video0"}, "video2": {"device": "/dev/video2"}}
    assert list(Settings.model_validate({"cameras": cameras}).cameras) == ["video0", "video2"]


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ("", "no camera was found"),
        ("what?\n", "could not be listed"),
        ("[]\n", "could not be listed"),
        ('{"index": 0}\n', "could not be listed"),
        ('{"device": 0}\n', "could not be listed"),
    ],
)
def test_nothing_found_is_a_sentence(monkeypatch: pytest.MonkeyPatch, listing: str, words: str) -> None:
    """No camera, or a listing that makes no sense, is a sentence."""
    monkeypatch.setenv("SCRIPTED_LIST", listing)
    with pytest.raises(NoCameraFoundError, match=words):
        find_cameras(LISTER)


def test_lister_that_fails_is_a_sentence() -> None:
    """A listing child that crashes takes nothing with it."""
    with pytest.raises(NoCameraFoundError, match="could not be listed"):
        find_cameras("tests.supervision.no_such_module")


def test_lister_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A driver that does not answer costs the time that it has, even if something keeps the listing open."""
    monkeypatch.setenv("SCRIPTED_LIST", "hang")
    monkeypatch.setenv("SCRIPTED_PID", str(tmp_path / "pid"))
    started_s = time.monotonic()
    with pytest.raises(NoCameraFoundError, match=r"could not be listed within 2 s: .* --device-name"):
        find_cameras(LISTER, patience_s=2.0)
    assert time.monotonic() - started_s < 10
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_lister_dies_with_the_supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A supervisor that is killed while it looks for cameras leaves nobody looking."""
    monkeypatch.setenv("SCRIPTED_LIST", "hang")
    monkeypatch.setenv("SCRIPTED_PID", str(tmp_path / "pid"))
    code = f"from supervision.discovery import find_cameras; find_cameras({LISTER!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT_FOLDER) as looking:
        pid = wait_for(lambda: _number_in(tmp_path / "pid"), "the lister runs")
        looking.kill()
    wait_for(lambda: not _runs(pid), "the lister is gone", 3.0)


def _number_in(file: Path) -> int:
    return int(file.read_text() or 0) if file.exists() else 0


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_nothing_found_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without any camera the command ends with exit code 1 and the sentence."""
    monkeypatch.setenv("SCRIPTED_LIST", "")
    flags = parse_flags(["127.0.0.1", "--guid", "g", "--secret", "s"])
    code = exit_code_of(lambda: bool(settings_from_flags(flags, tmp_path, find=lambda: find_cameras(LISTER))))
    assert code == exit_codes.NO_CAMERA_FOUND
    assert capfd.readouterr().err.startswith("supervisor.py: no camera was found: ")


WEBCAM = (
    '{"device": "/dev/video0", "index": 0, "name": "Webcam \\u001b[2J", "driver": "uvcvideo", "bus": "usb-1", '
    '"stable_path": "/dev/v4l/by-id/usb-Webcam"}\n'
    '{"device": "/dev/video12", "index": 12, "name": "", "stable_path": null}\n'
)


def test_list_prints_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line per camera with what names it, columns below each other, and nothing in it that a terminal would obey."""
    monkeypatch.setenv("SCRIPTED_LIST", WEBCAM)
    assert table_of(list_devices(LISTER)).splitlines() == [
        "SOURCE   DEVICE        CAMERA       DRIVER    BUS    STABLE PATH",
        "video0   /dev/video0   Webcam ?[2J  uvcvideo  usb-1  /dev/v4l/by-id/usb-Webcam",
        "video12  /dev/video12  -            -         -      -",
    ]


@pytest.mark.parametrize(("listing", "code"), [(WEBCAM, 0), ("", exit_codes.NO_CAMERA_FOUND)])
def test_list_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], listing: str, code: int
) -> None:
    """It ends with 0 and the table on stdout, or with 1 and a sentence on stderr; nothing else is looked at."""
    monkeypatch.setenv("SCRIPTED_LIST", listing)
    monkeypatch.setattr(cli, "list_devices", lambda: list_devices(LISTER))
    monkeypatch.setattr(cli, "log_to_stderr", lambda **_: None)
    umask = os.umask(0o077)
    try:
        assert cli.main(["--list"]) == code
    finally:
        os.umask(umask)
    shown = capfd.readouterr()
    assert ("/dev/video12" in shown.out) == (code == 0)
    assert ("no camera was found" in shown.err) == (code != 0)

"""The command line: the tutorial's flags in either order, and ours."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervision.camera_settings import CameraSettings
from supervision.configuration import ConfigurationError, shown_device, source_name
from supervision.discovery import NoCameraFoundError
from supervision.flags import parse_flags, settings_from_flags, split_devices
from supervision.process import PROJECT_FOLDER
from supervision.settings import DEFAULT_PORT, PAYLOAD_CREDENTIALS, Settings

GUID = ["--guid", "g", "--secret", "s"]


def settings_of(folder: Path, *arguments: str) -> Settings:
    """Return the settings that a command line means in `folder`."""
    return settings_from_flags(parse_flags(arguments), folder, find=lambda: {"video7": {"device": "/dev/video7"}})


@pytest.mark.parametrize(
    ("arguments", "hostname", "devices"),
    [
        ([], None, []),
        (["robot"], "robot", []),
        (["robot", "--device-name", "0"], "robot", ["0"]),
        (["--device-name", "0", "1", "robot"], "robot", ["0", "1"]),
        (["--device-name", "0", "1", "10.0.0.3"], "10.0.0.3", ["0", "1"]),
        (["--device-name", "0", "robot", "--device-name", "1"], "robot", ["0", "1"]),
        (["--device-name", "0", "--device-name", "1", "--port", "21101", "robot"], "robot", ["0", "1"]),
        (["--device-name", "0", "/dev/video1"], None, ["0", "/dev/video1"]),
        (["--device-name", "clip.mp4"], None, ["clip.mp4"]),
        (["--device-name", "rtsp://camera/1"], None, ["rtsp://camera/1"]),
        (["--device-name", "sub/other.mp4"], None, ["sub/other.mp4"]),
        (["--device-name", "0", "missing.MP4"], None, ["0", "missing.MP4"]),
        (["--device-name", "missing"], None, ["missing"]),
        (["robot", "--device-name", "0", "missing"], "robot", ["0", "missing"]),
    ],
)
def test_hostname_in_either_order(
    tmp_path: Path, arguments: list[str], hostname: str | None, devices: list[str]
) -> None:
    """The robot's name is found before the devices and after them; a file that exists is no hostname."""
    (tmp_path / "clip.mp4").touch()
    flags = parse_flags(arguments)
    assert split_devices(flags, tmp_path) == (hostname, None, devices)


@pytest.mark.parametrize(
    ("arguments", "hostname", "way", "devices"),
    [
        (["payload", "robot"], "robot", "payload", []),
        (["robot", "external"], "robot", "external", []),
        (["external"], None, "external", []),
        (["payload", "--host-ip", "1.2.3.4", "robot", "--device-name", "0"], "robot", "payload", ["0"]),
        (["payload", "--host-ip", "localhost", "--port", "50051", *GUID, "robot"], "robot", "payload", []),
        (["--port", "21101", "payload", "--fps", "3", "robot"], "robot", "payload", []),
        (["external", "--device-name", "0", "robot"], "robot", "external", ["0"]),
        (["--device-name", "0", "external", "robot"], "robot", "external", ["0"]),
        (["--device-name", "0", "robot", "external", "--fps", "3"], "robot", "external", ["0"]),
        (["--device-name", "0", "1", "external"], None, "external", ["0", "1"]),
        (["robot", "--device-name", "external"], "robot", None, ["external"]),
        (["robot", "--device-name", "0", "payload"], "robot", None, ["0", "payload"]),
    ],
)
def test_payload_or_external_anywhere(
    tmp_path: Path, arguments: list[str], hostname: str | None, way: str | None, devices: list[str]
) -> None:
    """The SDK example's word comes before or after the flags, and even after devices, unless a file is called so."""
    (tmp_path / "payload").touch()
    flags = parse_flags(arguments)
    assert split_devices(flags, tmp_path) == (hostname, way, devices)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["robot", "another"], "unrecognized arguments: another; 'robot' is taken for HOSTNAME"),
        (
            ["extrenal", "127.0.0.1"],
            "'extrenal' is taken for HOSTNAME, beside which only payload or external may stand",
        ),
        (["payload", "external"], "unrecognized arguments: external"),
        (["robot", "--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--res-width", "640"], "--res-width and --res-height go together"),
        (["--res-width", "-1", "--res-height", "480"], "--res-width and --res-height go together"),
        (["--res-height", "4.5"], "argument --res-height: '4.5' is no number of pixels"),
        (["--res-width", "wide"], "argument --res-width: 'wide' is no number of pixels"),
    ],
)
def test_usage_that_makes_no_sense(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and what is wrong."""
    with pytest.raises(SystemExit) as ended:
        parse_flags(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("unset", ["-1", "0", "-640"])
def test_the_sdk_examples_flags(tmp_path: Path, unset: str) -> None:
    """-1 or 0 ask for nothing, a codec may be written small, and debug information is a longer log without windows."""
    arguments = ("127.0.0.1", *GUID, "--device-name", "0", "--device-name", "1", "--codec", "mjpg", "--show-debug-info")
    settings = settings_of(tmp_path, "payload", *arguments, "--res-width", unset, "--res-height", unset)
    assert [(camera.device, camera.codec) for camera in settings.cameras.values()] == [(0, "MJPG"), (1, "MJPG")]
    assert {(camera.width, camera.height) for camera in settings.cameras.values()} == {(None, None)}
    assert parse_flags(arguments).verbose
    assert not parse_flags(["robot"]).verbose


def test_camera_flags_are_for_opencv_alone(tmp_path: Path) -> None:
    """A camera class of the user's own has its own arguments."""
    file = tmp_path / "pipeline.toml"
    file.write_text(
        'simulate = true\n[cameras.own]\ndriver = "camera_interface"\ncamera_interface.factory = "a:B"\n'
        "[cameras.usb]\ndevice = 0\n"
    )
    settings = settings_of(tmp_path, "--config", str(file), "--codec", "MJPG", "--loop")
    assert (settings.cameras["own"].codec, settings.cameras["own"].loop) == (None, False)
    assert (settings.cameras["usb"].codec, settings.cameras["usb"].loop) == ("MJPG", True)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (0, "video0"),
        ("/dev/video2", "video2"),
        ("/home/me/My Clip.MP4", "my-clip-mp4"),
        ("rtsp://user:password@10.0.0.5:554/stream1?token=x", "10-0-0-5-stream1"),
        ("rtsp://user:pass/word@10.0.0.5/stream1", "10-0-0-5-stream1"),
        ("/x/" + "long" * 20, "long" * 8),
        ("/x/…", "camera"),
    ],
)
def test_source_names(device: int | str, name: str) -> None:
    """A source is named after its device, in the characters that a name may have, and without a password."""
    assert source_name(device) == name


def test_password_in_a_url_is_not_shown() -> None:
    """What is announced of a URL is scheme, host and path."""
    camera = CameraSettings(device="rtsp://user:password@10.0.0.5:554/stream1?token=x")
    assert shown_device(camera) == "rtsp://10.0.0.5:554/stream1"


@pytest.mark.parametrize(
    "urls",
    [
        ("rtsp://u:HUNTER2@h/s", "rtsp://v:HUNTER2@h/s"),
        ("rtsp://u:HUNTER2@[",),
        ("rtsp://u:HUNT/ER2@h/s", "rtsp://u:HUNT/ER2@h/s"),
    ],
)
def test_password_of_a_device_that_cannot_be_named_is_not_shown(tmp_path: Path, urls: tuple[str, ...]) -> None:
    """Two URLs that would be called the same, and one that is none, are named without their passwords."""
    with pytest.raises(ConfigurationError, match="--device-name: rtsp://") as error:
        settings_of(tmp_path, "--simulate", "--device-name", *urls)
    assert "HUNT" not in str(error.value)


def test_tutorial_flags(tmp_path: Path) -> None:
    """Everything that the tutorial's command line says arrives, paths made absolute."""
    (tmp_path / "creds").write_text("guid\nsecret\n")
    settings = settings_of(
        tmp_path,
        *("127.0.0.1", "--host-ip", "10.0.0.2", "--port", "21101", "--payload-credentials-file", "creds"),
        *("--device-name", "0", "./clip.mp4", "--codec", "MJPG", "--res-width", "640", "--res-height", "480"),
    )
    assert (settings.robot.hostname, settings.service.host_ip, settings.service.port) == (
        "127.0.0.1",
        "10.0.0.2",
        21101,
    )
    assert settings.robot.payload_credentials_file == tmp_path / "creds"
    assert list(settings.cameras) == ["video0", "clip-mp4"]
    assert settings.cameras["video0"].device == 0
    clip = settings.cameras["clip-mp4"]
    assert (clip.device, clip.codec, clip.width, clip.height) == (str(tmp_path / "clip.mp4"), "MJPG", 640, 480)


def test_host_ip_is_the_end_of_the_route(tmp_path: Path) -> None:
    """Without --host-ip the address towards the robot is registered."""
    settings = settings_of(tmp_path, "127.0.0.1", *GUID, "--device-name", "0")
    assert (settings.service.host_ip, settings.service.port) == ("127.0.0.1", DEFAULT_PORT)


def test_hostname_without_devices_finds_cameras(tmp_path: Path) -> None:
    """A robot alone is served with whatever is plugged in."""
    assert list(settings_of(tmp_path, "127.0.0.1", *GUID).cameras) == ["video7"]


def test_whoever_has_no_camera_hears_what_was_taken_for_the_robot(tmp_path: Path) -> None:
    """A device without its flag, or a word with a typing mistake, is a HOSTNAME."""

    def none() -> dict[str, Any]:
        raise NoCameraFoundError("no camera was found")

    for arguments, words in (
        (["extrenal"], r"found \(HOSTNAME, the robot, is taken to be 'extrenal'\)"),
        ([], "found"),
    ):
        with pytest.raises(NoCameraFoundError, match=f"{words}$"):
            settings_from_flags(parse_flags(arguments), tmp_path, none)


@pytest.mark.skipif(PAYLOAD_CREDENTIALS.exists(), reason="this is a payload computer")
def test_no_argument_means_a_payload_computer(tmp_path: Path) -> None:
    """Without any argument the payload's own credentials are asked for."""
    with pytest.raises(ConfigurationError, match=str(PAYLOAD_CREDENTIALS)):
        settings_of(tmp_path)


def test_simulate_brings_two_cameras(tmp_path: Path) -> None:
    """--simulate serves two synthetic cameras on the loopback; devices come in addition, and files are looped."""
    (tmp_path / "clip.mp4").touch()
    assert list(settings_of(tmp_path, "--simulate").cameras) == ["front", "rear"]
    settings = settings_of(tmp_path, "--simulate", "--device-name", "0", "clip.mp4")
    assert list(settings.cameras) == ["front", "rear", "video0", "clip-mp4"]
    assert settings.cameras["clip-mp4"].loop
    assert not settings.cameras["video0"].loop
    assert settings.service.host_ip == "127.0.0.1"


def test_missing_clip_is_no_hostname(tmp_path: Path) -> None:
    """With a simulated robot, from the flag or from the file, every value is a device, there or not."""
    settings = settings_of(tmp_path, "--simulate", "--device-name", "0", "missing")
    assert list(settings.cameras) == ["front", "rear", "video0", "missing"]
    file = tmp_path / "pipeline.toml"
    file.write_text("simulate = true")
    settings = settings_of(tmp_path, "--config", str(file), "--device-name", "0", "missing.mp4")
    assert settings.cameras["missing-mp4"].device == str(tmp_path / "missing.mp4")


@pytest.mark.parametrize("number", ["nan", "inf", "0", "-1", "soon"])
def test_duration_that_is_no_number(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that makes no sense is named in words of this command, not of its code."""
    with pytest.raises(SystemExit):
        parse_flags(["--duration=" + number])
    assert f"argument --duration: '{number}' is no number above 0" in capsys.readouterr().err


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    """A flag replaces the file's value, --device-name its cameras, and --simulate its robot."""
    file = tmp_path / "pipeline.toml"
    file.write_text('instance = "a"\n[robot]\nhostname = "1.2.3.4"\n[service]\nport = 21102\n[cameras.x]\ndevice = 3\n')
    settings = settings_of(tmp_path, "--config", str(file), "--simulate", "--instance", "b", "--fps", "10")
    assert (settings.instance, settings.service.port, settings.simulate) == ("b", 21102, True)
    assert list(settings.cameras) == ["x"]
    assert settings.cameras["x"].fps == 10
    settings = settings_of(tmp_path, "--config", str(file), "--simulate", "--device-name", "0")
    assert list(settings.cameras) == ["video0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["127.0.0.1", "--guid", "g", "--device-name", "0"], "guid and secret"),
        (["127.0.0.1", *GUID, "--device-name", "0", "/dev/video0"], "both be called video0"),
        (["127.0.0.1", *GUID, "--device-name", "0", "--codec", "M"], "codec"),
        (["--simulate", "robot"], "does not go together"),
        (["--simulate", "--device-name", "http://[/"], "--device-name"),
        (["--simulate", "--instance", "A"], "instance"),
        ([*GUID, "--device-name", "0", "--port", "8080"], "service.port"),
        ([*GUID, "--device-name", "0", "--host-ip", "here"], "service.host_ip"),
    ],
)
def test_flags_that_cannot_work(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Mistakes among the flags are sentences too."""
    with pytest.raises(ConfigurationError, match=words):
        settings_of(tmp_path, *arguments)


def test_import_loads_nothing_heavy() -> None:
    """The supervisor's process holds neither OpenCV nor gRPC nor the robot's SDK nor numpy."""
    code = "import supervisor, sys; print({'cv2', 'grpc', 'bosdyn', 'google', 'numpy'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True, timeout=20
    )
    assert loaded.stdout == "set()\n"


def test_help_names_every_way_to_run() -> None:
    """--help shows the commands that a newcomer needs."""
    shown = subprocess.run(
        [sys.executable, "supervisor.py", "--help"],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    ways = ("--simulate", "--config", "--list", "status", "--payload-credentials-file", "external", "exit codes")
    for words in (*ways, "BOSDYN_CLIENT_USERNAME", "BOSDYN_CLIENT_PASSWORD"):
        assert words in shown.stdout


def test_status_in_the_wrong_place(capsys: pytest.CaptureFixture[str]) -> None:
    """No robot is called that: the right order is said."""
    with pytest.raises(SystemExit) as ended:
        parse_flags(["--instance", "x", "status"])
    assert ended.value.code == 2
    assert "supervisor.py status" in capsys.readouterr().err


def test_help_has_the_exit_codes_of_the_readme() -> None:
    """Whoever looks up a code of the supervisor finds the same ones in both places."""
    readme = (PROJECT_FOLDER / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (?:any|supervisor) \|", readme, re.MULTILINE)
    command = [sys.executable, str(PROJECT_FOLDER / "supervisor.py"), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    codes = re.findall(r"\b(\d+) [a-z]", shown.partition("exit codes:")[2])
    assert sorted(set(codes)) == sorted(set(rows))
    assert "--host-ip" in shown.partition(" 75 ")[2].partition(" 78 ")[0]

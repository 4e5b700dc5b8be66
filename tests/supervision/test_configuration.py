"""Configuration files with mistakes: one line that names file and key, exit code 78, and nothing started."""

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shm import ForeignSegmentError, ShmFullError, names
from supervision import exit_codes
from supervision.checks import check
from supervision.cli import exit_code_of
from supervision.configuration import ConfigurationError, complete, read_file, validate
from supervision.flags import parse_flags, settings_from_flags
from supervision.instance import lock_path
from supervision.process import PROJECT_FOLDER
from supervision.route import NoRouteError, check_same_network, with_host_ip
from supervision.settings import ServiceSettings, Settings

ONE_CAMERA = "simulate = true\n[cameras.front]\ndevice = 0\n"
REAL = '[robot]\nhostname = "127.0.0.1"\nguid = "g"\nsecret = "s"\n[cameras.front]\ndevice = 0\n'
USER = REAL.replace("guid", "username").replace("secret", "password").replace('"g"', '"u"').replace('"s"', '"p"')
OWN = 'simulate = true\n[cameras.a]\ndriver = "camera_interface"\n'
WANTS = 'the table camera_interface needs driver = "camera_interface"'
PAYLOAD = '[robot]\nguid = "g"\nsecret = "s"\n[cameras.front]\ndevice = 0\n'

MISTAKES = {
    "a number of 5000 digits": (ONE_CAMERA + f"fps = 1{'0' * 5000}", "4300"),
    "a hexadecimal number of 5000 digits": (ONE_CAMERA + f"fps = 0x1{'0' * 5000}", "4300"),
    "an index of 5000 digits": (ONE_CAMERA.replace("0", f'"{"1" * 5000}"') + "fps = -1.0", "cameras.front.fps:"),
    "lists in lists": (f"instance = {'[' * 3000}{']' * 3000}", "nested too deeply"),
    "tables in tables": (ONE_CAMERA + f"parameters{'.a' * 3000} = 1", "nested too deeply"),
    "tables in some tables": (ONE_CAMERA + f"parameters{'.a' * 300} = 1", "nested too deeply"),
    "unknown key beside a missing one": (
        "simulate = true\n[cameras.a]\ndevise = 0",
        "a.devise: unknown key; is device",
    ),
    "unknown key hides what is missing": (
        OWN + 'camera_interface = { faktory = "a:B" }',
        "is factory meant?, and 1 more",
    ),
    "table with a typing mistake": (
        "simulate = true\n[camera.a]\ndevice = 0",
        "camera: unknown key; is cameras meant?",
    ),
    "key of the robot": (REAL.replace("hostname", "hostnam"), "robot.hostnam: unknown key; is hostname meant?"),
    "class without its driver": (OWN.replace('driver = "camera_interface"', 'camera_interface.factory = "a:B"'), WANTS),
    "folder with a zero byte": ('post_mortem_dir = "a\\u0000"\n' + ONE_CAMERA, "post_mortem_dir: is no path"),
    "file of a camera with a zero byte": (
        'simulate = true\n[cameras.a]\ndriver = "synthetic"\nsynthetic.control_file = "\\u0000"',
        "cameras.a.synthetic.control_file: is no path",
    ),
    "certificate with a zero byte": (REAL.replace("[cameras", 'ca = "a\\u0000"\n[cameras'), "is no path"),
    "not toml": ("= 1", "line 1"),
    "twice the same key": ("simulate = true\nsimulate = true", "Cannot overwrite"),
    "unknown key": ("speed = 1\n" + ONE_CAMERA, "speed: unknown key"),
    "unknown table": (ONE_CAMERA + "[servce]\nport = 1", "servce: unknown key"),
    "unknown camera key": (ONE_CAMERA + "with = 640", "cameras.front.with: unknown key"),
    "instance with a dot": ('instance = "a.b"\n' + ONE_CAMERA, "instance: a name is"),
    "instance too long": (f'instance = "{"a" * 33}"\n' + ONE_CAMERA, "instance: a name is"),
    "instance with a slash": ('instance = "a/b"\n' + ONE_CAMERA, "instance: a name is"),
    "camera name": ("simulate = true\n[cameras.Front]\ndevice = 0", "cameras.Front: a name is"),
    "camera name with a path": ('simulate = true\n[cameras."../x"]\ndevice = 0', "cameras.../x: a name is"),
    "camera called like a process": ("simulate = true\n[cameras.servicer]\ndevice = 0", "cameras.servicer: this is"),
    "cameras are no table": ("cameras = 5", "cameras:"),
    "camera is no table": ("[cameras]\nfront = 5", "cameras.front:"),
    "robot is no table": ("robot = 5\n[cameras.front]\ndevice = 0", "robot:"),
    "service is a list": ("service = [1]\n" + ONE_CAMERA, "service:"),
    "simulate is text": ('simulate = "yes"\n[cameras.front]\ndevice = 0', "simulate:"),
    "no device": ("simulate = true\n[cameras.front]\nfps = 3.0", "cameras.front: needs a device"),
    "device of a synthetic camera": (ONE_CAMERA + 'driver = "synthetic"', "a synthetic camera has no device"),
    "device is a float": ("simulate = true\n[cameras.front]\ndevice = 0.5", "cameras.front.device:"),
    "device is negative": ("simulate = true\n[cameras.front]\ndevice = -1", "cameras.front: device:"),
    "device with a zero byte": ('simulate = true\n[cameras.front]\ndevice = "a\\u0000"', "cameras.front: device:"),
    "device is no url": ('simulate = true\n[cameras.front]\ndevice = "rtsp://["', "cameras.front:"),
    "unknown driver": (ONE_CAMERA + 'driver = "gphoto"', "cameras.front.driver:"),
    "fps is negative": (ONE_CAMERA + "fps = -1.0", "cameras.front.fps:"),
    "fps is infinite": (ONE_CAMERA + "fps = inf", "cameras.front.fps:"),
    "fps is nan": (ONE_CAMERA + "fps = nan", "cameras.front.fps:"),
    "fps is text": (ONE_CAMERA + 'fps = "30"', "cameras.front.fps:"),
    "fps is a date": (ONE_CAMERA + "fps = 2024-01-01", "dates and times"),
    "width alone": (ONE_CAMERA + "width = 640", "cameras.front: width and height go together"),
    "width is enormous": (ONE_CAMERA + "width = 99999999\nheight = 10", "cameras.front.width:"),
    "codec": (ONE_CAMERA + 'codec = "H"', "codec: should be four characters, as in MJPG"),
    "slots": (ONE_CAMERA + "slots = 3", "cameras.front.slots:"),
    "slots is a bool": (ONE_CAMERA + "slots = true", "cameras.front.slots:"),
    "max age": (ONE_CAMERA + "max_age_s = 0", "cameras.front.max_age_s:"),
    "capture longer than open": (ONE_CAMERA + "capture_timeout_s = 20", "cameras.front.capture_timeout_s:"),
    "capture shorter than a frame": (ONE_CAMERA + "fps = 0.5", "cameras.front.capture_timeout_s:"),
    "max age shorter than a frame": (ONE_CAMERA + "fps = 5.0\nmax_age_s = 0.1", "cameras.front.max_age_s:"),
    "same source": (ONE_CAMERA + '[cameras.rear]\ndevice = 1\nsource_name = "front"', "'front' already"),
    "same index": (ONE_CAMERA + "[cameras.rear]\ndevice = 0", "cameras.rear.device:"),
    "index and path": (ONE_CAMERA + '[cameras.rear]\ndevice = "/dev/video0"', "the device of camera front too"),
    "script, its misbehaviour": (
        'simulate = true\n[cameras.a]\ndriver = "synthetic"\nsynthetic.script = ["2: explode"]',
        'cameras.a.synthetic.script.0: should be "<seconds>: <misbehaviour> [argument]" with one of hang, crash,',
    ),
    "script, its argument": (
        'simulate = true\n[cameras.a]\ndriver = "synthetic"\nsynthetic.script = ["2: slow down"]',
        "cameras.a.synthetic.script.0: should be",
    ),
    "a key of the top": (
        "[robot]\nsimulate = true",
        "robot.simulate: unknown key; simulate is a key at the top of the file",
    ),
    "a key of a camera": ("fps = 3.0\nsimulate = true", "fps: unknown key; fps is a key of a camera, [cameras.NAME]"),
    "script": (
        'simulate = true\n[cameras.a]\ndriver = "synthetic"\nsynthetic.script = ["hang"]',
        "cameras.a.synthetic.script.0:",
    ),
    "encoding": (
        'simulate = true\n[cameras.a]\ndriver = "synthetic"\nsynthetic.encoding = "rgb"',
        "a.synthetic.encoding:",
    ),
    "port out of range": ("service.port = 70000\n" + ONE_CAMERA, "service.port:"),
    "port is a bool": ("service.port = true\n" + ONE_CAMERA, "service.port:"),
    "port outside the payload's": ("service.port = 8080\n" + PAYLOAD, "service.port: 8080 cannot be reached"),
    "reserved port": ("service.port = 21443\n" + PAYLOAD, "service.port: 21443 cannot be reached"),
    "host_ip": ('service.host_ip = "home"\n' + REAL, "service.host_ip:"),
    "host_ip of everybody": ('service.host_ip = "0.0.0.0"\n' + REAL, "service.host_ip:"),
    "hostname with an empty label": (REAL.replace("127.0.0.1", "a..b"), "robot.hostname: 'a..b' is no name"),
    "hostname is empty": (REAL.replace("127.0.0.1", ""), "robot.hostname: is empty"),
    "no certificate": (REAL.replace("[cameras", 'ca = "no.pem"\n[cameras'), "no.pem: No such file"),
    "certificate is a folder": (REAL.replace("[cameras", 'ca = "."\n[cameras'), "is no file"),
    "certificate is none": (REAL.replace("[cameras", 'ca = "pipeline.toml"\n[cameras'), "is no certificate"),
    "nowhere to write a certificate": ('robot.ca = "no/ca.pem"\n' + ONE_CAMERA, "no/ca.pem: no file can be written"),
    "certificate to be written is a folder": ('robot.ca = "."\n' + ONE_CAMERA, "no file can be written there"),
    "open shorter than a read": (ONE_CAMERA + "open_timeout_s = 1", "at least 4 s are needed"),
    "open shorter than a slow read": (ONE_CAMERA + "open_timeout_s = 5\ncapture_timeout_s = 3.5", "at least 6 s"),
    "guid alone": (REAL.replace('secret = "s"\n', ""), "guid and secret"),
    "guid and file": (REAL.replace('guid = "g"', 'guid = "g"\npayload_credentials_file = "f"'), "not both"),
    "no credentials": ('[robot]\nhostname = "127.0.0.1"\n[cameras.a]\ndevice = 0', "robot.payload_credentials_file"),
    "username alone": (USER.replace('password = "p"\n', ""), "username and password go together"),
    "password alone": (USER.replace('username = "u"\n', ""), "username and password go together"),
    "username is empty": (USER.replace('"u"', '" "'), "robot.username: is empty"),
    "guid is empty": (REAL.replace('"g"', '""'), "robot.guid: is empty"),
    "user and payload": (
        USER.replace("[cameras", 'guid = "g"\nsecret = "s"\n[cameras'),
        "guid and secret, or username and password: one of them, not both",
    ),
    "everything at once": (
        USER.replace("[cameras", 'guid = "g"\nsecret = "s"\npayload_credentials_file = "f"\n[cameras'),
        "one of them, not all",
    ),
    "log_images is text": ('service.log_images = "yes"\n' + ONE_CAMERA, "log_images: should be true or false"),
    "mode": (ONE_CAMERA + 'mode = "sometimes"', "cameras.front.mode: should be 'continuous', 'on_request' or"),
    "idle after nothing": (ONE_CAMERA + "idle_after_s = 0", "cameras.front.idle_after_s: should be greater than 0"),
    "parameters are no table": (ONE_CAMERA + "parameters = 5", "cameras.front.parameters: should be a table"),
    "parameter is nan": (ONE_CAMERA + "parameters = { a = [1.0, nan] }", "parameters.a.1: is no finite number"),
    "depth scale": (ONE_CAMERA + "depth_scale = 0.0", "cameras.front.depth_scale: should be greater than 0"),
    "crop is short": (ONE_CAMERA + "crop = [0, 0, 640]", "cameras.front.crop.3: is missing"),
    "crop is text": (ONE_CAMERA + 'crop = "all"', "cameras.front.crop: should be a list"),
    "rotate": (ONE_CAMERA + "rotate = 45", "cameras.front.rotate: should be 0, 90, 180 or 270"),
    "no position": (ONE_CAMERA + "mount = {}", "cameras.front.mount.position_m: is missing"),
    "source name": (ONE_CAMERA + 'source_name = ""', "cameras.front.source_name: is 1 to 128 characters"),
    "same source name": (
        ONE_CAMERA + 'source_name = "rear"\n[cameras.rear]\ndevice = 1',
        "cameras.rear.source_name: clients know camera front as 'rear' already",
    ),
    "synthetic table elsewhere": (
        ONE_CAMERA + 'synthetic.encoding = "jpeg"',
        "front.synthetic: is for driver synthetic",
    ),
    "codec of a class": (OWN + 'codec = "MJPG"\ncamera_interface.factory = "a:B"', "cameras.a.codec: is for driver"),
    "no factory": (OWN, "driver camera_interface needs the table"),
    "factory is no name": (OWN + 'camera_interface.factory = "a"', 'factory: should be "module:Name" (it is "a")'),
    "factory is a file": (OWN + 'camera_interface.factory = "a.py:B"', "a.py is a file; its module is a:B"),
    "arguments": (OWN + 'camera_interface = { factory = "a:B", arguments = 5 }', "arguments: should be a list or a"),
    "argument is infinite": (
        OWN + 'camera_interface = { factory = "a:B", arguments = { port = inf } }',
        "camera_interface.arguments.port: is no finite number",
    ),
    "python_path": (OWN + 'camera_interface = { factory = "a:B", python_path = "no" }', "no: there is no such folder"),
    "channel order": (
        OWN + 'camera_interface = { factory = "a:B", channel_order = "RGB" }',
        "channel_order: should be 'bgr' or 'rgb'",
    ),
    "camera called str": ("simulate = true\n[cameras.str]\ndevice = 0.5", "cameras.str.device: should be an index"),
    "camera called int": ("simulate = true\n[cameras.int]\ndevice = 0\nfps = -1.0", "cameras.int.fps: should be"),
    "camera called device": ("simulate = true\n[cameras.device]\ndevice = 0\nstr = 1", "cameras.device.str: unknown"),
    "camera called [key]": ('simulate = true\n[cameras."[key]"]\ndevice = 0', "cameras.[key]: a name is"),
    "key called [key]": (ONE_CAMERA + '"[key]" = 1', "cameras.front.[key]: unknown key"),
    "missing credentials": (
        '[robot]\nhostname = "127.0.0.1"\npayload_credentials_file = "no"\n[cameras.a]\ndevice = 0',
        "No such file",
    ),
}


@pytest.mark.row("M31")
@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each mistake gives exit code 78 and one line with the file and the key."""
    text, key = MISTAKES[name]
    file = tmp_path / "pipeline.toml"
    file.write_text(text)
    flags = parse_flags(["--config", str(file)])
    code = exit_code_of(lambda: bool(settings_from_flags(flags, tmp_path)))
    said = capfd.readouterr().err
    assert code == exit_codes.BAD_CONFIGURATION
    assert said.count("\n") == 1
    assert key in said
    assert str(file) in said


@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "large"])
@pytest.mark.parametrize(
    "text",
    [
        None,
        REAL.replace("[cameras", 'ca = "{}"\n[cameras'),
        REAL.replace('guid = "g"\nsecret = "s"', 'payload_credentials_file = "{}"'),
    ],
)
def test_what_is_no_small_file_holds_nothing_up(text: str | None, what: str, tmp_path: Path) -> None:
    """A pipe without a writer is not waited for, and nothing is read without end: SIGHUP would be the loop's end.

    That holds for the configuration (here None), the certificate and the credentials.
    """
    wrong = {"pipe": tmp_path / "pipe", "/dev/zero": Path("/dev/zero"), "large": tmp_path / "large"}[what]
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as large:
        large.truncate((1 << 20) + 1)
    file = tmp_path / "pipeline.toml"
    if text is None:
        file = wrong
    else:
        file.write_text(text.format(wrong))
    with pytest.raises(ConfigurationError, match=f"{wrong}: (is no file|is larger than 1024 KiB)$"):
        settings_from_flags(parse_flags(["--config", str(file)]), tmp_path)


def exit_code_and_words(file: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return how the command ends for a configuration file, and the one line that it says."""
    flags = parse_flags(["--config", str(file)])
    code = exit_code_of(lambda: bool(settings_from_flags(flags, file.parent)))
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    return code, said


def test_too_large_for_shared_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Frames without room are found before the start, with the exit code of a full /dev/shm."""
    file = tmp_path / "pipeline.toml"
    size = "width = 16384\nheight = 16384\nslots = 64\n"
    cameras = (f"[cameras.c{number}]\ndevice = {number}\n{size}" for number in range(9))
    file.write_text("simulate = true\n" + "".join(cameras))
    code, said = exit_code_and_words(file, capfd)
    assert code == exit_codes.SHM_FAILED
    assert "shm_size" in said


@pytest.mark.parametrize(("codec", "fits"), [("YUYV", False), ("MJPG", True)])
def test_compressed_frames_need_less_memory(monkeypatch: pytest.MonkeyPatch, codec: str, fits: bool) -> None:
    """A camera that delivers JPEG gets a third of the room: 7 x 2 MB for 1080p in six slots, twice."""
    monkeypatch.setattr(names, "free_bytes", lambda: 30_000_000)
    camera = {"device": 0, "codec": codec, "width": 1920, "height": 1080}
    settings = Settings.model_validate({"simulate": True, "cameras": {"front": camera}})
    with contextlib.nullcontext() if fits else pytest.raises(ConfigurationError, match="75 MB"):
        check(settings)


def test_no_route_may_be_there_later(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A robot that cannot be found yet is no mistake: a service manager is told to try again."""
    file = tmp_path / "pipeline.toml"
    file.write_text(REAL.replace("127.0.0.1", "no.such.host.invalid"))
    code, said = exit_code_and_words(file, capfd)
    assert code == exit_codes.NO_ROUTE
    assert "--host-ip" in said


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "/x: No space left on device"),
        (OSError("odd"), 1, "odd"),
        (ShmFullError(errno.ENOSPC, "no room for it"), exit_codes.SHM_FAILED, "no room for it"),
        (ForeignSegmentError(errno.EPERM, "is another user's"), exit_codes.SHM_FAILED, "is another user's"),
    ],
)
def test_errors_of_the_system_are_sentences(
    capfd: pytest.CaptureFixture[str], error: OSError, code: int, words: str
) -> None:
    """What the system refuses is said without its number; 71 is for /dev/shm only."""

    def fail() -> int:
        raise error

    assert exit_code_of(fail) == code
    assert capfd.readouterr().err == f"supervisor.py: {words}\n"


@pytest.mark.row("M31")
@pytest.mark.parametrize("name", ["unknown key", "same index", "missing credentials"])
def test_nothing_is_started(name: str, tmp_path: Path) -> None:
    """The command ends with 78 within a second or two, and has not even taken the instance."""
    file = tmp_path / "pipeline.toml"
    file.write_text(MISTAKES[name][0])
    instance = f"test-mistake-{name.replace(' ', '-')}"
    supervisor = subprocess.run(
        [sys.executable, PROJECT_FOLDER / "supervisor.py", "--config", file, "--instance", instance],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert supervisor.returncode == exit_codes.BAD_CONFIGURATION
    assert supervisor.stderr.count("\n") == 1
    assert supervisor.stdout == ""
    assert not lock_path(instance).exists()


def test_missing_file_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A configuration file that is not there is named."""
    flags = parse_flags(["--config", str(tmp_path / "no.toml")])
    assert exit_code_of(lambda: bool(settings_from_flags(flags, tmp_path))) == exit_codes.BAD_CONFIGURATION
    assert capfd.readouterr().err == f"supervisor.py: {tmp_path / 'no.toml'}: No such file or directory\n"


def test_secret_is_never_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A mistake beside a secret, or in it, does not put it into the log; no settings show it either."""
    file = tmp_path / "pipeline.toml"
    file.write_text('[robot]\nguid = "g"\nsecret = ["hunter2"]\n[cameras.front]\ndevice = 0\n')
    flags = parse_flags(["--config", str(file)])
    exit_code_of(lambda: bool(settings_from_flags(flags, tmp_path)))
    said = capfd.readouterr().err
    assert "robot.secret" in said
    assert "hunter2" not in said
    settings = Settings.model_validate({"robot": {"guid": "g", "secret": "hunter2", "password": "hunter2"}})
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[robot]\nsecert = "HUNTER2"', "robot.secert: unknown key"),
        ('robot = "HUNTER2"', "robot:"),
        ("[robot]\nguid = ['HUNTER2']", "robot.guid:"),
        ("[robot]\npassword = ['HUNTER2']", "robot.password:"),
        ('[cameras.a]\nurl = "rtsp://u:HUNTER2@h/s"', "cameras.a.url: unknown key"),
        ('[cameras]\na = "rtsp://u:HUNTER2@h/s"', 'cameras.a: .*"rtsp://h/s"'),
        ('[cameras.a]\ndevice = ["rtsp://u:HUNTER2@h/s"]', "cameras.a.device:"),
        ('[cameras.a]\ndevice = "rtsp://u:HUNTER2@["', "cameras.a: device: is no URL"),
        ('[cameras.a]\ndevice = "rtsp://u:HUNTER2@h\u2100/s"', "cameras.a: device: is no URL"),
        ('[cameras.a]\ndevice = 0\ncodec = "rtsp://u:HUNT?ER2@h/s"', "cameras.a.codec:"),
        ('[cameras."rtsp://u:HUNTER2@h/s"]\ndevice = 0', "cameras.rtsp://h/s: a name is"),
    ],
)
def test_mistake_shows_no_secret(tmp_path: Path, text: str, words: str) -> None:
    """A secret under a misspelt key, and a password in a URL wherever that is, stay out of the sentence."""
    file = tmp_path / "pipeline.toml"
    file.write_text("simulate = true\n" + text)
    with pytest.raises(ConfigurationError, match=words) as error:
        settings_from_flags(parse_flags(["--config", str(file)]), tmp_path)
    assert "HUNT" not in str(error.value)


def test_paths_belong_to_the_folder_of_the_file(tmp_path: Path) -> None:
    """Relative devices and credentials are found from wherever the supervisor is started."""
    file = tmp_path / "pipeline.toml"
    file.write_text('[robot]\npayload_credentials_file = "creds"\n[cameras.a]\ndevice = "clip.mp4"\n')
    settings = validate(read_file(file), "file")
    assert settings.cameras["a"].device == str(tmp_path / "clip.mp4")
    assert settings.robot.payload_credentials_file == tmp_path / "creds"


def test_symbolic_link_to_a_device_is_that_device(tmp_path: Path) -> None:
    """A stable name in /dev/v4l/by-id and the index that it stands for are one camera."""
    link = tmp_path / "by-id"
    link.symlink_to("/dev/video3")
    document = {"simulate": True, "cameras": {"a": {"device": 3}, "b": {"device": str(link)}}}
    with pytest.raises(ConfigurationError, match="is the device of camera a too"):
        check(validate(document, "file"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"guid\n", "secret on its second"),
        (b"guid secret\n", "secret on its second"),
        (b"\nguid\nsecret\n", "guid on its first line"),
        (b"\xff\xfe", "is no text file"),
    ],
)
def test_credentials_file_that_cannot_work(tmp_path: Path, content: bytes, words: str) -> None:
    """A credentials file is read before anything is started, and what is wrong with it is said without its content."""
    file = tmp_path / "creds"
    file.write_bytes(content)
    document = {"robot": {"payload_credentials_file": str(file)}, "cameras": {"front": {"device": 0}}}
    with pytest.raises(ConfigurationError, match=words):
        check(validate(document, "file"))


@pytest.mark.parametrize("robot", ["192.168.50.3", "192.168.80.3"])
def test_address_outside_the_robots_network_is_asked_for(robot: str) -> None:
    """In a bridged container the route's address means nothing to the robot: --host-ip is demanded."""
    with pytest.raises(NoRouteError, match="--host-ip"):
        check_same_network(robot, "172.17.0.2")
    check_same_network(robot, f"{robot}7")


@pytest.mark.parametrize("robot", ["127.0.0.1", "::1", "fe80::1%lo", "8.8.8.8", "10.0.0.3", "172.16.1.3"])
def test_addresses_of_other_robots_are_not_judged(robot: str) -> None:
    """A robot on the loopback, or in a network of somebody else's, says nothing about how we are reached."""
    check_same_network(robot, "172.17.0.2")


def settings_for(hostname: str, host_ip: str | None = None) -> Settings:
    """Return settings for a robot, with or without our own address."""
    cameras = {"front": {"device": 0}}
    return Settings.model_validate({"robot": {"hostname": hostname}, "cameras": cameras}).model_copy(
        update={"service": ServiceSettings(host_ip=host_ip)}
    )


def test_running_pipeline_looks_up_no_name() -> None:
    """While the loop waits, the same robot's address is known, another one is taken as an address or refused."""
    running = settings_for("spot", "10.0.0.5")
    assert with_host_ip(settings_for("spot"), running).service.host_ip == "10.0.0.5"
    assert with_host_ip(settings_for("127.0.0.1"), running).service.host_ip == "127.0.0.1"
    assert with_host_ip(settings_for("localhost", "10.0.0.6"), running).service.host_ip == "10.0.0.6"
    with pytest.raises(ConfigurationError, match="not looked up while the pipeline runs"):
        with_host_ip(settings_for("localhost"), running)


def test_example_file_is_valid() -> None:
    """The example shows two synthetic cameras and a simulated robot, and every key in it exists."""
    text = (PROJECT_FOLDER / "pipeline.example.toml").read_text()
    settings = validate(complete(read_file(PROJECT_FOLDER / "pipeline.example.toml")), "example")
    check(settings)
    assert settings.simulate
    assert list(settings.cameras) == ["front", "rear"]
    for model in (settings, settings.robot, settings.service, settings.cameras["front"]):
        assert all(key in text for key in type(model).model_fields)

"""Who we are for the robot: which of several ways to authenticate wins, and how a password gets in without showing."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervision import cli, configuration
from supervision.configuration import ConfigurationError
from supervision.flags import parse_flags, settings_from_flags
from supervision.login import PASSWORD, USERNAME, Login
from supervision.process import PROJECT_FOLDER
from supervision.settings import PAYLOAD_CREDENTIALS, RobotSettings

ENVIRONMENT = {USERNAME: "env user", PASSWORD: "env secret"}
CAMERA = "[cameras.front]\ndevice = 0\n"
FILE_USER = '[robot]\nusername = "file user"\npassword = "file secret"\n'
FILE_GUID = '[robot]\nguid = "file guid"\nsecret = "s"\n'


def robot_of(folder: Path, *arguments: str, file: str = "", environment: dict[str, str] | None = None) -> RobotSettings:
    """Return what a command line, a configuration file and an environment make of the robot."""
    path = folder / "pipeline.toml"
    path.write_text(file + CAMERA)
    (folder / "creds").write_text("creds guid\nsecret\n")
    flags = parse_flags(["--config", str(path), "--host-ip", "127.0.0.1", *arguments])
    return settings_from_flags(flags, folder, login=Login(dict(environment or {}))).robot


def who(robot: RobotSettings) -> str | None:
    """Return the name that the robot will be told."""
    return robot.username if robot.username is not None else robot.credentials()[0]


CREDS = ("--payload-credentials-file", "creds")


@pytest.mark.parametrize(
    ("arguments", "file", "environment", "expected"),
    [
        (("127.0.0.1",), "", ENVIRONMENT, "env user"),
        (("external", "127.0.0.1"), "", ENVIRONMENT, "env user"),
        (("127.0.0.1",), FILE_USER, ENVIRONMENT, "file user"),
        (("external", "127.0.0.1"), FILE_USER, ENVIRONMENT, "file user"),
        (("127.0.0.1",), FILE_GUID, ENVIRONMENT, "file guid"),
        (("payload", "127.0.0.1"), FILE_GUID, ENVIRONMENT, "file guid"),
        (("external", "127.0.0.1"), FILE_GUID, ENVIRONMENT, "env user"),
        (("127.0.0.1", "--guid", "g", "--secret", "s"), FILE_USER, ENVIRONMENT, "g"),
        (("127.0.0.1", "--guid", "g"), FILE_GUID, {}, "g"),
        (("127.0.0.1", *CREDS), FILE_GUID, ENVIRONMENT, "creds guid"),
        (("payload", "127.0.0.1", *CREDS), FILE_USER, ENVIRONMENT, "creds guid"),
    ],
)
def test_which_way_wins(
    tmp_path: Path, arguments: tuple[str, ...], file: str, environment: dict[str, str], expected: str
) -> None:
    """Flags over the file over the environment; the word over the file; a payload over the environment's user."""
    assert who(robot_of(tmp_path, *arguments, file=file, environment=environment)) == expected


def test_the_password_comes_with_its_name(tmp_path: Path) -> None:
    """What is given to the servicer is what the environment has."""
    robot = robot_of(tmp_path, "127.0.0.1", environment=ENVIRONMENT)
    assert robot.password is not None
    assert robot.password.get_secret_value() == "env secret"


@pytest.mark.parametrize(("is_payload", "expected"), [(True, "payload guid"), (False, "env user")])
def test_a_payload_computer_is_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_payload: bool, expected: str
) -> None:
    """Its own credentials file is the default, whoever is in the environment; without one the user is."""
    credentials = tmp_path / "payload_guid_and_secret"
    if is_payload:
        credentials.write_text("payload guid\nsecret\n")
    monkeypatch.setattr(configuration, "PAYLOAD_CREDENTIALS", credentials)
    assert who(robot_of(tmp_path, environment=ENVIRONMENT)) == expected
    assert who(robot_of(tmp_path, "external", environment=ENVIRONMENT)) == "env user"


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (("127.0.0.1",), {}, "needed to authenticate"),
        (("127.0.0.1",), {USERNAME: "u"}, f"the environment has {USERNAME}, and no {PASSWORD}"),
        (("127.0.0.1",), {PASSWORD: "env secret"}, f"the environment has {PASSWORD}, and no {USERNAME}"),
        (("payload", "127.0.0.1"), {USERNAME: "u"}, "needed to authenticate"),
        (("payload", "127.0.0.1"), ENVIRONMENT, "needed to authenticate"),
        (("external", "127.0.0.1"), {USERNAME: "u"}, f"no {PASSWORD} of this user, and no terminal"),
        (("external", "127.0.0.1"), {}, f"no {USERNAME} and {PASSWORD} of this user"),
        (("external", "127.0.0.1", "--guid", "g", "--secret", "s"), ENVIRONMENT, "--guid is of a payload"),
        (("external", "127.0.0.1", *CREDS), ENVIRONMENT, "--payload-credentials-file is of a payload"),
    ],
)
def test_nobody_in_particular(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], environment: dict[str, str], words: str
) -> None:
    """Nobody, half a user, or two who exclude each other: a sentence, and no secret in it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("operator\nsecret\n"))
    with pytest.raises(ConfigurationError, match=words) as error:
        robot_of(tmp_path, *arguments, environment=environment)
    assert "secret" not in str(error.value).replace("--secret", "")


@pytest.mark.skipif(PAYLOAD_CREDENTIALS.exists(), reason="this is a payload computer")
def test_a_payload_computer_without_its_file_is_told_so(tmp_path: Path) -> None:
    """Without any user either."""
    with pytest.raises(ConfigurationError, match=str(PAYLOAD_CREDENTIALS)):
        robot_of(tmp_path)


def test_the_password_leaves_the_environment() -> None:
    """Children inherit the environment; and the supervisor remembers it for the next reload."""
    environment = {**ENVIRONMENT, "HOME": "/"}
    login = Login(environment)
    assert environment == {USERNAME: "env user", "HOME": "/"}
    assert login.from_environment() == login.asked_for() == ("env user", "env secret")


USERNAME_ALONE = '[robot]\nusername = "file user"\n'


@pytest.mark.parametrize("username", [{}, {USERNAME: "file user"}])
def test_the_file_names_the_user_and_the_environment_has_the_password(tmp_path: Path, username: dict[str, str]) -> None:
    """A file that others may read need not hold it."""
    environment = {**username, PASSWORD: "env secret"}
    robot = robot_of(tmp_path, "external", "127.0.0.1", file=USERNAME_ALONE, environment=environment)
    assert robot.password is not None
    assert (robot.username, robot.password.get_secret_value()) == ("file user", "env secret")


def test_nobody_gets_the_password_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's user is not the environment's: wrong passwords lock users out."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(ConfigurationError, match=f"no {PASSWORD} of this user, and no terminal") as error:
        robot_of(tmp_path, "external", "127.0.0.1", file=USERNAME_ALONE, environment=ENVIRONMENT)
    assert "secret" not in str(error.value)
    login = Login({**ENVIRONMENT})
    with pytest.raises(ConfigurationError):
        login.asked_for("another")
    assert login.asked_for("env user") == ("env user", "env secret")  # the next reload has lost nothing


@pytest.mark.parametrize("arguments", [["--list"], ["--simulate"]])
def test_no_child_inherits_the_password(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Whatever is asked for: it is taken out of the environment before anything is started."""
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    seen: list[str | None] = []

    def look(*_: object) -> int:
        seen.append(os.environ.get(PASSWORD))
        return 0

    monkeypatch.setattr(cli, "log_to_stderr", lambda **_: None)
    monkeypatch.setattr(cli, "_list", look)
    monkeypatch.setattr(cli, "_supervise", look)
    umask = os.umask(0o077)
    try:
        assert cli.main(arguments) == 0
    finally:
        os.umask(umask)
    assert seen == [None]


ASK = "from supervision.login import Login; login = Login({}); print(login.asked_for(), login.asked_for())"


def test_a_terminal_is_asked_once(capfd: pytest.CaptureFixture[str]) -> None:
    """For the name, and for the password without showing it; a second time, as after a reload, nothing is asked."""
    screen = _answered(b" operator\n", b" hunter2 \n")
    assert screen.endswith("('operator', ' hunter2 ') ('operator', ' hunter2 ')\r\n")  # a password as it was typed
    assert screen.count("hunter2") == 2  # by our own print alone
    assert "user of the robot:  operator" in screen
    assert "password of operator: \r\n" in screen
    assert capfd.readouterr().err == ""


def test_a_terminal_that_answers_nothing_is_a_sentence() -> None:
    """An empty name is no user."""
    assert "nothing was answered to 'user of the robot: '" in _answered(b"\n")


def _answered(*answers: bytes) -> str:
    """Return everything that a terminal shows of ASK, with each answer typed when it is asked for."""
    ours, theirs = pty.openpty()
    command: list[Any] = [sys.executable, "-c", ASK]
    with subprocess.Popen(
        command, cwd=PROJECT_FOLDER, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as asking:
        os.close(theirs)
        screen = b""
        for answer in answers:
            while not screen.endswith(b": "):
                screen += os.read(ours, 1000)
            os.write(ours, answer)
            screen += os.read(ours, 1)
        while chunk := _read(ours):
            screen += chunk
        asking.wait(20)
    os.close(ours)
    return screen.decode()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1000)
    except OSError:  # the last one on the other side has gone
        return b""

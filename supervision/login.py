"""Who we are for the robot: a payload of it, or one of its users, whose password is in the environment or asked for."""

import getpass
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from supervision.configuration import FLAGS, PAYLOAD_KEYS, USER_KEYS, ConfigurationError
from supervision.settings import RobotSettings, Settings

USERNAME, PASSWORD = "BOSDYN_CLIENT_USERNAME", "BOSDYN_CLIENT_PASSWORD"  # as every program with the SDK has them


class Login:
    """Whoever may log in. `environment` loses the password: no child process, and no camera class in it, inherits it.

    That is all: for this user and for root, /proc shows what this process itself was started with.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._username = environment.get(USERNAME, "")
        self._password = environment.pop(PASSWORD, "")

    def from_environment(self) -> tuple[str, str] | None:
        """Name and password, if the environment has both."""
        return (self._username, self._password) if self._username and self._password else None

    def check_whole(self) -> None:
        """Raise ConfigurationError for half a user: there is nobody else, and he cannot be meant like this."""
        if bool(self._username) != bool(self._password):
            has, lacks = (USERNAME, PASSWORD) if self._username else (PASSWORD, USERNAME)
            raise ConfigurationError(f"robot: the environment has {has}, and no {lacks}; a user needs both")

    def asked_for(self, username: str = "") -> tuple[str, str]:
        """Name (this one, if it is given) and password, asked for on the terminal once if need be.

        A password is of the name that came with it, or of any if it came alone. Raises ConfigurationError without a
        terminal.
        """
        password = self._password if not username or self._username in ("", username) else ""
        username = username or self._username
        if not sys.stdin.isatty() and not (username and password):
            missing = " and ".join(key for key, value in ((USERNAME, username), (PASSWORD, password)) if not value)
            raise ConfigurationError(f"external: no {missing} of this user, and no terminal to ask")
        self._username = username or _answer(input, "user of the robot: ").strip()
        self._password = password or _answer(getpass.getpass, f"password of {self._username}: ")
        return self._username, self._password


def _answer(ask: Callable[[str], str], question: str) -> str:
    try:
        answer = ask(question)
    except EOFError:
        answer = ""
    if not answer.strip():
        raise ConfigurationError(f"external: nothing was answered to {question!r}")
    return answer


def without_other_credentials(below: dict[str, Any], above: dict[str, Any], way: str | None) -> dict[str, Any]:
    """Return the file's document without who we are by it, as far as the command line says something else.

    That is what `above` holds of flags, and the word "payload" or "external". Raises ConfigurationError if they differ.
    """
    said, robot = above.get("robot", {}), below.get("robot")
    if way == "external" and (wrong := [key for key in PAYLOAD_KEYS if key in said]):
        raise ConfigurationError(f"{FLAGS}: --{wrong[0].replace('_', '-')} is of a payload, external is a user")
    other: set[str] = set(PAYLOAD_KEYS if way == "external" else ())
    if way == "payload" or any(key in said for key in PAYLOAD_KEYS):
        other.update(USER_KEYS)
    if "payload_credentials_file" in said:
        other.update({"guid", "secret"})
    elif "guid" in said or "secret" in said:
        other.add("payload_credentials_file")
    if not isinstance(robot, dict):
        return below
    return {**below, "robot": {key: value for key, value in robot.items() if key not in other}}


def with_user(document: dict[str, Any], login: Login) -> dict[str, Any]:
    """Return the document with a user in it: its own, or who may `login`. Raises ConfigurationError without one.

    Who is named in it without a password is asked for that.
    """
    robot = document.get("robot", {})
    username = robot.get("username", "") if isinstance(robot, dict) else None
    if not isinstance(username, str) or "password" in robot:
        return document
    return {**document, "robot": {**robot, **dict(zip(USER_KEYS, login.asked_for(username), strict=True))}}


def check_credentials(settings: Settings) -> None:
    """See that there is exactly one way to authenticate, and that it can work. Raises ConfigurationError."""
    robot = settings.robot
    if (robot.guid is None) != (robot.secret is None):
        raise ConfigurationError("robot: guid and secret (--guid, --secret) go together")
    if (robot.username is None) != (robot.password is None):
        raise ConfigurationError("robot: username and password go together")
    ways = {
        "payload_credentials_file": robot.payload_credentials_file,
        "guid and secret": robot.guid,
        "username and password": robot.username,
    }
    given = [way for way, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"robot: {', or '.join(given)}: one of them, not {_both_or_all(given)}")
    if settings.simulate:
        return
    if not given:
        raise ConfigurationError(
            "robot.payload_credentials_file: needed to authenticate (or --guid and --secret, or a user: "
            "`external`); see --help"
        )
    for key in ("guid", "secret", "username", "password"):
        _check_not_empty(key, getattr(robot, key))
    if robot.payload_credentials_file is not None:
        _check_credentials_file(robot, robot.payload_credentials_file)


def _both_or_all(given: list[str]) -> str:
    return "both" if len(given) == 2 else "all"  # noqa: PLR2004


def _check_not_empty(key: str, value: str | SecretStr | None) -> None:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if text is not None and not text.strip():
        raise ConfigurationError(f"robot.{key}: is empty")


def _check_credentials_file(robot: RobotSettings, path: Path) -> None:
    try:
        robot.credentials()
    except OSError as error:
        raise ConfigurationError(f"robot.payload_credentials_file: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"robot.payload_credentials_file: {path}: is no text file") from error
    except ValueError as error:
        raise ConfigurationError(f"robot.payload_credentials_file: {error}") from error

"""What pydantic finds wrong with a configuration, as one line for the person who wrote the file."""

import difflib
import json
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from supervision.camera_settings import (
    CameraInterfaceSettings,
    CameraModelSettings,
    CameraSettings,
    MisbehaviourKind,
    MountSettings,
    SyntheticSettings,
)
from supervision.settings import RobotSettings, ServiceSettings, Settings, without_credentials

_HIDDEN_TABLE = "robot"  # no value in it is shown: any of them may be the secret in the wrong place
_NAME = "a name is 1 to 32 of a-z, 0-9, _ and -"
_LINE = "is 1 to 128 characters in one line"

# TOML's words, and those of the example file, where pydantic's are of JSON or of regular expressions.
_OF_TYPE = {
    "missing": "is missing",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "json_invalid": "a number in it is too long, or its tables or lists are nested too deeply",
}
_OF_LENGTH = {"codec": "should be four characters, as in MJPG", "hostname": "is empty"}
_OF_PATTERN = {
    "source_name": _LINE,
    "parent": _LINE,
    "frame_name": _LINE,
    "factory": 'should be "module:Name"',
    "script": f'should be "<seconds>: <misbehaviour> [argument]" with one of {", ".join(get_args(MisbehaviourKind))}',
    "allowed_peers": "should be an address or a name",
}
_AFTER_NAME = 2  # cameras, its name, …
_TABLES: dict[str, type[BaseModel]] = {
    "robot": RobotSettings,
    "service": ServiceSettings,
    "synthetic": SyntheticSettings,
    "camera_interface": CameraInterfaceSettings,
    "camera_model": CameraModelSettings,
    "mount": MountSettings,
}
_PLACES: dict[str, type[BaseModel]] = {
    "at the top of the file, before every [table]": Settings,
    "of a camera, [cameras.NAME]": CameraSettings,
    **{f"of the table {name}": model for name, model in _TABLES.items()},
}
_LIKENESS = 0.7  # of an unknown key to a known one, for which it may be meant

_OF_UNION = {"arguments": "should be a list or a table", "device": "should be an index, a path or a URL"}


def first_problem(error: ValidationError) -> str:
    """Name the first key that is wrong, what is wrong with it, and how many others are. No secret is shown.

    Unknown keys come first: what is missing may be there, under a name with a typing mistake.
    """
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first, keys = problems[0], _keys(problems[0])
    others = {".".join(_keys(problem)) for problem in problems} - {".".join(keys)}
    is_secret = first["type"] == "extra_forbidden" or keys[:1] == [_HIDDEN_TABLE]
    given = "" if is_secret or first["type"] == "missing" else _shown_value(first["input"])
    more = f", and {len(others)} more" if others else ""
    return f"{'.'.join(keys) or 'settings'}: {_what(first, keys)}{given}{more}"


def _keys(problem: Any) -> list[str]:
    """The path to a value as it is in the file, without the branches that pydantic has tried on the way."""
    return [without_credentials(str(key)) for index, key in enumerate(problem["loc"]) if not _is_branch(problem, index)]


def _is_branch(problem: Any, index: int) -> bool:
    """Whether a part of the path is pydantic's: the type that it tried, or that a name itself is wrong.

    Cameras and keys may be called so, too; what comes after `cameras` and after the camera's name is the file's.
    """
    part, before = problem["loc"][index], problem["loc"][index - 1]
    if part == "[key]":
        return index == _AFTER_NAME and problem["type"] == "string_pattern_mismatch"
    is_type = part in ("int", "str") or str(part).startswith(("list[", "dict["))
    return is_type and index > _AFTER_NAME and before in _OF_UNION


def _what(problem: Any, keys: list[str]) -> str:
    kind, loc = problem["type"], problem["loc"]
    if loc == ("instance",) or (loc[-1:] == ("[key]",) and kind == "string_pattern_mismatch"):
        return _NAME
    if kind == "missing" and isinstance(loc[-1], int):
        return "is missing: the list is too short"
    if keys and len(keys) < len(loc) and keys[-1] in _OF_UNION:
        return _OF_UNION[keys[-1]]
    if kind in ("string_too_short", "string_too_long") and keys[-1] in _OF_LENGTH:
        return _OF_LENGTH[keys[-1]]
    if kind == "string_pattern_mismatch":
        return next((words for key, words in _OF_PATTERN.items() if key in keys), str(problem["msg"]))
    of_type = _OF_TYPE.get(kind)
    if kind == "extra_forbidden":
        of_type = f"unknown key{_meant(keys)}"
    return of_type or str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")


def _meant(keys: list[str]) -> str:
    """The known key of this table that looks like an unknown one, as a question; "" for none."""
    *tables, key = keys
    of_camera = len(tables) == _AFTER_NAME and tables[0] == "cameras"
    model = Settings if not tables else CameraSettings if of_camera else _TABLES.get(tables[-1])
    like = difflib.get_close_matches(key, model.model_fields, 1, _LIKENESS) if model else []
    if like:
        return f"; is {like[0]} meant?"
    elsewhere = [place for place, model in _PLACES.items() if key in model.model_fields]
    return f"; {key} is a key {elsewhere[0]}" if elsewhere else ""


def _shown_value(value: Any) -> str:
    if isinstance(value, dict | list):
        return ""
    return f" (it is {json.dumps(without_credentials(value) if isinstance(value, str) else value)[:80]})"

"""Custom parameters as both sides of a ring know them: completed, checked, and named by a 16-byte id.

They travel as JSON, in protobuf's own mapping with the proto's field names: a `spec` is a
`bosdyn.api.DictParam.Spec`, `values` are the entries of a `DictParam`, as in

    spec = {"specs": {"Contrast": {"spec": {"double_spec": {"default_value": 50.0, "max_value": 255.0}}}}}
    values = {"Contrast": {"double_value": {"value": 70.0}}}

so that a process which holds no protobuf library can use them, and one which does converts them in one call.

A camera always captures with *completed* parameters: every parameter of its spec, those that nobody asked for with
their default. So equal pictures have equal ids, and "none", an empty set and the defaults written out are the same
thing: `DEFAULT_PARAMS_ID`.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from shm.frame import DEFAULT_PARAMS_ID
from shm.layout import PARAMS_ID_BYTES

_MOST_PROBLEMS = 8
_SHOWN_CHARACTERS = 128
_ROI_CONTEXT = ("service_and_source", "image_cols", "image_rows")  # of a region, beside its area
_INT64 = (-(1 << 63), (1 << 63) - 1)

_T = TypeVar("_T")

ProblemKind = Literal["unsupported", "type", "value"]


@dataclass(frozen=True)
class Problem:
    """One reason why parameters cannot be used: an unknown name, a wrong type, or a value that is not allowed."""

    kind: ProblemKind
    text: str


class ParametersError(ValueError):
    """Parameters that do not fit their spec; `problems` says all that is wrong (the first few)."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.text for problem in problems[:_MOST_PROBLEMS]))
        self.problems = tuple(problems[:_MOST_PROBLEMS])


def complete(spec: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Check values against their spec, and return them with all that was left out at its default.

    A parameter without a default that nobody gave stays absent. Raises ParametersError.
    """
    problems: list[Problem] = []
    completed = _complete_dict(spec, values, "", problems)
    if problems:
        raise ParametersError(problems)
    return completed


def parameters_id(spec: Mapping[str, Any], completed: Mapping[str, Any]) -> bytes:
    """The id of completed parameters, as frames carry it: `DEFAULT_PARAMS_ID` for the defaults."""
    if completed == complete(spec, {}):
        return DEFAULT_PARAMS_ID
    text = json.dumps(completed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:PARAMS_ID_BYTES]


def from_plain(spec: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Understand parameters as people write them in a configuration file: `{"Contrast": 70, "mode": {"night": {}}}`.

    A one-of is a table with its one key. Names that the spec does not have are left for `complete` to refuse.
    Raises ParametersError for what cannot be told apart.
    """
    return {name: _tag(_child(spec, name), value, name) for name, value in plain.items()}


def with_defaults(spec: Mapping[str, Any], completed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec with completed values as its defaults. Raises ParametersError for a list: it has no default."""
    specs = {}
    for name, child in spec.get("specs", {}).items():
        value = completed.get(name)
        specs[name] = child if value is None else {**child, "spec": _with_default(child["spec"], value, name)}
    return {**spec, "specs": specs}


def _complete_dict(
    spec: Mapping[str, Any], values: Mapping[str, Any], path: str, problems: list[Problem]
) -> dict[str, Any]:
    specs = spec.get("specs", {})
    for name in sorted(values.keys() - specs.keys()):
        problems.append(Problem("unsupported", f"no parameter is called {_shown(path + name)}"))
    completed = {}
    for name in sorted(specs):
        param_spec = _child(spec, name)
        given = values.get(name)
        value = _default(param_spec) if given is None else _checked(param_spec, given, path + name, problems)
        if value is not None:
            completed[name] = value
    return completed


def _child(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return spec.get("specs", {}).get(name, {}).get("spec", {}) or {}


def _kind_of(param_spec: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The type that a `CustomParam.Spec` names, and what it says about it; an empty name for none."""
    key = next(iter(param_spec), "")
    return key.removesuffix("_spec"), param_spec.get(key, {})


def _checked(param_spec: Mapping[str, Any], param: Any, path: str, problems: list[Problem]) -> dict[str, Any] | None:
    kind, spec = _kind_of(param_spec)
    tag = f"{kind}_value"
    tagged = param if isinstance(param, Mapping) else {}
    if kind not in _CHECKS or not isinstance(tagged.get(tag), Mapping):
        given = str(next(iter(tagged), "nothing")).removesuffix("_value")[:_SHOWN_CHARACTERS]
        problems.append(Problem("type", f"{_shown(path)} has to be of the type {kind or 'of no value'}, not {given}"))
        return None
    before = len(problems)
    checked = _CHECKS[kind](spec, tagged[tag], path, problems)
    return {tag: checked} if len(problems) == before else None


def _entry(param: Mapping[str, Any], key: str, default: _T, path: str, problems: list[Problem]) -> _T:
    """What a value says under `key`; the default if it says nothing, or nothing that can be understood."""
    value = param.get(key, default)
    if isinstance(value, type(default)):
        return value
    problems.append(Problem("type", f"{_shown(path)} cannot be understood: its {key[:_SHOWN_CHARACTERS]}"))
    return default


def _check_number(
    spec: Mapping[str, Any], param: Mapping[str, Any], path: str, problems: list[Problem], number: Callable[[Any], Any]
) -> dict[str, Any]:
    least, most = spec.get("min_value"), spec.get("max_value")
    try:
        value = number(param.get("value", 0))
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(Problem("value", f"{_shown(path)} has to be a finite number"))
    elif isinstance(value, int) and not _INT64[0] <= value <= _INT64[1]:
        problems.append(Problem("value", f"{_shown(path)} is no number of 64 bits"))
    elif least is not None and value < number(least):
        problems.append(Problem("value", f"{_shown(path)} is {value}; the least is {number(least)}"))
    elif most is not None and value > number(most):
        problems.append(Problem("value", f"{_shown(path)} is {value}; the most is {number(most)}"))
    return {"value": value}


def _check_int(spec: Any, param: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    return _check_number(spec, param, path, problems, int)


def _check_double(spec: Any, param: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    return _check_number(spec, param, path, problems, float)


def _check_bool(_spec: Any, param: Any, _path: str, _problems: list[Problem]) -> dict[str, Any]:
    return {"value": bool(param.get("value", False))}


def _check_string(spec: Any, param: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    value, options = _entry(param, "value", "", path, problems), spec.get("options", [])
    if options and not spec.get("editable", False) and value not in options:
        problems.append(Problem("value", f"{_shown(path)} is {_shown(value)}; it can be {_shown(', '.join(options))}"))
    return {"value": value}


def _check_roi(spec: Any, param: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    area: dict[str, Any] = _entry(param, "area", {}, path, problems)
    for shape in ("rectangle", "polygon"):
        if shape in area and not spec.get(f"allows_{shape}", False):
            problems.append(Problem("value", f"{_shown(path)} may not be a {shape}"))
    return {"area": area, **{key: param[key] for key in _ROI_CONTEXT if key in param}}


def _check_dict(spec: Any, param: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    return {"values": _complete_dict(spec, _entry(param, "values", {}, path, problems), f"{path}.", problems)}


def _check_list(spec: Any, param: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    elements: list[Any] = _entry(param, "values", [], path, problems)
    least, most = int(spec.get("min_number_of_values", 0)), int(spec.get("max_number_of_values", 1 << 31))
    if not least <= len(elements) <= most:
        problems.append(Problem("value", f"{_shown(path)} has {len(elements)} elements; it needs {least} to {most}"))
        return {}
    element_spec = spec.get("element_spec", {})
    return {"values": [_checked(element_spec, e, f"{path}[{i}]", problems) for i, e in enumerate(elements)]}


def _check_one_of(spec: Any, param: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    key = _entry(param, "key", "", path, problems)
    choices = spec.get("specs", {})
    if key not in choices:
        can_be = _shown(", ".join(sorted(choices)))
        problems.append(Problem("value", f"{_shown(path)} chooses {_shown(key)}; it can choose {can_be}"))
        return {}
    chosen: dict[str, Any] = _entry(param, "values", {}, path, problems)
    for step in (key, "values"):
        chosen = _entry(chosen, step, {}, path, problems)
    return _one_of(key, _complete_dict(_child(spec, key), chosen, f"{path}.{key}.", problems))


def _one_of(key: str, values: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "values": {key: {"values": values}}}


_CHECKS: Mapping[str, Callable[[Any, Any, str, list[Problem]], dict[str, Any]]] = {
    "int": _check_int,
    "double": _check_double,
    "bool": _check_bool,
    "string": _check_string,
    "roi": _check_roi,
    "dict": _check_dict,
    "list": _check_list,
    "one_of": _check_one_of,
}


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {"int": int, "double": float, "bool": bool, "string": str}


def _default(param_spec: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, spec = _kind_of(param_spec)
    if kind == "dict":
        values = _complete_dict(spec, {}, "", [])
        return {"dict_value": {"values": values}} if values else None
    if kind == "one_of":
        key = spec.get("default_key", "")
        values = _complete_dict(_child(spec, key), {}, "", [])
        return {"one_of_value": _one_of(key, values)} if key in spec.get("specs", {}) else None
    if kind == "roi":
        return {"roi_value": {"area": spec["default_area"]}} if "default_area" in spec else None
    if "default_value" not in spec:
        return None
    return {f"{kind}_value": {"value": _CONVERSIONS[kind](spec["default_value"])}}


def _tag(param_spec: Mapping[str, Any], value: Any, path: str) -> dict[str, Any]:
    kind, spec = _kind_of(param_spec)
    if not kind:
        return {}
    if not _is_plain(kind, value):
        raise ParametersError([Problem("type", f"{_shown(path)} has to be of the type {kind}")])
    if kind == "roi":
        return {"roi_value": value}
    if kind == "dict":
        return {"dict_value": {"values": from_plain(spec, value)}}
    if kind == "list":
        element_spec = spec.get("element_spec", {})
        return {"list_value": {"values": [_tag(element_spec, e, f"{path}[{i}]") for i, e in enumerate(value)]}}
    if kind == "one_of":
        return {"one_of_value": _tag_choice(spec, value, path)}
    return {f"{kind}_value": {"value": value}}


def _tag_choice(spec: Mapping[str, Any], value: Mapping[str, Any], path: str) -> dict[str, Any]:
    if len(value) != 1 or not all(isinstance(chosen, dict) for chosen in value.values()):
        raise ParametersError([Problem("type", f"{_shown(path)} has to be a table with one table, its choice")])
    [(key, chosen)] = value.items()
    return _one_of(key, from_plain(_child(spec, key), chosen))


_PLAIN_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "int": int,
    "double": (int, float),
    "bool": bool,
    "string": str,
    "roi": dict,
    "dict": dict,
    "list": list,
    "one_of": dict,
}


def _is_plain(kind: str, value: Any) -> bool:
    return isinstance(value, _PLAIN_TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))


def _with_default(param_spec: Mapping[str, Any], value: Mapping[str, Any], path: str) -> dict[str, Any]:
    kind, spec = _kind_of(param_spec)
    param = value[f"{kind}_value"]
    if kind == "list":
        raise ParametersError([Problem("type", f"{_shown(path)} is a list, which has no default")])
    if kind == "dict":
        changed = with_defaults(spec, param["values"])
    elif kind == "one_of":
        chosen = with_defaults(_child(spec, param["key"]), param["values"][param["key"]]["values"])
        child = {**spec["specs"][param["key"]], "spec": chosen}
        changed = {**spec, "default_key": param["key"], "specs": {**spec["specs"], param["key"]: child}}
    elif kind == "roi":
        changed = {**spec, "default_area": param.get("area", {})}
    else:
        changed = {**spec, "default_value": param["value"]}
    return {f"{kind}_spec": changed}


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])

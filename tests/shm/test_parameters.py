"""Custom parameters: completed, checked, named; whatever anybody sends."""

from typing import Any

import pytest
from bosdyn.api import service_customization_pb2
from bosdyn.client.service_customization_helpers import validate_dict_spec
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm import DEFAULT_PARAMS_ID
from shm.parameters import ParametersError, complete, from_plain, parameters_id, with_defaults

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy


def spec_of(**kinds: dict[str, Any]) -> dict[str, Any]:
    """Return a spec of these parameters."""
    return {"specs": {name: {"spec": kind} for name, kind in kinds.items()}}


AREA = {"rectangle": {"cols": 4, "rows": 3}}
NIGHT = spec_of(boost={"double_spec": {"default_value": 2.0, "max_value": 4.0}})
SPEC = spec_of(
    count={"int_spec": {"default_value": "3", "min_value": "1", "max_value": "9"}},
    gain={"double_spec": {"default_value": 0.5, "min_value": 0.0, "max_value": 24.0}},
    flag={"bool_spec": {"default_value": True}},
    color={"string_spec": {"options": ["red", "blue"], "default_value": "red"}},
    note={"string_spec": {"editable": True, "options": ["a"]}},
    area={"roi_spec": {"default_area": AREA, "allows_rectangle": True}},
    lamp={"dict_spec": spec_of(power={"int_spec": {"default_value": "1"}}, name={"string_spec": {}})},
    steps={"list_spec": {"element_spec": {"int_spec": {"max_value": "9"}}, "max_number_of_values": "2"}},
    mode={"one_of_spec": {"default_key": "day", "specs": {"day": {"spec": {}}, "night": {"spec": NIGHT}}}},
)
DEFAULTS = {
    "count": {"int_value": {"value": 3}},
    "gain": {"double_value": {"value": 0.5}},
    "flag": {"bool_value": {"value": True}},
    "color": {"string_value": {"value": "red"}},
    "area": {"roi_value": {"area": AREA}},
    "lamp": {"dict_value": {"values": {"power": {"int_value": {"value": 1}}}}},
    "mode": {"one_of_value": {"key": "day", "values": {"day": {"values": {}}}}},
}
PLAIN = {
    "count": 4,
    "gain": 7,
    "flag": False,
    "color": "blue",
    "note": "hello",
    "lamp": {"name": "left"},
    "mode": {"night": {"boost": 3}},
}


def test_the_spec_is_one_that_the_sdk_accepts() -> None:
    """What these tests say holds for specs as clients know them."""
    validate_dict_spec(json_format.ParseDict(SPEC, service_customization_pb2.DictParam.Spec()))


def test_what_is_left_out_gets_its_default() -> None:
    """Nothing, a part, and everything written out are the same parameters with the same id (D25)."""
    assert complete(SPEC, {}) == DEFAULTS
    assert complete(SPEC, DEFAULTS) == DEFAULTS
    for values in ({}, {"gain": DEFAULTS["gain"]}, DEFAULTS):
        assert parameters_id(SPEC, complete(SPEC, values)) == DEFAULT_PARAMS_ID


def test_protobufs_own_mapping_is_understood() -> None:
    """Numbers of 64 bits are strings there, and zeros are left out."""
    message = service_customization_pb2.DictParam()
    message.values["count"].int_value.value = 4
    message.values["gain"].double_value.value = 0.0
    values = json_format.MessageToDict(message, preserving_proto_field_name=True)["values"]
    completed = complete(SPEC, values)
    assert (completed["count"], completed["gain"]) == ({"int_value": {"value": 4}}, {"double_value": {"value": 0.0}})
    back = json_format.ParseDict({"values": completed}, service_customization_pb2.DictParam())
    assert back.values["count"].int_value.value == 4


def test_other_parameters_have_another_id() -> None:
    """The id follows from the values alone, in whatever order and however they were written."""
    one = complete(SPEC, {"gain": {"double_value": {"value": 1}}, "count": {"int_value": {"value": "5"}}})
    same = complete(SPEC, {"count": {"int_value": {"value": 5}}, "gain": {"double_value": {"value": 1.0}}})
    other = complete(SPEC, {"gain": {"double_value": {"value": 1}}})
    ids = {parameters_id(SPEC, completed) for completed in (one, same, other, complete(SPEC, {}))}
    assert parameters_id(SPEC, one) == parameters_id(SPEC, same)
    assert len(ids) == 3
    assert {len(params_id) for params_id in ids} == {16}


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ({"zoom": {"double_value": {}}}, "unsupported", "no parameter is called 'zoom'"),
        ({"gain": {"int_value": {}}}, "type", "'gain' has to be of the type double, not int"),
        ({"gain": {}}, "type", "'gain' has to be of the type double, not nothing"),
        ({"gain": 5}, "type", "'gain' has to be of the type double"),
        ({"gain": {"double_value": {"value": 25}}}, "value", "'gain' is 25.0; the most is 24.0"),
        ({"gain": {"double_value": {"value": "NaN"}}}, "value", "'gain' has to be a finite number"),
        ({"gain": {"double_value": {"value": [1]}}}, "value", "'gain' has to be a finite number"),
        ({"count": {"int_value": {"value": 0}}}, "value", "'count' is 0; the least is 1"),
        ({"count": {"int_value": {"value": 1 << 64}}}, "value", "'count' is no number of 64 bits"),
        ({"color": {"string_value": {"value": "green"}}}, "value", "'color' is 'green'; it can be 'red, blue'"),
        ({"color": {"string_value": {"value": 5}}}, "type", "'color' cannot be understood: its value"),
        ({"area": {"roi_value": {"area": {"polygon": {}}}}}, "value", "'area' may not be a polygon"),
        ({"lamp": {"dict_value": {"values": {"x": {}}}}}, "unsupported", "no parameter is called 'lamp.x'"),
        ({"steps": {"list_value": {"values": [{}] * 3}}}, "value", "'steps' has 3 elements; it needs 0 to 2"),
        ({"steps": {"list_value": {"values": [{"int_value": {"value": 10}}]}}}, "value", "'steps[0]' is 10"),
        ({"mode": {"one_of_value": {"key": "dusk"}}}, "value", "'mode' chooses 'dusk'; it can choose 'day, night'"),
    ],
)
def test_what_does_not_fit_is_said(values: dict[str, Any], kind: str, text: str) -> None:
    """Each problem has its kind and a sentence with the parameter's name."""
    with pytest.raises(ParametersError) as caught:
        complete(SPEC, values)
    assert caught.value.problems[0].kind == kind
    assert caught.value.problems[0].text.startswith(text)


def test_all_problems_are_said_but_not_endlessly() -> None:
    """A client with a hundred mistakes hears of the first few, each cut to what can be read."""
    with pytest.raises(ParametersError) as caught:
        complete(SPEC, {f"{number}{'x' * 1000}": {} for number in range(100)})
    assert len(caught.value.problems) == 8
    assert len(str(caught.value)) < 2000


_TAGS = [f"{kind}_value" for kind in ("int", "double", "string", "roi", "dict", "list", "one_of")]
NAMES = st.sampled_from([*SPEC["specs"], *_TAGS, "key", "value", "values", "area", "night", "boost", "rectangle"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
TAGGED = st.sampled_from(sorted(SPEC["specs"])).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.fixed_dictionaries({f"{kind_of(name)}_value": st.dictionaries(NAMES, JSON, max_size=3) | JSON}),
    )
)


def kind_of(name: str) -> str:
    """Return the type of a parameter."""
    return str(next(iter(SPEC["specs"][name]["spec"]))).removesuffix("_spec")


@unhurried
@given(st.lists(TAGGED, max_size=3).map(dict) | st.dictionaries(NAMES, JSON, max_size=4))
def test_whatever_is_sent_it_is_completed_or_refused(values: dict[str, Any]) -> None:
    """No other exception, and what was accepted is accepted again as it is, with the same id."""
    try:
        completed = complete(SPEC, values)
    except ParametersError:
        return
    assert complete(SPEC, completed) == completed
    assert parameters_id(SPEC, complete(SPEC, completed)) == parameters_id(SPEC, completed)


@unhurried
@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_whatever_is_configured_is_understood_or_refused(plain: dict[str, Any]) -> None:
    """A configuration file is no better than a client."""
    try:
        completed = complete(SPEC, from_plain(SPEC, plain))
    except ParametersError:
        return
    if "steps" not in plain:
        assert complete(with_defaults(SPEC, completed), {}) == completed


def test_configured_values_become_the_defaults() -> None:
    """Written as people write them; afterwards nothing and these values are the same (D1), and the old ones are not."""
    completed = complete(SPEC, from_plain(SPEC, PLAIN))
    spec = with_defaults(SPEC, completed)
    validate_dict_spec(json_format.ParseDict(spec, service_customization_pb2.DictParam.Spec()))
    assert complete(spec, {}) == completed == {**DEFAULTS, **completed}
    assert completed["mode"]["one_of_value"]["values"]["night"]["values"]["boost"] == {"double_value": {"value": 3.0}}
    assert completed["lamp"]["dict_value"]["values"]["power"] == {"int_value": {"value": 1}}
    assert parameters_id(spec, complete(spec, DEFAULTS)) != DEFAULT_PARAMS_ID
    assert SPEC["specs"]["gain"]["spec"]["double_spec"]["default_value"] == 0.5


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ({"count": True}, "'count' has to be of the type int"),
        ({"count": 4.5}, "'count' has to be of the type int"),
        ({"flag": 1}, "'flag' has to be of the type bool"),
        ({"gain": "7"}, "'gain' has to be of the type double"),
        ({"gain": 25}, "'gain' is 25.0; the most is 24.0"),
        ({"zoom": 1}, "no parameter is called 'zoom'"),
        ({"mode": "night"}, "'mode' has to be of the type one_of"),
        ({"mode": {"day": {}, "night": {}}}, "'mode' has to be a table with one table, its choice"),
        ({"mode": {"night": 5}}, "'mode' has to be a table with one table, its choice"),
        ({"mode": {"dusk": {}}}, "'mode' chooses 'dusk'"),
        ({"lamp": {"colour": 5}}, "no parameter is called 'lamp.colour'"),
    ],
)
def test_what_cannot_be_configured_is_said(plain: dict[str, Any], text: str) -> None:
    """Nothing is guessed: a wrong type, an unknown name, half a choice."""
    with pytest.raises(ParametersError, match=text.split(";", maxsplit=1)[0]):
        complete(SPEC, from_plain(SPEC, plain))


def test_a_list_cannot_be_configured() -> None:
    """The proto has no default for one, so clients could not be told."""
    completed = complete(SPEC, from_plain(SPEC, {"steps": [1, 2]}))
    with pytest.raises(ParametersError, match="'steps' is a list, which has no default"):
        with_defaults(SPEC, completed)

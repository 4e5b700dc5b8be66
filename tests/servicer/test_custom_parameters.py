"""What clients send as custom parameters: completed, or refused by the right status; nothing else can happen."""

from typing import Any

import pytest
from bosdyn.api import service_customization_pb2
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicer.custom_parameters import Parameters, ParameterSpec, RefusedError
from servicer.robot_clock import RobotClock
from servicer.served_camera import ServedCamera
from shm import DEFAULT_PARAMS_ID, parameters
from supervision.camera_settings import CameraSettings
from tests.servicer.serving import OFFSET_NS, Ring, smooth

ERROR = service_customization_pb2.CustomParamError
MISTAKES = (ERROR.STATUS_UNSUPPORTED_PARAMETER, ERROR.STATUS_INVALID_TYPE, ERROR.STATUS_INVALID_VALUE)
SPEC = {
    "specs": {
        "gain": {"spec": {"double_spec": {"default_value": 0.0, "min_value": 0.0, "max_value": 24.0}}},
        "count": {"spec": {"int_spec": {"default_value": 3, "min_value": 1}}},
        "night": {"spec": {"bool_spec": {"default_value": False}}},
        "mode": {"spec": {"string_spec": {"default_value": "fast", "options": ["fast", "slow"]}}},
        "label": {"spec": {"string_spec": {"default_value": ""}}},
        "area": {"spec": {"roi_spec": {"allows_rectangle": True}}},
        "sides": {"spec": {"list_spec": {"element_spec": {"int_spec": {"max_value": 9}}, "max_number_of_values": 2}}},
        "inner": {"spec": {"dict_spec": {"specs": {"deep": {"spec": {"double_spec": {"default_value": 1.0}}}}}}},
        "choice": {
            "spec": {
                "one_of_spec": {
                    "default_key": "a",
                    "specs": {
                        "a": {"spec": {}},
                        "b": {"spec": {"specs": {"x": {"spec": {"int_spec": {"default_value": 1}}}}}},
                    },
                }
            }
        },
    }
}


def asked(**values: Any) -> Any:
    """A DictParam with these values, in protobuf's JSON mapping."""
    return json_format.ParseDict({"values": values}, service_customization_pb2.DictParam())


def refusal(spec: ParameterSpec, wanted: Any) -> Any:
    """The CustomParamError that answers these parameters."""
    with pytest.raises(RefusedError) as refused:
        spec.complete(wanted)
    return refused.value.error


def test_none_empty_and_the_defaults_are_the_same() -> None:
    """Whichever way they are sent (D25)."""
    spec = ParameterSpec(SPEC)
    defaults = spec.complete(asked())
    assert defaults.are_defaults
    assert defaults.params_id == DEFAULT_PARAMS_ID
    assert spec.complete(defaults.message) is defaults
    assert spec.complete(asked(gain={"double_value": {}}, inner={"dict_value": {}})) is defaults
    assert defaults.message.values["mode"].string_value.value == "fast"


def test_what_was_left_out_has_its_default_and_a_name_that_the_worker_knows() -> None:
    """The id is that of the completed values, as the worker finds it with the spec in the ring."""
    found = ParameterSpec(SPEC).complete(asked(gain={"double_value": {"value": 3}}))
    assert found.values["gain"] == {"double_value": {"value": 3.0}}
    assert found.values["count"] == {"int_value": {"value": 3}}
    assert found.message.values["count"].int_value.value == 3
    assert parameters.complete(SPEC, found.values) == found.values
    assert found.params_id == parameters.parameters_id(SPEC, found.values) != DEFAULT_PARAMS_ID
    same = asked(gain={"double_value": {"value": 3}}, night={"bool_value": {}})
    assert ParameterSpec(SPEC).complete(same).params_id == found.params_id


@pytest.mark.parametrize(
    ("values", "status", "text"),
    [
        ({"Contrast": {"int_value": {"value": 1}}}, ERROR.STATUS_UNSUPPORTED_PARAMETER, "Contrast"),
        ({"gain": {"int_value": {"value": 1}}}, ERROR.STATUS_INVALID_TYPE, "double, not int"),
        ({"gain": {}}, ERROR.STATUS_INVALID_TYPE, "nothing"),
        ({"gain": {"double_value": {"value": 24.1}}}, ERROR.STATUS_INVALID_VALUE, "the most is 24"),
        ({"gain": {"double_value": {"value": "NaN"}}}, ERROR.STATUS_INVALID_VALUE, "finite"),
        ({"gain": {"double_value": {"value": "-Infinity"}}}, ERROR.STATUS_INVALID_VALUE, "finite"),
        ({"count": {"int_value": {}}}, ERROR.STATUS_INVALID_VALUE, "the least is 1"),
        ({"mode": {"string_value": {"value": "x"}}}, ERROR.STATUS_INVALID_VALUE, "'x'"),
        ({"area": {"roi_value": {"area": {"polygon": {}}}}}, ERROR.STATUS_INVALID_VALUE, "polygon"),
        ({"sides": {"list_value": {"values": [{}]}}}, ERROR.STATUS_INVALID_TYPE, "sides[0]"),
        ({"sides": {"list_value": {"values": [{"int_value": {}}] * 3}}}, ERROR.STATUS_INVALID_VALUE, "3 elements"),
        ({"inner": {"dict_value": {"values": {"x": {}}}}}, ERROR.STATUS_UNSUPPORTED_PARAMETER, "inner.x"),
        ({"choice": {"one_of_value": {"key": "c"}}}, ERROR.STATUS_INVALID_VALUE, "'c'"),
    ],
)
def test_each_mistake_has_its_status(values: dict[str, Any], status: int, text: str) -> None:
    """And a sentence that names what is wrong, where the SDK's validator raises or says nothing of it."""
    error = refusal(ParameterSpec(SPEC), asked(**values))
    assert error.status == status
    assert text in error.error_messages[0]


@pytest.mark.row("M26")
def test_very_many_and_very_long_names_make_a_short_refusal() -> None:
    """The answer does not grow with the question."""
    many = service_customization_pb2.DictParam()
    for number in range(10_000):
        many.values[f"p{number}"].Clear()
    long = service_customization_pb2.DictParam()
    for number in range(20):
        long.values[str(number) + "x" * 1000].int_value.value = 1
    for wanted in (many, long):
        assert refusal(ParameterSpec(SPEC), wanted).ByteSize() < 3000
    large = asked(label={"string_value": {"value": "x" * 40_000}})
    assert refusal(ParameterSpec(SPEC), large).status == ERROR.STATUS_INVALID_VALUE


def test_what_the_camera_itself_rejects_is_a_value_or_a_combination() -> None:
    """One changed parameter cannot be a combination."""
    spec = ParameterSpec(SPEC)
    one = spec.complete(asked(gain={"double_value": {"value": 3}}))
    two = spec.complete(asked(gain={"double_value": {"value": 3}}, night={"bool_value": {"value": True}}))
    assert one.refused("no").error.status == ERROR.STATUS_INVALID_VALUE
    assert two.refused("no").error.status == ERROR.STATUS_INVALID_COMBINATION
    assert list(two.refused("no, thank you").error.error_messages) == ["no, thank you"]


TOO_LARGE = {"specs": {"a": {"spec": {"double_spec": {"default_value": 10**400}}}}}
NOT_A_NUMBER = {"specs": {"a": {"spec": {"double_spec": {"default_value": "NaN"}}}}}


@pytest.mark.parametrize(
    "raw",
    [5, "text", [1], {"specs": 5}, {"specs": None}, {"specs": {"a": None}}, {"wrong": 1}, NOT_A_NUMBER, TOO_LARGE],
)
def test_a_spec_that_makes_no_sense_has_no_parameters(raw: Any) -> None:
    """A segment is not trusted: the camera is served without parameters."""
    spec = ParameterSpec(raw)
    assert spec.complete(asked()).are_defaults
    assert not spec.message.specs
    assert refusal(spec, asked(a={"double_value": {}})).status == ERROR.STATUS_UNSUPPORTED_PARAMETER


def test_a_spec_of_wrong_details_concerns_who_uses_them() -> None:
    """What was believed when it was read, and cannot be compared with, is a refusal."""
    spec = ParameterSpec({"specs": {"a": {"spec": {"list_spec": {"min_number_of_values": None}}}}})
    assert refusal(spec, asked(a={"list_value": {}})).status == ERROR.STATUS_INVALID_VALUE


OWN = CameraSettings.model_validate(
    {"driver": "camera_interface", "camera_interface": {"factory": "m:C", "image_decode": "own"}}
)
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # as protobuf's JSON has them


def areas() -> st.SearchStrategy[Any]:
    """A region of interest, or what looks like one."""
    side = st.integers(-(2**31), 2**31 - 1)
    rectangle = st.fixed_dictionaries({}, optional={"x": side, "y": side, "cols": side, "rows": side})
    return st.fixed_dictionaries({}, optional={"area": st.fixed_dictionaries({"rectangle": rectangle})})


def custom_params() -> st.SearchStrategy[Any]:
    """A CustomParam in JSON: any of the eight kinds, or none, nested."""
    number = st.floats() | st.floats(0, 24)
    leaves = st.one_of(
        st.just({}),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: {"int_value": {"value": value}}),
        number.map(lambda value: {"double_value": {"value": NOT_FINITE.get(repr(value), value)}}),
        st.text(max_size=20).map(lambda value: {"string_value": {"value": value}}),
        st.booleans().map(lambda value: {"bool_value": {"value": value}}),
        areas().map(lambda value: {"roi_value": value}),
    )

    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        entries = st.dictionaries(keys(), inner, max_size=3)
        choices = st.dictionaries(keys(), entries.map(lambda values: {"values": values}), max_size=2)
        return st.one_of(
            st.lists(inner, max_size=4).map(lambda values: {"list_value": {"values": values}}),
            entries.map(lambda values: {"dict_value": {"values": values}}),
            st.builds(lambda key, values: {"one_of_value": {"key": key, "values": values}}, keys(), choices),
        )

    return st.recursive(leaves, around, max_leaves=8)


def keys() -> st.SearchStrategy[str]:
    """Names that exist somewhere, and others."""
    return st.sampled_from([*SPEC["specs"], "deep", "a", "b", "x"]) | st.text(max_size=200)


def outcome(spec: ParameterSpec, values: dict[str, Any]) -> Any:
    """The completed Parameters, or the CustomParamError."""
    try:
        return spec.complete(asked(**values))
    except RefusedError as refused:
        return refused.error


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(keys(), custom_params(), max_size=6))
def test_any_parameters_are_completed_or_refused(values: dict[str, Any]) -> None:
    """Nothing that a client sends raises anything else; what is completed is valid, and stays what it is."""
    spec = ParameterSpec(SPEC)
    found = outcome(spec, values)
    if isinstance(found, Parameters):
        assert spec.complete(found.message).params_id == found.params_id
        assert parameters.parameters_id(SPEC, parameters.complete(SPEC, found.values)) == found.params_id
    else:
        assert found.status in MISTAKES
        assert found.error_messages
        assert found.ByteSize() < 8000


@pytest.mark.row("M26")
def test_the_deepest_that_gRPC_lets_through_is_refused() -> None:  # noqa: N802
    """Protobuf ends at a hundred messages in each other; what is left must not end us."""
    param = service_customization_pb2.CustomParam()
    param.int_value.value = 1
    for _ in range(30):
        outer = service_customization_pb2.CustomParam()
        outer.dict_value.values["inner"].CopyFrom(param)
        param = outer
    wanted = service_customization_pb2.DictParam()
    wanted.values["inner"].CopyFrom(param)
    wanted = service_customization_pb2.DictParam.FromString(wanted.SerializeToString())
    assert refusal(ParameterSpec(SPEC), wanted).status == ERROR.STATUS_UNSUPPORTED_PARAMETER


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400)])
    | st.floats()
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
kinds = [f"{kind}_spec" for kind in ("int", "double", "bool", "string", "roi", "dict", "list", "one_of")]
details = st.dictionaries(
    st.sampled_from(["default_value", "min_value", "max_value", "specs", "options", "default_key", "element_spec"]),
    junk,
)
param_specs = st.dictionaries(st.sampled_from(kinds), details | junk, max_size=2) | junk
specs = st.dictionaries(st.sampled_from(["a", "b"]), param_specs.map(lambda spec: {"spec": spec}))


@settings(max_examples=200, deadline=None)
@given(
    raw=junk | specs.map(lambda specs: {"specs": specs}),
    values=st.dictionaries(st.sampled_from(["a", "b"]), custom_params(), max_size=2),
)
def test_any_spec_in_a_segment_is_survived(raw: Any, values: dict[str, Any]) -> None:
    """Whatever it is, parameters are completed or refused."""
    spec = ParameterSpec(raw)
    assert spec.complete(asked()).are_defaults
    found = outcome(spec, values)
    assert isinstance(found, Parameters) or found.error_messages


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional={"param_spec": junk | specs, "own_decode": junk, "fps": junk}))
def test_any_descriptor_in_a_segment_is_survived(instance: str, descriptor: dict[str, Any]) -> None:
    """The camera is described, or named at least; what it concerns can be asked; and it has a limit."""
    with Ring(instance, "front", descriptor=descriptor) as ring:
        ring.show(smooth())
        camera = ServedCamera(instance, "front", OWN, RobotClock(OFFSET_NS))
        assert camera.source().name == "front"
        assert camera.max_age_s >= 0.5
        assert camera.spec.complete(asked()).are_defaults

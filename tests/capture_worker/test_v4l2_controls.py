"""What a V4L2 device can do becomes parameters, and nothing of it changes unless somebody asks.

The fake stands where this process ends: at the system call. tests/v4l2 does the same with a real driver.
"""

import contextlib
import errno
import fcntl
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from bosdyn.api import service_customization_pb2
from google.protobuf import json_format

from capture_worker.camera import ParametersRejectedError, ReadFailedError
from capture_worker.v4l2_controls import (
    V4L2_CTRL_FLAG_EXECUTE_ON_WRITE,
    V4L2_CTRL_FLAG_GRABBED,
    V4L2_CTRL_FLAG_MODIFY_LAYOUT,
    V4L2_CTRL_FLAG_VOLATILE,
)
from capture_worker.v4l2_parameters import V4l2Parameters
from shm.parameters import complete, from_plain
from tests.capture_worker.fake_webcam import NODE, FakeControl, FakeWebcam

OFFERED = [
    *("brightness", "contrast", "white_balance_automatic", "gain", "power_line_frequency"),
    *("white_balance_temperature", "auto_exposure", "exposure_time_absolute", "link_frequency"),
]


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch) -> FakeWebcam:
    """Put a fake in the place of the system call."""
    webcam = FakeWebcam()
    monkeypatch.setattr(fcntl, "ioctl", webcam.ioctl)
    return webcam


Opener = Callable[..., contextlib.AbstractContextManager[V4l2Parameters]]


@pytest.fixture
def opened(webcam: FakeWebcam) -> Opener:
    """Return a function that opens the webcam's parameters, with the descriptor of a predecessor if there was one."""

    @contextlib.contextmanager
    def open_parameters(predecessor: Mapping[str, Any] | None = None) -> Iterator[V4l2Parameters]:
        assert webcam.controls
        with V4l2Parameters(NODE, 1.0, predecessor) as parameters:
            ask(parameters)  # as a worker does before anything else
            yield parameters

    return open_parameters


def ask(parameters: V4l2Parameters, **plain: Any) -> None:
    """Apply what a client asks for, and the defaults of the rest."""
    assert parameters.spec is not None
    parameters.apply(complete(parameters.spec, from_plain(parameters.spec, plain)))


def spec_of(parameters: V4l2Parameters, key: str) -> dict[str, Any]:
    """Return the spec of one parameter."""
    assert parameters.spec is not None
    spec: dict[str, Any] = parameters.spec["specs"][key]["spec"]
    return spec


def test_the_controls_of_a_webcam_are_its_parameters(opened: Opener) -> None:
    """Standard controls that stay set and show in a picture, in the driver's order, and nothing else."""
    with opened() as parameters:
        assert parameters.spec is not None
        assert list(parameters.spec["specs"]) == OFFERED
        about = parameters.spec["specs"]["exposure_time_absolute"]["ui_info"]
        assert about == {"display_name": "Exposure Time, Absolute", "display_order": 8}
        proto = json_format.ParseDict(parameters.spec, service_customization_pb2.DictParam.Spec())
    assert proto.specs["exposure_time_absolute"].spec.int_spec.units.name == "100 µs"


def test_each_type_of_control_has_its_type_of_parameter(opened: Opener) -> None:
    """Ranges and options are the driver's, defaults are what is in force."""
    with opened() as parameters:
        assert spec_of(parameters, "brightness") == {
            "int_spec": {"default_value": 0, "min_value": -64, "max_value": 64}
        }
        assert spec_of(parameters, "white_balance_automatic") == {"bool_spec": {"default_value": True}}
        assert spec_of(parameters, "auto_exposure") == {
            "string_spec": {
                "options": ["Manual Mode", "Aperture Priority Mode"],
                "default_value": "Aperture Priority Mode",
            }
        }
        assert spec_of(parameters, "link_frequency") == {
            "string_spec": {"options": ["300000000", "600000000"], "default_value": "600000000"}
        }


@pytest.mark.parametrize(
    "flag", [V4L2_CTRL_FLAG_GRABBED, V4L2_CTRL_FLAG_EXECUTE_ON_WRITE, V4L2_CTRL_FLAG_MODIFY_LAYOUT]
)
def test_what_cannot_be_set_while_streaming_is_not_offered(webcam: FakeWebcam, opened: Opener, flag: int) -> None:
    """Nor what is an action, and no state."""
    webcam["Contrast"].flags = flag
    with opened() as parameters:
        assert parameters.spec is not None
        assert "contrast" not in parameters.spec["specs"]


def test_what_was_tuned_before_the_start_stays(webcam: FakeWebcam, opened: Opener) -> None:
    """It is the default, and opening and closing write nothing; nor does asking for the defaults."""
    webcam["Brightness"].value = 20
    with opened() as parameters:
        assert spec_of(parameters, "brightness")["int_spec"]["default_value"] == 20
        ask(parameters)
        ask(parameters, brightness=20)
    assert webcam.written == []


def test_only_what_differs_is_written(webcam: FakeWebcam, opened: Opener) -> None:
    """And put back at the end, but not what somebody else changed meanwhile."""
    with opened() as parameters:
        ask(parameters, brightness=33, power_line_frequency="60 Hz")
        ask(parameters, brightness=33, power_line_frequency="60 Hz")
        assert webcam.written == [("Brightness", 33), ("Power Line Frequency", 2)]
        ask(parameters, brightness=33)
        assert webcam.written[2:] == [("Power Line Frequency", 1)]
        webcam["Contrast"].value = 50
    assert webcam.written[3:] == [("Brightness", 0)]


def test_an_automatic_is_switched_off_before_what_it_works_by_is_set(webcam: FakeWebcam, opened: Opener) -> None:
    """Before that, the driver refuses; and on the way back the exposure time is put right while that is possible."""
    with opened() as parameters:
        ask(parameters, exposure_time_absolute=300, auto_exposure="Manual Mode")
        assert webcam.written == [("Auto Exposure", 1), ("Exposure Time, Absolute", 300)]
        ask(parameters)
        assert webcam.written[2:] == [("Exposure Time, Absolute", 157), ("Auto Exposure", 3)]


def test_an_inactive_control_is_left_alone(webcam: FakeWebcam, opened: Opener) -> None:
    """The automatic has it: its default, asked for or not, is no error and is not written."""
    with opened() as parameters:
        ask(parameters, exposure_time_absolute=157, brightness=1)
    assert webcam.written == [("Brightness", 1), ("Brightness", 0)]


@pytest.mark.parametrize(
    ("plain", "automatic"),
    [
        ({"exposure_time_absolute": 300}, "auto_exposure"),
        ({"white_balance_temperature": 3000}, "white_balance_automatic"),
        ({"white_balance_temperature": 3000, "auto_exposure": "Manual Mode"}, "white_balance_automatic"),
        ({"contrast": 5}, "white_balance_automatic or auto_exposure"),
    ],
)
def test_what_an_automatic_decides_cannot_be_asked_for(
    webcam: FakeWebcam, opened: Opener, plain: dict[str, Any], automatic: str
) -> None:
    """A frame would be said to have it: the sentence names what is to be switched off, and nothing is changed."""
    webcam["Contrast"].master = "Auto Exposure"  # of which V4L2 knows nothing
    webcam["Contrast"].manual = 1
    key = next(iter(plain))
    with opened() as parameters:
        sentence = f"^{key} = {plain[key]}: has no effect while {automatic} is on; switch that off as well$"
        with pytest.raises(ParametersRejectedError, match=sentence):
            ask(parameters, brightness=1, **plain)
        assert webcam["Brightness"].value == 0
        assert webcam["Auto Exposure"].value == 3


def test_an_automatic_can_be_switched_on_whatever_the_configuration_has_set(webcam: FakeWebcam) -> None:
    """The configured exposure time is what clients know as its default; nobody has asked for it."""
    configured = {"auto_exposure": "Manual Mode", "exposure_time_absolute": 300}
    with V4l2Parameters(NODE, 1.0) as parameters:
        ask(parameters, **configured)
        ask(parameters, auto_exposure="Aperture Priority Mode", exposure_time_absolute=300)
        assert webcam["Auto Exposure"].value == 3
        with pytest.raises(ParametersRejectedError, match="exposure_time_absolute = 400: has no effect"):
            ask(parameters, auto_exposure="Aperture Priority Mode", exposure_time_absolute=400)
        ask(parameters, **configured)
        assert (webcam["Auto Exposure"].value, webcam["Exposure Time, Absolute"].value) == (1, 300)


def test_a_value_off_the_step_is_rejected(webcam: FakeWebcam, opened: Opener) -> None:
    """The driver would round it, and a frame would lie about its parameters; nothing is written."""
    with opened() as parameters:
        sentence = "white_balance_temperature = 3333: it goes in steps of 10; use 3330 or 3340"
        with pytest.raises(ParametersRejectedError, match=sentence):
            ask(parameters, brightness=1, white_balance_automatic=False, white_balance_temperature=3333)
        assert webcam.written == []
        ask(parameters, white_balance_automatic=False, white_balance_temperature=3330)
    assert webcam["White Balance Temperature"].value == 6500


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ({"refuses": errno.EBUSY}, r"gain = 99: the driver refuses it \(Refused\)"),
        ({"makes": 16}, "gain = 99: the driver makes 16 of it"),
    ],
)
def test_a_refused_value_is_a_sentence_and_changes_nothing(
    webcam: FakeWebcam, opened: Opener, refusal: dict[str, int], sentence: str
) -> None:
    """What was in force before is in force again."""
    with opened() as parameters:
        ask(parameters, brightness=5)
        for name, value in refusal.items():
            setattr(webcam["Gain"], name, value)
        with pytest.raises(ParametersRejectedError, match=sentence):
            ask(parameters, brightness=7, gain=99)
        assert webcam["Brightness"].value == 5
        assert webcam["Gain"].value == 16


def test_a_default_that_only_the_hardware_could_choose_is_no_error(
    webcam: FakeWebcam, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    """It was found between two steps: the nearest that can be had is put back, and that is said once."""
    webcam["Gain"].step, webcam["Gain"].value = 10, 16
    with opened() as parameters:
        for _ in range(2):
            ask(parameters, gain=30)
            ask(parameters)
            assert webcam["Gain"].value == 10
    assert caplog.text.count("gain = 16 cannot be put back; it is 10") == 1


def test_a_control_outside_its_own_range_has_the_nearest_value(webcam: FakeWebcam, opened: Opener) -> None:
    """Webcams have such values while an automatic makes them inactive; a default outside would be an invalid spec."""
    with opened() as parameters:
        assert webcam["White Balance Temperature"].value == 57343
        assert spec_of(parameters, "white_balance_temperature")["int_spec"]["default_value"] == 6500


def test_a_successor_of_a_killed_worker_knows_how_the_device_was_found(webcam: FakeWebcam, opened: Opener) -> None:
    """A client's parameters are in force: they are no defaults, and are put back before anything else."""
    webcam["Brightness"].value = 20
    with opened() as parameters:
        descriptor = {"found": parameters.found}
        ask(parameters, brightness=-60, auto_exposure="Manual Mode", exposure_time_absolute=300)
        with opened(descriptor) as successor:
            assert successor.spec == parameters.spec
            assert webcam["Brightness"].value == 20
            assert (webcam["Auto Exposure"].value, webcam["Exposure Time, Absolute"].value) == (3, 157)
            assert successor.writes == 3


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        {"device": "uvcvideo, Cam, usb-9", "values": {"brightness": 5}},
        {"device": "uvcvideo, Cam, usb-1.2"},
        {"device": "uvcvideo, Cam, usb-1.2", "values": {"brightness": 65}},
        {"device": "uvcvideo, Cam, usb-1.2", "values": {"brightness": "5", "auto_exposure": 2, "unknown": 1}},
    ],
    ids=["none", "no object", "another device", "no values", "out of range", "of the wrong type"],
)
def test_a_predecessor_of_another_kind_says_nothing(webcam: FakeWebcam, opened: Opener, found: Any) -> None:
    """Only what the same device could have is believed."""
    with opened({"found": found}) as parameters:
        assert spec_of(parameters, "brightness")["int_spec"]["default_value"] == 0
        assert spec_of(parameters, "auto_exposure")["string_spec"]["default_value"] == "Aperture Priority Mode"
    assert webcam.written == []


def test_an_unplugged_device_is_a_failed_read(webcam: FakeWebcam, opened: Opener) -> None:
    """It is no fault of the parameters, and closing does not mind."""
    with opened() as parameters:
        ask(parameters, brightness=1)
        webcam.unplugged = True
        with pytest.raises(ReadFailedError, match="/dev/null is gone"):
            ask(parameters, brightness=2)


def test_the_exposure_time_is_in_seconds(webcam: FakeWebcam, opened: Opener) -> None:
    """V4L2 counts in 100 µs. While an automatic keeps the time to itself, it is unknown, and not what was set once."""
    with opened() as parameters:
        assert math.isnan(parameters.exposure_s())
        ask(parameters, auto_exposure="Manual Mode", exposure_time_absolute=300)
        assert parameters.exposure_s() == pytest.approx(0.03)
        ask(parameters)
        assert math.isnan(parameters.exposure_s())
        webcam["Exposure Time, Absolute"].flags = V4L2_CTRL_FLAG_VOLATILE
        ask(parameters, auto_exposure="Manual Mode")
        ask(parameters)
        assert parameters.exposure_s() == pytest.approx(0.0157)


def test_a_driver_that_forgets_to_say_inactive_is_seen_through(webcam: FakeWebcam, opened: Opener) -> None:
    """What matters is what the automatic does; a device without one has only what was set."""
    webcam["Exposure Time, Absolute"].master = None
    with opened() as parameters:
        assert math.isnan(parameters.exposure_s())
    del webcam.controls[webcam["Auto Exposure"].id]
    with opened() as parameters:
        assert parameters.exposure_s() == pytest.approx(0.0157)


def test_the_exposure_time_is_asked_for_once_a_second(
    webcam: FakeWebcam, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame must not cost system calls that may go over a slow bus."""
    now_s = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    with opened() as parameters:
        ask(parameters, auto_exposure="Manual Mode")
        reads = webcam.reads
        for _ in range(30):
            parameters.exposure_s()
        assert webcam.reads == reads + 2
        now_s[0] += 1.0
        parameters.exposure_s()
        assert webcam.reads == reads + 4


def test_no_exposure_time_is_offered_that_would_be_taken_for_a_dead_camera(webcam: FakeWebcam, opened: Opener) -> None:
    """The driver has 2 s, a read may take less; but how a device was found is always allowed."""
    with opened() as parameters:
        assert spec_of(parameters, "exposure_time_absolute")["int_spec"]["max_value"] == 10_000
    webcam["Exposure Time, Absolute"].value = 12_000
    with opened() as parameters:
        assert spec_of(parameters, "exposure_time_absolute")["int_spec"] == {
            "default_value": 12_000,
            "min_value": 1,
            "max_value": 12_000,
            "units": {"name": "100 µs"},
        }


def test_more_controls_than_a_descriptor_has_room_for_are_left_out(
    webcam: FakeWebcam, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    """The last ones, and the log names them."""
    for number in range(300):
        control = FakeControl(0x009F0900 + number, f"Processing Step Number {number}", 0, 9, 1, 5)
        webcam.controls[control.id] = control
    with opened() as parameters:
        assert parameters.spec is not None
        kept = list(parameters.spec["specs"])
        assert kept[: len(OFFERED)] == OFFERED
        assert 60 < len(kept) < 150
        assert f"left out: processing_step_number_{len(kept) - len(OFFERED)}, " in caplog.text
        ask(parameters, brightness=3)
    assert [name for name, _ in webcam.written] == ["Brightness", "Brightness"]


def test_a_driver_that_fails_in_the_middle_offers_what_it_had_said(webcam: FakeWebcam, opened: Opener) -> None:
    """One broken control of a webcam must not cost the others."""
    webcam.breaks_after = webcam["Gain"].id
    with opened() as parameters:
        assert parameters.spec is not None
        assert list(parameters.spec["specs"]) == OFFERED[:4]


def test_a_driver_that_begins_again_at_its_end_is_at_its_end(webcam: FakeWebcam, opened: Opener) -> None:
    """Instead of saying that this was the last control."""
    webcam.begins_again = True
    with opened() as parameters:
        assert parameters.spec is not None
        assert list(parameters.spec["specs"]) == OFFERED


def test_a_device_without_controls_has_no_parameters() -> None:
    """It is no V4L2 device at all: nothing is offered, nothing is asked, nothing fails."""
    with V4l2Parameters(NODE, 1.0) as parameters:
        assert parameters.spec is None
        assert parameters.found is None
        parameters.apply({})
        assert math.isnan(parameters.exposure_s())
        assert parameters.writes == 0

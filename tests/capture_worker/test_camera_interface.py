"""A user's class is found, constructed and called as the SDK would, and told from what is none."""

import fractions
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture_worker import camera_interface
from capture_worker.camera import (
    CameraAbsentError,
    CorruptFrameError,
    MisconfiguredError,
    OpenFailedError,
    ParametersRejectedError,
    ReadFailedError,
)
from capture_worker.camera_data import CaptureTimes
from shm import Encoding
from supervision.camera_settings import CameraInterfaceSettings
from supervision.configuration import read_file, validate
from tests.capture_worker.harness import PROJECT
from tests.capture_worker.own_cameras import next_frame, own


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a camera puts its folder into the path of this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize(
    ("factory", "arguments", "text"),
    [
        ("no_such_module:Camera", [], "the module no_such_module cannot be imported: ModuleNotFoundError: No module"),
        ("no_such.module:Camera", [], "the module no_such.module cannot be imported"),
        ("troubled:Missing", [], "there is no Missing in .*troubled.py"),
        ("troubled:Camera.Missing", [], "there is no Camera.Missing in "),
        ("troubled:not_callable", [], "troubled:not_callable is no camera class, and nothing that makes one"),
        ("troubled:CameraInterface", [], "it has no blocking_capture, image_decode"),
        ("troubled:Incomplete", [], "no complete CameraInterface: it has no image_decode"),
        ("troubled:np.ndarray", [], "is a class, but no CameraInterface"),
        ("troubled:Camera", [1, 2, 3, 4], "does not take these arguments: too many positional arguments"),
        ("troubled:Camera", {"fps": 3}, "does not take these arguments: got an unexpected keyword argument 'fps'"),
        ("troubled:Positional", [], r"Positional.blocking_capture\(exposure_ms\) is no method of a CameraInterface"),
        ("troubled:make", ["nothing"], "made an object of type NoneType, which is no CameraInterface"),
        ("troubled:make", ["number"], "made an object of type int"),
        ("troubled:make", ["mixed"], "made an object of type int"),
        ("troubled:make", ["several"], "makes several cameras; say which is the `source`: left, Camera"),
        ("troubled:make", ["twins"], "makes several cameras; say which is the `source`: a, a"),
    ],
)
def test_what_trying_again_cannot_mend_is_bad_configuration(factory: str, arguments: Any, text: str) -> None:
    """The sentence says what is wrong with the name, the arguments, or what was made."""
    with pytest.raises(MisconfiguredError, match=text), own(factory, arguments=arguments):
        pass


@pytest.mark.parametrize(("folder", "more"), [(None, ", and python_path is not set"), (PROJECT / "docs", "")])
def test_a_module_that_is_not_found_was_looked_for_somewhere(folder: Path | None, more: str) -> None:
    """Whoever forgot python_path reads that; a module that is missing in his own one is another matter."""
    where = f"; it is neither in {folder or Path.cwd()} nor installed{more}$"
    with pytest.raises(MisconfiguredError, match=where), own("no_such.module:Camera", python_path=folder):
        pass
    with pytest.raises(MisconfiguredError, match=r"No module named 'no_such'$"), own("incomplete:Camera"):
        pass


def test_two_sources_of_one_name_are_not_confused() -> None:
    """Neither silently replaces the other (D33)."""
    with (
        pytest.raises(MisconfiguredError, match="makes 2 cameras of the name a"),
        own("troubled:make", "twins", source="a"),
    ):
        pass


@pytest.mark.parametrize(("kind", "name"), [("runtime", "RuntimeError"), ("type", "TypeError"), ("exit", "SystemExit")])
def test_an_exception_in_a_constructor_is_tried_again(kind: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its type and text are reported in one line, and the log shows where it arose."""
    with (
        pytest.raises(OpenFailedError, match=f"{name}: the sensor says no$"),
        own("troubled:raises", kind),
    ):
        pass
    assert "in raises" in caplog.text


@pytest.mark.parametrize(("what", "source"), [("empty", None), ("several", "right")])
def test_a_source_that_is_not_there_may_come(what: str, source: str | None) -> None:
    """A factory may make the cameras that are plugged in."""
    with pytest.raises(CameraAbsentError, match="it makes: "), own("troubled:make", what, source=source):
        pass


def test_an_invalid_spec_is_a_sentence() -> None:
    """The SDK's source refuses it in its constructor (D41)."""
    with (
        pytest.raises(OpenFailedError, match="InvalidCustomParamSpecError"),
        own("contrast_camera:make_source", arguments={"default": -1}),
    ):
        pass


def test_a_spec_that_no_ring_can_carry_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would learn of the parameters; restarting changes nothing."""
    monkeypatch.setattr(camera_interface, "_MOST_SPEC_BYTES", 10)
    with pytest.raises(MisconfiguredError, match="the parameter spec of contrast is too long"):
        own("contrast_camera:make_source").__enter__()


@pytest.mark.parametrize("source", ["left", "Camera"])
def test_one_of_several_is_chosen_by_its_name(source: str) -> None:
    """A source's name, or a bare class's own."""
    with own("troubled:make", "several", source=source) as camera:
        assert next_frame(camera).encoding is Encoding.BGR8


def test_arguments_come_as_a_list_or_a_table() -> None:
    """Positional or named."""
    for arguments in (["c", 20, 30, 7.0], {"name": "c", "rows": 20, "cols": 30, "default": 7.0}):
        with own("contrast_camera:make_source", arguments=arguments) as camera:
            frame = next_frame(camera)
            assert frame.payload.shape == (20, 30, 3)
            assert frame.payload.max() == 7


@pytest.mark.parametrize("factory", ["legacy:Before33", "legacy:Before31"])
def test_a_capture_without_parameters_is_called_without(factory: str) -> None:
    """Each frame is one call of the class's method: the picture counts them."""
    with own(factory) as camera:
        assert [int(next_frame(camera).payload[0, 0]) for _ in range(3)] == [1, 2, 3]
        assert camera.describe().param_spec is None
        camera.apply({})


def test_parameters_that_a_class_cannot_take_are_not_offered(caplog: pytest.LogCaptureFixture) -> None:
    """The log says so, and who sets them all the same is refused."""
    with own("legacy:with_parameters") as camera:
        assert camera.describe().param_spec is None
        with pytest.raises(ParametersRejectedError, match=r"Before33.blocking_capture takes no parameters"):
            camera.apply({"Contrast": {"double_value": {"value": 1.0}}})
        assert next_frame(camera).rows == 24
    assert "has no custom_params: the parameters of its source are not offered" in caplog.text


def contrast(value: float) -> dict[str, Any]:
    """Return completed parameters."""
    return {"Contrast": {"double_value": {"value": value}}}


def test_frames_are_captured_with_the_applied_parameters() -> None:
    """The defaults first, then each time what was applied last; the picture shows it (D1, D3)."""
    with own("contrast_camera:make_source") as camera:
        spec = camera.describe().param_spec
        assert spec is not None
        assert spec["specs"]["Contrast"]["spec"]["double_spec"]["max_value"] == 255.0
        shown = [int(next_frame(camera).payload.max())]
        for value in (70.0, 200.0, 0.0):
            camera.apply(contrast(value))
            shown += [int(next_frame(camera).payload.max()) for _ in range(2)]
    assert shown == [50, 70, 70, 200, 200, 0, 0]


def test_parameters_of_no_known_type_are_rejected() -> None:
    """What is no DictParam never reaches the class."""
    with own("contrast_camera:make_source") as camera:
        with pytest.raises(ParametersRejectedError, match="these are no parameters"):
            camera.apply({"Contrast": {"colour_value": {}}})
        assert next_frame(camera).payload.max() == 50


def test_a_bug_in_the_class_is_its_own_and_triggers_no_second_capture(caplog: pytest.LogCaptureFixture) -> None:
    """A TypeError is not taken for a wrong call (D4): one call, one exception, with type and text."""
    with own("troubled:Camera", "raise_type_error") as camera:
        assert next_frame(camera).rows == 24
        for _ in range(2):
            with pytest.raises(
                ReadFailedError, match=r"Camera.blocking_capture raised TypeError: block.* unexpected key"
            ):
                next_frame(camera)
        assert camera._user.camera.captures == 3
    assert caplog.text.count("in raise_type_error") == 1


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("picture_alone", r"returned an array \(24, 32, 3\) of uint8 instead of \(image data, time\)"),
        ("three", "returned tuple instead"),
        ("text", "returned str instead"),
        ("nothing", "returned NoneType instead"),
    ],
)
def test_what_is_no_picture_and_time_is_named(what: str, text: str) -> None:
    """A class that forgot the time is told so."""
    with own("troubled:Wrong", what) as camera, pytest.raises(CorruptFrameError, match=text):
        next_frame(camera)


def test_leaving_as_a_script_does_is_a_failure_of_that_step() -> None:
    """A camera is not finished because its class says `sys.exit(0)`."""
    with pytest.raises(OpenFailedError, match="the module quits cannot be imported: SystemExit: 0"):
        own("quits:Camera").__enter__()
    with (
        own("troubled:Camera", "exit", 0) as camera,
        pytest.raises(ReadFailedError, match=r"Camera.blocking_capture raised SystemExit: 0"),
    ):
        next_frame(camera)


@pytest.mark.parametrize(
    ("gain", "exposure", "expected"),
    [
        (6.0, 0.01, (6.0, 0.01)),
        ("6", "0.01", (6.0, 0.01)),
        (None, None, (math.nan, math.nan)),
        (0, 0.0, (math.nan, math.nan)),
        ("0", "0", (math.nan, math.nan)),
        (-1, -1.0, (math.nan, math.nan)),  # OpenCV's "not supported"
        ("-1", "0.02", (math.nan, 0.02)),
        (math.nan, 0.02, (math.nan, 0.02)),
        ("nan", "0.02", (math.nan, 0.02)),
        (math.inf, math.inf, (math.nan, math.nan)),
        ("3", "inf", (math.nan, math.nan)),  # the SDK's conversion raises
        ("inf", "0.02", (math.nan, 0.02)),
        ("raise", 0.02, (math.nan, math.nan)),
        ("exit", 0.02, (math.nan, math.nan)),
        (2.0, "raise", (math.nan, math.nan)),
        (64.0, 156, (64.0, math.nan)),  # a V4L2 driver's units of 100 us
    ],
)
def test_gain_and_exposure_are_reported_if_they_can_be_true(gain: Any, exposure: Any, expected: Any) -> None:
    """In dB and seconds, asked at each capture; never at the price of a frame (D9, D22)."""
    with own("troubled:lit", gain, exposure) as camera:
        frame = next_frame(camera)
    assert (frame.gain, frame.exposure_s) == pytest.approx(expected, nan_ok=True)


def test_what_is_not_reported_is_said_of_each_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason that is the right one: that a gain cannot be hides nothing of the exposure."""
    with own("troubled:lit", -1, 156) as camera:
        for _ in range(2):
            next_frame(camera)
    with own("troubled:lit", math.nan, "-3") as camera:
        next_frame(camera)
    said = [record.getMessage().partition(", and not reported: ")[::2] for record in caplog.records]
    assert [each for each in said if each[1]] == [
        ("gain of lit is said to be -1", "it is below 0 dB"),
        ("exposure of lit is said to be 156", "it is above 1 s"),
        ("gain of lit is said to be nan", "it is no number"),
        ("exposure of lit is said to be -3", "it is below 0 s"),
    ]


def test_functions_for_gain_are_asked_after_each_capture() -> None:
    """What is reported belongs to the frame (D6)."""
    with own("contrast_camera:make_source") as camera:
        gains = []
        for value in (100.0, 200.0):
            camera.apply(contrast(value))
            gains.append(next_frame(camera).gain)
    assert gains == [2.0, 3.0]


def timed(timestamp: Any) -> tuple[int, int, int]:
    """Capture twice with a class that says this is the time; return the frame's and those before and after."""
    with own("troubled:Timed") as camera:
        camera._user.camera.timestamp = timestamp
        next_frame(camera)
        before_ns = time.monotonic_ns()
        return before_ns, next_frame(camera).captured_ns, time.monotonic_ns()


@pytest.mark.parametrize("timestamp", [None, 0, 0.0, -1.0, math.nan, math.inf, 1e300, 10**400, "now", True, [1]])
def test_an_impossible_time_is_replaced_by_that_of_the_call(timestamp: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The frame is no younger than it can be (D22), and the log says so once."""
    before_ns, captured_ns, after_ns = timed(timestamp)
    assert before_ns <= captured_ns <= after_ns - 10_000_000
    assert caplog.text.count("is its time: the time before the call is used") == 1


@pytest.mark.parametrize("age_s", [-3600.0, -1.0, 1e9])
def test_a_time_in_the_future_or_long_ago_is_none(age_s: float) -> None:
    """Neither a wrong clock nor one that was never set makes a frame fresh or stale."""
    before_ns, captured_ns, after_ns = timed(time.time() - age_s)
    assert before_ns <= captured_ns <= after_ns - 10_000_000


@pytest.mark.parametrize("age_s", [61.0, 7200.0])
def test_a_clock_that_is_wrong_moves_all_the_same(age_s: float) -> None:
    """Local time instead of UTC: the first picture may be an old one, and is as old as it says. The next is new."""
    with own("troubled:Buffered", age_s) as camera:
        first = next_frame(camera)
        before_ns = time.monotonic_ns()
        second = next_frame(camera)
    assert first.captured_ns == pytest.approx(max(0, before_ns - age_s * 1e9), abs=5e9)
    assert before_ns <= second.captured_ns <= time.monotonic_ns()


@pytest.mark.parametrize("was_fresh", [False, True])
def test_an_old_picture_never_becomes_new(was_fresh: bool) -> None:
    """A class returns its last picture for ever, with its honest time: after a minute neither, nor in a new process."""
    with own("troubled:Timed") as camera:
        camera._user.camera.timestamp = time.time() - (1.0 if was_fresh else 70.0)
        assert next_frame(camera).captured_ns < time.monotonic_ns() - 900_000_000
        if was_fresh:
            camera._user.camera.timestamp -= 70.0
            assert next_frame(camera).captured_ns < time.monotonic_ns() - 60_000_000_000
        for _ in range(2):
            with pytest.raises(CorruptFrameError, match=r"the camera returned .* 7[0-9] s ago"):
                next_frame(camera)


def test_a_picture_that_stands_still_ages_and_then_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fresh for a minute is as old as it says, and then no picture."""
    times = CaptureTimes()
    stamp, now_ns = time.time(), time.monotonic_ns()
    for passed_s in range(60):
        at(monkeypatch, stamp + passed_s, now_ns + passed_s * 10**9)
        assert times.captured_ns(stamp) == pytest.approx(now_ns, abs=1000)
    for passed_s in (61, 62, 3600):
        at(monkeypatch, stamp + passed_s, now_ns + passed_s * 10**9)
        with pytest.raises(CorruptFrameError, match="the same picture again"):
            times.captured_ns(stamp)


def at(monkeypatch: pytest.MonkeyPatch, wall_s: float, monotonic_ns: int) -> None:
    """Set the two clocks."""
    monkeypatch.setattr(time, "time", lambda: wall_s)
    monkeypatch.setattr(time, "monotonic_ns", lambda: monotonic_ns)


def ages(monkeypatch: pytest.MonkeyPatch, said_ages_s: list[float]) -> list[float | None]:
    """Have a class at 10 Hz say that its pictures are so old; return how old they are taken to be."""
    times, found = CaptureTimes(), list[float | None]()
    start_s, start_ns = time.time(), time.monotonic_ns()
    for number, age_s in enumerate(said_ages_s):
        at(monkeypatch, start_s + number / 10, now_ns := start_ns + number * 10**8)
        captured_ns = times.captured_ns(start_s + number / 10 - age_s)
        found.append(None if captured_ns is None else round((now_ns - captured_ns) / 1e9, 3))
    return found


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ([-0.05] * 3 + [-0.15] * 3, [0.0] * 3 + [None] * 3),
        ([0.0, -0.1, 0.2, -0.2, 0.1], [0.0, 0.0, 0.2, None, 0.1]),
        ([0.01] * 3 + [70.0] * 4 + [0.01], [0.01] * 3 + [70.0, None, None, None, 0.01]),
        ([0.01] * 2 + [30.0] * 2, [0.01] * 2 + [30.0] * 2),
        ([-3600.0, -3600.0, 70.0, 70.0], [None, None, 70.0, None]),
        ([59.9, 59.95, 60.05, 60.1], [59.9, 59.95, 60.05, 60.1]),
        ([7200.0, 7200.0, 7200.3, 7199.9], [7200.0, None, None, None]),
    ],
    ids=["ahead", "jitter", "set back", "set back a little", "was ahead", "falls behind", "jitter of a wrong clock"],
)
def test_a_time_that_moves_is_never_a_failed_capture(
    monkeypatch: pytest.MonkeyPatch, said: list[float], taken: list[float | None]
) -> None:
    """A clock that is set, or runs ahead, costs no worker; a picture that came too late stays old."""
    assert ages(monkeypatch, said) == taken


def test_a_wrong_clock_in_whole_seconds_is_no_old_picture() -> None:
    """It stands still for a second; a picture that is as old as it says is served by nobody meanwhile."""
    with own("troubled:Buffered", arguments={"age_s": 7200.0, "whole_seconds": True}) as camera:
        while next_frame(camera).captured_ns < (before_ns := time.monotonic_ns()) - 60_000_000_000:
            pass
        assert all(next_frame(camera).captured_ns >= before_ns for _ in range(20))


def test_a_time_that_is_missing_once_is_that_of_the_call() -> None:
    """It says nothing, and so nothing about an old picture."""
    with own("troubled:Timed") as camera:
        for timestamp in (time.time(), None, time.time(), math.nan):
            camera._user.camera.timestamp = timestamp
            assert next_frame(camera).captured_ns >= time.monotonic_ns() - 5_000_000_000


@pytest.mark.parametrize("number", [float, np.float64, fractions.Fraction])
def test_a_time_of_the_wall_clock_becomes_monotonic(number: Callable[[float], Any]) -> None:
    """An age of five seconds is five seconds (D8)."""
    captured_ns, after_ns = timed(number(time.time() - 5.0))[1:]
    assert captured_ns <= after_ns - 5_000_000_000
    assert captured_ns == pytest.approx(after_ns - 5_000_000_000, abs=3_000_000_000)


def test_a_time_slightly_ahead_is_now() -> None:
    """Drivers' times run ahead by some milliseconds."""
    before_ns, captured_ns, after_ns = timed(time.time() + 0.1)
    assert before_ns + 10_000_000 <= captured_ns <= after_ns


@pytest.mark.parametrize(("fps", "expected"), [(None, 100.0), (40.0, 40.0)])
def test_a_class_that_does_not_wait_is_held_back(fps: float | None, expected: float) -> None:
    """It never captures more often than `fps` says, 100 times a second without."""
    with own("troubled:Fast", fps=fps) as camera:
        next_frame(camera)
        started_s = time.monotonic()
        for _ in range(20):
            next_frame(camera)
        elapsed_s = time.monotonic() - started_s
    assert camera._user.camera.captures == 21
    assert elapsed_s >= 19 / expected


def test_a_slow_rate_lets_the_loop_turn() -> None:
    """Between two frames the worker gets the word every half second."""
    with own("troubled:Fast", fps=0.5) as camera:
        next_frame(camera)
        started_s = time.monotonic()
        assert camera.capture() is None
        assert time.monotonic() - started_s < 1.9


def test_a_class_that_keeps_time_is_not_hurried_on() -> None:
    """A camera a little faster than `fps` is read at its own rate: its queue would fill otherwise (D34)."""
    with own("troubled:Camera", fps=90.0) as camera:  # a frame each 11.1 ms; the class takes 10 ms for one
        next_frame(camera)
        assert camera._due_ns == 0
    with own("troubled:Camera", fps=9.0) as camera:
        next_frame(camera)
        assert camera._due_ns > 0


def test_pictures_from_before_the_parameters_are_dropped() -> None:
    """A class with a thread of its own returns what it had: not what was asked for."""
    with own("troubled:Buffered", 0.05) as camera:
        next_frame(camera)
        applied_ns = time.monotonic_ns()
        camera.apply({})
        assert next_frame(camera).captured_ns >= applied_ns - 1_000_000
        assert camera._user.camera.captures > 2


@pytest.mark.parametrize("whole_seconds", [False, True])
def test_a_class_that_has_only_old_pictures_fails(whole_seconds: bool) -> None:
    """None of them is ever published under the parameters that came later; the sentence says why there is no frame."""
    with own("troubled:Timed", capture_timeout_s=0.5) as camera:
        camera._user.camera.timestamp = (int if whole_seconds else float)(time.time() - 1.2)
        camera.apply({})
        with pytest.raises(ReadFailedError, match=r"Timed.blocking_capture returns only pictures that are older"):
            next_frame(camera)
        assert time.monotonic_ns() >= camera._applied_ns + 2_200_000_000


@pytest.mark.parametrize("was_seen", [False, True])
def test_pictures_that_are_always_late_are_waited_for(was_seen: bool) -> None:
    """A camera behind a slow network, or one whose clock is behind: its own time passes that of the parameters."""
    with own("troubled:Buffered", 1.3, capture_timeout_s=0.5) as camera:
        if was_seen:
            next_frame(camera)
        camera.apply({})
        assert camera.capture() is None  # the worker gets the word meanwhile
        captured_ns, applied_ns = next_frame(camera).captured_ns, camera._applied_ns
    assert captured_ns >= applied_ns - 1_000_000
    assert time.monotonic_ns() >= applied_ns + 1_200_000_000


def test_a_frame_from_before_the_parameters_tells_how_late_pictures_are() -> None:
    """A class that returns a fresh picture first, and then late ones, is given no more than what it needed before."""
    with own("troubled:Buffered", 0.0, capture_timeout_s=0.5) as camera:
        next_frame(camera)
        camera._user.camera.age_s = 30.0
        camera.apply({})
        with pytest.raises(ReadFailedError, match="older than its parameters, after 1"):
            next_frame(camera)


def test_an_exact_time_gets_no_second() -> None:
    """A thread that takes its time for a picture still has the one from just before the parameters."""
    with own("troubled:Timed", capture_timeout_s=0.7) as camera:
        camera._user.camera.timestamp = time.time() - 0.1
        camera.apply({})
        with pytest.raises(ReadFailedError, match="returns only pictures that are older"):
            next_frame(camera)


@pytest.mark.parametrize("age_s", [0.0, 0.9])
def test_a_time_in_whole_seconds_gets_one_second(age_s: float) -> None:
    """A picture that may be from before the parameters is dropped for a second, and then it may be from after them."""
    with own("troubled:Buffered", arguments={"age_s": age_s, "whole_seconds": True}) as camera:
        camera.apply({})
        captured_ns, applied_ns = next_frame(camera).captured_ns, camera._applied_ns
    assert captured_ns >= applied_ns - 1_001_000_000
    assert captured_ns >= applied_ns - 1_000_000 or time.monotonic_ns() >= applied_ns + 1_000_000_000


def test_the_pages_configuration_is_valid(tmp_path: Path) -> None:
    """What docs/your-own-camera.md shows can be copied, with the tutorial's module beside it."""
    page = (PROJECT / "docs" / "your-own-camera.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "cameras.toml").write_text(block)
    camera = validate(read_file(tmp_path / "cameras.toml"), "page").cameras["web"].camera_interface
    assert camera is not None
    assert camera.python_path == tmp_path
    for key in CameraInterfaceSettings.model_fields:
        assert f"| `{key}` |" in page

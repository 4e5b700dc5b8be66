"""When a worker captures, and with which parameters: each turn of its loop, around a camera that is scripted."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from capture_worker import patience as patience_module
from capture_worker import sharing
from capture_worker.camera import CapturedFrame, CorruptFrameError, ReadFailedError, UnsupportedRequestError
from capture_worker.patience import MAX_FAILURES_IN_A_ROW, Patience
from shm import DEFAULT_PARAMS_ID
from shm.capture_requests import CaptureAnswer
from shm.parameters import ParametersError, complete, parameters_id
from supervision.lifeline import MIN_BEAT_INTERVAL_S
from tests.capture_worker.asking import Client, double
from tests.capture_worker.scripted_camera import SPEC, ScriptedCamera, Stage


def gain(value: float) -> dict[str, Any]:
    """Return parameters with a gain."""
    return {"gain": double(value)}


def id_of(value: float) -> bytes:
    """Return the id of a gain."""
    return parameters_id(SPEC, complete(SPEC, gain(value)))


def answer_of(stage: Stage, client: Client) -> CaptureAnswer:
    """Let the loop turn until the client is answered."""
    stage.turn_until(client.has_answer)
    return client.answer()


@pytest.fixture(params=["continuous", "on_request", "while_asked"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A camera in each of the modes, after its first frame."""
    with Stage(ScriptedCamera(), mode=request.param) as stage:
        stage.turn()
        yield stage


def test_one_frame_at_opening_with_the_defaults_in_force(stage: Stage) -> None:
    """In every mode the first frame shows that the camera works, whatever somebody has left it set to."""
    assert stage.camera.applied == [1.0]
    assert stage.camera.captures == 1
    assert stage.brightness(DEFAULT_PARAMS_ID) == 1
    assert "ready" in [report["report"] for report in stage.reports()]


def test_a_frame_has_the_parameters_that_its_id_says(stage: Stage) -> None:
    """Two clients with different parameters and one without: each is answered with a frame of its own."""
    with Client(stage.instance) as client:
        for value in (20.0, 30.0, 1.0, 30.0):
            client.ask_with(gain(value))
            answer = answer_of(stage, client)
            frame = stage.reader.latest(id_of(value))
            assert frame is not None
            assert (frame.frame_number, frame.captured_ns) == (answer.frame_number, answer.captured_ns)
            assert answer.begun_ns is not None
            assert answer.begun_ns <= frame.captured_ns
            assert frame.pixels()[0, 0] == value
    assert id_of(1.0) == DEFAULT_PARAMS_ID


def test_one_capture_serves_all_who_asked_before_it(stage: Stage) -> None:
    """Requests for the same parameters share a frame; one that comes later gets a later frame."""
    with Client(stage.instance) as one, Client(stage.instance) as other:
        one.ask_with(gain(20))
        other.ask_with(gain(20))
        first = answer_of(stage, one)
        assert other.answer().frame_number == first.frame_number
        one.ask_with(gain(20))
        assert answer_of(stage, one).frame_number != first.frame_number
    assert stage.camera.applied.count(20.0) == 2


def test_rejected_parameters_are_the_clients_mistake(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The camera's words are the answer, said once in the log, and no error of the camera's; the defaults follow."""
    stage.camera.rejected = {20.0}
    with Client(stage.instance) as client:
        client.ask_with(gain(20))
        answer = answer_of(stage, client)
        assert (answer.failure, answer.text) == ("parameters", "not with a gain of 20.0")
        before = stage.reader.latest()
        stage.turn()
        after = stage.reader.latest()
        assert before is not None
        assert after is not None
        assert after.frame_number == before.frame_number + 1
        assert (after.pixels()[0, 0], stage.camera.applied[-1]) == (1, 1.0)
        client.ask_with(gain(20))
        assert answer_of(stage, client).failure == "parameters"
    assert "error" not in [report["report"] for report in stage.reports()]
    assert caplog.text.count("not with a gain of 20.0") == 1


@pytest.mark.parametrize("mode", ["continuous", "while_asked"])
def test_a_client_does_not_keep_a_camera_that_captures_for_others(mode: str) -> None:
    """No frame in 0.3 s: the client learns why and what would help; the others get as much time as that took."""
    with Stage(ScriptedCamera(), mode=mode) as stage, Client(stage.instance) as client:
        stage.turn()
        stage.camera.hang_softly()
        number = client.ask_with(gain(20))
        begun_s = time.monotonic()
        answer = answer_of(stage, client)
        took_s = time.monotonic() - begun_s
        assert (answer.number, answer.failure, took_s >= 0.3) == (number, "camera", True)
        assert "no frame with these parameters within 0.3 s" in answer.text
        assert 'With mode = "on_request" it waits up to capture_timeout_s (1 s)' in answer.text
        stage.camera.script.clear()
        client.ask_with(gain(30))
        client.ask("decode")  # needs no capture of its own
        ordinary_s = time.monotonic()
        assert answer_of(stage, client).failure == "unsupported"
        assert answer_of(stage, client).failure is None
        assert time.monotonic() - ordinary_s >= 0.25
        assert "error" not in [report["report"] for report in stage.reports()]


@pytest.mark.parametrize(
    ("fps", "max_age_s", "limit"), [(30.0, None, "0.3"), (4.0, None, "0.5"), (None, None, "0.3"), (4.0, 1.6, "0.8")]
)
def test_a_client_has_two_periods_or_half_of_the_age_that_is_allowed(
    fps: float | None, max_age_s: float | None, limit: str
) -> None:
    """With one more period for the way back, the others' frames do not become too old."""
    with Stage(ScriptedCamera(fps=fps), max_age_s=max_age_s) as stage, Client(stage.instance) as client:
        stage.turn()
        stage.camera.hang_softly()
        client.ask_with(gain(20))
        assert f"within {limit} s" in answer_of(stage, client).text


def test_the_way_back_to_the_defaults_is_given_back_too() -> None:
    """What a client costs the others ends with their next frame, not with his."""
    with Stage(ScriptedCamera(), max_age_s=20) as stage, Client(stage.instance) as client:
        stage.turn()
        client.ask_with(gain(20))
        assert answer_of(stage, client).failure is None
        begun_s = time.monotonic()
        stage.camera.hang_softly(lambda: time.monotonic() > begun_s + 0.4)
        client.ask_with(gain(30))
        assert answer_of(stage, client).failure is None
        assert time.monotonic() - begun_s >= 0.7


def test_parameters_that_were_too_slow_are_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer costs nobody anything; others are tried, and after a while these too."""
    with Stage(ScriptedCamera()) as stage, Client(stage.instance) as client:
        stage.turn()
        stage.camera.hang_softly()
        client.ask_with(gain(20))
        first = answer_of(stage, client)
        stage.camera.script.clear()
        client.ask_with(gain(20))
        again = answer_of(stage, client)
        assert (again.failure, again.text) == ("camera", first.text)
        client.ask_with(gain(30))
        assert answer_of(stage, client).failure is None
        assert stage.camera.applied.count(20.0) == 1
        monkeypatch.setattr(sharing, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 5))
        client.ask_with(gain(20))
        assert answer_of(stage, client).failure is None


def test_a_frame_that_came_too_late_is_delivered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture that cannot be interrupted keeps the others waiting all the same: it is not repeated at once."""
    with Stage(ScriptedCamera()) as stage, Client(stage.instance) as client:
        stage.turn()
        capture = stage.camera.capture
        monkeypatch.setattr(stage.camera, "capture", lambda: [threading.Event().wait(0.4), capture()][1])
        client.ask_with(gain(20))
        assert answer_of(stage, client).failure is None
        monkeypatch.undo()
        client.ask_with(gain(20))
        assert "within 0.3 s" in answer_of(stage, client).text


@pytest.mark.parametrize(("mode", "is_served"), [("continuous", False), ("while_asked", False), ("on_request", True)])
def test_a_camera_with_a_long_way_back_is_not_sent_away(mode: str, is_served: bool) -> None:
    """Others would wait for it longer than for any client's own frame: he learns why at once."""
    with Stage(ScriptedCamera(), mode=mode) as stage, Client(stage.instance) as client:
        until_s = time.monotonic() + 0.4
        stage.camera.hang_softly(lambda: time.monotonic() > until_s)
        stage.turn_until(lambda: stage.brightness(DEFAULT_PARAMS_ID))
        client.ask_with(gain(20))
        answer = answer_of(stage, client)
        assert (answer.failure is None) == is_served
        assert (20.0 in stage.camera.applied) == is_served
        if not is_served:
            assert "s to go back to what they get" in answer.text
            assert 'mode = "on_request"' in answer.text


def test_a_long_way_back_is_measured_again_more_and_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame of all often takes its time: that alone decides for five seconds only."""
    now_s = 1000.0
    monkeypatch.setattr(sharing, "time", SimpleNamespace(monotonic=lambda: now_s))
    shared = sharing.Sharing(fps=30.0, max_age_s=None)
    for remembered_s in (5, 10, 20, 40, 80, 160, 300, 300):
        shared.note_way_back(0.5)
        now_s += remembered_s - 1
        assert shared.refusal("aa")
        now_s += 1
        assert shared.refusal("aa") is None
    shared.note_way_back(0.5)
    shared.note_way_back(0.1)
    assert shared.refusal("aa") is None
    shared.note_way_back(0.5)
    now_s += 5
    assert shared.refusal("aa") is None


def test_a_camera_whose_frames_are_late_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its way back takes at least as long as its frames are old when they come; that shows without trying."""
    with Stage(ScriptedCamera()) as stage, Client(stage.instance) as client:
        capture = stage.camera.capture

        def late() -> CapturedFrame | None:
            frame = capture()
            return frame and replace(frame, captured_ns=frame.captured_ns - 10**9)

        monkeypatch.setattr(stage.camera, "capture", late)
        until_s = time.monotonic() + 0.4
        stage.camera.hang_softly(lambda: time.monotonic() > until_s)
        stage.turn_until(lambda: stage.brightness(DEFAULT_PARAMS_ID))
        for seconds in (4, 8, 12):
            monkeypatch.setattr(sharing, "time", SimpleNamespace(monotonic=lambda s=seconds: time.monotonic() + s))
            stage.turn()
            client.ask_with(gain(20))
            assert "s to go back" in answer_of(stage, client).text


def test_what_is_remembered_of_slow_parameters_is_bounded() -> None:
    """The oldest are forgotten."""
    shared = sharing.Sharing(fps=None, max_age_s=None)
    for number in range(1000):
        shared.note_too_slow(str(number), "slow")
    assert [number for number in range(1000) if shared.refusal(str(number))] == list(range(936, 1000))


def test_on_request_a_capture_takes_as_long_as_it_takes() -> None:
    """Nobody else is kept waiting."""
    with Stage(ScriptedCamera(), mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        until_s = time.monotonic() + 0.5
        stage.camera.hang_softly(lambda: time.monotonic() > until_s)
        client.ask_with(gain(20))
        assert answer_of(stage, client).failure is None
        assert time.monotonic() >= until_s


def test_captures_that_fail_with_a_clients_parameters_end_nothing(stage: Stage) -> None:
    """What the camera does not manage for one client is that client's answer; the camera is judged by its defaults."""
    with Client(stage.instance) as client:
        for _ in range(3):
            stage.camera.too_bright = 99.0
            client.ask_with(gain(99))
            answer = answer_of(stage, client)
            assert answer.failure == "camera"
            assert answer.text.endswith("too bright")
            stage.camera.script = [CorruptFrameError("junk")] * MAX_FAILURES_IN_A_ROW
            stage.turn(MAX_FAILURES_IN_A_ROW + 1)
            assert stage.camera.script == []
            assert stage.brightness(DEFAULT_PARAMS_ID) == 1


def test_a_camera_that_fails_with_its_defaults_is_given_up(stage: Stage) -> None:
    """A few failed captures in a row are tolerated, whoever asked for them; past that the worker ends."""
    stage.camera.script = [CorruptFrameError("no picture")] * 100
    with Client(stage.instance) as client:
        client.ask()
        with pytest.raises(CorruptFrameError, match="failed reads in a row: 6; no picture"):
            stage.turn(20)
    assert stage.camera.captures == 1 + MAX_FAILURES_IN_A_ROW + 1


def test_a_clients_capture_does_not_use_up_the_defaults_patience() -> None:
    """However long the camera was away for him, one bad read afterwards is only one."""
    camera = ScriptedCamera()
    camera.capture_limit_s = 0.3
    with Stage(camera, mode="on_request") as stage, Client(stage.instance) as client, Client(stage.instance) as other:
        stage.turn()
        number = other.ask_with(gain(20))
        until_s = time.monotonic() + 0.4

        def step() -> None:
            if time.monotonic() > until_s:
                other.forget(number)
                client.ask()
                camera.script = [ReadFailedError("one bad read")]
            else:
                camera.script = [step]

        camera.script = [step]
        assert answer_of(stage, client).failure is None
        assert camera.script == []


def test_patience_leaves_out_what_something_else_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure the time before still counts, and only that."""
    now_s = 1000.0
    monkeypatch.setattr(patience_module, "time", SimpleNamespace(monotonic=lambda: now_s))
    patience = Patience(1.0)
    for _ in range(2):
        now_s += 0.4
        patience.bear(ReadFailedError("oh"))
        now_s += 10.0
        patience.excuse(10.0)
    now_s += 0.4
    with pytest.raises(ReadFailedError, match=r"no frame for 1\.2 s"):
        patience.bear(ReadFailedError("oh"))


def test_a_device_that_fails_to_be_set_for_a_moment_is_borne() -> None:
    """Also when somebody waits for a frame with the defaults: he gets it afterwards."""
    with Stage(ScriptedCamera(), mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        stage.camera.gone = True
        client.ask()
        stage.turn(MAX_FAILURES_IN_A_ROW)
        stage.camera.gone = False
        assert answer_of(stage, client).failure is None


def test_a_little_failing_is_no_answer(stage: Stage) -> None:
    """Failed captures before a good one are nobody's business but the counter's."""
    stage.camera.script = [CorruptFrameError("junk"), None, CorruptFrameError("junk")]
    with Client(stage.instance) as client:
        client.ask_with(gain(20))
        assert answer_of(stage, client).failure is None


def test_nobody_captures_for_a_client_that_has_gone(stage: Stage) -> None:
    """A sensor that takes its time is not waited for when nobody waits for it."""
    with Client(stage.instance) as client:
        stage.camera.script = [None, client.socket.close, *[None] * 100]
        client.ask_with(gain(20))
        stage.turn_until(lambda: stage.camera.applied[-1] == 20.0)
    assert len(stage.camera.script) == 100
    assert stage.brightness(id_of(20)) is None


def test_nobody_captures_for_a_request_that_was_taken_back() -> None:
    """The capture under way ends, and the connection stays."""
    with Stage(ScriptedCamera(), mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        number = client.ask_with(gain(20))
        stage.camera.script = [None, lambda: client.forget(number), *[None] * 100]
        stage.turn_until(lambda: stage.camera.applied[-1] == 20.0)
        assert len(stage.camera.script) == 100
        stage.camera.script.clear()
        client.ask()
        assert answer_of(stage, client).number == number + 1


def test_a_failure_is_followed_by_a_frame_with_the_defaults() -> None:
    """Also when nobody has waited for the answer: whether the camera works must be known."""
    with Stage(ScriptedCamera(), mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        number = client.ask_with(gain(20))
        stage.camera.script = [ReadFailedError("too bright"), lambda: client.forget(number)]
        stage.turn_until(lambda: stage.camera.applied[-1] == 20.0)
        stage.turn(2)
        assert stage.camera.applied == [1.0, 20.0, 1.0]
        assert not client.has_answer()


def test_a_device_that_is_gone_is_found_out_with_the_defaults() -> None:
    """A client's parameters cannot be applied: that is its answer, and the worker ends as soon as the defaults fail."""
    with Stage(ScriptedCamera(), mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        stage.camera.gone = True
        client.ask_with(gain(20))
        answer = answer_of(stage, client)
        assert (answer.failure, answer.text) == ("camera", "the camera is gone")
        with pytest.raises(ReadFailedError, match=r"failed reads in a row: 6; the camera is gone"):
            stage.turn(MAX_FAILURES_IN_A_ROW + 1)


def test_busy_cameras_do_not_flood_the_supervisor() -> None:
    """However often it is asked and idles, its reports are at most ten a second, and it is seen to idle."""
    with Stage(ScriptedCamera(), mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        stage.loop._requests.wait = lambda _: None  # type: ignore[method-assign,assignment]  # idle at once
        stage.reports()
        stage.beats.clear()
        begun_s, asked = time.monotonic(), 0
        while (elapsed_s := time.monotonic() - begun_s) < 0.5 or asked < 50:
            client.ask()
            answer_of(stage, client)
            stage.turn()
            asked += 1
        stage.turn_until(lambda: any(report.get("idle") for report in stage.reports()))
        beats = stage.beats
    assert len(beats) <= elapsed_s / MIN_BEAT_INTERVAL_S + 3
    assert {beat["within_ms"] for beat in beats} == {1500}


def test_parameters_of_an_earlier_configuration_are_refused(stage: Stage) -> None:
    """An id that these values do not have here is never published."""
    with Client(stage.instance) as client:
        client.ask(params_id="ab" * 16, parameters=gain(20))
        assert answer_of(stage, client).failure == "parameters"
        client.ask(params_id="ab" * 16, parameters={"gain": {"double_value": 5}, "sharpness": []})
        assert "no parameter is called 'sharpness'" in answer_of(stage, client).text
    assert 20.0 not in stage.camera.applied


def test_on_request_nothing_happens_without_a_request() -> None:
    """No client, no work; the loop keeps its promises and says that it idles."""
    with Stage(ScriptedCamera(), mode="on_request") as stage:
        stage.turn(2)
        stage.reports()
        stage.turn(2)
        beats = stage.reports()
        assert stage.camera.captures == 1
        assert [(beat["idle"], beat["within_ms"], beat["frames"]) for beat in beats] == [(True, 1500, 1)] * 2
        with Client(stage.instance) as client:
            client.ask("keep")
            client.ask()
            answer = answer_of(stage, client)
        assert stage.camera.captures == 2
        assert stage.camera.applied == [1.0, 1.0]  # for a frame that is exposed from now on
        frame = stage.reader.latest()
        assert frame is not None
        assert answer.frame_number == frame.frame_number


def test_continuous_capture_goes_on_between_requests() -> None:
    """However many ask, every other frame has the defaults, and nothing is applied that is in force already."""
    with Stage(ScriptedCamera(fps=1.0), mode="continuous") as stage, Client(stage.instance) as client:
        stage.turn(3)
        assert stage.camera.applied == [1.0]
        for value in range(10, 30):
            client.ask_with(gain(value))
        stage.turn_until(lambda: stage.camera.applied[-2:] == [29.0, 1.0])
        custom = {client.answer().frame_number for _ in range(20)}
    assert stage.camera.applied == [1.0, *itertools.chain(*((float(value), 1.0) for value in range(10, 30)))]
    assert len(custom) == 20
    assert stage.camera.captures == 3 + 2 * 20


def test_while_asked_it_captures_until_nobody_has_asked_for_a_while() -> None:
    """Saying "keep" makes it capture, silence makes it idle again; frames that were queued meanwhile are dropped."""
    with Stage(ScriptedCamera(), mode="while_asked", idle_after_s=1.0) as stage:
        stage.turn(2)
        assert stage.camera.captures == 1
        with Client(stage.instance) as client:
            client.ask("keep")
            stage.turn(3)
            assert stage.camera.captures >= 3
            assert stage.camera.applied == [1.0, 1.0]
            stage.reports()
            stage.turn_until(lambda: any(report.get("idle") for report in stage.reports()))
            captures = stage.camera.captures
            stage.turn()
            assert stage.camera.captures == captures
            client.ask()
            assert answer_of(stage, client).failure is None
            stage.turn(2)
            assert stage.camera.captures == captures + 3


def test_configured_parameters_are_the_defaults() -> None:
    """Background frames have them, clients are told of them, and asking for them is asking for nothing (D1)."""
    with Stage(ScriptedCamera(), parameters={"gain": 6}) as stage:
        stage.turn(2)
        assert stage.brightness(DEFAULT_PARAMS_ID) == 6
        descriptor = stage.reader.descriptor()
        assert descriptor is not None
        spec = descriptor["param_spec"]
        assert spec["specs"]["gain"]["spec"]["double_spec"]["default_value"] == 6.0
        assert parameters_id(spec, complete(spec, gain(6))) == DEFAULT_PARAMS_ID
        with Client(stage.instance) as client:
            client.ask_with(gain(1))
            answer_of(stage, client)
        assert stage.brightness(parameters_id(spec, complete(spec, gain(1)))) == 1


@pytest.mark.parametrize("configured", [{"gain": 101}, {"gain": "much"}, {"contrast": 5}])
def test_configured_parameters_that_cannot_be_are_named(configured: dict[str, Any]) -> None:
    """A key that the camera does not have, or a value that it does not allow, is an error with that key."""
    with pytest.raises(ParametersError, match=f"'{next(iter(configured))}'"):
        Stage(ScriptedCamera(), parameters=configured).__enter__()


def test_configured_parameters_that_are_rejected_leave_the_cameras_own() -> None:
    """The operator is told for as long as it is so; frames come with what the camera takes, and clients see that."""
    camera = ScriptedCamera()
    camera.rejected = {6.0}
    with Stage(camera, parameters={"gain": 6}) as stage:
        stage.turn()
        assert stage.brightness(DEFAULT_PARAMS_ID) == 1
        for _ in range(2):
            stage.turn_until(lambda: any(report.get("code") == "parameters" for report in stage.reports()))


def test_a_camera_without_any_defaults_that_it_takes_still_captures() -> None:
    """What it delivers by itself are the defaults then, and it is never set to anything else: it could not go back."""
    camera = ScriptedCamera()
    camera.rejected = {1.0}
    with Stage(camera, mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        client.ask()
        assert answer_of(stage, client).failure is None
        client.ask_with(gain(20))
        assert answer_of(stage, client).failure == "parameters"
        assert stage.brightness(DEFAULT_PARAMS_ID) == 66
        assert camera.applied == []
        assert any(report.get("text") == "not with a gain of 1.0" for report in stage.reports())


def test_a_camera_that_does_not_go_back_to_its_defaults_is_started_again() -> None:
    """A frame with a client's parameters is never published as one with the defaults (D3)."""
    with Stage(ScriptedCamera()) as stage, Client(stage.instance) as client:
        stage.turn()
        client.ask_with(gain(20))
        answer_of(stage, client)
        stage.camera.rejected = {1.0}
        with pytest.raises(Exception, match=r"not with a gain of 1\.0"):
            stage.turn(20)
        assert stage.brightness(DEFAULT_PARAMS_ID) == 1


def test_a_camera_without_parameters_answers_too() -> None:
    """It is asked for a frame that is exposed from now on, and nothing else."""
    with Stage(ScriptedCamera(spec=None), mode="on_request") as stage, Client(stage.instance) as client:
        stage.turn()
        assert stage.camera.applied == []
        client.ask()
        assert answer_of(stage, client).failure is None
        assert stage.camera.applied == [None]


def test_its_own_pictures_are_made_of_the_newest_frame() -> None:
    """A running camera needs no capture for a picture of what it has just delivered, another one does."""
    for mode, captures in (("continuous", 3), ("on_request", 2)):
        with Stage(ScriptedCamera(decodes=True), mode=mode) as stage, Client(stage.instance) as client:
            stage.turn(3 if mode == "continuous" else 1)
            client.ask("decode", image_request={"image_format": 1})
            stage.turn_until(client.has_answer)
            answer, picture = client.answer_with_picture()
            frame = stage.reader.latest()
            assert frame is not None
            assert answer.frame_number == frame.frame_number
            assert json.loads(picture) == [1.0, captures, {"image_format": 1}]


def test_a_camera_that_has_just_failed_makes_no_picture_of_an_older_frame() -> None:
    """The newest frame is none of a running camera then: another one is captured."""
    with Stage(ScriptedCamera(decodes=True)) as stage, Client(stage.instance) as client:
        stage.turn(2)
        stage.camera.script = [ReadFailedError("oh")]
        stage.turn()
        client.ask("decode")
        stage.turn_until(client.has_answer)
        assert json.loads(client.answer_with_picture()[1])[:2] == [1.0, 4]


def test_its_own_pictures_have_the_parameters_that_were_asked_for() -> None:
    """The newest frame will not do if it has others."""
    with Stage(ScriptedCamera(decodes=True)) as stage, Client(stage.instance) as client:
        stage.turn()
        client.ask_with(gain(20), "decode")
        stage.turn_until(client.has_answer)
        assert json.loads(client.answer_with_picture()[1])[0] == 20.0


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (UnsupportedRequestError("no such format"), "unsupported"),
        (ReadFailedError("oh"), "camera"),
        (CorruptFrameError("oh"), "picture"),
    ],
)
def test_pictures_that_cannot_be_made_are_failures(error: Exception, failure: str) -> None:
    """What the class says is the answer, and the capture goes on."""
    camera = ScriptedCamera(decodes=True)

    def decode(_request: object) -> bytes:
        raise error

    camera.decode = decode
    with Stage(camera) as stage, Client(stage.instance) as client:
        stage.turn()
        for _ in range(10):
            client.ask("decode")
            answer = answer_of(stage, client)
            assert (answer.failure, answer.text) == (failure, str(error))


def test_a_camera_that_makes_no_pictures_says_so(stage: Stage) -> None:
    """Asking for what it does not do costs no capture."""
    with Client(stage.instance) as client:
        client.ask("decode")
        assert answer_of(stage, client).failure == "unsupported"

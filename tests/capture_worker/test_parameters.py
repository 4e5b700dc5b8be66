"""Whole worker processes with the synthetic camera's parameters, asked over the socket as a servicer asks."""

import signal
import subprocess
import time
from typing import Any

import pytest

from capture_worker import pattern
from shm import DEFAULT_PARAMS_ID, Frame
from shm.capture_requests import CaptureAnswer
from shm.parameters import complete, parameters_id
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from tests.capture_worker.asking import Client, double
from tests.capture_worker.harness import WorkerProcess, wait_for


def synthetic(*script: str, **settings: Any) -> CameraSettings:
    """Return the settings of a small synthetic camera."""
    size = {"width": 64, "height": 64}
    return CameraSettings.model_validate({"driver": "synthetic", "synthetic": {"script": script}, **size, **settings})


def frame_with(worker: WorkerProcess, values: dict[str, Any]) -> Frame:
    """Return the newest frame that was captured with these values; check every pixel of it."""
    spec = (worker.reader.descriptor() or {})["param_spec"]
    frame = worker.reader.latest(parameters_id(spec, complete(spec, values)))
    assert frame is not None
    pattern.check(frame.pixels(), "front")
    return frame


def is_idle(worker: WorkerProcess) -> bool:
    """Whether the last thing that the worker said is that it idles."""
    return bool(worker.read_reports()[-1].get("idle"))


def shows_its_stack(worker: WorkerProcess, line: str) -> bool:
    """Whether the process has logged that it is at this line; ask it where it is."""
    worker.process.send_signal(signal.SIGUSR1)
    return line in worker.log()


def test_clients_with_different_parameters_all_get_theirs() -> None:
    """Three clients ask for other parameters in turn, and every frame says what it was captured with (D3, D6)."""
    with WorkerProcess(synthetic(fps=60, slots=32)) as worker:
        worker.take(1)
        with Client(worker.instance) as one, Client(worker.instance) as other:
            for step in range(5):
                one_values, other_values = {"gain": double(step + 1)}, {"exposure": double((step + 1) / 1000)}
                one.ask_with(one_values)
                other.ask_with(other_values)
                assert [one.answer().failure, other.answer().failure] == [None, None]
                assert frame_with(worker, one_values).gain == step + 1
                assert frame_with(worker, other_values).exposure_s == (step + 1) / 1000
        ordinary = worker.take(3)
    assert {(frame.params_id, frame.gain, frame.exposure_s) for frame in ordinary} == {
        (DEFAULT_PARAMS_ID, 0.0, 1 / 120)
    }


def test_a_client_with_a_long_exposure_takes_the_camera_from_nobody() -> None:
    """It and a client with others ask without a pause: the ordinary frames stay fresh, and nothing is complained of."""
    with WorkerProcess(synthetic()) as worker, Client(worker.instance) as slow, Client(worker.instance) as quick:
        worker.take(1)
        failures: dict[str, list[str | None]] = {"slow": [], "quick": []}
        ages_s = []
        slow.ask_with({"exposure": double(5)})
        quick.ask_with({"gain": double(1)})
        while len(failures["slow"]) < 4 or len(failures["quick"]) < 20:
            if slow.has_answer():
                failures["slow"].append(slow.answer().failure)
                slow.ask_with({"exposure": double(5)})
            if quick.has_answer():
                failures["quick"].append(quick.answer().failure)
                quick.ask_with({"gain": double(len(failures["quick"]) % 20)})
            newest = worker.reader.latest()
            ages_s.append(0.0 if newest is None else newest.age_s())
            time.sleep(0.005)
        assert max(ages_s) < 1.0  # 0.4 on a computer that does nothing else
        assert set(failures["slow"]) == {"camera"}
        assert set(failures["quick"]) == {None}
        assert "error" not in [report["report"] for report in worker.read_reports()]


def test_configured_parameters_are_what_everybody_gets() -> None:
    """Frames for clients that ask for nothing are captured with them, and the spec says so (D1)."""
    with WorkerProcess(synthetic(parameters={"gain": 6, "exposure": 0.002})) as worker:
        frame = worker.take(2)[-1]
        assert (frame.params_id, frame.gain, frame.exposure_s) == (DEFAULT_PARAMS_ID, 6.0, 0.002)
        assert frame_with(worker, {"gain": double(6)}).params_id == DEFAULT_PARAMS_ID
        assert frame_with(worker, {}).params_id == DEFAULT_PARAMS_ID


@pytest.mark.parametrize("parameters", [{"gain": 25}, {"contrast": 1}])
def test_a_configured_parameter_that_cannot_be_ends_it_for_good(parameters: dict[str, Any]) -> None:
    """The sentence names the key, and the exit code says that another start would not help."""
    with WorkerProcess(synthetic(parameters=parameters)) as worker:
        assert worker.wait_end()[0] == exit_codes.BAD_CONFIGURATION
        code, text = worker.error()
    assert code == "parameters"
    assert repr(next(iter(parameters))) in text


def test_an_idle_camera_beats_waits_and_ends_in_order() -> None:
    """On request: one frame at opening, then silence with promises; SIGTERM ends the waiting at once."""
    with WorkerProcess(synthetic(mode="on_request")) as worker:
        ready = worker.wait_report("ready")
        wait_for(lambda: is_idle(worker))
        worker.wait_count(len(worker.reports) + 3)
        assert {(beat["frames"], beat["within_ms"]) for beat in worker.reports[-3:]} == {(1, 1500)}
        newest = worker.reader.latest()
        assert newest is not None
        assert newest.frame_number == ready["frame_number"]
        worker.terminate()
        assert worker.wait_end()[0] == exit_codes.TERMINATED


def test_a_slow_exposure_is_awaited_and_its_promises_are_kept() -> None:
    """A frame begins after it was asked for, takes as long as its exposure, and the loop goes on promising."""
    with WorkerProcess(synthetic(mode="on_request")) as worker:
        worker.wait_report("beat", idle=True)
        worker.wait_count(len(worker.reports) + 1)  # half a second
        with Client(worker.instance) as client:
            asked_ns = time.monotonic_ns()
            client.ask_with({"exposure": double(1.2)})
            answer = client.answer()
        frame = frame_with(worker, {"exposure": double(1.2)})
        assert (frame.frame_number, frame.exposure_s) == (answer.frame_number, 1.2)
        assert answer.begun_ns is not None
        assert asked_ns < answer.begun_ns
        assert frame.captured_ns - answer.begun_ns >= 1_200_000_000
        awaiting = [report for report in worker.read_reports() if report.get("frames") == 1 and "idle" not in report]
        assert len([report for report in awaiting if report["report"] == "beat"]) >= 2


def test_a_camera_that_fails_when_it_is_asked_says_why_and_ends() -> None:
    """Silence is no fault of an idle camera; a capture that fails when asked for is, for client and supervisor."""
    with WorkerProcess(synthetic("1: unplug", mode="on_request")) as worker, Client(worker.instance) as client:
        worker.wait_report("ready")

        def failed() -> CaptureAnswer | None:
            client.ask()
            answer = client.answer()
            return answer if answer.failure else None

        answer = wait_for(failed)
        assert worker.wait_end()[0] == exit_codes.CAMERA_FAILED
        assert answer.failure == "camera"
        assert "unplug" in answer.text
        assert worker.error() == ("read_failed", answer.text)


def test_a_capture_that_hangs_breaks_its_promise() -> None:
    """A capture that was asked for is promised like any other: the supervisor learns of a hang as soon as ever."""
    with WorkerProcess(synthetic("0.5: hang", mode="on_request")) as worker, Client(worker.instance) as client:
        worker.wait_report("ready")
        worker.wait_count(len(worker.read_reports()) + 4)  # a beat in half a second
        client.ask()
        wait_for(lambda: shows_its_stack(worker, "in _hang"))
        worker.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            worker.process.wait(1)
        assert worker.read_reports()[-1]["within_ms"] == 1500


def test_rejected_parameters_are_the_clients_mistake_and_the_camera_goes_on() -> None:
    """The answer has the camera's words, and the operator hears of no error; ordinary frames come as before."""
    with WorkerProcess(synthetic("0: reject 20")) as worker:
        [before] = worker.take(1)
        with Client(worker.instance) as client:
            client.ask_with({"gain": double(20)})
            answer = client.answer()
        assert (answer.failure, answer.text) == ("parameters", "the script says: reject a gain of 20 dB")
        later = next(frame for frame in worker.frames() if frame.frame_number > before.frame_number)
        assert (later.gain, worker.process.poll()) == (0.0, None)
        worker.wait_beat(frames=10)
        assert "error" not in [report["report"] for report in worker.reports]


def test_a_successor_listens_where_a_killed_worker_did() -> None:
    """The address of a worker that was killed is free for the next one of the same camera."""
    with WorkerProcess(synthetic(mode="on_request")) as first:
        with Client(first.instance) as client:
            client.ask()
            assert client.answer().failure is None
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            assert client.is_hung_up_on()
        with WorkerProcess(synthetic(mode="on_request"), instance=first.instance) as second:
            second.wait_report("ready")
            with Client(first.instance) as client:
                client.ask()
                assert client.answer().failure is None

"""GetImage of cameras that are asked for frames: with parameters of one's own, on request, and while somebody asks.

The worker is a real one where its behaviour counts, and a scripted one where its timing does.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from bosdyn.api import image_pb2, service_customization_pb2
from bosdyn.client.exceptions import CustomParamError
from bosdyn.client.image import build_image_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicer import admission
from servicer.places import Places
from servicer.served_camera import ServedCamera
from shm.capture_requests import CaptureAnswer, CaptureRequest
from supervision.camera_settings import CameraSettings
from tests.capture_worker.harness import WorkerProcess
from tests.servicer.scripted_worker import ScriptedWorker, capturing, done, failed
from tests.servicer.serving import IMAGE, OFFSET_NS, STATUS, Ring, Served, serving, smooth, wait_for
from tests.servicer.test_bounds import code_of

ERROR = service_customization_pb2.CustomParamError
JPEG, RAW = IMAGE.FORMAT_JPEG, IMAGE.FORMAT_RAW
TO_FRONT = image_pb2.GetImageRequest(image_requests=[image_pb2.ImageRequest(image_source_name="front")])
GAIN_OF_SIX = {"spec": {"double_spec": {"default_value": 6.0}}}
SMALL = {"driver": "synthetic", "width": 96, "height": 64}


def camera(**changes: Any) -> CameraSettings:
    """Settings of a small synthetic camera."""
    return CameraSettings.model_validate({**SMALL, **changes})


def wanting(name: str = "front", **gains: float) -> Any:
    """One ImageRequest with these parameters."""
    request = image_pb2.ImageRequest(image_source_name=name)
    for parameter, value in gains.items():
        request.custom_params.values[parameter].double_value.value = value
    return request


def told(answer: Any, parameter: str = "gain") -> float:
    """What the answer says that the frame was captured with."""
    assert answer.status == STATUS.STATUS_OK, answer
    value = answer.shot.capture_params.custom_params.values[parameter].double_value.value
    assert isinstance(value, float)
    return value


def captured_ns(answer: Any) -> int:
    """When the frame of an answer was captured, on this computer's monotonic clock."""
    assert answer.status == STATUS.STATUS_OK, answer
    return int(answer.shot.acquisition_time.ToNanoseconds()) - OFFSET_NS


@contextlib.contextmanager
def working(**changes: Any) -> Iterator[tuple[WorkerProcess, Served]]:
    """A real worker of a synthetic camera "front", and a server for it."""
    own = camera(**changes)
    with WorkerProcess(own) as worker:
        worker.wait_report("ready")
        with serving(worker.instance, front=own) as served:
            yield worker, served


def test_a_picture_is_of_a_frame_with_the_parameters_that_were_asked_for() -> None:
    """And says so, with gain and exposure of that very frame; none, empty and the defaults are one (D6, D25)."""
    with working(fps=60) as (worker, served):
        answer = served.get(wanting(gain=6.5)).image_responses[0]
        assert told(answer) == 6.5
        assert told(answer, "exposure") == pytest.approx(1 / 120)
        assert answer.shot.capture_params.gain == 6.5
        plain = served.one("front")
        assert (told(plain), plain.shot.capture_params.gain) == (0.0, 0.0)
        assert plain.shot.capture_params.exposure_duration.ToNanoseconds() == pytest.approx(1e9 / 120, rel=0.01)
        for same in (wanting(), wanting(gain=0.0)):
            assert told(served.get(same).image_responses[0]) == 0.0
        assert set(plain.source.custom_params.specs) == {"gain", "exposure"}
        assert served.client.list_image_sources()[0].custom_params == plain.source.custom_params
        assert worker.process.poll() is None


def test_clients_of_different_parameters_all_get_theirs_and_new_frames() -> None:
    """Three clients poll one camera: nobody ever gets another's frame (D3), time goes forward, and all get new ones."""
    seen: dict[float, list[int]] = {0.0: [], 5.0: [], 9.0: []}

    def poll(gain: float) -> None:
        while len(set(seen[gain])) < 8:
            answer = served.get(wanting(gain=gain)).image_responses[0]
            assert told(answer) == answer.shot.capture_params.gain == gain
            seen[gain].append(captured_ns(answer))

    with working(fps=60) as (_, served), ThreadPoolExecutor(3) as clients:
        for client in [clients.submit(poll, gain) for gain in seen]:
            client.result(60)
    assert all(times == sorted(times) for times in seen.values())


def test_configured_parameters_are_what_who_asks_for_nothing_gets() -> None:
    """Background parameters are the defaults: the same picture for nothing and for those values (D1)."""
    with working(fps=60, parameters={"gain": 7}) as (_, served):
        assert told(served.one("front")) == 7.0
        frames = served.cameras["front"]._requests._wishes
        assert told(served.get(wanting(gain=7.0)).image_responses[0]) == 7.0
        assert not frames  # nobody had to be asked
        assert told(served.get(wanting(gain=0.0)).image_responses[0]) == 0.0


def test_what_the_camera_rejects_is_the_clients_mistake() -> None:
    """With the camera's sentence; others and the camera go on."""
    with working(fps=60, synthetic={"script": ["0: reject 20"]}) as (worker, served):
        answers = served.get(wanting(gain=21.0), "front", wanting(gain=3.0)).image_responses
        assert [answer.status for answer in answers] == [STATUS.STATUS_CUSTOM_PARAMS_ERROR, 1, 1]
        assert answers[0].custom_param_error.status == ERROR.STATUS_INVALID_VALUE
        assert "reject" in answers[0].custom_param_error.error_messages[0]
        assert [told(answer) for answer in answers[1:]] == [0.0, 3.0]
        assert worker.process.poll() is None


def test_each_mistake_touches_its_own_entry_only(asked: Any) -> None:
    """Nobody is asked for what is refused, and the SDK's client knows the error (D22, item 8)."""
    served, worker, _ = asked()
    nothing = image_pb2.ImageRequest(image_source_name="front")
    nothing.custom_params.values["gain"].Clear()
    wrong_format = wanting(gain=3.0)
    wrong_format.image_format = 99
    entries = [wanting(gain=25.0), nothing, "front", wanting(bright=1.0), wanting("rear", gain=1.0), wrong_format]
    response = served.get(*entries, wanting("nobody", gain=1.0), wanting(gain=4.0))
    assert [answer.status for answer in response.image_responses] == [
        *[STATUS.STATUS_CUSTOM_PARAMS_ERROR] * 2,
        STATUS.STATUS_OK,
        STATUS.STATUS_CUSTOM_PARAMS_ERROR,
        STATUS.STATUS_IMAGE_DATA_ERROR,
        STATUS.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED,
        STATUS.STATUS_UNKNOWN_CAMERA,
        STATUS.STATUS_OK,
    ]
    assert response.header.error.message == "rear: there is no frame of it yet."
    assert len(worker.requests) == 1
    with pytest.raises(CustomParamError):
        served.client.get_image([build_image_request("front"), entries[0]])


def test_a_fresh_frame_with_the_parameters_is_served_as_it_is(asked: Any) -> None:
    """Polling faster than the camera asks it no more often than it delivers."""
    served, worker, _ = asked()
    numbers = {served.get(wanting(gain=3.0)).image_responses[0].shot.acquisition_time.ToNanoseconds() for _ in range(5)}
    assert len(worker.requests) == len(numbers)
    wait_for(lambda: served.cameras["front"].newest(bytes.fromhex(worker.requests[0].params_id)).age_s() > 0.1)
    served.get(wanting(gain=3.0))
    assert len(worker.requests) == len(numbers) + 1


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ("camera", STATUS.STATUS_IMAGE_DATA_ERROR),
        ("busy", STATUS.STATUS_IMAGE_DATA_ERROR),
        ("parameters", STATUS.STATUS_CUSTOM_PARAMS_ERROR),
        ("unsupported", STATUS.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED),
    ],
)
def test_a_workers_failure_has_its_status_and_its_sentence(asked: Any, failure: Any, status: int) -> None:
    """It is the header's, or the parameter error's; the other entries are served."""
    served, _, _ = asked(lambda request: failed(request, failure, "the lens is on fire"))
    response = served.get(wanting(gain=3.0), "front")
    answers = response.image_responses
    assert [answer.status for answer in answers] == [status, STATUS.STATUS_OK]
    sentences = [response.header.error.message, *answers[0].custom_param_error.error_messages]
    assert any("the lens is on fire" in sentence for sentence in sentences) == (failure != "unsupported")
    assert not answers[0].HasField("shot")


def test_two_changed_parameters_that_are_rejected_are_a_combination(asked: Any) -> None:
    """Nobody knows which of them it was."""
    served, _, _ = asked(lambda request: failed(request, "parameters", "not both"))
    request = wanting(gain=3.0)
    request.custom_params.values["night"].bool_value.value = True
    (answer,) = served.get(request).image_responses
    assert answer.custom_param_error.status == ERROR.STATUS_INVALID_COMBINATION


def test_without_a_worker_there_is_a_reason_at_once(instance: str, front: Ring) -> None:
    """Not after a time-out; what the supervisor knows comes first."""
    front.show(smooth())
    own = camera(mode="on_request", capture_timeout_s=10.0)
    whys = iter([None, "front was unplugged."])
    with serving(instance, front=own, why_silent=lambda _: next(whys)) as served:
        began_s = time.monotonic()
        for why in ("front: its capture process is not there.", "front: front was unplugged."):
            response = served.get("front")
            assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
            assert response.header.error.message == why
        assert time.monotonic() - began_s < 5.0


def test_the_end_of_the_worker_ends_the_wait(asked: Any) -> None:
    """The client is told at once, and the successor serves the next call."""
    served, worker, ring = asked(lambda _: None, mode="on_request", capture_timeout_s=20.0)
    call = served.stub.GetImage.future(TO_FRONT)
    wait_for(lambda: worker.requests)
    worker.hang_up()
    assert "has ended" in call.result(10).header.error.message
    worker._answer = capturing(ring)
    assert served.one("front").status == STATUS.STATUS_OK


def test_on_request_every_picture_was_exposed_after_the_call_came() -> None:
    """Also with parameters; clients who ask at the same time share captures, and nobody else's are made."""
    with working(mode="on_request", fps=60) as (worker, served):
        before = worker.reader.latest()
        assert before is not None

        def ask(gain: float) -> tuple[int, int]:
            asked_ns = time.monotonic_ns()
            return asked_ns, captured_ns(served.get(wanting(gain=gain)).image_responses[0])

        with ThreadPoolExecutor(16) as clients:
            times = list(clients.map(ask, [0.0, 3.0] * 40))
        assert all(asked_ns <= shot_ns for asked_ns, shot_ns in times)
        newest = worker.reader.use(lambda frame: frame.frame_number, None)
        assert isinstance(newest, int)
        assert len({shot_ns for _, shot_ns in times}) == newest - before.frame_number < 60
        for _ in range(10):
            assert served.client.list_image_sources()[0].cols == 96
        assert worker.reader.use(lambda frame: frame.frame_number, None) == newest


def test_a_slow_exposure_is_awaited_beyond_the_limit_of_other_calls() -> None:
    """Up to the camera's time-out and a little (I6); meanwhile other calls are answered."""
    with working(mode="on_request", capture_timeout_s=4.0) as (_, served), ThreadPoolExecutor(10) as clients:
        slow = [clients.submit(served.get, wanting(exposure=2.5)) for _ in range(10)]  # more than there are places
        wait_for(lambda: served.service.requests == 10)
        began_s = time.monotonic()
        served.client.list_image_sources()
        assert time.monotonic() - began_s < 2.0
        assert {told(call.result(20).image_responses[0], "exposure") for call in slow} == {2.5}


def test_while_asked_the_camera_wakes_delivers_and_idles_again() -> None:
    """The first call gets a fresh frame although it slept, looking keeps it awake, and then it sleeps."""
    with working(mode="while_asked", idle_after_s=1.5, fps=30) as (worker, served):
        wait_for(lambda: worker.read_reports()[-1].get("idle"))
        began_ns = time.monotonic_ns()
        times = [captured_ns(served.one("front"))]
        assert times[0] > began_ns - 600_000_000
        while time.monotonic_ns() < began_ns + 2_500_000_000:  # longer than it would stay awake by itself
            times.append(captured_ns(served.one("front")))
        assert len(set(times)) > 20
        assert times == sorted(times)
        worker.reports.clear()
        wait_for(lambda: any(report.get("idle") for report in worker.read_reports()))


def test_what_is_served_from_the_ring_is_kept_coming_once_a_second(asked: Any) -> None:
    """And a frame that is too old has one captured."""
    served, worker, ring = asked(mode="while_asked", max_age_s=1.0)
    with ring.showing(smooth()):
        began_s = time.monotonic()
        for _ in range(100):
            assert served.one("front").status == STATUS.STATUS_OK
        wait_for(lambda: worker.keeps)
        assert worker.keeps <= 1 + (time.monotonic() - began_s)
        assert not worker.requests
    wait_for(lambda: served.cameras["front"].newest().age_s() > 1.0)
    assert served.one("front").status == STATUS.STATUS_OK
    assert len(worker.requests) == 1


def test_a_camera_that_always_captures_is_not_asked_for_being_silent(asked: Any) -> None:
    """A frame that is too old is an error, at once (D2)."""
    served, worker, ring = asked(max_age_s=0.5)
    ring.show(smooth(), age_s=1.0)
    assert served.one("front").status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert not worker.requests


def test_waits_of_one_call_run_together_and_the_others_are_fresh(instance: str) -> None:
    """Two slow captures take as long as one, and who needs no capture is looked at afterwards."""
    together = threading.Barrier(2)

    own = camera(mode="on_request", capture_timeout_s=10.0)
    with contextlib.ExitStack() as holding:
        one, other, plain = (holding.enter_context(Ring(instance, name)) for name in ("one", "other", "plain"))

        def of(ring: Ring) -> Callable[[CaptureRequest], CaptureAnswer]:
            def answer(request: CaptureRequest) -> CaptureAnswer:
                together.wait(20)  # neither is answered before the other was asked for
                return capturing(ring)(request)

            return answer

        holding.enter_context(ScriptedWorker(instance, of(one), camera="one"))
        holding.enter_context(ScriptedWorker(instance, of(other), camera="other"))
        served = holding.enter_context(
            serving(instance, one=own, other=own, plain=camera(max_age_s=0.5), late=camera(max_age_s=0.5))
        )
        holding.enter_context(plain.showing(smooth()))
        response = served.get("plain", "one", "late", "other")
    assert [answer.source.name for answer in response.image_responses] == ["plain", "one", "late", "other"]
    assert [answer.status for answer in response.image_responses] == [1, 1, STATUS.STATUS_IMAGE_DATA_ERROR, 1]
    times = [captured_ns(response.image_responses[n]) for n in (0, 1, 3)]
    assert times[0] > min(times[1:]) - 100_000_000


def test_a_frame_that_grew_old_during_a_longer_wait_is_captured_again(asked: Any, instance: str) -> None:
    """The fast one is fresh when the slow one is done."""
    slow = camera(mode="on_request", capture_timeout_s=10.0)
    served, worker, _ = asked(max_age_s=0.4, others={"slow": slow})

    def age_s() -> float:
        facts = served.cameras["front"].newest(bytes.fromhex(worker.requests[0].params_id))
        return float(facts.age_s()) if facts else 0.0

    with Ring(instance, "slow") as slow_ring:

        def slowly(request: CaptureRequest) -> CaptureAnswer:
            wait_for(lambda: worker.requests and age_s() > 0.5)
            return capturing(slow_ring)(request)

        with ScriptedWorker(instance, slowly, camera="slow"):
            response = served.get("slow", wanting(gain=3.0))
    assert [answer.status for answer in response.image_responses] == [1, 1]
    assert len(worker.requests) == 2


def test_a_capture_that_never_comes_hides_nothing_of_the_others(asked: Any) -> None:
    """The entry says so in time for the others to be answered; a client's deadline is kept as well (I6)."""
    served, worker, _ = asked(lambda _: None)
    for deadline_s in (10, 1.0):
        request = image_pb2.GetImageRequest(image_requests=[wanting(gain=3.0), wanting()])
        began_s = time.monotonic()
        response = served.stub.GetImage(request, timeout=deadline_s)
        assert time.monotonic() - began_s < admission.CALL_LIMIT_S + 0.5
        assert [answer.status for answer in response.image_responses] == [STATUS.STATUS_IMAGE_DATA_ERROR, 1]
        assert response.header.error.message == "front: it delivered no frame in time."
    assert worker.requests


def test_waiting_calls_hold_no_place(asked: Any) -> None:
    """More of them than there are places, and the others are answered at once; one capture serves all who wait."""
    served, worker, ring = asked(lambda _: None, mode="on_request", capture_timeout_s=15.0)
    waiting = [served.stub.GetImage.future(TO_FRONT, timeout=20) for _ in range(30)]
    wait_for(lambda: served.service.requests == 30 and worker.requests)
    assert served.one("rear").status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert len(served.client.list_image_sources()) == 2
    assert not any(call.done() for call in waiting)
    worker._answer = capturing(ring)
    worker.send(capturing(ring)(worker.requests[0]))
    assert {call.result().image_responses[0].status for call in waiting} == {STATUS.STATUS_OK}
    assert len(worker.requests) < 5


def test_no_more_than_half_of_the_threads_wait(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call more is told to come again; who need not wait is answered, and a place to wait is free again."""
    assert admission._MOST_WAITING == 256
    monkeypatch.setattr(admission, "_MOST_WAITING", 3)
    served, worker, ring = asked(lambda _: None, mode="on_request", capture_timeout_s=15.0)
    calls = [served.stub.GetImage.future(TO_FRONT, timeout=20) for _ in range(4)]
    (refused,) = wait_for(lambda: [call for call in calls if call.done()])
    assert code_of(refused.result) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert served.one("rear").status == STATUS.STATUS_IMAGE_DATA_ERROR
    for call in calls:
        call.cancel()
    wait_for(lambda: served.service.ended == 5)
    late = served.stub.GetImage.future(TO_FRONT, timeout=20)
    wait_for(lambda: len(worker.requests) == 2)
    worker.send(capturing(ring)(worker.requests[1]))
    assert late.result().image_responses[0].status == STATUS.STATUS_OK


def test_a_client_who_leaves_stops_waiting(asked: Any) -> None:
    """Its thread is free long before the capture's time is over, and the camera is free for others."""
    served, worker, _ = asked(lambda _: None, mode="on_request", capture_timeout_s=15.0)
    call = served.stub.GetImage.future(TO_FRONT)
    wait_for(lambda: worker.requests)
    call.cancel()
    wait_for(lambda: served.service.ended == 1, within_s=5.0)
    wait_for(lambda: worker.forgotten == [worker.requests[0].number])


def test_a_capture_that_was_too_late_for_one_call_serves_the_next(asked: Any) -> None:
    """A slow camera that always captures: who asks again, as clients do, gets what he has asked for."""
    served, worker, ring = asked(lambda _: None, max_age_s=None, fps=0.5)
    assert served.get(wanting(gain=3.0)).image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
    (request,) = worker.requests
    assert not worker.forgotten
    assert time.monotonic_ns() < request.until_ns  # beyond it a worker captures nothing
    worker.send(capturing(ring)(request))
    wait_for(lambda: not served.cameras["front"]._requests._wishes)
    assert told(served.get(wanting(gain=3.0)).image_responses[0]) == 3.0
    assert len(worker.requests) == 1


def test_a_frame_that_is_overwritten_before_it_is_seen_is_captured_again(asked: Any) -> None:
    """The camera was faster than the reader; the next one is caught."""
    lost = iter([True])

    def answer(request: CaptureRequest) -> CaptureAnswer:
        found: CaptureAnswer = capturing(ring)(request)
        if next(lost, False):
            for _ in range(7):
                ring.show(smooth())
        return found

    served, worker, ring = asked(answer)
    assert told(served.get(wanting(gain=3.0)).image_responses[0]) == 3.0
    assert len(worker.requests) == 2


def test_a_frame_that_an_answer_names_and_nobody_finds_is_no_older_one(asked: Any) -> None:
    """What is in the ring was exposed before the call: it is asked for three times, then there is an error."""
    served, worker, _ = asked(lambda request: done(request, 10**15), mode="on_request")
    response = served.get("front")
    assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert len(worker.requests) == 3


def test_many_sets_of_parameters_for_one_camera_fit_into_one_call() -> None:
    """More than its ring has room for: each is taken out as it comes."""
    gains = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    with working(fps=30, slots=6, max_age_s=1.9) as (_, served):
        answers = served.get(*(wanting(gain=gain) for gain in gains), "front").image_responses
        assert [told(answer) for answer in answers] == [*gains, 0.0]
        assert [answer.shot.capture_params.gain for answer in answers] == [*gains, 0.0]


def test_a_picture_that_is_made_between_waits_is_work_like_any_other(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs a place among those that are worked on, as the pictures of calls that need not wait do."""
    had_places, answer = [], ServedCamera.answer

    def look(*call: Any) -> Any:
        had_places.append(admission.current()._has_place)
        return answer(*call)

    monkeypatch.setattr(ServedCamera, "answer", look)
    served, _, _ = asked()
    served.get(wanting(gain=3.0), "front", wanting(gain=4.0))
    assert had_places == [True] * 3


def test_what_is_filled_early_and_grows_old_is_captured_again_or_withdrawn(asked: Any) -> None:
    """Never served: the promise of freshness is that of the whole answer."""
    slowly = threading.Event()

    def answer(request: CaptureRequest) -> CaptureAnswer:
        if len(worker.requests) % 2 == 0:
            slowly.wait(0.3)
        found: CaptureAnswer = capturing(ring)(request)
        return found

    served, worker, ring = asked(answer, max_age_s=0.2)
    response = served.get(wanting(gain=3.0), wanting(gain=4.0))
    for answered, gain in zip(response.image_responses, (3.0, 4.0), strict=True):
        if answered.status == STATUS.STATUS_OK:
            assert told(answered) == gain
        else:
            assert not answered.HasField("shot")
    assert 3 <= len(worker.requests) <= 6


def test_who_has_waited_queues_for_a_place_again() -> None:
    """What comes after the wait is work like any other; without a place in time there is no answer."""
    places, waiters = Places(1), threading.Semaphore(2)
    one, other = admission.Call(places, waiters), admission.Call(places, waiters)
    one.take_place(one.ends_s())
    with one.waiting(time.monotonic() + 10):
        other.take_place(time.monotonic())
        threading.Timer(0.1, other.give_place_back).start()
    assert one._has_place
    assert not other._has_place
    with pytest.raises(admission.NoPlaceError, match="at once"), one.waiting(time.monotonic()):
        places.take(time.monotonic())
    assert not one._has_place
    one.give_place_back()  # which it has not
    assert not places.take(time.monotonic())


def test_parameters_that_change_in_the_middle_are_told_of_no_frame(
    instance: str, front: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with other settings takes the place of the one that the request was checked with."""
    answer, descriptor = ServedCamera.answer, {"param_spec": {"specs": {"gain": GAIN_OF_SIX}}}
    front.show(smooth())
    with Ring(instance, "front", descriptor=descriptor) as successor, serving(instance, front=camera()) as served:

        def replace_before(*call: Any) -> Any:
            successor.show(smooth())
            return answer(*call)

        monkeypatch.setattr(ServedCamera, "answer", replace_before)
        assert "changed meanwhile" in served.get("front").header.error.message
        assert told(served.one("front")) == 6.0


def test_parameters_for_a_camera_that_nobody_has_seen_are_no_mistake(served: Served) -> None:
    """Whether it has them is not known: there is no image, and no status that says the client was wrong."""
    assert served.get(wanting(gain=3.0)).image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR


def test_a_camera_is_known_by_its_source_name(instance: str, front: Ring) -> None:
    """To clients, in answers and in the header's reasons; its ring goes by its own name."""
    with serving(instance, front=camera(source_name="Front 1", max_age_s=1.0)) as served:
        assert "Front 1: there is no frame" in served.get("Front 1").header.error.message
        front.show(smooth())
        assert [source.name for source in served.client.list_image_sources()] == ["Front 1"]
        assert served.one("Front 1").source.name == "Front 1"
        assert served.one("front").status == STATUS.STATUS_UNKNOWN_CAMERA


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["front", "rear", "nobody"]),
            st.dictionaries(st.sampled_from(["gain", "night", "x"]), st.sampled_from([None, 3.0, 99.0, 1, "t", True])),
        ),
        max_size=5,
    )
)
def test_any_mixture_of_entries_has_an_answer_for_each(mixed: Any, entries: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever their parameters: a status each, in their order, and right parameters where there is a picture."""
    requests = []
    for name, values in entries:
        request = wanting(name)
        for key, value in values.items():
            _set(request.custom_params.values[key], value)
        requests.append(request)
    response = mixed.get(*requests)
    assert [answer.source.name for answer in response.image_responses] == [name for name, _ in entries]
    for (_, values), answer in zip(entries, response.image_responses, strict=True):
        assert answer.status != STATUS.STATUS_UNKNOWN
        if answer.status == STATUS.STATUS_OK:
            assert set(values) <= {"gain", "night"}
            assert told(answer) == values.get("gain", 0.0)


@pytest.fixture
def mixed(asked: Any) -> Served:
    """A server with one camera that works and one that was never seen."""
    served, _, _ = asked()
    assert isinstance(served, Served)
    return served


def _set(param: Any, value: Any) -> None:
    """A value of its own kind; None: none at all."""
    fields = {float: "double_value", int: "int_value", str: "string_value", bool: "bool_value"}
    if value is None:
        param.Clear()
    else:
        getattr(param, fields[type(value)]).value = value

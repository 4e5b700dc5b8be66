"""Many ask, the camera is asked once; nobody gets a frame from before he asked, and nobody is forgotten."""

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicer import capture_requests
from servicer.capture_requests import CaptureFailedError, CaptureRequests, Shot, WorkerAwayError
from shm.capture_requests import PACKET_BYTES, CaptureAnswer, CaptureRequest
from tests.servicer.scripted_worker import ScriptedWorker, done, failed
from tests.servicer.serving import wait_for

PARAMS = bytes(range(16))
VALUES = {"gain": {"double_value": {"value": 3.0}}}


def ask(requests: CaptureRequests, within_s: float = 20.0, params_id: bytes = PARAMS, **more: Any) -> "Future[Shot]":
    """Ask for a capture with the same parameters as everybody."""
    until_ns = time.monotonic_ns() + round(within_s * 1e9)
    return requests.ask(more.pop("kind", "capture"), params_id, VALUES, until_ns, **more)


@pytest.fixture
def worker(instance: str) -> Iterator[ScriptedWorker]:
    """A worker that answers when it is told to."""
    with ScriptedWorker(instance) as scripted:
        yield scripted


@pytest.fixture
def requests(instance: str) -> CaptureRequests:
    """The servicer's end."""
    return CaptureRequests(instance, "front")


def nth(worker: ScriptedWorker, number: int) -> CaptureRequest:
    """Wait for the nth request (from 1)."""
    wait_for(lambda: len(worker.requests) >= number)
    return worker.requests[number - 1]


def test_a_request_says_what_is_wanted_and_its_answer_arrives(
    worker: ScriptedWorker, requests: CaptureRequests
) -> None:
    """Parameters, their id and the time go over; the frame's number comes back."""
    until_ns = time.monotonic_ns() + 10**10
    future = requests.ask("capture", PARAMS, VALUES, until_ns)
    request = nth(worker, 1)
    assert (request.kind, request.params_id, request.parameters) == ("capture", PARAMS.hex(), VALUES)
    assert request.until_ns == until_ns
    worker.send(CaptureAnswer(request.number, 42, 7, time.monotonic_ns()))
    shot = future.result(10)
    assert (shot.frame_number, shot.captured_ns, shot.picture) == (42, 7, None)


def test_who_asked_before_the_capture_began_shares_it_and_later_ones_share_the_next(
    worker: ScriptedWorker, requests: CaptureRequests
) -> None:
    """One capture under way at a time; the next follows without anybody asking again."""
    early = [ask(requests) for _ in range(3)]
    first = nth(worker, 1)
    begun_ns = time.monotonic_ns()
    late = [ask(requests) for _ in range(3)]
    assert len(worker.requests) == 1
    worker.send(done(first, 10, begun_ns))
    assert {future.result(10).frame_number for future in early} == {10}
    second = nth(worker, 2)
    assert not any(future.done() for future in late)
    worker.send(done(second, 11))
    assert {future.result(10).frame_number for future in late} == {11}
    assert len(worker.requests) == 2
    assert not requests._wishes


def test_a_capture_that_began_late_serves_all_who_came_meanwhile(
    worker: ScriptedWorker, requests: CaptureRequests
) -> None:
    """The worker was busy with something else when it was asked."""
    futures = [ask(requests)]
    first = nth(worker, 1)
    futures.append(ask(requests))
    worker.send(done(first, 10))
    assert [future.result(10).frame_number for future in futures] == [10, 10]
    assert len(worker.requests) == 1


def test_an_answer_that_is_older_than_its_request_serves_who_made_it_only(
    worker: ScriptedWorker, requests: CaptureRequests
) -> None:
    """A worker that knows of no beginning (a picture of a running camera) leads to no endless asking."""
    early = ask(requests)
    first = nth(worker, 1)
    late = ask(requests)
    worker.send(CaptureAnswer(first.number, 10, 1, 0))
    assert early.result(10).frame_number == 10
    worker.send(CaptureAnswer(nth(worker, 2).number, 11, 1, 0))
    assert late.result(10).frame_number == 11


def test_other_parameters_are_another_request(worker: ScriptedWorker, requests: CaptureRequests) -> None:
    """Nobody waits for somebody else's capture, and answers may come in any order."""
    mine, other = ask(requests), ask(requests, params_id=bytes(16))
    first, second = nth(worker, 1), nth(worker, 2)
    worker.send(done(second, 2))
    assert other.result(10).frame_number == 2
    assert not mine.done()
    worker.send(done(first, 1))
    assert mine.result(10).frame_number == 1


@pytest.mark.parametrize("failure", ["camera", "parameters", "unsupported", "busy"])
def test_a_failure_reaches_who_waited_and_later_ones_try_again(
    worker: ScriptedWorker, requests: CaptureRequests, failure: Any
) -> None:
    """With its kind and its sentence."""
    early = ask(requests)
    first = nth(worker, 1)
    late = ask(requests)
    worker.send(failed(first, failure, "the lens is on fire"))
    with pytest.raises(CaptureFailedError, match="the lens is on fire") as error:
        early.result(10)
    assert error.value.failure == failure
    worker.send(done(nth(worker, 2), 5))
    assert late.result(10).frame_number == 5


def test_without_a_worker_it_fails_at_once(requests: CaptureRequests) -> None:
    """And with the first one that comes it works."""
    future = ask(requests)
    assert future.done()
    with pytest.raises(WorkerAwayError, match="not there"):
        future.result()


def test_the_end_of_a_worker_ends_the_waiting_and_its_successor_is_found(
    instance: str, requests: CaptureRequests
) -> None:
    """At once, not when the time is over."""
    with ScriptedWorker(instance) as worker:
        future = ask(requests)
        nth(worker, 1)
        worker.hang_up()
        with pytest.raises(WorkerAwayError, match="ended"):
            future.result(10)
    with ScriptedWorker(instance, done) as successor:
        assert ask(requests).result(10).frame_number == 1
        assert successor.connections == 1


def test_a_worker_that_was_replaced_unseen_is_replaced_here_too(
    instance: str, requests: CaptureRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader has not noticed the end yet when somebody asks: the request goes to the successor."""
    noticed = threading.Event()
    monkeypatch.setattr(CaptureRequests, "_read", lambda _, connection: noticed.wait(20) and connection.close())
    with ScriptedWorker(instance, done) as worker:
        ask(requests)
        nth(worker, 1)
        worker.hang_up()
        wait_for(lambda: worker._connections[0].fileno() < 0)
    monkeypatch.undo()
    with ScriptedWorker(instance, done):
        assert ask(requests, params_id=bytes(16)).result(10).frame_number == 1
    noticed.set()


def test_many_threads_use_one_connection(instance: str, requests: CaptureRequests) -> None:
    """And one thread reads it."""
    with ScriptedWorker(instance, done) as worker:
        with ThreadPoolExecutor(16) as clients:
            futures = list(clients.map(lambda n: ask(requests, params_id=bytes([n % 5] * 16)), range(100)))
        for future in futures:
            future.result(10)
        assert worker.connections == 1
        assert sum(thread.name == "answers" for thread in threading.enumerate()) == 1
    wait_for(lambda: all(thread.name != "answers" for thread in threading.enumerate()))


def test_nothing_is_captured_for_who_has_gone(worker: ScriptedWorker, requests: CaptureRequests) -> None:
    """A cancelled wait is over, and leads to no next request; the capture under way is finished for the others.

    If there are none, the worker is told to leave it.
    """
    staying, leaving = ask(requests), ask(requests)
    first = nth(worker, 1)
    begun_ns = time.monotonic_ns()
    late = ask(requests)
    assert leaving.cancel()
    assert late.cancel()
    worker.send(done(first, 1, begun_ns))
    assert staying.result(10).frame_number == 1
    with pytest.raises(CancelledError):
        leaving.result(0)
    assert not worker.forgotten
    both = ask(requests), ask(requests)
    forgotten = nth(worker, 2)
    for future in both:
        assert not worker.forgotten
        assert future.cancel()
    wait_for(lambda: worker.forgotten)
    assert worker.forgotten == [forgotten.number]
    worker.send(done(forgotten))  # on its way already: it is nobody's
    again = ask(requests)
    worker.send(done(nth(worker, 3), 7))
    assert again.result(10).frame_number == 7
    assert len(worker.requests) == 3


def test_a_request_is_forgotten_when_the_time_of_the_last_who_waits_is_over(
    worker: ScriptedWorker, requests: CaptureRequests
) -> None:
    """Even if one who would have waited longer has left before."""
    short = ask(requests, within_s=0.2)
    long = ask(requests, within_s=0.2)
    requests._wishes[("capture", PARAMS, None)].until_ns += 60 * 10**9  # as if `long` had been first
    nth(worker, 1)
    assert long.cancel()
    wait_for(lambda: worker.forgotten)
    assert worker.forgotten == [worker.requests[0].number]
    assert not short.done()
    assert not requests._wishes


def test_forgetting_needs_no_worker(instance: str, requests: CaptureRequests) -> None:
    """Nobody is looked for only to be told that."""
    with ScriptedWorker(instance) as worker:
        future = ask(requests)
        nth(worker, 1)
        worker.hang_up()
        wait_for(future.done)
    with ScriptedWorker(instance) as successor:
        future.cancel()
        assert ask(requests).cancel()
        wait_for(lambda: successor.forgotten)
        assert successor.forgotten == [successor.requests[0].number]
        assert successor.connections == 1


def test_without_a_thread_to_hear_the_answers_nobody_is_asked(
    worker: ScriptedWorker, requests: CaptureRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The computer is out of threads: that call fails, and the next one tries again."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "answers":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        failed_at_once = ask(requests)
    with pytest.raises(WorkerAwayError, match="no thread"):
        failed_at_once.result(0)
    assert not requests._wishes
    future = ask(requests)
    worker.send(done(nth(worker, 1), 4))
    assert future.result(10).frame_number == 4


def test_a_request_whose_time_is_over_is_made_again_for_those_who_came_later(
    worker: ScriptedWorker, requests: CaptureRequests
) -> None:
    """A worker drops it without a word; whoever joined it must not wait for ever."""
    short = ask(requests, within_s=0.2)
    nth(worker, 1)
    patient = ask(requests)
    worker.send(done(nth(worker, 2), 8))
    assert patient.result(10).frame_number == 8
    with pytest.raises(CaptureFailedError, match="in time"):
        short.result(10)


@pytest.mark.parametrize("junk", [b"", b"{}", b"\xff" * 100, b'{"number": "1"}', b"[" * 60_000])
def test_a_worker_that_talks_nonsense_is_left(worker: ScriptedWorker, requests: CaptureRequests, junk: bytes) -> None:
    """Who waited is told; the next one connects anew."""
    future = ask(requests)
    nth(worker, 1)
    worker.send(junk)
    with pytest.raises(WorkerAwayError):
        future.result(10)
    later = ask(requests)
    worker.send(done(nth(worker, 2), 3))
    assert later.result(10).frame_number == 3


HUGE = 10**400
SOON_NS = 10**12  # from now


@pytest.mark.parametrize(
    "numbers",
    [
        {"frame_number": 1 << 63},
        {"frame_number": -1},
        {"captured_ns": HUGE},
        {"captured_ns": -HUGE},
        {"begun_ns": 1 << 63},
        {"begun_ns": -1},
        {"captured_ns": SOON_NS},
        {"begun_ns": SOON_NS},
    ],
)
def test_numbers_that_no_frame_has_are_nonsense(
    worker: ScriptedWorker, requests: CaptureRequests, numbers: dict[str, Any]
) -> None:
    """Nobody computes with them: the worker is left, as for any other nonsense."""
    future = ask(requests)
    request, now_ns = nth(worker, 1), time.monotonic_ns()
    ahead = {name: now_ns + SOON_NS for name, value in numbers.items() if value == SOON_NS}
    worker.send(replace(CaptureAnswer(request.number, 1, now_ns, now_ns), **{**numbers, **ahead}))
    with pytest.raises(WorkerAwayError):
        future.result(10)
    later = ask(requests)
    worker.send(done(nth(worker, 2), 3))
    assert later.result(10).frame_number == 3


JUNK = st.none() | st.integers() | st.integers(-HUGE, HUGE) | st.text(max_size=9) | st.floats() | st.booleans()
FIELDS = st.sampled_from(["number", "frame_number", "captured_ns", "begun_ns", "failure", "text", "x"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(FIELDS, JUNK) | st.lists(JUNK), st.integers(0, 70_000))
def test_any_answer_is_survived(instance: str, said: Any, text_characters: int) -> None:
    """Whatever it says, who waits has a frame whose numbers can be used, or a sentence; and the next one is served."""
    answers: Iterator[Any] = iter([said])

    def answer(request: CaptureRequest) -> Any:
        now_ns = time.monotonic_ns()
        good: dict[str, Any] = {"number": request.number, "frame_number": 1, "captured_ns": now_ns, "begun_ns": now_ns}
        bad: Any = next(answers, {})
        if isinstance(bad, dict) and bad.get("failure"):
            good["text"] = "x" * min(text_characters, PACKET_BYTES - 2000)
        return json.dumps({**good, **bad, "number": request.number} if isinstance(bad, dict) else bad).encode()

    requests = CaptureRequests(instance, "front")
    with ScriptedWorker(instance, answer):
        future = ask(requests)
        if (error := future.exception(10)) is not None:
            assert isinstance(error, CaptureFailedError)
            assert len(str(error)) <= 1000
        else:
            assert 0 <= future.result().frame_number < 1 << 63
            assert 0 <= future.result().captured_ns < time.monotonic_ns() + 10**9
        assert ask(requests).result(10).frame_number == 1


def test_an_answer_without_a_frame_is_a_failure(worker: ScriptedWorker, requests: CaptureRequests) -> None:
    """And one to a question that nobody asked is nothing."""
    future = ask(requests)
    number = nth(worker, 1).number
    worker.send(CaptureAnswer(number + 1000, 1, 1, 1))
    worker.send(CaptureAnswer(number))
    with pytest.raises(CaptureFailedError, match="means nothing"):
        future.result(10)


def test_a_socket_of_another_user_is_not_believed(
    worker: ScriptedWorker, requests: CaptureRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abstract addresses have no owner: anybody may have taken this one."""
    monkeypatch.setattr(capture_requests, "peer_uid", lambda _: 12345)
    with pytest.raises(WorkerAwayError, match="user 12345"):
        ask(requests).result(0)
    assert not worker.requests


def test_a_worker_that_does_not_read_blocks_nobody(instance: str, requests: CaptureRequests) -> None:
    """When its queue is full, the next request is refused at once."""
    stuck = threading.Event()

    def hang(_: CaptureRequest) -> None:
        stuck.wait(30)

    with ScriptedWorker(instance, hang):
        futures = []
        large = {"text": {"string_value": {"value": "x" * 30_000}}}
        for number in range(100):
            until_ns = time.monotonic_ns() + 10**10
            futures.append(requests.ask("capture", bytes([number] * 16), large, until_ns))
            if futures[-1].done():
                break
        with pytest.raises(CaptureFailedError, match="no more requests") as error:
            futures[-1].result(0)
        assert error.value.failure == "busy"
        stuck.set()


def test_what_fits_into_no_packet_is_refused(worker: ScriptedWorker, requests: CaptureRequests) -> None:
    """As parameters that are too large, and nothing else suffers."""
    huge = {"text": {"string_value": {"value": "x" * 100_000}}}
    with pytest.raises(CaptureFailedError, match="too large") as error:
        requests.ask("capture", PARAMS, huge, time.monotonic_ns() + 10**9).result(0)
    assert error.value.failure == "parameters"
    future = ask(requests)
    worker.send(done(nth(worker, 1)))
    future.result(10)


def test_a_picture_comes_in_a_file(instance: str, requests: CaptureRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read once for all who asked for the same; one that is too large for an answer is not read at all."""
    with ScriptedWorker(instance, done, picture=b"picture" * 100) as worker:
        shot = ask(requests, kind="decode", image_request={"quality_percent": 3.0}, key="a").result(10)
        assert shot.picture == b"picture" * 100
        assert worker.requests[0].image_request == {"quality_percent": 3.0}
        monkeypatch.setattr(capture_requests, "MOST_PICTURE_BYTES", 699)
        with pytest.raises(CaptureFailedError, match="no answer may hold"):
            ask(requests, kind="decode").result(10)


def test_the_pictures_that_clients_still_hold_are_bounded(
    instance: str, requests: CaptureRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond that the camera counts as busy, until some of them have been sent."""
    monkeypatch.setattr(capture_requests, "_HELD_BYTES", 1000)
    with ScriptedWorker(instance, done, picture=b"x" * 600):
        held = ask(requests, kind="decode").result(10)
        with pytest.raises(CaptureFailedError, match="slow clients") as error:
            ask(requests, kind="decode").result(10)
        assert error.value.failure == "busy"
        del held
        assert ask(requests, kind="decode").result(10).picture


def test_keeping_is_said_once_a_second_at_most(worker: ScriptedWorker, requests: CaptureRequests) -> None:
    """However often it is asked for, and nobody minds if there is no worker."""
    CaptureRequests("nobody", "front").keep()
    began_s = time.monotonic()
    for _ in range(200):
        requests.keep()
    wait_for(lambda: worker.keeps)
    assert worker.keeps <= 1 + (time.monotonic() - began_s)


def test_a_crowd_is_served_whatever_happens(instance: str, requests: CaptureRequests) -> None:
    """Threads that ask, leave, and meet failures and a worker that is replaced: each gets a frame begun after he asked.

    And the camera is asked far less often than the crowd asks.
    """
    numbers = random.Random(7)  # noqa: S311  not a secret

    def answer(request: CaptureRequest) -> CaptureAnswer:
        begun_ns = time.monotonic_ns()
        threading.Event().wait(numbers.random() * 0.004)
        if numbers.random() < 0.1:
            return failed(request, "camera", "not now")
        return CaptureAnswer(request.number, 1, begun_ns, begun_ns)

    def client(seed: int) -> int:
        mine, served = random.Random(seed), 0  # noqa: S311
        for _ in range(50):
            asked_ns = time.monotonic_ns()
            future = ask(requests, params_id=bytes([mine.randrange(2)] * 16))
            if mine.random() < 0.1:
                future.cancel()
                continue
            try:
                shot = future.result(20)
            except CaptureFailedError:
                continue
            assert shot.captured_ns >= asked_ns
            served += 1
        return served

    with ThreadPoolExecutor(16) as clients:
        with ScriptedWorker(instance, answer) as worker:
            crowd = [clients.submit(client, seed) for seed in range(16)]
            wait_for(lambda: len(worker.requests) > 20)
            worker.hang_up()
            wait(crowd, 60)
        assert sum(future.result() for future in crowd) > 100
        assert len(worker.requests) < 600

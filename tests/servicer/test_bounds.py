"""What no client can do to the service, and what each is told instead."""

import contextlib
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from bosdyn.api import header_pb2, image_pb2, image_service_pb2_grpc
from bosdyn.client.exceptions import InvalidRequestError
from bosdyn.client.image import build_image_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicer import admission, bytes_in_flight, image_service, picture, served_camera
from servicer.bytes_in_flight import BytesInFlight
from servicer.places import Places
from shm import Encoding
from tests.servicer.serving import IMAGE, STATUS, Ring, Served, smooth, wait_for


def entry(**fields: Any) -> Any:
    """One ImageRequest to the camera "front"."""
    return image_pb2.ImageRequest(image_source_name="front", **fields)


def code_of(call: Any) -> grpc.StatusCode:
    """Run a call that must fail, and return how."""
    with pytest.raises(grpc.RpcError) as failure:
        call()
    code = failure.value.code()
    assert isinstance(code, grpc.StatusCode)
    return code


@pytest.mark.row("M26")
def test_ten_thousand_entries_are_an_invalid_request(served: Served) -> None:
    """No entry is answered, and the header says how many would be."""
    response = served.get(*["front"] * 10_000)
    assert response.header.error.code == header_pb2.CommonError.CODE_INVALID_REQUEST
    assert "10000 image requests; at most 32" in response.header.error.message
    assert not response.image_responses
    with pytest.raises(InvalidRequestError):
        served.client.get_image([build_image_request("front") for _ in range(33)])
    assert len(served.get(*["front"] * 32).image_responses) == 32


@pytest.mark.row("M26")
def test_a_request_of_300_kib_is_not_read(served: Served) -> None:
    """The transport refuses it before anything of it is parsed, and the next call is answered."""
    assert code_of(lambda: served.get("x" * 300 * 1024)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert served.service.requests == 0
    assert len(served.client.list_image_sources()) == 2


def test_more_bytes_than_one_answer_may_hold_are_refused(served: Served, front: Ring, monkeypatch: Any) -> None:
    """Fewer images in one call are answered."""
    monkeypatch.setattr(image_service, "_RESPONSE_LIMIT_BYTES", 64 * 96 * 3 * 2)
    front.show(smooth())
    raw = entry(image_format=IMAGE.FORMAT_RAW)
    assert code_of(lambda: served.get(raw, raw, raw)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(served.get(raw, raw).image_responses) == 2


@pytest.fixture
def gate(monkeypatch: Any) -> threading.Event:
    """Encoding with a ratio of 0.5 waits until the gate opens."""
    encode, opened = picture.encode, threading.Event()

    def gated(frame: Any, wanted: Any, *how: Any) -> Any:
        if wanted.resize_ratio == 0.5:
            assert opened.wait(30)
        return encode(frame, wanted, *how)

    monkeypatch.setattr(served_camera, "encode", gated)
    return opened


def test_a_deadline_is_honoured_between_entries(served: Served, front: Ring, gate: threading.Event) -> None:
    """Nothing is encoded any more for a client that has given up."""
    front.show(smooth())
    request = image_pb2.GetImageRequest(image_requests=[entry(resize_ratio=0.5), entry()])
    assert code_of(lambda: served.stub.GetImage(request, timeout=0.2)) is grpc.StatusCode.DEADLINE_EXCEEDED
    gate.set()
    wait_for(lambda: served.service.ended == 1)
    assert served.cameras["front"]._shared.made == 1  # the one that was being made


def test_a_cancelled_call_ends_between_entries(
    served: Served, front: Ring, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a deadline; the encoding that others may wait for is finished."""
    fill_all, contexts = served.service._fill_all, []

    def remembering(entries: Any, context: grpc.ServicerContext, room: Any) -> None:
        contexts.append(context)
        fill_all(entries, context, room)

    monkeypatch.setattr(served.service, "_fill_all", remembering)
    front.show(smooth())
    request = image_pb2.GetImageRequest(image_requests=[entry(resize_ratio=0.5), entry()])
    call = served.stub.GetImage.future(request)
    wait_for(lambda: served.cameras["front"]._shared._sets)  # it is being encoded
    call.cancel()
    wait_for(lambda: contexts and not contexts[0].is_active())
    gate.set()
    wait_for(lambda: served.service.ended == 1)
    assert served.cameras["front"]._shared.made == 1
    assert served.service._in_flight.used_bytes == 0


def test_a_call_without_a_deadline_ends_all_the_same(served: Served, front: Ring, gate: threading.Event) -> None:
    """Who waits for another's encoding waits no longer than a call may last."""
    front.show(smooth())
    request = image_pb2.GetImageRequest(image_requests=[entry(resize_ratio=0.5)])
    leader = served.stub.GetImage.future(request)
    wait_for(lambda: served.service.requests == 1)
    follower = served.stub.GetImage(request)
    assert follower.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert "could not be encoded in time" in follower.header.error.message
    gate.set()
    assert leader.result().image_responses[0].status == STATUS.STATUS_OK


def test_a_long_call_ends_between_entries(
    served: Served, front: Ring, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its client would wait for ever: the threads are there for all clients."""
    monkeypatch.setattr(admission, "CALL_LIMIT_S", 0.1)
    front.show(smooth())
    request = image_pb2.GetImageRequest(image_requests=[entry(resize_ratio=0.5), entry()])
    call = served.stub.GetImage.future(request)
    wait_for(lambda: served.service.requests == 1)
    threading.Timer(0.2, gate.set).start()
    assert code_of(call.result) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_time_in_the_queue_counts(
    served: Served, front: Ring, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that has waited its whole time for a place is not begun any more: its client has other things to do."""
    monkeypatch.setattr(admission, "CALL_LIMIT_S", 0.1)
    front.show(smooth())
    busy, _ = fill_places(served)
    late = served.stub.GetImage.future(image_pb2.GetImageRequest(image_requests=[entry()]))
    threading.Timer(0.3, gate.set).start()
    assert code_of(late.result) is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in busy:
        call.exception()
    assert served.service.requests == 8


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[grpc.ServicerContext]:
    """Those of the calls that were admitted."""
    given_up_s, seen = admission._given_up_s, []

    def remembering(context: grpc.ServicerContext) -> float:
        seen.append(context)
        return given_up_s(context)

    monkeypatch.setattr(admission, "_given_up_s", remembering)
    return seen


def fill_places(served: Served) -> tuple[list[Any], Places]:
    """Take all places with calls that wait for the gate; those calls, and the places."""
    slow = [image_pb2.GetImageRequest(image_requests=[entry(resize_ratio=0.5, quality_percent=n)]) for n in range(1, 9)]
    busy = [served.stub.GetImage.future(request) for request in slow]
    wait_for(lambda: served.service.requests == 8)
    return busy, served.server._state.interceptor_pipeline.interceptors[0]._places  # type: ignore[attr-defined]


def test_a_call_that_is_cancelled_in_the_queue_is_not_begun(
    served: Served, front: Ring, gate: threading.Event, contexts: list[grpc.ServicerContext]
) -> None:
    """Its turn comes, and is given to the next one."""
    front.show(smooth())
    busy, places = fill_places(served)
    late = served.stub.GetImage.future(image_pb2.GetImageRequest(image_requests=[entry()]))
    wait_for(lambda: places._turns)
    late.cancel()
    wait_for(lambda: not contexts[-1].is_active())
    gate.set()
    for call in busy:
        assert call.result().image_responses
    wait_for(lambda: places._free == len(busy))
    assert served.service.requests == len(busy)


def test_a_step_of_the_wall_clock_ends_no_call(
    served: Served, front: Ring, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that waits in the queue nor one that is answered, though gRPC now takes their deadlines for gone."""
    front.show(smooth())
    wall, both = time.time, image_pb2.GetImageRequest(image_requests=[entry(resize_ratio=0.5), entry()])
    first = served.stub.GetImage.future(both, timeout=20)
    wait_for(lambda: served.cameras["front"]._shared._sets)  # it is being encoded
    busy = [served.stub.GetImage.future(both, timeout=20) for _ in range(7)]
    wait_for(lambda: served.service.requests == 8)
    places = served.server._state.interceptor_pipeline.interceptors[0]._places  # type: ignore[attr-defined]
    late = served.stub.GetImage.future(both, timeout=20)
    wait_for(lambda: places._turns)
    monkeypatch.setattr(time, "time", lambda: wall() + 3600.0)
    gate.set()
    for call in (first, *busy, late):
        assert [one.status for one in call.result().image_responses] == [STATUS.STATUS_OK] * 2


@pytest.mark.row("M28")
def test_64_calls_at_once_share_one_encoding(served: Served, front: Ring, gate: threading.Event) -> None:
    """Each is answered with the same picture, made once."""
    front.show(smooth())
    with ThreadPoolExecutor(64) as clients:
        calls = [clients.submit(served.one, "front", resize_ratio=0.5) for _ in range(64)]
        wait_for(lambda: served.service.requests == 8)  # as many as there are places
        gate.set()
        answers = {call.result().SerializeToString(deterministic=True) for call in calls}
    assert len(answers) == 1
    assert (served.service.requests, served.service.ended) == (64, 64)
    assert served.cameras["front"]._shared.made == 1


def test_a_frame_that_is_overwritten_again_and_again_is_a_data_error(
    served: Served, front: Ring, monkeypatch: Any
) -> None:
    """A writer faster than every attempt to encode: no picture, least of all a mixture of two."""
    encode = picture.encode

    def overtaken(frame: Any, wanted: Any, *how: Any) -> Any:
        for _ in range(7):
            front.show(smooth())
        return encode(frame, wanted, *how)

    monkeypatch.setattr(served_camera, "encode", overtaken)
    front.show(smooth())
    monkeypatch.setattr("shm.reader._MAX_LOOKS", 1)
    response = served.get("front")
    assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert "overwritten" in response.header.error.message


def test_a_frame_that_is_overtaken_once_is_encoded_again(served: Served, front: Ring, monkeypatch: Any) -> None:
    """The second look is at a copy, and is served."""
    encode, overtakings = picture.encode, iter([True])

    def overtaken(frame: Any, wanted: Any, *how: Any) -> Any:
        if next(overtakings, False):
            for _ in range(7):
                front.show(smooth()[:, ::-1])
        return encode(frame, wanted, *how)

    monkeypatch.setattr(served_camera, "encode", overtaken)
    front.show(smooth())
    answer = served.one("front", image_format=IMAGE.FORMAT_RAW)
    assert answer.status == STATUS.STATUS_OK
    assert answer.shot.image.data == smooth()[:, ::-1, ::-1].tobytes()


def test_a_ring_replaced_by_another_encoding_in_the_middle_is_a_data_error(
    instance: str, served: Served, front: Ring, monkeypatch: Any
) -> None:
    """What was checked against colour frames is not made of depth frames, and the call survives."""
    front.show(smooth())
    answer = served_camera.ServedCamera.answer
    replaced: list[Ring] = []

    def replace_before(camera: Any, *wish: Any) -> Any:
        if not replaced:
            replaced.append(Ring(instance, "front").__enter__())
            replaced[0].show(smooth()[:, :, 0].astype("<u2"), Encoding.DEPTH16)
        return answer(camera, *wish)

    monkeypatch.setattr(served_camera.ServedCamera, "answer", replace_before)
    assert served.one("front").status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert served.one("front").shot.image.pixel_format == IMAGE.PIXEL_FORMAT_DEPTH_U16


def test_room_for_answers_is_given_back(served: Served, front: Ring, monkeypatch: Any) -> None:
    """Each answer holds its bytes until it has been taken, and no longer; a larger one than all the room is refused."""
    budget = BytesInFlight(64 * 96 * 3)
    monkeypatch.setattr(served.service, "_in_flight", budget)
    front.show(smooth())
    raw = entry(image_format=IMAGE.FORMAT_RAW)
    for _ in range(3):
        assert served.get(raw).image_responses[0].status == STATUS.STATUS_OK
        wait_for(lambda: budget.used_bytes == 0)
    assert code_of(lambda: served.get(raw, raw)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    wait_for(lambda: budget.used_bytes == 0)


def test_many_small_pictures_are_a_large_answer(served: Served, front: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no part in the room that is kept for small answers."""
    picture_bytes = 64 * 96 * 3
    monkeypatch.setattr(bytes_in_flight, "_SMALL_BYTES", picture_bytes)
    monkeypatch.setattr(served.service, "_in_flight", BytesInFlight(4 * picture_bytes))
    front.show(smooth())
    raw = entry(image_format=IMAGE.FORMAT_RAW)
    assert len(served.get(raw, raw, raw).image_responses) == 3
    wait_for(lambda: served.service.idle)
    assert code_of(lambda: served.get(raw, raw, raw, raw)) is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.row("M27")
def test_a_stopped_client_does_not_hold_the_room_for_ever(
    instance: str, served: Served, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for many large images and is stopped before they come: others are refused for a while, then served."""
    monkeypatch.setattr(bytes_in_flight, "_PATIENCE_S", 1.0)
    rows, cols = 2160, 3840
    monkeypatch.setattr(served.service, "_in_flight", BytesInFlight(5 * rows * cols * 3 // 4))
    half = entry(image_format=IMAGE.FORMAT_RAW, resize_ratio=0.5)
    with Ring(instance, "front", rows * cols * 3) as ring:
        ring.show(smooth(rows, cols))
        with greedy_client(served.port) as client:
            wait_for(lambda: served.service.requests == 8)  # as many as there are places
            client.send_signal(signal.SIGSTOP)
            gate.set()
            wait_for(lambda: served.service.ended == served.service.requests >= 8)
            assert code_of(lambda: served.get(half)) is grpc.StatusCode.RESOURCE_EXHAUSTED
            wait_for(lambda: answers(served, half))


def answers(served: Served, wanted: Any) -> bool:
    """Whether there is an image in place of an error."""
    try:
        return bool(served.get(wanted).image_responses[0].status == STATUS.STATUS_OK)
    except grpc.RpcError:
        return False


@contextlib.contextmanager
def greedy_client(port: int, calls: int = 60) -> Iterator[subprocess.Popen[bytes]]:
    """Start it, and end it."""
    argv = [sys.executable, "-m", "tests.servicer.greedy_client", str(port), str(calls)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as client:
        try:
            yield client
        finally:
            client.kill()


doubles = st.floats() | st.floats(0, 1)


@pytest.mark.row("M25")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(
        st.builds(
            image_pb2.ImageRequest,
            image_source_name=st.sampled_from(["front", "rear", "", "nobody", "\0", "front "]),
            quality_percent=doubles,
            resize_ratio=doubles,
            image_format=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3),
            pixel_format=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 6),
        ),
        max_size=5,
    )
)
def test_any_request_has_an_answer_per_entry(served: Served, front: Ring, entries: list[Any]) -> None:
    """Always a response with a status of the proto for each entry, never a broken call."""
    front.show(smooth())
    response = served.get(*entries)
    assert response.header.error.code == header_pb2.CommonError.CODE_OK
    assert len(response.image_responses) == len(entries)
    for request, answer in zip(entries, response.image_responses, strict=True):
        assert answer.status != STATUS.STATUS_UNKNOWN
        assert answer.source.name == request.image_source_name
        if answer.status == STATUS.STATUS_OK:
            assert request.image_source_name == "front"
            assert not math.isnan(request.resize_ratio)


@pytest.mark.row("M25")
def test_any_bytes_are_survived(served: Served, front: Ring) -> None:
    """What is no GetImageRequest is refused by the transport; the service answers the next one."""
    front.show(smooth())
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        method: Any = channel.unary_unary("/bosdyn.api.ImageService/GetImage")
        for junk in (b"\xff" * 50, b"\x12\xff\xff\xff\xff\x0f", bytes(range(256))):
            code_of(lambda junk=junk: method(junk, timeout=5))
        stub = image_service_pb2_grpc.ImageServiceStub(channel)
        assert stub.GetImage(image_pb2.GetImageRequest(image_requests=[entry()]), timeout=5).image_responses

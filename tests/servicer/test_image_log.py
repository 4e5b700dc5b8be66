"""What the robot's data buffer is told of requests and answers, by a real link, through a real server."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from bosdyn.api import header_pb2, image_pb2
from bosdyn.api.data_buffer_pb2 import RecordDataBlobsResponse

from servicer import image_log
from servicer.image_log import ImageLog
from servicer.robot_connection import RobotConnection, explain
from simulated_robot import Misbehaviour, Refusal, SimulatedRobot
from simulated_robot.data_buffer_service import DataBufferService
from tests.servicer.linking import NAME, Linked, linked, shorten_intervals
from tests.servicer.serving import IMAGE, STATUS, Ring, Served, serving, smooth, wait_for

REQUEST, RESPONSE = "bosdyn.api.GetImageRequest", "bosdyn.api.GetImageResponse"
RECORD, RECONCILE = "DataBufferService/RecordDataBlobs", "RobotStateService/GetRobotState"


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_intervals(monkeypatch)


@pytest.fixture
def robot() -> Iterator[SimulatedRobot]:
    """A robot which knows one payload."""
    with SimulatedRobot(payloads={"guid": "secret"}) as simulated:
        yield simulated


@pytest.fixture
def log() -> ImageLog:
    """An empty one."""
    return ImageLog()


@pytest.fixture
def running(robot: SimulatedRobot, log: ImageLog) -> Iterator[Linked]:
    """A link that has registered, and sends the log."""
    with linked(robot, log) as link:
        wait_for(link.is_whole)
        yield link


@pytest.fixture
def served(instance: str, front: Ring, running: Linked, log: ImageLog) -> Iterator[Served]:
    """A server of one camera, with the link's clock and log."""
    front.show(smooth())
    with serving(instance, "front", clock=running.clock, log=log) as running_server:
        yield running_server


def logged(robot: SimulatedRobot, kind: str) -> list[Any]:
    """What was logged of one kind, parsed."""
    message = {REQUEST: image_pb2.GetImageRequest, RESPONSE: image_pb2.GetImageResponse}[kind]
    return [message.FromString(blob.data) for blob in robot.blobs if blob.type_id == kind]


def test_every_request_and_its_answer_arrive(served: Served, robot: SimulatedRobot) -> None:
    """In their order, under the message's name, with the client's own name in the header."""
    asked = image_pb2.GetImageRequest(header=header_pb2.RequestHeader(client_name="tablet"))
    asked.image_requests.add(image_source_name="front", quality_percent=50)
    asked.image_requests.add(image_source_name="nobody")
    for _ in range(3):
        served.stub.GetImage(asked, timeout=10)
    wait_for(lambda: robot.recorded["blobs"] == 6)
    assert [blob.type_id for blob in robot.blobs] == [REQUEST, RESPONSE] * 3
    assert {blob.channel for blob in robot.blobs} == {f"{NAME}/{REQUEST}", f"{NAME}/{RESPONSE}"}
    assert logged(robot, REQUEST) == [asked] * 3
    for answer in logged(robot, RESPONSE):
        assert [entry.status for entry in answer.image_responses] == [STATUS.STATUS_OK, STATUS.STATUS_UNKNOWN_CAMERA]
        assert answer.header.request_header.client_name == "tablet"


def test_an_answer_is_logged_without_its_picture_alone(served: Served, robot: SimulatedRobot) -> None:
    """All that the client got is in the log, but for the bytes of the image; and the client got those."""
    entry = image_pb2.ImageRequest(image_source_name="front", image_format=IMAGE.FORMAT_RAW)
    answer = served.get(entry)
    assert answer.image_responses[0].shot.image.data
    wait_for(lambda: logged(robot, RESPONSE))
    answer.image_responses[0].shot.image.ClearField("data")
    assert logged(robot, RESPONSE) == [answer]


def test_times_are_the_robots(served: Served, robot: SimulatedRobot) -> None:
    """When a request came and when it was answered, by the robot's clock, however late it is sent."""
    before_ns = robot.now_ns()
    served.one("front")
    after_ns = robot.now_ns()
    wait_for(lambda: robot.recorded["blobs"] == 2)
    asked_ns, answered_ns = (blob.timestamp.ToNanoseconds() for blob in robot.blobs)
    assert before_ns - 20e6 < asked_ns <= answered_ns < after_ns + 20e6


def test_who_does_not_want_to_be_logged_is_not(served: Served, robot: SimulatedRobot) -> None:
    """Neither its request nor the answer to it."""
    private = image_pb2.GetImageRequest(header=header_pb2.RequestHeader(disable_rpc_logging=True))
    private.image_requests.add(image_source_name="front")
    served.stub.GetImage(private, timeout=10)
    served.one("front")
    wait_for(lambda: robot.recorded["blobs"])
    assert not any(request.header.disable_rpc_logging for request in logged(robot, REQUEST))
    assert robot.recorded["blobs"] == 2


def test_without_log_images_nothing_is_sent(instance: str, front: Ring, robot: SimulatedRobot) -> None:
    """It is the operator's choice, and the default is no."""
    front.show(smooth())
    with linked(robot) as link, serving(instance, "front", clock=link.clock) as served:
        wait_for(link.is_whole)
        assert served.one("front").status == STATUS.STATUS_OK
        reconciled = robot.calls[RECONCILE]
        wait_for(lambda: robot.calls[RECONCILE] > reconciled + 3)
        assert robot.calls[RECORD] == 0


def absent_from_the_directory(robot: SimulatedRobot) -> None:
    """The robot has no data buffer at all."""
    with robot._state.lock:
        robot._state.registry._own.pop("data-buffer")


TROUBLES: dict[str, tuple[Callable[[SimulatedRobot], None], str]] = {
    "down": (lambda robot: robot.misbehave(Misbehaviour(services_down=frozenset({"data-buffer"}))), "Unavailable"),
    "absent": (absent_from_the_directory, "no such service"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_of_the_data_buffer_is_its_own(
    instance: str, front: Ring, robot: SimulatedRobot, log: ImageLog, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once; the service stays registered, faults are told, images are served."""
    cause, words = TROUBLES[trouble]
    cause(robot)
    front.show(smooth())
    with (
        caplog.at_level(logging.WARNING, "servicer.robot_link"),
        linked(robot, log) as link,
        serving(instance, "front", clock=link.clock, log=log) as served,
    ):
        wait_for(link.is_whole)
        sessions = robot.calls["PayloadRegistrationService/GetPayloadAuthToken"]
        for lost in (2, 4):
            assert served.one("front").status == STATUS.STATUS_OK
            wait_for(lambda lost=lost: log.lost == lost)  # type: ignore[misc]  # a lambda's default
        link.show(front="front was unplugged.")
        wait_for(link.is_whole)
    assert robot.calls["PayloadRegistrationService/GetPayloadAuthToken"] == sessions == 1
    said = [record.getMessage() for record in caplog.records]
    assert [words in text for text in said] == [True, False]
    assert "image log: 2 messages are lost so far" in said[1]


def test_looking_for_an_absent_service_holds_nothing_up(robot: SimulatedRobot, log: ImageLog) -> None:
    """The robot's directory is asked for it again, with a deadline; the SDK would wait for half a minute."""
    absent_from_the_directory(robot)
    with linked(robot, log) as link:
        wait_for(link.is_whole)
        robot.misbehave(Misbehaviour(services_silent=frozenset({"directory"})))
        note_many(log, 1, 5)
        wait_for(lambda: log.lost == 2)
        link.show(front="front was unplugged.")
        wait_for(link.is_whole)


def refuse_the_token(_self: Any, _request: Any, context: grpc.ServicerContext) -> None:
    """Stand in for a robot whose payloads may not write into the data buffer."""
    context.abort(*Refusal.UNAUTHENTICATED.value)


def take_nothing(_self: Any, request: Any, _context: Any) -> Any:
    """Stand in for a robot that finds every blob wrong."""
    response = RecordDataBlobsResponse()
    for index in range(len(request.blob_data)):
        response.errors.add(index=index, type=RecordDataBlobsResponse.Error.CLIENT_ERROR, message="too odd")
    return response


@pytest.mark.parametrize(("behaviour", "words"), [(refuse_the_token, "does not accept"), (take_nothing, "too odd")])
def test_a_data_buffer_that_refuses_us_is_no_reason_for_a_new_session(
    served: Served, running: Linked, log: ImageLog, monkeypatch: pytest.MonkeyPatch, behaviour: Any, words: str
) -> None:
    """Whatever it says of our token or of a message: the rest of the robot is content with us."""
    monkeypatch.setattr(DataBufferService, "RecordDataBlobs", behaviour)
    running.robot.go_down()
    running.robot.come_back()
    wait_for(running.is_whole)
    sessions = running.robot.calls["PayloadRegistrationService/GetPayloadAuthToken"]
    served.one("front")
    wait_for(lambda: log.lost == 2)
    reconciled = running.robot.calls[RECONCILE]
    wait_for(lambda: running.robot.calls[RECONCILE] > reconciled + 3)
    assert running.robot.calls["PayloadRegistrationService/GetPayloadAuthToken"] == sessions
    assert words in explain(running.link._trouble["image log"])
    assert running.link.state == "registered"


def test_it_is_sent_again_when_the_data_buffer_is_back(served: Served, running: Linked, log: ImageLog) -> None:
    """What was noted while it was known to be away and fits into the queue is not lost."""
    running.robot.misbehave(Misbehaviour(services_down=frozenset({"data-buffer"})))
    served.one("front")
    wait_for(lambda: log.lost == 2)
    served.one("front")
    running.robot.behave()
    wait_for(lambda: running.robot.recorded["blobs"] == 2)
    assert log.lost == 2


def test_a_silent_data_buffer_holds_no_image_up(served: Served, front: Ring, running: Linked) -> None:
    """A request's thread only notes; the faults are told between two attempts, each of which has its deadline."""
    running.robot.misbehave(Misbehaviour(services_silent=frozenset({"data-buffer"})))
    served.one("front")
    wait_for(lambda: running.robot.calls[RECORD])
    durations_s = []
    for _ in range(50):
        front.show(smooth())
        began_s = time.monotonic()
        assert served.one("front").status == STATUS.STATUS_OK
        durations_s.append(time.monotonic() - began_s)
    assert sorted(durations_s)[45] < 0.1
    running.show(front="front was unplugged.")
    wait_for(running.is_whole)


def note_many(log: ImageLog, count: int, name_bytes: int) -> None:
    """Note requests that can be told apart by their number."""
    for number in range(count):
        request = image_pb2.GetImageRequest(header=header_pb2.RequestHeader(client_name=f"{number:0{name_bytes}}"))
        log.note(request, header_pb2.ResponseHeader(), [], time.monotonic_ns())


@pytest.mark.parametrize("name_bytes", [5, 60_000])
def test_it_is_bounded_and_loses_the_oldest(log: ImageLog, name_bytes: int) -> None:
    """In messages and in bytes, and every message is either there or counted."""
    note_many(log, 3000, name_bytes)
    batches = list(log.batches())
    kept = [message for batch in batches for message in batch]
    assert 0 < len(kept) <= 4096
    assert sum(len(message.data) for message in kept) <= 4 << 20
    assert len(kept) + log.lost == 6000
    assert all(sum(len(message.data) for message in batch) <= 1 << 20 for batch in batches)
    newest = image_pb2.GetImageRequest.FromString(kept[-2].data)
    assert newest.header.client_name.lstrip("0") == "2999"
    assert list(log.batches()) == []


def test_a_message_larger_than_a_batch_goes_alone(log: ImageLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not stuck for ever at the head of the queue."""
    monkeypatch.setattr(image_log, "_BATCH_BYTES", 100)
    note_many(log, 2, 200)
    assert [len(batch) for batch in log.batches()] == [1, 1, 1, 1]


def test_what_comes_meanwhile_is_for_the_next_time(log: ImageLog) -> None:
    """Sending ends, however fast clients ask."""
    note_many(log, 2, 5)
    sent = []
    for batch in log.batches():
        sent += batch
        note_many(log, 2, 5)
    assert len(sent) == 4


def test_an_outage_of_the_robot_fills_no_memory(served: Served, running: Linked, log: ImageLog) -> None:
    """The queue stands still while there is nobody to send it to, and is sent afterwards."""
    running.robot.go_down()
    wait_for(lambda: "cannot be reached" in running.link.state)
    lost = log.lost
    served.one("front")
    running.robot.come_back()
    wait_for(lambda: running.robot.recorded["blobs"] == 2)
    assert log.lost == lost


@contextlib.contextmanager
def threads_of_this_test() -> Iterator[set[str]]:
    """Names of threads that were started inside and are still there at its end."""
    before, started = set(threading.enumerate()), set[str]()
    yield started
    started |= {thread.name for thread in set(threading.enumerate()) - before}


def test_the_sdk_starts_no_thread_for_it(robot: SimulatedRobot) -> None:
    """The SDK's data-buffer client would start one that synchronizes the time, for ever and without deadlines."""
    with linked(robot) as link:
        wait_for(link.is_whole)
        settings = link.link._robot, link.link._service
    with RobotConnection(*settings) as connection:
        connection.authenticate()
        with threads_of_this_test() as started:
            connection.record([])
    assert not {name for name in started if "sync" in name.lower()}
    assert robot.calls["TimeSyncService/TimeSyncUpdate"] == 2

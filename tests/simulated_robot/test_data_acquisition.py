"""Captures of registered image services, by the SDK's own clients and helpers."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from bosdyn.api.data_acquisition_pb2 import (
    AcquisitionRequestList,
    AssociatedAlertData,
    AssociatedMetadata,
    CaptureActionId,
    DataCapture,
    DataIdentifier,
    GetStatusResponse,
    ImageSourceCapture,
)
from bosdyn.api.data_acquisition_store_pb2 import ActionIdQuery, DataQueryParams
from bosdyn.api.image_pb2 import Image, ImageCapture, ImageResponse
from bosdyn.client.data_acquisition import (
    CancellationFailedError,
    DataAcquisitionClient,
    RequestIdDoesNotExistError,
    UnknownCaptureTypeError,
)
from bosdyn.client.data_acquisition_helpers import (
    acquire_and_process_request,
    cancel_acquisition_request,
    make_time_query_params_from_group_name,
)
from bosdyn.client.data_acquisition_store import DataAcquisitionStoreClient
from bosdyn.client.directory import DirectoryClient
from bosdyn.client.directory_registration import DirectoryRegistrationClient
from bosdyn.client.exceptions import RpcError

from simulated_robot import SimulatedRobot, data_acquisition_service, data_store
from tests.simulated_robot.image_server import ImageServer
from tests.simulated_robot.waiting import wait_until

Status = GetStatusResponse
EVERYTHING = DataQueryParams()


@pytest.fixture
def server(client: Any) -> Iterator[ImageServer]:
    """An image service which is registered as "camera"."""
    with ImageServer(b"a picture") as running:
        _register(client, running, "camera")
        yield running


@pytest.fixture
def daq(client: Any, server: ImageServer) -> Any:  # noqa: ARG001  (registered first)
    """The SDK's client of the acquisition."""
    client.time_sync.wait_for_sync()
    return client.ensure_client(DataAcquisitionClient.default_service_name)


@pytest.fixture
def store(client: Any) -> Any:
    """The SDK's client of the store."""
    return client.ensure_client(DataAcquisitionStoreClient.default_service_name)


def _register(client: Any, server: ImageServer, name: str) -> None:
    registrations = client.ensure_client(DirectoryRegistrationClient.default_service_name)
    registrations.register(name, "bosdyn.api.ImageService", f"robot-{name}", "127.0.0.1", server.port)


def _images(*sources: str, service: str = "camera") -> AcquisitionRequestList:
    captures = [ImageSourceCapture(image_service=service, image_source=source) for source in sources]
    return AcquisitionRequestList(image_captures=captures)


def _finished(daq: Any, number: int) -> Any:
    wait_until(lambda: daq.get_status(number).status not in (Status.STATUS_ACQUIRING, Status.STATUS_SAVING))
    return daq.get_status(number)


def _of(group: str, action: str = "") -> DataQueryParams:
    wanted = CaptureActionId(group_name=group, action_name=action)
    return DataQueryParams(action_ids=ActionIdQuery(action_ids=[wanted]))


def test_every_registered_image_source_is_a_capability(client: Any, daq: Any) -> None:
    """By the service's name, with its sources as the service describes them now."""
    with ImageServer(b"another") as another:
        _register(client, another, "rear")
        found = {each.service_name: each for each in daq.get_service_info().image_sources}
    assert set(found) == {"camera", "rear"}
    assert list(found["camera"].image_source_names) == [b"a picture".hex()]
    assert [source.name for source in found["rear"].image_sources] == [b"another".hex()]
    assert not daq.get_service_info().data_sources


def test_a_service_that_is_gone_or_hangs_is_left_out(
    client: Any, server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are listed."""
    monkeypatch.setattr(data_acquisition_service, "LISTING_S", 0.5)
    with ImageServer(b"another") as gone:
        _register(client, gone, "gone")
    server.hanging = True
    with ImageServer(b"another") as good:
        _register(client, good, "good")
        info = client.ensure_client(DataAcquisitionClient.default_service_name).get_service_info()
    assert [each.service_name for each in info.image_sources] == ["good"]


def test_the_robot_answers_while_it_waits_for_an_image_service(
    client: Any, server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for capabilities waits for the service; whoever asks for something else does not."""
    monkeypatch.setattr(data_acquisition_service, "LISTING_S", 30.0)
    server.hanging = True
    asked = client.ensure_client(DataAcquisitionClient.default_service_name).get_service_info_async()
    assert server.called.wait(5)
    assert client.ensure_client(DirectoryClient.default_service_name).list(timeout=5)
    server.go_on.set()
    assert [each.service_name for each in asked.result().image_sources] == ["camera"]


def test_an_image_is_acquired_and_stored(daq: Any, store: Any, server: ImageServer, robot: SimulatedRobot) -> None:
    """The SDK's own helper sees it complete; then it is in the store, with the metadata, and as the camera sent it."""
    assert acquire_and_process_request(daq, _images("front"), "group", "action", metadata={"gauge": 7})
    (action,) = store.list_capture_actions(_of("group", "action"))
    assert (action.group_name, action.action_name) == ("group", "action")
    assert action.timestamp.ToNanoseconds() == pytest.approx(robot.now_ns(), abs=10e9)
    (image_id,), (metadata_id,) = store.list_stored_images(EVERYTHING), store.list_stored_metadata(EVERYTHING)
    assert (image_id.channel, image_id.action_id, metadata_id.action_id) == ("front", action, action)
    image, metadata = robot.stored
    assert image.content.image.data == server.data
    assert metadata.content.metadata.data["gauge"] == 7
    assert server.formats == [Image.FORMAT_JPEG]


def test_the_client_chooses_the_format(daq: Any, server: ImageServer) -> None:
    """Its own request is passed on; without one, a source that has no JPEG is asked for its bare pixels."""
    captures = _images("front")
    captures.image_captures[0].image_request.image_format = Image.FORMAT_RLE
    assert acquire_and_process_request(daq, captures, "group", "one")
    server.supported = {Image.FORMAT_RAW}
    assert acquire_and_process_request(daq, _images("front"), "group", "two")
    assert server.formats == [Image.FORMAT_RLE, Image.FORMAT_JPEG, Image.FORMAT_RAW]


def test_an_image_that_cannot_be_had_is_a_data_error(daq: Any, store: Any, server: ImageServer) -> None:
    """Per capture, in words and with the service's own answer; the others of the action are stored."""
    server.broken = {"rear"}
    status = _finished(daq, daq.acquire_data(_images("front", "rear"), "action", "group"))
    assert status.status == Status.STATUS_DATA_ERROR
    assert [saved.channel for saved in status.data_saved] == ["front"]
    (error,) = status.data_errors
    assert (error.data_id.channel, error.data_id.action_id.action_name) == ("rear", "action")
    assert "STATUS_IMAGE_DATA_ERROR" in error.error_message
    answer = ImageResponse()
    assert error.error_data.Unpack(answer)
    assert answer.status == ImageResponse.STATUS_IMAGE_DATA_ERROR
    assert [image.channel for image in store.list_stored_images(EVERYTHING)] == ["front"]


def test_a_service_that_fails_is_a_data_error(daq: Any, store: Any, server: ImageServer) -> None:
    """With what gRPC said; nothing is stored."""
    server.failure = grpc.StatusCode.INTERNAL
    status = _finished(daq, daq.acquire_data(_images("front"), "action", "group"))
    assert status.status == Status.STATUS_DATA_ERROR
    assert "INTERNAL: the service says so" in status.data_errors[0].error_message
    assert not store.list_capture_actions(EVERYTHING)


def test_a_service_that_hangs_times_out(daq: Any, server: ImageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is under way until then, and the robot's own services answer."""
    monkeypatch.setattr(data_acquisition_service, "TIMEOUT_S", 1.0)
    server.hanging = True
    number = daq.acquire_data(_images("front"), "action", "group")
    assert daq.get_status(number).status == Status.STATUS_ACQUIRING
    assert _finished(daq, number).status == Status.STATUS_TIMEDOUT


def test_an_acquisition_can_be_cancelled(daq: Any, store: Any, server: ImageServer) -> None:
    """The SDK's own helper sees it cancelled, the service sees its call end, and nothing is stored."""
    server.hanging = True
    number = daq.acquire_data(_images("front", "rear"), "action", "group")
    assert server.called.wait(5)
    cancel_acquisition_request(daq, number)
    assert server.given_up.wait(5)
    assert daq.get_status(number).status == Status.STATUS_ACQUISITION_CANCELLED
    assert not store.list_capture_actions(EVERYTHING)


def test_what_has_ended_cannot_be_cancelled(daq: Any) -> None:
    """And what never was is said to be unknown; both as the SDK's own errors."""
    number = daq.acquire_data(_images("front"), "action", "group")
    assert _finished(daq, number).status == Status.STATUS_COMPLETE
    with pytest.raises(CancellationFailedError):
        daq.cancel_acquisition(number)
    for ask in (daq.cancel_acquisition, daq.get_status):
        with pytest.raises(RequestIdDoesNotExistError):
            ask(number + 1)


@pytest.mark.parametrize(
    "wanted",
    [_images("front", service="nobody"), AcquisitionRequestList(data_captures=[DataCapture(name="robot-state")])],
)
def test_what_nobody_can_capture_is_refused(daq: Any, wanted: AcquisitionRequestList) -> None:
    """An image service that is not registered, and data of plugins, which this robot has not."""
    with pytest.raises(UnknownCaptureTypeError):
        daq.acquire_data(wanted, "action", "group")


def test_a_reboot_ends_acquisitions_and_keeps_what_is_stored(
    client: Any, daq: Any, store: Any, server: ImageServer, robot: SimulatedRobot
) -> None:
    """Numbers from before mean nothing afterwards."""
    assert acquire_and_process_request(daq, _images("front"), "group", "action")
    server.called.clear()
    server.given_up.clear()
    server.hanging = True
    number = daq.acquire_data(_images("front"), "another", "group")
    assert server.called.wait(5)
    robot.reboot(down_s=0.0)
    assert server.given_up.wait(5)
    client.authenticate("user", "password")
    with pytest.raises(RequestIdDoesNotExistError):
        daq.get_status(number)
    assert [action.action_name for action in store.list_capture_actions(EVERYTHING)] == ["action"]


def test_ended_acquisitions_are_forgotten_and_running_ones_are_not(
    daq: Any, server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The robot's memory is bounded; when nothing of it can go, a new one is refused."""
    monkeypatch.setattr(data_acquisition_service, "MOST_KNOWN", 2)
    ended = [daq.acquire_data(_images("front"), f"action {number}", "group") for number in range(2)]
    for number in ended:
        assert _finished(daq, number).status == Status.STATUS_COMPLETE
    server.hanging = True
    running = [daq.acquire_data(_images("front"), f"more {number}", "group") for number in range(2)]
    for number in ended:
        with pytest.raises(RequestIdDoesNotExistError):
            daq.get_status(number)
    with pytest.raises(RpcError):
        daq.acquire_data(_images("front"), "too many", "group")
    assert [daq.get_status(number).status for number in running] == [Status.STATUS_ACQUIRING] * 2


def test_captures_are_found_by_group_action_and_time(daq: Any, store: Any) -> None:
    """What a query leaves empty may be anything; the SDK's helper makes a time range of a group."""
    for action in ("one", "two"):
        assert acquire_and_process_request(daq, _images("front"), "group", action)
    assert acquire_and_process_request(daq, _images("front"), "other group", "one")
    assert len(store.list_capture_actions(EVERYTHING)) == 3
    assert [action.action_name for action in store.list_capture_actions(_of("group"))] == ["one", "two"]
    assert [action.group_name for action in store.list_capture_actions(_of("", "one"))] == ["group", "other group"]
    assert not store.list_capture_actions(_of("group", "three"))
    assert len(store.list_stored_images(make_time_query_params_from_group_name("group", store))) >= 2


def test_clients_store_things_themselves(store: Any, robot: SimulatedRobot) -> None:
    """Each kind is listed as its own, and numbered."""
    data_id = DataIdentifier(action_id=CaptureActionId(action_name="action", group_name="group"), channel="mine")
    store.store_image(ImageCapture(), data_id)
    store.store_metadata(AssociatedMetadata(), data_id)
    store.store_alertdata(AssociatedAlertData(), data_id)
    assert store.store_data(b"bytes", data_id).id == 4
    listed = (store.list_stored_images, store.list_stored_metadata, store.list_stored_alertdata, store.list_stored_data)
    assert [[found.id for found in each(_of("group"))] for each in listed] == [[1], [2], [3], [4]]
    assert store.query_max_capture_id() == 4
    assert robot.stored[-1].content == b"bytes"


def test_the_store_is_bounded(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first; what is larger than all the room is refused, and nothing goes for it."""
    monkeypatch.setattr(data_store, "MOST_BYTES", 100)
    data_id = DataIdentifier(channel="mine")
    for _ in range(3):
        store.store_data(b"x" * 40, data_id)
    with pytest.raises(RpcError):
        store.store_data(b"x" * 101, data_id)
    assert [found.id for found in store.list_stored_data(EVERYTHING)] == [2, 3]
    monkeypatch.setattr(data_store, "MOST_ITEMS", 2)
    store.store_data(b"", data_id)
    assert [found.id for found in store.list_stored_data(EVERYTHING)] == [3, 4]

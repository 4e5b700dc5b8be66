"""What the SDK's tester of image services asks of one, in its order, through the robot's proxy and data acquisition.

Here each question is a test, asked by the SDK's own clients of a pipeline that runs as in the field.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2
from bosdyn.api.data_acquisition_pb2 import (
    AcquisitionRequestList,
    CaptureActionId,
    GetStatusResponse,
    ImageSourceCapture,
)
from bosdyn.api.data_acquisition_store_pb2 import ActionIdQuery, DataQueryParams
from bosdyn.client.data_acquisition import DataAcquisitionClient
from bosdyn.client.data_acquisition_store import DataAcquisitionStoreClient
from bosdyn.client.directory import DirectoryClient
from bosdyn.client.image import ImageClient, ImageDataError, UnknownImageSourceError, build_image_request
from bosdyn.client.robot_state import RobotStateClient

from tests.end_to_end.running import DATA_ERROR, OK, SERVICE_NAME, Pipeline, running_pipeline
from tests.simulated_robot.conftest import sdk_robot

IMAGE = image_pb2.Image
UNKNOWN_CAMERA = image_pb2.ImageResponse.STATUS_UNKNOWN_CAMERA
SOURCES = ("front", "rear", "Mono camera", "asked")
CAMERAS: dict[str, dict[str, Any]] = {
    "front": {"driver": "synthetic"},
    "rear": {"driver": "synthetic", "width": 1280, "height": 720, "fps": 15, "synthetic": {"encoding": "jpeg"}},
    "mono": {"driver": "synthetic", "source_name": "Mono camera", "rotate": 90, "synthetic": {"encoding": "mono8"}},
    "asked": {"driver": "synthetic", "mode": "on_request"},
}
GONE = {"gone": {"device": "/dev/video99", "required": False}}


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline of every kind of camera whose pictures fit into a JPEG."""
    with running_pipeline(tmp_path_factory.mktemp("tested"), CAMERAS) as pipeline:
        pipeline.wait_for_images(SOURCES, 20)
        yield pipeline


@pytest.fixture(scope="module")
def client(tested: Pipeline) -> Any:
    """An SDK robot object, as a program of the robot's user has it."""
    robot = sdk_robot(tested.robot)
    robot.authenticate("user", "password")
    robot.time_sync.wait_for_sync()
    robot.sync_with_directory()
    yield robot
    robot.time_sync.stop()


@pytest.fixture(scope="module")
def sources(tested: Pipeline) -> Sequence[Any]:
    """What the service advertises."""
    return list(tested.images.list_image_sources())


def faults(client: Any) -> list[Any]:
    """What the robot shows of the service."""
    state = client.ensure_client(RobotStateClient.default_service_name).get_robot_state()
    return [each for each in state.service_fault_state.faults if each.fault_id.service_name == SERVICE_NAME]


def check_complete(answer: Any, entry: Any) -> None:
    """Everything that the tester would warn of, or call an error."""
    image = answer.shot.image
    assert answer.status == OK
    assert answer.source.name == entry.image_source_name
    assert image.data
    assert answer.shot.acquisition_time.seconds > 0
    assert (image.rows, image.cols) == (answer.source.rows, answer.source.cols)
    assert image.format == entry.image_format
    assert image.pixel_format == entry.pixel_format or not entry.pixel_format
    assert image.pixel_format


def test_the_directory_has_the_service(client: Any) -> None:
    """By its name, as an image service."""
    entry = client.ensure_client(DirectoryClient.default_service_name).get_entry(SERVICE_NAME)
    assert (entry.name, entry.type) == (SERVICE_NAME, ImageClient.service_type)


def test_the_sources_are_described(sources: Sequence[Any]) -> None:
    """Each with a name, a size, pixel formats and image formats, one of which the tablet can show."""
    assert tuple(source.name for source in sources) == SOURCES
    for source in sources:
        assert source.rows > 0
        assert source.cols > 0
        assert source.pixel_formats
        assert IMAGE.FORMAT_JPEG in source.image_formats


@pytest.mark.parametrize("name", SOURCES)
def test_everything_that_is_advertised_works(tested: Pipeline, sources: Sequence[Any], name: str) -> None:
    """Every image format with every pixel format, each answer complete and of what was asked for."""
    source = next(each for each in sources if each.name == name)
    for image_format in source.image_formats:
        for pixel_format in source.pixel_formats:
            entry = build_image_request(name, image_format=image_format, pixel_format=pixel_format)
            (answer,) = tested.images.get_image([entry])
            check_complete(answer, entry)


@pytest.mark.parametrize("image_format", [IMAGE.FORMAT_JPEG, IMAGE.FORMAT_RAW])
def test_all_sources_at_once(tested: Pipeline, image_format: "image_pb2.Image.Format") -> None:
    """In the order of the request, the one that captures on request among them."""
    entries = [build_image_request(name, image_format=image_format) for name in SOURCES]
    for answer, entry in zip(tested.images.get_image(entries), entries, strict=True):
        check_complete(answer, entry)


@pytest.mark.parametrize("name", SOURCES)
def test_times_do_not_go_back(tested: Pipeline, name: str) -> None:
    """From one request to the next."""
    answers = [tested.images.get_image_from_sources([name])[0] for _ in range(3)]
    times_ns = [answer.shot.acquisition_time.ToNanoseconds() for answer in answers]
    assert times_ns == sorted(times_ns)


def test_the_sources_are_capabilities_of_the_robot(client: Any) -> None:
    """The robot's data acquisition lists them under the service's name."""
    info = client.ensure_client(DataAcquisitionClient.default_service_name).get_service_info()
    (capability,) = [each for each in info.image_sources if each.service_name == SERVICE_NAME]
    assert tuple(capability.image_source_names) == SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_the_robot_acquires_and_stores_an_image(tested: Pipeline, client: Any, name: str) -> None:
    """Complete, found in the store by its action, and a JPEG that can be decoded."""
    daq = client.ensure_client(DataAcquisitionClient.default_service_name)
    store = client.ensure_client(DataAcquisitionStoreClient.default_service_name)
    wanted = AcquisitionRequestList(image_captures=[ImageSourceCapture(image_service=SERVICE_NAME, image_source=name)])
    number = daq.acquire_data(wanted, f"acquire {name}", "tester")
    tested.wait(lambda: daq.get_status(number).status == GetStatusResponse.STATUS_COMPLETE, "complete", 20)
    action = CaptureActionId(action_name=f"acquire {name}", group_name="tester")
    query = DataQueryParams(action_ids=ActionIdQuery(action_ids=[action]))
    assert len(store.list_capture_actions(query)) == 1
    (stored,) = [item for item in tested.robot.stored if item.data_id.action_id.action_name == f"acquire {name}"]
    image = stored.content.image
    decoded = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape[:2] == (image.rows, image.cols)


def test_no_fault_is_shown_after_all_this(tested: Pipeline, client: Any) -> None:
    """Nor was there one meanwhile."""
    assert faults(client) == []
    assert tested.robot.past_faults == []


@pytest.fixture(scope="module")
def with_a_dead_camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """One camera that works and one that is not there."""
    with running_pipeline(tmp_path_factory.mktemp("dead"), {"front": CAMERAS["front"], **GONE}) as pipeline:
        pipeline.wait(lambda: pipeline.answers("front"), "front answers", 20)
        yield pipeline


def test_one_dead_camera_hides_nothing_of_the_others(with_a_dead_camera: Pipeline) -> None:
    """Every entry has a status of its own; the SDK's client shows all of them when its error handler is off."""
    entries = [build_image_request(name) for name in ("gone", "front", "nobody", "front")]
    images = with_a_dead_camera.images
    answers = images.get_image(entries, disable_error_handler=True)
    assert [answer.status for answer in answers] == [DATA_ERROR, OK, UNKNOWN_CAMERA, OK]
    assert all(answers[good].shot.image.data for good in (1, 3))
    with pytest.raises((UnknownImageSourceError, ImageDataError)) as error:  # the SDK's own way with the first bad one
        images.get_image(entries)
    assert [answer.status for answer in error.value.response.image_responses] == [DATA_ERROR, OK, UNKNOWN_CAMERA, OK]

"""Camera classes of users in a whole pipeline, asked through the robot: as in the tutorial, and with a parameter."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bosdyn.api import image_pb2, service_customization_pb2

from tests.capture_worker.own_cameras import USER_CAMERAS
from tests.end_to_end.running import OK, Pipeline, running_pipeline
from tests.end_to_end.test_images import pixels
from tests.end_to_end.test_real_video import clip, decoded_frames, psnr_db

RAW, JPEG = image_pb2.Image.FORMAT_RAW, image_pb2.Image.FORMAT_JPEG
PARAMS_ERROR = image_pb2.ImageResponse.STATUS_CUSTOM_PARAMS_ERROR
CONFIGURED = 70.0
ROUNDS = 15


def own(factory: str, *arguments: Any) -> dict[str, Any]:
    """The keys of a camera class."""
    table = {"factory": factory, "arguments": list(arguments), "python_path": str(USER_CAMERAS)}
    return {"driver": "camera_interface", "camera_interface": table}


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A class in the tutorial's style, one with a parameter, and one that fails."""
    folder = tmp_path_factory.mktemp("own")
    film = str(clip("bikes.mp4"))
    tables = {
        "film": {**own("plain_cam:PlainCam", film), "fps": 10},
        "contrast": {**own("contrast_camera:make_source"), "parameters": {"Contrast": CONFIGURED}},
        "gone": own("web_cam:FileCam", "/no/such/video"),
    }
    with running_pipeline(folder, tables) as pipeline:
        pipeline.wait_for_images(("film", "contrast"), 30)
        yield pipeline


def contrast(value: float) -> service_customization_pb2.DictParam:
    """What a client sends who wants this contrast."""
    parameters = service_customization_pb2.DictParam()
    parameters.values["Contrast"].double_value.value = value
    return parameters


def shown_and_told(answer: Any) -> tuple[float, float]:
    """The contrast in a picture, and the one that it says it was captured with."""
    assert answer.status == OK
    told = answer.shot.capture_params.custom_params.values["Contrast"].double_value.value
    return float(pixels(answer)[0, -1, 0]), float(told)


def test_the_tutorials_camera_has_the_right_colours(cameras: Pipeline) -> None:
    """RAW is byte for byte a frame of the film in RGB (the method of such a class sends BGR), JPEG looks like one."""
    frames = decoded_frames(clip("bikes.mp4"))
    cameras.wait(lambda: cameras.answers("film"), "the film answers", 20)  # it is over from time to time
    raw = cameras.ask("film", image_format=RAW, pixel_format=image_pb2.Image.PIXEL_FORMAT_RGB_U8)
    assert any(np.array_equal(pixels(raw), frame) for frame in frames)
    cameras.wait(lambda: cameras.answers("film"), "the film answers", 20)
    jpeg = cameras.ask("film", image_format=JPEG, quality_percent=95)
    assert max(psnr_db(pixels(jpeg), frame) for frame in frames) > 30


def test_the_parameter_is_advertised_with_the_configured_default(cameras: Pipeline) -> None:
    """Clients are told what they get if they ask for nothing."""
    sources = {source.name: source for source in cameras.images.list_image_sources()}
    spec = sources["contrast"].custom_params.specs["Contrast"].spec.double_spec
    assert (spec.default_value.value, spec.min_value.value, spec.max_value.value) == (CONFIGURED, 0, 255)
    assert not sources["film"].HasField("custom_params")


@pytest.mark.parametrize("parameters", [None, service_customization_pb2.DictParam(), contrast(CONFIGURED)])
def test_nothing_and_the_defaults_are_the_same(cameras: Pipeline, parameters: Any) -> None:
    """Background parameters are those of the pictures, and of what is told about them."""
    answer = cameras.ask("contrast", image_format=RAW, custom_params=parameters)
    assert shown_and_told(answer) == (CONFIGURED, CONFIGURED)


def test_everybody_gets_the_contrast_that_he_asked_for(cameras: Pipeline) -> None:
    """Three clients at once, again and again; gain is that of the frame, as the class's own function said it."""
    wrong = []

    def client(value: float) -> None:
        for _ in range(ROUNDS):
            answer = cameras.ask("contrast", image_format=RAW, custom_params=contrast(value))
            gain = answer.shot.capture_params.gain
            if shown_and_told(answer) != (value, value) or gain != pytest.approx(1 + value / 100):
                wrong.append((value, answer.shot.capture_params))

    threads = [threading.Thread(target=client, args=(value,)) for value in (20.0, CONFIGURED, 200.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("value", [256.0, -1.0, float("nan"), float("inf")])
def test_a_contrast_that_cannot_be_is_refused(cameras: Pipeline, value: float) -> None:
    """With a sentence, and without a fault: that is the client's mistake."""
    answer = cameras.ask("contrast", custom_params=contrast(value))
    assert answer.status == PARAMS_ERROR
    assert "Contrast" in answer.custom_param_error.error_messages[0]
    assert list(cameras.faults()) == ["Image Capture Failure for gone"]


def test_a_class_that_fails_says_why(cameras: Pipeline) -> None:
    """The exception of a user's constructor is what the operator and the client read; the others do not notice."""
    text = "FileCam"
    cameras.wait(lambda: "no video in /no/such/video" in str(cameras.faults()), "the fault", 20)
    answer = cameras.ask("gone")
    assert answer.status == image_pb2.ImageResponse.STATUS_IMAGE_DATA_ERROR
    assert text in cameras.faults()["Image Capture Failure for gone"]
    assert cameras.answers("contrast")

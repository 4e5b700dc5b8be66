"""Formats and geometry as an SDK client gets them through the robot: upright pictures, pixels that lead to points."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bosdyn.api import image_pb2
from bosdyn.client.frame_helpers import BODY_FRAME_NAME, get_a_tform_b
from bosdyn.client.image import pixel_to_camera_space
from numpy.typing import NDArray

from capture_worker import pattern
from tests.end_to_end.running import OK, Pipeline, running_pipeline
from tests.end_to_end.test_images import pixels

IMAGE = image_pb2.Image
ROWS, COLS = 240, 320
CALIBRATION = """\
%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 520., 0., 319.5, 0., 520., 239.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ 0., 0., 0., 0., 0. ]
"""
MODEL = {"width": 640, "height": 480, "focal_length": [520.0, 520.0], "principal_point": [319.5, 239.5]}
PLACE = [0.4, 0.0, 0.1]
SMALL = {"driver": "synthetic", "width": COLS, "height": ROWS, "fps": 10}

# The first three are one camera at one place, screwed on in three ways: what it sees there is in one direction.
CAMERAS: dict[str, dict[str, Any]] = {
    "front": {**SMALL, "calibration": "front.yaml", "mount": {"position_m": PLACE, "rpy_deg": [0.0, 20.0, 0.0]}},
    "under": {
        **SMALL,
        "rotate": 180,
        "camera_model": MODEL,
        "mount": {"position_m": PLACE, "rpy_deg": [180.0, 20.0, 0.0]},
    },
    "side": {
        **SMALL,
        "rotate": 90,
        "camera_model": MODEL,
        "mount": {"position_m": PLACE, "rpy_deg": [90.0, 20.0, 0.0], "frame_name": "left eye"},
        "synthetic": {"encoding": "jpeg"},
    },
    "depth": {
        **SMALL,
        "crop": [0, 0, 160, 240],
        "flip": "vertical",
        "depth_scale": 500.0,
        "synthetic": {"encoding": "depth16"},
    },
}


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline of these cameras."""
    folder: Path = tmp_path_factory.mktemp("geometry")
    (folder / "front.yaml").write_text(CALIBRATION)
    with running_pipeline(folder, CAMERAS) as pipeline:
        pipeline.wait_for_images(CAMERAS, 20)
        yield pipeline


def in_body(answer: Any, u: float, v: float, depth: float) -> NDArray[Any]:
    """The point in body behind a pixel of an answer."""
    pose = get_a_tform_b(answer.shot.transforms_snapshot, BODY_FRAME_NAME, answer.shot.frame_name_image_sensor)
    return np.array(pose.transform_point(*pixel_to_camera_space(answer.source, u, v, depth)))


def test_a_camera_that_hangs_upside_down_shows_the_world_upright(robot: Pipeline) -> None:
    """Its picture is really turned: turned back, it is the camera's own, pixel by pixel."""
    answer = robot.ask("under", image_format=IMAGE.FORMAT_RAW, pixel_format=IMAGE.PIXEL_FORMAT_RGB_U8)
    picture = pixels(answer)
    pattern.check(np.ascontiguousarray(np.rot90(picture, 2)), "under", order="rgb")
    with pytest.raises(pattern.PatternError):
        pattern.check(picture, "under", order="rgb")


def test_a_camera_that_lies_on_its_side_is_higher_than_wide(robot: Pipeline) -> None:
    """Rows and cols follow, everywhere; its compressed frames are turned as well."""
    listed = next(source for source in robot.images.list_image_sources() if source.name == "side")
    assert (listed.rows, listed.cols) == (COLS, ROWS)
    answer = robot.ask("side", quality_percent=90)
    picture = pixels(answer)
    assert picture.shape == (COLS, ROWS, 3)
    assert (answer.source.rows, answer.source.cols) == (answer.shot.image.rows, answer.shot.image.cols) == (COLS, ROWS)
    pattern.check_lossy(np.ascontiguousarray(np.rot90(picture, 1)), "side", order="rgb")


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.3])
def test_pixels_lead_to_points_on_the_robot(robot: Pipeline, ratio: float) -> None:
    """20 degrees down from where the camera is; however it is mounted, a direction has one pixel."""
    tilt = np.radians(20.0)
    answers = {name: robot.ask(name, resize_ratio=ratio) for name in ("front", "under", "side")}
    for answer in answers.values():
        assert answer.status == OK
        assert (answer.source.rows, answer.source.cols) == (answer.shot.image.rows, answer.shot.image.cols)
        middle = (answer.source.cols - 1) / 2, (answer.source.rows - 1) / 2
        ahead = np.add(PLACE, (2 * np.cos(tilt), 0.0, -2 * np.sin(tilt)))
        assert np.allclose(in_body(answer, *middle, 2.0), ahead, atol=1e-6)
        width_m = (
            in_body(answer, -0.5, middle[1], 2.0)[1] - in_body(answer, answer.source.cols - 0.5, middle[1], 2.0)[1]
        )
        assert width_m == pytest.approx(2.0 * (480 if answer is answers["side"] else 640) / 520)
        higher = in_body(answer, middle[0], middle[1] - 1, 2.0) - ahead
        assert higher[2] > 0
    assert np.allclose(in_body(answers["front"], 30, 20, 3.0), in_body(answers["under"], 30, 20, 3.0))
    assert [answer.shot.frame_name_image_sensor for answer in answers.values()] == ["front", "under", "left eye"]


def test_listed_sources_lead_there_too(robot: Pipeline) -> None:
    """The model of ListImageSources is that of a picture at full size."""
    for source in robot.images.list_image_sources():
        if source.name != "depth":
            assert source == robot.ask(source.name).source
            assert pixel_to_camera_space(source, source.cols - 0.5, source.rows - 0.5) == pytest.approx(
                (source.cols / 520, source.rows / 520, 1.0)
            )


def test_every_advertised_combination_works(robot: Pipeline) -> None:
    """Each image format in each pixel format, labelled as it was asked for; others are refused."""
    for source in robot.images.list_image_sources():
        assert len(source.image_formats) == (2 if source.name == "depth" else 3)
        for image_format, pixel_format in itertools.product(range(1, 4), (1, 3, 4, 5, 6)):
            answer = robot.ask(source.name, image_format=image_format, pixel_format=pixel_format)
            offered = image_format in source.image_formats and pixel_format in source.pixel_formats
            assert (answer.status == OK) == offered
            if offered:
                assert (answer.shot.image.format, answer.shot.image.pixel_format) == (image_format, pixel_format)


def test_a_depth_camera(robot: Pipeline) -> None:
    """Its distances are little-endian, cropped and mirrored as configured, the same with run lengths, and scaled."""
    answer = robot.ask("depth")
    image = answer.shot.image
    assert (answer.source.image_type, answer.source.depth_scale) == (image_pb2.ImageSource.IMAGE_TYPE_DEPTH, 500.0)
    assert (image.format, image.pixel_format) == (IMAGE.FORMAT_RAW, IMAGE.PIXEL_FORMAT_DEPTH_U16)
    assert (image.rows, image.cols, answer.source.rows, answer.source.cols) == (ROWS, 160, ROWS, 160)
    runs = np.frombuffer(robot.ask("depth", image_format=IMAGE.FORMAT_RLE).shot.image.data, np.uint8).reshape(-1, 3)
    for data in (image.data, np.repeat(runs[:, 1:], runs[:, 0], axis=0).tobytes()):
        picture = np.frombuffer(data, "<u2").reshape(ROWS, 160)
        assert np.array_equal(picture & 0xFF, ~(picture >> 8) & 0xFF), "every sample of the pattern, byte by byte"
        bars = picture[ROWS - 1 - 70]  # 70 rows below the top of the camera's own picture
        assert bars[5] > bars[45] > bars[85] > bars[125], "the first four bars, each darker than the one before"
    assert answer.source.WhichOneof("camera_models") is None
    assert not answer.shot.frame_name_image_sensor

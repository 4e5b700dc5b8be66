"""From pixels back to points on the robot: what an SDK client computes from our answers, against a camera of our own.

The camera here is physical: points in body are projected by formulas written out in this file (or by OpenCV's), onto
the frame as the sensor delivers it. What the servicer does to the picture is retraced step by step, or found in the
picture itself.
"""

import itertools
import math
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2
from bosdyn.client.frame_helpers import get_a_tform_b
from bosdyn.client.image import pixel_to_camera_space
from numpy.typing import NDArray

from servicer.image_request import Wanted
from servicer.image_source import SourceDescription
from servicer.picture import Encoded, encode
from servicer.pixel_formats import DEPTH_U16, GREY_U8
from shm import Encoding
from supervision.camera_settings import CameraModelSettings, CameraSettings, MountSettings
from supervision.configuration import read_file, validate
from tests.servicer.serving import IMAGE, frame_of

Array = NDArray[Any]
Kind = Literal["pinhole", "brown_conrady", "kannala_brandt"]

ROWS, COLS = 240, 320  # of the frame; the calibration was made at another size, and another shape
FOCAL, CENTRE, CALIBRATED = (530.0, 500.0), (311.0, 251.0), (640, 440)  # width, height
POSITION, RPY_DEG = (0.4, -0.1, 0.15), (7.0, 20.0, -35.0)
DISTORTION = {
    "pinhole": (),
    "brown_conrady": (-0.21, 0.07, 0.004, -0.011, 0.02),
    "kannala_brandt": (0.05, -0.02, 0.007, -0.001),
}
CROPS = [None, (20, 10, 280, 200)]
RATIOS = [1.0, 0.5, 0.37]
WAYS: list[Any] = list(itertools.product([0, 90, 180, 270], ["none", "horizontal", "vertical"], CROPS))
ALL = [({"rotate": way[0], "flip": way[1], "crop": way[2]}, ratio) for way, ratio in itertools.product(WAYS, RATIOS)]


def settings_of(kind: Kind = "pinhole", skew: float = 0.0, **keys: Any) -> CameraSettings:
    """The configuration of the camera of this file."""
    model = CameraModelSettings(
        kind=kind,
        width=CALIBRATED[0],
        height=CALIBRATED[1],
        focal_length=FOCAL,
        principal_point=CENTRE,
        skew=skew,
        distortion=DISTORTION[kind],
    )
    mount = MountSettings(position_m=POSITION, rpy_deg=RPY_DEG)
    return CameraSettings(driver="synthetic", camera_model=model, mount=mount, **keys)


def body_from_sensor() -> Array:
    """The rotation of the sensor as it is mounted: columns are right, down and forward of the picture, in body."""
    roll, pitch, yaw = np.radians(RPY_DEG)
    about_x = np.array([[1, 0, 0], [0, math.cos(roll), -math.sin(roll)], [0, math.sin(roll), math.cos(roll)]])
    about_y = np.array([[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]])
    about_z = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    looking_along_x = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # right is -y, down is -z, forward is x
    return np.asarray(about_z @ about_y @ about_x @ looking_along_x)


def points_in_body() -> Array:
    """Points that the camera sees well inside its picture, at different distances."""
    across, down, away = np.array([[-0.12, -0.08, 2.0], [0.13, 0.06, 3.0], [0.05, -0.11, 1.2], [-0.02, 0.1, 0.7]]).T
    in_sensor = np.stack([across * away, down * away, away], axis=1)
    return np.asarray(in_sensor @ body_from_sensor().T + POSITION)


def project(points: Array, kind: Kind = "pinhole", skew: float = 0.0) -> Array:
    """Where the physical camera sees points in body: pixels (n, 2) of its frame."""
    in_sensor = (points - POSITION) @ body_from_sensor()
    distorted = distort(in_sensor, kind, DISTORTION[kind])
    u = FOCAL[0] * distorted[:, 0] + skew * distorted[:, 1] + CENTRE[0]
    v = FOCAL[1] * distorted[:, 1] + CENTRE[1]
    # A pixel covers ± half around its number, so the picture begins at -0.5.
    return np.stack([(u + 0.5) * COLS / CALIBRATED[0] - 0.5, (v + 0.5) * ROWS / CALIBRATED[1] - 0.5], axis=1)


def distort(in_sensor: Array, kind: Kind, coefficients: tuple[float, ...]) -> Array:
    """Normalized picture coordinates (n, 2) of points in a sensor's frame, as OpenCV computes them."""
    points, nothing = in_sensor.reshape(-1, 1, 3).astype(float), np.zeros(3)
    if kind == "kannala_brandt":
        bent, _ = cv2.fisheye.projectPoints(points, nothing, nothing, np.eye(3), np.array(coefficients))
    else:
        bent, _ = cv2.projectPoints(points, nothing, nothing, np.eye(3), np.array(coefficients or (0.0,) * 5))
    return np.asarray(bent).reshape(-1, 2)


def sent_to(pixel: Array, settings: CameraSettings, sent: Encoded) -> tuple[float, float]:
    """Where a pixel of the frame is in the picture that is sent."""
    u, v = pixel
    left, top, width, height = settings.crop or (0, 0, COLS, ROWS)
    u, v = u - left, v - top
    if settings.rotate == 90:
        u, v, width, height = height - 1 - v, u, height, width
    elif settings.rotate == 180:
        u, v = width - 1 - u, height - 1 - v
    elif settings.rotate == 270:
        u, v, width, height = v, width - 1 - u, height, width
    u = width - 1 - u if settings.flip == "horizontal" else u
    v = height - 1 - v if settings.flip == "vertical" else v
    return (u + 0.5) * sent.cols / width - 0.5, (v + 0.5) * sent.rows / height - 0.5


def answer(settings: CameraSettings, picture: Array, ratio: float, encoding: Encoding = Encoding.MONO8) -> Any:
    """What a client gets: source and shot of one picture, as RAW."""
    description = SourceDescription("front", settings)
    pixel_format = GREY_U8 if encoding is Encoding.MONO8 else DEPTH_U16
    made = encode(
        frame_of(picture, encoding), Wanted(IMAGE.FORMAT_RAW, pixel_format, 0, ratio), description.orientation
    )
    response = image_pb2.ImageResponse(source=description.source(encoding, picture.shape[:2]))
    description.resize(response.source, (made.frame_rows, made.frame_cols), (made.rows, made.cols))
    description.locate(response.shot)
    response.shot.image.data = made.data
    return response, made


def back_in_body(response: Any, u: float, v: float, point: Array) -> Array:
    """The point in body that an SDK client finds behind a pixel, told how far away it is along the lens."""
    depth = float(((point - POSITION) @ body_from_sensor())[2])
    in_sensor = pixel_to_camera_space(response.source, u, v, depth)
    pose = get_a_tform_b(response.shot.transforms_snapshot, "body", response.shot.frame_name_image_sensor)
    return np.array(pose.transform_point(*in_sensor))


def blob(pixel: Array) -> Array:
    """A frame with one bright spot around a pixel."""
    v, u = np.mgrid[0:ROWS, 0:COLS]
    distance = (u - pixel[0]) ** 2 + (v - pixel[1]) ** 2
    return np.asarray(np.rint(250 * np.exp(-distance / (2 * 4.0**2))).astype(np.uint8))


def middle_of(picture: Array) -> tuple[float, float]:
    """The middle of the only bright spot, in pixels."""
    v, u = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    return float((u * picture).sum() / picture.sum()), float((v * picture).sum() / picture.sum())


@pytest.mark.parametrize(("keys", "ratio"), ALL)
def test_a_spot_in_the_picture_leads_back_to_its_point(keys: dict[str, Any], ratio: float) -> None:
    """What is seen in the picture that was sent is where the SDK's functions say, to a tenth of a pixel."""
    settings = settings_of(**keys)
    for point, pixel in zip(points_in_body(), project(points_in_body()), strict=True):
        response, made = answer(settings, blob(pixel), ratio)
        spot = middle_of(np.frombuffer(made.data, np.uint8).reshape(made.rows, made.cols).astype(float))
        assert np.hypot(*np.subtract(spot, sent_to(pixel, settings, made))) < 0.1, "this file's own reasoning"
        pixels_away = np.linalg.norm(point - POSITION) / 200  # a pixel of the smallest picture, at that distance
        assert np.linalg.norm(back_in_body(response, *spot, point) - point) < 0.1 * pixels_away / ratio


@pytest.mark.parametrize(("keys", "ratio"), ALL)
def test_every_pixel_leads_back_exactly(keys: dict[str, Any], ratio: float) -> None:
    """To the limits of what a float can hold, for rows and cols of what was sent."""
    settings = settings_of(**keys)
    response, made = answer(settings, np.ones((ROWS, COLS), np.uint8), ratio)
    assert (response.source.rows, response.source.cols) == (made.rows, made.cols)
    for point, pixel in zip(points_in_body(), project(points_in_body()), strict=True):
        assert np.allclose(back_in_body(response, *sent_to(pixel, settings, made), point), point, atol=1e-9)


@pytest.mark.parametrize(("rotate", "flip", "crop"), WAYS)
def test_listed_sources_describe_the_full_picture(rotate: Any, flip: Any, crop: Any) -> None:
    """ListImageSources has the model of a picture that is not resized."""
    settings = settings_of(rotate=rotate, flip=flip, crop=crop)
    listed = SourceDescription("front", settings).source(Encoding.MONO8, (ROWS, COLS))
    response, _ = answer(settings, np.ones((ROWS, COLS), np.uint8), 1.0)
    assert listed == response.source


@pytest.mark.parametrize("kind", ["brown_conrady", "kannala_brandt"])
@pytest.mark.parametrize(("keys", "ratio"), ALL)
def test_lenses_that_bend_are_described_for_the_picture_that_is_sent(
    kind: Kind, keys: dict[str, Any], ratio: float
) -> None:
    """Projecting by the advertised model and pose finds the pixel, with the skew on either side of the matrix."""
    skew = 9.0
    settings = settings_of(kind, skew, **keys)
    response, made = answer(settings, np.ones((ROWS, COLS), np.uint8), ratio)
    pose = get_a_tform_b(response.shot.transforms_snapshot, "front", "body")
    in_sensor = np.array([pose.transform_point(*point) for point in points_in_body()])
    matrix, coefficients = advertised(response.source, kind)
    normalized = distort(in_sensor, kind, coefficients)
    found = np.column_stack([normalized, np.ones(len(normalized))]) @ matrix.T
    expected = [sent_to(pixel, settings, made) for pixel in project(points_in_body(), kind, skew)]
    assert np.allclose(found[:, :2], expected, atol=1e-3)  # the coefficients are floats of 32 bits


def advertised(source: Any, kind: Kind) -> tuple[Array, tuple[float, ...]]:
    """The camera matrix as image.proto writes it down, and the coefficients."""
    coefficients: tuple[float, ...]
    if kind == "brown_conrady":
        model = source.pinhole_brown_conrady.intrinsics
        coefficients = (model.k1, model.k2, model.p1, model.p2, model.k3)
    else:
        model = source.kannala_brandt.intrinsics
        coefficients = (model.k1, model.k2, model.k3, model.k4)
    pinhole = model.pinhole_intrinsics
    focal, centre, skew = pinhole.focal_length, pinhole.principal_point, pinhole.skew
    return np.array([[focal.x, skew.x, centre.x], [skew.y, focal.y, centre.y], [0, 0, 1]]), coefficients


def test_a_mirrored_picture_has_a_negative_focal_length_and_an_unchanged_pose() -> None:
    """No rotation makes a mirror image: the pose stays that of the sensor."""
    plain, _ = answer(settings_of(), np.ones((ROWS, COLS), np.uint8), 1.0)
    for flip, signs in (("horizontal", (-1, 1)), ("vertical", (1, -1))):
        mirrored, _ = answer(settings_of(flip=flip), np.ones((ROWS, COLS), np.uint8), 1.0)
        before, after = (answer.source.pinhole.intrinsics.focal_length for answer in (plain, mirrored))
        assert (after.x, after.y) == pytest.approx((signs[0] * before.x, signs[1] * before.y))
        assert mirrored.shot.transforms_snapshot == plain.shot.transforms_snapshot


def test_a_depth_sample_is_of_where_the_model_says() -> None:
    """Of the distances that become one pixel the middle one is taken, not the one in a corner."""
    v, u = np.mgrid[0:ROWS, 0:COLS]
    for settings in (settings_of(), settings_of(rotate=180)):
        for picture, axis in ((u, 0), (v, 1)):
            _, made = answer(settings, picture.astype("<u2"), 0.2, Encoding.DEPTH16)
            sample = np.frombuffer(made.data, "<u2").reshape(made.rows, made.cols)[7, 11]
            pixel = [0.0, 0.0]
            pixel[axis] = float(sample)
            assert sent_to(np.array(pixel), settings, made)[axis] == pytest.approx((11, 7)[axis])


def test_a_camera_without_a_model_is_described_as_it_is() -> None:
    """Rows and cols are those of its upright picture, however small the one beside it is; nothing else is claimed."""
    settings = CameraSettings(driver="synthetic", rotate=90)
    response, made = answer(settings, np.ones((ROWS, COLS), np.uint8), 0.5)
    assert (made.rows, made.cols) == (COLS // 2, ROWS // 2)
    assert (response.source.rows, response.source.cols) == (COLS, ROWS)
    assert response.source.WhichOneof("camera_models") is None
    assert not response.shot.frame_name_image_sensor
    assert not response.shot.HasField("transforms_snapshot")


def test_frames_of_another_shape_than_the_calibration_are_said_once_per_size(caplog: pytest.LogCaptureFixture) -> None:
    """A sensor mode that is cropped needs a calibration of its own; the log is bounded for any number of sizes."""
    description = SourceDescription("front", settings_of())  # calibrated at 640 x 440
    for size in [(220, 320), (224, 320)] * 2:
        description.source(Encoding.MONO8, size)
    assert not caplog.records
    for size in [(240, 320), (180, 320), (240, 320)]:
        description.source(Encoding.MONO8, size)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "front: its camera model is for 640 x 440 pixels and its frames are 320 x 240: probably a cropped" in said[0]
    for rows in range(300, 400):
        description.source(Encoding.MONO8, (rows, 320))
    assert len(caplog.records) == 10


def test_a_crop_that_is_not_all_there_is_said_once_per_size(caplog: pytest.LogCaptureFixture) -> None:
    """What is left of it; or that nothing is: whoever reads the log need not ask for a picture first."""
    settings = CameraSettings(driver="synthetic", crop=(100, 50, 200, 100))
    description = SourceDescription("front", settings)
    description.source(Encoding.MONO8, (150, 300))
    assert not caplog.records
    for size in [(150, 200), (120, 300), (50, 300), (150, 200)]:
        description.source(Encoding.MONO8, size)
    crop = "front: the crop [100, 50, 200, 100]"
    assert [record.getMessage() for record in caplog.records] == [
        f"{crop} reaches beyond the frames of 200 x 150 pixels: 100 x 100 of its 200 x 100 are left",
        f"{crop} reaches beyond the frames of 300 x 120 pixels: 200 x 70 of its 200 x 100 are left",
        f"{crop} lies outside the frame of 300 x 50 pixels: no picture can be made of it",
    ]
    for rows in range(1, 40):
        description.source(Encoding.MONO8, (rows, 320))
    assert len(caplog.records) == 10


@pytest.mark.parametrize(
    ("rpy_deg", "forward", "down"),
    [
        ((0, 0, 0), (1, 0, 0), (0, 0, -1)),
        ((0, 0, 90), (0, 1, 0), (0, 0, -1)),  # turned to the left
        ((0, 90, 0), (0, 0, -1), (-1, 0, 0)),  # looks down
        ((180, 0, 0), (1, 0, 0), (0, 0, 1)),  # upside down
        ((90, 0, 0), (1, 0, 0), (0, 1, 0)),  # its top is to the right
    ],
)
def test_the_orientation_of_a_mounted_camera(rpy_deg: Any, forward: Any, down: Any) -> None:
    """Roll, pitch and yaw turn a camera that looks ahead, with its top up."""
    mount = MountSettings(position_m=(1, 2, 3), rpy_deg=rpy_deg)
    pose = pose_of(CameraSettings(driver="synthetic", mount=mount), "front")
    assert np.allclose(pose.transform_point(0, 0, 1), np.add((1, 2, 3), forward))
    assert np.allclose(pose.transform_point(0, 1, 0), np.add((1, 2, 3), down))


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_right_is_right_in_the_picture_that_is_sent(rotate: Any) -> None:
    """The sensor's x axis turns with the picture: what is to the right of it on the robot is to the right in it."""
    mount = MountSettings(position_m=(0, 0, 0), rpy_deg=(rotate, 0, 0))  # turning it so puts it right
    pose = pose_of(CameraSettings(driver="synthetic", mount=mount, rotate=rotate), "front")
    assert np.allclose(pose.transform_point(1, 0, 0), (0, -1, 0))
    assert np.allclose(pose.transform_point(0, 1, 0), (0, 0, -1))


def test_a_quaternion_is_that_of_the_sensor_frame() -> None:
    """Made a unit one if it was written with few digits; frame names are as configured."""
    mount = MountSettings(position_m=(0, 0, 1), quaternion_wxyz=(0.7075, 0.7075, 0, 0), parent="hand", frame_name="eye")
    settings = CameraSettings(driver="synthetic", source_name="Front 1", mount=mount)
    pose = pose_of(settings, "eye", "hand")
    assert np.allclose(pose.transform_point(0, 1, 0), (0, 0, 2))
    assert pose.rot.w**2 + pose.rot.x**2 == pytest.approx(1, abs=1e-12)


def pose_of(settings: CameraSettings, frame: str, parent: str = "body") -> Any:
    """The pose of the sensor that an SDK client finds in a shot."""
    shot = image_pb2.ImageCapture()
    SourceDescription("front", settings).locate(shot)
    assert shot.frame_name_image_sensor == frame
    return get_a_tform_b(shot.transforms_snapshot, parent, frame)


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    """Its configuration gives its figures."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "geometry.md").read_text()
    (tmp_path / "example.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    settings = validate(read_file(tmp_path / "example.toml"), "the example").cameras["under"]
    description = SourceDescription("under", settings)
    source, shot = description.source(Encoding.BGR8, (480, 640)), image_pb2.ImageCapture()
    description.resize(source, (480, 640), (240, 320))
    description.locate(shot)
    in_sensor = pixel_to_camera_space(source, 224, 184, 2.0)
    in_body = get_a_tform_b(shot.transforms_snapshot, "body", "under").transform_point(*in_sensor)
    intrinsics = source.pinhole.intrinsics
    assert f"focal length {intrinsics.focal_length.x:.0f}" in text
    assert f"({intrinsics.principal_point.x:.1f}, {intrinsics.principal_point.y:.1f})" in text
    for point in (in_sensor, in_body):
        assert "({:.3f}, {:.3f}, {:.3f})".format(*point) in text


def test_listed_sources_have_their_places() -> None:
    """One tree for all mounted cameras of one root; a camera that nobody mounted, or on another root, is not in it."""
    places = {
        "front": MountSettings(position_m=(0.4, 0.0, 0.1)),
        "rear": MountSettings(position_m=(-0.5, 0.0, 0.2), rpy_deg=(0, 0, 180)),
        "gripper": MountSettings(position_m=(0, 0, 0), parent="hand"),
        "loose": None,
    }
    tree = image_pb2.ListImageSourcesResponse().transforms_snapshot
    for name, mount in places.items():
        SourceDescription(name, CameraSettings(driver="synthetic", mount=mount)).add_place(tree)
    assert sorted(tree.child_to_parent_edge_map) == ["body", "front", "rear"]
    front_tform_rear = get_a_tform_b(tree, "front", "rear")
    assert (front_tform_rear.x, front_tform_rear.y, front_tform_rear.z) == pytest.approx((0.0, -0.1, -0.9), abs=1e-9)

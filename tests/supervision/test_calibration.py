"""Calibration files of other programs: what they say becomes the camera model, what is wrong with them one line."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from supervision import exit_codes
from supervision.calibration import read_calibration
from supervision.camera_settings import CameraModelSettings
from supervision.checks import check
from supervision.cli import exit_code_of
from supervision.flags import parse_flags, settings_from_flags
from supervision.settings import Settings

ROS = """\
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [520.5, 0., 319.25, 0.000000, 5.2e2, 239.75, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.21, 0.07, 4e-3, -1.1e-02, 0.02]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
"""
COEFFICIENTS = "[-0.21, 0.07, 4e-3, -1.1e-02, 0.02]"
OPENCV_2 = """\
%YAML:1.0
calibration_Time: "Fri Nov 20 10:00:00 2026"
nrOfFrames: 9
image_Width: 640
image_Height: 480
flags: 0
Camera_Matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 5.2050000000000000e+02, 0., 3.1925000000000000e+02, 0., 520.,
       239.75, 0., 0., 1. ]
Distortion_Coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -2.1e-01, 7.0e-02, 4.0e-03,
       -1.1e-02, 2.0e-02 ]
"""
BROWN_CONRADY = (-0.21, 0.07, 0.004, -0.011, 0.02)


def read(folder: Path, text: str) -> CameraModelSettings:
    """Read a file with this text."""
    file = folder / "camera.yaml"
    file.write_text(text)
    return read_calibration(file)


def model(kind: Any, distortion: tuple[float, ...]) -> CameraModelSettings:
    """The camera of this file with another lens."""
    return CameraModelSettings(
        kind=kind,
        width=640,
        height=480,
        focal_length=(520.5, 520.0),
        principal_point=(319.25, 239.75),
        distortion=distortion,
    )


@pytest.mark.parametrize(
    "text",
    [
        ROS,
        ROS.replace("distortion_model: plumb_bob\n", ""),
        ROS.replace("plumb_bob", "rational_polynomial").replace("0.02]", "0.02, 0, 0, 0.0]"),
        OPENCV_2,
        OPENCV_2.replace("%YAML:1.0", "%YAML:1.0\n---"),
        OPENCV_2.replace("Distortion_Coefficients", "dist_coeffs"),
        "\ufeff" + ROS.replace("\n", "\r\n"),
    ],
)
def test_files_of_ros_and_opencv_are_understood(text: str, tmp_path: Path) -> None:
    """All of them say the same of one camera, however they write it down."""
    assert read(tmp_path, text) == model("brown_conrady", BROWN_CONRADY)


@pytest.mark.parametrize(
    ("name", "coefficients", "expected"),
    [
        ("plumb_bob", "[0.1, 0.2, 0.3, 0.4]", ("brown_conrady", (0.1, 0.2, 0.3, 0.4, 0.0))),
        ("plumb_bob", "[0, 0, 0, 0, 0]", ("pinhole", ())),
        ("plumb_bob", "[]", ("pinhole", ())),
        ("equidistant", "[0.1, 0.2, 0.3, 0.4]", ("kannala_brandt", (0.1, 0.2, 0.3, 0.4))),
        ("fisheye", "[0.1, 0.2, 0.3, 0.4]", ("kannala_brandt", (0.1, 0.2, 0.3, 0.4))),
        ("equidistant", "[0, 0, 0, 0]", ("kannala_brandt", (0.0, 0.0, 0.0, 0.0))),
    ],
)
def test_the_lens_decides_on_the_model(name: str, coefficients: str, expected: Any, tmp_path: Path) -> None:
    """No distortion at all is a pinhole, except behind a fisheye lens."""
    text = ROS.replace("plumb_bob", name).replace(COEFFICIENTS, coefficients)
    assert read(tmp_path, text) == model(*expected)


@pytest.mark.parametrize("no", ["0", "0.", "False", "FALSE", "no", "off", ""])
def test_a_lens_that_is_said_to_be_no_fisheye_is_none(no: str, tmp_path: Path) -> None:
    """However a program writes that down."""
    assert read(tmp_path, f"{ROS}fisheye_model: {no}\n") == model("brown_conrady", BROWN_CONRADY)


@pytest.mark.parametrize("fisheye", [False, True])
def test_what_opencv_itself_writes_is_read(fisheye: bool, tmp_path: Path) -> None:
    """Its FileStorage, of the version that is installed."""
    storage = cv2.FileStorage(str(tmp_path / "camera.yml"), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("fisheye_model", int(fisheye))
    storage.write("camera_matrix", np.array([[520.5, 0, 319.25], [0, 520, 239.75], [0, 0, 1]]))
    storage.write("distortion_coefficients", np.array(BROWN_CONRADY[: 4 if fisheye else 5]).reshape(-1, 1))
    storage.release()
    expected = model("kannala_brandt", BROWN_CONRADY[:4]) if fisheye else model("brown_conrady", BROWN_CONRADY)
    assert read_calibration(tmp_path / "camera.yml") == expected


def test_skew_is_kept(tmp_path: Path) -> None:
    """The second number of the matrix, for the few calibrations that have one."""
    assert read(tmp_path, ROS.replace("[520.5, 0.,", "[520.5, 2.5,")).skew == 2.5


MISTAKES = {
    "empty": ("", "is no calibration: it has no keys"),
    "a list": ("[1, 2]", "is no calibration: it has no keys"),
    "no yaml": ("camera_matrix: [1, 2", "line 1: expected ',' or ']'"),
    "two documents": (f"{ROS}---\n{ROS}", "line 17: but found another document"),
    "nested": ("[" * 10_000, "is nested too deeply"),
    "binary": ("a: \x00", "has characters in it that no text has"),
    "no width": (ROS.replace("image_width: 640\n", ""), "image_width: is missing"),
    "width is text": (ROS.replace("640", "wide"), "image_width: 'wide' is no number"),
    "width is a list": (ROS.replace("640", "[6, 40]"), "image_width: \"['6', '40']\" is no number"),
    "width is 0": (ROS.replace("640", "0"), "image_width: is a number of pixels, not 0"),
    "width is broken": (ROS.replace("640", "640.5"), "image_width: is a number of pixels, not 640.5"),
    "height is enormous": (ROS.replace("480", "1e300"), "image_height: is a number of pixels, not 1e+300"),
    "no matrix": (ROS.replace("camera_matrix", "matrix"), "camera_matrix: is missing"),
    "matrix without data": (ROS.replace("data: [520.5", "dat: [520.5"), "camera_matrix: has no list of numbers"),
    "matrix is text": (ROS.replace(", 0, 0, 1]\ndist", ", 0, 0, one]\ndist"), "camera_matrix: 'one' is no number"),
    "matrix is nan": (ROS.replace("319.25", ".nan"), "camera_matrix: '.nan' is no number"),
    "matrix is infinite": (ROS.replace("319.25", "inf"), "camera_matrix: 'inf' is no number"),
    "matrix is short": (ROS.replace("239.75, 0, 0, 1]", "239.75]"), "camera_matrix: has 9 numbers, not 6"),
    "matrix is transposed": (
        ROS.replace("[520.5, 0., 319.25, 0.000000, 5.2e2, 239.75, 0, 0, 1]", "[520, 0, 0, 0, 520, 0, 319, 239, 1]"),
        "camera_matrix: is [fx, skew, cx, 0, fy, cy, 0, 0, 1], row by row",
    ),
    "never calibrated": (ROS.replace("520.5", "0"), "camera_matrix: its focal lengths are not positive"),
    "no coefficients": (ROS.replace("distortion_coefficients", "coefficients"), "distortion_coefficients: is missing"),
    "three coefficients": (ROS.replace(COEFFICIENTS, "[1, 2, 3]"), "a brown_conrady model has 5, not 3"),
    "fisheye with two": (
        ROS.replace("plumb_bob", "fisheye").replace(COEFFICIENTS, "[1, 2]"),
        "a kannala_brandt model has 4, not 2",
    ),
    "fisheye with five": (ROS.replace("plumb_bob", "fisheye"), "those after the first 4 must be 0"),
    "rational": (
        ROS.replace("plumb_bob", "rational_polynomial").replace("0.02]", "0.02, 0, 0, 0.1]"),
        "distortion_coefficients: those after the first 5 must be 0",
    ),
    "unknown model": (ROS.replace("plumb_bob", "omni"), "distortion_model: 'omni' is unknown"),
    "model is a table": (ROS.replace("plumb_bob", "{a: 1}"), "distortion_model: "),
    "too large": ("#" * 70_000, "is larger than 64 KiB"),
    "alias": (f"a: &a {COEFFICIENTS}\n" + ROS.replace(COEFFICIENTS, "*a"), "line 13: an alias (*name) is not read"),
    "aliases of aliases": (
        ROS.replace("640", "*z").replace("image_width", "a: &a [1, 1]\nz: &z [*a, *a]\nimage_width"),
        "line 2: an alias (*name) is not read",
    ),
    "python object": ("!!python/object/apply:os.system [exit 1]", "is no calibration: it has no keys"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 78, and a line with the configuration's key, the file and the key in it."""
    text, words = MISTAKES[name]
    (tmp_path / "camera.yaml").write_text(text)
    said = refusal(tmp_path, "camera.yaml", capfd)
    assert f"cameras.front.calibration: {tmp_path / 'camera.yaml'}: " in said
    assert words in said


def refusal(folder: Path, file: str, capfd: pytest.CaptureFixture[str]) -> str:
    """What `supervisor.py` says to a configuration with this calibration."""
    code = exit_code_of(lambda: bool(configured(folder, file)))
    said = capfd.readouterr().err
    assert code == exit_codes.BAD_CONFIGURATION
    assert said.count("\n") == 1
    return said


def configured(folder: Path, file: str) -> Settings:
    """The settings of a configuration file beside the calibration."""
    config = folder / "pipeline.toml"
    config.write_text(f'simulate = true\n[cameras.front]\ndriver = "synthetic"\ncalibration = "{file}"\n')
    return settings_from_flags(parse_flags(["--config", str(config)]), Path("/"))


def test_what_is_no_file_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is waited for: a pipe without a writer is no calibration."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert "No such file or directory" in refusal(tmp_path, "missing.yaml", capfd)
    assert "is no file" in refusal(tmp_path, ".", capfd)
    assert "is no file" in refusal(tmp_path, "pipe", capfd)
    assert "is no text file" in refusal(tmp_path, "picture.jpg", capfd)


def test_the_children_get_the_model_and_not_the_file(tmp_path: Path) -> None:
    """Relative to the configuration's folder; a file that changes is a configuration that changes."""
    (tmp_path / "camera.yaml").write_text(ROS)
    before = configured(tmp_path, "camera.yaml")
    assert before.cameras["front"].camera_model == model("brown_conrady", BROWN_CONRADY)
    assert before.cameras["front"].calibration is None
    assert Settings.model_validate_json(before.model_dump_json(), strict=True).cameras == before.cameras
    (tmp_path / "camera.yaml").write_text(ROS.replace("520.5", "521.5"))
    assert configured(tmp_path, "camera.yaml") != before


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=9)
            | st.dictionaries(
                st.sampled_from(["image_width", "image_height", "camera_matrix", "data", "distortion_coefficients"]),
                inner,
            )
        ),
        max_leaves=20,
    ).map(lambda document: yaml.safe_dump(document).encode())
)
def test_whatever_is_in_a_file_it_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    """With a sentence of one line."""
    file = tmp_path / "camera.yaml"
    file.write_bytes(content)
    try:
        assert read_calibration(file)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017  either is right


GEOMETRY_MISTAKES = {
    "crop beyond the picture": ("crop = [600, 0, 41, 10]", "cameras.front.crop: reaches beyond the picture of 640 x"),
    "crop of nothing": ("crop = [0, 0, 0, 10]", "cameras.front.crop.2:"),
    "crop of three": ("crop = [0, 0, 10]", "cameras.front.crop.3: is missing"),
    "negative crop": ("crop = [-1, 0, 10, 10]", "cameras.front.crop.0:"),
    "rotate by 45": ("rotate = 45", "cameras.front.rotate:"),
    "flip": ('flip = "both"', "cameras.front.flip:"),
    "model of a turned picture": (
        "camera_model = { width = 480, height = 640, focal_length = [5.0, 5.0], principal_point = [1.0, 1.0] }",
        "it must be that of the picture before it is turned",
    ),
    "model with distortion": (
        "camera_model = { width = 4, height = 3, focal_length = [5.0, 5.0], principal_point = [1.0, 1.0], "
        "distortion = [1.0] }",
        "a pinhole model has 0 coefficients, not 1",
    ),
    "two models": (
        'calibration = "a.yaml"\n'
        "camera_model = { width = 4, height = 3, focal_length = [5.0, 5.0], principal_point = [1.0, 1.0] }",
        "calibration, or camera_model, not both",
    ),
    "two orientations": (
        "mount = { position_m = [0.0, 0.0, 0.0], rpy_deg = [0.0, 0.0, 0.0], quaternion_wxyz = [1.0, 0.0, 0.0, 0.0] }",
        "rpy_deg, or quaternion_wxyz, not both",
    ),
    "no unit quaternion": (
        "mount = { position_m = [0.0, 0.0, 0.0], quaternion_wxyz = [1.0, 1.0, 0.0, 0.0] }",
        "its length is not 1",
    ),
    "own pictures": (
        'rotate = 90\ndriver = "camera_interface"\ncamera_interface = { factory = "a:B", image_decode = "own" }',
        "a class that makes its own pictures must crop, rotate and flip them",
    ),
    "model of a cropped mode": (
        "camera_model = { width = 1280, height = 720, focal_length = [5.0, 5.0], principal_point = [1.0, 1.0] }",
        "is for 1280 x 720 pixels, and the camera delivers 640 x 480: probably a cropped sensor mode",
    ),
    "frame is its own parent": (
        'mount = { position_m = [0.0, 0.0, 0.0], parent = "front" }',
        "cameras.front.mount.parent: the frame 'front' is the sensor's own; name one of the robot's",
    ),
    "parent is another camera": (
        'mount = { position_m = [0.0, 0.0, 0.0], frame_name = "eye" }\n'
        "[cameras.rear]\ndevice = 1\n"
        'mount = { position_m = [0.0, 0.0, 0.0], parent = "eye" }',
        "cameras.rear.mount.parent: the frame 'eye' is the sensor frame of camera front",
    ),
    "one frame, two places": (
        'source_name = "eye"\nmount = { position_m = [0.0, 0.0, 0.0] }\n'
        "[cameras.rear]\ndevice = 1\n"
        'mount = { position_m = [0.0, 0.0, 0.1], frame_name = "eye" }',
        "cameras.rear.mount: its sensor frame 'eye' is that of camera front too, at another place",
    ),
}


def test_two_sources_of_one_sensor_share_its_frame() -> None:
    """A camera's colours and depths have one frame at one place; models of nearly the same shape fit."""
    mount = {"position_m": (0.0, 0.0, 0.1)}
    lens = {"width": 640, "height": 360, "focal_length": (300.0, 300.0), "principal_point": (320.0, 180.0)}
    front = {"device": 0, "width": 1920, "height": 1088, "mount": mount, "camera_model": lens}
    cameras = {"front": front, "depth": {"device": 1, "mount": {**mount, "frame_name": "front"}}}
    check(Settings.model_validate({"simulate": True, "cameras": cameras}))


@pytest.mark.parametrize("name", GEOMETRY_MISTAKES)
def test_geometry_that_cannot_be_is_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    text, words = GEOMETRY_MISTAKES[name]
    config = tmp_path / "pipeline.toml"
    driver = "" if "driver" in text else 'driver = "synthetic"'
    config.write_text(f"simulate = true\n[cameras.front]\n{driver}\n{text}\n")
    flags = parse_flags(["--config", str(config)])
    code = exit_code_of(lambda: bool(settings_from_flags(flags, tmp_path)))
    said = capfd.readouterr().err
    assert code == exit_codes.BAD_CONFIGURATION
    assert said.count("\n") == 1
    assert words in said

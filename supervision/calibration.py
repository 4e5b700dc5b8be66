"""Camera models from calibration files, as ROS (camera_info) and OpenCV (FileStorage) write them in YAML.

Both have the camera matrix and the distortion coefficients, for pictures of image_width x image_height. Everything is
read as text first, tags and types ignored, aliases refused: what is made of a file is lists of strings, and together
no longer than the file.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervision.camera_settings import CameraModelSettings, CameraSettings
from supervision.configuration import ConfigurationError
from supervision.settings import Settings
from supervision.small_file import read_small_file

_LARGEST_BYTES = 64 << 10  # with the corners of some twenty calibration pictures in it; read in half a second at most
_LARGEST_SIDE = 65535
_MATRIX_VALUES = 9
_LEAST_COEFFICIENTS = 4
_COEFFICIENTS = {"brown_conrady": 5, "kannala_brandt": 4}  # OpenCV's further ones have no place in the proto
_MODEL_KEYS = ("distortion_model", "camera_model", "model")
_COEFFICIENT_KEYS = ("distortion_coefficients", "dist_coeffs")
_NO = {"", "0", "0.", "0.0", "false", "no", "off", "n", "~", "null"}
_FISHEYE = {"equidistant", "fisheye", "kannala_brandt"}
_BROWN_CONRADY = {"plumb_bob", "rational_polynomial", "brown_conrady", "pinhole"}


def with_camera_models(settings: Settings) -> Settings:
    """Return settings in which every calibration file has become a camera model. Raises ConfigurationError."""
    cameras = {name: _with_camera_model(name, camera) for name, camera in settings.cameras.items()}
    return settings.model_copy(update={"cameras": cameras})


def _with_camera_model(name: str, camera: CameraSettings) -> CameraSettings:
    if camera.calibration is None:
        return camera
    try:
        model = read_calibration(camera.calibration)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigurationError(f"cameras.{name}.calibration: {camera.calibration}: {why}") from error
    except ValueError as error:
        raise ConfigurationError(f"cameras.{name}.calibration: {camera.calibration}: {error}") from error
    return camera.model_copy(update={"calibration": None, "camera_model": model})


def read_calibration(path: Path) -> CameraModelSettings:
    """Read a calibration file. Raises OSError, and ValueError with a sentence that names the key."""
    document = _parse(_read(path))
    width, height = (_side(document, key) for key in ("image_width", "image_height"))
    focal_length, principal_point, skew = _intrinsics(_numbers(document, "camera_matrix"))
    kind, distortion = _distortion(document)
    return CameraModelSettings(
        kind=kind,
        width=width,
        height=height,
        focal_length=focal_length,
        principal_point=principal_point,
        skew=skew,
        distortion=distortion,
    )


def _read(path: Path) -> str:
    try:
        text = read_small_file(path, _LARGEST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("is no text file") from error
    # OpenCV's first line is no YAML: a directive has no colon.
    return text.partition("\n")[2] if text.startswith("%YAML:") else text


def _parse(text: str) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415  only who has such a file needs it

    class Loader(yaml.BaseLoader):  # makes texts, lists and tables of everything; knows no tags and no other types
        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):  # by a few of them, a short file becomes gigabytes of numbers
                alias = self.peek_event()  # type: ignore[no-untyped-call]  # of the stubs
                raise yaml.MarkedYAMLError(problem="an alias (*name) is not read", problem_mark=alias.start_mark)
            return super().compose_node(parent, index)

    try:
        document = yaml.load(text, Loader=Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError("has characters in it that no text has") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("is no calibration: it has no keys")  # noqa: TRY004  bad content, whatever its type
    return {str(key).lower(): value for key, value in document.items()}  # older programs write Camera_Matrix


def _side(document: Mapping[str, Any], key: str) -> int:
    text = document.get(key)
    if text is None:
        raise ValueError(f"{key}: is missing")
    side = _number(key, text)
    if not side.is_integer() or not 1 <= side <= _LARGEST_SIDE:
        raise ValueError(f"{key}: is a number of pixels, not {side:g}")
    return int(side)


def _numbers(document: Mapping[str, Any], key: str) -> list[float]:
    """The numbers of a matrix: a table with `data`, or a list, or a list of rows."""
    matrix = document.get(key)
    if matrix is None:
        raise ValueError(f"{key}: is missing")
    if isinstance(matrix, dict):
        matrix = matrix.get("data")
    if not isinstance(matrix, list):
        raise ValueError(f"{key}: has no list of numbers")  # noqa: TRY004
    values = [value for row in matrix for value in (row if isinstance(row, list) else [row])]
    return [_number(key, value) for value in values]


def _number(key: str, text: Any) -> float:
    try:
        number = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{key}: {str(text)[:40]!r} is no number")
    return number


def _intrinsics(matrix: list[float]) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Focal lengths, principal point and skew."""
    if len(matrix) != _MATRIX_VALUES:
        raise ValueError(f"camera_matrix: has 9 numbers, not {len(matrix)}")
    focal_x, skew, centre_x, zero, focal_y, centre_y, *last_row = matrix
    if zero or last_row != [0, 0, 1]:
        raise ValueError("camera_matrix: is [fx, skew, cx, 0, fy, cy, 0, 0, 1], row by row")
    if focal_x <= 0 or focal_y <= 0:
        raise ValueError("camera_matrix: its focal lengths are not positive, as of a camera that was never calibrated")
    return (focal_x, focal_y), (centre_x, centre_y), skew


def _distortion(document: Mapping[str, Any]) -> tuple[Any, tuple[float, ...]]:
    """The kind of the model and its coefficients."""
    key = next((key for key in _COEFFICIENT_KEYS if key in document), _COEFFICIENT_KEYS[0])
    coefficients = _numbers(document, key)
    fisheye = _is_fisheye(document)
    if not any(coefficients) and not fisheye:  # a fisheye lens without any is still no pinhole
        return "pinhole", ()
    kind = "kannala_brandt" if fisheye else "brown_conrady"
    known = _COEFFICIENTS[kind]
    if len(coefficients) < _LEAST_COEFFICIENTS:
        raise ValueError(f"{key}: a {kind} model has {known}, not {len(coefficients)}")
    if any(coefficients[known:]):
        raise ValueError(f"{key}: those after the first {known} must be 0: the robot knows no others")
    return kind, tuple([*coefficients, 0.0][:known])  # without a fifth one, k3 is 0


def _is_fisheye(document: Mapping[str, Any]) -> bool:
    if str(document.get("fisheye_model", "0")).lower() not in _NO:  # as OpenCV's own calibration program writes
        return True
    key = next((key for key in _MODEL_KEYS if key in document), None)
    if key is None:
        return False
    name = str(document[key]).lower()
    if name not in _FISHEYE | _BROWN_CONRADY:
        raise ValueError(f"{key}: {name[:40]!r} is unknown; known are plumb_bob, rational_polynomial and equidistant")
    return name in _FISHEYE

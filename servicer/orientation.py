"""How a camera's picture is put upright: cropped, then turned clockwise, then mirrored.

`Orientation.apply` does it to the pixels, `Orientation.pixel_map` to their coordinates; both are one thing said twice.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from servicer.pixel_formats import Picture
from supervision.camera_settings import CameraSettings

Matrix = NDArray[np.float64]

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"horizontal": 1, "vertical": 0}  # cv2.flip's codes


class NothingLeftError(Exception):
    """The configured crop lies outside the frame."""


@dataclass(frozen=True)
class Orientation:
    """What is done to every picture of one camera; the default is nothing.

    `crop` is (left, top, width, height) in pixels of the camera's frame; of one that reaches beyond the frame, the part
    inside counts. `rotate` is in degrees clockwise.
    """

    crop: tuple[int, int, int, int] | None = None
    rotate: int = 0
    flip: str = "none"

    @classmethod
    def of(cls, settings: CameraSettings) -> "Orientation":
        """What the configuration of a camera says."""
        return cls(settings.crop, settings.rotate, settings.flip)

    def apply(self, picture: Picture) -> Picture:
        """Put a picture upright: a view of it where that is possible. Raises NothingLeftError."""
        left, top, cols, rows = self.box(*picture.shape[:2])
        picture = picture[top : top + rows, left : left + cols]
        if self.rotate:
            picture = cv2.rotate(picture, _ROTATIONS[self.rotate])
        return cv2.flip(picture, _FLIPS[self.flip]) if self.flip in _FLIPS else picture

    def size(self, rows: int, cols: int) -> tuple[int, int]:
        """Rows and cols of the upright picture of a frame of rows x cols. Raises NothingLeftError."""
        _, _, width, height = self.box(rows, cols)
        return (width, height) if self.rotate in (90, 270) else (height, width)

    def turn(self) -> Matrix:
        """The rotation (2 x 2) from directions (right, down) in the frame to those in the turned picture."""
        quarter = np.array([[0.0, -1.0], [1.0, 0.0]])  # what was up is on the right
        return np.linalg.matrix_power(quarter, self.rotate // 90)

    def pixel_map(self, rows: int, cols: int) -> Matrix:
        """The affine map (3 x 3) from pixels (u, v, 1) of a frame to those of its upright picture.

        Raises NothingLeftError.
        """
        left, top, width, height = self.box(rows, cols)
        shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
        turn = np.eye(3)
        turn[:2, :2] = self.turn()
        turn[0, 2] = {90: height - 1, 180: width - 1}.get(self.rotate, 0)
        turn[1, 2] = {180: height - 1, 270: width - 1}.get(self.rotate, 0)
        upright: Matrix = self._mirror(*self.size(rows, cols)) @ turn @ shift
        return upright

    def _mirror(self, rows: int, cols: int) -> Matrix:
        mirror = np.eye(3)
        if self.flip == "horizontal":
            mirror[0] = (-1.0, 0.0, cols - 1)
        elif self.flip == "vertical":
            mirror[1] = (0.0, -1.0, rows - 1)
        return mirror

    def box(self, rows: int, cols: int) -> tuple[int, int, int, int]:
        """The part of a frame that is shown: left, top, width, height. Raises NothingLeftError."""
        left, top, width, height = self.crop or (0, 0, cols, rows)
        width, height = min(width, cols - left), min(height, rows - top)
        if width <= 0 or height <= 0:
            raise NothingLeftError(f"the crop {list(self.crop or ())} lies outside the frame of {cols} x {rows} pixels")
        return left, top, width, height


UPRIGHT = Orientation()

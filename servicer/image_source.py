"""How one camera is described to clients: what it is called, what it delivers, and where it is on the robot."""

import logging
from typing import Any

from bosdyn.api import image_pb2

from servicer import camera_model, image_request, mounting, pixel_formats
from servicer.orientation import NothingLeftError, Orientation
from shm import Encoding
from supervision.camera_settings import CameraModelSettings, CameraSettings

_MOST_MISFITS = 10  # a class of the user's own may send another size each time

_log = logging.getLogger(__name__)


class SourceDescription:
    """Fills the parts of the answers that follow from a camera's settings and from its frames.

    `orientation` is what is done to its pictures. Sizes of frames are those of the camera, before that is done.
    """

    def __init__(self, name: str, settings: CameraSettings) -> None:
        self.orientation = Orientation.of(settings)
        self._name = name
        self._settings = settings
        self._frame_name, self._snapshot = _place(name, settings)
        self._misfits: set[tuple[int, int]] = set()  # sizes that the camera model is not for
        self._cut: set[tuple[int, int]] = set()  # sizes that the crop reaches beyond

    def source(self, encoding: Encoding | None, size: tuple[int, int] | None) -> Any:
        """The `image_pb2.ImageSource`: the name alone while nobody knows the frames' encoding and (rows, cols)."""
        source = image_pb2.ImageSource(name=self._name, image_type=image_pb2.ImageSource.IMAGE_TYPE_VISUAL)
        if encoding is None or size is None:
            return source
        self.resize(source, size)
        source.pixel_formats.extend(pixel_formats.advertised(encoding))
        source.image_formats.extend(image_request.image_formats(encoding))
        if encoding is Encoding.DEPTH16:
            source.image_type = image_pb2.ImageSource.IMAGE_TYPE_DEPTH
            source.depth_scale = self._settings.depth_scale
        return source

    def resize(self, source: Any, frame_size: tuple[int, int], sent_size: tuple[int, int] | None = None) -> None:
        """Make a source describe the pictures of frames of (rows, cols); `sent_size` is that of the picture beside it.

        With a camera model, rows, cols and model are those of the picture that is sent; without one nobody computes
        with them, and rows and cols stay what the camera can deliver.
        """
        model = self._settings.camera_model
        self._warn_of_crop(frame_size)
        try:
            upright_size = self.orientation.size(*frame_size)
            sent_size = sent_size or upright_size
            if model:
                self._warn_of_misfit(model, frame_size)
                camera_model.describe(source, model, self.orientation, frame_size, sent_size)
            source.rows, source.cols = sent_size if model else upright_size
        except NothingLeftError:
            source.rows = source.cols = 0  # as asking for a picture will explain

    def _warn_of_misfit(self, model: CameraModelSettings, frame_size: tuple[int, int]) -> None:
        """Say once per size that frames have another shape than the model's picture: points will be off."""
        if model.is_for_shape(*frame_size) or frame_size in self._misfits or len(self._misfits) >= _MOST_MISFITS:
            return
        self._misfits.add(frame_size)
        rows, cols = frame_size
        _log.warning(
            "%s: its camera model is for %d x %d pixels and its frames are %d x %d: probably a cropped sensor mode, "
            "where the model is wrong; calibrate in this mode",
            *(self._name, model.width, model.height, cols, rows),
        )

    def _warn_of_crop(self, frame_size: tuple[int, int]) -> None:
        """Say once per size that not all of the configured crop is there."""
        crop, (rows, cols) = self.orientation.crop, frame_size
        if crop is None or (crop[0] + crop[2] <= cols and crop[1] + crop[3] <= rows):
            return
        if frame_size in self._cut or len(self._cut) >= _MOST_MISFITS:
            return
        self._cut.add(frame_size)
        try:
            width, height = self.orientation.box(rows, cols)[2:]
        except NothingLeftError as error:
            _log.warning("%s: %s: no picture can be made of it", self._name, error)
            return
        _log.warning(
            "%s: the crop %s reaches beyond the frames of %d x %d pixels: %d x %d of its %d x %d are left",
            *(self._name, list(crop), cols, rows, width, height, crop[2], crop[3]),
        )

    def locate(self, shot: Any) -> None:
        """Say in an `image_pb2.ImageCapture` where the camera is: sensor frame and transforms; nothing if unknown."""
        if self._snapshot is not None:
            shot.frame_name_image_sensor = self._frame_name
            shot.transforms_snapshot.CopyFrom(self._snapshot)

    def add_place(self, tree: Any) -> None:
        """Add the sensor's frame to a `FrameTreeSnapshot` of several cameras, unless that has another root."""
        mount, edges = self._settings.mount, tree.child_to_parent_edge_map
        if mount is None or self._snapshot is None or (edges and mount.parent not in edges):
            return
        for name, edge in self._snapshot.child_to_parent_edge_map.items():
            edges[name].CopyFrom(edge)


def _place(name: str, settings: CameraSettings) -> tuple[str, Any]:
    """The name of the sensor's frame and the tree that has it; ("", None) for a camera whose place is not known."""
    if settings.mount is None:
        return "", None
    frame_name = settings.mount.frame_name or name
    return frame_name, mounting.snapshot(settings.mount, frame_name, settings.rotate)

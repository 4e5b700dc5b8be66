"""How one camera is described to clients: what it is called, what it delivers, and where it is on the robot."""

from collections.abc import Mapping
from typing import Any

from bosdyn.api import image_pb2
from google.protobuf import json_format

from servicer import image_request, pixel_formats
from shm import Encoding
from supervision.camera_settings import CameraSettings


class SourceDescription:
    """Fills the parts of the answers that follow from a camera's settings and from what its worker found out."""

    def __init__(self, name: str, settings: CameraSettings) -> None:
        self._name = name
        self._settings = settings

    def source(
        self, encoding: Encoding | None, size: tuple[int, int] | None, descriptor: Mapping[str, Any] | None
    ) -> Any:
        """The `image_pb2.ImageSource`: the name alone while nobody knows the frames' encoding and (rows, cols).

        `descriptor` is the ring's: what the worker found out about the camera.
        """
        source = image_pb2.ImageSource(name=self._name, image_type=image_pb2.ImageSource.IMAGE_TYPE_VISUAL)
        if encoding is None or size is None:
            return source
        source.rows, source.cols = size
        source.pixel_formats.extend(pixel_formats.advertised(encoding))
        source.image_formats.extend(image_request.image_formats(encoding))
        if encoding is Encoding.DEPTH16:
            source.image_type = image_pb2.ImageSource.IMAGE_TYPE_DEPTH
            source.depth_scale = self._settings.depth_scale
        _advertise_parameters(source, descriptor or {})
        return source

    def locate(self, _shot: Any) -> None:
        """Say in an `image_pb2.ImageCapture` where the camera is: sensor frame and transforms. Not yet: nothing."""


def _advertise_parameters(source: Any, descriptor: Mapping[str, Any]) -> None:
    try:
        json_format.ParseDict(descriptor.get("param_spec") or {}, source.custom_params)
    except json_format.ParseError:  # a descriptor that no worker of ours wrote
        source.ClearField("custom_params")

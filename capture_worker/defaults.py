"""The parameters that a camera runs with while nobody asks for others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from capture_worker.camera import Camera, Description, ParametersRejectedError
from shm.parameters import complete, from_plain, with_defaults


@dataclass(frozen=True)
class Defaults:
    """Completed `values`, the defaults of `description.param_spec`.

    `rejection` is why they are not in force all the same: the camera takes neither the configured ones nor its own.
    `complaint` is what an operator should know of what was rejected.
    """

    description: Description
    values: Mapping[str, Any]
    complaint: str | None = None
    rejection: str | None = None


def apply_defaults(camera: Camera, configured: Mapping[str, Any]) -> Defaults:
    """Set an open camera to the parameters of its configuration; to its own defaults if it rejects those.

    Raises shm.parameters.ParametersError for a configured one that the camera does not have or does not allow.
    """
    own = camera.describe()
    wished = _described_with(own, configured)
    complaint = rejection = None
    for description in (wished, own) if configured else (own,):
        defaults = Defaults(description, complete(description.param_spec or {}, {}), complaint)
        try:
            if description.param_spec is not None:
                camera.apply(defaults.values)
        except ParametersRejectedError as error:
            rejection = str(error)
            complaint = complaint or rejection
        else:
            return defaults
    return replace(defaults, complaint=complaint, rejection=rejection)


def _described_with(description: Description, configured: Mapping[str, Any]) -> Description:
    spec = description.param_spec or {}
    values = complete(spec, from_plain(spec, configured))
    return replace(description, param_spec=with_defaults(spec, values)) if configured else description

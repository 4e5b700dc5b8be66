"""The standard health service of gRPC, for what watches over this computer: whether images are served.

Only `Check`: a `Watch` would hold a thread for as long as somebody watches.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from servicer.image_service import SERVICE
from servicer.served_camera import ServedCamera

_SERVICE = "grpc.health.v1.Health"
_ALL = ("", SERVICE)
_RESPONSE = health_pb2.HealthCheckResponse


class HealthService:
    """Knows the whole service by "" and "bosdyn.api.ImageService", and every camera by the name of its image source.

    A camera is SERVING while its newest frame is fresh, and one that captures only when it is asked while nothing is
    known against it (`why_silent`, by the camera's own name). The whole is SERVING while any camera is, and nothing is
    from `stop` on.
    """

    def __init__(self, cameras: Mapping[str, ServedCamera], why_silent: Callable[[str], str | None]) -> None:
        self._cameras = cameras
        self._why_silent = why_silent
        self._stopping = False

    def stop(self) -> None:
        """Say from now on that nothing is served."""
        self._stopping = True

    def add_to(self, server: grpc.Server) -> None:
        """Let a server answer for it."""
        check = grpc.unary_unary_rpc_method_handler(
            self._check, health_pb2.HealthCheckRequest.FromString, _RESPONSE.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Check": check}),))

    def _check(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.service in _ALL:
            serving = any(map(self._serves, self._cameras.values()))
        elif request.service in self._cameras:
            serving = self._serves(self._cameras[request.service])
        else:
            context.abort(grpc.StatusCode.NOT_FOUND, "no image source of this name")
        return _RESPONSE(status=_RESPONSE.SERVING if serving and not self._stopping else _RESPONSE.NOT_SERVING)

    def _serves(self, camera: ServedCamera) -> bool:
        try:
            if camera.idles:
                return self._why_silent(camera.name) is None
            facts = camera.newest(None)
            return facts is not None and facts.age_s() <= camera.max_age_s
        except Exception as error:
            camera.unexpected.note(error)
            return False

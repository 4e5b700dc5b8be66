# ruff: noqa: N802 - the protocol names the methods
"""Captures: clients see which images there are to be had, have them taken, and ask how far that is."""

import itertools
import threading
from typing import Any

import grpc
from bosdyn.api.data_acquisition_pb2 import (
    AcquireDataResponse,
    AcquisitionCapabilityList,
    CancelAcquisitionResponse,
    GetServiceInfoResponse,
    GetStatusResponse,
    ImageAcquisitionCapability,
    LiveDataResponse,
)
from bosdyn.api.data_acquisition_service_pb2_grpc import (
    DataAcquisitionServiceServicer,
    add_DataAcquisitionServiceServicer_to_server,
)
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.image_pb2 import ListImageSourcesRequest, ListImageSourcesResponse

from simulated_robot.acquisition import Acquisition
from simulated_robot.clock import timestamp
from simulated_robot.proxy import Proxy
from simulated_robot.registry import Registration
from simulated_robot.state import RobotState

IMAGE_SERVICE = "bosdyn.api.ImageService"
LIST_IMAGE_SOURCES = "/bosdyn.api.ImageService/ListImageSources"
LISTING_S = 3.0
TIMEOUT_S = 30.0
MOST_KNOWN = 200


class DataAcquisitionService(DataAcquisitionServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Takes images from every registered image service; there are no other data sources.

    It calls those services, and therefore takes the state's lock itself. The last acquisitions are known; each runs in
    a thread of its own until it has ended, or `forget` ends it.
    """

    entry = ServiceEntry(
        name="data-acquisition",
        type="bosdyn.api.DataAcquisitionService",
        authority="data-acquisition.spot.robot",
        user_token_required=True,
    )
    add_to_server = staticmethod(add_DataAcquisitionServiceServicer_to_server)

    def __init__(self, state: RobotState, proxy: Proxy) -> None:
        self._state = state
        self._proxy = proxy
        self._numbers = itertools.count(1)
        self._known: dict[int, Acquisition] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        """End every acquisition, and know none any more; what they have stored stays."""
        with self._lock:
            known = list(self._known.values())
            self._known.clear()
        for acquisition in known:
            acquisition.cancel()

    def GetServiceInfo(self, _request: Any, _context: grpc.ServicerContext) -> GetServiceInfoResponse:
        """Return the image sources of every registered image service that answers."""
        found = (self._capability(registration) for registration in self._image_services().values())
        capabilities = [capability for capability in found if capability is not None]
        return GetServiceInfoResponse(capabilities=AcquisitionCapabilityList(image_sources=capabilities))

    def AcquireData(self, request: Any, context: grpc.ServicerContext) -> AcquireDataResponse:
        """Begin to take images; a capture of anything else is of an unknown type."""
        wanted, services = request.acquisition_requests, self._image_services()
        unknown = any(capture.image_service not in services for capture in wanted.image_captures)
        if unknown or wanted.data_captures or wanted.network_compute_captures:
            return AcquireDataResponse(status=AcquireDataResponse.STATUS_UNKNOWN_CAPTURE_TYPE)
        if not request.action_id.HasField("timestamp"):
            request.action_id.timestamp.CopyFrom(timestamp(self._state.clock.now_ns()))
        channels = [self._proxy.channel_to(services[capture.image_service]) for capture in wanted.image_captures]
        timeout_s = max(TIMEOUT_S, request.min_timeout.ToNanoseconds() / 1e9)
        number = self._begin(Acquisition(self._state, request, channels, timeout_s))
        if number is None:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many acquisitions are under way")
        return AcquireDataResponse(status=AcquireDataResponse.STATUS_OK, request_id=number)

    def GetStatus(self, request: Any, _context: grpc.ServicerContext) -> GetStatusResponse:
        """Return how far an acquisition is, what of it is stored and what went wrong."""
        acquisition = self._of(request)
        if acquisition is None:
            return GetStatusResponse(status=GetStatusResponse.STATUS_REQUEST_ID_DOES_NOT_EXIST)
        return acquisition.status()

    def CancelAcquisition(self, request: Any, _context: grpc.ServicerContext) -> CancelAcquisitionResponse:
        """End an acquisition; one that has ended cannot be cancelled."""
        acquisition = self._of(request)
        if acquisition is None:
            return CancelAcquisitionResponse(status=CancelAcquisitionResponse.STATUS_REQUEST_ID_DOES_NOT_EXIST)
        if not acquisition.cancel():
            return CancelAcquisitionResponse(status=CancelAcquisitionResponse.STATUS_FAILED_TO_CANCEL)
        return CancelAcquisitionResponse(status=CancelAcquisitionResponse.STATUS_OK)

    def GetLiveData(self, request: Any, _context: grpc.ServicerContext) -> LiveDataResponse:
        """There are no sources of live data here."""
        unknown = LiveDataResponse.CapabilityLiveData.STATUS_UNKNOWN_CAPTURE_TYPE
        answers = [
            LiveDataResponse.CapabilityLiveData(name=each.name, status=unknown) for each in request.data_captures
        ]
        return LiveDataResponse(live_data=answers)

    def _of(self, request: Any) -> Acquisition | None:
        with self._lock:
            return self._known.get(request.request_id)

    def _begin(self, acquisition: Acquisition) -> int | None:
        """Run it, and return its number; None if there are too many. The oldest of the ended ones are forgotten."""
        with self._lock:
            ended = [number for number, known in self._known.items() if known.has_ended]
            for number in ended[: max(0, len(self._known) - MOST_KNOWN + 1)]:
                del self._known[number]
            if len(self._known) >= MOST_KNOWN:
                return None
            number = next(self._numbers)
            self._known[number] = acquisition
        threading.Thread(target=acquisition.run, name=f"acquisition-{number}", daemon=True).start()
        return number

    def _image_services(self) -> dict[str, Registration]:
        with self._state.lock:
            return {known.entry.name: known for known in self._state.registry if known.entry.type == IMAGE_SERVICE}

    def _capability(self, registration: Registration) -> ImageAcquisitionCapability | None:
        ask: Any = self._proxy.channel_to(registration).unary_unary(
            LIST_IMAGE_SOURCES, ListImageSourcesRequest.SerializeToString, ListImageSourcesResponse.FromString
        )
        try:
            sources = ask(ListImageSourcesRequest(), timeout=LISTING_S).image_sources
        except (grpc.RpcError, ValueError):  # ValueError: its channel was closed, since it has left the directory
            return None
        names = [source.name for source in sources]
        return ImageAcquisitionCapability(
            service_name=registration.entry.name, image_source_names=names, image_sources=sources
        )

# ruff: noqa: N802 - the protocol names the methods
"""Clients see what was stored of captures, and store things themselves."""

from typing import Any

import grpc
from bosdyn.api.data_acquisition_store_pb2 import (
    ListCaptureActionsResponse,
    ListStoredAlertDataResponse,
    ListStoredDataResponse,
    ListStoredImagesResponse,
    ListStoredMetadataResponse,
    QueryMaxCaptureIdResponse,
    StoreAlertDataResponse,
    StoreDataResponse,
    StoreImageResponse,
    StoreMetadataResponse,
)
from bosdyn.api.data_acquisition_store_service_pb2_grpc import (
    DataAcquisitionStoreServiceServicer,
    add_DataAcquisitionStoreServiceServicer_to_server,
)
from bosdyn.api.directory_pb2 import ServiceEntry

from simulated_robot.data_store import Kind, TooLargeError
from simulated_robot.state import RobotState


class DataAcquisitionStoreService(DataAcquisitionStoreServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Lists and stores; the streaming calls for very large data are not implemented."""

    entry = ServiceEntry(
        name="data-acquisition-store",
        type="bosdyn.api.DataAcquisitionStoreService",
        authority="data-acquisition-store.spot.robot",
        user_token_required=True,
    )
    add_to_server = staticmethod(add_DataAcquisitionStoreServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def ListCaptureActions(self, request: Any, _context: grpc.ServicerContext) -> ListCaptureActionsResponse:
        """Return the capture actions of which something is stored."""
        return ListCaptureActionsResponse(action_ids=self._state.store.actions(request.query))

    def ListStoredImages(self, request: Any, _context: grpc.ServicerContext) -> ListStoredImagesResponse:
        """Return the identifiers of pictures."""
        return ListStoredImagesResponse(data_ids=self._state.store.identifiers("image", request.query))

    def ListStoredMetadata(self, request: Any, _context: grpc.ServicerContext) -> ListStoredMetadataResponse:
        """Return the identifiers of metadata."""
        return ListStoredMetadataResponse(data_ids=self._state.store.identifiers("metadata", request.query))

    def ListStoredAlertData(self, request: Any, _context: grpc.ServicerContext) -> ListStoredAlertDataResponse:
        """Return the identifiers of alerts."""
        return ListStoredAlertDataResponse(data_ids=self._state.store.identifiers("alert", request.query))

    def ListStoredData(self, request: Any, _context: grpc.ServicerContext) -> ListStoredDataResponse:
        """Return the identifiers of other data."""
        return ListStoredDataResponse(data_ids=self._state.store.identifiers("data", request.query))

    def StoreImage(self, request: Any, context: grpc.ServicerContext) -> StoreImageResponse:
        """Store a picture."""
        return StoreImageResponse(id=self._stored("image", request, request.image, context))

    def StoreMetadata(self, request: Any, context: grpc.ServicerContext) -> StoreMetadataResponse:
        """Store metadata."""
        return StoreMetadataResponse(id=self._stored("metadata", request, request.metadata, context))

    def StoreAlertData(self, request: Any, context: grpc.ServicerContext) -> StoreAlertDataResponse:
        """Store an alert."""
        return StoreAlertDataResponse(id=self._stored("alert", request, request.alert_data, context))

    def StoreData(self, request: Any, context: grpc.ServicerContext) -> StoreDataResponse:
        """Store bytes."""
        return StoreDataResponse(id=self._stored("data", request, request.data, context))

    def QueryMaxCaptureId(self, _request: Any, _context: grpc.ServicerContext) -> QueryMaxCaptureIdResponse:
        """Return the number of the newest item."""
        return QueryMaxCaptureIdResponse(max_capture_id=self._state.store.last_id)

    def _stored(self, kind: Kind, request: Any, content: Any, context: grpc.ServicerContext) -> int:
        try:
            return int(self._state.store.add(kind, request.data_id, content).id)
        except TooLargeError as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

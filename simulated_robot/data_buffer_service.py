# ruff: noqa: N802 - the protocol names the methods
"""The robot's log: it accepts everything, and only counts."""

from typing import Any

import grpc
from bosdyn.api.data_buffer_pb2 import (
    RecordDataBlobsResponse,
    RecordEventsResponse,
    RecordOperatorCommentsResponse,
    RecordSignalTicksResponse,
    RecordTextMessagesResponse,
    RegisterSignalSchemaResponse,
)
from bosdyn.api.data_buffer_service_pb2_grpc import DataBufferServiceServicer, add_DataBufferServiceServicer_to_server
from bosdyn.api.directory_pb2 import ServiceEntry

from simulated_robot.state import RobotState


class DataBufferService(DataBufferServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Counts records by kind (`blobs`, `text_messages` …), and the bytes of blobs, into the state's `recorded`."""

    entry = ServiceEntry(
        name="data-buffer", type="bosdyn.api.DataBufferService", authority="buffer.spot.robot", user_token_required=True
    )
    add_to_server = staticmethod(add_DataBufferServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def RecordDataBlobs(self, request: Any, _context: grpc.ServicerContext) -> RecordDataBlobsResponse:
        """Count blobs and their bytes."""
        self._state.recorded["blobs"] += len(request.blob_data)
        self._state.recorded["blob_bytes"] += sum(len(blob.data) for blob in request.blob_data)
        return RecordDataBlobsResponse()

    def RecordTextMessages(self, request: Any, _context: grpc.ServicerContext) -> RecordTextMessagesResponse:
        """Count text messages."""
        self._state.recorded["text_messages"] += len(request.text_messages)
        return RecordTextMessagesResponse()

    def RecordOperatorComments(self, request: Any, _context: grpc.ServicerContext) -> RecordOperatorCommentsResponse:
        """Count operators' comments."""
        self._state.recorded["operator_comments"] += len(request.operator_comments)
        return RecordOperatorCommentsResponse()

    def RecordEvents(self, request: Any, _context: grpc.ServicerContext) -> RecordEventsResponse:
        """Count events."""
        self._state.recorded["events"] += len(request.events)
        return RecordEventsResponse()

    def RegisterSignalSchema(self, _request: Any, _context: grpc.ServicerContext) -> RegisterSignalSchemaResponse:
        """Give every schema a number."""
        self._state.recorded["signal_schemas"] += 1
        return RegisterSignalSchemaResponse(schema_id=self._state.recorded["signal_schemas"])

    def RecordSignalTicks(self, request: Any, _context: grpc.ServicerContext) -> RecordSignalTicksResponse:
        """Count ticks."""
        self._state.recorded["signal_ticks"] += len(request.tick_data)
        return RecordSignalTicksResponse()

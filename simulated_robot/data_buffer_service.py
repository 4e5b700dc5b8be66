# ruff: noqa: N802 - the protocol names the methods
"""The robot's log: it accepts everything, counts, and keeps the last small blobs."""

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

from simulated_robot.clock import timestamp
from simulated_robot.state import RobotState

KEPT_BLOB_BYTES = 1 << 16


class DataBufferService(DataBufferServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Counts records by kind (`blobs`, `text_messages` …), and the bytes of blobs, into the state's `recorded`."""

    entry = ServiceEntry(
        name="data-buffer", type="bosdyn.api.DataBufferService", authority="buffer.spot.robot", user_token_required=True
    )
    add_to_server = staticmethod(add_DataBufferServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def RecordDataBlobs(self, request: Any, _context: grpc.ServicerContext) -> RecordDataBlobsResponse:
        """Count blobs and their bytes, and keep the small ones; one without a time gets that of its arrival."""
        self._state.recorded["blobs"] += len(request.blob_data)
        self._state.recorded["blob_bytes"] += sum(len(blob.data) for blob in request.blob_data)
        for blob in request.blob_data:
            if len(blob.data) <= KEPT_BLOB_BYTES:
                if not blob.HasField("timestamp"):
                    blob.timestamp.CopyFrom(timestamp(self._state.clock.now_ns()))
                self._state.blobs.append(blob)
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

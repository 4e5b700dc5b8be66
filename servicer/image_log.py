"""What was asked and answered, without the pictures, on its way to the robot's data buffer.

A request's thread only notes it here; the robot link sends it. While the robot takes it too slowly, or not at all, the
oldest is lost and counted: a log must never hold up an image, nor fill the memory.
"""

import collections
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bosdyn.api import image_pb2

from servicer.answer import Answer

_MOST_MESSAGES = 4096
_MOST_BYTES = 4 << 20
_BATCH_BYTES = 1 << 20  # of one call to the robot: any gRPC server takes that much


@dataclass(frozen=True)
class LoggedMessage:
    """One serialized request or answer. `type_id` is its full name in protobuf, `noted_ns` is CLOCK_MONOTONIC."""

    type_id: str
    data: bytes
    noted_ns: int


class ImageLog:
    """A bounded queue of messages. `lost` counts those that the robot will never see."""

    def __init__(self) -> None:
        self.lost = 0
        self._messages: collections.deque[LoggedMessage] = collections.deque()
        self._held_bytes = 0
        self._lock = threading.Lock()

    def note(self, request: Any, header: Any, answers: Iterable[Answer], received_ns: int) -> None:
        """Take in a GetImage request and what answers it, unless the client wants neither logged."""
        if request.header.disable_rpc_logging:
            return
        asked = _serialized(request, received_ns)
        response = image_pb2.GetImageResponse(header=header, image_responses=[answer.message for answer in answers])
        answered = _serialized(response, time.monotonic_ns())
        with self._lock:
            for message in (asked, answered):
                self._messages.append(message)
                self._held_bytes += len(message.data)
            while len(self._messages) > _MOST_MESSAGES or self._held_bytes > _MOST_BYTES:
                self._take_oldest()
                self.lost += 1

    def batches(self) -> Iterator[list[LoggedMessage]]:
        """Take out what there is now, the oldest first, in lists that are small enough for one call."""
        with self._lock:
            left = len(self._messages)
        while batch := self._batch(left):
            left -= len(batch)
            yield batch

    def lose(self, batch: list[LoggedMessage]) -> None:
        """Count a batch that was taken out and could not be sent: whether the robot has got it, nobody knows."""
        with self._lock:
            self.lost += len(batch)

    def _batch(self, most: int) -> list[LoggedMessage]:
        batch: list[LoggedMessage] = []
        room_bytes = _BATCH_BYTES
        with self._lock:
            while self._messages and len(batch) < most:
                room_bytes -= len(self._messages[0].data)
                if batch and room_bytes < 0:
                    break
                batch.append(self._take_oldest())
        return batch

    def _take_oldest(self) -> LoggedMessage:
        message = self._messages.popleft()
        self._held_bytes -= len(message.data)
        return message


def _serialized(message: Any, noted_ns: int) -> LoggedMessage:
    return LoggedMessage(message.DESCRIPTOR.full_name, message.SerializeToString(), noted_ns)

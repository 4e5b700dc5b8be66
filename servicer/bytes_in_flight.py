"""Answers that clients have not taken yet: a stopped client must not hold the memory of a payload computer."""

import threading

import grpc


class BytesInFlight:
    """What all answers on their way may hold together.

    gRPC keeps an answer until its client has taken it, or is given up; only then is the call over.
    """

    def __init__(self, most_bytes: int) -> None:
        self.used_bytes = 0
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def take(self, size_bytes: int, context: grpc.ServicerContext) -> bool:
        """Set bytes aside until the call is over; False if there is no room for them."""
        with self._lock:
            if self.used_bytes + size_bytes > self._most_bytes:
                return False
            self.used_bytes += size_bytes
        if not context.add_callback(lambda: self._give_back(size_bytes)):
            self._give_back(size_bytes)  # it is over already
        return True

    def _give_back(self, size_bytes: int) -> None:
        with self._lock:
            self.used_bytes -= size_bytes

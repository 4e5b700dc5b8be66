"""Answers that clients have not taken yet: a stopped client must not hold the memory of a payload computer."""

import threading
import time
from dataclasses import dataclass

import grpc

_PATIENCE_S = 5.0
_SMALL_BYTES = 1 << 20
_SHARE_OF_LARGE = 0.75


@dataclass(frozen=True)
class _Held:
    size_bytes: int
    since_s: float
    context: grpc.ServicerContext


class BytesInFlight:
    """What all answers on their way may hold together. A quarter of it is for small answers, up to 1 MiB.

    gRPC keeps an answer until its client has taken it, or is given up; only then is the call over. A client that is
    stopped behind a proxy is never given up by gRPC: keepalive asks the proxy. So, when there is no more room, calls
    that have held theirs for 5 s are cancelled.
    """

    def __init__(self, most_bytes: int) -> None:
        self.used_bytes = 0  # what is set aside now
        self._most_bytes = most_bytes
        self._held: dict[object, _Held] = {}
        self._lock = threading.Lock()

    def take(self, size_bytes: int, answer_bytes: int, context: grpc.ServicerContext) -> bool:
        """Set bytes aside until the call is over; False if there is no room for them.

        `answer_bytes` is what the answer has with them: many small pictures are a large answer too.
        """
        key, now_s = object(), time.monotonic()
        share = 1.0 if answer_bytes <= _SMALL_BYTES else _SHARE_OF_LARGE
        with self._lock:
            room = self.used_bytes + size_bytes <= self._most_bytes * share
            if room:
                self.used_bytes += size_bytes
                self._held[key] = _Held(size_bytes, now_s, context)
            overdue = [] if room else [held for held in self._held.values() if now_s - held.since_s > _PATIENCE_S]
        for held in overdue:
            held.context.cancel()
        if room and not context.add_callback(lambda: self._give_back(key)):
            self._give_back(key)  # it is over already
        return room

    def _give_back(self, key: object) -> None:
        with self._lock:
            self.used_bytes -= self._held.pop(key).size_bytes

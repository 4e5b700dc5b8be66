"""Clients who want the same picture of the newest frame share one encoding.

The first who asks encodes (and finishes, even if its own client has gone by then); the others wait for its result.
"""

import concurrent.futures
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")

_MOST = 16
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class FrameKey:
    """One frame of one camera; within an epoch, a larger number is a newer frame."""

    epoch: int
    frame_number: int

    def is_newer_than(self, other: "FrameKey | None") -> bool:
        """Whether what was made of the other frame is of no more use."""
        return other is None or self.epoch != other.epoch or self.frame_number > other.frame_number


class SharedEncodings(Generic[_T]):
    """The encodings of one camera's newest frame: at most 16 different ones, and 64 MiB of finished ones.

    `size_bytes` says how large one is. `made` counts those that were made.
    """

    def __init__(self, size_bytes: Callable[[_T], int]) -> None:
        self.made = 0
        self._size_bytes = size_bytes
        self._frame: FrameKey | None = None
        self._futures: OrderedDict[Hashable, Future[_T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, frame: FrameKey, wanted: Hashable, make: Callable[[], _T], timeout_s: float) -> _T:
        """Return the encoding `wanted` of `frame` (or of a newer one), made by whoever asked first.

        Raises what `make` raised, and TimeoutError when another's encoding takes longer than `timeout_s`.
        """
        with self._lock:
            if frame.is_newer_than(self._frame):
                self._frame = frame
                self._futures.clear()
            future = self._futures.get(wanted)
            leader = future is None
            if future is None:
                future = Future()
                if frame == self._frame:  # whoever is late makes an older one for itself alone
                    self._futures[wanted] = future
                if len(self._futures) > _MOST:
                    self._futures.popitem(last=False)
        return self._lead(wanted, future, make) if leader else _await(future, timeout_s)

    def _lead(self, wanted: Hashable, future: "Future[_T]", make: Callable[[], _T]) -> _T:
        try:
            result = make()
        except BaseException as error:
            with self._lock:
                if self._futures.get(wanted) is future:
                    del self._futures[wanted]
            future.set_exception(error)
            raise
        future.set_result(result)
        with self._lock:
            self.made += 1
            self._forget_beyond_budget()
        return result

    def _forget_beyond_budget(self) -> None:
        """Let the oldest finished ones go; who still sends one keeps it alive."""
        sizes = {
            wanted: self._size_bytes(future.result())
            for wanted, future in self._futures.items()
            if future.done() and future.exception() is None
        }
        excess_bytes = sum(sizes.values()) - _MOST_BYTES
        for wanted, size_bytes in sizes.items():
            if excess_bytes <= 0:
                return
            del self._futures[wanted]
            excess_bytes -= size_bytes


def _await(future: "Future[_T]", timeout_s: float) -> _T:
    try:
        return future.result(timeout_s)
    except concurrent.futures.TimeoutError as error:
        raise TimeoutError from error  # before Python 3.11 it is another class

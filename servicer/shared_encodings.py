"""Clients who want the same picture of the newest frame share one encoding.

The first who asks encodes (and finishes, even if its own client has gone by then); the others wait for its result.
"""

import concurrent.futures
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shm import DEFAULT_PARAMS_ID

_T = TypeVar("_T")

_MOST = 64
_MOST_SETS = 4
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class FrameKey:
    """One frame of one camera; within an epoch, a larger number is a newer frame."""

    epoch: int
    frame_number: int
    params_id: bytes = DEFAULT_PARAMS_ID

    def is_newer_than(self, other: "FrameKey | None") -> bool:
        """Whether what was made of the other frame (of the same parameters) is of no more use."""
        return other is None or self.epoch != other.epoch or self.frame_number > other.frame_number


@dataclass(eq=False)
class _Set(Generic[_T]):
    """What is made of the newest frame with the same custom parameters: `most_bytes` are finished, or fewer."""

    frame: FrameKey
    futures: "OrderedDict[Hashable, Future[_T]]" = field(default_factory=OrderedDict)
    most_bytes: int = 0


class SharedEncodings(Generic[_T]):
    """The encodings of one camera's newest frames, one for each of the four custom parameters that were asked last.

    At most 64 different ones of a frame, and 64 MiB of finished ones in all. `size_bytes` says how large one is. `made`
    counts those that were made.
    """

    def __init__(self, size_bytes: Callable[[_T], int]) -> None:
        self.made = 0
        self._size_bytes = size_bytes
        self._sets: OrderedDict[bytes, _Set[_T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, frame: FrameKey, wanted: Hashable, make: Callable[[], _T], timeout_s: float) -> _T:
        """Return the encoding `wanted` of `frame` (or of a newer one), made by whoever asked first.

        Raises what `make` raised, and TimeoutError when another's encoding takes longer than `timeout_s`.
        """
        with self._lock:
            current = self._set_for(frame)
            future = current.futures.get(wanted)
            leader = future is None
            if future is None:
                future = Future()
                if frame == current.frame:  # whoever is late makes an older one for itself alone
                    current.futures[wanted] = future
                if len(current.futures) > _MOST:
                    current.futures.popitem(last=False)
        return self._lead(current, wanted, future, make) if leader else _await(future, timeout_s)

    def ready(self, frame: FrameKey, wanted: Hashable) -> _T | None:
        """Return the encoding of `frame` if it is finished."""
        current = self._sets.get(frame.params_id)
        future = current.futures.get(wanted) if current is not None and current.frame == frame else None
        return future.result() if future is not None and future.done() and future.exception() is None else None

    def _set_for(self, frame: FrameKey) -> _Set[_T]:
        current = self._sets.get(frame.params_id)
        if current is None or frame.is_newer_than(current.frame):
            current = self._sets[frame.params_id] = _Set(frame)
        self._sets.move_to_end(frame.params_id)
        if len(self._sets) > _MOST_SETS:
            self._sets.popitem(last=False)
        return current

    def _lead(self, current: _Set[_T], wanted: Hashable, future: "Future[_T]", make: Callable[[], _T]) -> _T:
        try:
            result = make()
        except BaseException as error:
            with self._lock:
                if current.futures.get(wanted) is future:
                    del current.futures[wanted]
            future.set_exception(error)
            raise
        future.set_result(result)
        with self._lock:
            self.made += 1
            current.most_bytes += self._size_bytes(result)
            if sum(kept.most_bytes for kept in self._sets.values()) > _MOST_BYTES:
                self._forget_beyond_budget()
        return result

    def _forget_beyond_budget(self) -> None:
        """Let the oldest finished ones go; who still sends one keeps it alive."""
        sizes = {
            (params_id, wanted): self._size_bytes(future.result())
            for params_id, kept in self._sets.items()
            for wanted, future in kept.futures.items()
            if future.done() and future.exception() is None
        }
        excess_bytes = sum(sizes.values()) - _MOST_BYTES
        for kept in self._sets.values():
            kept.most_bytes = 0
        for (params_id, wanted), size_bytes in sizes.items():
            if excess_bytes > 0:
                del self._sets[params_id].futures[wanted]
                excess_bytes -= size_bytes
            else:
                self._sets[params_id].most_bytes += size_bytes


def _await(future: "Future[_T]", timeout_s: float) -> _T:
    try:
        return future.result(timeout_s)
    except concurrent.futures.TimeoutError as error:
        raise TimeoutError from error  # before Python 3.11 it is another class

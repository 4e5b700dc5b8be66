"""Nothing is encoded twice: clients who want the same picture of the same frame share one encoding.

The first who asks encodes (and finishes, even if its own client has gone by then); the others wait for its result.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SharedEncodings(Generic[_T]):
    """The encodings of one camera's newest frame; `most` bounds how many different ones are kept."""

    def __init__(self, most: int = 16) -> None:
        self.made = 0
        self._most = most
        self._frame: Hashable = None
        self._futures: OrderedDict[Hashable, Future[_T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, frame: Hashable, wanted: Hashable, make: Callable[[], _T], timeout_s: float) -> _T:
        """Return the encoding `wanted` of `frame`, made by whoever asked first.

        Raises what `make` raised, and TimeoutError when another's encoding takes longer than `timeout_s`.
        """
        with self._lock:
            if frame != self._frame:  # a newer frame (or ring): what was made of the old one is of no more use
                self._frame = frame
                self._futures.clear()
            future = self._futures.get(wanted)
            leader = future is None
            if future is None:
                future = self._futures[wanted] = Future()
                if len(self._futures) > self._most:
                    self._futures.popitem(last=False)
        return self._lead(wanted, future, make) if leader else future.result(timeout_s)

    def _lead(self, wanted: Hashable, future: "Future[_T]", make: Callable[[], _T]) -> _T:
        try:
            result = make()
        except BaseException as error:
            with self._lock:
                if self._futures.get(wanted) is future:
                    del self._futures[wanted]
            future.set_exception(error)
            raise
        self.made += 1
        future.set_result(result)
        return result

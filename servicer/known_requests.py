"""What requests came to: one of the same bytes, about frames of the same encoding, need not be examined again."""

from collections import OrderedDict
from typing import Any

from servicer.image_request import Wanted
from shm import FrameFacts

_MOST = 64
_LONGEST_BYTES = 256  # names of sources are shorter; what is longer is examined each time


class KnownRequests:
    """The last 64 `ImageRequest`s without parameters of their own that brought a picture, of one camera.

    Threads may use it without a lock: at worst a request is forgotten, and examined once more.
    """

    def __init__(self) -> None:
        self._wanted: OrderedDict[tuple[Any, bytes], Wanted] = OrderedDict()

    def note(self, request: Any, facts: FrameFacts, wanted: Wanted) -> None:
        """Remember what to make of frames of this encoding for such a request."""
        serialized = request.SerializeToString()
        if len(serialized) <= _LONGEST_BYTES:
            self._wanted[facts.encoding, serialized] = wanted
            if len(self._wanted) > _MOST:
                self._wanted.popitem(last=False)

    def wanted(self, request: Any, facts: FrameFacts) -> Wanted | None:
        """What to make of such a frame, if that is known."""
        return self._wanted.get((facts.encoding, request.SerializeToString()))

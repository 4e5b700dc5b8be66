"""What large answers have needed goes back to the system when they are gone.

glibc gives threads heaps of their own, and keeps what was freed in them: after pictures of 6 MB for 64 clients the
process kept 900 MB; with one heap 340 MB, and 200 MB after each `give_back`. An answer takes as long as before.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST_THRESHOLD_BYTES = 32 << 20  # more is refused
_KEPT_BYTES = 1 << 30


def use_one_heap() -> None:
    """Let all threads share one heap: those that exist already keep theirs."""
    _call("mallopt", _M_ARENA_MAX, 1)


def keep_what_was_freed() -> None:
    """Until `give_back`, use what one large answer has left for the next one.

    The system would clear each page of it anew, which takes longer than to copy a picture there.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, _LARGEST_THRESHOLD_BYTES)
    _call("mallopt", _M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back() -> None:
    """Return what is free. Nobody gets memory meanwhile: 13 to 76 ms were measured while 150 to 400 MB went back."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    """Call a function of glibc; another C library has other ways, and none of these."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)

"""What may go wrong with a name in /dev/shm. An OSError carries a sentence for the operator as `strerror`."""

import errno

from shm import names


class ShmFullError(OSError):
    """There is no room in /dev/shm."""


class ForeignSegmentError(OSError):
    """The name is taken by something that is not ours: another user's segment, or no segment at all."""


class GroupError(ValueError):
    """There is no such group, or this process may not share its segments with it. The message is a sentence."""


def shm_full(what: str, needed_bytes: int) -> ShmFullError:
    """The error that says what had no room, and what the operator can do."""
    return ShmFullError(
        errno.ENOSPC,
        f"no room for {needed_bytes / 1e6:.1f} MB of {what} in {names.SHM_DIR} "
        f"({names.free_bytes() / 1e6:.1f} MB free): give the container a larger shm_size, "
        "or use fewer slots or a smaller picture",
    )

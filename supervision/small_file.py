"""Reads a small file that a person has named, whatever lies under that name: neither waiting for it nor filling memory.

The supervisor reads such files in its loop, too, when it is told to by SIGHUP.
"""

import errno
import os
import stat
from pathlib import Path

LARGEST_BYTES = 1 << 20


def read_small_file(path: Path, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """Return what is in a regular file. Raises OSError, whose `strerror` says what is wrong, for any other too."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "is no path", str(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # no wait for a pipe's writer
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(largest_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > largest_bytes:
        raise OSError(errno.EFBIG, f"is larger than {largest_bytes >> 10} KiB", str(path))
    return content

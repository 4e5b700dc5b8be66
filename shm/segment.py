"""One mapped segment: creating it aside, attaching to it by name, and the accesses that the protocol is made of."""

import errno
import mmap
import os
import stat
import weakref
from typing import TYPE_CHECKING, Protocol

import posix_ipc

from shm import layout, names, rights
from shm.errors import ForeignSegmentError, shm_full
from shm.fence import Fence

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Memory(Protocol):
    """The accesses that the protocol is made of; the model test puts a recorder in their place."""

    def load(self, offset: int) -> int:
        """Read a live counter of 8 bytes, in one access."""
        ...

    def store(self, offset: int, value: int) -> None:
        """Write a live counter of 8 bytes, in one access."""
        ...

    def fence(self) -> None:
        """Order every access before it before every access after it."""
        ...

    def read(self, offset: int, length: int) -> memoryview:
        """View bytes in place."""
        ...

    def write(self, offset: int, data: "Buffer") -> None:
        """Copy bytes into place, in any order."""
        ...


class Mapping:
    """The Memory of a mapped segment. It is unmapped when the last view of it is gone, never by hand."""

    def __init__(self, mapped: mmap.mmap, fence: Fence) -> None:
        self._bytes = memoryview(mapped)
        # One element of a "Q" view is one aligned 8-byte load or store. struct.pack_into is none: it zeroes
        # the bytes first, and a reader (or a kill) in between sees a counter of 0.
        self._cells = self._bytes.cast("Q")
        self.fence = fence

    def load(self, offset: int) -> int:
        """One aligned load."""
        return self._cells[offset >> 3]

    def store(self, offset: int, value: int) -> None:
        """One aligned store."""
        self._cells[offset >> 3] = value

    def read(self, offset: int, length: int) -> memoryview:
        """A read-only view."""
        return self._bytes[offset : offset + length].toreadonly()

    def write(self, offset: int, data: "Buffer") -> None:
        """A memcpy."""
        source = memoryview(data).cast("B")
        self._bytes[offset : offset + len(source)] = source


class Attached:
    """A segment that was found by its name: checked, mapped read-only, and never trusted for a length again."""

    def __init__(self, fd: int, header: layout.Header, mapping: Mapping) -> None:
        self.header = header
        self.mapping = mapping
        self._fd = fd
        self._total_bytes = header.layout.total_bytes
        # Other threads may be inside fstat: the descriptor goes with the last reference, and at exit by the kernel.
        weakref.finalize(self, os.close, fd).atexit = False

    def is_current(self) -> bool:
        """Whether it is whole and still has its name: if not, it was replaced or removed."""
        facts = os.fstat(self._fd)
        return facts.st_nlink > 0 and _has_all_of(facts, self._total_bytes)

    def is_whole(self) -> bool:
        """Whether all that was mapped is still there: touching what was cut off would be SIGBUS."""
        return _has_all_of(os.fstat(self._fd), self._total_bytes)


def create_aside(name: str, header: bytes, total_bytes: int, fence: Fence, gid: int | None = None) -> Mapping:
    """Build a segment of our own under its `.new.<pid>` name, with all of its memory allocated.

    Its owner alone may read it, or the members of group `gid` too. Raises ForeignSegmentError if one of the names is
    not ours to take, ShmFullError if there is no room, GroupError.
    """
    _is_ours(name)
    aside = names.aside_name(name, os.getpid())
    if _is_ours(aside):  # left by a dead process which had our pid
        names.remove(aside)
    # Size 0: posix_ipc would use ftruncate, which promises memory that a full tmpfs then answers with SIGBUS.
    created = posix_ipc.SharedMemory(aside, posix_ipc.O_CREX, size=0, mode=0o600)
    try:
        rights.protect(created.fd, gid)
        _allocate(created.fd, total_bytes, name)
        mapping = Mapping(mmap.mmap(created.fd, total_bytes), fence)
    except BaseException:
        names.remove(aside)
        raise
    finally:
        created.close_fd()
    mapping.write(0, header)
    return mapping


def take_name(name: str) -> int:
    """Give the segment that was built aside its name, in one step: a reader finds the old one or this one.

    Returns the segment's inode number, by which `is_in_place` knows it again.
    """
    aside = names.path_of(names.aside_name(name, os.getpid()))
    inode = aside.stat().st_ino
    try:
        os.rename(aside, names.path_of(name))
    except PermissionError as error:
        raise ForeignSegmentError(error.errno, _foreign_sentence(name)) from error
    return inode


def is_in_place(name: str, inode: int, total_bytes: int) -> bool:
    """Whether a name still leads to this segment, and all of it is there."""
    try:
        facts = os.stat(names.path_of(name))
    except FileNotFoundError:
        return False
    return facts.st_ino == inode and _has_all_of(facts, total_bytes)


def attach(name: str, fence: Fence, gid: int | None = None) -> Attached | None:
    """Open a segment by name; None if there is none.

    Ours are those of this user, and with `gid` those that another user shares with this group. Raises
    layout.LayoutError for one that is no ring, ForeignSegmentError for what is not ours, and OSError when this process
    may open or map nothing more.
    """
    if not _is_ours(name, gid):  # before it is opened: opening a FIFO would wait for its writer
        return None
    try:
        opened = posix_ipc.SharedMemory(name, read_only=True)
    except posix_ipc.ExistentialError:
        return None
    except posix_ipc.PermissionsError as error:
        raise ForeignSegmentError(errno.EACCES, _closed_sentence(name, gid)) from error
    try:
        return _attach_fd(name, opened.fd, fence, gid)
    except BaseException:
        opened.close_fd()
        raise


def _attach_fd(name: str, fd: int, fence: Fence, gid: int | None) -> Attached:
    facts = os.fstat(fd)
    if not rights.may_be_read(facts, gid):
        raise ForeignSegmentError(errno.EACCES, _foreign_sentence(name, gid))
    # pread, not the mapping: a segment that shrinks meanwhile gives a short answer instead of SIGBUS.
    header = layout.unpack_header(os.pread(fd, layout.HEADER_BYTES, 0))
    if f"/{header.segment_name}" != name:
        raise layout.LayoutError(f"says that it is {header.segment_name!r}")
    if not _has_all_of(facts, header.layout.total_bytes):
        raise layout.LayoutError("shorter than its header says, or with holes")
    try:
        mapped = mmap.mmap(fd, header.layout.total_bytes, prot=mmap.PROT_READ)
    except ValueError as error:  # mmap compares with the size that the file has now
        raise layout.LayoutError("shorter than its header says") from error
    return Attached(fd, header, Mapping(mapped, fence))


def _allocate(fd: int, total_bytes: int, name: str) -> None:
    try:
        os.posix_fallocate(fd, 0, total_bytes)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT):
            raise
        raise shm_full(name, total_bytes) from error


def _has_all_of(facts: os.stat_result, total_bytes: int) -> bool:
    """Whether a segment is long enough and without holes: to fill one in a full /dev/shm would be SIGBUS as well."""
    return min(facts.st_size, facts.st_blocks * 512) >= total_bytes


def _is_ours(name: str, gid: int | None = None) -> bool:
    """Whether the name exists. Raises ForeignSegmentError if what it names is no segment for us, see `attach`."""
    try:
        facts = names.path_of(name).lstat()  # not through a symbolic link: somebody else may have put it there
    except FileNotFoundError:
        return False
    if not rights.may_be_read(facts, gid):
        raise ForeignSegmentError(errno.EPERM, _foreign_sentence(name, gid))
    if not stat.S_ISREG(facts.st_mode):
        raise ForeignSegmentError(errno.EEXIST, f"{names.path_of(name)} is no shared-memory segment: remove it")
    return True


def _foreign_sentence(name: str, gid: int | None = None) -> str:
    path = names.path_of(name)
    if gid is not None:
        return f"{path} belongs to another user, who does not share it with group {gid}: set that pipeline's shm_group"
    return (
        f"{path} belongs to another user: stop that user's pipeline, remove the file as that user, or choose another "
        "--instance (only to read it, see shm_group in docs/shared-memory.md)"
    )


def _closed_sentence(name: str, gid: int | None) -> str:
    if gid is None:
        return _foreign_sentence(name)
    return (
        f"{names.path_of(name)} is shared with group {gid}: add this user, or its container (--group-add {gid}), to it"
    )

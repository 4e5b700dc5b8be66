"""Names that are not ours and room that is not there: each is a sentence, and nothing half made is left."""

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator

import pytest

from shm import ForeignSegmentError, RingReader, RingWriter, ShmFullError, layout, names, segment
from tests.shm.stamped import publish

OTHER_UID = 65534


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


def writer(instance: str, capacity_bytes: int = 4096) -> RingWriter:
    """A writer of the camera "front" with 4 slots."""
    return RingWriter(instance, "front", payload_capacity_bytes=capacity_bytes, descriptor={}, slots=4)


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """This process as a user without rights."""
    os.seteuid(OTHER_UID)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.row("M14")
@pytest.mark.parametrize("kind", ["fifo", "directory", "symlink", "dangling"])
def test_what_is_no_segment(instance: str, kind: str) -> None:
    """A FIFO, a directory or a link in the place of a ring neither blocks a reader nor lets a writer through."""
    path = names.path_of(f"/{instance}.cam.front")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(sys.executable if kind == "symlink" else "nowhere")
    try:
        reader = RingReader(instance, "front")
        assert reader.latest() is None
        assert reader.problem == f"{path} is no shared-memory segment: remove it"
        with pytest.raises(ForeignSegmentError, match="remove it"), writer(instance):
            pass
        assert names.names_of(instance) == [f"/{instance}.cam.front"]
    finally:
        if kind == "directory":
            path.rmdir()


@pytest.mark.row("M14")
@as_root
def test_a_foreign_segment(instance: str) -> None:
    """A name that another user holds is refused to readers and writers, with the way out."""
    with writer(instance) as ring:
        publish(ring, 1, 64)
    os.chown(names.path_of(f"/{instance}.cam.front"), OTHER_UID, -1)
    reader = RingReader(instance, "front")
    assert reader.latest() is None
    assert "another user" in str(reader.problem)
    with pytest.raises(ForeignSegmentError, match="--instance"), writer(instance):
        pass
    assert names.names_of(instance) == [f"/{instance}.cam.front"]


@as_root
def test_a_foreign_segment_that_slips_in(instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened is examined again: the name may have changed hands after it was looked at."""
    with writer(instance) as ring:
        publish(ring, 1, 64)
    os.chown(names.path_of(f"/{instance}.cam.front"), OTHER_UID, -1)
    monkeypatch.setattr(segment, "_is_ours", lambda *_: True)
    reader = RingReader(instance, "front")
    assert reader.latest() is None
    assert "another user" in str(reader.problem)


@as_root
def test_a_name_that_another_user_takes_meanwhile(instance: str) -> None:
    """If the name became another user's while a ring was built, its first frame is refused, and nothing is left."""
    path = names.path_of(f"/{instance}.cam.front")
    with another_user(), writer(instance) as ring:
        os.seteuid(0)
        path.write_bytes(b"of root")
        os.seteuid(OTHER_UID)
        with pytest.raises(ForeignSegmentError, match="another user"):
            publish(ring, 2, 64)
    assert names.names_of(instance) == [f"/{instance}.cam.front"]
    assert path.read_bytes() == b"of root"


@as_root
def test_a_name_that_another_user_takes_last(instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even in the moment before the name is taken, it is the kernel that refuses to take another user's."""
    path = names.path_of(f"/{instance}.cam.front")
    with another_user(), writer(instance) as ring:
        os.seteuid(0)
        path.write_bytes(b"of root")
        os.seteuid(OTHER_UID)
        monkeypatch.setattr(segment, "_is_ours", lambda *_: False)
        monkeypatch.setattr(segment, "attach", lambda *_: None)
        with pytest.raises(ForeignSegmentError, match="another user"):
            publish(ring, 2, 64)
    assert path.read_bytes() == b"of root"


@pytest.mark.row("M13")
def test_no_room(instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full /dev/shm is a sentence which names shm_size; nothing half made is left, and the old ring stays."""
    with writer(instance) as ring:
        publish(ring, 1, 64)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ShmFullError, match=r"0\.1 MB of .*cam\.front .*shm_size"), writer(instance, 8192):
        pass
    assert names.names_of(instance) == [f"/{instance}.cam.front"]
    assert RingReader(instance, "front").latest() is not None


def test_a_real_limit(instance: str) -> None:
    """What the kernel itself refuses to allocate is reported in the same way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ShmFullError, match="shm_size"), writer(instance, 1 << 20):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert names.names_of(instance) == []


def test_a_descriptor_that_is_too_large(instance: str) -> None:
    """A descriptor without room in the header is refused before there is a segment."""
    ring = RingWriter(instance, "front", payload_capacity_bytes=64, descriptor={"a": "x" * layout.HEADER_BYTES})
    with pytest.raises(layout.LayoutError, match="descriptor"), ring:
        pass
    assert names.names_of(instance) == []

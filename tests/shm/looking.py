"""Every way of looking at a camera's ring, and what must be true of whatever is found there."""

from shm import Frame, Loss, RingReader


def look_everywhere(reader: RingReader, capacity_bytes: int) -> None:
    """Every way of reading ends in a consistent frame or a value that says why there is none."""
    for found in (reader.latest(), reader.latest(b"x" * 16), reader.use(lambda frame: frame)):
        assert found is None or isinstance(found, Loss | Frame)
        if isinstance(found, Frame):
            assert 1 <= found.rows <= 65535
            assert 1 <= found.cols <= 65535
            assert 1 <= len(found.data) <= capacity_bytes
            assert found.age_s() > -1
            assert found.encoding.compressed or found.pixels().shape[:2] == (found.rows, found.cols)
    descriptor = reader.descriptor()
    assert descriptor is None or isinstance(descriptor, dict)
    assert reader.unreadable is None or reader.unreadable.startswith("/dev/shm/")  # noqa: S108  a sentence about this file

"""What a `device` setting names, and why it does not open, in words."""

import errno
import os

import pytest

from capture_worker.camera import CameraAbsentError, OpenFailedError
from capture_worker.source import source_of, why_not_open


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [
        (errno.ENODEV, CameraAbsentError, "plugged in"),
        (errno.ENXIO, CameraAbsentError, "plugged in"),
        (errno.EBUSY, OpenFailedError, "another program"),
    ],
)
def test_device_that_does_not_open(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], word: str
) -> None:
    """An unplugged device whose node is still there is absent; a busy one is not."""

    def refuse(path: str, _flags: int) -> int:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "open", refuse)
    error = why_not_open(source_of("/dev/video0"))
    assert isinstance(error, kind)
    assert word in str(error)


def test_stream_that_does_not_open() -> None:
    """A stream is not looked for in /dev."""
    assert isinstance(why_not_open(source_of("rtsp://127.0.0.1/stream")), OpenFailedError)

"""A /dev/shm that will be too small is noticed before it is."""

from typing import Any

import pytest

from supervision import room
from supervision.room import room_warning
from supervision.settings import Settings

STREAM = {"device": "rtsp://cam/x"}
DEVICE = {"device": "/dev/video0"}
SMALL = {"driver": "synthetic", "width": 640, "height": 480}


@pytest.mark.parametrize(
    ("cameras", "total_mib", "warned"),
    [
        ([STREAM], 64, True),
        ([DEVICE], 64, False),
        ([DEVICE, {"device": 1}, {"device": 2}, {"device": 3}], 64, True),
        ([DEVICE, {"device": 1, "width": 640, "height": 480}], 64, False),
        ([SMALL, SMALL], 64, False),
        ([STREAM], 512, False),
        ([STREAM], 60, False),
    ],
)
def test_dockers_default_is_named(
    monkeypatch: pytest.MonkeyPatch, cameras: list[dict[str, Any]], total_mib: int, warned: bool
) -> None:
    """With 64 MiB, and cameras that will hardly fit into it, the sentence names shm_size before one of them fails."""
    monkeypatch.setattr(room, "_total_bytes", lambda: total_mib << 20)
    settings = Settings.model_validate({"cameras": {f"c{number}": camera for number, camera in enumerate(cameras)}})
    sentence = room_warning(settings)
    assert (sentence is not None) is warned
    assert sentence is None or ("shm_size" in sentence and "67 MB, which is Docker's default" in sentence)

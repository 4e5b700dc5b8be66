"""The bench's pictures carry their time of exposure through what a client may ask for."""

import cv2
import numpy as np
import pytest

from bench import scene
from bench.cells import SIZES

EXPOSED_NS = 123_456_789_012_000  # whole microseconds


@pytest.fixture(scope="module", params=SIZES)
def stamped(request: pytest.FixtureRequest) -> scene.Picture:
    """One picture of each size."""
    picture: scene.Picture = scene.paint(*SIZES[request.param])[3]
    scene.stamp(picture, EXPOSED_NS)
    return picture


def as_jpeg(picture: scene.Picture, quality: int = 75) -> scene.Picture:
    """What a client sees of it, in grey."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def test_the_time_survives_jpeg(stamped: scene.Picture) -> None:
    """At the quality that the cells ask for."""
    assert scene.exposed_ns(as_jpeg(stamped)) == EXPOSED_NS


def test_the_time_survives_halving(stamped: scene.Picture) -> None:
    """And JPEG after it."""
    half = cv2.resize(stamped, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert scene.exposed_ns(as_jpeg(np.asarray(half, np.uint8))) == EXPOSED_NS


def test_a_picture_without_a_time_is_none(stamped: scene.Picture) -> None:
    """Neither what was never stamped nor what was damaged has a time that could be believed."""
    with pytest.raises(scene.StampError):
        scene.exposed_ns(stamped[len(stamped) // 2 :, :, 0])
    damaged = stamped.copy()
    damaged[:, : damaged.shape[1] // 16] = 255 - damaged[:, : damaged.shape[1] // 16]
    with pytest.raises(scene.StampError):
        scene.exposed_ns(damaged[:, :, 0])


def test_the_pictures_are_as_large_as_photos(stamped: scene.Picture) -> None:
    """Encoders work as long for them as the figures of docs/performance.md suppose."""
    size = len(cv2.imencode(".jpg", stamped, [cv2.IMWRITE_JPEG_QUALITY, 75])[1])
    assert size == pytest.approx({480: 64_000, 1080: 271_000}[len(stamped)], rel=0.1)


def test_the_pictures_are_always_the_same() -> None:
    """Two processes that paint them see the same scene, and its variants differ."""
    first, second = scene.paint(120, 160), scene.paint(120, 160)
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])

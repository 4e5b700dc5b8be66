"""One pipeline of synthetic cameras for the tests that leave it as they found it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.running import Pipeline, running_pipeline

CAMERAS: dict[str, dict[str, Any]] = {
    "front": {"driver": "synthetic"},
    "rear": {"driver": "synthetic", "width": 1280, "height": 720, "fps": 15, "synthetic": {"encoding": "jpeg"}},
}


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Two synthetic cameras, registered with a simulated robot."""
    with running_pipeline(tmp_path_factory.mktemp("pipeline"), CAMERAS) as pipeline:
        pipeline.wait_for_images(CAMERAS, 20)
        yield pipeline

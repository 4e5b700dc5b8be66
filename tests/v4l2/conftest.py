"""Collects these tests only where they were asked for by `-m v4l2`, and runs one pipeline for all of them."""

import functools
from collections.abc import Iterator

import pytest

from tests.v4l2 import vivid
from tests.v4l2.pipeline import Pipeline, running_pipeline

FIRST_FRAME_S = 90.0


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave every other run alone: these tests draw on, and unplug, this computer's cameras."""
    return None if config.option.markexpr == "v4l2" else True


@pytest.fixture(scope="session")
def driver_rates_hz() -> dict[str, float]:
    """Make both devices show their bars; return what a lone reader gets from each, in frames per second."""
    for name, node in vivid.NODES.items():
        if not vivid.is_vivid(node):
            pytest.fail(f"{node} is not a device of the vivid driver: run `make test-v4l2`")
        vivid.show_bars(node, vivid.BRIGHTNESS[name])
    return {name: vivid.lone_reader_rate_hz(node) for name, node in vivid.NODES.items()}


@pytest.fixture(scope="session")
def pipeline(driver_rates_hz: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The supervisor on both devices, registered with a simulated robot. The rates are measured before it starts."""
    assert driver_rates_hz
    with running_pipeline(tmp_path_factory.mktemp("pipeline"), {"video0": 0, "video1": "/dev/video1"}) as pipeline:
        for name in vivid.NODES:
            pipeline.wait_until(functools.partial(pipeline.answers, name), f"{name} answers", FIRST_FRAME_S)
        yield pipeline

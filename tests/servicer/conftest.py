"""A fresh instance per test, with one camera in it."""

from collections.abc import Iterator

import pytest

from tests.servicer.serving import Ring, Served, fresh_instance, serving


@pytest.fixture
def instance() -> Iterator[str]:
    """A name that nobody else uses."""
    with fresh_instance() as name:
        yield name


@pytest.fixture
def front(instance: str) -> Iterator[Ring]:
    """The ring of the camera "front", which has no frame yet."""
    with Ring(instance, "front") as ring:
        yield ring


@pytest.fixture
def served(instance: str) -> Iterator[Served]:
    """A server of "front" and "rear" which finds every frame fresh enough."""
    with serving(instance, "front", "rear") as running:
        yield running

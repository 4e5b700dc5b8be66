"""A fresh instance per test, with one camera in it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision.camera_settings import CameraSettings
from tests.servicer.scripted_worker import SPEC, ScriptedWorker, capturing
from tests.servicer.serving import Ring, Served, fresh_instance, serving, smooth


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


@pytest.fixture
def asked(instance: str) -> Iterator[Callable[..., Any]]:
    """Make a scripted worker with a ring, and a server: `asked(answer, **settings)` → (served, worker, ring)."""
    with contextlib.ExitStack() as holding:

        def make(
            answer: Any = None,
            *,
            picture: bytes | None = None,
            own_decode: Any = ([1, 3], [2, 3]),
            others: Any = None,
            **changes: Any,
        ) -> Any:
            own = CameraSettings.model_validate({"driver": "synthetic", "max_age_s": 30.0, **changes})
            descriptor = {"fps": own.fps or 30.0, "param_spec": SPEC, "own_decode": own_decode if picture else None}
            ring = holding.enter_context(Ring(instance, "front", descriptor=descriptor))
            ring.show(smooth())
            worker = holding.enter_context(ScriptedWorker(instance, answer or capturing(ring), picture))
            return holding.enter_context(serving(instance, "rear", front=own, **(others or {}))), worker, ring

        yield make

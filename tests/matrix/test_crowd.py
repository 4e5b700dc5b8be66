"""More clients than can be served, each in a hurry: the excess is refused, and capture does not notice."""

from collections.abc import Callable

import psutil
import pytest

from tests.matrix.crowd import Crowd
from tests.matrix.fleet import WATCHED, Fleet, kept_rate
from tests.matrix.recording import MeasuredRow

CLIENTS = 64
DEADLINE_S = 0.05
# The last one: on two busy cores a frame may be too old when a call gets its turn.
EXPECTED = {"STATUS_OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "STATUS_IMAGE_DATA_ERROR"}

Rows = Callable[[str], MeasuredRow]


@pytest.mark.row("M28")
def test_more_clients_than_time(fleet: Fleet, row: Rows, runs: int) -> None:
    """64 clients with deadlines of 50 ms: capture keeps its rate, nothing queues, and then all is as before."""
    for _ in range(runs):
        pipeline = fleet.any()
        before, servicer = pipeline.child(WATCHED), psutil.Process(pipeline.pid("servicer"))
        with Crowd(pipeline.address, CLIENTS, timeout_s=DEADLINE_S, pause_s=0.0) as crowd:
            row("M28").at_least("rate kept by a camera", kept_rate(pipeline, before), 0.95)
        assert {how.split()[0] for how in crowd.seen} <= EXPECTED
        assert sum(crowd.seen.values()) > CLIENTS
        took_s = pipeline.wait(lambda: pipeline.answers(WATCHED), "a client who has time", 10.0)  # noqa: B023
        row("M28").measured("a good client afterwards", took_s, 0.5)
        row("M28").at_most("threads of the servicer", servicer.num_threads(), 600)
        assert pipeline.child("servicer").restarts == 0

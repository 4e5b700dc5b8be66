"""A worker that somebody else ends. The other ends of processes are rows of the fault matrix: tests/matrix."""

import signal
from pathlib import Path

from tests.end_to_end.running import running_pipeline


def test_worker_that_somebody_else_ends(tmp_path: Path) -> None:
    """SIGTERM that does not come from the supervisor is an end like any other: the worker is started again."""
    with running_pipeline(tmp_path, {"front": {"driver": "synthetic"}}) as pipeline:
        pipeline.wait(lambda: pipeline.answers("front"), "front answers", 20)
        old = pipeline.kill("front", signal.SIGTERM)
        pipeline.wait(
            lambda: pipeline.child("front").pid not in (None, old) and pipeline.answers("front"), "front is back", 3.0
        )

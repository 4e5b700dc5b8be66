"""The corpus of bad configurations, each given to a real supervisor: a line, an exit code, and nothing else."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shm import names
from supervision import exit_codes
from supervision.instance import lock_path
from tests.end_to_end.running import run_supervisor
from tests.matrix.recording import MeasuredRow
from tests.supervision.test_configuration import MISTAKES

DEFAULT_INSTANCE = "spot-cameras"


@pytest.mark.row("M31")
@pytest.mark.soak
def test_every_mistake_ends_at_once(tmp_path: Path, row: Callable[[str], MeasuredRow]) -> None:
    """At least fifty of them, each refused within a second; no lock and no segment was made."""
    assert len(MISTAKES) >= 50
    for name, (text, _) in MISTAKES.items():
        (tmp_path / "pipeline.toml").write_text(text)
        started_s = time.monotonic()
        refused = run_supervisor(tmp_path, "--config", "pipeline.toml")
        row("M31").measured("refused", time.monotonic() - started_s, 1.0)
        assert refused.returncode == exit_codes.BAD_CONFIGURATION, name
        assert refused.stderr.count("\n") == 1, name
        assert refused.stdout == ""
        assert names.names_of(DEFAULT_INSTANCE) == []
        assert not lock_path(DEFAULT_INSTANCE).exists()

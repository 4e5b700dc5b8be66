"""The report and the plan as people read them."""

from collections import Counter
from typing import Any

from chaos.report import is_clean, text
from chaos.runner import Run
from chaos.schedule import Injection
from chaos.tally import INVARIANTS, Tally


def run_with(tally: Tally) -> Run:
    """A run that came to its end."""
    observed: dict[str, Any] = {"images": 9, "result": tally.as_dict()}
    return Run(1, 5.0, (), planned=1, injected=Counter(kill=1), observed=observed, started=1000.0)


def test_a_run_that_judged_nothing_is_not_clean() -> None:
    """Nobody has seen that anything held."""
    run = run_with(Tally())
    assert not is_clean(run)
    assert text(run).splitlines()[-1] == "NOTHING was judged"


def test_what_was_not_checked_is_named() -> None:
    """An invariant without a single check is named as not judged; times are those of the plan."""
    tally = Tally()
    for name in INVARIANTS:
        tally.check(name, 1001.0, None)
    assert text(run_with(tally)).splitlines()[-1] == "everything held"
    tally.counts["I14"].checks = 0
    assert text(run_with(tally)).splitlines()[-1] == "everything that was judged held; not judged: I14"
    tally.check("I2", 1002.5, "too old")
    assert text(run_with(tally)).splitlines()[-1] == "NOT everything held"
    assert "       2.50 s: too old" in text(run_with(tally)).splitlines()


def test_lines_of_the_plan() -> None:
    """Parts that a fault does not have leave no gap, and a figure says of what it is."""
    assert str(Injection(2, 5.3, "many_entries", "", 0.0, 83448.9)) == (
        "    5.30  #2    many_entries           (83449 entries)"
    )
    assert str(Injection(3, 7.0, "slow", "rear", 2.0, 0.25)).endswith(
        "slow                   rear for 2.0 s (0.25 s a frame)"
    )

"""The names of the faults in a report to the supervisor."""

import json

from hypothesis import given
from hypothesis import strategies as st

from servicer.fault_log import short


def test_few_names_are_all_told() -> None:
    """As they are."""
    assert short([]) == []
    assert short({"b": 1, "a": 2}) == ["b", "a"]


@given(st.lists(st.text(max_size=200), max_size=60))
def test_many_names_are_cut(names: list[str]) -> None:
    """A report has room for them beside what else is in it, and says how many are left out."""
    kept = short(names)
    assert len(json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")) < 1600
    if kept != names:
        assert kept[:-1] == names[: len(kept) - 1]
        assert kept[-1] == f"and {len(names) - len(kept) + 1} more"

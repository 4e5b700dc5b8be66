"""The end of a run, for people and for programs."""

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from chaos.runner import Run
from chaos.tally import INVARIANTS, since_start

_EXAMPLES = 2


def is_clean(run: Run) -> bool:
    """Whether the run came to its end, something was judged, and everything held."""
    counts = run.observed.get("result", {}).get("invariants", {}).values()
    judged = any(count["checks"] for count in counts)
    return not run.trouble and judged and all(not count["violations"] for count in counts)


def text(run: Run) -> str:
    """At most about sixty lines."""
    result = run.observed.get("result", {})
    lines = [
        f"chaos: seed {run.seed}, {run.duration_s:g} s, {sum(run.injected.values())} of {run.planned} planned faults "
        f"injected, {run.observed.get('images', 0)} images checked; times are seconds of the plan",
        *([f"left out: what needs {' or '.join(run.left_out)} of its own"] if run.left_out else []),
        *([f"NOT FINISHED: {run.trouble}"] if run.trouble else []),
        *_faults(run, result.get("recoveries", [])),
        *_invariants(result.get("invariants", {}), run.started),
        *_notes(result, run.started),
        *_load(result),
        _verdict(run, result.get("invariants", {})),
    ]
    return "\n".join(lines)


def _verdict(run: Run, counts: dict[str, Any]) -> str:
    unjudged = [name for name, count in counts.items() if not count["checks"]]
    if len(unjudged) == len(counts):
        return "NOTHING was judged"
    if not is_clean(run):
        return "NOT everything held"
    return f"everything that was judged held; not judged: {', '.join(unjudged)}" if unjudged else "everything held"


def write(run: Run, path: Path) -> None:
    """Write all of it as JSON."""
    path.write_text(json.dumps({**vars(run), "clean": is_clean(run)}, indent=1, default=str) + "\n")


def _faults(run: Run, recoveries: list[dict[str, Any]]) -> list[str]:
    took = defaultdict(list)
    for recovery in recoveries:
        took[recovery["kind"]].append(recovery["took_s"])
    lines = [f"{'fault':<24}{'injected':>9}{'recovered':>10}{'p50 s':>8}{'p95 s':>8}{'max s':>8}"]
    for kind, count in sorted(run.injected.items()):
        times = sorted(took.get(kind, []))
        figures = "".join(f"{_percentile(times, share):8.2f}" for share in (0.5, 0.95, 1.0)) if times else ""
        lines.append(f"{kind:<24}{count:>9}{len(times) or '-':>10}{figures}")
    return lines


def _invariants(counts: dict[str, Any], started: float) -> list[str]:
    lines = [f"{'invariant':<72}{'checks':>9}{'excused':>8}{'violated':>9}"]
    for name, count in counts.items():
        what = f"{name:<4}{INVARIANTS[name]}"
        lines.append(f"{what:<72}{count['checks'] or '-':>9}{count['excused']:>8}{count['violations']:>9}")
        lines += [f"       {since_start(example, started)[:160]}" for example in count["examples"][:_EXAMPLES]]
    return lines


def _notes(result: dict[str, Any], started: float) -> list[str]:
    lines = []
    for name, count in result.get("notes", {}).items():
        if count["violations"]:
            lines.append(f"note: {count['violations']} {name} (of {count['checks']})")
            lines += [f"       {since_start(example, started)[:160]}" for example in count["examples"][:_EXAMPLES]]
    if left := result.get("not_recovered"):
        lines.append(f"note: not recovered at the end: {', '.join(left)}")
    return lines


def _load(result: dict[str, Any]) -> list[str]:
    """How busy the machine was: others on it can break what is promised for a machine of one's own."""
    told = []
    for whose, key in (("this run", "own_cores"), ("others", "other_cores")):
        if cores := [value for value in result.get(key, []) if value is not None]:
            told.append(f"{whose} {sum(cores) / len(cores):.2f} (at most {max(cores):.2f})")
    return [f"cores kept busy by {', by '.join(told)}"] if told else []


def _percentile(times: list[float], share: float) -> float:
    return times[max(0, math.ceil(share * len(times)) - 1)]

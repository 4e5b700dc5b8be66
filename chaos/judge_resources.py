"""Nothing is left behind, nothing grows, nobody talks too much (I8, I12, I14)."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.facts import SERVICER, SUPERVISOR, Fact, LeftBehind, LogSeen, ProcessSeen, SegmentsSeen, SupervisorEnded
from chaos.tally import Tally
from chaos.world import World

WARM_UP_S = 30.0  # threads, caches and connections of a new process
LEAST_FIT_S = 60.0

# What each supervisor may say at once, and a line a second: in any minute, and over the minutes of the last five.
LINES_PER_S, LINES_AT_ONCE = 1, 120
MINUTE_S, LINES_OVER_S = 60.0, 300.0
READ_LATE_S = 5.0  # so much older than the time at which they are counted may lines be
REPETITIONS_PER_MINUTE, REPETITIONS_PER_FAULT = 12, 1


@dataclass(frozen=True)
class Limits:
    """What a process may have at any time, and by how much it may grow after its warm-up, by a straight line."""

    descriptors: int
    threads: int
    memory_mb: float
    growth: tuple[float, float, float]


_LIMITS = {
    SUPERVISOR: Limits(64, 4, 150, (4, 2, 8)),
    SERVICER: Limits(700, 560, 900, (48, 64, 64)),  # a thread per call that was ever there at the same time, up to 512
}
_WORKER = Limits(64, 32, 400, (4, 4, 24))


@dataclass
class _Life:
    samples: list[ProcessSeen] = field(default_factory=list)


class ResourceJudge:
    """Judges what processes use over their lives; `finish` judges those that still live."""

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._lives: dict[str, _Life] = {}
        self._minutes: deque[LogSeen] = deque()  # of which none overlaps another
        self._starts: list[float] = []  # of other supervisors than the first

    def judge(self, fact: Fact) -> None:
        """Look at one fact."""
        match fact:
            case ProcessSeen():
                self._judge_process(fact)
            case SegmentsSeen():
                text = f"{fact.used_mb:.1f} MB of segments in /dev/shm, {fact.budget_mb:.1f} MB are needed"
                self._tally.check("I12", fact.t, text if fact.used_mb > fact.budget_mb else None)
            case LeftBehind():
                text = f"{fact.what} were left: {', '.join(fact.left)}"
                self._tally.check("I8", fact.t, text if fact.left else None)
            case SupervisorEnded():
                self._starts.append(fact.t)
            case LogSeen():
                self._judge_log(fact)

    def finish(self) -> None:
        """Judge the growth of the processes that are left."""
        for life in self._lives.values():
            self._judge_growth(life)
        self._lives.clear()

    def _judge_process(self, seen: ProcessSeen) -> None:
        limits = _LIMITS.get(seen.name, _WORKER)
        used = (seen.descriptors, seen.threads, seen.memory_mb)
        text = f"{seen.name}: {seen.descriptors} descriptors, {seen.threads} threads, {seen.memory_mb:.0f} MB"
        too_much = any(
            value > most
            for value, most in zip(used, (limits.descriptors, limits.threads, limits.memory_mb), strict=True)
        )
        self._tally.check("I12", seen.t, text if too_much else None)
        life = self._lives.setdefault(seen.name, _Life())
        if life.samples and life.samples[0].pid != seen.pid:
            self._judge_growth(life)
            life = self._lives[seen.name] = _Life()
        life.samples.append(seen)

    def _judge_growth(self, life: _Life) -> None:
        if not life.samples:
            return
        start = life.samples[0].t + WARM_UP_S
        samples = [seen for seen in life.samples if seen.t >= start]
        if not samples or samples[-1].t - start < LEAST_FIT_S:
            return
        name, growth = samples[0].name, _LIMITS.get(samples[0].name, _WORKER).growth
        t = [seen.t for seen in samples]
        grown = [
            (what, _growth(t, values), most)
            for what, values, most in (
                ("descriptors", [float(seen.descriptors) for seen in samples], growth[0]),
                ("threads", [float(seen.threads) for seen in samples], growth[1]),
                ("MB", [seen.memory_mb for seen in samples], growth[2]),
            )
        ]
        wrong = [f"{value:+.1f} {what}" for what, value, most in grown if value > most]
        text = f"{name} (pid {samples[0].pid}) has grown in {t[-1] - t[0]:.0f} s: {', '.join(wrong)}" if wrong else None
        self._tally.check("I12", samples[-1].t, text)

    def _judge_log(self, seen: LogSeen) -> None:
        self._keep_minute(seen)
        recent = sum(e.overlaps(seen.t - MINUTE_S - READ_LATE_S, seen.t) for e in self._world.episodes)
        wrong = None
        if self._lines_beyond([seen]) > 0:
            wrong = f"{seen.lines} lines in a minute with {recent} faults"
        elif (beyond := self._lines_beyond(self._minutes)) > 0:
            wrong = f"{beyond:.0f} lines too many in {len(self._minutes)} minutes"
        elif seen.most > REPETITIONS_PER_MINUTE + REPETITIONS_PER_FAULT * recent:
            wrong = f"{seen.most} times in a minute: {seen.text}"
        self._tally.check("I14", seen.t, wrong)

    def _keep_minute(self, seen: LogSeen) -> None:
        if not self._minutes or seen.t - self._minutes[-1].t >= MINUTE_S:
            self._minutes.append(seen)
        while seen.t - self._minutes[0].t > LINES_OVER_S - MINUTE_S and len(self._minutes) > 1:
            self._minutes.popleft()

    def _lines_beyond(self, minutes: Sequence[LogSeen]) -> float:
        """By how many lines these minutes have more than a supervisor's log may have."""
        since, until = minutes[0].t - MINUTE_S - READ_LATE_S, minutes[-1].t
        starts = 1 + sum(since <= t <= until for t in self._starts)
        return sum(minute.lines for minute in minutes) - LINES_PER_S * (until - since) - LINES_AT_ONCE * starts


def _growth(t: list[float], values: list[float]) -> float:
    """By how much a straight line through the values rises from the first to the last."""
    mean_t, mean = sum(t) / len(t), sum(values) / len(values)
    spread = sum((x - mean_t) ** 2 for x in t)
    slope = sum((x - mean_t) * (y - mean) for x, y in zip(t, values, strict=True)) / spread if spread else 0.0
    return slope * (t[-1] - t[0])

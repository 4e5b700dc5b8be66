"""Nobody suffers from another's fault, who fell gets up, each ring has one writer (I5, I7, I9, I10)."""

from collections import Counter

from chaos.facts import (
    SERVICER,
    SUPERVISOR,
    ChildSeen,
    Fact,
    Injected,
    ReaderEnded,
    RingSeen,
    SupervisorEnded,
    Tick,
    WritersSeen,
)
from chaos.schedule import BY_NAME
from chaos.tally import Tally
from chaos.world import Death, Episode, World

WINDOW_S = 5.0
KEPT_RATE = 0.95
CRASH_S, HANG_S = 2.0, 7.0
LOOK_S = 0.25  # until one of the clients asks for this camera again
GIVEN_UP_S = 35.0  # the longest delay of a restart, and the restart
_HANGS = ("hang", "stop")
_TRUNCATION_S = 1.0
_RARELY = 0.1  # of the truncations: who does not look at lengths dies of all of them
_BEFORE_S = 0.3
_NO_ROOM = "exit code 71"  # README, "Exit codes"


class CameraJudge:
    """Judges frame rates by the rings' own counters, recoveries by what clients got."""

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._first: dict[str, RingSeen] = {}
        self._writers: dict[tuple[str, int], set[int]] = {}
        self._judged: set[int] = set()
        self._read_on: set[int] = set()
        self._silent: set[str] = set()
        self._cuts: list[float] = []
        self._cut_down: Counter[str] = Counter()

    def judge(self, fact: Fact) -> None:
        """Look at one fact."""
        self._judge_recoveries(fact.t)
        match fact:
            case Injected(kind="segment_truncated"):
                self._cuts.append(fact.t)
            case RingSeen():
                self._judge_rate(fact)
            case ChildSeen():
                for death in self._world.deaths:
                    self._judge_death(death)
            case WritersSeen():
                self._judge_writers(fact)
            case ReaderEnded():
                self._judge_reader(fact.t, fact.name, fact.how)
            case SupervisorEnded(expected=False):
                self._judge_supervisor(fact)
            case Tick():
                self._judge_silence(fact.t)
                self._count_reading_on(fact.t)

    def _judge_rate(self, seen: RingSeen) -> None:
        first = self._first.setdefault(seen.camera, seen)
        self._silent.discard(seen.camera)
        if seen.epoch != first.epoch:
            self._first[seen.camera] = seen
            unasked = not self._explained(seen.camera, first.t - _BEFORE_S, seen.t)
            self._tally.check(
                "I5", seen.t, f"{seen.camera}: its ring was replaced without a reason" if unasked else None
            )
            return
        window_s = seen.captured - first.captured
        if window_s < WINDOW_S:
            return
        self._first[seen.camera] = seen
        if self._explained(seen.camera, first.captured - _BEFORE_S, seen.t) or self._world.stalled(first.t, seen.t):
            self._tally.excuse("I5")
            return
        kept = (seen.number - first.number) / window_s / self._world.cameras[seen.camera].fps
        wrong = f"{seen.camera}: {kept:.1%} of its rate for {window_s:.1f} s" if kept < KEPT_RATE else None
        self._tally.check("I5", seen.t, wrong)

    def _judge_silence(self, t: float) -> None:
        for name, camera in self._world.cameras.items():
            ring = self._world.rings.get(name)
            limit_s = camera.max_age_s + 1.0
            if ring is None or name in self._silent or t - ring.captured < limit_s:
                continue
            if not self._explained(name, ring.captured, t) and not self._world.stalled(ring.captured, t):
                self._silent.add(name)
                self._tally.check("I5", t, f"{name}: no frame for {t - ring.captured:.1f} s without a reason")

    def _judge_death(self, death: Death) -> None:
        if death.why is not None or self._world.concerned(SUPERVISOR, death.t - _BEFORE_S, death.t):
            return
        if death.name in self._world.cameras:
            self._tally.check("I5", death.t, f"{death.name}: its worker ended without a reason ({death.how})")
        else:
            self._judge_reader(death.t, death.name, death.how)

    def _judge_supervisor(self, fact: SupervisorEnded) -> None:
        """One that is started again while /dev/shm is full has to say so and end: there is no room for its rings."""
        since = fact.t - _BEFORE_S
        if fact.how == _NO_ROOM and any(
            one.fault.kind == "shm_full" and one.overlaps(since, fact.t) for one in self._world.episodes
        ):
            self._tally.excuse("I10")
        else:
            self._tally.check("I10", fact.t, f"the supervisor ended by itself ({fact.how})")

    def _judge_reader(self, t: float, name: str, how: str) -> None:
        """A segment that is cut off *while* it is read ends its reader: no length could be seen before.

        By SIGBUS, or by SIGSEGV while faulthandler reads the stacks of threads that run on.
        """
        cut = any(0 <= t - when < _TRUNCATION_S for when in self._cuts)
        if cut and any(number in how for number in ("SIGBUS", "SIGSEGV")):
            self._cut_down[name] += 1
            if self._cut_down[name] <= 1 + _RARELY * len(self._cuts):
                self._tally.excuse("I10")
                return
        self._tally.check("I10", t, f"{name} ended ({how})")

    def _count_reading_on(self, t: float) -> None:
        for episode in self._world.episodes:
            index = episode.fault.index
            if episode.fault.kind.startswith("segment_") and index not in self._read_on and t - episode.fault.t > 1.0:
                self._read_on.add(index)
                self._tally.check("I10", t, None)

    def _judge_writers(self, seen: WritersSeen) -> None:
        known = self._writers.setdefault((seen.camera, seen.inode), set())
        known.update(seen.pids)
        if len(self._writers) > 1000:  # noqa: PLR2004 - rings long gone
            del self._writers[next(iter(self._writers))]
        wrong = f"{seen.camera}: the processes {sorted(known)} can write into one ring" if len(known) > 1 else None
        self._tally.check("I9", seen.t, wrong)

    def _judge_recoveries(self, t: float) -> None:
        for episode in self._world.episodes:
            if episode.fault.index in self._judged or not episode.fault.concerns:
                continue
            if episode.recovered is not None:
                self._judged.add(episode.fault.index)
                self._judge_recovery(episode, episode.recovered)
            elif self._is_given_up(episode, t):
                self._judged.add(episode.fault.index)
                fault = episode.fault
                self._tally.check("I7", t, f"#{fault.index} {fault.kind} {fault.target}: not recovered")

    def _judge_recovery(self, episode: Episode, recovered: float) -> None:
        fault = episode.fault
        if not fault.ends_process or fault.target not in self._world.cameras:
            return
        lasted = BY_NAME[fault.kind].hold_s[1] > 0  # then whoever still met it had to end first
        since = episode.works_after or fault.t if lasted else fault.t
        others = [
            other for other in self._world.episodes if other is not episode and other.overlaps(fault.t, recovered)
        ]
        parts = {fault.target, SERVICER, SUPERVISOR}
        if any(parts & set(other.fault.concerns) for other in others) or self._world.stalled(fault.t, recovered):
            self._tally.excuse("I7")
            return
        waited_s = self._world.waited_s(fault.target, since, recovered)
        limit_s = (HANG_S if fault.kind in _HANGS else CRASH_S) + LOOK_S
        took_s = recovered - since - waited_s
        text = (
            f"#{fault.index} {fault.kind} {fault.target}: back after {took_s:.2f} s (and {waited_s:.2f} s of backoff)"
        )
        self._tally.check("I7", recovered, text if took_s > limit_s else None)

    def _is_given_up(self, episode: Episode, t: float) -> bool:
        if episode.over is None:
            return False
        others = [other for other in self._world.episodes if other is not episode]
        newest = max([episode.over, *(o.recovered or o.over or t for o in others if _same_part(o, episode))])
        return t - newest > GIVEN_UP_S

    def _explained(self, camera: str, since: float, until: float) -> bool:
        return any(self._world.concerned(part, since, until) for part in (camera, SUPERVISOR))


def _same_part(one: Episode, other: Episode) -> bool:
    return bool(set(one.fault.concerns) & set(other.fault.concerns))

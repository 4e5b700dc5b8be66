"""What the texts of the robot's faults say is true (I11).

Killed from outside   said of nobody but whom this run has killed by a signal, not more than a minute after that
                      one's recovery. It is judged when the text comes: one that stands is about what was then.
details: <file>       that file has been there, 12 s after it was named at the latest. It may be removed again:
                      only the newest of each process are kept.
"""

from chaos.facts import SERVICER, SUPERVISOR, Fact, RobotSeen
from chaos.judge_robot import names
from chaos.tally import Tally
from chaos.world import World

FROM_OUTSIDE = "Killed from outside"
DETAILS = " details: "
FILE_WITHIN_S = 12.0
_SPOKEN_OF_S = 60.0
_KILLS = ("kill", "shm_full", "servicer_kill")


class WordsJudge:
    """Reads each text when it comes, and looks after each file until it has been there."""

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._last: frozenset[tuple[str, str]] = frozenset()
        self._missing: dict[str, float] = {}  # since when

    def judge(self, fact: Fact) -> None:
        """Look at one fact."""
        if isinstance(fact, RobotSeen):
            self._judge_files(fact)
            shown = frozenset(fact.faults.items())
            for name, text in sorted(shown - self._last):
                if FROM_OUTSIDE in text:
                    self._judge_killed(fact, name)
            self._last = shown

    def _judge_killed(self, seen: RobotSeen, name: str) -> None:
        part = next((camera for camera in self._world.cameras if name in names(seen, camera)), SERVICER)
        since = seen.t - _SPOKEN_OF_S
        killed = any(e.fault.kind in _KILLS and e.overlaps(since, seen.t) for e in self._world.of(part))
        if not killed and self._world.concerned(SUPERVISOR, since, seen.t):
            self._tally.excuse("I11")
            return
        self._tally.check("I11", seen.t, None if killed else f"{name}: {FROM_OUTSIDE}, and nobody has killed {part}")

    def _judge_files(self, seen: RobotSeen) -> None:
        if self._world.disturbed(seen):
            self._missing = {}
            return
        self._missing = {file: self._missing.get(file, seen.t) for file in seen.missing}
        for file, since in self._missing.items():
            if seen.t - since > FILE_WITHIN_S:
                self._missing[file] = float("inf")
                self._tally.check("I11", seen.t, f"a fault names a file that does not come: {file}")

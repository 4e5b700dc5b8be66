"""What the robot shows its operator is what is really broken, within 5 s, while the robot answers (I11).

What is really broken comes from the injected faults, from the rings and from the ends of processes; the pipeline's own
opinion is not asked. A fault belongs to the camera whose name is a word of its name.

    shown     a camera is silent for max_age + 1 s, frozen for frozen_after_s, delivers what no picture can be made of,
              or its worker has ended: within 5 s. A caller was refused: as long as he calls.
    not shown a camera has been well for 3.5 s: within 5 s. No other fault, if nothing was done to service and robot.
"""

import re

from chaos.facts import ROBOT, SERVICER, SUPERVISOR, Fact, IntruderSeen, RobotSeen
from chaos.tally import Tally
from chaos.world import Episode, World

WITHIN_S = 5.0
LOOK_S = 0.5  # of our own look at the robot's list, and at the rings
SILENCE_S = 1.0
PROOF_S = 3.5  # 2 s, if there was no fault of it in the minute before
OTHERS_S = 10.0  # how long what happened to service or robot may be spoken of
_PEERS = "refused"


class RobotJudge:
    """Compares each of the robot's lists with what it has to hold by now, and what it must not hold any more."""

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._linked: float | None = None  # since when service and robot have had every chance
        self._shown_at: dict[str, float] = {}
        self._not_fresh: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._deaths: list[tuple[float, str, int | None]] = []
        self._denied: tuple[float, float] | None = None  # the first and the last time by this service
        self._wrong: set[str] = set()

    def judge(self, fact: Fact) -> None:
        """Look at one fact."""
        for death in self._world.deaths:
            if death.name == SERVICER:
                self._denied = None
            elif death.name in self._world.cameras:
                self._ended[death.name] = death.t
                self._deaths.append((death.t, death.name, death.why.fault.index if death.why else None))
        match fact:
            case IntruderSeen(code="PERMISSION_DENIED"):
                self._denied = (self._denied[0] if self._denied else fact.t, fact.t)
            case RobotSeen():
                self._look(fact)

    def _look(self, seen: RobotSeen) -> None:
        for name, camera in self._world.cameras.items():
            ring = self._world.rings.get(name)
            if ring is None or seen.t - ring.captured > camera.max_age_s:
                self._not_fresh[name] = seen.t
            if names(seen, name):
                self._shown_at[name] = seen.t
        if self._world.disturbed(seen):
            self._linked = None
            self._wrong.clear()
        else:
            self._linked = self._linked or seen.t
        for name in self._world.cameras:
            self._judge_camera(seen, name)
        self._judge_deaths(seen)
        self._judge_peers(seen)
        self._judge_others(seen)

    def _judge_camera(self, seen: RobotSeen, name: str) -> None:
        shown = bool(names(seen, name))
        broken = self._broken_since(name, seen.t)
        well = self._well_since(name)
        if self._is_late(broken, seen.t):
            self._say(f"{name} is broken", seen, None if shown else f"{name} is broken, and no fault says so")
        elif well is not None and self._is_late(well + PROOF_S, seen.t):
            text = f"{name} works, and there is still: {', '.join(names(seen, name))}" if shown else None
            self._say(f"{name} works", seen, text)

    def _judge_deaths(self, seen: RobotSeen) -> None:
        due = [death for death in self._deaths if seen.t - death[0] > WITHIN_S + LOOK_S]
        self._deaths = [death for death in self._deaths if death not in due]
        for t, name, index in due:
            if self._linked is None or self._linked > t:
                self._tally.excuse("I11")
                continue
            missed = self._shown_at.get(name, 0.0) < t
            text = f"the end of {name}'s worker (#{index}) was never shown" if missed else None
            self._tally.check("I11", seen.t, text)

    def _judge_peers(self, seen: RobotSeen) -> None:
        shown = any(_PEERS in fault.lower() for fault in seen.faults)
        if self._denied is not None and self._is_late(self._denied[0], seen.t):
            self._say("refused", seen, None if shown else "a caller is refused, and no fault says so")

    def _judge_others(self, seen: RobotSeen) -> None:
        known = {fault for name in self._world.cameras for fault in names(seen, name)}
        others = [fault for fault in seen.faults if fault not in known and _PEERS not in fault.lower()]
        parts = (SERVICER, SUPERVISOR, ROBOT)
        if self._is_late(seen.t - WITHIN_S - LOOK_S - 1, seen.t):
            explained = any(self._world.concerned(part, seen.t - OTHERS_S, seen.t) for part in parts)
            wrong = f"without a reason: {', '.join(others)}" if others and not explained else None
            self._say("others", seen, wrong)

    def _is_late(self, since: float | None, t: float) -> bool:
        """Whether what has been so `since` then has to show by now."""
        if since is None or self._linked is None:
            return False
        return t - max(since, self._linked) > WITHIN_S + LOOK_S

    def _broken_since(self, name: str, t: float) -> float | None:
        camera, ring = self._world.cameras[name], self._world.rings.get(name)
        since = [self._fault_shows_from(episode) for episode in self._world.of(name)]
        if ring is not None and t - ring.captured > camera.max_age_s + SILENCE_S:
            since.append(ring.captured + camera.max_age_s + SILENCE_S)
        return min((s for s in since if s is not None), default=None)

    def _fault_shows_from(self, episode: Episode) -> float | None:
        """From when on a fault that holds is known to anybody; None for one that is over, or hard to tell."""
        fault = episode.fault
        if episode.over is not None:
            return None
        if fault.kind == "freeze":
            return fault.t + self._world.cameras[fault.target].frozen_after_s + 1.0
        return fault.t if fault.kind == "corrupt_jpeg" else None

    def _well_since(self, name: str) -> float | None:
        since = [self._not_fresh.get(name, 0.0), self._ended.get(name, 0.0)]
        for episode in self._world.of(name):
            if episode.recovered is None:
                return None
            since.append(episode.recovered)
        return max(since)

    def _say(self, about: str, seen: RobotSeen, wrong: str | None) -> None:
        """Count a check; what stays wrong is one violation."""
        again = about in self._wrong
        if wrong is None:
            self._wrong.discard(about)
        else:
            self._wrong.add(about)
        if wrong is None or not again:
            self._tally.check("I11", seen.t, wrong)


def names(seen: RobotSeen, camera: str) -> list[str]:
    """The faults whose names say that they are this camera's."""
    return [fault for fault in seen.faults if re.search(rf"\b{re.escape(camera)}\b", fault)]

"""What is broken on purpose, since when, and whether it has recovered: what the judges excuse, and no more.

An episode begins when its fault is injected and ends when whoever it concerns has proved to work again:

* a camera: a client got an OK image of a frame captured after the fault was over (and, if its worker had to end of it,
  after that end);
* the service: a client who asked after the old process's end got an OK image;
* the robot: our service has asked it for its faults twice since it answers again, and is registered;
* the supervisor: all cameras have, under the next one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaos.facts import (
    ROBOT,
    SERVICER,
    SUPERVISOR,
    Camera,
    ChildSeen,
    Fact,
    ImageSeen,
    Injected,
    Over,
    RingSeen,
    RobotSeen,
    Stalled,
    SupervisorEnded,
)

_AFTERWARDS_S = 0.3  # how long after a recovery its fault still explains what is seen
_KEEP_S = 180.0
_LOOKS = 2
_EPSILON_S = 1e-3


@dataclass
class Episode:
    """One injected fault and its consequences."""

    fault: Injected
    over: float | None = None
    died: float | None = None
    recovered: float | None = None
    looks: int | None = None

    def overlaps(self, since: float, until: float) -> bool:
        """Whether it explains something that was seen between these times."""
        return self.fault.t <= until and (self.recovered is None or self.recovered + _AFTERWARDS_S >= since)

    @property
    def works_after(self) -> float | None:
        """From when on what works shows that it is over; None if it cannot be over yet."""
        if self.over is None or (self.fault.ends_process and self.died is None):
            return None
        return max(self.over, self.died or 0.0)


@dataclass(frozen=True)
class Death:
    """The end of a child's process, as the board shows it. `why` is None if nothing was done to it."""

    t: float
    name: str
    how: str
    why: Episode | None


class World:
    """Take every fact first; the judges look at it afterwards. `deaths` are those since `take` was last called."""

    def __init__(self, cameras: Iterable[Camera]) -> None:
        self.cameras: Mapping[str, Camera] = {camera.name: camera for camera in cameras}
        self.episodes: list[Episode] = []
        self.finished: list[Episode] = []
        self.deaths: list[Death] = []
        self.children: dict[str, ChildSeen] = {}
        self.rings: dict[str, RingSeen] = {}
        self.waits: dict[str, dict[float, float]] = {}  # announced by a child's backoff: from → until
        self.robot: RobotSeen | None = None
        self._stalls: list[tuple[float, float]] = []
        self._back: dict[str, float] = {}  # under the newest supervisor

    def take(self, fact: Fact) -> None:
        """Take note of a fact."""
        self.deaths = []
        match fact:
            case Injected():
                self.episodes.append(Episode(fact))
            case Over():
                self._end_fault(fact)
            case ChildSeen():
                self._see_child(fact)
            case SupervisorEnded():
                self._see_supervisor_end(fact)
            case RingSeen():
                self.rings[fact.camera] = fact
            case ImageSeen():
                self._see_image(fact)
            case RobotSeen():
                self._see_robot(fact)
            case Stalled():
                self._stalls = [*self._stalls[-200:], (fact.since, fact.t)]
        self._forget(fact.t)

    def concerned(self, part: str, since: float, until: float) -> bool:
        """Whether a fault explains what this part did between these times."""
        return any(part in episode.fault.concerns and episode.overlaps(since, until) for episode in self.episodes)

    def stalled(self, since: float, until: float) -> bool:
        """Whether the machine stood still between these times."""
        return any(start <= until and end >= since for start, end in self._stalls)

    def waited_s(self, name: str, since: float, until: float) -> float:
        """For how long a child's restart was held back by an announced delay between these times."""
        waits = self.waits.get(name, {}).items()
        return sum(max(0.0, min(end, until) - max(start, since)) for start, end in waits)

    def disturbed(self, seen: RobotSeen) -> bool:
        """Whether what the robot shows now may be wrong, because of what was done to it, the service or both."""
        done = any(self.concerned(part, seen.t, seen.t) for part in (SERVICER, SUPERVISOR, ROBOT))
        return done or not seen.answers or not seen.registered or self.stalled(seen.t - 1.0, seen.t)

    def of(self, part: str) -> list[Episode]:
        """The episodes that concern this part, the recent ones too."""
        return [episode for episode in self.episodes if part in episode.fault.concerns]

    @property
    def pending(self) -> list[Episode]:
        """Those that have not recovered yet."""
        return [episode for episode in self.episodes if episode.recovered is None]

    def _end_fault(self, fact: Over) -> None:
        for episode in self.episodes:
            if episode.fault.index == fact.index and episode.over is None:
                episode.over = fact.t
                if not episode.fault.concerns:
                    self._recover(episode, fact.t)

    def _see_child(self, seen: ChildSeen) -> None:
        old = self.children.get(seen.name)
        self.children[seen.name] = seen
        if seen.state == "waiting" and seen.next_start is not None:
            self.waits.setdefault(seen.name, {})[seen.since] = seen.next_start
        if old is None or old.supervisor_pid != seen.supervisor_pid or old.pid in (None, seen.pid):
            return
        t = seen.since if seen.state == "waiting" else seen.t  # `since` is when the supervisor's turn began
        candidates = [episode for episode in self.of(seen.name) if episode.overlaps(t, seen.t)]
        for episode in candidates:
            if episode.recovered is None:
                episode.died = max(t, episode.fault.t)
        self.deaths.append(Death(t, seen.name, seen.last_exit or "?", candidates[-1] if candidates else None))

    def _see_supervisor_end(self, fact: SupervisorEnded) -> None:
        self._back = {}
        for episode in self.episodes:
            if episode.fault.concerns[:1] != (ROBOT,):
                episode.died = episode.died or fact.t  # its children die with it

    def _see_image(self, seen: ImageSeen) -> None:
        camera = self.cameras.get(seen.source)
        if not seen.ok or seen.number is None or camera is None:
            return
        captured = camera.captured(seen.number)
        self._back[camera.name] = captured
        for episode in self.pending:
            after = episode.works_after
            works = {camera.name: captured, SERVICER: seen.asked, SUPERVISOR: self._all_back()}
            if after is not None and works.get(episode.fault.concerns[0], 0.0) > after + _EPSILON_S:
                self._recover(episode, seen.t)

    def _all_back(self) -> float:
        """The oldest of the cameras' newest images under the present supervisor."""
        return min(self._back.get(name, 0.0) for name in self.cameras)

    def _see_robot(self, seen: RobotSeen) -> None:
        self.robot = seen
        for episode in self.pending:
            if episode.fault.concerns[:1] != (ROBOT,) or episode.over is None or seen.t < episode.over:
                continue
            if not seen.answers or episode.looks is None:
                episode.looks = seen.looks
            elif seen.registered and seen.looks >= episode.looks + _LOOKS:
                self._recover(episode, seen.t)

    def _recover(self, episode: Episode, t: float) -> None:
        episode.recovered = t
        self.finished.append(episode)

    def _forget(self, t: float) -> None:
        self.episodes = [e for e in self.episodes if e.recovered is None or t - e.recovered < _KEEP_S]
        for name, waits in self.waits.items():
            if len(waits) > 100:  # noqa: PLR2004 - no episode is longer
                self.waits[name] = dict(list(waits.items())[-50:])

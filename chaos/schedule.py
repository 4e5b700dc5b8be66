"""From a seed to a plan: which fault, to whom, when, for how long. The same seed is the same plan.

A worker that dies again and again is restarted with a delay of up to 30 s, and forgiven after a minute. So that not
everybody waits most of the time, what ends processes concentrates on one target (a camera, or the service) for a
while, then on the next; everything else hits anybody at any time.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

CAMERAS = ("front", "rear", "top")
About = Literal["camera", "servicer", "supervisor", "robot", "nobody"]

_GAP_S = (0.5, 3.0)
_PHASE_S = (18.0, 28.0)
_REST_S = 0.7  # of a target after a fault that held
_LONG_REST_S = 5.0  # after every other end of a process: the others come while it is being restarted
_ROBOT_REST_S = 9.0  # in which its fault list has to become right
_RESTART_S = 12.0  # in which a killed supervisor's cameras get no faults of their own
_SUPERVISOR_EVERY = 70
_MOST_ENDS_PER_PHASE = 4


@dataclass(frozen=True)
class Kind:
    """A kind of fault: `hold_s` is how long it lasts, (0, 0) for what is done in a moment.

    `figures` is the range of its one parameter, and `shown` how people see that; `cameras` those it can be done to.
    `ends_process`: nobody survives it.
    `needs` is what the machine has to allow: "namespaces" (a /dev/shm and a network of one's own) or
    "root" (files of another user).
    """

    name: str
    about: About
    weight: float
    hold_s: tuple[float, float] = (0.0, 0.0)
    figures: tuple[float, float] = (0.0, 0.0)
    ends_process: bool = False
    cameras: tuple[str, ...] = CAMERAS
    needs: str = ""
    shown: str = ""


KINDS = (
    # One camera's worker ends of these.
    Kind("crash", "camera", 5, ends_process=True),
    Kind("segfault", "camera", 5, ends_process=True),
    Kind("kill", "camera", 5, ends_process=True),
    Kind("exit_loop", "camera", 4, hold_s=(6, 6), figures=(2, 4), ends_process=True, shown="about {:.0f} times"),
    Kind("hang", "camera", 5, ends_process=True),
    Kind("stop", "camera", 5, ends_process=True),
    Kind("unplug", "camera", 5, hold_s=(3, 8), ends_process=True),
    Kind("garbage", "camera", 3, hold_s=(3, 5), ends_process=True),
    Kind("shm_full", "camera", 3, hold_s=(3, 6), ends_process=True, needs="namespaces"),
    Kind("segment_foreign", "camera", 2, hold_s=(2, 5), ends_process=True, needs="root"),
    # One camera's pictures or its ring; its worker goes on, or decides itself.
    Kind("wrong_size", "camera", 3, hold_s=(2, 6)),
    Kind("freeze", "camera", 2, hold_s=(5, 12)),
    Kind("corrupt_jpeg", "camera", 4, hold_s=(3, 8), cameras=("rear",)),
    Kind("slow", "camera", 1, hold_s=(2, 4), figures=(0.2, 0.8), shown="{:.2f} s a frame"),
    Kind("segment_truncated", "camera", 2, figures=(0, 1)),
    Kind("segment_header", "camera", 2, figures=(0, 4)),
    Kind("segment_counters", "camera", 2, figures=(0, 1)),
    Kind("segment_replaced", "camera", 1),
    Kind("segment_removed", "camera", 1),
    # The service.
    Kind("servicer_kill", "servicer", 6, ends_process=True),
    Kind("servicer_stop", "servicer", 3, ends_process=True),
    # The robot; one at a time.
    Kind("robot_reboot", "robot", 2, hold_s=(0.5, 3)),
    Kind("robot_silent", "robot", 2, hold_s=(2, 7)),
    Kind("robot_401", "robot", 1, hold_s=(2, 5)),
    Kind("robot_tokens", "robot", 1),
    Kind("robot_busy", "robot", 1, hold_s=(2, 5)),
    Kind("robot_slow", "robot", 1, hold_s=(3, 6), figures=(0.1, 0.8), shown="{:.1f} s an answer"),
    Kind("robot_clock", "robot", 2, figures=(-200, 200), shown="by {:+.0f} s"),
    Kind("robot_forgets_service", "robot", 1),
    Kind("robot_forgets_faults", "robot", 1),
    Kind("fault_service_down", "robot", 2, hold_s=(3, 8)),
    Kind("fault_service_silent", "robot", 1, hold_s=(3, 8)),
    # Clients; nobody else may notice.
    Kind("stopped_clients", "nobody", 2, hold_s=(3, 12), figures=(2, 6), shown="{:.0f} of them"),
    Kind("many_entries", "nobody", 2, figures=(33, 100_000), shown="{:.0f} entries"),
    Kind("large_request", "nobody", 2, figures=(260, 900), shown="{:.0f} kB"),
    Kind("odd_request", "nobody", 3, figures=(0, 7)),
    Kind("raw_bytes", "nobody", 2, figures=(1, 20_000), shown="{:.0f} bytes"),
    Kind("silent_connections", "nobody", 1, hold_s=(2, 6), figures=(20, 150), shown="{:.0f} of them"),
    # The supervisor.
    Kind("reload_same", "nobody", 1),
    Kind("reload_nonsense", "nobody", 1),
    Kind("supervisor_kill", "supervisor", 0, figures=(0, 5), ends_process=True),
)
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True)
class Injection:
    """One line of the plan. `at_s` counts from the start of the chaos."""

    index: int
    at_s: float
    kind: str
    target: str
    hold_s: float
    figure: float

    def __str__(self) -> str:
        hold = f"for {self.hold_s:.1f} s" if self.hold_s else ""
        figure = f"({BY_NAME[self.kind].shown.format(self.figure)})" if BY_NAME[self.kind].shown else ""
        words = " ".join(filter(None, (self.target, hold, figure)))
        return f"{self.at_s:8.2f}  #{self.index:<4d} {self.kind:<22s} {words}".rstrip()


def plan(
    seed: int, duration_s: float, *, only: Collection[str] = (), without: Collection[str] = ()
) -> tuple[Injection, ...]:
    """Draw the whole plan. `only` these kinds, and none that needs what is `without`."""
    kinds = [kind for kind in KINDS if kind.needs not in without or not kind.needs]
    if only:
        kinds = [kind for kind in kinds if kind.name in only]
    return tuple(_Planner(random.Random(seed), kinds, forced=bool(only)).draw(duration_s))  # noqa: S311  no secrecy


class _Planner:
    def __init__(self, rng: random.Random, kinds: Sequence[Kind], *, forced: bool) -> None:
        self._rng = rng
        self._kinds = kinds
        self._forced = forced  # what was chosen by hand comes, whatever its weight
        self._busy_until: dict[str, float] = {}
        self._focus, self._focus_until, self._ends = "", 0.0, 0
        self._since_supervisor = 0

    def draw(self, duration_s: float) -> Iterator[Injection]:
        at_s, index = self._rng.uniform(*_GAP_S), 0
        while at_s < duration_s:
            self._turn_focus(at_s)
            if choice := self._choose(at_s):
                yield self._injection(index, at_s, *choice)
                index += 1
            at_s += self._rng.uniform(*_GAP_S)

    def _turn_focus(self, at_s: float) -> None:
        if at_s < self._focus_until:
            return
        others = [target for target in (*CAMERAS, "servicer") if target != self._focus]
        self._focus, self._ends = self._rng.choice(others), 0
        self._focus_until = at_s + self._rng.uniform(*_PHASE_S)

    def _choose(self, at_s: float) -> tuple[Kind, str] | None:
        self._since_supervisor += 1
        possible = [(kind, target) for kind in self._kinds for target in self._targets(kind, at_s)]
        if not possible:
            return None
        weights = [self._weight(kind) / len(self._targets(kind, at_s)) for kind, _ in possible]
        return self._rng.choices(possible, weights)[0]

    def _weight(self, kind: Kind) -> float:
        if kind.about == "supervisor" and not self._forced:
            return 12.0 if self._since_supervisor >= _SUPERVISOR_EVERY else 1e-9
        return kind.weight or 1.0

    def _targets(self, kind: Kind, at_s: float) -> list[str]:
        """Who this kind can be done to now."""
        wanted = {"camera": kind.cameras, "nobody": ("",)}.get(kind.about, (kind.about,))
        free = [target for target in wanted if self._busy_until.get(target, 0.0) <= at_s]
        if kind.ends_process and kind.about in ("camera", "servicer"):
            free = [target for target in free if target == self._focus and self._ends < _MOST_ENDS_PER_PHASE]
        return free

    def _injection(self, index: int, at_s: float, kind: Kind, target: str) -> Injection:
        hold_s = self._rng.uniform(*kind.hold_s)
        figure = self._rng.uniform(*kind.figures)
        if target:
            self._busy_until[target] = at_s + hold_s + self._rest_s(kind)
        if kind.ends_process:
            self._ends += 1
        if kind.about == "supervisor":
            self._since_supervisor = 0
            for part in (*CAMERAS, "servicer", "supervisor"):
                self._busy_until[part] = at_s + _RESTART_S
        return Injection(index, round(at_s, 3), kind.name, target, round(hold_s, 3), round(figure, 3))

    def _rest_s(self, kind: Kind) -> float:
        if kind.about == "robot":
            return _ROBOT_REST_S
        if kind.ends_process:
            return self._rng.choice((0.0, _LONG_REST_S))
        return _REST_S if kind.hold_s[1] else 0.0

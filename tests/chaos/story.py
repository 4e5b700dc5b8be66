"""A pipeline in order, told to the judges fact by fact; a test changes what it wants to be seen."""

from typing import Any

from chaos.facts import (
    ROBOT,
    CallSeen,
    Camera,
    ChildSeen,
    Fact,
    ImageSeen,
    Injected,
    IntruderSeen,
    LogSeen,
    Over,
    ProcessSeen,
    RingSeen,
    RobotSeen,
    SegmentsSeen,
    Tick,
    WritersSeen,
)
from chaos.judges import Judges
from chaos.tally import Count

FPS = 10.0
CAMERAS = (Camera("front", FPS, 0.5, 3.0), Camera("rear", FPS, 0.5, 3.0))
PIDS = {"front": 11, "rear": 12, "servicer": 13}
SUPERVISOR_PID = 10
REFUSED = ("Image Clients Refused",)


class Story:
    """Time passes in steps of one frame. `broken` cameras deliver nothing; `faults` is what the robot shows.

    Their words are in `texts`; `missing` are the files named there that nobody has seen.
    """

    def __init__(self) -> None:
        self.judges = Judges(CAMERAS)
        self.t = 1000.0
        self.broken: set[str] = set()
        self.faults: tuple[str, ...] = REFUSED
        self.texts: dict[str, str] = {}
        self.missing: tuple[str, ...] = ()
        self.epochs = dict.fromkeys(("front", "rear"), 1)
        self.answers = True
        for name, pid in PIDS.items():
            self.tell(self.child(name, pid))
        self.tell(IntruderSeen(self.t, "PERMISSION_DENIED", 400))

    def tell(self, *facts: Fact) -> None:
        """Tell the judges something."""
        for fact in facts:
            self.judges.take(fact)

    def child(self, name: str, pid: int | None, state: str = "running", **fields: Any) -> ChildSeen:
        """The board's line about a child, now."""
        values = {"restarts": 0, "last_exit": None, "next_start": None, **fields}
        return ChildSeen(self.t, SUPERVISOR_PID, name, pid, state, self.t, **values)

    def image(self, source: str = "front", *, client: str = "direct-0", age: float = 0.05, **fields: Any) -> ImageSeen:
        """A good image of a frame that was captured so long ago."""
        number = int((self.t - age) * FPS)
        acquired = round((number / FPS + 5000) * 1e9)
        good = {"number": number, "assembled": self.t - 0.01, "acquired_ns": acquired, "data_bytes": 10_000}
        return ImageSeen(self.t, client, source, self.t - 0.03, **{"ok": True, **good, **fields})

    def call(self, took: float = 0.03, deadline: float = 2.0, *, by_proxy: bool = False) -> CallSeen:
        """A call that ended now."""
        return CallSeen(self.t, "direct-0", self.t - took, deadline, "OK", by_proxy)

    def inject(self, index: int, kind: str, target: str, *, ends: bool = False, over: bool = True) -> None:
        """A fault is done to one part; a robot's fault is called so."""
        part = ROBOT if target == "robot" else target
        self.tell(Injected(self.t, index, kind, target, (part,) if part else (), ends))
        if over:
            self.tell(Over(self.t, index))

    def restart(self, name: str, pid: int, how: str = "signal SIGKILL", wait_s: float = 0.0) -> None:
        """A child's process ends now, and the next one starts."""
        self.tell(self.child(name, None, "waiting", last_exit=how, next_start=self.t + wait_s))
        self.tell(self.child(name, pid, "starting", last_exit=how, restarts=1))
        self.epochs[name] = pid

    def pass_time(self, seconds: float) -> None:
        """Everything that is not broken works for so long."""
        for _ in range(round(seconds * FPS)):
            self.t += 1 / FPS
            for camera in CAMERAS:
                self._deliver(camera.name)
            self.tell(self.call(), Tick(self.t), IntruderSeen(self.t, "PERMISSION_DENIED", 400))
            self.tell(self.robot())
            if round(self.t * FPS) % 20 == 0:
                self._look_at_resources()

    def robot(self) -> RobotSeen:
        """What the robot shows now."""
        texts = {name: self.texts.get(name, "") for name in self.faults}
        return RobotSeen(self.t, self.answers, True, texts, round(self.t / 2), self.missing)

    def _deliver(self, name: str) -> None:
        if name in self.broken:
            return
        number = int(self.t * FPS + 1e-6)
        self.tell(RingSeen(self.t, name, self.epochs[name], number, number / FPS), self.image(name))

    def _look_at_resources(self) -> None:
        for name, pid in {**PIDS, "supervisor": SUPERVISOR_PID}.items():
            self.tell(ProcessSeen(self.t, name, pid, 20, 4, 60.0))
        self.tell(
            WritersSeen(self.t, "front", 77, (11,)), SegmentsSeen(self.t, 20.0, 30.0), LogSeen(self.t, 30, 5, "x")
        )

    def count(self, invariant: str) -> Count:
        """What the judges have counted."""
        self.judges.finish()
        return self.judges.tally.counts[invariant]

    def violated(self) -> set[str]:
        """The invariants that did not hold."""
        self.judges.finish()
        return {name for name, count in self.judges.tally.counts.items() if count.violations}

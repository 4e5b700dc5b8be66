"""All judges over one world: facts go in, verdicts come out."""

from collections.abc import Iterable
from typing import Any

from chaos.facts import Camera, Fact, LoadSeen
from chaos.judge_cameras import CameraJudge
from chaos.judge_images import ImageJudge
from chaos.judge_resources import ResourceJudge
from chaos.judge_robot import RobotJudge
from chaos.judge_words import WordsJudge
from chaos.tally import Tally
from chaos.world import Episode, World


class Judges:
    """Feed every fact to `take`, in the order in which they became known."""

    def __init__(self, cameras: Iterable[Camera]) -> None:
        self.tally = Tally()
        self.world = World(cameras)
        self._resources = ResourceJudge(self.world, self.tally)
        self._loads: list[LoadSeen] = []
        self._judges = (
            ImageJudge(self.world, self.tally),
            CameraJudge(self.world, self.tally),
            RobotJudge(self.world, self.tally),
            WordsJudge(self.world, self.tally),
            self._resources,
        )

    def take(self, fact: Fact) -> None:
        """Judge one fact."""
        if isinstance(fact, LoadSeen):
            self._loads.append(fact)
        self.world.take(fact)
        for judge in self._judges:
            judge.judge(fact)

    def finish(self) -> dict[str, Any]:
        """Judge what can only be judged at the end, and return everything for the report."""
        self._resources.finish()
        return {
            **self.tally.as_dict(),
            "recoveries": [_recovery(episode) for episode in self.world.finished if episode.fault.concerns],
            "own_cores": [load.own_cores for load in self._loads],
            "other_cores": [load.other_cores for load in self._loads],
            "not_recovered": [
                f"#{e.fault.index} {e.fault.kind} {e.fault.target}" for e in self.world.pending if e.fault.index >= 0
            ],
        }


def _recovery(episode: Episode) -> dict[str, Any]:
    fault = episode.fault
    since = fault.t if fault.kind in ("hang", "stop", "servicer_stop") else max(fault.t, episode.over or 0.0)
    return {"kind": fault.kind, "target": fault.target, "took_s": round((episode.recovered or since) - since, 3)}

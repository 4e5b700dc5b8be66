"""How long the supervisor waits for what. Seconds; the tests shorten some of them, no file configures them."""

from dataclasses import dataclass, field

from shm.records import Kind


def _stop_graces() -> dict[Kind, float]:
    # Together below the 5 s in which an orderly stop must end: these three wait one after the other. The servicer says
    # goodbye to the robot for up to 1.5 s, and then lets calls end for up to 1 s.
    return {"servicer": 2.75, "camera": 1.2, "simulated_robot": 0.5}


@dataclass(frozen=True)
class Timing:
    """The defaults hold on the slowest supported computer, a payload with several cameras."""

    startup_s: float = 60.0  # the first promise, made in the child's name: Python and OpenCV from a cold, busy disk
    slack_s: float = 0.25  # beyond a promise: children leave out beats that follow each other within 0.1 s
    stack_s: float = 0.2  # from SIGUSR1 to SIGKILL: faulthandler writes in microseconds once it is scheduled
    unkillable_s: float = 2.0  # after SIGKILL: whoever is still there is held by a driver
    well_s: float = 2.0  # of kept promises with frames: the error is over
    forgiven_s: float = 60.0  # of the same: earlier failures no longer delay a restart
    stop_grace_s: dict[Kind, float] = field(default_factory=_stop_graces)
    stop_s: float = 4.8  # the whole stop: what is left then cannot be killed

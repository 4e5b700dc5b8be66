"""What clients get: whole, fresh, of the right camera, in order, in time; strangers nothing (I1-I4, I6, I13)."""

from chaos.facts import ROBOT, SERVICER, SUPERVISOR, CallSeen, Camera, Fact, ImageSeen, Injected, IntruderSeen
from chaos.tally import Tally
from chaos.world import World

ASSEMBLY_S = 0.05  # between the service's last look at a frame's age and the time that its header says
CALL_S, CALL_SLACK_S = 2.0, 0.25  # beyond: the way through gRPC twice, on two busy cores
PROXY_SLACK_S = 0.25  # and through the robot's proxy
REFUSAL_BYTES = 2048  # what a refusal takes on the wire; no picture is so small
_CLOCK_STEP_S = 1.0  # docs/decisions/0005: times follow a robot's clock that goes back further
_REFUSED = ("PERMISSION_DENIED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


class ImageJudge:
    """Judges every picture and every call."""

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._last: dict[tuple[str, str], tuple[int, int]] = {}
        self._steps_back: list[tuple[float, float]] = []  # of the robot's clock: when, and how far
        self._used_steps: dict[tuple[str, str], set[float]] = {}

    def judge(self, fact: Fact) -> None:
        """Look at one fact."""
        match fact:
            case ImageSeen():
                self._judge_image(fact)
            case CallSeen():
                self._judge_time(fact)
            case IntruderSeen():
                leaked = fact.code not in _REFUSED or fact.bytes_back > REFUSAL_BYTES
                self._tally.check("I13", fact.t, f"{fact.code}, {fact.bytes_back} bytes came back" if leaked else None)
            case Injected(kind="robot_clock" | "robot_reboot"):
                self._steps_back.append((fact.t, fact.figure))

    def _judge_image(self, seen: ImageSeen) -> None:
        camera = self._world.cameras.get(seen.source)
        if camera is None:
            return
        if not seen.ok:
            self._note_refusal(seen)
            return
        foreign = seen.flaw.startswith("foreign")
        who = f"{seen.client}: {seen.source}"
        self._tally.check("I1", seen.t, f"{who}: {seen.flaw}" if seen.flaw and not foreign else None)
        self._tally.check("I4", seen.t, f"{who}: {seen.flaw}" if foreign else None)
        if seen.number is not None and not seen.flaw:
            self._judge_age(seen, camera)
            self._judge_order(seen, seen.number, camera)

    def _judge_age(self, seen: ImageSeen, camera: Camera) -> None:
        if self._is_frozen(camera.name, seen.t):  # the picture's own number stands still, its time does not
            self._tally.excuse("I2")
            return
        captured = camera.captured(seen.number or 0)
        ages = {"when it was asked for": seen.asked - captured}
        if seen.assembled is not None:
            ages["when it was answered"] = seen.assembled - captured - ASSEMBLY_S
        old = [f"{age:.3f} s old {when}" for when, age in ages.items() if age > camera.max_age_s]
        if old and self._world.stalled(captured, seen.t):
            self._tally.excuse("I2")
            return
        self._tally.check("I2", seen.t, f"{seen.client}: {seen.source} {seen.number}: {old[0]}" if old else None)

    def _judge_order(self, seen: ImageSeen, number: int, camera: Camera) -> None:
        key = seen.client, seen.source
        old_number, old_ns = self._last.get(key, (0, 0))
        wrong = None
        if number < old_number:
            wrong = f"frame {number} after {old_number}"
        elif seen.acquired_ns < old_ns:
            back_s = (old_ns - seen.acquired_ns) / 1e9
            passed_s = camera.captured(number) - camera.captured(old_number)
            if not self._explain_step(key, back_s, passed_s, seen.t):
                wrong = f"acquired {back_s * 1000:.3f} ms before its predecessor"
        self._last[key] = number, seen.acquired_ns
        self._tally.check("I3", seen.t, f"{seen.client}: {seen.source}: {wrong}" if wrong else None)

    def _explain_step(self, key: tuple[str, str], back_s: float, passed_s: float, t: float) -> bool:
        """Whether the robot's clock was put back so far since; each step explains one jump of each source's times.

        The step was larger than what is seen of it, by the time between the two frames; by less if the first one came
        from a frozen sensor, whose number stands still.
        """
        used = self._used_steps.setdefault(key, set())
        fresh = [(when, figure) for when, figure in self._steps_back if figure < -_CLOCK_STEP_S and when <= t]
        open_steps = [(when, figure) for when, figure in fresh if when not in used]
        most_s = -sum(figure for _, figure in open_steps) + _CLOCK_STEP_S
        if back_s + passed_s < _CLOCK_STEP_S or back_s > most_s:
            return False
        used.update(when for when, _ in open_steps)
        return True

    def _judge_time(self, call: CallSeen) -> None:
        limit_s = min(call.deadline, CALL_S) + CALL_SLACK_S + (PROXY_SLACK_S if call.by_proxy else 0.0) + call.stall
        took_s = call.t - call.asked
        late = took_s > limit_s
        parts = (SERVICER, SUPERVISOR, ROBOT) if call.by_proxy else (SERVICER, SUPERVISOR)
        explained = any(self._world.concerned(part, call.asked, call.t) for part in parts)
        if late and (explained or self._world.stalled(call.asked, call.t)):
            self._tally.excuse("I6")
            return
        text = f"{call.client}: {took_s:.2f} s with a deadline of {call.deadline:g} s ({call.code})"
        self._tally.check("I6", call.t, text if late else None)
        if not explained:
            self._tally.note("calls that failed without a reason", call.t, text if call.code != "OK" else None)

    def _note_refusal(self, seen: ImageSeen) -> None:
        """No invariant says that there is an image; but somebody should ask why not, if nothing was done to it."""
        parts = (seen.source, SERVICER, SUPERVISOR)
        explained = any(self._world.concerned(part, seen.asked - 1.0, seen.t) for part in parts)
        if not explained:
            self._tally.note("images that were refused without a reason", seen.t, f"{seen.source}: {seen.reason}")

    def _is_frozen(self, camera: str, t: float) -> bool:
        max_age_s = self._world.cameras[camera].max_age_s
        return any(
            episode.fault.kind == "freeze" and (episode.over is None or t - episode.over < 2 * max_age_s)
            for episode in self._world.of(camera)
        )

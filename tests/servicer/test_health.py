"""Which faults follow from what the status board says and from how old the frames are."""

import logging
import os
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicer import health as health_module
from servicer.camera_health import CameraHealth
from servicer.fault import (
    CAPTURE_FAULT,
    DECODE_FAULT,
    PEERS_FAULT,
    RESTART_FAULT,
    TIME_SYNC_FAULT,
    WARNING_FAULT,
    is_ours,
)
from servicer.health import Health
from servicer.image_request import Wanted
from servicer.peers import AllowedPeers
from servicer.robot_clock import RobotClock
from servicer.served_camera import ServedCamera, Undecodable
from servicer.unexpected import UnexpectedErrors
from shm import ChildRecord, Encoding, Status
from shm.records import State
from supervision import exit_codes
from supervision.camera_settings import CameraSettings

FAULT = CAPTURE_FAULT.format("front")
WARNING = WARNING_FAULT.format("front")
DECODING = DECODE_FAULT.format("front")
POST_MORTEM = "/var/lib/spot-cameras/front.txt"
MAX_AGE_S = 0.5
WORDS_S = 15.25  # after so long a standing fault may have new words
HUNG = "front was silent for 2.0 s and was killed."


@dataclass
class Facts:
    """A newest frame of this age."""

    seconds: float

    def age_s(self) -> float:
        """Seconds since the capture."""
        return self.seconds


@dataclass
class ScriptedCamera:
    """In the place of a ServedCamera: its newest frame is as old as the script says; None: there is none."""

    name: str = "front"
    source_name: str = "front"
    max_age_s: float = MAX_AGE_S
    period_s: float = 0.03
    age_s: float | None = 0.0
    idles: bool = False
    problem: str | None = None
    undecodable: Undecodable | None = None
    whole: bool = True
    frame_number: int = 1
    is_broken: bool = False

    def __post_init__(self) -> None:
        self.unexpected = UnexpectedErrors(self.source_name)

    def newest(self) -> Facts | None:
        """The newest frame."""
        if self.is_broken:
            raise RuntimeError("nobody thought of this")
        return None if self.age_s is None else Facts(self.age_s)

    def fails(self) -> None:
        """A client's picture of the newest frame could not be made."""
        wanted = Wanted(1, 3, 75, 1.0)
        text = "the camera's JPEG cannot be decoded"
        self.undecodable = Undecodable(text, Encoding.JPEG, wanted, self.frame_number)

    def decodes_again(self) -> bool:
        """Try the newest frame."""
        if not self.whole:
            self.fails()
        return self.whole


@dataclass
class Clock:
    """A monotonic clock that goes when it is told to."""

    now_s: float = 100.0

    def monotonic(self) -> float:
        """Stand in for time.monotonic."""
        return self.now_s


@dataclass
class Scene:
    """A health with one camera in it, updated four times a second as the main loop does."""

    clock: Clock
    camera: ScriptedCamera = field(default_factory=ScriptedCamera)
    record: ChildRecord = field(default_factory=lambda: ChildRecord("front", "camera", "running", 0))
    peers: AllowedPeers = field(default_factory=lambda: AllowedPeers([]))
    robot_clock: RobotClock = field(default_factory=lambda: RobotClock(0))
    changes: int = 0

    def __post_init__(self) -> None:
        self.health = Health([self.camera], self.robot_clock, self.peers, self._changed)  # type: ignore[list-item]  # scripted

    def _changed(self) -> None:
        self.changes += 1

    def turn(self, **changes: Any) -> str | None:
        """One turn of the loop with these changes of the record; returns the text of the camera's capture fault."""
        self.record = replace(self.record, **changes)
        self.health.update(Status("tests", 1, 0, (self.record,)))
        self.clock.now_s += 0.25
        return self.text(FAULT)

    def text(self, name: str) -> str | None:
        """What this fault is to say; None if it is not to be shown."""
        fault = self.health.desired_faults.get(name)
        return fault.text if fault else None

    def turns(self, seconds: float, **changes: Any) -> None:
        """Turn for so long."""
        for _ in range(round(seconds / 0.25)):
            self.turn(**changes)

    def seconds_until_cleared(self, most_s: float = 10.0) -> float:
        """Turn until there is no fault, and say how long it took."""
        began_s = self.clock.now_s
        while self.turn() is not None:
            assert self.clock.now_s < began_s + most_s, "the fault stays"
        return self.clock.now_s - began_s


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A camera in good health."""
    clock = Clock()
    monkeypatch.setattr(health_module, "time", clock)
    return Scene(clock)


@pytest.mark.parametrize(
    "trouble",
    [
        {"state": "waiting", "last_exit": "signal SIGKILL", "error_code": "crashed", "error_text": "front crashed."},
        {"state": "waiting", "last_exit": "exit code 69"},
        {"state": "waiting", "last_exit": "signal SIGKILL", "error_code": "hung", "error_text": HUNG},
        {"state": "unkillable", "error_code": "hung", "error_text": HUNG},
        {"state": "refused", "last_exit": "exit code 78"},
        {"state": "starting", "restarts": 1, "last_exit": "signal SIGSEGV"},
        {"state": "running", "restarts": 1, "last_exit": "signal SIGSEGV"},
        {"state": "starting", "error_text": "front: no such device."},
    ],
)
def test_an_unplanned_end_raises_at_once(scene: Scene, trouble: dict[str, Any]) -> None:
    """Even with a fresh last frame, and even if the restart was faster than the look at the board."""
    assert scene.turn() is None
    text = scene.turn(**trouble)
    assert text is not None
    assert text.startswith("front: ")
    assert scene.changes == 1


def test_a_hung_camera_is_told_with_its_end(scene: Scene) -> None:
    """That is a moment later, and then there is a file that says more; a process that does not die has none."""
    hung = {"error_code": "hung", "error_text": HUNG}
    scene.turn()
    assert scene.turn(state="killing", **hung) is None
    text = scene.turn(state="waiting", last_exit="signal SIGKILL", post_mortem=POST_MORTEM, **hung)
    assert text is not None
    assert "hung and was killed" in text
    assert text.endswith(f" details: {POST_MORTEM}")
    scene.turns(3.0, state="killing")  # the last frame of one that is being killed is no health, however fresh
    assert scene.text(FAULT) == text
    assert scene.changes == 1


@pytest.mark.parametrize(
    ("end", "advice"),
    [
        ({"state": "unkillable", "error_code": "hung", "error_text": HUNG}, "Unplug the camera"),
        ({"state": "refused", "error_code": "bad_configuration", "error_text": "no such mode"}, "send SIGHUP"),
    ],
)
def test_what_is_not_over_by_itself_is_told_at_once(scene: Scene, end: dict[str, Any], advice: str) -> None:
    """A minute of "It is tried again by itself" would be a minute of waiting for nothing."""
    scene.turn()
    assert "tried again" in (scene.turn(state="waiting", **CRASHED) or "")
    text = scene.turn(**end) or ""
    assert advice in text
    scene.turns(3.0, state="waiting", **CRASHED)  # and what it says next waits for its minute again
    assert scene.text(FAULT) == text
    assert scene.changes == 2


def test_the_file_is_named_as_soon_as_it_is_known(scene: Scene) -> None:
    """And that of another end is not named at once: the fault would come and go with every end.

    But before the first one is removed, for whoever comes to look after an hour.
    """
    crashed = {"state": "waiting", "error_code": "crashed", "error_text": "ended with signal SIGSEGV"}
    scene.turn()
    first = scene.turn(last_exit="signal SIGSEGV", **crashed) or ""
    assert "details" not in first
    text = scene.turn(post_mortem=POST_MORTEM)
    assert text == f"{first} details: {POST_MORTEM}"
    for path in ("/elsewhere", None, "/newest"):
        scene.turns(WORDS_S, post_mortem=path)
        assert scene.text(FAULT) == text
    scene.turns(1200.0)
    assert scene.text(FAULT) == f"{first} details: /newest"
    assert scene.changes == 3


@pytest.mark.parametrize("end", ["signal SIGKILL", "exit code 143", "signal SIGTERM"])
def test_a_killed_process_is_nobodys_fault(scene: Scene, end: str) -> None:
    """Its driver has done nothing: a person has, or the kernel."""
    scene.turn()
    killed = {"last_exit": end, "error_code": "crashed", "error_text": f"ended with {end}", "post_mortem": POST_MORTEM}
    text = scene.turn(state="waiting", **killed) or ""
    assert "by the kernel if memory ran out" in text
    assert "driver" not in text
    assert text.endswith(POST_MORTEM)


@pytest.mark.parametrize("end", ["exit code 143", exit_codes.HAD_TO_BE_KILLED])
def test_an_end_for_new_settings_is_no_fault(scene: Scene, end: str) -> None:
    """However it had to be ended: a camera that takes long for a frame is killed at each reload."""
    scene.turn()
    for state in ("waiting", "starting", "running"):
        assert scene.turn(state=state, restarts=1, last_exit=end, post_mortem=POST_MORTEM) is None


def test_words_for_a_full_memory_do_not_change_with_every_start(scene: Scene) -> None:
    """They are told at once, but not in turns with others."""
    scene.turn()
    full = {"error_code": "shm_full", "error_text": "no room for 37.4 MB", "last_exit": "exit code 71"}
    taken = {"error_code": "shm_foreign", "error_text": "it belongs to another user", "last_exit": "exit code 71"}
    for _ in range(5):
        scene.turn(state="waiting", **full)
        scene.turn(state="waiting", **taken)
    assert scene.changes == 1


def test_raised_and_over_are_in_the_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Once each with the text and how long it stood; for a camera that comes and goes all day a few times."""
    with caplog.at_level(logging.INFO):
        scene.turns(2.0)
        scene.camera.whole = False
        scene.camera.fails()
        scene.turns(10.0)
        scene.camera.whole = True
        scene.turns(10.0)
        raised = f"fault: {DECODING}: front: the camera's JPEG cannot be decoded."
        assert [line[: len(raised)] for line in caplog.messages] == [raised, f"fault over: {DECODING} after 10 s"]
        for _ in range(100):
            scene.turns(1.0, state="waiting", **CRASHED)
            scene.turns(10.0, state="running")
    assert 4 < len(caplog.records) < 20


def test_an_orderly_end_has_no_file_of_an_earlier_death(scene: Scene) -> None:
    """A worker that was asked to end because it grew too large did not die."""
    grown = {"error_code": "memory", "error_text": "it uses 1100 MB, the limit is 1024 MB"}
    text = scene.turn(state="waiting", last_exit="exit code 143", post_mortem=POST_MORTEM, **grown)
    assert "1100 MB" in (text or "")
    assert "details" not in (text or "")


def test_new_figures_are_not_a_new_fault(scene: Scene) -> None:
    """While it is the same trouble the words stay, or the fault would be cleared and raised at every restart."""
    scene.turn()
    crashed = {"state": "waiting", "error_code": "read_failed"}
    first = scene.turn(error_text="no frame for 1.1 s", **crashed)
    scene.turns(WORDS_S, error_text="no frame for 1.3 s", **crashed)
    assert scene.text(FAULT) == first
    absent = scene.turn(state="waiting", error_code="absent", error_text="there is no device")
    assert absent == "front: there is no device. Check its plug, cable and power. It is tried again by itself."


def test_words_change_seldom(scene: Scene) -> None:
    """Each change is an entry of the robot's fault history; a camera that is in trouble in two ways makes few."""
    scene.turn()
    for _ in range(150):  # 75 s
        for code in ("absent", "open_failed"):
            scene.turn(state="waiting", last_exit="exit code 69", error_code=code, error_text=f"it is {code}")
    assert 2 <= scene.changes <= 1 + 75 / 15


CRASHED = {"last_exit": "signal SIGSEGV", "error_code": "crashed", "error_text": "ended with signal SIGSEGV"}


def test_silence_after_an_end_is_no_news(scene: Scene) -> None:
    """What the camera died of stays, and says more; only a ring that cannot be read is another matter."""
    scene.turn()
    text = scene.turn(state="waiting", **CRASHED)
    scene.camera.age_s = 100.0
    scene.turns(WORDS_S, state="running", restarts=1)
    assert scene.text(FAULT) == text
    scene.camera.problem = "it is no ring: its magic is wrong"
    assert "its magic is wrong" in (scene.turn() or "")


def test_a_pulled_plug_is_one_fault(scene: Scene) -> None:
    """Its last words before the end, the end, and what the next processes find are one trouble."""
    failed = {"error_code": "read_failed", "error_text": "no frame for 1.6 s, failed reads in a row: 6"}
    absent = {"error_code": "absent", "error_text": "there is no /dev/video2"}
    scene.turn()
    scene.camera.age_s = 1.6
    assert scene.turn(**failed) is None
    for number in range(1, 10):
        scene.camera.age_s += 1.0
        scene.turn(state="waiting", last_exit="exit code 69", restarts=number, **(failed if number == 1 else absent))
        scene.turn(state="starting")
    assert scene.changes == 1
    assert list(scene.health.desired_faults) == [FAULT]


def test_a_slow_camera_is_not_warned_of_after_a_crash(scene: Scene) -> None:
    """The supervisor keeps the crash until there were frames for two seconds: at 0.2 fps that is long."""
    scene.camera.period_s, scene.camera.max_age_s = 5.0, 15.0
    scene.turn()
    scene.turn(state="waiting", **CRASHED)
    scene.turns(10.0, state="running", restarts=1)
    assert WARNING not in scene.health.desired_faults
    assert scene.changes == 2


def test_an_unexpected_error_of_one_camera_ends_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The others are looked at, what it shows stays, and it is logged once."""
    scene.health = Health([scene.camera, ScriptedCamera("rear", "rear", age_s=None)], RobotClock(0), scene.peers, list)  # type: ignore[list-item, arg-type]  # scripted
    scene.turn(state="waiting", **CRASHED)
    scene.camera.is_broken = True
    with caplog.at_level(logging.ERROR):
        scene.turns(5.0, state="running")
    assert set(scene.health.desired_faults) == {FAULT, CAPTURE_FAULT.format("rear")}
    assert [one.levelname for one in caplog.records].count("ERROR") == 1


def test_without_a_record_silence_is_still_a_fault(instance: str) -> None:
    """Whoever removed the board may have removed the ring as well."""
    health = CameraHealth(ServedCamera(instance, "front", CameraSettings(driver="synthetic"), RobotClock(None)))
    health.update(None, 0.0)
    assert health.fault is not None
    assert "no new frames" in health.fault.text


def test_a_crash_is_explained_by_how_the_process_ended(scene: Scene) -> None:
    """The signal, when the worker itself could say nothing."""
    scene.turn()
    assert "signal SIGSEGV" in (scene.turn(state="starting", restarts=1, last_exit="signal SIGSEGV") or "")


@pytest.mark.parametrize(("max_age_s", "silence_s"), [(MAX_AGE_S, 4.0), (10.0, 11.0)])
def test_silence_alone_is_a_fault_later_than_an_end(scene: Scene, max_age_s: float, silence_s: float) -> None:
    """What hangs or cannot read is ended within that time, and then there is more to say."""
    scene.camera.max_age_s = max_age_s
    scene.camera.age_s = silence_s - 0.1
    assert scene.turn() is None
    scene.camera.age_s = silence_s + 0.1
    assert "no new frames" in (scene.turn() or "")


@pytest.mark.parametrize("fps", [0.2, 0.5, 1, 3, 5, 15, 30, 200])
def test_a_camera_that_captures_for_a_client_is_not_silent(scene: Scene, fps: float) -> None:
    """A worker gives a client's parameters 0.3 s or four periods, and the frame after them takes one (I11)."""
    scene.camera.period_s, scene.camera.max_age_s = 1 / fps, max(0.5, 3 / fps)
    scene.camera.age_s = max(0.3, 4 / fps) + 1 / fps
    assert scene.turn(state="running") is None
    scene.camera.age_s = max(4.0, scene.camera.max_age_s + 1.0, 6 / fps) + 0.1
    assert "no new frames" in (scene.turn() or "")


def test_a_long_story_is_cut_and_what_to_do_is_not(scene: Scene) -> None:
    """The rest of it is on the status board, and what clients read."""
    story = "the class raised ValueError: " + "x" * 500
    text = scene.turn(state="waiting", error_code="open_failed", error_text=story) or ""
    assert "the class raised ValueError: xxx" in text
    assert "…. Check its settings" in text
    assert len(text) <= 230
    assert scene.health.why_silent("front") == story


def test_a_ring_that_cannot_be_read_is_the_reason(scene: Scene) -> None:
    """A segment that is no ring, or somebody else's: what is wrong with it is said instead of the camera's age."""
    scene.camera.age_s, scene.camera.problem = None, "/dev/shm/x.cam.front belongs to another user: remove it"  # noqa: S108
    assert scene.turn() == f"front: {scene.camera.problem}."


def test_a_running_camera_without_a_frame_is_silent(scene: Scene) -> None:
    """It said that it is ready, and there is nothing in its ring."""
    scene.camera.age_s = None
    assert scene.turn() is not None


def test_health_clears_after_two_seconds(scene: Scene) -> None:
    """Not before, and a relapse begins the two seconds anew."""
    scene.camera.age_s = 5.0
    assert scene.turn() is not None
    scene.camera.age_s = 0.0
    for _ in range(6):
        assert scene.turn() is not None
    scene.camera.age_s = MAX_AGE_S + 0.1  # late: no health, though no reason to raise a fault
    assert scene.turn() is not None
    scene.camera.age_s = 0.0
    for _ in range(6):
        assert scene.turn() is not None
    scene.turn(state="waiting", last_exit="exit code 69")
    scene.turn(state="running")
    assert 2.0 <= scene.seconds_until_cleared() <= 2.5


def test_a_camera_that_fails_every_three_seconds_has_one_fault(scene: Scene) -> None:
    """After the first relapse the fault stays until the camera has worked for 3.5 s; still below 5 s (I11)."""
    scene.turn()
    for restarts in range(1, 10):
        scene.turn(state="waiting", restarts=restarts, last_exit="signal SIGSEGV", error_text="ended with SIGSEGV")
        scene.turns(3.0, state="running", error_text=None)
    assert scene.changes == 3  # raised, cleared, and raised for the time being
    assert scene.text(FAULT) is not None
    assert scene.seconds_until_cleared() <= 1.5
    for well_s, proof_s in [(30, 3.5), (61, 2.0)]:  # a minute later it is as if nothing had been
        scene.turns(well_s)
        scene.turn(state="waiting", last_exit="exit code 69")
        scene.turn(state="running")
        assert proof_s - 0.5 <= scene.seconds_until_cleared() <= proof_s + 0.5


def test_a_camera_that_hangs_every_few_seconds_has_one_fault(scene: Scene) -> None:
    """It works for three seconds; that its last frame then ages before anybody can tell is no fourth one."""
    hung = {"error_code": "hung", "error_text": HUNG}
    scene.turn()
    for restarts in range(1, 10):
        scene.camera.age_s = 0.0
        scene.turns(3.25, state="running")  # frames of 0, 0.25, … 3.0
        for quarter in range(1, 14):
            scene.camera.age_s = quarter / 4
            scene.turn()
        scene.turn(state="killing", **hung)
        scene.turn(state="waiting", last_exit="signal SIGKILL", restarts=restarts, post_mortem=POST_MORTEM, **hung)
        scene.turn(state="starting")
    assert scene.changes == 3  # raised, cleared, and raised for the time being


def test_starting_at_boot_raises_nothing(scene: Scene) -> None:
    """Not waiting for its turn, not opening its device, and no frame yet."""
    scene.camera.age_s = None
    for state in ("waiting", "starting", "starting"):
        assert scene.turn(state=state) is None
    scene.camera.age_s = 0.0
    assert scene.turn(state="running") is None


def test_a_finished_video_raises_nothing_and_clears_what_was(scene: Scene) -> None:
    """Its end was planned, however old its last frame grows; nothing of it will get better or worse."""
    scene.camera.age_s = 5.0
    assert scene.turn() is not None
    assert scene.turn(state="finished", last_exit="exit code 0") is None
    scene.camera.age_s = 1000.0
    assert scene.turn() is None
    assert scene.turn(state="stopping") is None


def test_a_planned_restart_raises_nothing(scene: Scene) -> None:
    """A worker that was asked to end, and starts again with new settings, is no fault."""
    scene.turn()
    assert scene.turn(state="stopping") is None
    scene.camera.age_s = 1.0
    assert scene.turn(state="waiting", last_exit="exit code 143") is None
    assert scene.turn(state="starting", restarts=1) is None
    scene.camera.age_s = 0.0
    assert scene.turn(state="running") is None
    assert scene.changes == 0


def test_without_a_board_the_last_records_count(scene: Scene) -> None:
    """The supervisor is away for a moment: what is broken stays broken."""
    scene.turn(state="waiting", last_exit="signal SIGKILL")
    scene.health.update(None)
    assert FAULT in scene.health.desired_faults


def test_why_a_camera_is_silent_is_known_from_its_record(scene: Scene) -> None:
    """The error text where there is one, nothing for a camera that works or is unknown."""
    scene.turn()
    assert scene.health.why_silent("front") is None
    assert scene.health.why_silent("rear") is None
    scene.turn(
        state="killing", error_text="front was silent for 2.0 s (kernel state S); raise it", post_mortem=POST_MORTEM
    )
    assert scene.health.why_silent("front") == "front was silent for 2.0 s; raise it"  # the rest is for developers
    scene.turn(error_text=HUNG)
    assert scene.health.why_silent("front") == HUNG
    scene.turn(state="starting", error_text=None, last_exit=None)
    assert scene.health.why_silent("front") == "front is starting."
    scene.turn(state="finished")
    assert scene.health.why_silent("front") == "front has ended."


def test_refused_callers_are_one_fault(scene: Scene) -> None:
    """It names them, and is not raised anew for each: a scanner with many addresses is not many faults."""
    scene.turn()
    for peer in ("ipv4:10.0.0.1:5", "ipv4:10.0.0.2:6", "ipv4:10.0.0.1:7"):
        scene.peers.admit(peer)
    scene.turn()
    assert list(scene.health.desired_faults) == [PEERS_FAULT]
    assert "10.0.0.1, 10.0.0.2 were" in (scene.text(PEERS_FAULT) or "")
    assert scene.changes == 1
    for number in range(3, 12):
        scene.peers.admit(f"ipv4:10.0.0.{number}:5")
        scene.turn()
    assert scene.changes == 1
    scene.turns(WORDS_S)
    assert "10.0.0.1, 10.0.0.2, 10.0.0.3 and others" in (scene.text(PEERS_FAULT) or "")
    assert scene.changes == 2


@pytest.mark.parametrize("age_s", [None, 1000.0])
def test_silence_of_a_camera_that_nobody_asks_is_no_fault(scene: Scene, age_s: float | None) -> None:
    """It captures when it is asked; one that ends is a fault all the same, and is well again two seconds later."""
    scene.camera.idles, scene.camera.age_s = True, age_s
    for _ in range(20):
        assert scene.turn() is None
    assert scene.turn(state="waiting", last_exit="exit code 69", error_text="front: no such device.") is not None
    scene.turn(state="running", error_text=None)
    assert 1.5 <= scene.seconds_until_cleared() <= 2.5


def test_bad_parameters_in_the_configuration_are_told(scene: Scene) -> None:
    """The worker ends at once, and is not started again: its sentence is in the fault's, and what to do."""
    text = "of its configuration: 'gain' is 99.0; the most is 24.0"
    refused = scene.turn(state="refused", last_exit="exit code 78", error_code="parameters", error_text=text)
    assert text in (refused or "")
    assert "send SIGHUP" in (refused or "")
    assert "tried again" not in (refused or "")


TROUBLES = {
    "parameters": "gain: the driver makes 3 of it",
    "frozen": "the picture has not changed since 12:00:00 UTC",
    "shm_foreign": "the socket belongs to another user",
}


@pytest.mark.parametrize("code", TROUBLES)
def test_a_camera_that_delivers_may_complain(scene: Scene, code: str) -> None:
    """It has a fault of another name, for it delivers; its words stay until the supervisor takes its error back."""
    scene.turn()
    scene.turn(error_code=code, error_text=TROUBLES[code])
    assert list(scene.health.desired_faults) == [WARNING]
    text = scene.text(WARNING)
    scene.turn(error_text=TROUBLES[code].replace("3", "4").replace("12:00:00", "12:00:01"))
    assert scene.text(WARNING) == text
    scene.turn(error_code=None, error_text=None)
    assert scene.text(WARNING) is None
    assert scene.changes == 2


def test_what_a_dead_process_said_is_no_warning_about_the_next(scene: Scene) -> None:
    """Its error stands until the new process has worked for two seconds; a new one that goes on saying it is heard."""
    foreign = {"error_code": "shm_foreign", "error_text": TROUBLES["shm_foreign"]}
    scene.turn()
    scene.turn(state="waiting", last_exit="exit code 71", **foreign)
    scene.turn(state="starting", restarts=1)
    scene.turns(2.5, state="running")
    assert scene.text(WARNING) is None
    scene.turns(1.0)
    assert scene.text(WARNING) is not None
    scene.turn(state="killing")
    assert scene.text(WARNING) is None


def test_a_new_servicer_believes_what_it_finds(scene: Scene) -> None:
    """It has not seen the process before: else the fault on the robot would be cleared, and raised again."""
    scene.turn(error_code="frozen", error_text=TROUBLES["frozen"])
    assert scene.text(WARNING) is not None


def test_a_picture_that_cannot_be_made_is_a_fault_until_it_can(scene: Scene) -> None:
    """It has a name of its own, stays while the newest frame fails, and goes after two seconds without a failure."""
    scene.turn()
    scene.camera.whole = False
    scene.camera.fails()
    scene.turns(2.0)
    assert scene.text(DECODING) is None
    scene.turns(0.5)
    assert "the camera's JPEG cannot be decoded" in (scene.text(DECODING) or "")
    scene.turns(5.0)
    assert scene.text(DECODING) is not None
    scene.camera.whole = True
    scene.turns(1.0)
    scene.camera.fails()  # another client's, meanwhile
    began_s = scene.clock.now_s
    while scene.text(DECODING) is not None:
        assert scene.clock.now_s < began_s + 10
        scene.turn()
    assert 2.0 <= scene.clock.now_s - began_s <= 3.0
    assert scene.camera.undecodable is None
    assert scene.changes == 2


@pytest.mark.parametrize("every", [2, 3])
def test_three_broken_frames_are_a_fault(scene: Scene, every: int) -> None:
    """Good ones between them do not excuse them, and do not take it back until there are two seconds of them."""
    scene.camera.fails()
    for number in range(2, 40):
        scene.camera.frame_number, scene.camera.whole = number, number % every != 0
        scene.turn()
    assert scene.text(DECODING) is not None
    assert scene.changes == 1


@pytest.mark.parametrize("clients", [1, 5])
def test_one_broken_frame_among_good_ones_is_no_fault(scene: Scene, clients: int) -> None:
    """However many clients asked for it, and however long it was the newest one of a slow camera."""
    scene.camera.period_s, scene.camera.max_age_s = 1.0, 3.0
    for number in range(0, 100, 10):
        scene.camera.frame_number, scene.camera.whole = number, False
        for _ in range(clients):
            scene.camera.fails()
            scene.turn()
        scene.camera.frame_number, scene.camera.whole = number + 1, True
        scene.turns(3.0)
        assert scene.camera.undecodable is None
    assert scene.changes == 0


def test_a_broken_last_frame_is_no_decoding_fault(scene: Scene) -> None:
    """The camera is silent since then, and that is what the operator is told."""
    scene.camera.whole = False
    scene.camera.fails()
    scene.turn()
    scene.camera.age_s = 100.0
    scene.turns(10.0)
    assert list(scene.health.desired_faults) == [FAULT]


def test_the_broken_last_frame_of_a_video_is_over_with_it(scene: Scene) -> None:
    """There will be no better one."""
    scene.camera.whole = False
    scene.camera.fails()
    scene.turns(2.5)
    assert list(scene.health.desired_faults) == [DECODING]
    scene.turn(state="finished", last_exit="exit code 0")
    assert (scene.health.desired_faults, scene.camera.undecodable) == ({}, None)


def service(restarts: int = 1, last_exit: str | None = "signal SIGKILL", **facts: Any) -> ChildRecord:
    """The service's own record, while this process starts."""
    known = ChildRecord("servicer", "servicer", "starting", 0, pid=os.getpid(), restarts=restarts, last_exit=last_exit)
    return replace(known, **facts)


ENDS: dict[str, tuple[dict[str, Any], str]] = {
    "crashed": ({"error_code": "crashed", "error_text": "ended with signal SIGKILL"}, "ended with signal SIGKILL"),
    "hung": ({"error_code": "hung", "error_text": "silent for 5.3 s"}, "hung and was killed"),
    "said nothing": ({}, "ended unexpectedly (signal SIGKILL)"),
    "grew": ({"last_exit": "exit code 143", "error_code": "memory", "error_text": "it uses 1100 MB"}, "1100 MB"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_service_that_ended_unplanned_is_told_until_it_was_seen(scene: Scene, end: str) -> None:
    """By the new process, from the board; two seconds after the robot has shown it, it is a past fault."""
    facts, words = ENDS[end]
    status = Status("tests", 1, 0, (scene.record, service(post_mortem=POST_MORTEM, **facts)))
    scene.health.update(status)
    fault = scene.health.desired_faults[RESTART_FAULT]
    assert (words in fault.text, fault.severity) == (True, "info")
    assert (POST_MORTEM in fault.text) is (end != "grew")  # that one ended in an orderly way: the file is older
    for _ in range(100):  # the robot is away
        scene.clock.now_s += 0.25
        scene.health.update(Status("tests", 1, 0, (scene.record, service(error_code=None, error_text=None))))
    assert scene.health.desired_faults[RESTART_FAULT] == fault
    shown_s = scene.clock.now_s
    while RESTART_FAULT in scene.health.desired_faults:
        assert scene.clock.now_s < shown_s + 10
        scene.health.update(status, [RESTART_FAULT])
        scene.clock.now_s += 0.25
    assert 2.0 <= scene.clock.now_s - shown_s <= 2.5
    for _ in range(20):
        scene.health.update(status, [])
        scene.clock.now_s += 0.25
    assert RESTART_FAULT not in scene.health.desired_faults


@pytest.mark.parametrize(
    "record",
    [
        service(0, None),
        service(1, "exit code 143"),  # for a changed configuration, or a new simulated robot
        service(0, None, error_code="port_in_use", error_text="a predecessor's"),
        service(1, pid=1),  # not about this process: the board is behind
        replace(service(), kind="camera"),
    ],
)
def test_a_planned_start_of_the_service_is_no_fault(scene: Scene, record: ChildRecord) -> None:
    """Neither the first one, nor one that was asked for."""
    scene.health.update(Status("tests", 1, 0, (scene.record, record)))
    assert RESTART_FAULT not in scene.health.desired_faults


def test_a_lost_time_sync_is_a_fault_until_it_is_back(scene: Scene) -> None:
    """Whether images are served meanwhile depends on whether there ever was one."""
    scene.turn()
    scene.robot_clock.sync_is_lost = True
    scene.turn()
    assert "Images are served" in (scene.text(TIME_SYNC_FAULT) or "")
    scene.robot_clock.offset_ns = None
    scene.turns(WORDS_S)
    assert "No images" in (scene.text(TIME_SYNC_FAULT) or "")
    scene.robot_clock.set_skew(0, 0)
    scene.turn()
    assert scene.text(TIME_SYNC_FAULT) is None


def test_faults_name_the_source_as_clients_know_it(scene: Scene) -> None:
    """The operator finds in the fault what the tablet shows; the board's record goes by the camera's own name."""
    camera = ScriptedCamera(source_name="Front 1", whole=False)
    camera.fails()
    scene = Scene(scene.clock, camera)
    scene.turns(2.5, error_code="frozen", error_text=TROUBLES["frozen"])
    scene.turn(state="waiting", error_code="hung", error_text=HUNG)
    assert set(scene.health.desired_faults) == {CAPTURE_FAULT.format("Front 1"), DECODE_FAULT.format("Front 1")}
    assert all(fault.text.startswith("Front 1: ") for fault in scene.health.desired_faults.values())


OF_CAMERAS = (CAPTURE_FAULT, DECODE_FAULT, WARNING_FAULT)
OF_THE_SERVICE = (RESTART_FAULT, TIME_SYNC_FAULT, PEERS_FAULT)


def test_only_our_faults_are_ours() -> None:
    """Also those of a camera that is not configured any more; never the robot's own about us."""
    assert all(is_ours(name.format("gone")) for name in (*OF_CAMERAS, *OF_THE_SERVICE))
    for other in ("Decoding Image front went well", "Decoding Image Failure", "Liveness", f"{PEERS_FAULT} often"):
        assert not is_ours(other)


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_camera_has_the_name_of_another_fault(one: str, other: str) -> None:
    """Whatever its source is called."""
    names = [name.format(source) for name in OF_CAMERAS for source in {one, other}]
    assert len({*names, *OF_THE_SERVICE}) == len(names) + len(OF_THE_SERVICE)
    assert all(is_ours(name) for name in names)


steps = st.tuples(
    st.sampled_from(get_args(State)),
    st.integers(0, 1),  # by how much restarts grow
    st.sampled_from([None, "exit code 0", "exit code 143", "exit code 69", "signal SIGKILL"]),
    st.sampled_from([None, HUNG]),
    st.none() | st.floats(0, 5),
)


@given(st.lists(steps, max_size=30))
def test_any_history_keeps_the_rules(history: list[tuple[State, int, str | None, str | None, float | None]]) -> None:
    """A broken camera has its fault in the same turn, health ends it in four seconds, and texts are never empty."""
    clock = Clock()
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(health_module, "time", clock)
        scene = Scene(clock)
        for state, grown, last_exit, error_text, age_s in history:
            scene.camera.age_s = age_s
            restarts = scene.record.restarts + grown
            fault = scene.turn(state=state, restarts=restarts, last_exit=last_exit, error_text=error_text)
            assert fault is None or fault.strip()
            if state in ("unkillable", "refused") or (state == "waiting" and error_text):
                assert fault
            if state == "finished":
                assert fault is None
        scene.camera.age_s = 0.0
        scene.turn(state="running", last_exit="signal SIGKILL", error_text=None)
        assert scene.seconds_until_cleared() <= 4.0

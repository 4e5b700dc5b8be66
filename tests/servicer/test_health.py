"""Which faults follow from what the status board says and from how old the frames are."""

from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicer import health as health_module
from servicer.health import CAPTURE_FAULT, DECODE_FAULT, PEERS_FAULT, CameraHealth, Health, is_ours
from servicer.image_request import Wanted
from servicer.peers import AllowedPeers
from servicer.robot_clock import RobotClock
from servicer.served_camera import ServedCamera, Undecodable
from shm import ChildRecord, Encoding, Status
from shm.records import State
from supervision.camera_settings import CameraSettings

FAULT = CAPTURE_FAULT.format("front")
MAX_AGE_S = 0.5
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
    undecodable: Undecodable | None = None
    whole: bool = True

    def newest(self) -> Facts | None:
        """The newest frame."""
        return None if self.age_s is None else Facts(self.age_s)

    def fails(self) -> None:
        """A client's picture could not be made."""
        wanted = Wanted(1, 3, 75, 1.0)
        self.undecodable, self.whole = Undecodable("the camera's JPEG cannot be decoded", Encoding.JPEG, wanted), False

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
    changes: int = 0

    def __post_init__(self) -> None:
        self.health = Health([self.camera], self.peers, self._changed)  # type: ignore[list-item]  # scripted

    def _changed(self) -> None:
        self.changes += 1

    def turn(self, **changes: Any) -> str | None:
        """One turn of the loop with these changes of the record; returns the camera's fault."""
        self.record = replace(self.record, **changes)
        self.health.update(Status("tests", 1, 0, (self.record,)))
        self.clock.now_s += 0.25
        return self.health.desired_faults.get(FAULT)

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
        {"state": "killing", "error_text": HUNG},
        {"state": "unkillable"},
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
    assert text
    assert text == trouble.get("error_text", text)
    assert scene.changes == 1


def test_new_figures_are_not_a_new_fault(scene: Scene) -> None:
    """While it is the same trouble the words stay, or the fault would be cleared and raised at every restart."""
    scene.turn()
    first = scene.turn(state="killing", error_code="hung", error_text="silent for 1.1 s")
    assert scene.turn(state="killing", error_code="hung", error_text="silent for 1.3 s") == first
    assert scene.turn(state="waiting", error_code="absent", error_text="there is no device") == "there is no device"


def test_without_a_record_silence_is_still_a_fault(instance: str) -> None:
    """Whoever removed the board may have removed the ring as well."""
    health = CameraHealth(ServedCamera(instance, "front", CameraSettings(driver="synthetic"), RobotClock(None)))
    health.update(None, 0.0)
    assert "delivers no new frames" in (health.fault or "")


def test_a_crash_is_explained_by_how_the_process_ended(scene: Scene) -> None:
    """The signal, when the worker itself could say nothing."""
    scene.turn()
    assert "signal SIGSEGV" in (scene.turn(state="starting", restarts=1, last_exit="signal SIGSEGV") or "")


def test_silence_raises_a_second_after_the_limit(scene: Scene) -> None:
    """Not for a frame that is only late."""
    scene.camera.age_s = MAX_AGE_S + 0.9
    assert scene.turn() is None
    scene.camera.age_s = MAX_AGE_S + 1.1
    assert "delivers no new frames" in (scene.turn() or "")


@pytest.mark.parametrize("fps", [0.2, 0.5, 1, 3, 5, 15, 30, 200])
def test_a_camera_that_captures_for_a_client_is_not_silent(scene: Scene, fps: float) -> None:
    """A worker gives a client's parameters 0.3 s or four periods, and the frame after them takes one (I11)."""
    scene.camera.period_s, scene.camera.max_age_s = 1 / fps, max(0.5, 3 / fps)
    scene.camera.age_s = max(0.3, 4 / fps) + 1 / fps
    assert scene.turn(state="running") is None
    scene.camera.age_s = max(scene.camera.max_age_s + 1.0, 6 / fps) + 0.1
    assert "no new frames" in (scene.turn() or "")


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


def test_starting_at_boot_raises_nothing(scene: Scene) -> None:
    """Not waiting for its turn, not opening its device, and no frame yet."""
    scene.camera.age_s = None
    for state in ("waiting", "starting", "starting"):
        assert scene.turn(state=state) is None
    scene.camera.age_s = 0.0
    assert scene.turn(state="running") is None


def test_a_finished_video_raises_nothing_and_clears_what_was(scene: Scene) -> None:
    """Its end was planned, however old its last frame grows; nothing of it will get better or worse."""
    scene.camera.age_s = 3.0
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
    scene.turn(state="killing", error_text=HUNG)
    assert scene.health.why_silent("front") == HUNG
    scene.turn(state="starting", error_text=None, last_exit=None)
    assert scene.health.why_silent("front") == "front is starting."
    scene.turn(state="finished")
    assert scene.health.why_silent("front") == "front has ended."


def test_refused_callers_are_one_fault(scene: Scene) -> None:
    """It names them, and its change is told once."""
    scene.turn()
    for peer in ("ipv4:10.0.0.1:5", "ipv4:10.0.0.2:6", "ipv4:10.0.0.1:7"):
        scene.peers.admit(peer)
    scene.turn()
    scene.turn()
    assert list(scene.health.desired_faults) == [PEERS_FAULT]
    assert "10.0.0.1, 10.0.0.2" in scene.health.desired_faults[PEERS_FAULT]
    assert scene.changes == 1


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
    """The worker ends at once, and is not started again: its sentence is the fault's."""
    text = "parameters: 'gain' is 99.0; the most is 24.0"
    assert scene.turn(state="refused", last_exit="exit code 78", error_code="parameters", error_text=text) == text


def test_parameters_that_a_camera_rejects_are_no_fault(scene: Scene) -> None:
    """A client's mistake that only the camera could find: the worker says so, and goes on."""
    assert scene.turn(error_code="parameters", error_text="the camera does not take gain 24.") is None


def test_a_picture_that_cannot_be_made_is_a_fault_until_it_can(scene: Scene) -> None:
    """It has a name of its own, stays while the newest frame fails, and goes after two seconds without a failure."""
    name = DECODE_FAULT.format("front")
    scene.turn()
    scene.camera.fails()
    scene.turn()
    assert scene.health.desired_faults == {name: "front: the camera's JPEG cannot be decoded."}
    for _ in range(20):
        scene.turn()
    assert name in scene.health.desired_faults
    scene.camera.whole = True
    for _ in range(4):
        scene.turn()
    scene.camera.fails()  # another client's, meanwhile
    scene.camera.whole = True
    began_s = scene.clock.now_s
    while name in scene.health.desired_faults:
        assert scene.clock.now_s < began_s + 10
        scene.turn()
    assert 2.0 <= scene.clock.now_s - began_s <= 3.0
    assert scene.camera.undecodable is None
    assert scene.changes == 2


def test_faults_name_the_source_as_clients_know_it(scene: Scene) -> None:
    """The operator finds in the fault what the tablet shows; the board's record goes by the camera's own name."""
    scene.camera.source_name = "Front 1"
    scene.camera.fails()
    scene.turn(state="killing", error_text=HUNG)
    assert set(scene.health.desired_faults) == {CAPTURE_FAULT.format("Front 1"), DECODE_FAULT.format("Front 1")}


def test_only_our_faults_are_ours() -> None:
    """Also those of a camera that is not configured any more; never the robot's own about us."""
    assert is_ours(FAULT)
    assert is_ours(CAPTURE_FAULT.format("gone"))
    assert is_ours(PEERS_FAULT)
    assert is_ours(DECODE_FAULT.format("gone"))
    assert not is_ours("Decoding Image front went well")
    assert not is_ours("Liveness")


steps = st.tuples(
    st.sampled_from(get_args(State)),
    st.integers(0, 1),  # by how much restarts grow
    st.sampled_from([None, "exit code 0", "exit code 143", "exit code 69", "signal SIGKILL"]),
    st.sampled_from([None, HUNG]),
    st.none() | st.floats(0, 5),
)


@given(st.lists(steps, max_size=30))
def test_any_history_keeps_the_rules(history: list[tuple[State, int, str | None, str | None, float | None]]) -> None:
    """A broken camera has its fault in the same turn, health ends it in three seconds, and texts are never empty."""
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
            if state in ("killing", "unkillable", "refused") or (state == "waiting" and error_text):
                assert fault
            if state == "finished":
                assert fault is None
        scene.camera.age_s = 0.0
        scene.turn(state="running", last_exit="signal SIGKILL", error_text=None)
        assert scene.seconds_until_cleared() <= 3.0

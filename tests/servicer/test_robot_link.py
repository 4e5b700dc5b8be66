"""The robot link against a simulated robot that does everything wrong."""

import functools
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bosdyn.api.service_fault_pb2 import ServiceFault, ServiceFaultId
from bosdyn.api.time_sync_pb2 import TimeSyncState, TimeSyncUpdateResponse
from bosdyn.client.exceptions import TimedOutError

from servicer import robot_clock, robot_connection, robot_link
from servicer.fault import (
    CAPTURE_FAULT,
    DECODE_FAULT,
    PEERS_FAULT,
    RESTART_FAULT,
    TIME_SYNC_FAULT,
    WARNING_FAULT,
    Fault,
)
from servicer.health import Health
from servicer.robot_clock import wall_minus_monotonic_ns
from servicer.robot_connection import RobotConnection
from servicer.robot_link import _REGISTER_EVERY_S  # as it is in the field: the tests shorten the module's
from shm import Encoding
from simulated_robot import Misbehaviour, Refusal, SimulatedRobot
from simulated_robot.robot_state_service import RobotStateService
from simulated_robot.time_sync_service import TimeSyncService
from supervision.settings import RobotSettings, ServiceSettings
from tests.servicer.linking import NAME, TEST_BACKOFF_S, Linked, linked, shorten_intervals
from tests.servicer.serving import STATUS, Ring, serving, smooth, to_jpeg, wait_for

FRONT, REAR = CAPTURE_FAULT.format("front"), CAPTURE_FAULT.format("rear")
EVERY_FAULT = {
    FRONT: Fault("front was unplugged."),
    DECODE_FAULT.format("front"): Fault("front: no picture."),
    WARNING_FAULT.format("front"): Fault("front: frozen."),
    RESTART_FAULT: Fault("it crashed.", "info"),
    TIME_SYNC_FAULT: Fault("it does not answer."),
    PEERS_FAULT: Fault("10.0.0.1"),
}
SKEW_TOLERANCE_NS = 20_000_000
HOUR_NS = 3600 * 10**9


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_intervals(monkeypatch)


@pytest.fixture
def robot() -> Iterator[SimulatedRobot]:
    """A robot which knows one payload and one user."""
    with SimulatedRobot(payloads={"guid": "secret"}, users={"operator": "right"}) as simulated:
        yield simulated


@pytest.fixture
def running(robot: SimulatedRobot) -> Iterator[Linked]:
    """A link that has registered, with one camera broken."""
    with linked(robot) as link:
        link.show(front="front was unplugged.")
        wait_for(link.is_whole)
        yield link


def test_it_registers_what_clients_need(running: Linked) -> None:
    """Name, type, authority, a token required, and a liveness check for the case that we are gone."""
    entry = running.robot.services[NAME]
    assert (entry.type, entry.authority) == ("bosdyn.api.ImageService", "robot-web-cam.spot.robot")
    assert entry.user_token_required
    assert entry.liveness_timeout_secs == 75


def test_it_is_registered_again_long_before_the_robot_misses_it(running: Linked) -> None:
    """Again and again; in the field two signs of life may get lost, and a third be late by a whole outage's wait."""
    call = "DirectoryRegistrationService/UpdateService"
    updates = running.robot.calls[call]
    wait_for(lambda: running.robot.calls[call] > updates + 1)
    assert running.robot.services[NAME].liveness_timeout_secs > 3 * _REGISTER_EVERY_S + 35


def test_the_sdk_gets_no_list_of_ours_to_append_to(running: Linked) -> None:
    """It appends the message sizes of the first channel to the list that it is given, for all later ones (D39)."""
    assert running.link.state == "registered"  # so several channels are open
    assert [name for name, _ in robot_connection._CHANNEL_OPTIONS] == [
        "grpc.keepalive_time_ms",
        "grpc.keepalive_timeout_ms",
    ]


def test_it_knows_the_robots_clock(running: Linked) -> None:
    """The offset makes robot time of monotonic time."""
    assert running.clock.offset_ns is not None
    error_ns = time.monotonic_ns() + running.clock.offset_ns - running.robot.now_ns()
    assert abs(error_ns) < SKEW_TOLERANCE_NS


@pytest.mark.row("M18")
def test_a_step_of_our_wall_clock_is_answered_by_a_sync(running: Linked) -> None:
    """Long before the next sync would be due."""
    syncs = running.robot.calls["TimeSyncService/TimeSyncUpdate"]
    running.clock.set_skew(0, wall_minus_monotonic_ns() - 10**9)
    wait_for(lambda: running.robot.calls["TimeSyncService/TimeSyncUpdate"] > syncs)
    wait_for(lambda: not running.clock.wall_clock_jumped())
    assert abs(time.monotonic_ns() + running.clock.offset_ns - running.robot.now_ns()) < SKEW_TOLERANCE_NS  # type: ignore[operator]  # known by now


@pytest.mark.row("M18")
def test_a_sync_during_which_our_wall_clock_is_stepped_is_not_believed(
    running: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the step is in it: the offset stays as it was, and the next turn tries again."""
    offset_ns, real = running.clock.offset_ns, RobotConnection.clock_skew_ns
    steps: list[int] = []

    def step_meanwhile(connection: RobotConnection) -> int:
        skew_ns = real(connection)
        steps.append(HOUR_NS)
        return skew_ns - HOUR_NS // 2

    stepped = SimpleNamespace(monotonic_ns=time.monotonic_ns, time_ns=lambda: time.time_ns() + sum(steps))
    monkeypatch.setattr(robot_clock, "time", stepped)
    monkeypatch.setattr(RobotConnection, "clock_skew_ns", step_meanwhile)
    steps.append(HOUR_NS)
    wait_for(lambda: len(steps) >= 4)
    assert running.clock.offset_ns == offset_ns


def test_the_faults_on_the_robot_follow(running: Linked) -> None:
    """One more, another text, and none."""
    running.show(front="front was unplugged.", rear="rear crashed.")
    wait_for(running.is_whole)
    running.show(front="front is hung.", rear="rear crashed.")
    wait_for(running.is_whole)
    running.show()
    wait_for(running.is_whole)
    assert {fault.fault_id.fault_name for fault in running.robot.past_faults} == {FRONT, REAR}


def test_each_fault_has_its_severity(running: Linked) -> None:
    """What is over is information, what is broken a warning; only what the robot shows is known to be shown."""
    running.desired = EVERY_FAULT
    running.link.wake()
    wait_for(running.is_whole)
    assert set(running.link.shown) == set(EVERY_FAULT)
    severities = {name: fault.severity for (_, name), fault in running.robot.faults.items()}
    assert severities.pop(RESTART_FAULT) == ServiceFault.SEVERITY_INFO
    assert set(severities.values()) == {ServiceFault.SEVERITY_WARN}
    running.robot.misbehave(Misbehaviour(services_down=frozenset({"fault"})))
    shown = running.link.shown
    running.show()
    asked = running.robot.calls["RobotStateService/GetRobotState"]
    wait_for(lambda: running.robot.calls["RobotStateService/GetRobotState"] > asked + 2)
    assert running.link.shown == shown


def test_a_standing_fault_is_told_once(running: Linked) -> None:
    """Reconciling asks; it says nothing while nothing has changed."""
    told = running.robot.calls["FaultService/TriggerServiceFault"]
    asked = running.robot.calls["RobotStateService/GetRobotState"]
    wait_for(lambda: running.robot.calls["RobotStateService/GetRobotState"] > asked + 4)
    assert running.robot.calls["FaultService/TriggerServiceFault"] == told == 1
    assert running.robot.calls["FaultService/ClearServiceFault"] == 0


def test_a_robot_that_shortens_texts_is_not_told_again_and_again(running: Linked) -> None:
    """Its version of our text is our fault all the same."""
    for active in running.robot._state.faults._active.values():
        active.fault.error_message = "front …"
    asked = running.robot.calls["RobotStateService/GetRobotState"]
    wait_for(lambda: running.robot.calls["RobotStateService/GetRobotState"] > asked + 4)
    assert running.shown() == {FRONT: "front …"}
    assert running.robot.calls["FaultService/ClearServiceFault"] == 0


def test_what_a_predecessor_left_is_cleared_and_the_robots_own_is_not(robot: SimulatedRobot) -> None:
    """Faults of ours that are not true (any more) go; the rest of the robot's list is none of our business."""
    with linked(robot) as link:
        wait_for(link.is_whole)
        ours = [*EVERY_FAULT, CAPTURE_FAULT.format("gone")]
        for service, name in [*((NAME, name) for name in ours), (NAME, "Liveness"), ("other", REAR)]:
            fault = robot_fault(service, name)
            with robot._state.lock:
                robot._state.faults.trigger(fault)
        wait_for(lambda: set(robot.faults) == {(NAME, "Liveness"), ("other", REAR)})
        link.show(rear="rear crashed.")  # another service's fault of this name is not in its place
        wait_for(link.is_whole)


def robot_fault(service: str, name: str) -> Any:
    """A fault as somebody else raised it."""
    fault_id = ServiceFaultId(fault_name=name, service_name=service, payload_guid="guid")
    return ServiceFault(fault_id=fault_id, error_message="x")


def outlast_the_token(robot: SimulatedRobot) -> None:
    """Be away for longer than a token is good for."""
    robot.go_down()
    robot.revoke_tokens()
    robot.come_back()


ACCIDENTS: dict[str, Callable[[SimulatedRobot], None]] = {
    "reboot": lambda robot: robot.reboot(down_s=0.5),
    "outage longer than a token's life": outlast_the_token,
    "lost registrations": lambda robot: robot.lose_registrations(),
    "lost faults": lambda robot: robot.lose_faults(),
    "tokens revoked": lambda robot: robot.revoke_tokens(),
    "everything lost": lambda robot: robot._state.forget(),
}


USER: dict[str, Any] = {"guid": None, "secret": None, "username": "operator", "password": "right"}
TOKEN_CALLS = {"payload": "PayloadRegistrationService/GetPayloadAuthToken", "user": "AuthService/GetAuthToken"}


@pytest.mark.row("M19")
@pytest.mark.parametrize("who", TOKEN_CALLS)
@pytest.mark.parametrize("accident", ACCIDENTS)
def test_it_comes_back(robot: SimulatedRobot, accident: str, who: str) -> None:
    """Registration, faults and the robot's (other) clock are as they should be again; no token is needed for it."""
    with linked(robot, **(USER if who == "user" else {})) as running:
        running.desired = EVERY_FAULT
        wait_for(running.is_whole)
        ACCIDENTS[accident](robot)
        wait_for(lambda: running.is_whole() and _clock_is_right(running))


@pytest.mark.parametrize("who", TOKEN_CALLS)
def test_a_new_token_is_got_long_before_the_old_one_expires(
    robot: SimulatedRobot, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """By the credentials, within the session; nothing else is disturbed."""
    monkeypatch.setattr(robot_link, "_TOKEN_EVERY_S", 0.1)
    with linked(robot, **(USER if who == "user" else {})) as running:
        wait_for(running.is_whole)
        tokens = robot.calls[TOKEN_CALLS[who]]
        wait_for(lambda: robot.calls[TOKEN_CALLS[who]] > tokens + 3)
        assert running.is_whole()
        assert robot.calls["DirectoryRegistrationService/RegisterService"] == 1


def test_a_user_comes_in_with_name_and_password(robot: SimulatedRobot) -> None:
    """For a computer that is no payload of the robot; the robot knows of no payload then."""
    with linked(robot, **USER) as running:
        wait_for(running.is_whole)
        assert robot.services[NAME].host_payload_guid == ""
        assert robot.calls[TOKEN_CALLS["payload"]] == 0


def test_a_wrong_password_is_not_tried_until_the_user_is_locked_out(
    robot: SimulatedRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and the next attempt waits a minute: the user's own attempts count too."""
    monkeypatch.setattr(robot_link, "_WRONG_PASSWORD_RETRY_S", 60.0)
    with linked(robot, **{**USER, "password": "wrong"}) as running:
        wait_for(lambda: "does not accept the user's name and password" in running.link.state)
        until_s = time.monotonic() + 4 * TEST_BACKOFF_S[1]
        running.link.wake()  # as a new fault does
        wait_for(lambda: time.monotonic() > until_s)
        assert robot.calls[TOKEN_CALLS["user"]] == 1


def test_a_user_who_is_locked_out_waits(robot: SimulatedRobot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the state says; and comes in when the robot has forgiven."""
    monkeypatch.setattr(robot_link, "_WRONG_PASSWORD_RETRY_S", 0.3)
    robot.lock_out_user("operator")
    with linked(robot, **USER) as running:
        wait_for(lambda: "locked the user out for a while" in running.link.state)
        robot.lock_out_user("operator", locked_out=False)
        wait_for(running.is_whole)


def _clock_is_right(running: Linked) -> bool:
    offset_ns = running.clock.offset_ns or 0
    return abs(time.monotonic_ns() + offset_ns - running.robot.now_ns()) < SKEW_TOLERANCE_NS


MISBEHAVIOURS = {
    "401": (Misbehaviour(refusal=Refusal.UNAUTHENTICATED), "does not accept the token"),
    "silent": (Misbehaviour(silent=True), "the robot does not answer"),
    "429": (Misbehaviour(refusal=Refusal.TOO_MANY_REQUESTS), "TooManyRequestsError"),
    "directory down": (Misbehaviour(services_down=frozenset({"directory-registration"})), "not registered"),
}


@pytest.mark.row("M19")
@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
def test_it_says_what_is_wrong_and_comes_back(running: Linked, misbehaviour: str) -> None:
    """The state is in words while it lasts; afterwards all is as before."""
    what, words = MISBEHAVIOURS[misbehaviour]
    running.robot.misbehave(what)
    wait_for(lambda: words in running.link.state)
    running.robot.lose_registrations()
    running.robot.lose_faults()
    running.robot.behave()
    wait_for(running.is_whole)


REGISTRATION = frozenset({"directory-registration"})


@pytest.mark.parametrize("what", [Misbehaviour(services_down=REGISTRATION), Misbehaviour(services_silent=REGISTRATION)])
def test_faults_are_told_while_registration_fails(
    running: Linked, what: Misbehaviour, caplog: pytest.LogCaptureFixture
) -> None:
    """In the same session, and the state says that we are not in the directory; it is logged once."""
    tokens = running.robot.calls[TOKEN_CALLS["payload"]]
    with caplog.at_level(logging.WARNING, "servicer.robot_link"):
        running.robot.misbehave(what)
        wait_for(lambda: running.link.state.startswith("not registered: "))
        for text in ("rear crashed.", "rear hung."):
            running.show(rear=text)
            wait_for(lambda text=text: running.shown() == {REAR: text})  # type: ignore[misc]
    assert len(caplog.records) == 1
    running.robot.behave()
    wait_for(running.is_whole)
    assert running.robot.calls[TOKEN_CALLS["payload"]] == tokens


def test_an_outage_is_noticed_before_the_next_sign_of_life(
    robot: SimulatedRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults that cannot be told ask whether it is more than that."""
    monkeypatch.setattr(robot_link, "_REGISTER_EVERY_S", 1000.0)
    with linked(robot) as link:
        wait_for(link.is_whole)
        robot.go_down()
        wait_for(lambda: link.link.state.startswith("not connected: "))


@pytest.mark.row("M19")
def test_a_robot_that_is_down_cannot_be_reached(running: Linked) -> None:
    """In words, without a new line in the log for each attempt; and back when it is back."""
    running.robot.go_down()
    wait_for(lambda: "cannot be reached" in running.link.state)
    state = running.link.state
    failures = running.link._failures
    wait_for(lambda: running.link._failures > failures + 3)
    assert running.link.state == state
    running.robot.come_back()
    wait_for(running.is_whole)
    wait_for(lambda: running.link._failures == 0)  # the next outage begins with short waits again


@pytest.mark.parametrize("service", ["fault", "robot-state"])
def test_only_the_faults_cannot_be_told(running: Linked, service: str, caplog: pytest.LogCaptureFixture) -> None:
    """The service stays registered and alive; it is logged once; the faults follow when it works again."""
    with caplog.at_level(logging.WARNING, "servicer.robot_link"):
        running.robot.misbehave(Misbehaviour(services_down=frozenset({service})))
        running.show(rear="rear crashed.")
        registrations = running.robot.calls["DirectoryRegistrationService/UpdateService"]
        wait_for(lambda: running.robot.calls["DirectoryRegistrationService/UpdateService"] > registrations + 3)
    assert running.link.state == "registered"
    assert len(caplog.records) == 1
    running.robot.behave()
    wait_for(running.is_whole)


def test_a_slow_time_sync_keeps_nothing_away(robot: SimulatedRobot, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its rounds together have a deadline; registration and faults come after it."""
    monkeypatch.setattr("servicer.robot_connection._TIME_SYNC_S", 0.3)
    never_enough = TimeSyncState(status=TimeSyncState.STATUS_MORE_SAMPLES_NEEDED)

    def answer_slowly(_self: Any, _request: Any, _context: Any) -> TimeSyncUpdateResponse:
        threading.Event().wait(0.2)
        return TimeSyncUpdateResponse(state=never_enough, clock_identifier="x")

    monkeypatch.setattr(TimeSyncService, "TimeSyncUpdate", answer_slowly)
    robot.go_down()
    robot.come_back()
    with linked(robot) as link:
        link.show(front="front was unplugged.")
        wait_for(link.is_whole)
        assert 1 <= robot.calls["TimeSyncService/TimeSyncUpdate"] <= 8
        assert link.clock.offset_ns is None


def test_a_time_sync_may_take_several_tries(robot: SimulatedRobot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A robot behind a slow network gets the round trips that it wants, though no try has time for all of them."""
    monkeypatch.setattr("servicer.robot_connection._TIME_SYNC_S", 0.5)
    answer = TimeSyncService.TimeSyncUpdate
    trips: Counter[str] = Counter()

    def answer_slowly(service: Any, request: Any, context: Any) -> TimeSyncUpdateResponse:
        threading.Event().wait(0.2)
        response = answer(service, request, context)
        trips[response.clock_identifier] += 1
        if trips[response.clock_identifier] < 6:
            response.state.status = TimeSyncState.STATUS_MORE_SAMPLES_NEEDED
        return response

    monkeypatch.setattr(TimeSyncService, "TimeSyncUpdate", answer_slowly)
    robot.go_down()
    robot.come_back()
    with linked(robot) as link:
        wait_for(lambda: _clock_is_right(link))


def test_rounds_before_a_step_of_our_wall_clock_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do those of a time sync that is finished: the next one asks the robot anew."""
    begun: list[str] = []

    class Scripted:
        """In the place of a time sync: its first try has not enough time."""

        def __init__(self, _client: object) -> None:
            self.tries = 0
            begun.append("sync")

        def is_about_another_clock(self) -> bool:
            return stepped

        def skew_ns(self) -> int:
            self.tries += 1
            if self.tries < 3:
                raise TimedOutError(None)
            return self.tries

    monkeypatch.setattr(robot_connection, "_TimeSync", Scripted)
    monkeypatch.setattr(RobotConnection, "_listed_client", lambda *_: None)
    connection, stepped = RobotConnection(RobotSettings(), ServiceSettings()), False
    for step, syncs in [(False, 1), (False, 1), (True, 2), (False, 2)]:
        stepped = step
        with pytest.raises(TimedOutError):
            connection.clock_skew_ns()
        assert len(begun) == syncs
    assert connection.clock_skew_ns() == 3
    with pytest.raises(TimedOutError):
        connection.clock_skew_ns()
    assert len(begun) == 3


def test_without_time_sync_it_is_registered_all_the_same(robot: SimulatedRobot) -> None:
    """Clients find the service and are told the reason; the time follows when there is one."""
    robot.misbehave(Misbehaviour(services_down=frozenset({"time-sync"})))
    with linked(robot) as link:
        wait_for(link.is_whole)
        assert link.clock.offset_ns is None
        robot.behave()
        wait_for(lambda: _clock_is_right(link))


def test_wrong_credentials_are_said_in_words_and_not_hammered(robot: SimulatedRobot) -> None:
    """The time between attempts doubles up to its limit."""
    with linked(robot, secret="wrong") as link:  # noqa: S106  not the right one
        wait_for(lambda: "does not accept the payload's guid and secret" in link.link.state)
        began_s, first = time.monotonic(), robot.calls.total()
        wait_for(lambda: link.link._failures >= 6)
        waited_s = time.monotonic() - began_s
        assert robot.calls.total() - first <= 7
        assert waited_s > 0.8 * sum((0.1, 0.2, 0.4, 0.4))


def test_a_robot_that_lets_us_in_and_then_refuses_is_not_hammered(
    running: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that gets no further than registering is a failure, and the next one waits longer."""
    refused: list[float] = []

    def refuse(_self: Any, _request: Any, context: Any) -> None:
        refused.append(time.monotonic())
        context.abort(*Refusal.UNAUTHENTICATED.value)

    monkeypatch.setattr(RobotStateService, "GetRobotState", refuse)
    running.robot.go_down()
    running.robot.come_back()
    wait_for(lambda: len(refused) >= 7)
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(refused)]
    assert min(gaps_s[-2:]) > 0.8 * TEST_BACKOFF_S[1]


def test_a_payload_that_is_not_authorized_yet_keeps_trying(robot: SimulatedRobot) -> None:
    """Until its operator lets it in on the robot's web page, which the state asks for."""
    robot.authorize_payload("guid", authorized=False)
    with linked(robot) as link:
        wait_for(lambda: "authorize it on the robot's web page" in link.link.state)
        robot.authorize_payload("guid")
        wait_for(link.is_whole)


def test_a_missing_credentials_file_is_named_and_waited_for(robot: SimulatedRobot, tmp_path: Path) -> None:
    """It may be mounted later."""
    path = tmp_path / "guid_and_secret"
    with linked(robot, guid=None, secret=None, payload_credentials_file=path) as link:
        wait_for(lambda: str(path) in link.link.state)
        path.write_text("guid\n")
        wait_for(lambda: "secret on its second" in link.link.state)
        path.write_text("guid\nsecret\n")
        wait_for(link.is_whole)


def test_a_missing_certificate_is_an_error_in_words(robot: SimulatedRobot, tmp_path: Path) -> None:
    """The link outlives whatever the SDK raises."""
    with linked(robot, ca=tmp_path / "no.pem") as link:
        wait_for(lambda: link.link.state.startswith("not connected: "))
        assert link.link._thread.is_alive()


@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")  # how the SDK reads its own certificates
@pytest.mark.parametrize("ca", ["forgotten", "of another robot"])
def test_a_certificate_that_is_not_trusted_is_said(robot: SimulatedRobot, ca: str) -> None:
    """Whoever reads that nobody answers would look for a cable."""
    with SimulatedRobot() as another, linked(robot, ca=None if ca == "forgotten" else another.ca_file) as link:
        wait_for(lambda: "its certificate is not trusted" in link.link.state)


def test_an_authority_that_is_taken_is_not_called_registered(robot: SimulatedRobot) -> None:
    """Another payload's service has it: calls to us would end there."""
    with linked(robot) as other:
        wait_for(other.is_whole)
        with robot._state.lock:  # the same authority and type under another name
            (registration,) = robot._state.registry
            registration.entry.name = "other"
            robot._state.registry._registrations["other"] = robot._state.registry._registrations.pop(NAME)
        wait_for(lambda: "another service" in other.link.state)
        other.show(front="front was unplugged.")  # which is true all the same, and can be told
        wait_for(lambda: bool(other.shown()))
        with robot._state.lock:
            robot._state.registry._registrations.clear()
        wait_for(other.is_whole)


def test_stopping_leaves_the_directory(robot: SimulatedRobot, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, not at the next turn; our faults go with the registration."""
    monkeypatch.setattr(robot_link, "_RECONCILE_EVERY_S", 30.0)
    with linked(robot) as link:
        link.show(front="front was unplugged.")
        wait_for(link.is_whole)
        began_s = time.monotonic()
        link.link.stop(5.0)
        assert time.monotonic() - began_s < 1.0
    assert not robot.services
    assert not robot.faults


def test_stopping_does_not_wait_for_a_silent_robot(running: Linked) -> None:
    """No longer than it was told to."""
    running.robot.misbehave(Misbehaviour(silent=True))
    wait_for(lambda: "does not answer" in running.link.state)
    began_s = time.monotonic()
    running.link.stop(0.3)
    assert time.monotonic() - began_s < 0.5


@pytest.mark.row("M19")
def test_no_image_waits_for_the_robot(running: Linked, instance: str, front: Ring) -> None:
    """While every call to the robot hangs, images are served as fast as ever, with the last known robot time."""
    with serving(instance, "front", clock=running.clock) as served:
        running.robot.misbehave(Misbehaviour(silent=True))
        waiting = running.robot.calls.total()
        wait_for(lambda: running.robot.calls.total() > waiting)
        durations_s = []
        for _ in range(100):
            front.show(smooth())
            began_s = time.monotonic()
            assert served.one("front").shot.acquisition_time.seconds > 0
            durations_s.append(time.monotonic() - began_s)
    assert sorted(durations_s)[90] < 0.1


SYNC_EVERY_S, LOST_AFTER_S = 0.1, 0.5


@pytest.mark.row("M21")
def test_images_go_on_while_the_time_sync_is_lost(
    robot: SimulatedRobot, instance: str, front: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay OK with times that never go back; the operator has a fault until the robot tells its time again."""
    monkeypatch.setattr(robot_link, "_TIME_SYNC_EVERY_S", SYNC_EVERY_S)
    monkeypatch.setattr("servicer.robot_clock._LOST_AFTER_NS", LOST_AFTER_S * 1e9)
    acquired_ns = [0]
    with linked(robot) as link, serving(instance, "front", clock=link.clock) as served:
        wait_for(link.is_whole)
        health = Health(served.cameras.values(), link.clock, served.peers, link.link.wake)

        def shows_lost_sync() -> bool:
            front.show(smooth())
            answer = served.one("front")
            assert answer.status == STATUS.STATUS_OK
            acquired_ns.append(answer.shot.acquisition_time.ToNanoseconds())
            assert acquired_ns[-1] > acquired_ns[-2]
            health.update(None)
            link.desired = health.desired_faults
            return TIME_SYNC_FAULT in link.shown()

        robot.misbehave(Misbehaviour(services_down=frozenset({"time-sync"})))
        began_s = time.monotonic()
        wait_for(shows_lost_sync)
        assert time.monotonic() - began_s > LOST_AFTER_S
        robot.behave()
        wait_for(lambda: not shows_lost_sync())
        assert link.link.state == "registered"


def test_before_the_first_time_sync_there_is_a_reason_instead_of_an_image(
    robot: SimulatedRobot, instance: str, front: Ring
) -> None:
    """A time that is not the robot's would put what the image shows at a wrong place, and nobody would notice."""
    robot.misbehave(Misbehaviour(services_down=frozenset({"time-sync"})))
    with linked(robot) as link, serving(instance, "front", clock=link.clock) as served:
        front.show(smooth())
        response = served.get("front")
        assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
        assert not response.image_responses[0].HasField("shot")
        assert response.header.error.message == "front: there was no time sync with the robot yet."
        robot.behave()
        wait_for(lambda: served.one("front").status == STATUS.STATUS_OK)


@pytest.mark.row("M20")
def test_no_image_waits_for_a_fault_service_that_hangs(
    running: Linked, instance: str, front: Ring, row: Callable[[str], Any], capfd: Any
) -> None:
    """While a picture cannot be decoded and nobody can be told, clients get their reason at once; no thread is left."""
    whole = to_jpeg(smooth())
    table = whole.index(b"\xff\xc4") + 5
    broken = whole[:table] + b"\xff" * 16 + whole[table + 16 :]  # more Huffman codes than there can be
    with serving(instance, "front", clock=running.clock) as served:
        health = Health(served.cameras.values(), running.clock, served.peers, running.link.wake)

        def answers(seconds: float) -> list[float]:
            took_s, until_s = [], time.monotonic() + seconds
            while time.monotonic() < until_s:
                front.show(smooth(), Encoding.JPEG, data=broken)
                began_s = time.monotonic()
                assert served.one("front").status == STATUS.STATUS_IMAGE_DATA_ERROR
                took_s.append(time.monotonic() - began_s)
                health.update(None)
                running.desired = health.desired_faults
            return sorted(took_s)

        answers(0.5)
        running.robot.misbehave(Misbehaviour(services_silent=frozenset({"fault"})))
        threads = threading.active_count()
        took_s = answers(3.0)  # six deadlines of the link
        assert DECODE_FAULT.format("front") in running.desired
        row("M20").measured("GetImage, 95 of 100", took_s[len(took_s) * 95 // 100], 0.1)
        row("M20").at_most("more threads", threading.active_count() - threads, 2)
        running.robot.behave()
        wait_for(lambda: DECODE_FAULT.format("front") in running.shown())
    capfd.readouterr()  # what libjpeg says about it


def test_reconnecting_leaves_no_threads_behind(running: Linked) -> None:
    """Ten sessions later there are about as many as before."""
    before = threading.active_count()
    call = "PayloadRegistrationService/GetPayloadAuthToken"
    for session in range(running.robot.calls[call], running.robot.calls[call] + 10):
        running.robot.revoke_tokens()
        wait_for(functools.partial(lambda seen: running.robot.calls[call] > seen, session))
        wait_for(running.is_whole)
    assert threading.active_count() <= before + 5

"""The observer can see: each invariant fires for a message that breaks it, and none for what is in order or excused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chaos import facts
from chaos.facts import (
    CallSeen,
    Injected,
    IntruderSeen,
    LeftBehind,
    LogSeen,
    ProcessSeen,
    ReaderEnded,
    RingSeen,
    SegmentsSeen,
    Stalled,
    SupervisorEnded,
    WritersSeen,
)
from chaos.tally import INVARIANTS
from tests.chaos.story import FPS, REFUSED, Story

FAULT_OF_FRONT = "Image Capture Failure for front"
FROM_OUTSIDE = "Killed from outside: by a person, or by the kernel if memory ran out."
FILE = "/var/lib/spot-cameras/front.4711.txt"


@pytest.fixture
def story() -> Story:
    """Ten seconds in which everything was in order."""
    story = Story()
    story.pass_time(10)
    return story


def test_what_is_in_order_breaks_nothing(story: Story) -> None:
    """Two minutes of a healthy pipeline: every invariant is checked, none is broken."""
    story.pass_time(110)
    story.tell(LeftBehind(story.t, "processes", ()))
    story.inject(1, "segment_removed", "front")
    story.pass_time(2)
    story.inject(2, "kill", "front", ends=True)
    story.restart("front", 21)
    story.faults = (*REFUSED, FAULT_OF_FRONT)
    story.pass_time(3)
    assert story.violated() == set()
    assert {name for name in INVARIANTS if not story.count(name).checks} == set()


# Each breaks one invariant, and only that one.


def torn(story: Story) -> None:
    """A picture of two frames."""
    story.tell(story.image(flaw="torn: made of the frames 7, 8", number=None))


def stale_when_asked(story: Story) -> None:
    """A frame that was too old before anybody asked for it."""
    story.tell(story.image(age=0.9, client="other"))


def stale_when_answered(story: Story) -> None:
    """A frame that was fresh when it was asked for, and too old in the answer."""
    story.tell(story.image(age=0.4, client="other", assembled=story.t + 0.3))


def frame_back(story: Story) -> None:
    """One client gets frame n, then n-1."""
    newest = story.image()
    story.tell(newest, story.image(number=(newest.number or 0) - 1, acquired_ns=newest.acquired_ns))


def time_back(story: Story) -> None:
    """One client gets the same frame with an earlier time."""
    newest = story.image()
    story.tell(newest, story.image(acquired_ns=newest.acquired_ns - 1_000_000))


def time_back_further_than_the_clock(story: Story) -> None:
    """The robot's clock was put back by 5 s; the times go back by 50."""
    story.tell(Injected(story.t, 1, "robot_clock", "robot", (facts.ROBOT,), figure=-5.0), facts.Over(story.t, 1))
    newest = story.image()
    story.tell(newest, story.image(acquired_ns=newest.acquired_ns - 50_000_000_000))


def foreign(story: Story) -> None:
    """The picture is another camera's."""
    story.tell(story.image(flaw="foreign: of a camera with id 0x1", number=None))


def slow_neighbour(story: Story) -> None:
    """Every tenth frame of rear is missing while front is stopped."""
    story.inject(1, "stop", "front", ends=True)
    number, t = 20_000, story.t
    for step in range(60):
        number += 1 if step % 10 else 2
        story.tell(RingSeen(t + step / 9, "rear", 1, 10_000 + step, t + step / 9))


def silent_neighbour(story: Story) -> None:
    """Nothing was done to rear, and it delivers nothing."""
    story.broken = {"rear"}
    story.pass_time(1)
    story.faults = (*REFUSED, "Image Capture Failure for rear")
    story.pass_time(3)


def restarted_neighbour(story: Story) -> None:
    """Nothing was done to rear, and its worker ended."""
    story.restart("rear", 22)


def late_call(story: Story) -> None:
    """A call whose client would have waited for 5 s took 2.6."""
    story.tell(story.call(took=2.6, deadline=5.0))


def call_beyond_its_deadline(story: Story) -> None:
    """A call outlived its deadline."""
    story.tell(story.call(took=1.3, deadline=1.0))


def late_after_crash(story: Story) -> None:
    """Back after 3 s, and no delay was announced."""
    story.inject(1, "kill", "front", ends=True)
    story.broken, story.faults = {"front"}, (*REFUSED, FAULT_OF_FRONT)
    story.restart("front", 21)
    story.pass_time(3)
    story.broken = set()
    story.pass_time(1)


def late_after_hang(story: Story) -> None:
    """Back after 8 s, of which 6 were the supervisor's patience."""
    story.inject(1, "hang", "front", ends=True)
    story.broken, story.faults = {"front"}, (*REFUSED, FAULT_OF_FRONT)
    story.pass_time(6)
    story.restart("front", 21, "signal SIGKILL")
    story.pass_time(2)
    story.broken = set()
    story.pass_time(1)


def never_back(story: Story) -> None:
    """A segment was removed, and no image came again."""
    story.inject(1, "segment_removed", "front")
    story.broken, story.faults = {"front"}, (*REFUSED, FAULT_OF_FRONT)
    story.pass_time(40)


def process_left(story: Story) -> None:
    """Three seconds after the supervisor's end a process is there."""
    story.tell(LeftBehind(story.t, "processes", ("4711",)))


def segment_left(story: Story) -> None:
    """After the next start an old segment is there."""
    story.tell(LeftBehind(story.t, "segments", ("/chaos.cam.front",)))


def two_writers(story: Story) -> None:
    """One ring, written by one process and then by another."""
    story.tell(WritersSeen(story.t, "front", 77, (11,)), WritersSeen(story.t, "front", 77, (12,)))


def dead_servicer(story: Story) -> None:
    """The service died of SIGBUS, and no segment had just been cut."""
    story.inject(1, "segment_header", "front")
    story.restart("servicer", 23, "signal SIGBUS")


def dead_reader(story: Story) -> None:
    """A local program died of what it read."""
    story.inject(1, "segment_counters", "front")
    story.tell(ReaderEnded(story.t, "the local program", "signal SIGSEGV"))


def dead_supervisor(story: Story) -> None:
    """Nobody killed the supervisor."""
    story.tell(SupervisorEnded(story.t, None, "exit code 1", expected=False))


def fault_not_shown(story: Story) -> None:
    """Front is unplugged for 10 s, and the robot does not know."""
    story.inject(1, "unplug", "front", ends=True, over=False)
    story.broken = {"front"}
    story.pass_time(10)


def end_not_shown(story: Story) -> None:
    """A worker was killed and is back within a second: its end has to be seen all the same."""
    story.inject(1, "kill", "front", ends=True)
    story.restart("front", 21)
    story.pass_time(7)


def frozen_not_shown(story: Story) -> None:
    """Front shows the same picture for 12 s."""
    story.inject(1, "freeze", "front", over=False)
    story.pass_time(12)


def corrupt_not_shown(story: Story) -> None:
    """No picture can be made of rear's frames for 8 s."""
    story.inject(1, "corrupt_jpeg", "rear", over=False)
    story.pass_time(8)


def fault_stays(story: Story) -> None:
    """Front works again, and its fault is still there."""
    story.inject(1, "kill", "front", ends=True)
    story.restart("front", 21)
    story.faults = (*REFUSED, FAULT_OF_FRONT)
    story.pass_time(12)


def fault_by_a_client(story: Story) -> None:
    """Somebody asked for something odd, and the robot shows a fault."""
    story.inject(1, "odd_request", "")
    story.faults = (*REFUSED, "Decoding Image front Failure")
    story.pass_time(2)


def fault_without_a_reason(story: Story) -> None:
    """Nothing was done to service and robot."""
    story.faults = (*REFUSED, "Image Service Restarted")
    story.pass_time(2)


def refusals_not_shown(story: Story) -> None:
    """A stranger calls all the time, and nobody is told."""
    story.faults = ()
    story.pass_time(2)


def nobody_killed_it(story: Story) -> None:
    """The driver crashed, and the operator reads that somebody killed its process."""
    story.inject(1, "segfault", "front", ends=True)
    die_and_say(story, 21, "signal SIGSEGV", FROM_OUTSIDE)


def killed_long_ago(story: Story) -> None:
    """It was killed minutes before it crashed."""
    story.inject(1, "kill", "front", ends=True)
    die_and_say(story, 21, "signal SIGKILL", FROM_OUTSIDE)
    story.pass_time(70)
    nobody_killed_it(story)


def somebody_else_was_killed(story: Story) -> None:
    """The service was killed, and rear's fault says so too."""
    story.inject(1, "servicer_kill", "servicer", ends=True)
    story.restart("servicer", 23)
    story.pass_time(1)
    nobody_killed_it(story)


def file_does_not_come(story: Story) -> None:
    """The robot names a file for a quarter of a minute, and it is never there."""
    story.missing = (FILE,)
    story.inject(1, "unplug", "front", ends=True, over=False)
    story.broken = {"front"}
    die_and_say(story, 21, "exit code 1", f"front: is gone. details: {FILE}", 15)


def die_and_say(story: Story, pid: int, how: str, text: str, seconds: float = 3) -> None:
    """Front's process ends, and its fault says so for a while."""
    story.restart("front", pid, how)
    story.faults, story.texts = (*REFUSED, FAULT_OF_FRONT), {FAULT_OF_FRONT: text}
    story.pass_time(seconds)
    story.faults = REFUSED


def too_many_descriptors(story: Story) -> None:
    """A worker with a thousand files."""
    story.tell(ProcessSeen(story.t, "front", 11, 1000, 4, 60.0))


def growing_memory(story: Story) -> None:
    """A service that takes a megabyte a second, each time little enough."""
    for second in range(150):
        story.tell(ProcessSeen(story.t + second, "servicer", 99, 40, 20, 100.0 + second))


def growing_descriptors(story: Story) -> None:
    """A supervisor that forgets to close one in ten seconds."""
    for second in range(150):
        story.tell(ProcessSeen(story.t + second, "supervisor", 99, 20 + second // 10, 1, 50.0))


def too_many_segments(story: Story) -> None:
    """Rings that nobody reads and nobody removes."""
    story.tell(SegmentsSeen(story.t, 31.0, 30.0))


def image_for_a_stranger(story: Story) -> None:
    """A call from outside the allow-list is answered."""
    story.tell(IntruderSeen(story.t, "OK", 400))


def bytes_for_a_stranger(story: Story) -> None:
    """It is refused, after a picture was sent."""
    story.tell(IntruderSeen(story.t, "PERMISSION_DENIED", 20_000))


def too_many_lines(story: Story) -> None:
    """Nothing is done, and 200 lines come in a minute."""
    story.tell(LogSeen(story.t, 200, 3, "various"))


def lines_for_minutes(story: Story) -> None:
    """Nothing is done, and 100 lines come in each minute."""
    for _ in range(31):
        story.tell(LogSeen(story.t, 100, 3, "various"))
        story.t += 10


def lines_for_two_minutes(story: Story) -> None:
    """A run of two minutes, and neither is beyond what a supervisor may say at once; both together are."""
    for _ in range(13):
        story.tell(LogSeen(story.t, 170, 3, "various"))
        story.t += 10


def the_same_line(story: Story) -> None:
    """Few lines, but always the same one."""
    story.tell(LogSeen(story.t, 40, 40, "front: is silent"))


BREAKING: list[tuple[str, Callable[[Story], None]]] = [
    ("I1", torn),
    ("I2", stale_when_asked),
    ("I2", stale_when_answered),
    ("I3", frame_back),
    ("I3", time_back),
    ("I3", time_back_further_than_the_clock),
    ("I4", foreign),
    ("I5", slow_neighbour),
    ("I5", silent_neighbour),
    ("I5", restarted_neighbour),
    ("I6", late_call),
    ("I6", call_beyond_its_deadline),
    ("I7", late_after_crash),
    ("I7", late_after_hang),
    ("I7", never_back),
    ("I8", process_left),
    ("I8", segment_left),
    ("I9", two_writers),
    ("I10", dead_servicer),
    ("I10", dead_reader),
    ("I10", dead_supervisor),
    ("I11", fault_not_shown),
    ("I11", end_not_shown),
    ("I11", frozen_not_shown),
    ("I11", corrupt_not_shown),
    ("I11", fault_stays),
    ("I11", fault_by_a_client),
    ("I11", fault_without_a_reason),
    ("I11", refusals_not_shown),
    ("I11", nobody_killed_it),
    ("I11", killed_long_ago),
    ("I11", somebody_else_was_killed),
    ("I11", file_does_not_come),
    ("I12", too_many_descriptors),
    ("I12", growing_memory),
    ("I12", growing_descriptors),
    ("I12", too_many_segments),
    ("I13", image_for_a_stranger),
    ("I13", bytes_for_a_stranger),
    ("I14", too_many_lines),
    ("I14", lines_for_minutes),
    ("I14", lines_for_two_minutes),
    ("I14", the_same_line),
]


@pytest.mark.parametrize(("invariant", "happens"), BREAKING, ids=lambda what: getattr(what, "__name__", what))
def test_a_broken_message_makes_its_invariant_fire(
    story: Story, invariant: str, happens: Callable[[Story], None]
) -> None:
    """What breaks one invariant is seen, and taken for nothing else."""
    happens(story)
    assert story.violated() == {invariant}


def test_every_invariant_has_a_message_that_breaks_it() -> None:
    """None is forgotten."""
    assert {invariant for invariant, _ in BREAKING} == set(INVARIANTS)


# What looks bad, and is excused by what was done; no more than that.


def test_a_clock_that_goes_back_takes_the_times_along_once(story: Story) -> None:
    """Each client's times of each source may follow a step of the robot's clock, one time."""
    story.tell(Injected(story.t, 1, "robot_clock", "robot", (facts.ROBOT,), figure=-50.0), facts.Over(story.t, 1))
    newest = story.image()
    back = newest.acquired_ns - 50_000_000_000
    story.tell(newest, story.image(acquired_ns=back))
    assert story.count("I3").violations == 0
    story.tell(story.image(acquired_ns=back - 50_000_000_000))
    assert story.count("I3").violations == 1


def test_a_pause_hides_most_of_a_step_of_the_clock(story: Story) -> None:
    """Nine seconds without a picture, and a clock that was put back by ten: its times go back by one."""
    before = story.image()
    story.tell(before, Injected(story.t, 1, "robot_clock", "robot", (facts.ROBOT,), figure=-10.0))
    story.tell(facts.Over(story.t, 1))
    story.t += 9.05
    after = story.image()
    story.tell(replace(after, acquired_ns=after.acquired_ns - 10_000_000_000))
    assert story.count("I3").violations == 0
    story.tell(replace(story.image(), acquired_ns=after.acquired_ns - 10_500_000_000))
    assert story.count("I3").violations == 1


def test_a_frozen_sensor_before_a_step_of_the_clock(story: Story) -> None:
    """Its number stood still for longer than there was no picture: less of the step is hidden than it seems."""
    story.inject(1, "freeze", "front")
    number = story.image().number
    story.t += 8
    story.tell(replace(story.image(), number=number))
    story.tell(Injected(story.t, 2, "robot_reboot", "robot", (facts.ROBOT,), figure=-100.25), facts.Over(story.t, 2))
    story.t += 2
    after = story.image()
    story.tell(replace(after, acquired_ns=after.acquired_ns - 100_250_000_000))
    assert story.count("I3").violations == 0


def test_an_announced_delay_is_not_late(story: Story) -> None:
    """Backoff is part of the promise."""
    story.inject(1, "kill", "front", ends=True)
    story.broken, story.faults = {"front"}, (*REFUSED, FAULT_OF_FRONT)
    story.restart("front", 21, wait_s=4.0)
    story.pass_time(5)
    story.broken = set()
    story.pass_time(1)
    assert story.violated() == set()


def test_who_was_killed_may_be_said_to_be(story: Story) -> None:
    """Also when it crashes a moment later: what the operator reads may still be about the kill."""
    story.inject(1, "kill", "front", ends=True)
    die_and_say(story, 21, "signal SIGKILL", FROM_OUTSIDE)
    story.pass_time(30)
    story.inject(2, "segfault", "front", ends=True)
    die_and_say(story, 22, "signal SIGSEGV", FROM_OUTSIDE)
    assert story.violated() == set()


def test_a_file_has_some_seconds_to_come(story: Story) -> None:
    """It is named before it is written, and whoever is disturbed has all of that time again."""
    story.missing = (FILE,)
    story.inject(1, "unplug", "front", ends=True, over=False)
    story.broken = {"front"}
    die_and_say(story, 21, "exit code 1", f"front: is gone. details: {FILE}", 10)
    story.missing = ()
    story.faults = (*REFUSED, FAULT_OF_FRONT)
    story.pass_time(5)
    assert story.violated() == set()


def test_each_supervisor_may_say_much_at_its_start(story: Story) -> None:
    """Two starts in two minutes are 120 lines each, beside a line a second; no more than that."""
    story.inject(1, "supervisor_kill", "supervisor", ends=True)
    story.tell(SupervisorEnded(story.t, 1, "signal SIGKILL", expected=True), LogSeen(story.t + 10, 290, 3, "various"))
    story.tell(LogSeen(story.t + 70, 60, 3, "various"))
    assert story.count("I14").violations == 0
    story.tell(LogSeen(story.t + 80, 310, 3, "various"))
    assert story.count("I14").violations == 1


def test_the_worst_minute_counts_for_the_others(story: Story) -> None:
    """What is too much by itself is part of what there was altogether."""
    for minute, lines in enumerate((400, 60)):
        story.tell(LogSeen(story.t + 60 * (minute + 1), lines, 3, "various"))
    assert story.count("I14").violations == 2


def test_a_fault_excuses_its_own_camera_alone(story: Story) -> None:
    """While front is broken it may be slow and refused; rear may not."""
    story.inject(1, "unplug", "front", ends=True, over=False)
    story.broken, story.faults = {"front", "rear"}, (*REFUSED, FAULT_OF_FRONT)
    story.pass_time(4)
    assert [example for example in story.count("I5").examples if "front" in example] == []
    assert len([example for example in story.count("I5").examples if "rear" in example]) == 1


def test_a_stopped_service_answers_late(story: Story) -> None:
    """Nobody can answer while he is stopped; that is counted as excused."""
    story.inject(1, "servicer_stop", "servicer", ends=True)
    story.tell(story.call(took=4.0, deadline=5.0))
    assert (story.count("I6").violations, story.count("I6").excused) == (0, 1)


def test_a_robot_that_does_not_answer_excuses_its_proxy_only(story: Story) -> None:
    """A call through a silent robot takes as long as the robot; a direct one does not."""
    story.inject(1, "robot_silent", "robot", over=False)
    story.tell(CallSeen(story.t, "proxy-0", story.t - 4, 5.0, "TimedOutError", by_proxy=True))
    assert story.violated() == set()
    story.tell(CallSeen(story.t, "direct-0", story.t - 4, 5.0, "OK", by_proxy=False))
    assert story.violated() == {"I6"}


def test_a_supervisor_that_finds_no_room(story: Story) -> None:
    """It has to end if /dev/shm is full, and only then."""
    story.tell(SupervisorEnded(story.t, None, "exit code 71", expected=False))
    assert story.count("I10").violations == 1
    story.inject(1, "shm_full", "front")
    story.tell(SupervisorEnded(story.t + 0.5, None, "exit code 71", expected=False))
    assert (story.count("I10").violations, story.count("I10").excused) == (1, 1)
    story.tell(SupervisorEnded(story.t + 0.6, None, "exit code 1", expected=False))
    assert story.count("I10").violations == 2


def test_a_segment_that_is_cut_while_it_is_read(story: Story) -> None:
    """SIGBUS right after the cut is excused, and counted; later it is not."""
    story.inject(1, "segment_truncated", "front")
    story.tell(ReaderEnded(story.t + 0.1, "the local program", "signal SIGBUS"))
    assert (story.count("I10").violations, story.count("I10").excused) == (0, 1)
    story.tell(ReaderEnded(story.t + 2.0, "the local program", "signal SIGBUS"))
    assert story.count("I10").violations == 1


def test_a_reader_that_does_not_look_at_lengths(story: Story) -> None:
    """SIGBUS after the cut every time is no accident."""
    for index in range(4):
        story.inject(index, "segment_truncated", "front")
        story.tell(ReaderEnded(story.t + 0.1, "the local program", "signal SIGBUS"))
        story.pass_time(2)
    assert story.count("I10").violations >= 2


def test_a_machine_that_stood_still_excuses_what_needs_time(story: Story) -> None:
    """A window in which the machine did not run is not judged."""
    story.tell(Stalled(story.t, story.t - 2.5), story.call(took=2.6, deadline=5.0))
    assert (story.count("I6").violations, story.count("I6").excused) == (0, 1)


def test_facts_travel_as_lines() -> None:
    """What arrives is what was sent."""
    story = Story()
    story.texts, story.missing = {REFUSED[0]: "two"}, (FILE,)
    some = (story.image(), story.call(), story.child("front", 11), story.robot(), WritersSeen(1.0, "front", 2, (3, 4)))
    for fact in some:
        assert facts.from_line(facts.to_line(fact)) == fact
    assert int(story.t * FPS) == story.t * FPS

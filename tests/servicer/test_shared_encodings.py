"""One encoding per frame and wish, whoever asks first; nothing of it lives longer than it is of use."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servicer import shared_encodings
from servicer.shared_encodings import FrameKey, SharedEncodings
from tests.servicer.serving import wait_for

FRAME = FrameKey(epoch=1, frame_number=10)


def encodings() -> SharedEncodings[str]:
    """Encodings that are strings, each as large as it is long."""
    return SharedEncodings(len)


def futures(shared: SharedEncodings[Any]) -> list["Future[Any]"]:
    """All that are kept."""
    return [future for kept in shared._sets.values() for future in kept.futures.values()]


def never() -> str:
    """In the place of an encoding that must not be made."""
    raise AssertionError("made although it is there already")


def test_many_threads_make_one() -> None:
    """All of them get the one that the first made."""
    shared, made, ready = encodings(), [], threading.Barrier(16)
    release = threading.Event()

    def make() -> str:
        made.append(threading.get_ident())
        release.wait(10)
        return "picture"

    def ask() -> str:
        ready.wait(10)
        return shared.get(FRAME, "jpeg", make, 10)

    with ThreadPoolExecutor(16) as threads:
        answers = [threads.submit(ask) for _ in range(16)]
        wait_for(lambda: made)
        release.set()
        assert {answer.result() for answer in answers} == {"picture"}
    assert (len(made), shared.made) == (1, 1)


def test_another_wish_is_another_encoding() -> None:
    """Nobody gets what somebody else wanted."""
    shared = encodings()
    assert shared.get(FRAME, "jpeg", lambda: "a", 1) == "a"
    assert shared.get(FRAME, "raw", lambda: "b", 1) == "b"
    assert shared.get(FRAME, "jpeg", never, 1) == "a"


def test_a_failure_reaches_everybody_and_is_not_kept() -> None:
    """Those who wait get the leader's error; who comes later tries again."""
    shared, release, leading = encodings(), threading.Event(), threading.Event()

    def fail() -> str:
        leading.set()
        release.wait(10)
        raise ValueError("broken")

    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(shared.get, FRAME, "jpeg", fail, 10)
        assert leading.wait(10)
        follower = threads.submit(shared.get, FRAME, "jpeg", never, 10)
        release.set()
        for caller in (leader, follower):
            with pytest.raises(ValueError, match="broken"):
                caller.result()
    assert shared.get(FRAME, "jpeg", lambda: "whole", 1) == "whole"
    assert shared.made == 1


def test_who_waits_too_long_gets_a_timeout() -> None:
    """The built-in TimeoutError on every Python; the leader finishes, and later ones profit."""
    shared, release, leading = encodings(), threading.Event(), threading.Event()

    def slow() -> str:
        leading.set()
        release.wait(10)
        return "late"

    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(shared.get, FRAME, "jpeg", slow, 10)
        assert leading.wait(10)
        for timeout_s in (0.01, 0.0, -1.0):
            with pytest.raises(TimeoutError) as timeout:
                shared.get(FRAME, "jpeg", never, timeout_s)
            assert type(timeout.value) is TimeoutError
        release.set()
        assert leader.result() == "late"
    assert shared.get(FRAME, "jpeg", never, 1) == "late"


def test_a_newer_frame_replaces_and_an_older_one_does_not() -> None:
    """Who looked at the ring a moment earlier gets what was made of the newer frame meanwhile."""
    shared = encodings()
    shared.get(FRAME, "jpeg", lambda: "old", 1)
    newer = FrameKey(1, 11)
    assert shared.get(newer, "jpeg", lambda: "new", 1) == "new"
    assert shared.get(FRAME, "jpeg", never, 1) == "new"
    assert shared.get(newer, "jpeg", never, 1) == "new"


def test_another_ring_replaces_whatever_its_numbers_are() -> None:
    """Numbers of different epochs say nothing about each other."""
    shared = encodings()
    shared.get(FRAME, "jpeg", lambda: "old", 1)
    assert shared.get(FrameKey(2, 1), "jpeg", lambda: "other", 1) == "other"


def test_a_leader_of_an_old_frame_leaves_nothing_in_the_new_ones_place() -> None:
    """It returns its picture to its own client; the newer frame's is not touched, even if the old one fails."""
    shared, release, leading = encodings(), threading.Event(), threading.Event()

    def fail() -> str:
        leading.set()
        release.wait(10)
        raise ValueError("broken")

    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(shared.get, FRAME, "jpeg", fail, 10)
        assert leading.wait(10)
        shared.get(FrameKey(1, 11), "jpeg", lambda: "new", 1)
        release.set()
        assert isinstance(leader.exception(), ValueError)
    assert shared.get(FrameKey(1, 11), "jpeg", never, 1) == "new"


def test_the_number_of_kept_encodings_is_bounded() -> None:
    """A client that asks for another size each time makes the oldest go, not the memory grow."""
    shared = encodings()
    for wish in range(100):
        shared.get(FRAME, wish, lambda: "x", 1)
        assert len(futures(shared)) <= 64
    assert shared.get(FRAME, 99, never, 1) == "x"
    assert shared.get(FRAME, 0, lambda: "again", 1) == "again"


def test_other_parameters_throw_out_nothing() -> None:
    """Clients who alternate with parameters of their own keep what was made for each, as long as they are few."""
    shared = encodings()
    for number in (10, 11):
        for params in range(4):
            made = f"{params}/{number}"
            assert shared.get(FrameKey(1, number, bytes([params])), "jpeg", made.strip, 1) == made
    for params in range(4):
        assert shared.get(FrameKey(1, 11, bytes([params])), "jpeg", never, 1) == f"{params}/11"
    shared.get(FrameKey(1, 11, b"\x04"), "jpeg", lambda: "fifth", 1)
    assert len(futures(shared)) == 4
    assert shared.get(FrameKey(1, 11, b"\x00"), "jpeg", lambda: "again", 1) == "again"


def test_the_bytes_of_all_parameters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One budget for all of them: what was made first goes first."""
    monkeypatch.setattr(shared_encodings, "_MOST_BYTES", 100)
    shared = encodings()
    for params in range(4):
        shared.get(FrameKey(1, 10, bytes([params])), "jpeg", lambda: "x" * 40, 1)
        assert sum(len(future.result()) for future in futures(shared)) <= 100


def test_the_bytes_of_kept_encodings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones go earlier; one that is larger than all the room is served and not kept."""
    monkeypatch.setattr(shared_encodings, "_MOST_BYTES", 100)
    shared = encodings()
    for wish in range(10):
        shared.get(FRAME, wish, lambda: "x" * 40, 1)
        assert sum(len(future.result()) for future in futures(shared)) <= 100
    assert len(shared.get(FRAME, 9, never, 1)) == 40
    assert len(shared.get(FRAME, "huge", lambda: "x" * 101, 1)) == 101
    assert not futures(shared)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(0, 3), st.booleans()), max_size=60),
    st.integers(2, 8),
)
def test_any_crowd_gets_what_it_asked_for(calls: list[tuple[int, int, int, bool]], crowd: int) -> None:
    """Whatever the order of frames, wishes, failures and threads: the wish is met, by a frame at least as new."""
    shared: SharedEncodings[tuple[int, int, int]] = SharedEncodings(len)

    def ask(epoch: int, number: int, wish: int, fails: bool) -> bool:
        def make() -> tuple[int, int, int]:
            if fails:
                raise ValueError
            return epoch, number, wish

        try:
            made = shared.get(FrameKey(epoch, number), wish, make, 10)
        except ValueError:
            return True  # its own failure, or that of the one it waited for
        return made[2] == wish and made[0] == epoch and made[1] >= number

    with ThreadPoolExecutor(crowd) as threads:
        assert all(threads.map(lambda call: ask(*call), calls))
    assert len(futures(shared)) <= 16

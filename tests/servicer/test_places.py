"""Who is worked on next."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from servicer.places import Places
from tests.servicer.serving import wait_for


def test_places_go_to_who_came_first() -> None:
    """Also when somebody comes in the moment in which one is given back; who gave up is passed over."""
    places, order = Places(1), []
    assert places.take(0.0)

    def come(number: int) -> None:
        if places.take(time.monotonic() + 30):
            order.append(number)

    with ThreadPoolExecutor(4) as callers:
        for number in range(4):
            callers.submit(come, number)
            wait_for(lambda: len(places._turns) == number + 1)  # noqa: B023
            assert not places.take(time.monotonic() + 0.001)  # in the queue, for a moment
        for count in range(1, 5):
            places.give_back()
            assert not places.take(time.monotonic())  # it was handed over
            wait_for(lambda: len(order) == count)  # noqa: B023
    assert order == [0, 1, 2, 3]
    places.give_back()
    assert places.take(0.0)


def test_no_place_is_lost_or_doubled() -> None:
    """However many wait for moments only."""
    places, inside, most = Places(3), [], []
    counting = threading.Lock()

    def work(number: int) -> None:
        for turn in range(200):
            if places.take(time.monotonic() + 0.0001 * ((number + turn) % 3)):
                with counting:
                    inside.append(number)
                    most.append(len(inside))
                with counting:
                    inside.remove(number)
                places.give_back()

    with ThreadPoolExecutor(16) as callers:
        list(callers.map(work, range(16)))
    assert max(most) <= 3
    assert [places.take(time.monotonic()) for _ in range(4)] == [True, True, True, False]

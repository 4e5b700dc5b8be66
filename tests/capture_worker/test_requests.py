"""The worker's end of the socket: who is heard, who is answered, and who is forgotten."""

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from capture_worker import requests as requests_module
from capture_worker.requests import MOST_CONNECTIONS, MOST_WAITING, CaptureRequests
from shm.capture_requests import PACKET_BYTES, address
from tests.capture_worker.asking import Client
from tests.capture_worker.harness import wait_for

INSTANCE = f"t{uuid.uuid4().hex[:16]}"


@pytest.fixture
def requests() -> Iterator[CaptureRequests]:
    """Listen for a camera."""
    with CaptureRequests(INSTANCE, "front") as requests:
        yield requests


@pytest.fixture
def client(requests: CaptureRequests) -> Iterator[Client]:
    """Connect to it."""
    assert requests.problem is None
    with Client(INSTANCE) as client:
        yield client


def answer(requests: CaptureRequests, number: int = 7, picture: bytes | None = None) -> None:
    """Answer the first request and all that are like it."""
    requests.answer(requests.first(), frame_number=number, captured_ns=2, begun_ns=1, picture=picture)


def turn_until(requests: CaptureRequests, condition: Callable[[], bool]) -> None:
    """Do what a worker's loop does, until something is so."""

    def is_so() -> bool:
        requests.wait(1)
        requests.receive()
        return condition()

    wait_for(is_so)


def test_those_who_ask_for_the_same_are_answered_together(requests: CaptureRequests, client: Client) -> None:
    """One capture serves all that wait for the same parameters, in the order in which these were first asked for."""
    with Client(INSTANCE) as other:
        numbers = [client.ask(params_id="aa"), client.ask(params_id="bb"), other.ask(params_id="aa")]
        requests.receive()
        answer(requests)
        assert [client.answer().number, other.answer().number] == [numbers[0], numbers[2]]
        assert [waiting.request.params_id for waiting in requests.first()] == ["bb"]
        answer(requests, 8)
        assert client.answer().frame_number == 8
        assert requests.first() == []


def test_a_request_whose_time_is_over_is_forgotten(requests: CaptureRequests, client: Client) -> None:
    """Nobody captures for somebody who has stopped waiting."""
    client.ask(within_s=0)
    client.ask(params_id="bb")
    requests.receive()
    assert [waiting.request.params_id for waiting in requests.first()] == ["bb"]


def test_a_request_that_was_taken_back_is_forgotten(requests: CaptureRequests, client: Client) -> None:
    """Only that of the client that says so, which is no asking; the number of another one's stays."""
    with Client(INSTANCE) as other:
        numbers = [client.ask(params_id="aa"), client.ask(params_id="bb"), other.ask(params_id="aa")]
        requests.receive()
        group, asked_s = requests.first(), requests.asked_s
        client.forget(numbers[0])
        client.forget(99)
        requests.receive()
        assert requests.asked_s == asked_s
        assert requests.still_waiting(group)
        assert [(waiting.request.params_id, waiting.request.number) for waiting in requests.first("aa")] == [("aa", 1)]
        other.forget(numbers[2])
        requests.receive()
        assert not requests.still_waiting(group)
        assert [waiting.request.params_id for waiting in requests.first()] == ["bb"]


def test_a_client_that_has_gone_is_forgotten(requests: CaptureRequests, client: Client) -> None:
    """Its requests go with it, and the others are answered."""
    with Client(INSTANCE) as other:
        other.ask(params_id="aa")
        requests.receive()
        group = requests.first()
        assert requests.still_waiting(group)
    number = client.ask(params_id="bb")
    requests.receive()
    assert not requests.still_waiting(group)
    answer(requests)
    assert client.answer().number == number


@pytest.mark.parametrize(
    "packet",
    [b"nonsense", b'{"number":1}', b"[" * 5000, b'{"number":"1","kind":"capture","until_ns":5,"params_id":""}'],
)
def test_a_broken_packet_closes_its_connection_only(requests: CaptureRequests, client: Client, packet: bytes) -> None:
    """Whoever sends nonsense is cut off; the others do not notice."""
    with Client(INSTANCE) as broken:
        broken.ask()
        broken.socket.send(packet)
        client.ask(params_id="aa")
        requests.receive()
        assert broken.is_hung_up_on()
    assert [waiting.request.params_id for waiting in requests.first()] == ["aa"]


def test_beyond_what_can_wait_the_answer_is_busy(requests: CaptureRequests, client: Client) -> None:
    """The number of requests that wait is bounded, and whoever is one too many hears so at once."""
    for _ in range(MOST_WAITING + 1):
        number = client.ask(params_id="aa")
        requests.receive()
    busy = client.answer()
    assert (busy.number, busy.failure) == (number, "busy")
    assert len(requests.first()) == MOST_WAITING


def test_a_client_that_reads_no_answers_is_let_go(requests: CaptureRequests, client: Client) -> None:
    """Its answers fill its socket, and nothing of the worker's waits for it."""

    def ask_and_never_read() -> None:
        for _ in range(10_000):
            client.ask()
            requests.receive()
            requests.fail_all("camera", "x" * 1000)

    with pytest.raises(BrokenPipeError):
        ask_and_never_read()
    assert requests.first() == []


def test_connections_are_bounded(requests: CaptureRequests, client: Client) -> None:
    """For one too many, that which has been silent longest makes room: who forgets his keeps nobody out."""
    requests.receive()
    with contextlib.ExitStack() as holding:
        forgotten = [holding.enter_context(Client(INSTANCE))]
        requests.receive()
        for _ in range(2 * MOST_CONNECTIONS):
            client.ask()
            forgotten.append(holding.enter_context(Client(INSTANCE)))
            requests.receive()
            answer(requests)
            client.answer()
        hung_up_on = [each.is_hung_up_on() for each in forgotten[: -MOST_CONNECTIONS + 1]]
        assert all(hung_up_on)
        forgotten[-1].ask()
        requests.receive()
        assert len(requests.first()) == 1


def test_a_connection_on_which_an_answer_is_waited_for_makes_no_room(requests: CaptureRequests, client: Client) -> None:
    """However many others come, and however silent it is meanwhile."""
    number = client.ask()
    requests.receive()
    with contextlib.ExitStack() as holding:
        for _ in range(2 * MOST_CONNECTIONS):
            holding.enter_context(Client(INSTANCE))
            requests.receive()
        answer(requests)
        assert client.answer().number == number


def test_nobody_comes_in_while_everybody_waits(requests: CaptureRequests) -> None:
    """One too many is let go at once, even if it asks, and those who wait are answered."""
    with contextlib.ExitStack() as holding:
        clients = [holding.enter_context(Client(INSTANCE)) for _ in range(MOST_CONNECTIONS + 1)]
        for client in clients:
            client.ask()
        requests.receive()
        assert clients[-1].is_hung_up_on()
        assert len(requests.first()) == MOST_CONNECTIONS
        answer(requests)
        assert [client.answer().frame_number for client in clients[:-1]] == [7] * MOST_CONNECTIONS


def test_another_user_is_not_heard(requests: CaptureRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    """An abstract address has no permissions: whoever runs as somebody else is let go without a word."""
    monkeypatch.setattr(requests_module, "peer_uid", lambda _: os.getuid() + 1)
    with Client(INSTANCE) as stranger:
        stranger.ask()
        requests.receive()
        assert stranger.is_hung_up_on()
    assert requests.first() == []


def test_keep_is_noted_and_not_answered(requests: CaptureRequests, client: Client) -> None:
    """Saying "keep" makes the worker know that somebody still looks."""
    assert requests.asked_s == float("-inf")
    before_s = time.monotonic()
    client.ask("keep")
    requests.wait(5)
    requests.receive()
    assert before_s <= requests.asked_s <= time.monotonic()
    assert not client.has_answer()
    assert requests.first() == []


def test_a_picture_comes_as_a_file_that_nobody_can_change(requests: CaptureRequests, client: Client) -> None:
    """Each who asked for the same picture gets a descriptor of its own, at the beginning, and cannot write to it."""
    client.ask("decode", image_request={"image_format": 1})
    client.ask("decode", image_request={"image_format": 1})
    client.ask("decode", image_request={"image_format": 2})
    requests.receive()
    answer(requests, picture=b"picture" * 100_000)
    for number in (1, 2):
        found, picture = client.answer_with_picture()
        assert (found.number, picture) == (number, b"picture" * 100_000)
    answer(requests, picture=b"other")
    (fd,) = socket.recv_fds(client.socket, PACKET_BYTES, 1)[1]
    writable = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    for attempt in (fd, writable):
        with pytest.raises(OSError, match=r"Bad file descriptor|not permitted"):
            os.write(attempt, b"!")
        os.close(attempt)


def test_a_predecessor_may_hold_the_address_for_a_while() -> None:
    """A worker starts although the one before it has not quite gone, and listens as soon as it has."""
    with CaptureRequests(INSTANCE, "front") as dying, CaptureRequests(INSTANCE, "front") as successor:
        assert successor.problem is None
        dying.__exit__(None, None, None)
        turn_until(successor, lambda: successor._listener is not None)
        with Client(INSTANCE) as client:
            client.ask()
            turn_until(successor, lambda: successor.first() != [])


def test_an_address_that_stays_taken_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it is no predecessor any more, even if it does not say who it is."""
    monkeypatch.setattr(requests_module, "_PATIENCE_S", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(address(INSTANCE, "front"))
        with CaptureRequests(INSTANCE, "front") as requests:
            assert requests.problem is None
            turn_until(requests, lambda: requests.problem is not None)
            assert f"@{INSTANCE}.cam.front cannot be taken (Address already in use)" in str(requests.problem)
            silent.close()
            turn_until(requests, lambda: requests.problem is None)


def test_another_users_address_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who squats the address is said without waiting."""
    monkeypatch.setattr(requests_module, "peer_uid", lambda _: 12345)
    with CaptureRequests(INSTANCE, "front"), CaptureRequests(INSTANCE, "front") as squatted:
        assert "belongs to the user 12345" in str(squatted.problem)

"""The packets between servicer and worker: what is sent arrives, and what is broken is refused."""

import json
import os
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm.capture_requests import PACKET_BYTES, CaptureAnswer, CaptureRequest, address, peer_uid

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
REQUEST = CaptureRequest(1, "decode", 5, "ab" * 16, {"gain": {"double_value": {"value": 2.5}}}, {"image_format": 1})
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)


@unhurried
@given(
    NUMBERS,
    st.sampled_from(["capture", "decode", "keep", "forget"]),
    NUMBERS,
    st.text(),
    st.dictionaries(st.text(), st.text()),
)
def test_requests_arrive_as_they_were_sent(
    number: int, kind: Any, until_ns: int, text: str, some: dict[str, Any]
) -> None:
    """Every field survives, whatever characters are in it."""
    request = CaptureRequest(number, kind, until_ns, text, some, some)
    assert CaptureRequest.from_packet(request.to_packet()) == request


@unhurried
@given(st.text(), NUMBERS)
def test_answers_arrive_as_they_were_sent(text: str, number: int) -> None:
    """A frame or a failure, each with what belongs to it."""
    for answer in (CaptureAnswer(number, 7, 8, 9), CaptureAnswer(number, failure="camera", text=text)):
        assert CaptureAnswer.from_packet(answer.to_packet()) == answer


@unhurried
@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_anything_else_is_a_value_error(packet: bytes) -> None:
    """No packet of anybody's ends a process."""
    for kind in (CaptureRequest, CaptureAnswer):
        with pytest.raises(ValueError, match="validation error"):
            kind.from_packet(packet)


@pytest.mark.parametrize(
    "change", [{"number": "1"}, {"kind": "cook"}, {"until_ns": 1.5}, {"params_id": None}, {"parameters": []}]
)
def test_fields_of_another_type_are_refused(change: dict[str, Any]) -> None:
    """Nothing is converted: what does not fit was not written by our other end."""
    fields = {**json.loads(REQUEST.to_packet()), **change}
    with pytest.raises(ValueError, match=next(iter(change))):
        CaptureRequest.from_packet(json.dumps(fields).encode())


def test_fields_of_a_later_version_are_left_out() -> None:
    """A servicer that knows more can still ask."""
    fields = {**json.loads(REQUEST.to_packet()), "hurry": True}
    assert CaptureRequest.from_packet(json.dumps(fields).encode()) == REQUEST


def test_a_request_that_fits_into_no_packet_is_refused_before_it_is_sent() -> None:
    """The longest packet passes through a socket as it is; one byte more is an error with the limit in it."""
    room = PACKET_BYTES - len(CaptureRequest(1, "capture", 5, "").to_packet())
    longest = CaptureRequest(1, "capture", 5, "x" * room).to_packet()
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        sender.send(longest)
        assert receiver.recv(PACKET_BYTES) == longest
    with pytest.raises(ValueError, match=str(PACKET_BYTES)):
        CaptureRequest(1, "capture", 5, "x" * (room + 1)).to_packet()


def test_each_camera_of_each_instance_has_an_address_of_its_own() -> None:
    """Abstract, named like the ring, and refused for a name that no ring can have."""
    assert address("spot", "front") == "\0spot.cam.front"
    with pytest.raises(ValueError, match="camera name"):
        address("spot", "front/../rear")


def test_both_ends_know_whose_the_other_one_is() -> None:
    """The kernel says it, on either side."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        assert peer_uid(sender) == peer_uid(receiver) == os.getuid()

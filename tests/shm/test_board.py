"""The status board: one whole snapshot or none, whoever restarts."""

import os
import time
from collections.abc import Callable

import pytest

from shm import BoardReader, BoardWriter, ChildRecord, Encoding, RingWriter, Status, names


def status(instance: str, restarts: int = 0, text: str | None = None) -> Status:
    """A board of one camera and the servicer."""
    now_ns = time.monotonic_ns()
    camera = ChildRecord(
        "front", "camera", "waiting", now_ns, restarts=restarts, error_text=text, rate_hz=29.97, facts={"driver": "ü"}
    )
    return Status(instance, 4321, now_ns, (camera, ChildRecord("servicer", "servicer", "running", now_ns, pid=7)), -5)


def publish_json(instance: str, document: bytes, encoding: Encoding = Encoding.JSON) -> None:
    """Put any bytes in the place of a board."""
    with RingWriter(instance, names.BOARD, payload_capacity_bytes=4096, descriptor={}) as ring:
        stride = 0 if encoding.compressed else len(document)
        ring.publish(
            document,
            captured_ns=time.monotonic_ns(),
            rows=1,
            cols=len(document),
            row_stride_bytes=stride,
            encoding=encoding,
        )


def test_what_is_published_is_read(instance: str) -> None:
    """A reader gets the newest status, equal in every field; None while there is no board."""
    reader = BoardReader(instance)
    assert reader.latest() is None
    with BoardWriter(instance) as board:
        assert reader.latest() is None
        for restarts in range(10):
            shown = status(instance, restarts)
            board.publish(shown)
            assert reader.latest() == shown
    assert reader.latest() == shown


def test_a_new_supervisor_replaces_the_board(instance: str) -> None:
    """A reader goes over to the board of the next supervisor, and one board is left."""
    reader, shown = BoardReader(instance), None
    for restarts in range(5):
        with BoardWriter(instance) as board:
            assert reader.latest() == shown
            shown = status(instance, restarts)
            board.publish(shown)
        assert reader.latest() == shown
    assert names.names_of(instance) == [f"/{instance}.board"]


def test_a_status_that_is_too_large(instance: str) -> None:
    """A status that does not fit is a ValueError, and the last one stays."""
    with BoardWriter(instance) as board:
        shown = status(instance)
        board.publish(shown)
        with pytest.raises(ValueError, match="bytes"):
            board.publish(status(instance, text="x" * 300_000))
        assert BoardReader(instance).latest() == shown


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b"[]",
        b"7",
        b"null",
        b"\xff\xfe",
        b"{" * 4000,
        b"[" * 4000,
        b'{"children": 3}',
        b'{"children": [3]}',
        b'{"children": [{"name": "a"}], "instance": "a", "supervisor_pid": 1, "updated_ns": 1}',
        b'{"children": [], "instance": "a", "supervisor_pid": 1, "updated_ns": "now"}',
        b'{"children": [], "instance": "a", "supervisor_pid": 1, "updated_ns": 1, "robot_clock_offset_ns": "x"}',
        b'{"children": [{"name": "a", "kind": "camera", "state": "running", "since_ns": null}], "instance": "a",'
        b' "supervisor_pid": 1, "updated_ns": 1}',
        b'{"children": [{"name": "a", "kind": "camera", "state": "asleep", "since_ns": 1}], "instance": "a",'
        b' "supervisor_pid": 1, "updated_ns": 1}',
    ],
)
def test_what_is_not_a_status_is_no_board(instance: str, document: bytes) -> None:
    """Whatever another program published, types included: a reader says None and lives."""
    publish_json(instance, document)
    assert BoardReader(instance).latest() is None


def test_a_picture_is_no_board(instance: str) -> None:
    """A ring of pixels in the board's place is no board."""
    publish_json(instance, status(instance).to_json(), Encoding.MONO8)
    assert BoardReader(instance).latest() is None


def test_a_camera_called_board_is_another_name(instance: str) -> None:
    """A camera may be called "board" without touching the status board."""
    with RingWriter(instance, "board", payload_capacity_bytes=8, descriptor={}) as ring:
        ring.publish(b"12345678", captured_ns=1, rows=1, cols=8, row_stride_bytes=8, encoding=Encoding.MONO8)
    assert BoardReader(instance).latest() is None


@pytest.mark.parametrize("harm", [names.remove, lambda name: os.truncate(names.path_of(name), 0)])
def test_a_board_that_somebody_harmed_is_made_anew(instance: str, harm: Callable[[str], object]) -> None:
    """Removed (as a session manager does after a login) or cut (which would be SIGBUS): the next status is there."""
    with BoardWriter(instance) as board:
        board.publish(status(instance))
        harm(names.segment_name(instance, names.BOARD))
        again = status(instance, text="again")
        board.publish(again)
        assert BoardReader(instance).latest() == again

"""Errors that nobody has thought of cost one entry of a call, and a few lines of the log."""

import logging
from typing import Any

import pytest

from servicer import unexpected
from servicer.custom_parameters import ParameterSpec
from servicer.served_camera import ServedCamera
from servicer.unexpected import UnexpectedErrors
from tests.servicer.serving import STATUS, Ring, Served, smooth
from tests.servicer.test_capture_modes import wanting
from tests.servicer.test_health import Clock

STEPS = ["newest", "source", "needs_capture", "answer", "answer_with", "descriptor"]


def fails(name: str) -> Any:
    """Stand in for a method of ServedCamera that nobody expects to fail for the camera "front"."""
    method = getattr(ServedCamera, name)

    def failing(camera: ServedCamera, *arguments: Any) -> Any:
        if camera.name == "front":
            raise ZeroDivisionError("nobody has thought of this")
        return method(camera, *arguments)

    return failing


@pytest.mark.parametrize("step", STEPS)
def test_an_error_that_nobody_expects_touches_one_camera_only(
    served: Served,
    front: Ring,
    instance: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    """Its entries have no image; all others have, and all sources are listed. The log has one traceback."""
    with Ring(instance, "rear") as rear:
        front.show(smooth())
        rear.show(smooth())
        monkeypatch.setattr(ServedCamera, step, fails(step))
        for _ in range(3):
            response = served.get("rear", "front", "nobody", "front", "rear")
            answers = response.image_responses
            assert [answer.status for answer in answers] == [
                STATUS.STATUS_OK,
                STATUS.STATUS_IMAGE_DATA_ERROR,
                STATUS.STATUS_UNKNOWN_CAMERA,
                STATUS.STATUS_IMAGE_DATA_ERROR,
                STATUS.STATUS_OK,
            ]
            assert [answer.source.name for answer in answers] == ["rear", "front", "nobody", "front", "rear"]
            assert "front: something unexpected" in response.header.error.message
            assert [source.name for source in served.client.list_image_sources()] == ["front", "rear"]
    (record,) = [record for record in caplog.records if record.name == unexpected.__name__]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_an_error_while_asking_touches_that_entry_only(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for the others goes on."""
    served, worker, _ = asked()
    ask = ServedCamera.ask

    def failing(camera: ServedCamera, parameters: Any, *arguments: Any) -> Any:
        if parameters.values["gain"]["double_value"]["value"] == 3.0:
            raise ZeroDivisionError
        return ask(camera, parameters, *arguments)

    monkeypatch.setattr(ServedCamera, "ask", failing)
    answers = served.get(wanting(gain=3.0), wanting(gain=4.0), "front").image_responses
    assert [answer.status for answer in answers] == [STATUS.STATUS_IMAGE_DATA_ERROR, 1, 1]
    assert len(worker.requests) == 1


def test_a_number_that_is_no_number_in_one_ring_hides_no_other(instance: str, served: Served) -> None:
    """Neither images nor sources; the camera itself is served without its parameters."""
    spec = {"specs": {"a": {"spec": {"double_spec": {"default_value": 10**400}}}}}
    assert not ParameterSpec(spec).message.specs
    with Ring(instance, "front", descriptor={"param_spec": spec}) as front, Ring(instance, "rear") as rear:
        front.show(smooth())
        rear.show(smooth())
        assert [answer.status for answer in served.get("front", "rear").image_responses] == [1, 1]
        assert len(served.client.list_image_sources()) == 2


def test_the_log_gets_one_a_minute_and_their_number(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many there are (I14)."""
    clock = Clock()
    monkeypatch.setattr(unexpected, "time", clock)
    errors = UnexpectedErrors("front")
    with caplog.at_level(logging.ERROR):
        for clock.now_s in (100.0, 101.0, 159.0, 161.0, 162.0):
            errors.note(ZeroDivisionError())
    assert [record.getMessage() for record in caplog.records] == [
        "front: unexpected errors since the last report: 1",
        "front: unexpected errors since the last report: 3",
    ]

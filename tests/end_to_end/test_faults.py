"""What the operator is told when cameras, the service or the robot fail, and what clients notice of the robot."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from bosdyn.api import image_pb2, image_service_pb2_grpc
from bosdyn.api.service_fault_pb2 import ServiceFault

from simulated_robot import Misbehaviour, Refusal, SimulatedRobot
from tests.end_to_end.running import OK, SERVICE_NAME, Pipeline, running_pipeline

SHOWN_S = 10.0
DECODING, WARNING = "Decoding Image front Failure", "Image Source Warning for front"
RESTARTED = "Image Service Restarted"
LASTING = "Image Capture Failure for gone"


def test_each_trouble_has_its_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that is frozen or broken, and a service that was killed: each by its name, until it is over."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # where the supervisor writes down how its children died
    order = tmp_path / "order"
    synthetic = {"encoding": "jpeg", "control_file": str(order)}
    front = {"driver": "synthetic", "width": 320, "height": 240, "frozen_after_s": 1.0, "synthetic": synthetic}
    with running_pipeline(tmp_path, {"front": front}) as pipeline:
        pipeline.wait(lambda: pipeline.answers("front"), "front answers", 20)

        def tells(name: str, words: str) -> bool:
            pipeline.answers("front")  # somebody has to want a picture for it to be known that there is none
            return list(pipeline.faults()) == [name] and words in pipeline.faults()[name]

        for what, name, words in [("freeze", WARNING, "does not change"), ("corrupt", DECODING, "cannot be decoded")]:
            order.write_text(what)
            pipeline.wait(lambda name=name, words=words: tells(name, words), f"{what}: {name}", SHOWN_S)  # type: ignore[misc]
            order.write_text("")
            pipeline.wait(lambda: not pipeline.faults(), f"no fault after {what}", SHOWN_S)
        pipeline.kill("servicer", signal.SIGKILL)
        pipeline.wait(lambda: RESTARTED in past(pipeline), "it is a past fault", SHOWN_S)
        assert not pipeline.faults()
        fault = past(pipeline)[RESTARTED]
        assert fault.severity == ServiceFault.SEVERITY_INFO
        assert "signal SIGKILL" in fault.error_message
        file = Path(fault.error_message.rpartition("details: ")[2])
        pipeline.wait(file.exists, "how it died is written down", SHOWN_S)
        assert tmp_path in file.parents


TROUBLES = {"hang": "hung and was killed", "unplug": "failed reads in a row", "segfault": "signal SIGSEGV"}


def test_each_trouble_is_one_entry_of_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that hangs, a pulled plug and a crash: what they were is told once, however many processes it takes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    cameras: dict[str, Any] = {}
    for what in TROUBLES:
        synthetic = {"control_file": str(tmp_path / what)}
        cameras[what] = {"driver": "synthetic", "width": 320, "height": 240, "synthetic": synthetic}
    with running_pipeline(tmp_path, cameras) as pipeline:
        pipeline.wait(lambda: all(pipeline.answers(camera) for camera in cameras), "all answer", 20)
        for what in TROUBLES:
            (tmp_path / what).write_text(what)

        def ended() -> bool:
            records = [pipeline.child(camera) for camera in cameras]
            return all(record.restarts > 0 for record in records) and records[1].error_code == "absent"

        pipeline.wait(ended, "all have ended, and the plug is known to be pulled", SHOWN_S)
        (tmp_path / "unplug").write_text("")
        names = sorted(f"Image Capture Failure for {camera}" for camera in cameras)
        pipeline.wait(lambda: not pipeline.faults() and len(past(pipeline)) >= len(names), "all is over", 30)
        assert sorted(fault.fault_id.fault_name for fault in pipeline.robot.past_faults) == names
        for camera, words in TROUBLES.items():
            assert words in past(pipeline)[f"Image Capture Failure for {camera}"].error_message


def test_each_of_many_deaths_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four workers are killed at the same moment, and are back within 2 s: each past fault says where to read on."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    cameras = {name: {"driver": "synthetic", "width": 160, "height": 120} for name in "abcd"}
    with running_pipeline(tmp_path, cameras) as pipeline:
        pipeline.wait(lambda: all(pipeline.answers(name) for name in cameras), "all answer", 30)
        for name in cameras:
            pipeline.kill(name, signal.SIGKILL)
        faults = {name: f"Image Capture Failure for {name}" for name in cameras}
        pipeline.wait(lambda: past(pipeline).keys() >= set(faults.values()) and not pipeline.faults(), "over", 30)
        for name, fault in faults.items():
            told = past(pipeline)[fault].error_message
            assert "by the kernel if memory ran out" in told
            file = Path(told.rpartition(" details: ")[2])
            assert file.name.startswith(f"{name}.")
            pipeline.wait(file.exists, "it is written", SHOWN_S)
            assert "SIGKILL" in file.read_text()


def past(pipeline: Pipeline) -> dict[str, Any]:
    """The faults that were cleared, by name."""
    return {fault.fault_id.fault_name: fault for fault in pipeline.robot.past_faults}


def misbehaving(what: Misbehaviour) -> Callable[[Pipeline], None]:
    """A robot that does this to every call."""
    return lambda pipeline: pipeline.robot.misbehave(what)


def down_at_boot(pipeline: Pipeline) -> None:
    """Turn the robot off, and let the service start without it."""
    pipeline.robot.go_down()
    pipeline.kill("servicer", signal.SIGKILL)


AWAY: dict[str, Callable[[Pipeline], None]] = {
    "down": lambda pipeline: pipeline.robot.go_down(),
    "silent": misbehaving(Misbehaviour(silent=True)),
    "401": misbehaving(Misbehaviour(refusal=Refusal.UNAUTHENTICATED)),
    "exhausted": misbehaving(Misbehaviour(refusal=Refusal.EXHAUSTED)),
    "rebooting": lambda pipeline: pipeline.robot.reboot(down_s=1.0),
    "down at boot": down_at_boot,
}
WINDOW_S = 8.0
REGISTERED_S = 35.0
NOISE_S = 0.002  # of a computer that does other things, too


@pytest.mark.soak
@pytest.mark.row("M19")
def test_clients_do_not_notice_the_robot(tmp_path: Path, row: Callable[[str], Any], runs: int) -> None:
    """Whatever the robot does, images come as fast as ever; when it is back, so are registration and faults."""
    gone = {"device": "/dev/video99"}
    with running_pipeline(tmp_path, {"front": {"driver": "synthetic"}, "gone": gone}) as pipeline:
        pipeline.wait(lambda: pipeline.answers("front") and LASTING in pipeline.faults(), "all is as always", 20)
        calm_s: list[float] = []
        away_s: list[float] = []
        for _, go_away in [away for _ in range(-(-runs // len(AWAY))) for away in AWAY.items()]:
            calm_s += latencies_s(pipeline)
            go_away(pipeline)
            with direct(pipeline) as images:
                pipeline.wait(lambda images=images: ask(images) is not None, "images", 10)  # type: ignore[misc]
            away_s += latencies_s(pipeline)
            come_back(pipeline.robot)
            is_whole = pipeline.wait(
                lambda: SERVICE_NAME in pipeline.robot.services and LASTING in pipeline.faults(), "registered", 60
            )
            row("M19").measured("registered, and its fault shown", is_whole, REGISTERED_S)
        calm, away = (sorted(taken)[len(taken) * 99 // 100] for taken in (calm_s, away_s))
        row("M19").at_most("p99 of GetImage longer by", max(0.0, (away - calm - NOISE_S) / calm * 100), 20, "%")


def come_back(robot: SimulatedRobot) -> None:
    """Be a robot that works, and knows nothing of us."""
    robot.come_back()
    robot.lose_registrations()
    robot.lose_faults()
    robot.revoke_tokens()
    robot.behave()


@contextlib.contextmanager
def direct(pipeline: Pipeline) -> Iterator[Any]:
    """Call the service itself, without the robot between."""
    port = pipeline.child("servicer").facts.get("port") or pipeline.status_json()["service"]["port"]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield image_service_pb2_grpc.ImageServiceStub(channel)


def ask(images: Any) -> float | None:
    """How long an image took; None if there was none."""
    request = image_pb2.GetImageRequest(image_requests=[image_pb2.ImageRequest(image_source_name="front")])
    began_s = time.monotonic()
    try:
        answer = images.GetImage(request, timeout=5)
    except grpc.RpcError:  # the service is starting
        return None
    return time.monotonic() - began_s if answer.image_responses[0].status == OK else None


def latencies_s(pipeline: Pipeline) -> list[float]:
    """Ask for images for a while: how long each took. Each must be one."""
    taken, until_s = [], time.monotonic() + WINDOW_S
    with direct(pipeline) as images:
        while time.monotonic() < until_s:
            took_s = ask(images)
            assert took_s is not None
            taken.append(took_s)
            threading.Event().wait(0.02)
    return taken

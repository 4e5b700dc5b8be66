"""A broken build: on PYTHONPATH, Python imports this before anything else, and one function of the product is another.

CHAOS_BROKEN names what is broken, by the invariants that it breaks. Only the processes of the pipeline are concerned.
"""

import ctypes
import dataclasses
import importlib
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TORN: dict[tuple[int, int, int], bytes] = {}


def _import(name: str) -> Any:
    """Import a module of the product, in which anything may be replaced."""
    return importlib.import_module(name)


def tear_raw_pictures() -> None:
    """I1: the upper half of a RAW picture is the last one's."""
    served_camera = _import("servicer.served_camera")
    whole = served_camera.encode

    def encode(frame: Any, wanted: Any, upright: Any) -> Any:
        made = whole(frame, wanted, upright)
        key, middle = (made.rows, made.cols, len(made.data)), len(made.data) // 2
        last, _TORN[key] = _TORN.get(key, made.data), made.data
        return dataclasses.replace(made, data=last[:middle] + made.data[middle:])

    served_camera.encode = encode


def forget_age() -> None:
    """I2: no frame is ever too old."""
    served_camera = _import("servicer.served_camera").ServedCamera
    served_camera.max_age_s = property(lambda _: 30.0)


def let_time_go_back() -> None:
    """I3: every other frame was acquired a second earlier."""
    acquisition_times = _import("servicer.robot_clock").AcquisitionTimes
    right = acquisition_times.of
    acquisition_times.of = lambda self, number, captured_ns: (
        (right(self, number, captured_ns) or 0) - number % 2 * 1_000_000_000
    )


def mistake_cameras() -> None:
    """I4: rear's picture is front's."""
    served_camera = _import("servicer.served_camera")
    right = served_camera.RingReader
    served_camera.RingReader = lambda instance, name, *rest: right(instance, "front" if name == "rear" else name, *rest)


def sleep_in_calls() -> None:
    """I6: every seventh call takes four seconds."""
    image_service = _import("servicer.image_service").ImageService
    right = image_service.GetImage

    def get_image(self: Any, request: Any, context: Any) -> Any:
        if self.requests % 7 == 0:
            time.sleep(4)
        return right(self, request, context)

    image_service.GetImage = get_image


def die_of_something() -> None:
    """I10: the service dies after a while."""
    threading.Timer(8.0, lambda: os.kill(os.getpid(), signal.SIGSEGV)).start()


def hide_faults() -> None:
    """I11: the robot is told nothing."""
    robot_connection = _import("servicer.robot_connection").RobotConnection
    robot_connection.trigger_fault = lambda *_: None


def leak_descriptors() -> None:
    """I12: a service that never closes anything."""

    def leak() -> None:
        for _ in range(900):
            os.open("/dev/null", os.O_RDONLY)
            time.sleep(0.005)

    threading.Thread(target=leak, daemon=True).start()


def admit_everybody() -> None:
    """I13: no peer is refused."""
    allowed_peers = _import("servicer.peers").AllowedPeers
    allowed_peers.admit = lambda *_, **__: True


def lose_frames() -> None:
    """I5: a fifth of top's frames never come."""
    synthetic_camera = _import("capture_worker.synthetic_camera").SyntheticCamera
    right = synthetic_camera.capture

    def capture(self: Any) -> Any:
        frame = right(self)
        lost = self._name == "top" and frame is not None and frame.captured_ns // self._period_ns % 5 == 0
        return None if lost else frame

    synthetic_camera.capture = capture


def start_slowly() -> None:
    """I7: a worker takes its time."""
    time.sleep(5)


def outlive_the_supervisor() -> None:
    """I8: children that do not mind that their parent is dead."""
    lifeline = _import("supervision.lifeline").Lifeline
    right = lifeline.attach

    def attach(self: Any) -> None:
        right(self)
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)

    lifeline.attach = attach
    lifeline._end_as_orphan = lambda _: None


def write_everywhere() -> None:
    """I9: every worker has front's ring in its hands."""

    def hold() -> None:
        held: dict[Path, mmap.mmap] = {}
        while True:
            for path in Path("/dev/shm").glob("chaos-*.cam.front"):  # noqa: S108
                with path.open("r+b") as file:
                    held[path] = mmap.mmap(file.fileno(), 0)
            time.sleep(0.5)

    threading.Thread(target=hold, daemon=True).start()


def talk() -> None:
    """I14: a supervisor that says the same all the time."""

    def say() -> None:
        while True:
            sys.stderr.write("still here\n")
            time.sleep(0.05)

    threading.Thread(target=say, daemon=True).start()


BREAKAGES: dict[str, tuple[str, Callable[[], None]]] = {
    "I1": ("servicer", tear_raw_pictures),
    "I2": ("servicer", forget_age),
    "I3": ("servicer", let_time_go_back),
    "I4": ("servicer", mistake_cameras),
    "I5": ("capture_worker", lose_frames),
    "I6": ("servicer", sleep_in_calls),
    "I7": ("capture_worker", start_slowly),
    "I8": ("capture_worker", outlive_the_supervisor),
    "I9": ("capture_worker", write_everywhere),
    "I10": ("servicer", die_of_something),
    "I11": ("servicer", hide_faults),
    "I12": ("servicer", leak_descriptors),
    "I13": ("servicer", admit_everybody),
    "I14": ("supervisor.py", talk),
}

for _name in filter(None, os.environ.get("CHAOS_BROKEN", "").split(",")):
    _module, _break = BREAKAGES[_name]
    if any(argument.endswith(_module) for argument in sys.orig_argv[:3]):
        _break()

"""A client that asks for one camera all the time, and judges every answer: whole, fresh, of that camera, never back."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
from bosdyn.api import image_pb2, image_service_pb2_grpc
from bosdyn.client.image import build_image_request

from capture_worker import pattern
from tests.end_to_end.running import OK, Pipeline
from tests.end_to_end.test_images import pixels

RAW = image_pb2.Image.FORMAT_RAW
SYNC_ERROR_S = 0.1  # of robot time, on a busy computer


@dataclass
class Answers:
    """What a client saw. `wrong` are sentences about answers that must not be; times are in seconds."""

    ok: int = 0
    refused: int = 0  # answered, and not OK
    failed: list[grpc.StatusCode] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    last_number: int = 0
    last_time_ns: int = 0

    def percentile_s(self, percent: float) -> float:
        """How long that many of 100 answers took at most."""
        return sorted(self.took_s)[min(len(self.took_s) - 1, int(len(self.took_s) * percent / 100))]


class Client:
    """Asks the servicer, not through the robot, in a thread of its own, inside `with`, which gives the `Answers`."""

    def __init__(self, pipeline: Pipeline, camera: str, *, max_age_s: float = 0.5, pause_s: float = 0.03) -> None:
        self.answers = Answers()
        self._address = pipeline.address
        self._pipeline = pipeline
        self._camera = camera
        self._max_age_s = max_age_s
        self._pause_s = pause_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Answers:
        self._thread.start()
        return self.answers

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            stub = image_service_pb2_grpc.ImageServiceStub(channel)
            request = image_pb2.GetImageRequest(image_requests=[build_image_request(self._camera, image_format=RAW)])
            while not self._done.wait(self._pause_s):
                # Before the answer: the time on the way to us is not the pipeline's.
                asked_ns, started_s = self._pipeline.robot.now_ns(), time.monotonic()
                try:
                    answer = stub.GetImage(request, timeout=5.0, wait_for_ready=False).image_responses[0]
                except grpc.RpcError as error:
                    self.answers.failed.append(error.code())
                    continue
                self.answers.took_s.append(time.monotonic() - started_s)
                self._judge(answer, asked_ns)

    def _judge(self, answer: image_pb2.ImageResponse, asked_ns: int) -> None:
        answers = self.answers
        if answer.status != OK:
            answers.refused += 1
            return
        answers.ok += 1
        time_ns = answer.shot.acquisition_time.ToNanoseconds()
        if (age_s := (asked_ns - time_ns) / 1e9) > self._max_age_s:
            answers.wrong.append(f"{age_s:.2f} s old")
        if (ahead_s := (time_ns - self._pipeline.robot.now_ns()) / 1e9) > SYNC_ERROR_S:
            answers.wrong.append(f"from {ahead_s:.2f} s ahead")
        try:
            number = pattern.check(pixels(answer), self._camera, order="rgb")
        except pattern.PatternError as error:
            answers.wrong.append(str(error))
            return
        if number < answers.last_number or time_ns < answers.last_time_ns:
            answers.wrong.append(f"{number} at {time_ns} after {answers.last_number} at {answers.last_time_ns}")
        answers.last_number, answers.last_time_ns = number, time_ns


@contextlib.contextmanager
def no_wrong_answer(pipeline: Pipeline, camera: str, **how: float) -> Iterator[Answers]:
    """A client that must not see anything wrong meanwhile, and sees something."""
    with Client(pipeline, camera, **how) as answers:
        yield answers
    assert answers.wrong == []
    assert answers.ok > 0

"""The servicer process: everything in `servicer` tied together, and the main loop that proves it alive."""

import logging
import math
import os
import threading
import time
from typing import Any

import cv2
import grpc
import pydantic
from bosdyn.api import image_pb2, image_service_pb2_grpc

from servicer import fault_log, memory, server
from servicer.health import Health
from servicer.health_service import HealthService
from servicer.image_log import ImageLog
from servicer.image_service import ImageService
from servicer.peers import AllowedPeers
from servicer.robot_clock import RobotClock
from servicer.robot_link import REGISTERED, RobotLink
from servicer.served_camera import ServedCamera
from shm import BoardReader, ShmFullError
from supervision import exit_codes
from supervision.lifeline import MIN_BEAT_INTERVAL_S, Lifeline
from supervision.settings import ServicerConfiguration, what_is_wrong

_log = logging.getLogger(__name__)

_TURN_S = 0.25
_SELF_CALL_EVERY_S = 1.0
_SELF_CALL_TIMEOUT_S = 2.0
_GIVE_BACK_EVERY_S = 10.0
_GIVE_BACK_PATIENCE_S = 60.0  # who takes no answer, or always asks, must not keep all memory here
_PROMISE_S = 5.0
_NO_ANSWER = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # no place was free for as long as a call may wait
)
_FAREWELL_S = 1.5
_GRACE_S = 1.0


def run(lifeline: Lifeline) -> int:
    """Serve until SIGTERM; the exit code says why it ended."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)  # a traceback for each header that is no text
    server.raise_descriptor_limit()
    memory.use_one_heap()
    memory.keep_what_was_freed()
    cv2.setNumThreads(1)  # requests are parallel already
    try:
        configuration = ServicerConfiguration.model_validate(lifeline.configuration)
    except pydantic.ValidationError as error:
        lifeline.error("bad_configuration", what_is_wrong(error))
        return exit_codes.BAD_CONFIGURATION
    try:
        return Servicer(configuration, lifeline).run()
    except server.PortInUseError as error:
        lifeline.error("port_in_use", str(error))
        return exit_codes.PORT_IN_USE
    except ShmFullError as error:
        lifeline.error("shm_full", str(error.strerror))
        return exit_codes.SHM_FAILED


class Servicer:
    """One run of the image service for one configuration."""

    def __init__(self, configuration: ServicerConfiguration, lifeline: Lifeline) -> None:
        self._configuration = configuration
        self._lifeline = lifeline
        self._news = threading.Event()  # facts for the board, which must not wait for the next beat
        self._give_back_s = time.monotonic()
        self._board = BoardReader(configuration.instance)
        status = self._board.latest()
        # A servicer that was restarted knows the robot's time at once, from its predecessor.
        self._clock = RobotClock(status.robot_clock_offset_ns if status else None)
        self._peers = AllowedPeers(callers(configuration))
        cameras = [
            ServedCamera(configuration.instance, name, settings, self._clock)
            for name, settings in configuration.cameras.items()
        ]
        self._health = Health(cameras, self._clock, self._peers, self._on_faults_changed)
        image_log = ImageLog() if configuration.service.log_images else None
        by_source = {camera.source_name: camera for camera in cameras}
        self._service = ImageService(by_source, self._health.why_silent, image_log)
        self._health_service = HealthService(by_source, self._health.why_silent)
        self._link = RobotLink(
            configuration.robot,
            configuration.service,
            self._clock,
            lambda: self._health.desired_faults,
            image_log,
            self._on_link_state,
        )

    def run(self) -> int:
        """Serve until told to stop. Raises server.PortInUseError."""
        service = self._configuration.service
        grpc_server = server.create(self._service, self._peers, self._health_service)
        self_address = f"unix-abstract:{self._configuration.instance}.servicer.{os.getpid()}"
        grpc_server.add_insecure_port(self_address)
        server.listen(grpc_server, service.host_ip or "127.0.0.1", service.port)
        grpc_server.start()
        self._health.update(self._board.latest())  # first, lest the link clear what a predecessor rightly raised
        self._peers.start()
        self._link.start()
        self._lifeline.ready(port=service.port)
        self._lifeline.promise(_PROMISE_S)  # instead of the long one for the start
        with grpc.insecure_channel(self_address) as channel:
            self._loop(image_service_pb2_grpc.ImageServiceStub(channel))
        self._health_service.stop()
        self._peers.stop()
        # First out of the directory, so that nobody is sent here any more; then end the calls that are left.
        self._link.stop(_FAREWELL_S)
        grpc_server.stop(_GRACE_S).wait()
        return exit_codes.TERMINATED

    def _loop(self, own_service: Any) -> None:
        beat_s, has_news = -math.inf, False
        while not self._lifeline.stopping:
            self._health.update(self._board.latest(), self._link.shown)
            every_s = MIN_BEAT_INTERVAL_S if has_news else _SELF_CALL_EVERY_S
            if time.monotonic() - beat_s >= every_s and self._serves(own_service):
                self._lifeline.promise(_PROMISE_S, **self._facts())
                beat_s, has_news = time.monotonic(), False
            self._give_memory_back()
            self._lifeline.end_if_orphaned()
            if self._news.wait(_TURN_S):
                self._news.clear()
                has_news = True

    def _give_memory_back(self) -> None:
        late_s = time.monotonic() - self._give_back_s
        if late_s >= 0 and (self._service.idle or late_s >= _GIVE_BACK_PATIENCE_S):
            memory.give_back()
            self._give_back_s = time.monotonic() + _GIVE_BACK_EVERY_S

    def _serves(self, own_service: Any) -> bool:
        """Whether a real call through gRPC is answered: that this loop turns proves nothing about the server's threads.

        It may wait behind the calls of clients, or be refused with them: a queue that moves is no reason to be killed.
        Neither is an answer that is an error: what answers is not hung.
        """
        ended = self._service.ended
        try:
            own_service.ListImageSources(image_pb2.ListImageSourcesRequest(), timeout=_SELF_CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            return error.code() not in _NO_ANSWER or self._service.ended > ended
        return True

    def _facts(self) -> dict[str, Any]:
        return {
            "robot": self._link.state,
            "offset_ns": self._clock.offset_ns,
            "refused": self._peers.refused,
            "requests": self._service.requests,
            "faults": fault_log.short(self._health.desired_faults),
        }

    def _on_faults_changed(self) -> None:
        self._link.wake()
        self._news.set()

    def _on_link_state(self, state: str) -> None:
        if state == REGISTERED:  # what the robot's name stands for is known by now, and may be another than before
            self._peers.look_up_soon()
        self._news.set()


def callers(configuration: ServicerConfiguration) -> list[str]:
    """Who may call beside the loopback: the robot, this computer by its own address, and whoever is named."""
    service = configuration.service
    own = [service.host_ip] if service.host_ip else []
    return [configuration.robot.hostname, *own, *service.allowed_peers]

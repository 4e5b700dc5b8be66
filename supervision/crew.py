"""Who is to be run for the settings, with which configuration line, and in which order."""

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from shm import names
from shm.records import ChildRecord, Kind
from supervision.camera_settings import CameraSettings
from supervision.child import Child
from supervision.instance import remove_name
from supervision.leftovers import Leftover, tags_of
from supervision.post_mortem import PostMortems
from supervision.process import ChildProcess
from supervision.settings import (
    ROBOT_PORT,
    RobotSettings,
    ServicerConfiguration,
    Settings,
    SimulatedRobotConfiguration,
    WorkerConfiguration,
)
from supervision.timing import Timing

MODULES: Mapping[Kind, str] = {
    "camera": "capture_worker",
    "servicer": "servicer",
    "simulated_robot": "simulated_robot",
}
SIMULATED_GUID = "simulated-payload"


class Crew:
    """The children of one instance.

    `modules` says what is run for each kind of child; `ca_file` is where a simulated robot writes its certificate.
    `held` are processes of an earlier run that have not ended: who may want what they hold waits for them.
    """

    def __init__(
        self,
        settings: Settings,
        ca_file: Path,
        modules: Mapping[Kind, str],
        timing: Timing,
        held: Collection[Leftover] = (),
    ) -> None:
        self.settings = settings
        self._ca_file = ca_file
        self._modules = modules
        self._timing = timing
        self._held = held
        self.post_mortems = PostMortems(settings.instance, settings.post_mortem_dir)
        self._robot_pid: int | None = None
        self._robot_port = settings.robot.port
        if settings.simulate and settings.robot.port == ROBOT_PORT:
            self._robot_port = 0  # any free one; once it is known it stays, over restarts too
        self.robot = (
            self._child("simulated_robot", "simulated_robot", self._robot_line()) if settings.simulate else None
        )
        self.cameras = {name: self._camera(name, camera) for name, camera in settings.cameras.items()}
        self.servicer = self._child("servicer", "servicer", self._servicer_line())
        self.servicer.secrets = self._credentials()
        self._leaving: list[Child] = []

    def __iter__(self) -> Iterator[Child]:
        """Every child, in the order of the start."""
        yield from [self.robot] if self.robot else []
        yield from self.cameras.values()
        yield from self._leaving
        yield self.servicer

    def startable(self) -> Iterator[Child]:
        """The children that may run already: the servicer must know where the simulated robot listens."""
        leaving = {child.name for child in self._leaving}  # a camera that was removed and added again waits for itself
        yield from [self.robot] if self.robot else []
        yield from (child for name, child in self.cameras.items() if name not in leaving)
        yield from [self.servicer] if self._robot_is_known() else []

    def stop_order(self) -> list[list[Child]]:
        """The children in the order of the stop, together those that stop together."""
        robot = [self.robot] if self.robot else []
        return [[self.servicer], [*self.cameras.values(), *self._leaving], robot]

    def indispensable_and_refusing(self) -> Child | None:
        """Return a child that refuses its configuration, and without which nothing can be served."""
        indispensable = [self.servicer, *([self.robot] if self.robot else [])]
        return next((child for child in indispensable if child.state == "refused"), None)

    def kill(self) -> None:
        """SIGKILL whatever still runs."""
        for child in self:
            child.kill(time.monotonic_ns())

    def of_pid(self, pid: int) -> Child | None:
        """Return the child that runs as this process."""
        return next((child for child in self if child.process and child.process.pid == pid), None)

    def records(self, now_ns: int) -> tuple[ChildRecord, ...]:
        """Return one record per child, in the order of the start."""
        return tuple(child.record(now_ns) for child in self)

    def follow_robot(self, now_ns: int) -> None:
        """Tell the servicer where the simulated robot is, each time that one has become ready."""
        if not self.robot or not self.robot.process:
            return
        if self.robot.state != "running" or self.robot.process.pid == self._robot_pid:
            return
        came_back, self._robot_pid = self._robot_pid is not None, self.robot.process.pid
        port = self.robot.record(now_ns).facts.get("port")
        self._robot_port = port if isinstance(port, int) and 0 < port < 1 << 16 else self._robot_port
        self.robot.configuration = self._robot_line()
        self.robot.health.add_facts(ca=str(self._ca_file))
        self.servicer.configuration = self._servicer_line()
        if came_back:
            self.servicer.restart(now_ns)  # the robot's certificate is a new one

    def clean_up_after(self, child: Child, pid: int) -> None:
        """Remove what a reaped capture worker left in /dev/shm: a ring without a frame, or one that is in the way."""
        if child.kind != "camera":
            return
        ring = names.segment_name(self.settings.instance, child.name)
        remove_name(names.aside_name(ring, pid))
        if child in self._leaving:
            self._leaving.remove(child)
            remove_name(ring)
        elif child.health.error_code == "shm_full":
            remove_name(ring)

    def change(self, settings: Settings, now_ns: int) -> list[str]:
        """Go over to new settings: restart what is concerned, leave the others alone. Returns who is concerned.

        A camera that refused its configuration tries again: what it missed may be there by now.
        """
        concerned = [name for name in self.cameras if name not in settings.cameras]
        for name in concerned:
            self._remove_camera(name, now_ns)
        for name, camera in settings.cameras.items():
            if name not in self.cameras:
                self.cameras[name] = self._camera(name, camera)
            elif camera != self.settings.cameras[name] or self.cameras[name].state == "refused":
                self.cameras[name].reconfigure(self._camera_line(name, camera), now_ns)
            else:
                continue
            concerned.append(name)
        self.settings = settings
        self.servicer.secrets = self._credentials()
        if (line := self._servicer_line()) != self.servicer.configuration:
            self.servicer.reconfigure(line, now_ns)
            concerned.append(self.servicer.name)
        return concerned

    def _remove_camera(self, name: str, now_ns: int) -> None:
        child = self.cameras.pop(name)
        child.stop(now_ns)
        if child.process:
            self._leaving.append(child)
        else:
            remove_name(names.segment_name(self.settings.instance, name))

    def _robot_is_known(self) -> bool:
        return self.robot is None or self._robot_pid is not None

    def _child(self, name: str, kind: Kind, line: str) -> Child:
        tags = tags_of(self.settings.instance, name)

        def spawn(module: str, configuration: str) -> ChildProcess:
            for one in self._held:
                if one.is_in_the_way_of(name, self.settings.cameras):  # those of now: names change with the settings
                    one.require_gone()
            return ChildProcess.spawn(module, configuration, environment=tags)

        return Child(name, kind, self._modules[kind], line, self._timing, spawn, self.post_mortems)

    def _camera(self, name: str, camera: CameraSettings) -> Child:
        return self._child(name, "camera", self._camera_line(name, camera))

    def _camera_line(self, name: str, camera: CameraSettings) -> str:
        return WorkerConfiguration(
            supervisor_pid=os.getpid(),
            instance=self.settings.instance,
            shm_group=self.settings.shm_group,
            name=name,
            camera=camera,
        ).model_dump_json()

    def _robot_line(self) -> str:
        return SimulatedRobotConfiguration(
            supervisor_pid=os.getpid(), port=self._robot_port, ca_out=self._ca_file
        ).model_dump_json()

    def _servicer_line(self) -> str:
        settings = self.settings
        return ServicerConfiguration(
            supervisor_pid=os.getpid(),
            instance=settings.instance,
            robot=self._simulated_robot(settings.robot) if settings.simulate else settings.robot,
            service=settings.service,
            cameras=settings.cameras,
        ).model_dump_json()

    def _credentials(self) -> tuple[str, ...]:
        """What the servicer will read in the payload's file, which was read when the settings were checked."""
        with contextlib.suppress(OSError, ValueError):
            return self.settings.robot.credentials() if not self.settings.simulate else ()
        return ()

    def _simulated_robot(self, robot: RobotSettings) -> RobotSettings:
        where = {"hostname": "127.0.0.1", "port": self._robot_port or ROBOT_PORT, "ca": self._ca_file}
        who = {"guid": SIMULATED_GUID, "secret": SecretStr("simulated-secret"), "payload_credentials_file": None}
        return robot.model_copy(update={**where, **who})

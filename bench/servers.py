"""The three servers that are measured, each with the cameras of a scene and in processes of its own."""

import contextlib
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench import cells, scene
from bench.cells import Scene
from bench.crew import Crew
from bench.processes import PROJECT_FOLDER, ready_word, running, send
from shm import BoardReader, names

Name = Literal["reference", "pipeline", "ceiling"]

_INSTANCES = itertools.count(1)
_LONGEST_S = 7200  # of a pipeline, whatever becomes of the bench
_START_S = 40.0
_POLL_S = 0.05
_SETTLE_S = 0.1


@dataclass(frozen=True)
class Server:
    """One of the three. `processes` are its own by what they are, the simulated robot is not among them.

    `counters` are the files of its cameras (see `counter.Counter`).
    """

    name: Name
    address: str
    processes: Mapping[int, str]
    counters: tuple[Path, ...] = ()
    instance: str = ""

    def pids(self, role: str | None = None) -> list[int]:
        """All of its processes, or those of one kind."""
        return [pid for pid, what in self.processes.items() if role in (None, what)]

    def pause(self) -> None:
        """Stop all of it, so that another server has the machine."""
        send(self.processes, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on: cameras first, so that nobody who looks finds old frames, then who waits for whom."""
        for number, role in enumerate(dict.fromkeys([*self.processes.values()][::-1])):
            time.sleep(_SETTLE_S if number else 0.0)
            send(self.pids(role), signal.SIGCONT)


@dataclass(frozen=True)
class Place:
    """Where a run lives: a folder that goes with it, and the robot that both services belong to."""

    folder: Path
    robot_port: int
    robot_ca: Path
    _pictures: dict[str, Path] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """What all processes say."""
        return self.folder / "bench.log"

    def pictures(self, size: str) -> Path:
        """The file with a scene's pictures; painted when it is asked for first."""
        if size not in self._pictures:
            self._pictures[size] = self.folder / f"{size}.npy"
            np.save(self._pictures[size], scene.paint(*cells.SIZES[size]))
        return self._pictures[size]


@contextlib.contextmanager
def robot(folder: Path) -> Iterator[Place]:
    """Run the simulated robot."""
    log, ca = folder / "bench.log", folder / "ca.pem"
    with running(["-m", "simulated_robot", "--ca-out", str(ca)], log) as process:
        port = ready_word(process, "ready on ", log).partition("ready on ")[2].partition(",")[0].rpartition(":")[2]
        try:
            yield Place(folder, int(port), ca)
        finally:
            process.terminate()


@contextlib.contextmanager
def reference(place: Place, cameras: Scene) -> Iterator[Server]:
    """Run the SDK's service."""
    arguments = _arguments(place, cameras, "reference")
    settings = {"robot_port": place.robot_port, "robot_ca": str(place.robot_ca), "cameras": list(arguments.values())}
    with running(["-m", "bench.reference_server", json.dumps(settings)], place.log) as process:
        port = ready_word(process, "ready ", place.log).rpartition(" ")[2]
        yield from _kept(Server("reference", f"127.0.0.1:{port}", {process.pid: "reference"}, _counters(arguments)))


@contextlib.contextmanager
def ceiling(place: Place, answers: Path) -> Iterator[Server]:
    """Run the transport alone, with the answers that are in this folder."""
    with running(["-m", "bench.ceiling_server", str(answers)], place.log) as process:
        port = ready_word(process, "ready ", place.log).rpartition(" ")[2]
        yield from _kept(Server("ceiling", f"127.0.0.1:{port}", {process.pid: "ceiling"}))


@contextlib.contextmanager
def pipeline(place: Place, cameras: Scene) -> Iterator[Server]:
    """Run `supervisor.py`. What it leaves in /dev/shm if it has to be killed is removed."""
    instance, port = f"bench-{os.getpid()}-{next(_INSTANCES)}", _free_port()
    arguments = _arguments(place, cameras, "pipeline")
    config = place.folder / f"{instance}.toml"
    config.write_text(_toml(arguments, place.folder))
    where = ["127.0.0.1", "--robot-port", str(place.robot_port), "--robot-ca", str(place.robot_ca)]
    who = ["--guid", "guid", "--secret", "secret", "--host-ip", "127.0.0.1", "--port", str(port)]
    what = ["--instance", instance, "--config", str(config), "--duration", str(_LONGEST_S)]
    try:
        with running(["supervisor.py", *where, *who, *what], place.log, talks=False) as process:
            processes = {process.pid: "supervisor", **_children(instance, cameras, place.log)}
            yield from _kept(
                Server("pipeline", f"127.0.0.1:{port}", processes, _counters(arguments), instance),
            )
    finally:
        for name in names.names_of(instance):
            names.remove(name)


@contextlib.contextmanager
def all_three(place: Place, cameras: Scene, wanted: list[Mapping[str, Any]], crew: Crew) -> Iterator[list[Server]]:
    """Run them all, stopped. `wanted` is what they will be asked for."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(pipeline(place, cameras))
        theirs = stack.enter_context(reference(place, cameras))
        for name in cameras.names:
            crew.first(theirs.address, {**wanted[0], "image_source_name": name})
        theirs.pause()
        answers = stack.enter_context(_answers(place, ours, wanted, crew))
        ours.pause()
        nobody = stack.enter_context(ceiling(place, answers))
        crew.first(nobody.address, wanted[0])
        nobody.pause()
        yield [theirs, ours, nobody]


@contextlib.contextmanager
def _answers(place: Place, server: Server, wanted: list[Mapping[str, Any]], crew: Crew) -> Iterator[Path]:
    """A folder with one answer of the pipeline's to each request."""
    folder = place.folder / f"answers-{server.instance}"
    folder.mkdir()
    distinct = {json.dumps(one, sort_keys=True): one for one in wanted}
    for number, one in enumerate(distinct.values()):
        request, answer = crew.first(server.address, one)
        (folder / f"{number}.request").write_bytes(request)
        (folder / f"{number}.answer").write_bytes(answer)
    yield folder


def _kept(server: Server) -> Iterator[Server]:
    """Hand out a server, and let it run again before it is ended: what is stopped obeys nobody."""
    try:
        yield server
    finally:
        send(reversed(list(server.processes)), signal.SIGCONT)


def _children(instance: str, cameras: Scene, log: Path) -> dict[int, str]:
    """Wait until the supervisor has started them all; pid → what it is."""
    board = BoardReader(instance)
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s:
        status = board.latest()
        children = {} if status is None else {c.pid: c.kind for c in status.children if c.pid and c.state == "running"}
        if len(children) == cameras.cameras + 1:
            return dict(sorted(children.items(), key=lambda child: child[1], reverse=True))  # the servicer first
        time.sleep(_POLL_S)
    raise RuntimeError(f"the pipeline did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _arguments(place: Place, cameras: Scene, server: Name) -> dict[str, dict[str, Any]]:
    """What `camera.make_source` is called with, for each camera; makes the files of their counters."""
    arguments = {}
    for name in cameras.names:
        counter = place.folder / f"{server}-{name}.count"
        counter.write_bytes(bytes(8))
        arguments[name] = {
            "name": name,
            "pictures": str(place.pictures(cameras.size)),
            "fps": cells.FPS,
            "queued": cameras.queued,
            "counter": str(counter),
        }
    return arguments


def _counters(arguments: Mapping[str, Mapping[str, Any]]) -> tuple[Path, ...]:
    return tuple(Path(camera["counter"]) for camera in arguments.values())


def _toml(arguments: Mapping[str, Mapping[str, Any]], folder: Path) -> str:
    lines = [f"post_mortem_dir = {json.dumps(str(folder))}"]
    for name, camera in arguments.items():
        lines += [f"[cameras.{name}]", 'driver = "camera_interface"', f"[cameras.{name}.camera_interface]"]
        lines += ['factory = "bench.camera:make_source"', f"python_path = {json.dumps(str(PROJECT_FOLDER))}"]
        lines += ["arguments = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in camera.items()) + " }"]
    return "\n".join(lines) + "\n"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

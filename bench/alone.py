"""A pipeline without rivals, for what is not measured against another server."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import servers
from bench.cells import Scene
from bench.crew import Crew
from bench.servers import Place, Server


@contextlib.contextmanager
def place_and_crew(processes: int = 4) -> Iterator[tuple[Place, Crew]]:
    """A robot and client processes."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        servers.robot(Path(folder)) as place,
        Crew(place.log, processes) as crew,
    ):
        yield place, crew


@contextlib.contextmanager
def serving(place: Place, crew: Crew, scene: Scene) -> Iterator[Server]:
    """A pipeline whose cameras have all answered."""
    with servers.pipeline(place, scene) as server:
        for name in scene.names:
            crew.first(server.address, {"image_source_name": name})
        yield server

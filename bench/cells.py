"""What is measured: scenes (the cameras that are there), and in each of them cells (what how many clients ask for)."""

import fnmatch
from dataclasses import dataclass
from typing import Any, Literal

Wanted = Literal["jpeg", "rgb", "grey", "half"]

FPS = 30.0
QUALITY = 75
SIZES = {"vga": (480, 640), "1080p": (1080, 1920)}  # rows, cols

_REQUESTS: dict[Wanted, dict[str, Any]] = {  # the fields of an ImageRequest, by the names of the proto
    "jpeg": {"image_format": "FORMAT_JPEG"},
    "half": {"image_format": "FORMAT_JPEG", "resize_ratio": 0.5},
    "rgb": {"image_format": "FORMAT_RAW", "pixel_format": "PIXEL_FORMAT_RGB_U8"},
    "grey": {"image_format": "FORMAT_RAW", "pixel_format": "PIXEL_FORMAT_GREYSCALE_U8"},
}


@dataclass(frozen=True)
class Scene:
    """The cameras of a cell. A `queued` one has a driver with four buffers, a plain one none."""

    size: str
    cameras: int = 1
    queued: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What the cameras are called."""
        return tuple(f"cam{number}" for number in range(self.cameras))


@dataclass(frozen=True)
class Cell:
    """So many clients in a closed loop, each asking one camera for one picture per call.

    `different`: each wants another quality, so that nothing can be shared. `age`: one client that asks at random times
    and reads from each picture when it was exposed. `is_goal`: a row of the goals' table needs it.
    """

    scene: Scene
    wanted: Wanted
    clients: int
    different: bool = False
    age: bool = False
    is_goal: bool = False

    @property
    def name(self) -> str:
        """For people, files and patterns: "1080p-jpeg-4cameras-32"."""
        cameras = f"{self.scene.cameras}cameras" if self.scene.cameras > 1 else ""
        queued, different = "queued" if self.scene.queued else "", "different" if self.different else ""
        load = "age" if self.age else str(self.clients)
        return "-".join(word for word in (self.scene.size, self.wanted, different, cameras, queued, load) if word)

    @property
    def group(self) -> str:
        """The name without the number of clients: cells of one group differ in that alone."""
        return self.name.rpartition("-")[0]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What each client asks for; qualities are around the usual one, so that sizes are."""
        lowest, step = (QUALITY - self.clients // 2, 1) if self.different else (QUALITY, 0)
        return [
            {
                "image_source_name": self.scene.names[client % self.scene.cameras],
                "quality_percent": lowest + client * step,
                **_REQUESTS[self.wanted],
            }
            for client in range(self.clients)
        ]


def loads(scene: Scene, wanted: Wanted, *clients: int, goal: int | None = None, different: bool = False) -> list[Cell]:
    """Cells that differ in the number of clients; the goals are about that of `goal`."""
    return [Cell(scene, wanted, count, different=different, is_goal=count == goal) for count in clients]


_VGA, _HD = Scene("vga"), Scene("1080p")

ALL = [  # those of a scene together
    *loads(_VGA, "jpeg", 1, 8, 32, 256, goal=8),
    *loads(_VGA, "rgb", 1, 8, 32, goal=8),
    *loads(_VGA, "grey", 8, 32, goal=8),
    *loads(_VGA, "half", 8),
    *loads(_VGA, "jpeg", 8, 32, goal=8, different=True),
    Cell(_VGA, "jpeg", 1, age=True, is_goal=True),
    *loads(_HD, "jpeg", 1, 8, 32, 256, goal=8),
    *loads(_HD, "rgb", 1, 8, 32, goal=8),
    *loads(_HD, "grey", 8, 32, goal=8),
    *loads(_HD, "half", 8),
    *loads(_HD, "jpeg", 8, goal=8, different=True),
    Cell(_HD, "jpeg", 1, age=True),
    *loads(Scene("vga", cameras=4), "jpeg", 32),
    *loads(Scene("1080p", cameras=4), "jpeg", 8, 32, goal=32),
    *loads(Scene("vga", queued=True), "jpeg", 8),
    Cell(Scene("vga", queued=True), "jpeg", 1, age=True, is_goal=True),
    Cell(Scene("1080p", queued=True), "jpeg", 1, age=True),
]


def has_ceiling(cell: Cell) -> bool:
    """Whether the transport alone can be measured: it has no frames, so that they have no age."""
    return not cell.age


def choose(pattern: str = "*", *, goals_alone: bool = False) -> list[Cell]:
    """The cells whose names match."""
    return [cell for cell in ALL if fnmatch.fnmatch(cell.name, pattern) and (cell.is_goal or not goals_alone)]

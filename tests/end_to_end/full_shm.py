"""A whole pipeline while /dev/shm is full: `python -m tests.end_to_end.full_shm FOLDER`, where that is a small one.

Prints one JSON line with what was measured. It fills /dev/shm, so it refuses one that is not small.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

from shm import names
from tests.end_to_end.running import running_pipeline
from tests.matrix.fleet import kept_rate

LARGEST_SHM_BYTES = 64 << 20
PATIENCE_S = 40.0
REAR_FPS = 15.0
CAMERAS = {
    "front": {"driver": "synthetic", "width": 640, "height": 480, "fps": 15.0},
    "rear": {"driver": "synthetic", "width": 320, "height": 240, "fps": REAR_FPS},
}
BALLAST = names.SHM_DIR / "ballast"


def fill(ballast: BinaryIO) -> None:
    """Take all the room that there is, again and again: what was freed meanwhile too."""
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass


def main(folder: Path) -> None:
    """Fill /dev/shm, kill a worker and take the board away; then make room again."""
    assert names.free_bytes() < LARGEST_SHM_BYTES, "not the real one"
    with running_pipeline(folder, CAMERAS) as pipeline, BALLAST.open("wb", buffering=0) as ballast:
        pipeline.wait_for_images(CAMERAS, PATIENCE_S)
        rear = pipeline.child("rear")
        fill(ballast)
        old = pipeline.kill("front", signal.SIGKILL)

        def is_refused() -> bool:
            fill(ballast)  # the camera's old ring makes room for the next one, too
            front = pipeline.child("front")
            return front.pid != old and front.error_code == "shm_full"

        figures = {"said_s": pipeline.wait(is_refused, "it is said that there is no room", PATIENCE_S)}
        assert "shm_size" in str(pipeline.child("front").error_text)
        pipeline.wait(lambda: is_refused() and "shm_size" in str(pipeline.faults()), "the fault", PATIENCE_S)

        def ended_as_documented() -> bool:
            return is_refused() and pipeline.child("front").last_exit == "exit code 71"

        pipeline.wait(ended_as_documented, "it ends with 71", PATIENCE_S)
        figures["kept_rate"] = kept_rate(pipeline, rear, 3.0, REAR_FPS)

        names.remove(names.segment_name(pipeline.instance, names.BOARD))
        fill(ballast)
        pipeline.wait(lambda: "no status board: no room" in pipeline.log(), "the board is missed", PATIENCE_S)
        assert pipeline.answers("rear")
        BALLAST.unlink()
        ballast.truncate(0)
        room_s = time.monotonic()
        pipeline.wait(lambda: pipeline.answers("front"), "it is back", PATIENCE_S)
        figures["back_s"] = time.monotonic() - room_s
        pipeline.wait(lambda: pipeline.child("rear").pid == rear.pid, "the board is back", PATIENCE_S)
        pipeline.wait(lambda: not pipeline.faults(), "the fault is cleared", PATIENCE_S)
        assert "SIGBUS" not in pipeline.log_file.read_text()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

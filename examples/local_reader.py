"""Read a camera's frames on the payload computer itself, without any RPC: where a detector would begin.

    python examples/local_reader.py front
    python examples/local_reader.py front --instance spot-cameras --group vision

Runs beside `python supervisor.py`, as the same user (or see shm_group in docs/shared-memory.md). It prints one line a
second, and goes on when the camera, its process or the whole pipeline is away and comes back.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # not needed where the project is installed

from shm import Encoding, Frame, Loss, RingReader

OLDEST_S = 0.5  # what this program still wants to see
LOOK_EVERY_S = 0.005
TELL_EVERY_S = 1.0


def brightness(frame: Frame) -> float:
    """The work of this program: put yours here. It runs on the ring's own memory, and must not keep it."""
    if frame.encoding is Encoding.JPEG:  # frame.data is a copy of what the camera sent: decode it as you like
        return float("nan")
    return float(frame.pixels()[::8, ::8].mean())


def look(reader: RingReader, seen: int) -> tuple[int, float, float] | None:
    """Number, age in seconds and brightness of the newest frame; None if it was seen already, is old or not there."""
    facts = reader.facts()
    if facts is None or facts.frame_number == seen or facts.age_s() > OLDEST_S:
        return None
    # `use` gives a result only if no byte of the frame changed meanwhile. The newest frame may be another one by now.
    result = reader.use(lambda frame: (frame.frame_number, frame.age_s(), brightness(frame)))
    return None if isinstance(result, Loss) else result


def main() -> int:
    """Look at each new frame once, until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Print how bright a camera's frames are, and how old.")
    parser.add_argument("camera", help="its name in the configuration")
    parser.add_argument("--instance", default="spot-cameras", help="the pipeline's name (default: %(default)s)")
    parser.add_argument("--group", help="its shm_group, if another user runs it")
    options = parser.parse_args()
    reader = RingReader(options.instance, options.camera, shm_group=options.group)
    frames, newest, tell_s = 0, (0, 0.0, 0.0), time.monotonic() + TELL_EVERY_S
    while True:
        found = look(reader, newest[0])
        if found is not None:
            frames, newest = frames + 1, found
        if time.monotonic() >= tell_s:
            number, age_s, result = newest
            told = f"{frames} frames/s, frame {number}, {age_s * 1000:.1f} ms old, brightness {result:.1f}"
            print(told if frames else f"no fresh frame: {reader.problem or 'the newest one is old'}", flush=True)
            frames, tell_s = 0, tell_s + TELL_EVERY_S
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

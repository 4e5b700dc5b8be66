"""A local program at the rings, as a detector on the same computer: it reads every camera without any RPC.

`python -m chaos.local_reader OBSERVER INSTANCE CAMERA…`. What it is for is to live on, whatever is in the segments.
"""

import sys
import threading
import time
from pathlib import Path

from capture_worker import pattern
from chaos.facts import ImageSeen
from chaos.telling import Teller
from shm import RingReader

_PAUSE_S = 0.1


def main() -> None:
    """Read until the observer, or whoever started us, is gone."""
    observer, instance, *cameras = sys.argv[1:]
    teller = Teller(Path(observer))
    readers = {camera: RingReader(instance, camera) for camera in cameras}
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    while not over.wait(_PAUSE_S):
        for camera, reader in readers.items():
            try:
                _look(teller, camera, reader)
            except BrokenPipeError:
                return


def _look(teller: Teller, camera: str, reader: RingReader) -> None:
    asked = time.monotonic()
    frame = reader.latest()
    if frame is None or frame.encoding.compressed:
        return
    try:
        pattern.check(frame.pixels(), camera)
        flaw = ""
    except pattern.PatternError as error:
        flaw = str(error)
    teller.tell(ImageSeen(time.monotonic(), "local", camera, asked, ok=True, flaw=flaw, data_bytes=len(frame.data)))


def _wait_for_end(over: threading.Event) -> None:
    sys.stdin.read()  # until whoever started us closes it, or dies
    over.set()


if __name__ == "__main__":
    main()

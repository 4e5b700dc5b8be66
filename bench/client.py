"""One of the client processes: `python -m bench.client`, which does what each line on its stdin says.

Each line is a JSON object with `do`, and its answer a line with the number of bytes that follow, and the CPU seconds
that this process took for it: `first` gives an answer of the service, `load` an array of `asking.CALLS`, `local` one
of a local program at the ring.
"""

import io
import json
import sys
import time
from typing import Any

import cv2
import numpy as np

from bench import asking, local_reader


def main() -> None:
    """Obey until stdin ends."""
    cv2.setNumThreads(1)
    for line in sys.stdin.buffer:
        order = json.loads(line)
        begun_s = time.process_time()
        answer = _obey(order.pop("do"), order)
        cpu_s = time.process_time() - begun_s
        sys.stdout.buffer.write(json.dumps({"bytes": len(answer), "cpu_s": cpu_s}).encode() + b"\n" + answer)
        sys.stdout.buffer.flush()


def _obey(what: str, order: dict[str, Any]) -> bytes:
    if what == "first":
        return asking.first_answer(order["address"], asking.request_of(order["wanted"]), order["within_s"])
    if what == "request":
        serialized: bytes = asking.request_of(order["wanted"]).SerializeToString()
        return serialized
    if what == "load":
        return _bytes(asking.ask(**order))
    return _bytes(local_reader.read(**order))


def _bytes(calls: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, calls, allow_pickle=False)
    return file.getvalue()


if __name__ == "__main__":
    main()

"""The observer, a process of its own: takes facts from everybody, looks for itself, judges.

`python -m chaos.observer FOLDER INSTANCE TAG LOG`. It listens on FOLDER/observer.sock, writes a JSON line with its
counts to stdout every second, and everything it found when its stdin says so or ends.
"""

import heapq
import json
import math
import os
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from chaos import watching
from chaos.facts import Fact, ImageSeen, from_line
from chaos.judges import Judges
from chaos.pipeline import CAMERAS

SOCKET = "observer.sock"
_STATUS_EVERY_S = 1.0
_PATIENCE_S = 0.7


class Observer:
    """Collects facts in one queue, and judges them in the order of their times.

    They come through several threads and sockets: a process's end may be known before the fact that it was killed. So
    each waits for a moment, for those that happened before it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._facts: queue.SimpleQueue[Fact | None] = queue.SimpleQueue()
        self._judges = Judges(CAMERAS)
        self._images = 0
        self._waiting: list[tuple[float, int, Fact]] = []
        self._arrived = 0

    def run(self, instance: str, tag: str, log: Path) -> None:
        """Observe until stdin says that it is over."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._folder / SOCKET))
        listener.listen()
        tell = self._facts.put
        _in_thread(lambda: self._accept(listener))
        _in_thread(lambda: watching.watch_board(instance, tell))
        _in_thread(lambda: watching.watch_processes(instance, tag, tell))
        _in_thread(lambda: watching.watch_log(log, tell))
        _in_thread(lambda: watching.watch_machine(tell))
        _in_thread(lambda: watching.watch_load(tell))
        _in_thread(self._wait_for_end)
        _say({"listening": True})
        self._judge()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            _in_thread(lambda connection=connection: self._receive(connection))  # type: ignore[misc]

    def _receive(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                self._facts.put(from_line(line))

    def _wait_for_end(self) -> None:
        sys.stdin.readline()
        self._facts.put(None)

    def _judge(self) -> None:
        said = time.monotonic()
        while (fact := self._facts.get()) is not None:
            self._arrived += 1
            heapq.heappush(self._waiting, (fact.t, self._arrived, fact))
            self._take_until(time.monotonic() - _PATIENCE_S)
            if time.monotonic() - said > _STATUS_EVERY_S:
                said = time.monotonic()
                _say(self._status())
        self._take_until(math.inf)
        _say({"images": self._images, "result": self._judges.finish()})

    def _take_until(self, t: float) -> None:
        while self._waiting and self._waiting[0][0] <= t:
            _, _, fact = heapq.heappop(self._waiting)
            self._images += isinstance(fact, ImageSeen)
            self._judges.take(fact)

    def _status(self) -> dict[str, object]:
        tally, world = self._judges.tally, self._judges.world
        return {
            "images": self._images,
            "violations": tally.violations,
            "pending": [f"{episode.fault.kind} {episode.fault.target}".strip() for episode in world.pending],
            "faults": list(world.robot.faults) if world.robot else [],
            "examples": {name: count.examples for name, count in tally.counts.items() if count.examples},
            "backlog": self._facts.qsize() + len(self._waiting),
        }


def _in_thread(target: Callable[[], object]) -> None:
    def run() -> None:
        try:
            target()
        except Exception:  # an observer that sees only half must not look like one that sees nothing wrong
            traceback.print_exc()
            os._exit(1)

    threading.Thread(target=run, daemon=True).start()


def _say(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Observe one run."""
    folder, instance, tag, log = sys.argv[1:]
    Observer(Path(folder)).run(instance, tag, Path(log))


if __name__ == "__main__":
    main()

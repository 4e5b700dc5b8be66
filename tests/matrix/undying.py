"""A supervisor for which the processes of one camera, "stuck", are held by the kernel: no signal of its reaches them.

python -m tests.matrix.undying …the supervisor's own arguments
"""

import json
import sys

from supervision.cli import main
from supervision.process import ChildProcess

HELD = "stuck"

_held: set[int] = set()


def _patch() -> None:
    # Python's own functions at the edge to the kernel; everything behind them is as it always is.
    tell, signal, kill_group = ChildProcess._tell, ChildProcess.signal, ChildProcess.kill_group

    def tell_and_note(self: ChildProcess, configuration: str) -> None:
        if json.loads(configuration).get("name") == HELD:
            _held.add(self.pid)
        tell(self, configuration)

    def signal_others(self: ChildProcess, number: int) -> None:
        if self.pid not in _held:
            signal(self, number)

    def kill_others(self: ChildProcess) -> None:
        if self.pid not in _held:
            kill_group(self)

    ChildProcess._tell = tell_and_note  # type: ignore[method-assign]
    ChildProcess.signal = signal_others  # type: ignore[method-assign]
    ChildProcess.kill_group = kill_others  # type: ignore[method-assign]


if __name__ == "__main__":
    _patch()
    sys.exit(main(sys.argv[1:]))

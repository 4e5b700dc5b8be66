"""When a child that ended is started again: the only retry mechanism of the pipeline."""

import math
import random
from collections.abc import Callable

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
JITTER = 0.2  # a delay is shortened by up to this fraction, so that cameras on one hub do not start in step


class Backoff:
    """Delays of one child: at once after the first failure, then 0.5 s doubling to 30 s.

    `jitter` returns a number in [0, 1).
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self.failures = 0
        self._jitter = jitter

    def next_delay_s(self) -> float:
        """Count a failure, and say how long to wait before the next start."""
        self.failures += 1
        if self.failures == 1:
            return 0.0
        delay_s = min(math.ldexp(FIRST_DELAY_S, min(self.failures - 2, 16)), LONGEST_DELAY_S)
        return delay_s * (1 - JITTER * self._jitter())

    def forgive(self) -> None:
        """Forget the failures: the child has worked for long enough."""
        self.failures = 0

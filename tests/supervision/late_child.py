"""A scripted child that is stopped (SIGSTOP) before it has done anything at all, as by a debugger."""

import os
import signal
import sys

os.kill(os.getpid(), signal.SIGSTOP)

from tests.supervision.scripted_child import main  # noqa: E402  - the point is to come too late

if __name__ == "__main__":
    sys.exit(main())

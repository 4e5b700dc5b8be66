"""Starts, watches and restarts the camera pipeline: see `python supervisor.py --help`.

Loads neither OpenCV nor gRPC nor the robot's SDK, so that nothing native can take it down.
"""

import sys

from supervision.signals import end_the_start_when_asked

if __name__ == "__main__":
    # Before the imports, which take their time.
    has_terminal = sys.argv[1:2] != ["status"] and end_the_start_when_asked()
    from supervision.cli import main

    sys.exit(main(sys.argv[1:], has_terminal=has_terminal))

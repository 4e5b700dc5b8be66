"""Starts, watches and restarts the camera pipeline: see `python supervisor.py --help`.

Loads neither OpenCV nor gRPC nor the robot's SDK, so that nothing native can take it down.
"""

import sys

from supervision.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

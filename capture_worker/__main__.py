"""Run one camera for the supervisor (`--report-fd N`), or list the cameras of this computer (`--list`)."""

import argparse
import json
import logging
import os
import sys
import threading
from dataclasses import asdict

from capture_worker import priority
from capture_worker.devices import find_capture_devices
from supervision import exit_codes
from supervision.lifeline import Lifeline

_IMPORTS_S = 30.0


def main() -> int:
    """Parse the arguments and call one function."""
    parser = argparse.ArgumentParser(prog="python -m capture_worker", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--report-fd", type=int, metavar="N", help="where reports go; stdin brings the configuration")
    what.add_argument("--list", action="store_true", help="print each capture device as a line of JSON")
    arguments = parser.parse_args()
    return list_devices() if arguments.list else run_worker(arguments.report_fd)


def list_devices() -> int:
    """Print what there is to capture from: one JSON object per line, no line if there is nothing."""
    for device in find_capture_devices():
        print(json.dumps(asdict(device)))
    return exit_codes.FINISHED


def run_worker(report_fd: int) -> int:
    """Attach to the supervisor and run the camera that it names. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    lifeline = Lifeline(report_fd)
    lifeline.attach()
    lifeline.promise(_IMPORTS_S)
    priority.go_first()
    from capture_worker.worker import CaptureWorker  # noqa: PLC0415 - after the promise

    code = CaptureWorker(lifeline).run()
    if threading.active_count() > 1:  # threads of a user's camera class, which the interpreter would wait for
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())

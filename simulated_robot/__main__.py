"""`python -m simulated_robot`: a robot for programs in other processes."""

import argparse
import sys
from pathlib import Path

from simulated_robot.robot import DEFAULT_CLOCK_SKEW_S
from simulated_robot.standalone import run_alone
from simulated_robot.supervised import run_supervised

MAX_PORT = 65535

_DESCRIPTION = """\
Run a simulated Spot on 127.0.0.1 until SIGINT or SIGTERM. It speaks the robot's own protocol with TLS: payloads
authenticate, synchronize their clocks, register services and raise faults, and clients reach registered services
through it. Once it listens, it prints one line that says where.
"""


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulated_robot", description=_DESCRIPTION)
    parser.add_argument("--port", type=_port, default=0, help="TCP port to listen on (default: 0, any free one)")
    parser.add_argument(
        "--ca-out", type=Path, metavar="FILE", help="where to write the certificate authority that clients must trust"
    )
    parser.add_argument(
        "--clock-skew-s",
        type=float,
        default=DEFAULT_CLOCK_SKEW_S,
        metavar="S",
        help="seconds that the robot's clock is ahead of this host's (default: %(default)s)",
    )
    parser.add_argument("--report-fd", type=int, help=argparse.SUPPRESS)  # the supervisor's own
    arguments = parser.parse_args()
    if arguments.report_fd is None and arguments.ca_out is None:
        parser.error("the following arguments are required: --ca-out")
    return arguments


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} is not a port (0 to {MAX_PORT})")
    return port


if __name__ == "__main__":
    given = _parse_arguments()
    if given.report_fd is not None:
        sys.exit(run_supervised(given.report_fd))
    sys.exit(run_alone(given.port, given.ca_out, given.clock_skew_s, lambda line: print(line, flush=True)))

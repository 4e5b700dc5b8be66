"""The simulated robot as a program of its own: one ready line, then it runs until it is asked to stop."""

import errno
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from simulated_robot.robot import HOST, SimulatedRobot
from supervision import exit_codes


def run_alone(port: int, ca_file: Path, clock_skew_s: float, announce: Callable[[str], None]) -> int:
    """Run a robot until SIGINT or SIGTERM and return the exit code; `announce` gets the ready line."""
    stop_signals = {signal.SIGINT, signal.SIGTERM}
    # Before gRPC starts threads, so that these inherit the mask and only sigwait ever sees the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    try:
        with SimulatedRobot(port, ca_file=ca_file, clock_skew_s=clock_skew_s) as robot:
            announce(f"simulated robot ready on {HOST}:{robot.port}, certificate authority in {ca_file}")
            signal.sigwait(stop_signals)
    except OSError as error:
        code, text = explain(error, port, ca_file)
        sys.stderr.write(f"{text}\n")
        return code
    return exit_codes.FINISHED


def explain(error: OSError, port: int, ca_file: Path) -> tuple[int, str]:
    """Return the exit code and the sentence for a robot that could not be started."""
    if error.errno == errno.EADDRINUSE:
        return exit_codes.PORT_IN_USE, f"port {port} of {HOST} is in use by another program"
    if error.errno == errno.EACCES and error.filename is None:
        return exit_codes.BAD_CONFIGURATION, f"port {port} of {HOST} needs privileges that this user does not have"
    return exit_codes.BAD_CONFIGURATION, f"cannot write the certificate authority to {ca_file}: {error.strerror}"

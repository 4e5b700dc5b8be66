"""The simulated robot as a child of the supervisor."""

import time

from pydantic import ValidationError

from simulated_robot.robot import SimulatedRobot
from simulated_robot.standalone import explain
from supervision import exit_codes
from supervision.lifeline import Lifeline, fitting
from supervision.settings import SimulatedRobotConfiguration, what_is_wrong

BEAT_WITHIN_S = 2.0
BEAT_INTERVAL_S = 0.25


def run_supervised(report_fd: int) -> int:
    """Run the robot that the configuration line describes, beating, until told to stop; return the exit code."""
    lifeline = Lifeline(report_fd)
    lifeline.attach()
    try:
        configuration = SimulatedRobotConfiguration.model_validate(lifeline.configuration)
    except ValidationError as error:
        lifeline.error("bad_configuration", what_is_wrong(error))
        return exit_codes.BAD_CONFIGURATION
    try:
        _run(lifeline, configuration)
    except OSError as error:
        code, text = explain(error, configuration.port, configuration.ca_out)
        lifeline.error("port_in_use" if code == exit_codes.PORT_IN_USE else "bad_configuration", text)
        return code
    return exit_codes.TERMINATED


def _run(lifeline: Lifeline, configuration: SimulatedRobotConfiguration) -> None:
    lifeline.promise(BEAT_WITHIN_S)
    with SimulatedRobot(configuration.port, ca_file=configuration.ca_out) as robot:
        lifeline.ready(port=robot.port)
        while not lifeline.stopping:
            faults = (fault_name for _service, fault_name in robot.faults)
            lifeline.promise(BEAT_WITHIN_S, faults=fitting(faults), services=fitting(robot.services))
            lifeline.end_if_orphaned()
            time.sleep(BEAT_INTERVAL_S)

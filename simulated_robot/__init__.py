"""A robot on loopback, for development, tests and users' own CI: unmodified SDK clients work against it.

`SimulatedRobot` is a real gRPC server with TLS which misbehaves on command; see README.md beside this file.
"""

from simulated_robot.misbehaviour import Misbehaviour, Refusal
from simulated_robot.robot import SimulatedRobot

__all__ = ["Misbehaviour", "Refusal", "SimulatedRobot"]

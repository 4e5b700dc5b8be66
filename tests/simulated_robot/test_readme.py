"""What the README promises to somebody with a program that knows nothing of simulated robots."""

import os
import re
import subprocess
import sys
from pathlib import Path

import simulated_robot
from simulated_robot import SimulatedRobot

README = Path(simulated_robot.__file__).with_name("README.md")

PROGRAM = """\
import sys
import bosdyn.client
import bosdyn.client.util

sdk = bosdyn.client.create_standard_sdk("Example")
robot = sdk.create_robot(sys.argv[1])
bosdyn.client.util.authenticate(robot)
robot.time_sync.wait_for_sync()
print(len(robot.list_services()))
"""


def test_the_script_for_unmodified_programs_works(robot: SimulatedRobot, tmp_path: Path) -> None:
    """A program which dials port 443 with the SDK's own certificate reaches the simulated robot through the script."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    script, program = tmp_path / "through_simulated_robot.py", tmp_path / "program.py"
    script.write_text(next(block for block in blocks if "runpy" in block))
    program.write_text(PROGRAM)
    finished = subprocess.run(
        [sys.executable, script, str(robot.port), robot.ca_file, program, "127.0.0.1"],
        env=os.environ | {"BOSDYN_CLIENT_USERNAME": "user", "BOSDYN_CLIENT_PASSWORD": "password"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.stdout == "11\n", finished.stderr
    assert finished.returncode == 0

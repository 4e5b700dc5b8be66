"""What the pipeline may do, and what nobody may see: secrets, pictures in core dumps, root's rights."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from simulated_robot.robot import SimulatedRobot
from supervision.leftovers import INSTANCE
from supervision.process import PROJECT_FOLDER
from tests.end_to_end.running import end, free_port, start_supervisor, wait
from tests.supervision.running import new_instance

SECRETS = ("payload-secret-1", "payload-guid-1", "camera-password-1", "environment-password-1", "query-token-1")

CONFIGURATION = """
post_mortem_dir = "post-mortem"
[robot]
guid = "payload-guid-1"
secret = "payload-secret-1"
[cameras.front]
driver = "synthetic"
[cameras.front.synthetic]
script = ["1: segfault"]
[cameras.net]
device = "rtsp://user:camera-password-1@127.0.0.1:9/stream?token=query-token-1"
capture_timeout_s = 1.0
[cameras.own]
driver = "camera_interface"
camera_interface = {{ factory = "tests.no_such_module:Camera", arguments = {{ password = "camera-password-1" }} }}
"""


def children_of(instance: str) -> list[psutil.Process]:
    """Every process that carries the instance's tag."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(INSTANCE) == instance and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def holds_secret(text: str) -> bool:
    """Whether one of them can be read in it."""
    return any(secret in text for secret in SECRETS)


def status_of(instance: str, *flags: str) -> str:
    """What the command `status` prints."""
    command = [sys.executable, str(PROJECT_FOLDER / "supervisor.py"), "status", "--instance", instance, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


@pytest.fixture
def crashing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, "subprocess.Popen[bytes]", Callable[[], str], SimulatedRobot]]:
    """A pipeline with secrets everywhere, of whose cameras none works for long, with the log at its longest."""
    monkeypatch.setenv("BOSDYN_CLIENT_USERNAME", "somebody")
    monkeypatch.setenv("BOSDYN_CLIENT_PASSWORD", "environment-password-1")
    instance = new_instance()
    (tmp_path / "pipeline.toml").write_text(CONFIGURATION.format())
    with SimulatedRobot() as robot:
        process, log_file = start_supervisor(
            tmp_path,
            *("127.0.0.1", "--robot-port", str(robot.port), "--robot-ca", str(robot.ca_file), "-v"),
            *("--host-ip", "127.0.0.1", "--port", str(free_port()), "--instance", instance),
            *("--config", str(tmp_path / "pipeline.toml")),
            tag=instance,
        )
        try:
            yield instance, process, lambda: log_file.read_text(errors="replace"), robot
        finally:
            end(process, log_file)


def test_no_secret_is_ever_shown(
    crashing: tuple[str, "subprocess.Popen[bytes]", Callable[[], str], SimulatedRobot], tmp_path: Path
) -> None:
    """Not in an argv, a child's environment, the log, the status, a file about an end, or a fault on the robot."""
    instance, _, log, robot = crashing
    folder = tmp_path / "post-mortem" / instance

    def children() -> dict[str, dict[str, str]]:
        document = json.loads(status_of(instance, "--json") or "{}")
        return {child["name"]: child for child in document.get("children", [])}

    wait(lambda: children().get("servicer", {}).get("state") == "running", "the servicer runs", 30, log)
    os.kill(int(children()["servicer"]["pid"]), signal.SIGSEGV)
    names = ("front", "net", "own", "servicer")
    wait(lambda: all(list(folder.glob(f"{name}.*.txt")) for name in names), "everybody has died once", 30, log)
    wait(lambda: robot.faults or robot.past_faults, "the robot was told faults", 20, log)
    shown = {
        "argv": "\n".join(" ".join(process.cmdline()) for process in children_of(instance)),
        "environment": "\n".join(str(process.environ()) for process in children_of(instance)),
        "log": log(),
        "status": status_of(instance, "--json") + status_of(instance),
        "files": "\n".join(path.read_text() for path in folder.iterdir()),
        "faults": "\n".join(fault.error_message for fault in [*robot.faults.values(), *robot.past_faults]),
    }
    found = {f"{where}: {line}" for where, text in shown.items() for line in text.splitlines() if holds_secret(line)}
    assert found == set()
    assert "rtsp://127.0.0.1:9/stream" in shown["files"]
    assert re.search(r"front\.\d+\.txt", shown["status"])
    assert [where for where, text in shown.items() if not text] == []


def test_no_core_dumps(
    crashing: tuple[str, "subprocess.Popen[bytes]", Callable[[], str], SimulatedRobot],
) -> None:
    """Of a child that dies of a signal neither a file nor a program gets its memory, whatever core_pattern says."""
    instance, supervisor, log, _ = crashing
    wait(lambda: len(children_of(instance)) >= 2, "the children run", 30, log)
    for pid in [supervisor.pid, *(process.pid for process in children_of(instance))]:
        try:
            limits = Path(f"/proc/{pid}/limits").read_text()
            kept = Path(f"/proc/{pid}/coredump_filter").read_text()
        except OSError:  # it has just crashed
            continue
        core = next(line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core[4:6] == ["0", "0"]
        assert int(kept, 16) == 0


NOBODY = 65534
_AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--no-new-privs"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(not shutil.which("setpriv") or not shutil.which("unshare"), reason="needs setpriv and unshare")
def test_runs_without_any_rights() -> None:
    """The demo serves as a user who may do nothing, and keeps how a camera died in a folder of his."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        os.chown(folder, NOBODY, NOBODY)
        for key in [key for key in os.environ if key.startswith("COVERAGE")] + ["XDG_STATE_HOME"]:
            patch.delenv(key)
        patch.setenv("HOME", "/nonexistent")
        patch.setenv("TMPDIR", folder)
        instance = new_instance()
        demo = [
            *(sys.executable, str(PROJECT_FOLDER / "supervisor.py"), "--simulate", "--duration", "60"),
            *("--instance", instance, "--port", str(free_port()), "--config", f"{folder}/pipeline.toml"),
        ]
        Path(folder, "pipeline.toml").write_text(
            '[cameras.front]\ndriver = "synthetic"\nsynthetic = { script = ["1: crash"] }\n'
            '[cameras.rear]\ndriver = "synthetic"\n'
        )
        os.chmod(f"{folder}/pipeline.toml", 0o644)
        ends = Path(folder, f"spot-cameras-{NOBODY}", instance)
        output = Path(folder, "output")
        with output.open("wb") as file:
            process = subprocess.Popen(in_reach([*_AS_NOBODY, *demo]), cwd=folder, stdout=file, stderr=file)
        try:
            wait(lambda: "running, registered" in output.read_text(), "it serves", 60, output.read_text)
            wait(lambda: list(ends.glob("front.*.txt")), "a camera has died", 60, output.read_text)
        finally:
            end(process, output)
        assert "running as root" not in output.read_text()
        assert "front (camera)" in next(ends.glob("front.*.txt")).read_text()


def in_reach(command: list[str]) -> list[str]:
    """Return the command as one that finds this interpreter, also where that lies in a folder of root's alone."""
    needed = [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), PROJECT_FOLDER]
    walls = {folder for path in needed for folder in [path, *path.parents] if folder.stat().st_mode & 0o005 != 0o005}
    if not walls:
        return command
    if len(walls) > 1 or (wall := walls.pop()) not in needed[0].parents or wall in PROJECT_FOLDER.parents:
        pytest.skip(f"another user cannot read {wall}")
    script = f"""set -e
aside=$(mktemp -d)
mount --bind {needed[0]} $aside
mount -t tmpfs -o mode=755 open {wall}
mkdir -p {needed[0]}
mount --bind $aside {needed[0]}
exec "$@"
"""
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]

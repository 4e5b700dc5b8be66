"""The end of a run: in order and in time, whoever asks for it and however."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servicer.process import _FAREWELL_S, _GRACE_S
from shm import names
from supervision.process import PROJECT_FOLDER
from supervision.timing import Timing
from tests.end_to_end.running import SERVICE_NAME, running_pipeline
from tests.supervision.running import RunningSupervisor, new_instance, wait_for


def test_orderly_stop_in_reverse_order(tmp_path: Path) -> None:
    """SIGTERM ends the servicer before the cameras, everything within 5 s, and leaves nothing behind."""
    with RunningSupervisor(tmp_path / "log", {"front": "say_goodbye", "rear": "work"}) as supervisor:
        for name in ("front", "servicer"):
            supervisor.wait_until_working(name)
        assert supervisor.stop() < 5.0
        assert supervisor.popen.returncode == 0
        assert "[front] goodbye, servicer is gone" in supervisor.log
        assert supervisor.processes() == []
        assert names.names_of(supervisor.instance) == []


@pytest.mark.row("M36")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_each_signal_takes_the_service_out_of_the_directory(tmp_path: Path, number: signal.Signals) -> None:
    """The whole pipeline, within 5 s and with exit code 0: the robot's directory has no entry of ours any more."""
    with running_pipeline(tmp_path, {"front": {"driver": "synthetic"}}) as pipeline:
        assert SERVICE_NAME in pipeline.robot.services
        started_s = time.monotonic()
        pipeline.process.send_signal(number)
        assert pipeline.process.wait(20) == 0
        assert time.monotonic() - started_s < 5.0
        assert SERVICE_NAME not in pipeline.robot.services


def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """A worker that does not end when asked is killed within the 5 s of an orderly stop."""
    with RunningSupervisor(tmp_path / "log", {"front": "ignore_sigterm"}) as supervisor:
        supervisor.wait_until_working("front")
        assert supervisor.stop(signal.SIGINT) < 5.0
        assert supervisor.popen.returncode == 0
        assert supervisor.processes() == []


@pytest.mark.row("M36")
def test_everybody_ignores_sigterm(tmp_path: Path) -> None:
    """The stop ends within 5 s even if the servicer, a camera and the robot are all killed in the end.

    0.5 s of it are for what a busy computer does with them meanwhile: one of three tries must find it less busy.
    """
    who = {"service": {"authority": "x/ignore_sigterm"}, "robot": {"ca": str(tmp_path / "ignore_sigterm")}}
    tries = []
    for number in range(3):
        log = tmp_path / f"log{number}"
        with RunningSupervisor(log, {"front": "ignore_sigterm"}, simulate=True, **who) as supervisor:
            for name in ("front", "servicer"):
                supervisor.wait_until_working(name)
            took_s = supervisor.stop()
            assert took_s > 4.4, "each of them had its whole grace"
            assert supervisor.popen.returncode == 0
            assert supervisor.processes() == []
            tries.append((took_s < 5.0, "do not end" not in supervisor.log))
        if tries[-1] == (True, True):
            break
    assert tries[-1] == (True, True)


def test_servicer_has_time_to_say_goodbye() -> None:
    """The servicer's grace is longer than its farewell to the robot and the end of its calls together."""
    graces = Timing().stop_grace_s
    assert graces["servicer"] > _FAREWELL_S + _GRACE_S
    assert sum(graces.values()) < Timing().stop_s < 5.0


def test_stop_starts_nobody(tmp_path: Path) -> None:
    """While the servicer takes its time to end, a camera that was to be started again is not."""
    who = {"service": {"authority": "x/ignore_sigterm"}}
    with RunningSupervisor(tmp_path / "log", {"front": "absent"}, **who) as supervisor:
        supervisor.wait_until_working("servicer")
        supervisor.wait_until("front", lambda child: child.state == "waiting" and child.restarts >= 1)
        supervisor.stop()
        assert "looking for" not in supervisor.log.partition("stopping (SIGTERM)")[2]


def test_second_signal_kills_at_once(tmp_path: Path) -> None:
    """Whoever asks twice does not want to wait."""
    timing = {"stop_grace_s": {"camera": 60.0, "servicer": 60.0, "simulated_robot": 60.0}, "stop_s": 60.0}
    with RunningSupervisor(tmp_path / "log", {"front": "ignore_sigterm"}, timing=timing) as supervisor:
        supervisor.wait_until_working("front")
        supervisor.popen.send_signal(signal.SIGTERM)
        supervisor.wait_until("front", lambda child: child.state == "stopping")
        assert supervisor.stop() < 1.0
        assert supervisor.popen.returncode == 0
        assert supervisor.processes() == []


AS_FIRST = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
FIRST_ONLY = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can make a PID namespace"
)


@contextlib.contextmanager
def importing(folder: Path, *prefix: str, stdin: int = subprocess.DEVNULL, code: int = 0) -> Iterator[int]:
    """A supervisor, for ever in its first imports; afterwards it must have ended with this exit code, and no word."""
    slow = folder / "slow" / "pydantic.py"
    slow.parent.mkdir()
    slow.write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    command = [*prefix, sys.executable, str(PROJECT_FOLDER / "supervisor.py"), "--simulate"]
    own = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}  # it has handlers, too
    environment = {**own, "PYTHONPATH": str(slow.parent)}
    with subprocess.Popen(
        command, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == b"importing\n"
            yield (psutil.Process(started.pid).children()[0].pid if prefix else started.pid)
            assert (started.wait(10), started.stderr and started.stderr.read()) == (code, b"")
        finally:
            started.kill()


@pytest.mark.parametrize("prefix", [[], pytest.param(AS_FIRST, marks=FIRST_ONLY)], ids=["", "process 1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_asked_to_end_before_it_has_begun(tmp_path: Path, prefix: list[str], number: int) -> None:
    """It is obeyed while the modules are still loaded, also as process 1, which gets no signal without a handler."""
    with importing(tmp_path, *prefix) as pid:
        os.kill(pid, number)


def test_interrupted_before_it_has_begun(tmp_path: Path) -> None:
    """Ctrl-C is exit code 130 then, without a traceback."""
    with importing(tmp_path, code=130) as pid:
        os.kill(pid, signal.SIGINT)


def test_terminal_closed_before_it_has_begun(tmp_path: Path) -> None:
    """A terminal that hangs up during the imports ends the start, though it is no terminal any more by then."""
    master, slave = os.openpty()
    with importing(tmp_path, stdin=slave) as pid:
        os.close(slave)
        os.close(master)
        os.kill(pid, signal.SIGHUP)


def test_asked_to_reload_before_it_has_begun(tmp_path: Path) -> None:
    """SIGHUP from where there is no terminal ends nothing: the configuration is about to be read anyway."""
    with importing(tmp_path) as pid:
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGTERM)


def test_asked_to_end_while_it_takes_its_instance() -> None:
    """From the lock on a signal waits for the loop, which ends in an orderly way."""
    program = """
import os, signal, sys
from supervision.loop import Supervisor
from supervision.settings import Settings
supervisor = Supervisor(Settings(instance=sys.argv[1]), on_start=lambda: os.kill(os.getpid(), signal.SIGTERM))
sys.exit(supervisor.run())
"""
    command = [sys.executable, "-c", program, new_instance()]
    assert subprocess.run(command, cwd=PROJECT_FOLDER, timeout=20, check=False).returncode == 0


def test_hung_up_terminal_ends_it(tmp_path: Path) -> None:
    """SIGHUP stops a supervisor that was started in a terminal, also when the terminal is gone by then."""
    master, slave = os.openpty()
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, stdin=slave) as supervisor:
        supervisor.wait_until_working("front")
        os.close(slave)
        os.close(master)
        assert supervisor.stop(signal.SIGHUP) < 5.0
        assert supervisor.popen.returncode == 0


def test_nobody_reads_the_output(tmp_path: Path) -> None:
    """A reader of stderr that goes away ends nothing."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, pipe_log=True) as supervisor:
        pid = supervisor.wait_until_working("front")
        assert supervisor.popen.stderr is not None
        supervisor.popen.stderr.close()
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_until("front", lambda child: child.restarts == 1 and child.state == "running")
        assert supervisor.stop() < 5.0
        assert supervisor.popen.returncode == 0


def test_duration(tmp_path: Path) -> None:
    """A run with a duration ends by itself with exit code 0."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, duration_s=0.3) as supervisor:
        assert supervisor.popen.wait(7) == 0
        assert re.search("the time is over", supervisor.log)


@pytest.mark.row("M9")
def test_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    """3 s after `kill -9` of the supervisor none of its processes is left, hanging or not; the next start sweeps."""
    cameras = {"front": "work", "rear": "ignore_sigterm", "hung": "hang_for_long"}
    with RunningSupervisor(tmp_path / "log", cameras) as supervisor:
        for name in ("front", "rear", "servicer"):
            supervisor.wait_until_working(name)
        supervisor.wait_until("hung", lambda child: child.state == "running")
        supervisor.popen.kill()
        wait_for(lambda: supervisor.processes() == [], "no process is left", 3.0)
        left = names.names_of(supervisor.instance)
        assert left
        with RunningSupervisor(tmp_path / "next", {"other": "work"}, instance=supervisor.instance) as successor:
            successor.wait_until_working("other")
            assert f"removed {len(left)} names" in successor.log


@pytest.mark.row("M9")
def test_stopped_worker_dies_with_a_killed_supervisor(tmp_path: Path) -> None:
    """Even a worker in SIGSTOP does not outlive its supervisor."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        os.kill(supervisor.wait_until_working("front"), signal.SIGSTOP)
        supervisor.popen.kill()
        wait_for(lambda: supervisor.processes() == [], "no process is left", 3.0)

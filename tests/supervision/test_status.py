"""`status`: a table for people, a documented document for programs."""

import contextlib
import dataclasses
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm import BoardWriter, ShmFullError
from shm.records import ChildRecord, Status
from supervision.display import Display, summary
from supervision.frame_rate import FrameRate
from supervision.instance import lock_path
from supervision.loop import Supervisor
from supervision.output import Output
from supervision.process import PROJECT_FOLDER
from supervision.settings import Settings
from supervision.status import as_document, as_table, status_command
from tests.supervision.running import RunningSupervisor, new_instance

SECOND_NS = 1_000_000_000

FRONT = ChildRecord(
    name="front",
    kind="camera",
    state="running",
    since_ns=7 * SECOND_NS,
    pid=42,
    restarts=3,
    last_exit="signal SIGSEGV",
    frames=90,
    rate_hz=29.97,
    frame_number=1234,
    captured_ns=10 * SECOND_NS - 12_000_000,
    rows=480,
    cols=640,
    encoding="bgr8",
)
REAR = ChildRecord(
    name="rear",
    kind="camera",
    state="waiting",
    since_ns=9 * SECOND_NS,
    error_code="absent",
    error_text="there is no /dev/video7",
    post_mortem="/var/lib/spot-cameras/spot/rear.1.txt",
    next_start_ns=12 * SECOND_NS,
)
SERVICER = ChildRecord(
    name="servicer",
    kind="servicer",
    state="running",
    since_ns=0,
    pid=43,
    facts={"port": 21100, "robot": "registered", "refused": 2, "requests": 7, "faults": ["spot.front", "spot.peers"]},
)
STATUS = Status("spot", 41, 10 * SECOND_NS, (FRONT, REAR, SERVICER), robot_clock_offset_ns=5)


def test_table() -> None:
    """Columns are aligned, a child is a line, and an error a sentence below it."""
    lines = as_table(STATUS, 10 * SECOND_NS).splitlines()
    assert lines[0] == "instance spot, supervisor pid 41"
    assert lines[2].split() == [
        *("front", "camera", "running", "3.0", "s", "42", "30.0", "Hz", "12", "ms", "1234"),
        *("640x480", "bgr8", "3", "signal", "SIGSEGV"),
    ]
    assert lines[4] == "    absent: there is no /dev/video7"
    assert lines[5] == "    how its last process died: /var/lib/spot-cameras/spot/rear.1.txt"
    assert lines[6] == "    next start in 2.0 s"
    assert lines[8] == "    port 21100, robot registered, requests 7, refused 2"
    assert lines[9:] == ["    faults: spot.front, spot.peers"]
    column = lines[1].index("STATE")
    assert [line[column:].split()[0] for line in (lines[2], lines[3], lines[7])] == ["running", "waiting", "running"]


def test_a_camera_that_nobody_asks_is_idle() -> None:
    """Whoever sees an old frame also sees that it is no fault; what is not running is not idle."""
    idle = dataclasses.replace(FRONT, facts={"idle": True})
    assert summary(idle, 10 * SECOND_NS) == "front  12 ms idle"
    status = dataclasses.replace(STATUS, children=(idle, SERVICER))
    assert as_table(status, 10 * SECOND_NS).splitlines()[2].split()[2:7] == ["idle", "3.0", "s", "42", "-"]
    assert as_document(status, 10 * SECOND_NS)["cameras"]["front"]["idle"] is True
    killed = dataclasses.replace(idle, state="killing")
    assert summary(killed, 10 * SECOND_NS).endswith("killing")


def test_document() -> None:
    """The document says what docs/status-schema.md promises, with every key described there."""
    document = as_document(STATUS, 10 * SECOND_NS)
    front, rear, _ = document["children"]
    assert (front["since_s"], front["error"], front["next_start_in_s"]) == (3.0, None, None)
    assert rear["error"] == {"code": "absent", "text": "there is no /dev/video7"}
    assert rear["next_start_in_s"] == 2.0
    assert document["cameras"]["front"]["frame_age_s"] == 0.012
    assert document["cameras"]["rear"]["frame_age_s"] is None
    assert document["service"]["refused_peers"] == 2
    schema = (PROJECT_FOLDER / "docs" / "status-schema.md").read_text()
    keys = {*document, *front, *document["cameras"]["front"], *document["service"]}
    assert {key for key in keys if f"`{key}`" not in schema} == set()


def test_rate_after_a_pause_of_the_supervisor() -> None:
    """Beats that waited in the pipe, and are read in one turn, make no camera faster than it is."""
    rate = FrameRate()
    for tenth in range(30):
        rate.add(tenth * SECOND_NS // 10, 3 * (tenth + 1))
    now_ns = 15 * SECOND_NS
    for tenth in range(30, 150):
        rate.add(now_ns, 3 * (tenth + 1))
    for tenth in range(150, 170):
        assert 25 < rate.rate_hz(now_ns) < 31
        now_ns = tenth * SECOND_NS // 10 + SECOND_NS // 20
        rate.add(now_ns, 3 * (tenth + 1))
    first = FrameRate()
    for frames in range(3, 300, 3):
        first.add(now_ns, frames)
    assert first.rate_hz(now_ns) == 0.0, "nobody knows since when"


def test_line_a_second() -> None:
    """A camera is its rate, its age and its state; an error is named."""
    assert summary(FRONT, 10 * SECOND_NS) == "front 30.0 Hz  12 ms running"
    assert summary(REAR, 10 * SECOND_NS) == "rear  0.0 Hz no frame waiting (absent)"
    assert summary(SERVICER, 10 * SECOND_NS) == "service running, registered"


def test_a_service_that_does_not_run_is_not_registered() -> None:
    """What its last process said of the robot ended with it."""
    waiting = dataclasses.replace(SERVICER, state="waiting", pid=None)
    assert summary(waiting, 10 * SECOND_NS) == "service waiting, not registered"
    status = dataclasses.replace(STATUS, children=(FRONT, waiting))
    assert "registered" not in as_table(status, 10 * SECOND_NS)
    assert as_document(status, 10 * SECOND_NS)["service"]["robot"] is None


@pytest.mark.parametrize(("camera", "said"), [(FRONT, "serving; "), (REAR, "serving, but no camera works yet; ")])
def test_display_says_whether_a_camera_works(tmp_path: Path, camera: ChildRecord, said: str) -> None:
    """A service without a camera that works is not told of as if all were well."""
    settings = Settings.model_validate({"cameras": {"front": {"device": 0}}})
    with (tmp_path / "out").open("wb") as file:
        Display(settings, Output(file.fileno()), repeat=False).show(Status("spot", 41, 0, (camera, SERVICER)))
    assert (tmp_path / "out").read_text().endswith(f"\n{said}Ctrl-C ends it\n")


def test_display_says_once_what_is_served(tmp_path: Path) -> None:
    """What is served is said once; the line a second comes once a second."""
    settings = Settings.model_validate({"cameras": {"front": {"device": 0}}, "service": {"host_ip": "10.0.0.2"}})
    with (tmp_path / "out").open("wb") as file:
        display = Display(settings, Output(file.fileno()), repeat=True)
        for tenth in range(30):
            display.show(Status("spot", 41, 10 * SECOND_NS + tenth * SECOND_NS // 10, (FRONT, SERVICER)))
    lines = (tmp_path / "out").read_text().splitlines()
    assert sum("web-cam-service (authority robot-web-cam) on 10.0.0.2:21100" in line for line in lines) == 1
    assert sum(line.startswith("front 30.0 Hz") for line in lines) == 3


def run_status(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return subprocess.run(
        [sys.executable, PROJECT_FOLDER / "supervisor.py", "status", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_of_a_running_instance(tmp_path: Path) -> None:
    """A running instance is shown, and one whose supervisor was killed is called dead."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        pid = supervisor.wait_until_working("front")
        supervisor.wait_until_working("servicer")
        table = run_status("--instance", supervisor.instance)
        assert (table.returncode, table.stderr) == (0, "")
        assert "front" in table.stdout
        document = json.loads(run_status("--instance", supervisor.instance, "--json").stdout)
        assert document["supervisor_pid"] == supervisor.popen.pid
        assert [child["pid"] for child in document["children"] if child["name"] == "front"] == [pid]
        assert 5 < document["cameras"]["front"]["rate_hz"] < 60  # at most one in 20 ms
        assert document["service"]["port"] == 4321
        other = run_status("--instance", new_instance())
        running = other.stdout.partition("not running; running here: ")[2].strip().split(", ")
        assert (other.returncode, supervisor.instance in running) == (1, True)
        supervisor.popen.kill()
        supervisor.popen.wait()
        assert supervisor.instance not in run_status("--instance", new_instance()).stdout
        dead = run_status("--instance", supervisor.instance)
        assert dead.returncode == 1
        assert f"its supervisor, pid {supervisor.popen.pid}, died" in dead.stdout


@contextlib.contextmanager
def as_somebody_else(file: Path) -> Iterator[None]:
    """Have no rights to a file, also when the tests are run by root."""
    file.touch(0o600)
    file.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        file.unlink()


def test_of_another_users_instance(capfd: pytest.CaptureFixture[str]) -> None:
    """Who may not ask is told whom to be, instead of something wrong about the instance."""
    instance = new_instance()
    with as_somebody_else(lock_path(instance)):
        assert status_command(["--instance", instance]) == 1
    assert capfd.readouterr().out == f"instance {instance}: belongs to another user: run status as that user\n"


def test_of_nothing() -> None:
    """An instance that does not run is one line and exit code 1, as JSON too; a bad name is a usage error.

    Others may run on this computer, and are named.
    """
    instance = new_instance()
    nothing = run_status("--instance", instance)
    assert (nothing.returncode, nothing.stdout.count("\n")) == (1, 1)
    assert nothing.stdout.startswith(f"instance {instance}: not running")
    document = json.loads(run_status("--instance", instance, "--json").stdout)
    assert document["error"].startswith(f"instance {instance}: not running")
    assert run_status("--instance", "A/B").returncode == 2


_FILL = "mount -t tmpfs -o size=2m tmpfs /dev/shm && dd if=/dev/zero of=/dev/shm/x bs=4k 2>/dev/null; exec $0 $@"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_where_shm_is_full() -> None:
    """`status` needs no room in /dev/shm: it is asked just when that is full."""
    status = [sys.executable, str(PROJECT_FOLDER / "supervisor.py"), "status", "--json"]
    command = ["unshare", "--mount", "sh", "-c", _FILL, *status]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (asked.returncode, asked.stderr) == (1, "")
    assert json.loads(asked.stdout)["error"] == "instance spot-cameras: not running"


def test_whatever_keeps_it_from_knowing(capfd: pytest.CaptureFixture[str]) -> None:
    """Anything that the system refuses is the documented document with a sentence, and exit code 1."""
    path = lock_path(instance := new_instance())
    path.symlink_to(path.name)
    try:
        assert status_command(["--instance", instance, "--json"]) == 1
    finally:
        path.unlink()
    assert "symbolic links" in json.loads(capfd.readouterr().out)["error"]


class FullBoard(BoardWriter):
    """A board that somebody removed while /dev/shm is full."""

    def publish(self, status: Status) -> None:
        """Find no room for a new one."""
        raise ShmFullError(errno.ENOSPC, f"no room for the board of {status.instance}")


def test_a_board_without_room_is_no_end(caplog: pytest.LogCaptureFixture) -> None:
    """The cameras and the service go on without it; it is said, and not at every turn."""
    supervisor = Supervisor(Settings(instance=new_instance()))
    for second in range(20):
        supervisor._write_board(FullBoard("x"), Status("x", 1, second * SECOND_NS, ()))
    assert 1 <= sum("no room for the board" in message for message in caplog.messages) <= 3

"""A process that dies leaves a file which says how, bounded, for its own user alone, and without secrets."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shm.records import ChildRecord
from supervision import exit_codes
from supervision.end_report import End, report_of
from supervision.leftovers import INSTANCE
from supervision.masking import Mask, redacted
from supervision.post_mortem import LARGEST_BYTES, MOST_WAITING, PATIENCE_S, PostMortems
from supervision.post_mortem_writer import KEPT, places_of, probe, write
from supervision.process import PROJECT_FOLDER, Death, peek_dead_child, reap
from tests.supervision.running import RunningSupervisor, wait_for
from tests.supervision.test_reload import document_of, reload

SECOND_NS = 1_000_000_000
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


def file_of(supervisor: RunningSupervisor, name: str, accept: Callable[[ChildRecord], bool]) -> str:
    """Return what the file says that the board names once the record is accepted."""
    record = supervisor.wait_until(name, lambda child: child.post_mortem is not None and accept(child))
    return text_of(record.post_mortem)


def text_of(path: str | None) -> str:
    """Return what is in a file that is named already, and may still have to be written."""
    assert path is not None
    wait_for(Path(path).is_file, f"{path} is written")
    return Path(path).read_text()


def test_crash_leaves_a_file_that_the_board_and_the_log_name(tmp_path: Path) -> None:
    """Its last lines, how it ended, its last frame and its configuration, for nobody else to read."""
    with RunningSupervisor(tmp_path / "log", {"front": "crash_later", "rear": "crash"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.post_mortem is not None)
        path, text = Path(front.post_mortem or ""), text_of(front.post_mortem)
        assert path.parent == supervisor.post_mortems
        assert f"front: ended (signal SIGSEGV, crashed); starts again at once; see {path}\n" in supervisor.log
        assert f"front (camera), process {path.name.split('.')[1]}, ended" in text
        assert "ended with signal SIGSEGV" in text
        assert "crashed: ended with signal SIGSEGV" in text
        assert "64 x 48 bgr8, captured 0." in text
        assert "Fatal Python error: Segmentation fault" in text
        assert "in do_crash_later" in text
        assert '"device": "test://front/crash_later"' in text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        rear = file_of(supervisor, "rear", lambda child: child.error_code == "crashed")
        assert "RuntimeError: no luck today" in rear
        assert "none was reported" in rear


def test_hang_leaves_its_stack_and_the_lines_before_it(tmp_path: Path) -> None:
    """Where it hung, and what it had said before that."""
    with RunningSupervisor(tmp_path / "log", {"front": "hang"}) as supervisor:
        text = file_of(supervisor, "front", lambda child: child.error_code == "hung")
    assert "hung: silent for" in text
    assert text.count("in hang_in_c") == 1
    assert "0 restarts before; its supervisor was killing it" in text
    assert "about to hang" in text.partition("Last lines of its log")[2]
    assert "kernel state when it was asked where it is: S" in text


def test_stopped_process_cannot_say_where_it_was(tmp_path: Path) -> None:
    """The file says so, and why."""
    with RunningSupervisor(tmp_path / "log", {"front": "stop_itself"}) as supervisor:
        text = file_of(supervisor, "front", lambda child: child.error_code == "hung")
    assert "it did not run any more, not even to write its stack (kernel state T;" in text


def test_servicer_and_robot_have_theirs(tmp_path: Path) -> None:
    """Every kind of child leaves a file when somebody kills it."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, simulate=True) as supervisor:
        for name in ("servicer", "simulated_robot"):
            supervisor.wait_until(name, lambda child: child.state == "running")
            os.kill(supervisor.wait_until(name, lambda child: child.pid is not None).pid or 0, signal.SIGKILL)
            assert "ended with signal SIGKILL" in file_of(supervisor, name, lambda child: child.restarts > 0)


def test_end_that_was_asked_for_leaves_no_file(tmp_path: Path) -> None:
    """A stop, and a finished video, are no deaths."""
    with RunningSupervisor(tmp_path / "log", {"front": "work", "rear": "finish"}) as supervisor:
        supervisor.wait_until_working("front")
        supervisor.wait_until("rear", lambda child: child.state == "finished")
        supervisor.stop()
        assert not supervisor.post_mortems.exists()


def test_refused_configuration_says_why_and_nothing_else(tmp_path: Path) -> None:
    """There is no exception, and no log to look at; the last line about it names the file, once the folder is known."""
    cameras = {"front": "refuse"}
    with RunningSupervisor(tmp_path / "log", cameras, file=str(tmp_path / "file")) as supervisor:
        text = file_of(supervisor, "front", lambda child: child.state == "refused")
        path = supervisor.post_mortems / "front.bad_configuration.txt"
        reload(supervisor, json.dumps(document_of(supervisor, cameras)))
        line = f"front: refuses its configuration, and is not started again; see {path}\n"
        wait_for(lambda: line in supervisor.log, "the file is named")
    assert "bad_configuration: no such mode" in text
    assert "where it ended itself, for the reason above" in text
    assert "exception" not in text


def test_file_is_named_as_soon_as_the_end_is(tmp_path: Path) -> None:
    """The first record that tells of the end tells of the file, too: it goes into the robot's fault."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        pid = supervisor.wait_until_working("front")
        supervisor.post_mortems.parent.mkdir(exist_ok=True)
        os.kill(pid, signal.SIGKILL)
        front = supervisor.wait_until("front", lambda child: child.last_exit is not None)
        assert front.post_mortem == str(supervisor.post_mortems / f"front.{pid}.txt")


@ONLY_ROOT
@pytest.mark.row("M33")
@pytest.mark.parametrize("options", ["size=4k", "ro"])
def test_full_or_read_only_disk_costs_one_line(tmp_path: Path, options: str) -> None:
    """The cameras go on, and the board names no file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = f"mount -t tmpfs -o size=4k,{options} full {disk} && (echo x > {disk}/x || true) 2>/dev/null"
    lines = "could be written ("
    prefix = ["unshare", "--mount", "sh", "-c", f'{fill} && exec "$@"', "sh"]
    with RunningSupervisor(
        tmp_path / "log", {"front": "crash", "rear": "work"}, prefix=prefix, post_mortem_dir=disk
    ) as supervisor:
        other = supervisor.wait_until_working("rear")
        wait_for(lambda: supervisor.log.count(lines) >= 2, "two lines")
        front = supervisor.wait_until("front", lambda child: child.restarts >= 2)
        assert front.post_mortem is None
        assert "; see " not in supervisor.log
        assert supervisor.log.count(lines) <= 3
        assert supervisor.wait_until_working("rear") == other
        seen = Path(f"/proc/{supervisor.popen.pid}/root{disk}")  # ours is below what is mounted for the supervisor
        assert not any(path.is_file() and path.name != "x" for path in seen.rglob("*"))
        assert (options == "ro") or (seen / "x").exists()


WRITER_HANGS = {"writer": "tests.supervision.hung_writer"}


@pytest.mark.row("M33")
def test_hung_disk_holds_up_nobody(tmp_path: Path) -> None:
    """While a file cannot be written, cameras are restarted and served; one process waits for it, and no more."""
    cameras = {"front": "crash_later", "left": "hang", "rear": "work"}
    with RunningSupervisor(tmp_path / "log", cameras, **WRITER_HANGS) as supervisor:
        other = supervisor.wait_until_working("rear")
        front = supervisor.wait_until("front", lambda child: child.restarts >= 2)
        supervisor.wait_until("left", lambda child: child.restarts >= 1)
        assert front.post_mortem is None
        assert supervisor.wait_until_working("rear") == other
        assert "the supervisor itself did not run" not in supervisor.log
        assert len(writers(supervisor)) == 1


def test_hung_writer_ends_with_the_supervisor(tmp_path: Path) -> None:
    """It has a moment, and is no reason to stay."""
    with RunningSupervisor(tmp_path / "log", {"front": "crash"}, **WRITER_HANGS) as supervisor:
        wait_for(lambda: writers(supervisor), "a writer")
        assert supervisor.stop() < 10
        assert writers(supervisor) == []


def writers(supervisor: RunningSupervisor) -> list[psutil.Process]:
    """The processes that write files for it."""
    return [each for each in supervisor.processes() if WRITER_HANGS["writer"] in each.cmdline()]


_of_others: set[int] = set()


@pytest.fixture(autouse=True)
def _own_children() -> None:
    _of_others.clear()
    _of_others.update(children())


@pytest.fixture
def hung_writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every writer that is started hang, and leave none behind."""
    before = children()
    monkeypatch.setattr("supervision.post_mortem.WRITER", WRITER_HANGS["writer"])
    yield
    for pid in {*children()} - {*before}:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.usefixtures("hung_writer")
def test_writer_holds_nothing_of_ours(tmp_path: Path) -> None:
    """Neither the lock's descriptor nor a child's pipes: of the supervisor's it has its text and its answer alone."""
    read_fd, write_fd = os.pipe()
    os.set_inheritable(write_fd, True)
    files = PostMortems("spot", tmp_path)
    files.turn(SECOND_NS)
    (pid,) = children()
    theirs = os.readlink(f"/proc/self/fd/{write_fd}")
    assert theirs not in held_by(pid)
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).environ()[INSTANCE] == "spot"
    end_writer(files, pid)
    os.close(read_fd)
    os.close(write_fd)


@pytest.mark.usefixtures("hung_writer")
def test_what_waits_for_a_hung_disk_is_bounded_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line for what finds no place, and when it does not answer; it is killed, and the next files are written."""
    files = PostMortems("spot", tmp_path)
    files.turn(SECOND_NS)
    for number in range(MOST_WAITING + 1):
        die(files, SECOND_NS, f"cam{number}")
    assert caplog.messages == [
        f"cam{MOST_WAITING}: no file about its end could be written (too many are waiting for the disk)"
    ]
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supervision.post_mortem.WRITER", "supervision.post_mortem_writer")
        for second in (2, 3):
            files.turn((PATIENCE_S + second) * SECOND_NS)
        assert caplog.messages[1:] == [
            "no file about the end of a process could be written (the disk does not answer)",
            "cam0: no file about its end could be written (the disk does not answer)",
        ]
        turn_until(files, lambda: files._writer is None, (PATIENCE_S + 3) * SECOND_NS)
        die(files, (PATIENCE_S + 4) * SECOND_NS, "rear")
        turn_until(files, lambda: files._writer is None, (PATIENCE_S + 4) * SECOND_NS)
    assert [files.about(f"cam{number}") for number in range(MOST_WAITING + 1)] == [None] * (MOST_WAITING + 1)
    assert files.about("rear") == str(tmp_path / "spot" / "rear.7.txt")
    assert len(list((tmp_path / "spot").iterdir())) == 1
    assert len(caplog.messages) == 3


def test_what_is_never_written_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that the kernel holds does not end: names are taken back, and none is given, until it does."""
    files = PostMortems("spot", tmp_path)
    turn_until(files, lambda: files._folder)
    with monkeypatch.context() as kernel:
        kernel.setattr("supervision.post_mortem._Writer.has_ended", lambda _self: False)
        for child in ("front", "rear"):
            die(files, SECOND_NS, child)
        assert [files.about(child) is not None for child in ("front", "rear", "left")] == [True, True, False]
        files.turn((PATIENCE_S + 2) * SECOND_NS)
        die(files, (PATIENCE_S + 2) * SECOND_NS, "left")
        assert [files.about(child) for child in ("front", "rear", "left")] == [None, None, None]
    turn_until(files, lambda: files._writer is None, (PATIENCE_S + 3) * SECOND_NS)
    die(files, (PATIENCE_S + 3) * SECOND_NS, "left")
    turn_until(files, lambda: files._writer is None, (PATIENCE_S + 3) * SECOND_NS)
    assert text_of(files.about("left")) == f"death at {(PATIENCE_S + 3) * SECOND_NS}"


def test_folder_that_is_no_path_costs_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """What the system cannot be told, as a name that its encoding has no bytes for."""
    files = PostMortems("spot", Path("/tmp/\udcff\ud800"))  # noqa: S108 - not used
    die(files, SECOND_NS)
    files.turn(SECOND_NS)
    assert files.about("front") is None
    assert "front: no file about its end could be written (no process for it: " in caplog.text


def test_folder_is_decided_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A name is known at once, and holds: what cannot be written there is written nowhere, and no longer named."""
    files = PostMortems("spot", tmp_path / "folder")
    assert files.about("front") is None
    turn_until(files, lambda: files._folder)
    die(files, SECOND_NS)
    assert files.about("front") == str(tmp_path / "folder" / "spot" / "front.7.txt")
    turn_until(files, lambda: files._writer is None)
    assert text_of(files.about("front")) == f"death at {SECOND_NS}"
    shutil.rmtree(tmp_path / "folder")
    (tmp_path / "folder").touch()
    die(files, SECOND_NS, pid=8)
    turn_until(files, lambda: files._writer is None)
    assert files.about("front") is None
    assert len(caplog.messages) == 1
    assert "front: no file about its end could be written" in caplog.text


def test_writer_ends_with_its_supervisor(tmp_path: Path) -> None:
    """Also one that started too late to be told by the kernel: it writes nothing."""
    command = [sys.executable, "-m", "supervision.post_mortem_writer", "1", "spot", str(tmp_path), "", "front", "7"]
    ended = subprocess.run(command, cwd=PROJECT_FOLDER, stdin=subprocess.DEVNULL, check=False, capture_output=True)
    assert (ended.returncode, ended.stdout) == (exit_codes.ORPHANED, b"")
    assert list(tmp_path.iterdir()) == []


def test_last_files_are_written_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still waiting when the supervisor ends has its time, too."""
    monkeypatch.setattr("supervision.post_mortem._LAST_WRITER_S", 20.0)
    files = PostMortems("spot", tmp_path)
    for child in ("front", "rear"):
        die(files, time.monotonic_ns(), child)
    files.finish()
    assert {path.name for path in (tmp_path / "spot").iterdir()} == {"front.7.txt", "rear.7.txt"}
    turn_until(files, lambda: not children())


def held_by(pid: int) -> list[str]:
    """What a process has open, of which some may be closed meanwhile."""
    held = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.append(os.readlink(entry))
    return held


def children() -> list[int]:
    """The processes that this one has got in this test; what other tests' libraries left behind is none."""
    return [process.pid for process in psutil.Process().children() if process.pid not in _of_others]


def end_writer(files: PostMortems, pid: int) -> None:
    """Let a hung writer go."""
    os.kill(pid, signal.SIGKILL)
    turn_until(files, lambda: pid not in children())


def turn_until(files: PostMortems, done: Callable[[], object], now_ns: int = 0) -> None:
    """Do what the supervisor's loop does until something is true."""

    def turn() -> bool:
        while death := peek_dead_child():
            reap(death)
        files.turn(now_ns)
        return bool(done())

    wait_for(turn, "the files' turns")


def die(
    files: PostMortems, now_ns: int, child: str = "front", pid: int = 7, kind: str = "crashed", code: int = 1
) -> None:
    """Let a process of a child die."""
    files.keep(child, kind, pid, code, f"death at {now_ns}", now_ns)


@pytest.fixture
def name_of(tmp_path: Path) -> Callable[..., str | None]:
    """Lets the child `front` die and its file be written: the name of the file that tells about it, if one does."""
    files = PostMortems("spot", tmp_path)

    def name(now_s: float, **how: Any) -> str | None:
        die(files, round(now_s * SECOND_NS), **how)
        turn_until(files, lambda: files._writer is None)
        path = files.about("front")
        assert path is None or Path(path).is_file(), "it is there"
        return Path(path).name if path else None

    return name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can freeze a disk")
def test_frozen_disk(tmp_path: Path) -> None:
    """The real thing: a file system that is frozen holds the writer in the kernel, and the supervisor not at all."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    if not (succeeds("mkfs.ext4", "-q", image) and succeeds("mount", "-o", "loop", image, disk)):
        pytest.skip("no loop device here")
    try:
        assert succeeds("fsfreeze", "-f", disk)
        with RunningSupervisor(tmp_path / "log", {"front": "crash_later"}, post_mortem_dir=disk) as supervisor:
            front = supervisor.wait_until("front", lambda child: child.restarts >= 2)
            assert front.post_mortem is None
            assert succeeds("fsfreeze", "-u", disk)
            assert file_of(supervisor, "front", lambda child: child.restarts > 0)
    finally:
        succeeds("fsfreeze", "-u", disk)
        wait_for(lambda: succeeds("umount", disk), "it is free")


def succeeds(*command: str | Path) -> bool:
    """Whether there is such a command, and it does what it is told."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def write_front(tmp_path: Path, content: bytes = b"text", label: str = "7") -> Path | None:
    """Write a file of the child `front`, in this process."""
    folder = write("front", label, content, places_of("spot", tmp_path, {})).get("folder")
    return Path(folder, f"front.{label}.txt") if folder else None


def test_newest_five_are_kept(tmp_path: Path) -> None:
    """Over the runs of the supervisor, too; of other children and of other files nothing is removed."""
    (tmp_path / "spot").mkdir()
    others = {"front.txt", "front2.1.txt", "rear.1.txt", "front.absent.txt"}
    for other in others:
        (tmp_path / "spot" / other).touch()
    for pid in (30, 7, 12, 5, 30, 28, 40, 6):
        path = write_front(tmp_path, b"of %d" % pid, str(pid))
    kept = {path.name for path in (tmp_path / "spot").iterdir()}
    assert kept == {*(f"front.{pid}.txt" for pid in (5, 30, 28, 40, 6)), *others}
    assert len(kept - others) == KEPT
    assert path is not None
    assert path.read_text() == "of 6"


def test_newest_is_kept_whatever_the_clock_says(tmp_path: Path) -> None:
    """A computer without a battery begins each day in 1970."""
    for pid in range(1, 6):
        write_front(tmp_path, label=str(pid))
    for path in (tmp_path / "spot").iterdir():
        os.utime(path, (1 << 32, 1 << 32))
    for pid in (8, 9):
        write_front(tmp_path, label=str(pid))
    assert {"front.8.txt", "front.9.txt"} < {path.name for path in (tmp_path / "spot").iterdir()}


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    """By the next one, which begins a file of its own: two never write into the same one."""
    (tmp_path / "spot").mkdir()
    for other in ("front.new.123", "rear.new.123"):
        (tmp_path / "spot" / other).touch()
    write_front(tmp_path)
    assert {path.name for path in (tmp_path / "spot").iterdir()} == {"front.7.txt", "rear.new.123"}


def test_what_a_killed_look_at_the_folders_left_is_removed(tmp_path: Path) -> None:
    """By the next one, whatever its number was."""
    names = {".probe.123", f".probe.{os.getpid()}", ".probe.x", "probe.1"}
    for name in names:
        (tmp_path / name).touch()
    assert "folder" in probe(places_of("spot", tmp_path, {}))
    assert {path.name for path in tmp_path.iterdir()} == {".probe.x", "probe.1"}


def test_an_hour_of_deaths_is_few_files(name_of: Callable[..., str | None]) -> None:
    """Twice a minute: three files, then one every ten minutes; the others are told the newest of their kind."""
    names = {name_of(1 + death * 30, pid=death + 1) for death in range(120)}
    assert None not in names
    assert 7 <= len(names) <= 9
    assert name_of(3600, pid=777, kind="hung", code=-9) == "front.777.txt", "a hang has its own turn"


def test_file_that_is_named_was_not_pushed_out(name_of: Callable[..., str | None]) -> None:
    """Whatever comes between two crashes: the file that the second one is told is there."""
    kinds = ["crashed", "hung", "frozen", "absent", "corrupt"]
    for death in range(60):
        assert name_of(1 + death * 20, pid=death + 1, kind=kinds[death % len(kinds)], code=-9)


def test_file_that_is_named_is_about_the_same_way_of_ending(name_of: Callable[..., str | None]) -> None:
    """A SIGKILL is not told how three segmentation faults came about, but one more of those is."""
    for pid in (1, 2, 3):
        assert name_of(pid, pid=pid, code=-11) == f"front.{pid}.txt"
    assert name_of(4, pid=4, code=-9) == "front.4.txt"
    assert name_of(5, pid=5, code=-11) == "front.3.txt"


def test_file_that_was_pushed_out_is_not_named(name_of: Callable[..., str | None]) -> None:
    """However many ways of ending a child has, what is named is there."""
    names = [name_of(1 + death * 20, pid=death + 1, code=death % 7 + 2) for death in range(60)]
    assert names[:21] == [f"front.{pid}.txt" for pid in range(1, 22)]
    assert None in names[21:]


def test_camera_that_is_away_pushes_nothing_out(name_of: Callable[..., str | None], tmp_path: Path) -> None:
    """One file about that, written anew every ten minutes, beside those about crashes."""
    crashed = name_of(1, pid=5, code=-11)
    for minute in range(0, 90, 4):
        assert name_of(minute * 60 + 2, pid=100 + minute, kind="absent", code=exit_codes.CAMERA_FAILED) is not None
    files = {path.name: path.read_text() for path in (tmp_path / "spot").iterdir()}
    assert files.keys() == {crashed, "front.absent.txt"}
    assert int(files["front.absent.txt"].split()[-1]) > 75 * 60 * SECOND_NS
    assert name_of(90 * 60, kind="read_failed", code=exit_codes.CAMERA_FAILED) == "front.read_failed.txt"


def test_nobody_else_chooses_where_it_is_written(tmp_path: Path) -> None:
    """In a folder that everybody may write to, what is in our folder's place is neither used nor followed."""
    victim = tmp_path / "victim"
    victim.mkdir()
    victim.chmod(0o755)
    (tmp_path / "spot").symlink_to(victim)
    assert write_front(tmp_path) is None
    assert list(victim.iterdir()) == []
    (tmp_path / "spot").unlink()
    (tmp_path / "spot").mkdir()
    for name in ("front.7.txt", f"front.new.{os.getpid()}"):
        (tmp_path / "spot" / name).symlink_to(victim / "file")
    assert write_front(tmp_path) is not None
    assert not (victim / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    """It is somebody else's to read."""
    (tmp_path / "spot").mkdir()
    os.chown(tmp_path / "spot", 65534, 65534)
    assert write_front(tmp_path) is None


def test_folder_that_was_prepared_stays_as_it_is(tmp_path: Path) -> None:
    """Others may read in it if somebody wants that, but not the files; where others may write, nothing is written."""
    (tmp_path / "spot").mkdir()
    (tmp_path / "spot").chmod(0o755)
    path = write_front(tmp_path)
    assert path is not None
    assert stat.S_IMODE((tmp_path / "spot").stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "spot").chmod(0o775)
    why = {"why": f"{tmp_path}: others may write to spot in it"}
    assert write("front", "7", b"text", places_of("spot", tmp_path, {})) == why
    assert probe(places_of("spot", tmp_path, {})) == why


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STATE_DIRECTORY": "{}/state:/other", "HOME": "{}"}, "state/spot"),
        ({"XDG_STATE_HOME": "{}/xdg", "HOME": "{}"}, "xdg/spot-cameras/spot"),
        ({"HOME": "{}/home"}, "home/.local/state/spot-cameras/spot"),
        ({"STATE_DIRECTORY": "{}/no/folder", "HOME": "{}/home"}, "home/.local/state/spot-cameras/spot"),
        ({"HOME": "/proc/nobody"}, f"tmp/spot-cameras-{os.geteuid()}/spot"),
        ({}, f"tmp/spot-cameras-{os.geteuid()}/spot"),
    ],
)
def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    """A service's folder, the user's own, or one for temporary files: the first that can be written to."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "no").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    given = {key: value.format(tmp_path) for key, value in environment.items()}
    folder = tmp_path / expected
    assert probe(places_of("spot", None, given)) == {"folder": str(folder)}
    assert not folder.exists(), "who only looks leaves no empty folder of the instance behind"
    assert write("front", "7", b"text", places_of("spot", None, given)) == {"folder": str(folder)}
    assert [path.name for path in folder.iterdir()] == ["front.7.txt"]
    assert list(folder.parent.iterdir()) == [folder]


def test_file_is_bounded_whatever_is_in_it() -> None:
    """The end of the log and the beginning of the stack are both in it, and nothing that a terminal would obey."""
    words = "é" * 1000
    record = ChildRecord(
        "front",
        "camera",
        "killing",
        0,
        error_code="hung",
        error_text=words,
        facts={words + str(i): 1 for i in range(50)},
    )
    stack = tuple(f"stack {number} {words}" for number in range(400))
    tail = tuple(f"\x1b[2Jline {number} {words}" for number in range(40))
    configuration = '{"camera": {"parameters": {"x": "' + words * 100 + '"}}}'
    text = report_of(End(record, 7, Death(7, -9), SECOND_NS, SECOND_NS, "S", configuration, stack, tail))
    assert len(text.encode()) < LARGEST_BYTES
    assert "stack 0 é" in text
    assert "?[2Jline 39 é" in text
    assert "\x1b" not in text


CONFIGURATION = """{"supervisor_pid": 7, "robot": {"hostname": "10.0.0.3", "guid": "guid-of-ours",
 "secret": "s3cr3t-\\"x", "username": "somebody", "password": null, "payload_credentials_file": "/opt/credentials"},
 "camera": {"device": "rtsp://user:p%40ssw0rd@cam/x?token=abcdefg&a=1",
 "parameters": {"pass": "open sesame", "gain": 2}, "camera_interface": {"factory": "a:B",
 "arguments": {"api_key": "key-123456", "port": 5, "list": ["plain words", "/dev/video4"], "0": "swordfish",
 "token": "ordinary"}}}}"""


def test_configuration_is_shown_without_secrets() -> None:
    """Values that are secret, URLs' credentials and queries, and the arguments of a class are left out."""
    assert redacted(CONFIGURATION) == {
        "supervisor_pid": 7,
        "robot": {"hostname": "10.0.0.3", "guid": "…", "secret": "…", "username": "…", "password": None}
        | {"payload_credentials_file": "/opt/credentials"},
        "camera": {
            "device": "rtsp://cam/x",
            "parameters": {"pass": "…", "gain": 2},
            "camera_interface": {"arguments": "…", "factory": "a:B"},
        },
    }
    assert redacted("no JSON") == {}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot open rtsp://user:p%40ssw0rd@cam/x?token=abcdefg&a=1: refused", "cannot open rtsp://cam/x: refused"),
        ("401 for p@ssw0rd and p%40ssw0rd", "401 for … and …"),
        ("guid guid-of-ours", "guid …"),
        ('secret s3cr3t-"x, as JSON s3cr3t-\\"x', "secret …, as JSON …"),
        ("GET /x?token=abcdefg&a=1, key key-123456 abcdefg", "GET /x?…, key … …"),
        ("nothing of somebody", "nothing of somebody"),
        ("open sesame, plain words, no /dev/video4", "…, …, no /dev/video4"),
        ("a swordfish, ordinary as it is", "a …, … as it is"),
        ("in URLs s3cr3t-%22x open%20sesame open+sesame, as bytes dXNlcjpwQHNzdzByZA==", "in URLs … … …, as bytes …"),
    ],
)
def test_what_a_child_repeats_of_its_secrets_is_masked(said: str, shown: str) -> None:
    """In its log and in its reports, however it writes them."""
    assert Mask(CONFIGURATION)(said.encode()).decode() == shown


def test_child_that_tells_everything_tells_no_secret(tmp_path: Path) -> None:
    """Neither the log nor the board nor the file shows the password of a camera that its worker repeats."""
    with RunningSupervisor(tmp_path / "log", {"user:cam-password@front": "tell"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.post_mortem is not None)
        shown = supervisor.log, f"{front}", text_of(front.post_mortem)
    for text in shown:
        assert "cannot open test://front/tell" in text
        assert "cam-password" not in text


def test_credentials_in_a_file_are_masked(tmp_path: Path) -> None:
    """The servicer's configuration only names the file; what the servicer reads there is no less secret."""
    file = tmp_path / "guid_and_secret"
    file.write_text("guid-in-file\nsecret-in-file\n")
    robot = {"guid": None, "secret": None, "payload_credentials_file": str(file)}
    service = {"authority": "x/tell_credentials"}
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, robot=robot, service=service) as supervisor:
        servicer = supervisor.wait_until("servicer", lambda child: "robot" in child.facts)
        wait_for(lambda: "the robot refuses … with …" in supervisor.log, "its line")
        assert servicer.facts["robot"] == "refused: … with …"
        assert "in-file" not in supervisor.log


def test_short_words_are_no_secrets() -> None:
    """What is found in ordinary words is not taken out of them."""
    assert Mask('{"robot": {"guid": "g", "secret": "any"}}')(b"nothing of anybody") == b"nothing of anybody"

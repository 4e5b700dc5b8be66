"""A process that dies leaves a file which says how, bounded, for its own user alone, and without secrets."""

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shm.records import ChildRecord
from supervision.end_report import End, report_of
from supervision.masking import Mask, redacted
from supervision.post_mortem import KEPT, LARGEST_BYTES, PostMortems
from supervision.process import Death
from tests.supervision.running import RunningSupervisor, wait_for

SECOND_NS = 1_000_000_000
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


def file_of(supervisor: RunningSupervisor, name: str, accept: Callable[[ChildRecord], bool]) -> str:
    """Return what the file says that the board names once the record is accepted."""
    record = supervisor.wait_until(name, lambda child: child.post_mortem is not None and accept(child))
    assert record.post_mortem is not None
    return Path(record.post_mortem).read_text()


def test_crash_leaves_a_file_that_the_board_and_the_log_name(tmp_path: Path) -> None:
    """Its last lines, how it ended, its last frame and its configuration, for nobody else to read."""
    with RunningSupervisor(tmp_path / "log", {"front": "crash_later", "rear": "crash"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.post_mortem is not None)
        path = Path(front.post_mortem or "")
        text = path.read_text()
        assert path.parent == supervisor.post_mortems
        assert f"; see {path}" in supervisor.log
        assert "front (camera), process" in text
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
    assert "in hang_in_c" in text
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


@ONLY_ROOT
@pytest.mark.row("M33")
@pytest.mark.parametrize("options", ["size=4k", "ro"])
def test_full_or_read_only_disk_costs_one_line(tmp_path: Path, options: str) -> None:
    """The cameras go on, and the board names no file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = f"mount -t tmpfs -o size=4k,{options} full {disk} && (echo x > {disk}/x || true) 2>/dev/null"
    prefix = ["unshare", "--mount", "sh", "-c", f'{fill} && exec "$@"', "sh"]
    with RunningSupervisor(
        tmp_path / "log", {"front": "crash", "rear": "work"}, prefix=prefix, post_mortem_dir=disk
    ) as supervisor:
        other = supervisor.wait_until_working("rear")
        front = supervisor.wait_until("front", lambda child: child.restarts == 2)
        assert front.post_mortem is None
        assert 1 <= supervisor.log.count("front: no file about its end could be written") <= 3
        assert supervisor.wait_until_working("rear") == other
        assert supervisor.child("rear") is not None
        assert list(disk.iterdir()) == []


def keep_many(files: PostMortems, count: int, kind: str = "crashed", first_ns: int = SECOND_NS) -> list[str | None]:
    """Let a child die again and again, each time when a file is allowed."""
    return [
        files.keep("front", kind, f"death {number}", first_ns + number * 3600 * SECOND_NS) for number in range(count)
    ]


def test_newest_five_are_kept(tmp_path: Path) -> None:
    """Over the runs of the supervisor, too; of other children and of other files nothing is removed."""
    (tmp_path / "spot").mkdir()
    for foreign in ("front.txt", "front2.1.txt", "rear.1.txt"):
        (tmp_path / "spot" / foreign).touch()
    keep_many(PostMortems("spot", tmp_path), 4)
    paths = keep_many(PostMortems("spot", tmp_path), 4)
    kept = {path.name for path in (tmp_path / "spot").iterdir()}
    assert kept == {*(f"front.{number}.txt" for number in range(4, 9)), "front.txt", "front2.1.txt", "rear.1.txt"}
    assert len([name for name in kept if name.startswith("front.") and name != "front.txt"]) == KEPT
    assert paths[-1] == str(tmp_path / "spot" / "front.8.txt")
    assert Path(paths[-1]).read_text() == "death 3"


def test_a_day_of_deaths_is_few_files(tmp_path: Path) -> None:
    """Twice a minute: three files, then one every ten minutes; the others are told the newest of their kind."""
    files, names = PostMortems("spot", tmp_path), set()
    for death in range(2880):
        path = files.keep("front", "crashed", f"death {death}", death * 30 * SECOND_NS + SECOND_NS)
        assert path is not None
        names.add(path)
    assert 140 < len(names) < 150
    hung = files.keep("front", "hung", "another kind", 2880 * 30 * SECOND_NS)
    assert hung is not None
    assert hung not in names, "another kind has its own turn"


def test_nobody_else_chooses_where_it_is_written(tmp_path: Path) -> None:
    """In a folder that everybody may write to, what is in our folder's place is neither used nor followed."""
    victim = tmp_path / "victim"
    victim.mkdir()
    victim.chmod(0o755)
    (tmp_path / "spot").symlink_to(victim)
    assert PostMortems("spot", tmp_path).keep("front", "crashed", "text", SECOND_NS) is None
    assert list(victim.iterdir()) == []
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755
    (tmp_path / "spot2").mkdir()
    (tmp_path / "spot2" / "front.new").symlink_to(victim / "file")
    path = PostMortems("spot2", tmp_path).keep("front", "crashed", "text", SECOND_NS)
    assert path is not None
    assert not (victim / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    """It is somebody else's to read."""
    (tmp_path / "spot").mkdir()
    os.chown(tmp_path / "spot", 65534, 65534)
    assert PostMortems("spot", tmp_path).keep("front", "crashed", "text", SECOND_NS) is None


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
    files = PostMortems("spot", None, {key: value.format(tmp_path) for key, value in environment.items()})
    assert files.keep("front", "crashed", "text", SECOND_NS) == str(tmp_path / expected / "front.1.txt")


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
 "secret": "s3cr3t-\\"x", "username": "somebody", "password": null}, "camera": {"device": "rtsp://user:p%40ssw0rd@cam/x?token=abcdefg&a=1",
 "camera_interface": {"arguments": {"api_key": "key-123456", "port": 5}, "factory": "a:B"}}}"""


def test_configuration_is_shown_without_secrets() -> None:
    """Values that are secret, URLs' credentials and queries, and the arguments of a class are left out."""
    assert redacted(CONFIGURATION) == {
        "supervisor_pid": 7,
        "robot": {"hostname": "10.0.0.3", "guid": "…", "secret": "…", "username": "…", "password": None},
        "camera": {"device": "rtsp://cam/x", "camera_interface": {"arguments": "…", "factory": "a:B"}},
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
    ],
)
def test_what_a_child_repeats_of_its_secrets_is_masked(said: str, shown: str) -> None:
    """In its log and in its reports, however it writes them."""
    assert Mask(CONFIGURATION)(said.encode()).decode() == shown


def test_child_that_tells_everything_tells_no_secret(tmp_path: Path) -> None:
    """Neither the log nor the board nor the file shows the password of a camera that its worker repeats."""
    with RunningSupervisor(tmp_path / "log", {"user:cam-password@front": "tell"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.post_mortem is not None)
        shown = supervisor.log, f"{front}", Path(front.post_mortem or "").read_text()
    for text in shown:
        assert "cannot open test://front/tell" in text
        assert "cam-password" not in text


def test_short_words_are_no_secrets() -> None:
    """What is found in ordinary words is not taken out of them."""
    assert Mask('{"robot": {"guid": "g", "secret": "any"}}')(b"nothing of anybody") == b"nothing of anybody"


def test_no_file_after_one_that_was_removed(tmp_path: Path) -> None:
    """Whoever removes the files sees new ones, with numbers from the beginning."""
    with RunningSupervisor(tmp_path / "log", {"front": "crash_later"}) as supervisor:
        supervisor.wait_until("front", lambda child: child.post_mortem is not None)
        for path in supervisor.post_mortems.iterdir():
            path.unlink()
        wait_for((supervisor.post_mortems / "front.1.txt").exists, "a new file")

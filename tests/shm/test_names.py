"""Names in /dev/shm: which are allowed, and which belong to an instance."""

import itertools
import os
from pathlib import Path

import pytest

from shm import names


@pytest.fixture
def shm_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of /dev/shm."""
    monkeypatch.setattr(names, "SHM_DIR", tmp_path)
    return tmp_path


def own_names(instance: str) -> list[str]:
    """Every file that an instance with the cameras "cam" and "fence" may leave."""
    rings = [names.segment_name(instance, camera) for camera in (names.BOARD, "cam", "fence", "a", "board")]
    asides = [names.aside_name(name, 4321) for name in rings]
    return sorted([*rings, *asides, "/sem." + names.fence_name(instance, 4321)[1:]])


def test_an_instance_is_never_taken_for_another(shm_dir: Path) -> None:
    """With every confusable instance beside it, `names_of` finds an instance's own names, all and only."""
    instances = ["a", "a-b", "b", "ab", "sem", "cam", "board", "fence", "new", "a_cam", "sem-a"]
    expected = {instance: own_names(instance) for instance in instances}
    assert len(set(itertools.chain(*expected.values()))) == sum(map(len, expected.values()))
    for name in itertools.chain(*expected.values()):
        (shm_dir / name[1:]).touch()
    for foreign in (
        "a.lock",
        "a",
        "a.cam.",
        "a.cam.B",
        "a.boards",
        "a.cam.x.new.",
        "xa.board",
        "sem.a.fence.",
        "a.board.new.1x",
    ):
        (shm_dir / foreign).touch()
    assert {instance: names.names_of(instance) for instance in instances} == expected


def test_sweeping_leaves_the_others(shm_dir: Path) -> None:
    """Removing all names of an instance removes these and nothing else, and once only."""
    others = own_names("a-b")
    for name in own_names("a") + others:
        (shm_dir / name[1:]).touch()
    assert all(names.remove(name) for name in names.names_of("a"))
    assert names.names_of("a") == []
    assert names.names_of("a-b") == others
    assert not names.remove("/a.board")


@pytest.mark.parametrize("bad", ["", "A", "a.b", "a/b", "..", "a" * 33, "ä", "a\n", "a b", ".board"])
def test_bad_names(bad: str) -> None:
    """A name that is not 1 to 32 of a-z, 0-9, _ and - is refused, with the name in the sentence."""
    with pytest.raises(ValueError, match="instance name"):
        names.segment_name(bad, "front")
    if bad != names.BOARD:
        with pytest.raises(ValueError, match="camera name"):
            names.segment_name("spot", bad)


def test_names_of_a_ring_and_the_board() -> None:
    """The names are those that the documentation gives, and the longest fits a file name."""
    assert names.segment_name("spot", "front") == "/spot.cam.front"
    assert names.segment_name("spot", names.BOARD) == "/spot.board"
    assert names.aside_name("/spot.board", 12) == "/spot.board.new.12"
    longest = names.aside_name(names.segment_name("a" * 32, "b" * 32), 4194304)
    assert len(longest) < os.pathconf("/dev/shm", "PC_NAME_MAX")  # noqa: S108  where the segments are


def test_free_bytes_is_what_the_file_system_says() -> None:
    """The room that is left is a figure in bytes, not in blocks."""
    room = os.statvfs(names.SHM_DIR)
    assert 0 < names.free_bytes() <= room.f_blocks * room.f_frsize


def test_rings_that_there_are(shm_dir: Path) -> None:
    """Whole rings alone are listed, each with its own instance."""
    for entry in (
        "a.cam.front",
        "a.cam.rear",
        "a.cam.rear.new.12",
        "a.board",
        "b.board",
        "c.cam.x",
        "A.cam.x",
        "x.lock",
    ):
        (shm_dir / entry).touch()
    assert names.cameras_of("a") == ["front", "rear"]
    assert names.cameras_of("b") == []
    assert names.instances() == ["a", "c"]

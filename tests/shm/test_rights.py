"""Who may read segments, tried by processes of other users: their owner, and the members of one group if told so."""

import grp
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from shm import BoardReader, BoardWriter, GroupError, RingReader, RingWriter, names, rights
from tests.shm.stamped import PROJECT, publish
from tests.shm.test_board import status

OTHER_UID, STRANGER_UID = 65534, 65533
GID, OTHER_GID = 61234, 61235

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

# Everything is imported before it becomes the other user, who may not be let into root's Python.
_BECOME = """
import contextlib, json, os, sys
from shm import BoardReader, GroupError, RingReader, RingWriter, Status
with contextlib.suppress(ValueError):
    Status.from_json(b"{}")
instance, group = sys.argv[1], sys.argv[2] or None
uid, *groups = map(int, sys.argv[3:])
os.setgroups(groups)
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
"""
_READ = """
reader, board = RingReader(instance, "front", shm_group=group), BoardReader(instance, shm_group=group)
frame, status = reader.latest(), board.latest()
print(json.dumps({
    "frame": frame and frame.frame_number,
    "used": isinstance(reader.use(lambda frame: frame.frame_number), int),
    "board": status is not None,
    "problem": reader.problem,
    "same": reader.problem == (board.problem or "").replace(".board", ".cam.front"),
}))
"""


def writer(instance: str, shm_group: str | None = None) -> RingWriter:
    """A writer of the camera "front" with 4 slots."""
    return RingWriter(instance, "front", payload_capacity_bytes=4096, descriptor={}, slots=4, shm_group=shm_group)


def publish_all(instance: str, shm_group: str | None) -> int:
    """Publish a frame and a status, and return the frame's number."""
    with writer(instance, shm_group) as ring, BoardWriter(instance, shm_group=shm_group) as board:
        board.publish(status(instance))
        return publish(ring, 1, 64)


def read_as(uid: int, groups: list[int], instance: str, shm_group: str | None) -> dict[str, Any]:
    """What a process of this user, in these groups, finds."""
    return dict(json.loads(printed_as(uid, groups, _READ, instance, shm_group or "")))


def printed_as(uid: int, groups: list[int], code: str, *arguments: str) -> str:
    """What a process of this user, in these groups, prints."""
    argv = [sys.executable, "-c", _BECOME + code, *arguments, str(uid), *map(str, groups)]
    return subprocess.run(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True).stdout


def rights_of(name: str) -> tuple[int, int, int]:
    """Mode, owner and group of a segment."""
    facts = names.path_of(name).stat()
    return facts.st_mode & 0o7777, facts.st_uid, facts.st_gid


@as_root
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_a_shared_segment_has_its_rights_before_its_name(instance: str, umask: int) -> None:
    """With a group: 0640 and that group as soon as there are frames to read, whatever the umask; without one: 0600."""
    before = os.umask(umask)
    try:
        with writer(instance, str(GID)) as ring:
            (aside,) = names.names_of(instance)
            assert rights_of(aside) == (0o640, os.geteuid(), GID)
            publish(ring, 1, 64)
            assert rights_of(f"/{instance}.cam.front") == (0o640, os.geteuid(), GID)
        with writer(instance) as ring:
            publish(ring, 1, 64)
            assert rights_of(f"/{instance}.cam.front") == (0o600, os.geteuid(), os.getegid())
    finally:
        os.umask(before)


def looking_before(step: Callable[..., Any], instance: str, seen: list[tuple[int, int, int]]) -> Callable[..., Any]:
    """A step, and before it a look at the rights of the instance's only segment."""

    def look(*arguments: Any) -> Any:
        seen.append(rights_of(names.names_of(instance)[0]))
        return step(*arguments)

    return look


@as_root
def test_there_is_no_moment_with_other_rights(instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its creation until it has the group, a segment is its owner's alone: at no step has anybody else more."""
    seen: list[tuple[int, int, int]] = []
    for step in ("fchown", "fchmod", "posix_fallocate", "rename"):
        monkeypatch.setattr(os, step, looking_before(getattr(os, step), instance, seen))
    with writer(instance, str(GID)) as ring:
        publish(ring, 1, 64)
    own, shared = (0o600, os.geteuid(), os.getegid()), (0o640, os.geteuid(), GID)
    assert seen == [own, (0o600, os.geteuid(), GID), shared, shared]


@as_root
def test_a_member_reads(instance: str) -> None:
    """Another user who is in the group reads frames and board, and needs no right to write anything of the owner's."""
    number = publish_all(instance, str(GID))
    found = read_as(OTHER_UID, [GID], instance, str(GID))
    assert (found["frame"], found["used"], found["board"], found["problem"]) == (number, True, True, None)
    assert names.names_of(instance) == [f"/{instance}.board", f"/{instance}.cam.front"]


@as_root
@pytest.mark.parametrize(
    ("shared_with", "groups", "asked_for", "sentence"),
    [
        (str(GID), [OTHER_GID], str(GID), f"--group-add {GID}"),  # no member
        (str(GID), [GID], None, "shm_group"),  # a member who did not say that another user's frames are welcome
        (str(GID), [GID, OTHER_GID], str(OTHER_GID), f"group {OTHER_GID}"),  # … or those of another group
        (None, [GID], str(GID), f"does not share it with group {GID}"),  # the owner does not share
    ],
)
def test_nobody_else_reads(
    instance: str, shared_with: str | None, groups: list[int], asked_for: str | None, sentence: str
) -> None:
    """Whoever is not in the group, or did not ask for it, gets no frame and no board, and a sentence that says why."""
    publish_all(instance, shared_with)
    found = read_as(OTHER_UID, groups, instance, asked_for)
    assert (found["frame"], found["used"], found["board"]) == (None, False, False)
    assert sentence in found["problem"]
    assert found["same"]


@as_root
@pytest.mark.parametrize("mode", [0o660, 0o644, 0o646, 0o666, 0o600, 0o604, 0o4640, 0o750])
def test_a_strangers_segment_of_other_rights(instance: str, mode: int) -> None:
    """Another user's segment that somebody beside him might write, or that is not shared with the group, is refused."""
    publish_all(instance, str(GID))
    path = names.path_of(f"/{instance}.cam.front")
    os.chown(path, STRANGER_UID, GID)
    path.chmod(mode)
    reader = RingReader(instance, "front", shm_group=str(GID))
    assert reader.latest() is None
    assert f"does not share it with group {GID}" in str(reader.problem)
    path.chmod(0o640)
    assert reader.latest() is not None
    assert reader.problem is None


@as_root
def test_a_strangers_segment_outside_the_group(instance: str) -> None:
    """A segment of another user and another group is refused even to root, who could open it."""
    publish_all(instance, str(GID))
    os.chown(names.path_of(f"/{instance}.cam.front"), STRANGER_UID, OTHER_GID)
    assert RingReader(instance, "front", shm_group=str(GID)).latest() is None
    assert RingReader(instance, "front").latest() is None


@as_root
def test_what_is_shared_is_not_taken_over(instance: str) -> None:
    """To be in the group is to read: a name that another user holds stays refused to writers."""
    publish_all(instance, str(GID))
    os.chown(names.path_of(f"/{instance}.cam.front"), STRANGER_UID, GID)
    with pytest.raises(OSError, match="another user"), writer(instance, str(GID)):
        pass
    assert names.names_of(instance) == [f"/{instance}.board", f"/{instance}.cam.front"]


@as_root
def test_a_writer_outside_the_group(instance: str) -> None:
    """Who is not in the group cannot share with it: a sentence, and nothing half made is left."""
    code = """
try:
    RingWriter(instance, "front", payload_capacity_bytes=8, descriptor={}, shm_group=group).__enter__()
except GroupError as error:
    print(error)
"""
    assert f"--group-add {GID}" in printed_as(OTHER_UID, [OTHER_GID], code, instance, str(GID))
    assert names.names_of(instance) == []


def test_names_and_numbers_of_groups() -> None:
    """A group is named as this computer calls it, or by its number, which need not have a name here."""
    for known in grp.getgrall()[:5]:
        assert rights.gid_of(known.gr_name) == known.gr_gid
    assert (rights.gid_of("0"), rights.gid_of("61234"), rights.gid_of("007")) == (0, 61234, 7)
    assert rights.gid_of(str((1 << 32) - 2)) == (1 << 32) - 2


@pytest.mark.parametrize("group", ["", "no-such-group", "a\0b", "ü", "²", "-1", str((1 << 32) - 1), "9" * 5000])
def test_what_is_no_group(instance: str, group: str) -> None:
    """A group that there is not is a GroupError for readers and writers, before anything is made."""
    for make in (RingReader, RingWriter):
        arguments: dict[str, Any] = {"payload_capacity_bytes": 8, "descriptor": {}} if make is RingWriter else {}
        with pytest.raises(GroupError, match="group"):
            make(instance, "front", shm_group=group, **arguments)
    with pytest.raises(GroupError):
        rights.check_group(group)
    with pytest.raises(GroupError):
        BoardReader(instance, shm_group=group)
    assert names.names_of(instance) == []


def test_own_groups_pass_the_check() -> None:
    """Every group of this process is one that it may share with."""
    for gid in {os.getegid(), *os.getgroups()}:
        rights.check_group(str(gid))


_IN_A_FULL_SHM = """
import os, sys
from shm import RingReader, RingWriter, layout, names
from tests.shm.stamped import publish
ring = layout.RingLayout(4, 1 << 16)
header = layout.pack_header(ring, 1, "full.cam.front", {})
path = names.path_of("/full.cam.front")
path.write_bytes(header)
os.truncate(path, ring.total_bytes)
with RingWriter("full", "rear", payload_capacity_bytes=1 << 16, descriptor={}, slots=4) as rear:
    publish(rear, 1, 1 << 15)
attached = RingReader("full", "rear")
readers = attached, RingReader("full", "rear"), RingReader("full", "front")
assert attached.latest() is not None
os.truncate(names.path_of("/full.cam.rear"), layout.SLOTS_OFFSET)
os.truncate(names.path_of("/full.cam.rear"), ring.total_bytes)
with open("/dev/shm/ballast", "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
for reader in readers:
    assert reader.latest() is None
    assert "holes" in reader.problem, reader.problem
"""


@as_root
def test_holes_in_a_full_shm() -> None:
    """A ring with holes is refused: where /dev/shm is full, to look into one would end the reader by SIGBUS."""
    script = 'mount -t tmpfs -o size=2m tmpfs /dev/shm && exec "$@"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", _IN_A_FULL_SHM]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@as_root
def test_a_shm_that_is_read_only() -> None:
    """A reader needs to write nothing into it, not even a fence."""
    code = "from shm import RingReader; print(RingReader('a', 'b').latest())"
    script = 'mount -t tmpfs -o ro tmpfs /dev/shm && exec "$@"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"

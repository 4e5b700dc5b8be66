"""Who may read the segments: their owner alone (0600), or the members of one group too (0640)."""

import grp
import os
import stat

from shm.errors import GroupError

_OWNER_ALONE = 0o600
_GROUP_READS = 0o640
_LARGEST_GID = (1 << 32) - 2  # the next one means "none" to the kernel


def gid_of(group: str) -> int:
    """Return the number of a group; digits are a number already, for containers that have no names for their groups.

    Raises GroupError for one that this computer does not have.
    """
    if group.isascii() and group.isdigit():
        if len(group.lstrip("0")) > len(str(_LARGEST_GID)) or int(group) > _LARGEST_GID:
            raise GroupError(f"{group} is no number of a group")
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError) as error:  # ValueError: a zero byte in it
        raise GroupError(f"there is no group {group!r} on this computer; in a container, give its number") from error


def check_group(group: str) -> None:
    """Raise GroupError if there is no such group, or if this process may not share files with it."""
    # Asked of the kernel: root without CAP_CHOWN may not, nor may anybody for a group outside of its user namespace.
    fd = os.memfd_create("shm_group")
    try:
        protect(fd, gid_of(group))
    finally:
        os.close(fd)


def protect(fd: int, gid: int | None) -> None:
    """Give a new segment the rights that it will have, whatever the umask. Raises GroupError."""
    if gid is not None:
        try:
            os.fchown(fd, -1, gid)
        except OSError as error:
            raise GroupError(
                f"this process is not in group {_shown(gid)}: add its user to the group (usermod -aG) and log in "
                f"again, or start its container with --group-add {gid}"
            ) from error
    os.fchmod(fd, _OWNER_ALONE if gid is None else _GROUP_READS)


def may_be_read(facts: os.stat_result, gid: int | None) -> bool:
    """Whether a segment is this user's own, or another user's who shares it with exactly this group to be read."""
    if facts.st_uid == os.geteuid():
        return True
    return gid is not None and facts.st_gid == gid and stat.S_IMODE(facts.st_mode) == _GROUP_READS


def _shown(gid: int) -> str:
    try:
        return f"{grp.getgrgid(gid).gr_name} ({gid})"
    except KeyError:
        return str(gid)

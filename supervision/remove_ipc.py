"""Whether the session manager will remove our segments when this user logs out (RemoveIPC of systemd-logind)."""

import pwd
from pathlib import Path

_FIRST_PERSON_UID = 1000  # UID_MIN: what is below is a system's own, and spared
_CONFIGURATIONS = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")  # the last one wins

REMEDY = "run `loginctl enable-linger` for this user once, or run as a system user, or set RemoveIPC=no in logind.conf"


def warning(uid: int, root: Path = Path("/")) -> str | None:
    """Return a sentence if the names in /dev/shm of this user are removed at his logout, None if they are safe.

    `root` is where /run, /etc and /var are.
    """
    if uid < _FIRST_PERSON_UID or not (root / "run/systemd/seats").is_dir() or not _removes_ipc(root):
        return None
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    if (root / "var/lib/systemd/linger" / user).exists():
        return None
    return (
        f"when {user} logs out, systemd-logind removes what is in /dev/shm, and the cameras lose their rings: {REMEDY}"
    )


def _removes_ipc(root: Path) -> bool:
    said = "yes"
    for path in _files(root):
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            said = value.strip().lower() if key.strip() == "RemoveIPC" else said
    return said not in ("no", "false", "off", "0", "n", "f")


def _files(root: Path) -> list[Path]:
    """logind.conf, then the files that change it, in the order of their names whatever folder they are in."""
    main = [root / folder / "logind.conf" for folder in _CONFIGURATIONS]
    dropped = {
        file.name: file for folder in _CONFIGURATIONS for file in (root / folder / "logind.conf.d").glob("*.conf")
    }
    found = [path for path in main if path.exists()][-1:]
    return found + [dropped[name] for name in sorted(dropped)]

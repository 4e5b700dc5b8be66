"""Where a simulated robot of ours puts its certificate, if nobody says: a folder that the next start finds again."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shm import names


@contextlib.contextmanager
def certificate_folder(instance: str) -> Iterator[Path]:
    """A new folder inside `with`; first, those of earlier runs of this instance that were killed are removed.

    Only whoever holds the instance's lock may do this. The lock is one of this /dev/shm, whose number the folder's name
    has in it: another container with the same /tmp may run an instance of the same name.
    """
    shm = os.stat(names.SHM_DIR).st_dev
    prefix = f"spot-cameras-ca.{instance}.{shm}."  # no name has a dot: another instance's folder never begins so
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if _is_ours(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user alone: everybody may make names in /tmp."""
    with contextlib.suppress(OSError):
        facts = folder.lstat()
        return (
            facts.st_uid == os.geteuid() and stat.S_ISDIR(facts.st_mode) and stat.S_IMODE(facts.st_mode) == stat.S_IRWXU
        )
    return False

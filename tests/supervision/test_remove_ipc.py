"""A session manager that removes what is in /dev/shm at a logout is told of before it does."""

from pathlib import Path

import pytest

from supervision.instance import InstanceLock, lock_path
from supervision.remove_ipc import REMEDY, warning
from tests.supervision.running import new_instance

PERSON = 4_000_000_000 - 7  # who is in nobody's list of users


def system(root: Path, **files: str) -> Path:
    """Make a computer with logind, and with these lines in its files."""
    (root / "run/systemd/seats").mkdir(parents=True)
    for name, lines in files.items():
        path = root / name.replace("__", "/").replace("_conf", ".conf")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines)
    return root


def test_person_without_linger_is_warned(tmp_path: Path) -> None:
    """The sentence says what happens, and what helps."""
    sentence = warning(PERSON, system(tmp_path))
    assert sentence is not None
    assert sentence.startswith(f"when {PERSON} logs out")
    assert "loginctl enable-linger" in sentence


@pytest.mark.parametrize(
    ("files", "removes"),
    [
        ({"etc__systemd__logind_conf": "[Login]\n#RemoveIPC=no\n"}, True),
        ({"etc__systemd__logind_conf": "[Login]\nRemoveIPC = no\n"}, False),
        (
            {"etc__systemd__logind_conf": "RemoveIPC=no\n", "etc__systemd__logind.conf.d__x_conf": "RemoveIPC=yes\n"},
            True,
        ),
        ({"usr__lib__systemd__logind.conf.d__50_conf": "RemoveIPC=off\n"}, False),
        (
            {
                "usr__lib__systemd__logind.conf.d__50_conf": "RemoveIPC=off\n",
                "etc__systemd__logind.conf.d__50_conf": "# nothing\n",
            },
            True,
        ),
    ],
)
def test_configuration_of_logind_counts(tmp_path: Path, files: dict[str, str], removes: bool) -> None:
    """As systemd reads it: a file replaces one of the same name elsewhere, and the last line wins."""
    assert (warning(PERSON, system(tmp_path, **files)) is not None) is removes


def test_nobody_else_is_warned(tmp_path: Path) -> None:
    """A system's own user, a user who lingers, and a computer or a container without logind."""
    assert warning(PERSON, tmp_path) is None
    root = system(tmp_path)
    assert warning(999, root) is None
    (root / "var/lib/systemd/linger").mkdir(parents=True)
    (root / f"var/lib/systemd/linger/{PERSON}").touch()
    assert warning(PERSON, root) is None


def test_names_that_vanish_bring_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    """When it has happened, the log says what it may have been and what helps."""
    instance = new_instance()
    with InstanceLock(instance) as lock:
        lock_path(instance).unlink()
        lock.keep(0)
    assert REMEDY in caplog.text

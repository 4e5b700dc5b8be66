"""SIGHUP: the configuration is read again, and only what it changes is touched."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shm import names
from supervision import exit_codes
from tests.supervision.running import RunningSupervisor, settings_document, wait_for


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[RunningSupervisor]:
    """Run three cameras, with `tmp_path/file` as the configuration that SIGHUP reads."""
    cameras = {"same": "work", "changed": "work", "removed": "work"}
    with RunningSupervisor(tmp_path / "log", cameras, file=str(tmp_path / "file")) as supervisor:
        for name in (*cameras, "servicer"):
            supervisor.wait_until_working(name)
        yield supervisor


def reload(supervisor: RunningSupervisor, text: str) -> None:
    """Write the configuration, and send SIGHUP."""
    (supervisor.log_file.parent / "file").write_text(text)
    supervisor.popen.send_signal(signal.SIGHUP)


def document_of(supervisor: RunningSupervisor, cameras: dict[str, str]) -> dict[str, Any]:
    """These cameras, and everything else as it was at the start."""
    folder = str(supervisor.post_mortems.parent)
    return {**settings_document(supervisor.instance, cameras), "post_mortem_dir": folder}


def test_only_what_changed_is_restarted(supervisor: RunningSupervisor) -> None:
    """A changed camera is restarted, a new one started, a removed one stopped with its ring; the rest goes on."""
    same, changed = supervisor.wait_until_working("same"), supervisor.wait_until_working("changed")
    ring = names.path_of(names.segment_name(supervisor.instance, "removed"))
    ring.touch()
    document = document_of(supervisor, {"same": "work", "changed": "work", "new": "work"})
    document["cameras"]["changed"]["fps"] = 5.0
    reload(supervisor, json.dumps(document))
    supervisor.wait_until_working("new")
    supervisor.wait_until("changed", lambda child: child.pid not in (changed, None) and child.state == "running")
    wait_for(lambda: supervisor.child("removed") is None and not ring.exists(), "the removed camera is gone")
    assert supervisor.wait_until_working("same") == same
    servicer = supervisor.wait_until("servicer", lambda child: child.restarts == 1)
    assert servicer.error_code is None


def test_nothing_changed(supervisor: RunningSupervisor) -> None:
    """The same settings again concern nobody, and that is said."""
    cameras = {"same": "work", "changed": "work", "removed": "work"}
    reload(supervisor, json.dumps(document_of(supervisor, cameras)))
    wait_for(lambda: "it says the same as before" in supervisor.log, "it is said")


def test_what_cannot_change_is_named(supervisor: RunningSupervisor) -> None:
    """The keys that changed are named, and no others, with what to do."""
    document = document_of(supervisor, {"same": "work"})
    reload(supervisor, json.dumps({**document, "instance": "another", "simulate": True}))
    sentence = " instance and simulate cannot change while it runs: restart it; nothing was changed"
    wait_for(lambda: sentence in supervisor.log, "it is said")


@pytest.mark.parametrize(
    "mistake", [{"cameras": {"same": {"fps": -1}}}, {"instance": "another"}, {"shm_group": "0"}, {"port": 1}]
)
def test_mistake_changes_nothing(supervisor: RunningSupervisor, mistake: dict[str, object]) -> None:
    """A configuration that cannot work is one line in the log, and everything goes on as it was."""
    pids = [supervisor.wait_until_working(name) for name in ("same", "changed", "removed", "servicer")]
    document = document_of(supervisor, {"same": "work"})
    reload(supervisor, json.dumps({**document, **mistake}))
    wait_for(lambda: "nothing was changed" in supervisor.log, "the mistake is named")
    assert [supervisor.wait_until_working(name) for name in ("same", "changed", "removed", "servicer")] == pids


def test_a_file_that_nobody_has_thought_of_changes_nothing(supervisor: RunningSupervisor) -> None:
    """Reading it fails in a way that is no ConfigurationError: the running cameras do not end for that."""
    pid = supervisor.wait_until_working("same")
    reload(supervisor, "no document at all")
    wait_for(lambda: "could not be read again" in supervisor.log, "the failure is told")
    assert supervisor.wait_until_working("same") == pid


def test_who_refused_tries_again(tmp_path: Path) -> None:
    """With the same configuration: what a camera missed (a module, a parameter) may be there by now."""
    cameras = {"same": "work", "picky": "refuse"}
    with RunningSupervisor(tmp_path / "log", cameras, file=str(tmp_path / "file")) as supervisor:
        same = supervisor.wait_until_working("same")
        refused = supervisor.wait_until("picky", lambda child: child.state == "refused")
        reload(supervisor, json.dumps(document_of(supervisor, cameras)))
        supervisor.wait_until("picky", lambda child: child.state == "refused" and child.since_ns > refused.since_ns)
        wait_for(lambda: "concerned: picky\n" in supervisor.log, "it says who is concerned")
        assert supervisor.wait_until_working("same") == same


def test_camera_that_does_not_end_when_asked_is_no_failure(tmp_path: Path) -> None:
    """One that takes long for a frame is killed for its new settings: nobody else did that, and it did no wrong."""
    cameras = {"slow": "ignore_sigterm"}
    with RunningSupervisor(tmp_path / "log", cameras, file=str(tmp_path / "file")) as supervisor:
        old = supervisor.wait_until_working("slow")
        document = document_of(supervisor, cameras)
        document["cameras"]["slow"]["fps"] = 5.0
        reload(supervisor, json.dumps(document))
        slow = supervisor.wait_until("slow", lambda child: child.pid not in (old, None) and child.state == "running")
        assert (slow.last_exit, slow.error_code) == (exit_codes.HAD_TO_BE_KILLED, None)

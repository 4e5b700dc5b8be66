"""What the documentation says exists."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from servicer import fault
from servicer.fault import Fault
from shm import ChildRecord
from shm.names import path_of, segment_name
from supervision.lifeline import ErrorCode

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
PARITY = (PROJECT_FOLDER / "docs" / "sdk-parity.md").read_text()
RELIABILITY = (PROJECT_FOLDER / "docs" / "reliability.md").read_text()
FAULTS = (PROJECT_FOLDER / "docs" / "faults.md").read_text()

RING = path_of(segment_name("spot-cameras", "front"))
POST_MORTEM = "/var/lib/spot-cameras/spot-cameras/front.4711.txt"
SAID: dict[ErrorCode, str] = {  # by a camera's process, or by the supervisor about it
    "absent": "there is no /dev/video2; present: /dev/video0",
    "open_failed": "/dev/video0 opens, but does not stream: the device is busy",
    "read_failed": "no frame for 2.1 s, failed reads in a row: 6; /dev/video0 delivers no frame",
    "hung": "silent for 1.8 s while running, after a promise of 1.5 s (kernel state D)",
    "crashed": "ended with signal SIGSEGV",
    "corrupt": "no frame for 2.0 s, failed reads in a row: 6; the camera returned a broken JPEG: it has no end",
    "memory": "it uses 1100 MB of memory of its own, and may use 1024 MB (child_memory_limit_mb)",
    "parameters": "of its configuration: 'gain' is 99.0; the most is 24.0",
    "shm_full": "no room for 37.4 MB of a ring in /dev/shm (12.0 MB free): give the container a larger shm_size, "
    "or use fewer slots or a smaller picture",
    "shm_foreign": f"{RING} belongs to another user: stop that user's pipeline",
    "bad_configuration": "there is no make_source in cameras.py",
}
REFUSED = ("parameters", "bad_configuration")
DIED = ("hung", "crashed")


def record(code: ErrorCode, **facts: Any) -> ChildRecord:
    """What the board says of a camera that ended with this error."""
    state = "refused" if code in REFUSED else "waiting"
    return ChildRecord(
        **{"name": "front", "kind": "camera", "state": state, "since_ns": 0, "error_code": code, **facts}
    )


def examples() -> dict[str, Fault]:
    """The texts that the page shows, as the code makes them."""
    shown: dict[str, Fault] = {
        code: fault.capture_failure("front", record(code, error_text=text), POST_MORTEM if code in DIED else None)
        for code, text in SAID.items()
    }
    return {
        **shown,
        "killed": fault.capture_failure(
            "front",
            record("crashed", error_text="ended with signal SIGKILL", last_exit="signal SIGKILL"),
            POST_MORTEM,
        ),
        "unkillable": fault.capture_failure("front", record("hung", state="unkillable"), None),
        "silent": fault.silence("front", 0.5, None),
        "unreadable": fault.silence("front", 0.5, f"{RING} is no ring: its magic is wrong"),
        "frozen": fault.source_warning("front", record("frozen")),
        "parameters not in force": fault.source_warning("front", record("parameters", error_text="gain: refused")),
        "decoding": fault.decode_failure("front", "the camera's JPEG cannot be decoded"),
        "restarted": fault.service_restarted(record("hung"), POST_MORTEM.replace("front", "servicer")),
        "time sync": fault.time_sync_lost(has_offset=True),
        "no time sync yet": fault.time_sync_lost(has_offset=False),
        "peers": fault.clients_refused(["192.168.80.7", "192.168.80.9"]),
    }


@pytest.mark.parametrize(("page", "least"), [(PARITY, 80), (RELIABILITY, 100)], ids=["parity", "reliability"])
def test_every_test_that_a_page_names_exists(page: str, least: int) -> None:
    """A row of such a page is worth what the tests that it names are."""
    defined = {
        name
        for path in (PROJECT_FOLDER / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"\btest_\w+", page)) - {"test_docs"}
    assert len(named) > least
    assert not named - defined


def test_every_defect_has_its_row() -> None:
    """The reference knows 43."""
    assert re.findall(r"^\| D(\d+) \|", PARITY, re.MULTILINE) == [str(number) for number in range(1, 44)]


def test_every_failure_mode_has_its_row() -> None:
    """The reference knows 37."""
    assert re.findall(r"^\| F-(\d+) \|", RELIABILITY, re.MULTILINE) == [str(number) for number in range(1, 38)]


def test_every_link_leads_somewhere() -> None:
    """Links between the pages, and into the code, are those of this tree."""
    for page in [PROJECT_FOLDER / "README.md", *(PROJECT_FOLDER / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("example", examples())
def test_the_page_of_faults_shows_what_the_robot_shows(example: str) -> None:
    """Each text is one that the code makes, short enough for a tablet (a path aside)."""
    text = examples()[example].text
    assert f"> {text}\n" in FAULTS, f"docs/faults.md should show:\n> {text}"
    assert len(text.partition(" details: ")[0]) <= 200


def test_every_fault_has_its_row() -> None:
    """By the name that operators see, with its severity."""
    names = {name: value for name, value in vars(fault).items() if name.endswith("_FAULT")}
    severities = {name: "info" if name == "RESTART_FAULT" else "warn" for name in names}
    assert len(names) == 6
    for name, value in names.items():
        assert f"| {value.format('…')} | {severities[name]} |" in FAULTS


def test_every_error_code_has_its_row() -> None:
    """What `status` says, with what to do about it."""
    assert set(re.findall(r"^\| `(\w+)` \|", FAULTS, re.MULTILINE)) == set(get_args(ErrorCode))

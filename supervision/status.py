"""`supervisor.py status`: how the processes and cameras of an instance are, for people and for programs."""

import argparse
import contextlib
import errno
import json
import time
from collections.abc import Sequence
from typing import Any

from shm.board import BoardReader
from shm.records import ChildRecord, Status
from supervision.display import is_idle, shown_age, shown_state
from supervision.instance import is_held, running_instances
from supervision.settings import Settings

SCHEMA = 1
NO_STATUS = 1
_COLUMNS = ("NAME", "KIND", "STATE", "FOR", "PID", "RATE", "AGE", "FRAME", "SIZE", "ENCODING", "RESTARTS", "LAST EXIT")


def status_command(arguments: Sequence[str]) -> int:
    """Show the status of an instance; the exit code is 1 when there is none to show."""
    parser = argparse.ArgumentParser(prog="supervisor.py status", description="Shows a running pipeline's status.")
    parser.add_argument("--instance", default=Settings().instance, metavar="NAME", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="for programs; the schema is docs/status-schema.md")
    flags = parser.parse_args(arguments)
    try:
        status = BoardReader(flags.instance).latest()
        held = is_held(flags.instance)
    except ValueError as error:  # the name
        parser.error(str(error))
    except OSError as error:
        is_foreign = error.errno in (errno.EACCES, errno.EPERM)
        why = "belongs to another user: run status as that user" if is_foreign else error.strerror
        _write(_no_status(f"instance {flags.instance}: {why}", flags.instance, as_json=flags.json))
        return NO_STATUS
    if not held:
        _write(_not_running(flags.instance, status, as_json=flags.json))
        return NO_STATUS
    if status is None:
        text = f"instance {flags.instance}: starting, there is no status yet"
        _write(_no_status(text, flags.instance, as_json=flags.json))
        return NO_STATUS
    now_ns = time.monotonic_ns()
    _write(json.dumps(as_document(status, now_ns), indent=2) if flags.json else as_table(status, now_ns))
    return 0


def _write(text: str) -> None:
    with contextlib.suppress(OSError), open(1, "w", encoding="utf-8", closefd=False) as stdout:
        stdout.write(text + "\n")


def as_document(status: Status, now_ns: int) -> dict[str, Any]:
    """Return the status as a JSON document, see docs/status-schema.md."""
    servicer = next((child for child in status.children if child.kind == "servicer"), None)
    return {
        "schema": SCHEMA,
        "instance": status.instance,
        "supervisor_pid": status.supervisor_pid,
        "updated_s_ago": _seconds(now_ns - status.updated_ns),
        "robot_clock_offset_ns": status.robot_clock_offset_ns,
        "children": [_child_document(child, now_ns) for child in status.children],
        "cameras": {child.name: _camera_document(child, now_ns) for child in status.children if child.kind == "camera"},
        "service": _service_document(servicer),
    }


def as_table(status: Status, now_ns: int) -> str:
    """Return the status as lines for a person."""
    rows = [_COLUMNS, *(_row(child, now_ns) for child in status.children)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [f"instance {status.instance}, supervisor pid {status.supervisor_pid}"]
    for row, child in zip(rows, (None, *status.children), strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if child and child.error_code:
            lines.append(f"    {child.error_code}: {child.error_text}")
        if child and child.post_mortem:
            lines.append(f"    how its last process died: {child.post_mortem}")
        if child and child.state == "waiting" and child.next_start_ns:
            lines.append(f"    next start in {max(0.0, _seconds(child.next_start_ns - now_ns)):.1f} s")
        if child and child.kind == "servicer" and (facts := _shown_facts(child)):
            lines.append(f"    {', '.join(f'{key} {value}' for key, value in facts)}")
            lines += [f"    faults: {', '.join(faults)}"] if (faults := _faults(child)) else []
    return "\n".join(lines)


def _not_running(instance: str, status: Status | None, *, as_json: bool) -> str:
    text = f"instance {instance}: not running"
    if others := running_instances():
        text += f"; running here: {', '.join(others)}"
    if status:
        text += f" (its supervisor, pid {status.supervisor_pid}, died without cleaning up; the next start does that)"
    return _no_status(text, instance, as_json=as_json)


def _no_status(text: str, instance: str, *, as_json: bool) -> str:
    return json.dumps({"schema": SCHEMA, "instance": instance, "error": text}) if as_json else text


def _child_document(child: ChildRecord, now_ns: int) -> dict[str, Any]:
    error = {"code": child.error_code, "text": child.error_text} if child.error_code else None
    waits = child.state == "waiting" and child.next_start_ns is not None
    return {
        "name": child.name,
        "kind": child.kind,
        "pid": child.pid,
        "state": child.state,
        "since_s": _seconds(now_ns - child.since_ns),
        "restarts": child.restarts,
        "last_exit": child.last_exit,
        "error": error,
        "post_mortem": child.post_mortem,
        "next_start_in_s": max(0.0, _seconds((child.next_start_ns or 0) - now_ns)) if waits else None,
        "facts": child.facts,
    }


def _camera_document(child: ChildRecord, now_ns: int) -> dict[str, Any]:
    return {
        "state": child.state,
        "idle": is_idle(child),
        "rate_hz": child.rate_hz,
        "frame_age_s": None if child.captured_ns is None else _seconds(now_ns - child.captured_ns),
        "frame_number": child.frame_number,
        "rows": child.rows,
        "cols": child.cols,
        "encoding": child.encoding,
    }


def _service_document(servicer: ChildRecord | None) -> dict[str, Any]:
    facts = servicer.facts if servicer else {}
    return {
        "state": servicer.state if servicer else None,
        "port": facts.get("port"),
        "robot": facts.get("robot") if servicer and servicer.state == "running" else None,
        "refused_peers": facts.get("refused", 0),
        "requests": facts.get("requests", 0),
    }


def _row(child: ChildRecord, now_ns: int) -> tuple[str, ...]:
    is_camera = child.kind == "camera"
    return (
        child.name,
        child.kind,
        shown_state(child),
        shown_age(now_ns - child.since_ns),
        str(child.pid or "-"),
        f"{child.rate_hz:.1f} Hz" if is_camera and not is_idle(child) else "-",
        "-" if child.captured_ns is None else shown_age(now_ns - child.captured_ns),
        "-" if child.frame_number is None else str(child.frame_number),
        f"{child.cols}x{child.rows}" if child.rows else "-",
        child.encoding or "-",
        str(child.restarts),
        child.last_exit or "-",
    )


def _shown_facts(child: ChildRecord) -> list[tuple[str, object]]:
    """What is true of the process that runs: its state at the robot ends with it."""
    keys = ("port", "robot", "requests", "refused") if child.state == "running" else ()
    return [(key, child.facts[key]) for key in keys if key in child.facts]


def _faults(child: ChildRecord) -> list[str]:
    faults = child.facts.get("faults")
    return [str(name) for name in faults] if isinstance(faults, list | tuple) else []


def _seconds(interval_ns: int) -> float:
    return round(interval_ns / 1e9, 3)

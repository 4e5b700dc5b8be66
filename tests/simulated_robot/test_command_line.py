"""`python -m simulated_robot` as a real process, alone and under a supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bosdyn.client
import pytest

from supervision import exit_codes
from supervision.lifeline import NAMES_BYTES, REPORT_LINE_BYTES, fitting

PROJECT = Path(__file__).parents[2]


@contextmanager
def _process(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "simulated_robot", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT, text=True, stdout=pipe, stderr=pipe, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def _client(port: int, ca_file: Path) -> Any:
    sdk = bosdyn.client.create_standard_sdk("tests", cert_resource_glob=str(ca_file))
    client = sdk.create_robot("127.0.0.1")
    client.update_secure_channel_port(port)
    client.authenticate("user", "password")
    return client


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_stops_when_asked(tmp_path: Path, stop: signal.Signals) -> None:
    """One line on stdout once clients can come, with its own clock; exit code 0 after SIGTERM or SIGINT."""
    ca_file = tmp_path / "ca.pem"
    with _process("--port", "0", "--ca-out", str(ca_file), "--clock-skew-s", "-7.5") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split(",")[0])
        assert line == f"simulated robot ready on 127.0.0.1:{port}, certificate authority in {ca_file}\n"
        client = _client(port, ca_file)
        client.time_sync.wait_for_sync()
        assert client.time_sync.endpoint.clock_skew.ToTimedelta().total_seconds() == pytest.approx(-7.5, abs=0.1)
        process.send_signal(stop)
        output, errors = process.communicate(timeout=5)
    assert (process.returncode, output) == (exit_codes.FINISHED, "")
    assert "Traceback" not in errors


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """The line names the port; the exit code is 98."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _process("--port", str(port), "--ca-out", str(tmp_path / "ca.pem")) as process:
            output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (exit_codes.PORT_IN_USE, "")
    assert errors == f"port {port} of 127.0.0.1 is in use by another program\n"


@pytest.mark.parametrize(("name", "why"), [("missing/ca.pem", "No such file or directory"), ("", "Is a directory")])
def test_an_unwritable_ca_file_is_one_line(tmp_path: Path, name: str, why: str) -> None:
    """The line names the file and the reason."""
    ca_file = tmp_path / name
    with _process("--ca-out", str(ca_file)) as process:
        _output, errors = process.communicate(timeout=10)
    assert process.returncode == exit_codes.BAD_CONFIGURATION
    assert errors == f"cannot write the certificate authority to {ca_file}: {why}\n"


@contextmanager
def _supervised(port: int, ca_file: Path) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Start a robot as the supervisor does; yields the process and its report pipe's reading end."""
    reading, writing = os.pipe()
    configuration = json.dumps({"supervisor_pid": os.getpid(), "port": port, "ca_out": str(ca_file)})
    with (
        os.fdopen(reading) as reports,
        _process("--report-fd", str(writing), stdin=subprocess.PIPE, pass_fds=(writing,)) as process,
    ):
        os.close(writing)
        assert process.stdin is not None
        process.stdin.write(f"{configuration}\n")
        process.stdin.flush()
        yield process, reports


def test_supervised_it_reports_ready_and_beats(tmp_path: Path) -> None:
    """Beats promise the next one within 2 s and name services and faults; SIGTERM ends it."""
    ca_file = tmp_path / "ca.pem"
    with _supervised(0, ca_file) as (process, reports):
        ready = next(report for report in map(json.loads, reports) if report["report"] == "ready")
        registrations = _client(ready["port"], ca_file).ensure_client("directory-registration")
        registrations.register(
            "camera", "bosdyn.api.ImageService", "front", "127.0.0.1", 21100, liveness_timeout_secs=0.01
        )
        beat = next(beat for beat in map(json.loads, reports) if beat.get("faults"))
        assert beat == {"report": "beat", "within_ms": 2000, "faults": ["Liveness"], "services": ["camera"]}
        process.terminate()
        process.wait(5)  # not communicate(): its closing of stdin would mean that the supervisor is gone
    assert process.returncode == exit_codes.TERMINATED


def test_supervised_a_port_in_use_is_an_error_report(tmp_path: Path) -> None:
    """The supervisor learns the code and the sentence."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        _supervised(taken.getsockname()[1], tmp_path / "ca.pem") as (process, reports),
    ):
        error = next(report for report in map(json.loads, reports) if report["report"] == "error")
        process.communicate(timeout=5)
    assert error["code"] == "port_in_use"
    assert process.returncode == exit_codes.PORT_IN_USE


def test_supervised_it_ends_with_its_supervisor(tmp_path: Path) -> None:
    """A closed configuration pipe means that the supervisor is gone."""
    with _supervised(0, tmp_path / "ca.pem") as (process, reports):
        next(report for report in map(json.loads, reports) if report["report"] == "ready")
        process.communicate(timeout=5)
    assert process.returncode == exit_codes.ORPHANED


def test_names_are_cut_so_that_a_beat_fits() -> None:
    """However many and however long the names, two lists of them fit into one report line."""
    names = [f"fault ü{number}" for number in range(1000)]
    kept = fitting(names)
    assert names[: len(kept)] == kept
    assert len(json.dumps(kept, separators=(",", ":"))) <= NAMES_BYTES
    assert 2 * NAMES_BYTES < REPORT_LINE_BYTES - 200
    assert fitting(["x" * 5000]) == []
    assert fitting(names[:3]) == names[:3]

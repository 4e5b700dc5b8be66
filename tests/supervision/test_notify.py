"""What a service manager hears."""

import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.supervision.running import RunningSupervisor, wait_for


def test_ready_watchdog_and_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY=1 comes when every camera has a frame or an error, WATCHDOG=1 all the time, STOPPING=1 at the end."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with RunningSupervisor(tmp_path / "log", {"front": "work", "rear": "absent"}) as supervisor:

            def hears(message: bytes) -> bool:
                heard.append(manager.recv(1000))
                return message in heard

            wait_for(lambda: hears(b"READY=1"), "READY=1")
            assert b"WATCHDOG=1" in heard
            supervisor.wait_until_working("front")
            supervisor.popen.terminate()
            wait_for(lambda: hears(b"STOPPING=1"), "STOPPING=1")
    assert heard.count(b"READY=1") == 1


def test_not_ready_while_a_camera_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that has neither a frame nor an error keeps the service manager waiting."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with RunningSupervisor(tmp_path / "log", {"front": "never_ready"}) as supervisor:
            supervisor.wait_until("servicer", lambda child: child.state == "running")
            heard = {manager.recv(1000) for _ in range(8)}
            assert b"WATCHDOG=1" in heard
            assert b"STATUS=front starting, servicer running" in heard
            assert b"READY=1" not in heard


def test_ready_although_the_servicer_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose port is taken has an error to show: no service manager ends cameras that work again and again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        service = {"authority": "x/absent"}
        with RunningSupervisor(tmp_path / "log", {"front": "work"}, service=service) as supervisor:
            wait_for(lambda: manager.recv(1000) == b"READY=1", "READY=1")
            servicer = supervisor.wait_until("servicer", lambda child: child.error_code is not None)
            assert servicer.state != "running"


def test_watchdog_is_of_the_loop_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor whose loop does not turn says nothing: whoever waits for WATCHDOG=1 starts it again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
            supervisor.wait_until_working("front")
            supervisor.popen.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, supervisor.popen.pid, os.WSTOPPED)
            manager.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while manager.recv(1000):  # said before
                    pass
            manager.settimeout(1.5)
            with pytest.raises(TimeoutError):
                manager.recv(1000)
            supervisor.popen.send_signal(signal.SIGCONT)
            manager.settimeout(10)
            wait_for(lambda: manager.recv(1000) == b"WATCHDOG=1", "WATCHDOG=1 again")

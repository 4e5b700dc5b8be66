"""What a service manager is told (systemd's sd_notify protocol), when `NOTIFY_SOCKET` names one."""

import contextlib
import os
import socket

from shm.records import ChildRecord, Status

_WATCHDOG_NS = 500_000_000  # how often it hears that we live, unless it wants to more often
_WATCHDOG_PARTS = 4


class ServiceManager:
    """Tells it once that we are ready, again and again that we live, and how we are when that changes."""

    def __init__(self) -> None:
        self._said_ready = False
        self._said_status = ""
        self._watchdog_due_ns = 0

    def update(self, status: Status, required: set[str]) -> None:
        """Tell what is new. Ready is when the service and each `required` camera work, or have an error to show.

        A service manager that waited for more would end all that works again and again.
        """
        if status.updated_ns >= self._watchdog_due_ns:
            self._watchdog_due_ns = status.updated_ns + _watchdog_interval_ns()
            _tell("WATCHDOG=1")
        if (words := ", ".join(map(_in_words, status.children))) != self._said_status:
            self._said_status = words
            _tell(f"STATUS={words}")
        waited_for = [child for child in status.children if child.kind == "servicer" or child.name in required]
        if not self._said_ready and all(map(_is_known, waited_for)):
            self._said_ready = True
            _tell("READY=1")

    def say_stopping(self) -> None:
        """Tell that the end has begun."""
        _tell("STOPPING=1")


def _is_known(child: ChildRecord) -> bool:
    works = child.frame_number is not None if child.kind == "camera" else child.state == "running"
    return works or child.error_code is not None


def _in_words(child: ChildRecord) -> str:
    return f"{child.name} {child.state}" + (f" ({child.error_code})" if child.error_code else "")


def _watchdog_interval_ns() -> int:
    wanted = os.environ.get("WATCHDOG_USEC", "")
    return min(_WATCHDOG_NS, int(wanted) * 1000 // _WATCHDOG_PARTS) if wanted.isdecimal() else _WATCHDOG_NS


def _tell(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.setblocking(False)
        notify.sendto(message.encode(), address)

"""A /dev/shm and a network of the run's own, so that it can fill the one and be a stranger in the other.

Needs root, or a kernel that lets a user have namespaces; without, the run does without what needs them, and says so.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

SHM_SIZE = "64m"  # what Docker gives
SERVICE_IP, STRANGER_IP = "10.77.0.1", "10.77.0.2"

_MARK = "CHAOS_ISOLATED"
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
_IFF_UP_RUNNING = 0x41


def is_isolated() -> bool:
    """Whether this process is in namespaces of its own already."""
    return _MARK in os.environ


def isolate(arguments: Sequence[str]) -> None:
    """Become `python -m chaos` with these arguments in namespaces of its own; returns if that cannot be."""
    flags = ["--mount", "--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount", "--net"]
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SHM_SIZE},mode=1777", "tmpfs", "/dev/shm"]  # noqa: S108
    try:
        subprocess.run(["unshare", *flags, *mount], check=True, capture_output=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return
    inside = " ".join(mount) + ' && exec "$0" "$@"'
    os.environ[_MARK] = "root" if os.geteuid() == 0 else "user"
    command = ["unshare", *flags, "sh", "-c", inside, sys.executable, "-m", "chaos", *arguments]
    os.execvp("unshare", command)  # noqa: S606, S607 - ourselves, in another namespace


def is_root() -> bool:
    """Whether files can be given to another user."""
    return os.geteuid() == 0 and os.environ.get(_MARK) != "user"


def raise_network() -> None:
    """Bring the loopback interface up, with two addresses beside its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for interface, address in (("lo", "127.0.0.1"), ("lo:1", SERVICE_IP), ("lo:2", STRANGER_IP)):
            packed = struct.pack("16sH2s4s8x", interface.encode(), socket.AF_INET, b"", socket.inet_aton(address))
            fcntl.ioctl(control, _SIOCSIFADDR, packed)
            mask = "255.0.0.0" if interface == "lo" else "255.255.255.255"
            packed = struct.pack("16sH2s4s8x", interface.encode(), socket.AF_INET, b"", socket.inet_aton(mask))
            fcntl.ioctl(control, _SIOCSIFNETMASK, packed)
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), _IFF_UP_RUNNING))

"""What figures depend on: the kind of machine and the libraries; not what the machine is called."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

_LIBRARIES = ("grpcio", "protobuf", "numpy", "opencv-python", "bosdyn-client")


def facts() -> dict[str, Any]:
    """For the result file."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "architecture": platform.machine(),
        "root": os.getuid() == 0,  # capture workers go first then
        "python": platform.python_version(),
        **{library: importlib.metadata.version(library) for library in _LIBRARIES},
    }


def words() -> str:
    """In one line."""
    return ", ".join(f"{name} {value}" for name, value in facts().items())


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"

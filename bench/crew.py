"""The client processes as the bench sees them: some, because one alone would measure its own interpreter lock."""

import contextlib
import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bench.processes import running

_PROCESSES = 4
_FIRST_S = 40.0


@dataclass(frozen=True)
class Load:
    """Who asks for what: `wanted` has one entry per client. `decode` and `pause_s` are those of `asking.ask`."""

    address: str
    wanted: Sequence[Mapping[str, Any]]
    decode: bool = False
    pause_s: float = 0.0


class Crew:
    """Client processes that run as long as the bench, inside `with`: they take a second to start."""

    def __init__(self, log: Path, processes: int = _PROCESSES) -> None:
        self._log = log
        self._count = processes
        self._processes: list[subprocess.Popen[bytes]] = []
        self._busy: list[subprocess.Popen[bytes]] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Crew":
        """Start them."""
        with contextlib.ExitStack() as stack:
            for _ in range(self._count):
                self._processes.append(stack.enter_context(running(["-m", "bench.client"], self._log)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them: one that is busy is killed rather than waited for."""
        for process in self._busy:
            process.kill()
        self._stack.close()

    def first(self, address: str, wanted: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Wait until a service has an answer; returns the request and the answer as they go over the wire."""
        self._send(self._processes[0], do="request", wanted=wanted)
        request, _ = self._receive(self._processes[0])
        self._send(self._processes[0], do="first", address=address, wanted=wanted, within_s=_FIRST_S)
        answer, _ = self._receive(self._processes[0])
        return request, answer

    def begin(self, load: Load, until_ns: int) -> None:
        """Let the clients ask until then (CLOCK_MONOTONIC), spread over the processes."""
        for number, process in enumerate(self._processes[: len(load.wanted)]):
            self._send(
                process,
                do="load",
                address=load.address,
                wanted=load.wanted[number :: self._count],
                until_ns=until_ns,
                decode=load.decode,
                pause_s=load.pause_s,
            )

    def begin_local(self, **order: Any) -> None:
        """Let one process be a local program, see `local_reader.read`."""
        self._send(self._processes[0], do="local", **order)

    def end(self) -> tuple[np.ndarray[Any, Any], float]:
        """Wait for the clients; returns all of their calls, and the CPU seconds that they used."""
        arrays, used_s = [], 0.0
        for process in list(self._busy):
            data, cpu_s = self._receive(process)
            arrays.append(np.load(io.BytesIO(data), allow_pickle=False))
            used_s += cpu_s
        return np.concatenate(arrays), used_s

    def _send(self, process: "subprocess.Popen[bytes]", **order: Any) -> None:
        assert process.stdin is not None  # noqa: S101 - it was given pipes
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        self._busy.append(process)

    def _receive(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, float]:
        assert process.stdout is not None  # noqa: S101
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a client process ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        header = json.loads(line)
        data = process.stdout.read(header["bytes"])
        self._busy.remove(process)
        return data, header["cpu_s"]

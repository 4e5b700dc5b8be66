"""A small client of a worker's socket, as a servicer is one."""

import os
import select
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from shm import DEFAULT_PARAMS_ID, RingReader
from shm.capture_requests import PACKET_BYTES, CaptureAnswer, CaptureRequest, Kind, address
from shm.parameters import complete, parameters_id
from tests.capture_worker.harness import DEADLINE_S, wait_for

DEFAULT = DEFAULT_PARAMS_ID.hex()


def double(value: float) -> dict[str, Any]:
    """Return a number as a parameter's value."""
    return {"double_value": {"value": value}}


class Client:
    """One connection to a camera's worker, inside `with`; entering waits until the worker listens."""

    def __init__(self, instance: str, camera: str = "front") -> None:
        self._address = address(instance, camera)
        self._reader = RingReader(instance, camera)
        self._asked = 0

    def __enter__(self) -> "Client":
        """Connect."""
        self.socket = wait_for(self._connected)
        self.socket.settimeout(DEADLINE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self.socket.close()

    def ask(
        self, kind: Kind = "capture", *, params_id: str = DEFAULT, within_s: float = DEADLINE_S, **more: Any
    ) -> int:
        """Send a request, and return its number."""
        self._asked += 1
        until_ns = time.monotonic_ns() + round(within_s * 1e9)
        self.socket.send(CaptureRequest(self._asked, kind, until_ns, params_id, **more).to_packet())
        return self._asked

    def forget(self, number: int) -> None:
        """Say that nobody waits any more."""
        self.socket.send(CaptureRequest(number, "forget", time.monotonic_ns(), DEFAULT).to_packet())

    def ask_with(self, values: Mapping[str, Any], kind: Kind = "capture", **more: Any) -> int:
        """Send a request with these parameters, completed by the spec in the ring."""
        spec = (wait_for(self._reader.descriptor))["param_spec"]
        completed = complete(spec, values)
        return self.ask(kind, params_id=parameters_id(spec, completed).hex(), parameters=completed, **more)

    def answer(self) -> CaptureAnswer:
        """Wait for the next answer."""
        return CaptureAnswer.from_packet(self.socket.recv(PACKET_BYTES))

    def answer_with_picture(self) -> tuple[CaptureAnswer, bytes]:
        """Wait for the next answer, and read the file that comes with it."""
        packet, fds, _, _ = socket.recv_fds(self.socket, PACKET_BYTES, 1)
        picture = b""
        for fd in fds:
            with os.fdopen(fd, "rb") as file:
                picture = file.read()
        return CaptureAnswer.from_packet(packet), picture

    def has_answer(self) -> bool:
        """Whether an answer, or the end of the connection, is there already."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def is_hung_up_on(self) -> bool:
        """Whether the worker closes the connection, with or without having read what was sent."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _connected(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(self._address)
        except ConnectionRefusedError:
            connection.close()
            return None
        return connection

"""The simulated robot put together: services, gate and proxy on one TLS port of the loopback interface."""

import concurrent.futures
import contextlib
import copy
import errno
import os
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import grpc
from bosdyn.api.data_buffer_pb2 import DataBlob
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.service_fault_pb2 import ServiceFault

from simulated_robot.auth_service import AuthService
from simulated_robot.certificates import Certificates
from simulated_robot.data_acquisition_service import DataAcquisitionService
from simulated_robot.data_acquisition_store_service import DataAcquisitionStoreService
from simulated_robot.data_buffer_service import DataBufferService
from simulated_robot.data_store import StoredItem
from simulated_robot.directory_registration_service import DirectoryRegistrationService
from simulated_robot.directory_service import DirectoryService
from simulated_robot.fault_service import FaultService
from simulated_robot.gate import Gate
from simulated_robot.misbehaviour import Misbehaviour
from simulated_robot.payload_registration_service import PayloadRegistrationService
from simulated_robot.proxy import MAX_MESSAGE_BYTES, Proxy
from simulated_robot.robot_id_service import RobotIdService
from simulated_robot.robot_state_service import RobotStateService
from simulated_robot.state import RobotState
from simulated_robot.time_sync_service import TimeSyncService

HOST = "127.0.0.1"
DEFAULT_CLOCK_SKEW_S = 1234.5
REBOOT_CLOCK_STEP_S = -100.25

SERVICES = (
    AuthService,
    PayloadRegistrationService,
    RobotIdService,
    DirectoryService,
    DirectoryRegistrationService,
    TimeSyncService,
    FaultService,
    RobotStateService,
    DataBufferService,
    DataAcquisitionStoreService,
)

_WORKERS = 64  # a silent or slow robot parks one per call
_SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
)


class SimulatedRobot:
    """A robot on 127.0.0.1, from entering to leaving the block. Every method may be called from any thread.

    `port` 0 takes a free one; `port` then says which. `ca_file` is where clients find its certificate authority
    (default: a temporary file which lives as long as the robot). The robot's clock is `clock_skew_s` ahead of this
    host's, so that a forgotten conversion shows. `payloads` (guid: secret) and `users` (name: password) are who may
    come in; None lets anybody in.

    Entering raises OSError, with errno EADDRINUSE if the port is taken, or if `ca_file` cannot be written.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        ca_file: Path | None = None,
        clock_skew_s: float = DEFAULT_CLOCK_SKEW_S,
        payloads: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._ca_file = ca_file
        self._entries = [service.entry for service in (*SERVICES, DataAcquisitionService)]
        self._state = RobotState(self._entries, clock_skew_s, payloads, users)
        self._proxy = Proxy(self._state)
        self._acquisitions = DataAcquisitionService(self._state, self._proxy)
        self._services = [*(service(self._state) for service in SERVICES), self._acquisitions]
        self._power = threading.RLock()
        self._server: grpc.Server | None = None
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> "SimulatedRobot":
        with contextlib.ExitStack() as resources:
            self.port = resources.enter_context(_reserved_port(self.port)).getsockname()[1]
            if self._ca_file is None:
                self._ca_file = Path(resources.enter_context(tempfile.TemporaryDirectory())) / "ca.pem"
            self._certificates = Certificates()
            self._certificates.write_authority(self._ca_file)
            resources.callback(self._proxy.close)
            resources.callback(self._acquisitions.forget)
            resources.callback(self.go_down)
            self.come_back()
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def ca_file(self) -> Path:
        """The certificate authority's PEM file: the SDK's `cert_resource_glob`."""
        if self._ca_file is None:
            raise RuntimeError("the robot has not been entered")
        return self._ca_file

    # What can be seen.

    @property
    def services(self) -> dict[str, ServiceEntry]:
        """The registered services' directory entries by name, without the robot's own."""
        with self._state.lock:
            return {entry.name: entry for entry in (copy.deepcopy(known.entry) for known in self._state.registry)}

    @property
    def faults(self) -> dict[tuple[str, str], ServiceFault]:
        """The active faults by (service name, fault name)."""
        with self._state.lock:
            active = self._state.active_faults()
        return {(fault.fault_id.service_name, fault.fault_id.fault_name): fault for fault in active}

    @property
    def past_faults(self) -> list[ServiceFault]:
        """The faults that were cleared, the newest first."""
        with self._state.lock:
            return self._state.faults.history()

    @property
    def calls(self) -> Counter[str]:
        """How often each RPC was called, answered or not, by "Service/Method" ("FaultService/TriggerServiceFault")."""
        with self._state.lock:
            return self._state.calls.copy()

    @property
    def recorded(self) -> Counter[str]:
        """How much the data buffer was sent, by kind: blobs, blob_bytes, text_messages and so on."""
        with self._state.lock:
            return self._state.recorded.copy()

    @property
    def blobs(self) -> list[DataBlob]:
        """The last small blobs that the data buffer was sent, in the order of their arrival."""
        with self._state.lock:
            return copy.deepcopy(list(self._state.blobs))

    @property
    def stored(self) -> list[StoredItem]:
        """What the data acquisition store holds: images and metadata of captures, and what clients have stored."""
        with self._state.lock:
            return list(self._state.store)

    def now_ns(self) -> int:
        """Return the robot's time, nanoseconds since the epoch."""
        return self._state.clock.now_ns()

    # What can go wrong.

    def go_down(self) -> None:
        """Stop listening and break every connection; the port stays reserved, memory stays as it is."""
        with self._power:
            if self._server is not None and self._pool is not None:
                self._server.stop(None).wait()
                self._pool.shutdown()
            self._server = None

    def come_back(self) -> None:
        """Listen again (if down)."""
        with self._power:
            if self._server is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="robot")
                self._server = self._new_server(self._pool)
                self._server.start()

    def reboot(self, down_s: float = 0.5, clock_skew_s: float | None = None) -> None:
        """Be down for `down_s`, and come back without registrations, faults and tokens, and with another clock."""
        with self._power:
            self.go_down()
            self._acquisitions.forget()
            threading.Event().wait(down_s)
            with self._state.lock:
                self._state.forget()
                step_s = self._state.clock.skew_s + REBOOT_CLOCK_STEP_S
                self._state.clock.set_skew(step_s if clock_skew_s is None else clock_skew_s)
            self.come_back()

    def misbehave(self, misbehaviour: Misbehaviour) -> None:
        """Do this to every call from now on, instead of what was asked before."""
        with self._state.lock:
            self._state.misbehaviour = misbehaviour

    def behave(self) -> None:
        """End all misbehaviour; calls which met silence stay unanswered."""
        self.misbehave(Misbehaviour())

    def set_clock_skew(self, skew_s: float) -> None:
        """Step the robot's clock; clients learn of it at their next time sync."""
        with self._state.lock:
            self._state.clock.set_skew(skew_s)

    def lose_registrations(self) -> None:
        """Forget every registered service."""
        with self._state.lock:
            self._state.registry.clear()

    def lose_faults(self) -> None:
        """Forget every fault, active and past."""
        with self._state.lock:
            self._state.faults.forget()

    def revoke_tokens(self) -> None:
        """Forget every token: the next call with one is refused."""
        with self._state.lock:
            self._state.accounts.revoke_tokens()

    def authorize_payload(self, guid: str, *, authorized: bool = True) -> None:
        """Do what the operator does on the robot's web page: let a payload in, or not any more."""
        with self._state.lock:
            self._state.accounts.authorize_payload(guid, authorized=authorized)

    def lock_out_user(self, name: str, *, locked_out: bool = True) -> None:
        """Do what the robot does after too many wrong passwords, and takes back after a while."""
        with self._state.lock:
            self._state.accounts.lock_out_user(name, locked_out=locked_out)

    def _new_server(self, pool: concurrent.futures.ThreadPoolExecutor) -> grpc.Server:
        gate = Gate(self._state, self._entries, frozenset({DataAcquisitionService.entry.type}))
        server = grpc.server(pool, interceptors=[gate], options=_SERVER_OPTIONS)
        for service in self._services:
            service.add_to_server(service, server)
        server.add_generic_rpc_handlers((self._proxy,))
        try:
            server.add_secure_port(f"{HOST}:{self.port}", self._certificates.server_credentials())
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from error
        return server


def _reserved_port(port: int) -> socket.socket:
    """Bind without listening: nobody else gets the port while the robot is down, and callers are refused.

    The server can bind beside it because both allow the reuse of the address and only one listens.
    """
    reservation = socket.socket()
    try:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind((HOST, port))
    except OSError:
        reservation.close()
        raise
    return reservation

"""One session with the robot through the SDK's clients, every call with a short deadline.

The SDK's own helpers wait without a limit (keep-alive), for ever (payload not authorized yet) or in threads that
follow the wall clock; here each call belongs to the robot link's thread and ends by itself.
"""

import contextlib
import re
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import bosdyn.client
from bosdyn.api import data_buffer_pb2, service_fault_pb2
from bosdyn.client.auth import AuthClient, InvalidLoginError, TemporarilyLockedOutError
from bosdyn.client.common import BaseClient, common_header_errors
from bosdyn.client.data_buffer import DataBufferClient
from bosdyn.client.directory import DirectoryClient
from bosdyn.client.directory_registration import (
    DirectoryRegistrationClient,
    ServiceAlreadyExistsError,
    ServiceDoesNotExistError,
)
from bosdyn.client.exceptions import (
    ProxyConnectionError,
    ResponseError,
    TimedOutError,
    UnableToConnectToRobotError,
    UnauthenticatedError,
)
from bosdyn.client.fault import FaultClient, ServiceFaultAlreadyExistsError, ServiceFaultDoesNotExistError
from bosdyn.client.payload_registration import (
    InvalidPayloadCredentialsError,
    PayloadNotAuthorizedError,
    PayloadRegistrationClient,
)
from bosdyn.client.robot import UnregisteredServiceNameError
from bosdyn.client.robot_state import RobotStateClient
from bosdyn.client.time_sync import TimeSyncClient, TimeSyncEndpoint

from servicer.fault import Fault
from servicer.robot_clock import wall_clock_stepped_since, wall_minus_monotonic_ns
from supervision.settings import RobotSettings, ServiceSettings

SERVICE_TYPE = "bosdyn.api.ImageService"

_DEADLINE_S = 2.0
_TIME_SYNC_S = 2.0  # all rounds of one try together: faults and registration wait meanwhile
_FAREWELL_DEADLINE_S = 0.5
_MOST_TIME_SYNC_ROUNDS = 25  # the robot says when it has enough of them
_LIVENESS_S = 75.0  # the robot raises a fault of its own when we have not registered for so long (SDK's default)
_CHANNEL_OPTIONS = [("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 3_000)]

_SENTENCES: dict[type[Exception], str] = {
    InvalidLoginError: "the robot does not accept the user's name and password",
    TemporarilyLockedOutError: "the robot has locked the user out for a while, after too many wrong passwords",
    InvalidPayloadCredentialsError: "the robot does not accept the payload's guid and secret",
    PayloadNotAuthorizedError: "the payload is not authorized yet: authorize it on the robot's web page",
    ServiceAlreadyExistsError: "another service in the robot's directory has this authority: choose another one",
    UnauthenticatedError: "the robot does not accept the token that it gave us; it has expired, or was revoked",
    UnregisteredServiceNameError: "the robot's directory has no such service",
    TimedOutError: "the robot does not answer",
    ProxyConnectionError: "the robot cannot be reached",  # the SDK's name for a refused connection
    # Not every gRPC says that it was the certificate.
    UnableToConnectToRobotError: "the robot cannot be reached, or its certificate is not trusted (--robot-ca)",
}


class RobotConnection:
    """The robot, inside `with`. Every method raises `bosdyn.client.Error` when the robot does not do its part."""

    def __init__(self, robot: RobotSettings, service: ServiceSettings) -> None:
        self._settings = robot
        self._service = service
        self._robot: Any = None
        self._time_sync: _TimeSync | None = None  # one that needs more round trips

    def __enter__(self) -> "RobotConnection":
        """Prepare the channels; nothing is sent yet."""
        certificates = str(self._settings.ca) if self._settings.ca else None
        sdk = bosdyn.client.create_standard_sdk("SpotCameraPipeline", cert_resource_glob=certificates)
        sdk.register_service_client(_DataBuffer)
        self._robot = sdk.create_robot(self._settings.hostname)
        self._robot.update_secure_channel_port(self._settings.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channels."""
        self._robot.shutdown()

    def authenticate(self) -> None:
        """Get a token for a user's password, or for the payload's credentials. Also learns the robot's directory.

        A token is good for 12 hours; a new one never needs the old one, which may have expired during an outage.
        Raises OSError or ValueError for a credentials file that cannot be used.
        """
        # Not update_user_token: it starts a thread that renews the old token only, for ever, even after an outage.
        self._robot.user_token = self._new_token()
        self._learn_directory()

    def _new_token(self) -> str:
        settings = self._settings
        if settings.username is not None and settings.password is not None:
            password = settings.password.get_secret_value()
            return str(self._client(AuthClient).auth(settings.username, password, timeout=_DEADLINE_S))
        payload = self._client(PayloadRegistrationClient)
        return str(payload.get_payload_auth_token(*settings.credentials(), timeout=_DEADLINE_S))

    def _learn_directory(self) -> None:
        self._robot.sync_with_services_list(self._client(DirectoryClient).list(timeout=_DEADLINE_S))

    def clock_skew_ns(self) -> int:
        """Robot wall clock minus this computer's, from as many round trips as the robot asks for.

        Raises TimedOutError when they take longer than two seconds together; the next call goes on from there, else a
        slow network would never get to the end. Raises NotEstablishedError when the robot is not content with them.
        """
        sync, self._time_sync = self._time_sync, None
        if sync is None or sync.is_about_another_clock():
            sync = _TimeSync(self._listed_client(TimeSyncClient))
        try:
            return sync.skew_ns()
        except TimedOutError:
            self._time_sync = sync
            raise

    def register(self) -> None:
        """Be in the robot's directory, at this address; also the sign of life that the robot expects.

        Raises ServiceAlreadyExistsError if a service of another name has this authority.
        """
        registration = self._client(DirectoryRegistrationClient)
        try:
            self._call_registration(registration.update)
        except ServiceDoesNotExistError:
            # Lost by a reboot, or never there. Registering also clears our faults: reconciling brings them back.
            self._call_registration(registration.register)

    def unregister(self) -> None:
        """Leave the robot's directory."""
        with contextlib.suppress(ServiceDoesNotExistError):
            self._client(DirectoryRegistrationClient).unregister(self._service.name, timeout=_FAREWELL_DEADLINE_S)

    def active_faults(self) -> dict[str, str]:
        """The faults of our service that the robot really shows: name → text."""
        state = self._listed_client(RobotStateClient).get_robot_state(timeout=_DEADLINE_S)
        return {
            fault.fault_id.fault_name: fault.error_message
            for fault in state.service_fault_state.faults
            if fault.fault_id.service_name == self._service.name
        }

    def trigger_fault(self, name: str, fault: Fault) -> None:
        """Show a fault to the operator."""
        told = service_fault_pb2.ServiceFault(
            fault_id=self._fault_id(name),
            error_message=fault.text,
            severity=f"SEVERITY_{fault.severity.upper()}",
        )
        with contextlib.suppress(ServiceFaultAlreadyExistsError):
            self._listed_client(FaultClient).trigger_service_fault(told, timeout=_DEADLINE_S)

    def clear_fault(self, name: str) -> None:
        """Take a fault back."""
        with contextlib.suppress(ServiceFaultDoesNotExistError):
            self._listed_client(FaultClient).clear_service_fault(self._fault_id(name), timeout=_DEADLINE_S)

    def record(self, blobs: Iterable[data_buffer_pb2.DataBlob]) -> None:
        """Put these into the robot's data buffer, in one call. Raises ResponseError if it does not take one of them."""
        self._listed_client(_DataBuffer).add_blobs(blobs, timeout=_DEADLINE_S)

    def _listed_client(self, kind: Any) -> Any:
        """Return the client of a service whose authority the robot's directory tells, maybe only since now.

        The SDK would ask the directory too, and wait half a minute for it.
        """
        if kind.default_service_name not in self._robot.authorities_by_name:
            self._learn_directory()
        if kind.default_service_name not in self._robot.authorities_by_name:
            raise UnregisteredServiceNameError(kind.default_service_name)
        return self._client(kind)

    def _client(self, kind: Any) -> Any:
        # A list of its own: the SDK appends to the one it is given (or to its shared default).
        return self._robot.ensure_client(kind.default_service_name, options=list(_CHANNEL_OPTIONS))

    def _call_registration(self, method: Any) -> None:
        service = self._service
        method(
            service.name,
            SERVICE_TYPE,
            service.authority,
            service.host_ip,
            service.port,
            user_token_required=True,
            liveness_timeout_secs=_LIVENESS_S,
            timeout=_DEADLINE_S,
        )

    def _fault_id(self, name: str) -> Any:
        return service_fault_pb2.ServiceFaultId(fault_name=name, service_name=self._service.name)


class _DataBuffer(DataBufferClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's client, which sends one blob per call, and starts a thread for the time when it is made."""

    def update_from(self, other: Any) -> None:
        """Take over the robot's ways of calling, and leave its time-sync thread where it is: not started."""
        BaseClient.update_from(self, other)

    def add_blobs(self, blobs: Iterable[data_buffer_pb2.DataBlob], *, timeout: float) -> None:
        request = data_buffer_pb2.RecordDataBlobsRequest(blob_data=blobs)
        response = self.call(
            self._stub.RecordDataBlobs, request, error_from_response=common_header_errors, timeout=timeout
        )
        if response.errors:
            raise ResponseError(response, response.errors[0].message)


class _TimeSync:
    """One time sync, in as many tries as it takes. It is the client of its endpoint, which has no deadlines."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._until_s = 0.0
        self._wall_ns = wall_minus_monotonic_ns()
        self._endpoint = TimeSyncEndpoint(self)

    def is_about_another_clock(self) -> bool:
        """Whether our wall clock was stepped since its first round trip."""
        return wall_clock_stepped_since(self._wall_ns)

    def skew_ns(self) -> int:
        self._until_s = time.monotonic() + _TIME_SYNC_S
        self._endpoint.establish_timesync(max_samples=_MOST_TIME_SYNC_ROUNDS, break_on_success=True)
        skew = self._endpoint.clock_skew
        return int(skew.seconds * 1_000_000_000 + skew.nanos)

    def get_time_sync_update(self, **previous: Any) -> Any:
        return self._client.get_time_sync_update(**previous, timeout=max(0.0, self._until_s - time.monotonic()))


def explain(error: Exception) -> str:
    """What went wrong with the robot, in words of one line, and always in the same ones."""
    if "CERTIFICATE_VERIFY_FAILED" in f"{error} {getattr(error, 'error', '')}":  # the SDK keeps what gRPC says there
        return "it answers, but its certificate is not trusted; for a simulated robot, give its own with --robot-ca"
    for kind, sentence in _SENTENCES.items():
        if isinstance(error, kind):
            return sentence
    text = " ".join(str(error).split())
    text = re.sub(r"\bdebug_error_string = .*", "", text)  # holds a time stamp
    return f"{type(error).__name__}: {text or 'no details'}"[:200]

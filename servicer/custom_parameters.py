"""Custom parameters between the proto of clients and the JSON that workers know.

A spec comes out of a segment and values come from a client: neither can raise anything here but `RefusedError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bosdyn.api import service_customization_pb2
from google.protobuf import json_format

from shm import DEFAULT_PARAMS_ID, parameters

_ERROR = service_customization_pb2.CustomParamError
_STATUSES: Mapping[parameters.ProblemKind, int] = {
    "unsupported": _ERROR.STATUS_UNSUPPORTED_PARAMETER,
    "type": _ERROR.STATUS_INVALID_TYPE,
    "value": _ERROR.STATUS_INVALID_VALUE,
}
_NONSENSE = (json_format.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
_MOST_BYTES = 32 << 10  # of what one client may ask for; what then fits into no packet to the worker is refused there


class RefusedError(Exception):
    """Custom parameters that the camera cannot capture with; `error` is the `CustomParamError` to answer."""

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.error = _ERROR(status=status, error_messages=messages)


@dataclass(frozen=True)
class Parameters:
    """Completed parameters: as a worker takes them, as frames name them, and as answers tell them.

    `message` is a `DictParam`, None for a camera that has no parameters. Those of one `spec` can be compared.
    """

    spec: "ParameterSpec"
    params_id: bytes
    values: Mapping[str, Any]
    message: Any

    @property
    def are_defaults(self) -> bool:
        """Whether this is what the camera captures with when nobody asks for anything."""
        return self.params_id == DEFAULT_PARAMS_ID

    def refused(self, text: str) -> RefusedError:
        """What to answer if the camera itself does not take them, with its sentence."""
        defaults = self.spec.defaults.values
        changed = [name for name, value in self.values.items() if defaults.get(name) != value]
        return RefusedError(
            _ERROR.STATUS_INVALID_COMBINATION if len(changed) > 1 else _ERROR.STATUS_INVALID_VALUE, text
        )


class ParameterSpec:
    """The `DictParam.Spec` that a ring's descriptor holds; one that makes no sense has no parameters.

    `raw` is the descriptor's entry, by which a change is seen. `message` is the spec as clients are told.
    """

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.message = service_customization_pb2.DictParam.Spec()
        self._spec: Mapping[str, Any] = {}
        self.defaults = Parameters(self, DEFAULT_PARAMS_ID, {}, None)
        if raw:
            self._believe(raw)

    def complete(self, asked: Any) -> Parameters:
        """Check a client's `DictParam` and fill in what it leaves out. Raises RefusedError."""
        if not asked.values:
            return self.defaults
        if asked.ByteSize() > _MOST_BYTES:
            raise RefusedError(_ERROR.STATUS_INVALID_VALUE, f"the parameters are larger than {_MOST_BYTES >> 10} KiB")
        values = json_format.MessageToDict(asked, preserving_proto_field_name=True).get("values", {})
        try:
            completed = parameters.complete(self._spec, values)
        except parameters.ParametersError as error:
            texts = [problem.text for problem in error.problems]
            raise RefusedError(_STATUSES[error.problems[0].kind], *texts) from error
        except _NONSENSE as error:
            raise RefusedError(_ERROR.STATUS_INVALID_VALUE, "the camera's own parameters make no sense") from error
        if completed == self.defaults.values:
            return self.defaults
        return self._named(parameters.parameters_id(self._spec, completed), completed)

    def _named(self, params_id: bytes, completed: dict[str, Any]) -> Parameters:
        message = json_format.ParseDict({"values": completed}, service_customization_pb2.DictParam())
        return Parameters(self, params_id, completed, message)

    def _believe(self, raw: Any) -> None:
        message = service_customization_pb2.DictParam.Spec()
        try:
            json_format.ParseDict(raw, message)
            completed = parameters.complete(raw, {})
            if parameters.parameters_id(raw, completed) != DEFAULT_PARAMS_ID:
                return  # a default that equals nothing, not even itself
            defaults = self._named(DEFAULT_PARAMS_ID, completed)
        except _NONSENSE:
            return
        # Not the message's way to say the same: the worker completes by this one, and ids have to agree.
        self.message, self._spec, self.defaults = message, raw, defaults

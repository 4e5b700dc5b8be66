"""Who may call: users, payloads and the tokens that they were given. Not locked: `RobotState.lock` guards it."""

import dataclasses
import secrets
from collections.abc import Mapping

import grpc

_BEARER = "Bearer "


@dataclasses.dataclass(frozen=True)
class Caller:
    """The holder of a token: a payload by its guid, or a user (guid empty)."""

    payload_guid: str = ""


class Accounts:
    """Credentials and tokens.

    `payloads` maps guid to secret, `users` name to password; None accepts any that are not empty. Tokens do not
    expire by themselves.
    """

    def __init__(self, payloads: Mapping[str, str] | None, users: Mapping[str, str] | None) -> None:
        self._any_payload = payloads is None
        self._payloads = dict(payloads or {})
        self._users = users
        self._unauthorized: set[str] = set()
        self._locked_out: set[str] = set()
        self._callers: dict[str, Caller] = {}

    def user_is_known(self, name: str, password: str) -> bool:
        """Whether the robot accepts this login."""
        if self._users is None:
            return bool(name and password)
        return self._users.get(name) == password

    def user_is_locked_out(self, name: str) -> bool:
        """Whether the robot lets this user wait, with the right password too."""
        return name in self._locked_out

    def lock_out_user(self, name: str, *, locked_out: bool) -> None:
        """Do what happens after too many wrong passwords, or what time heals. Tokens that were given stay good."""
        if locked_out:
            self._locked_out.add(name)
        else:
            self._locked_out.discard(name)

    def register_payload(self, guid: str, secret: str) -> bool:
        """Take a new payload in; False if there is one of this guid. With a list of payloads it awaits its operator."""
        if guid in self._payloads:
            return False
        self._payloads[guid] = secret
        if not self._any_payload:
            self._unauthorized.add(guid)
        return True

    def payload_exists(self, guid: str) -> bool:
        """Whether the robot knows the payload, whatever its secret."""
        return guid in self._payloads or (self._any_payload and bool(guid))

    def payload_is_known(self, guid: str, secret: str) -> bool:
        """Whether the robot knows the payload with this secret."""
        return self.payload_exists(guid) and bool(secret) and self._payloads.get(guid, secret) == secret

    def payload_is_authorized(self, guid: str) -> bool:
        """Whether an operator has let the payload in."""
        return guid not in self._unauthorized

    def authorize_payload(self, guid: str, *, authorized: bool) -> None:
        """Do what the operator does on the robot's web page. Tokens that were given stay good."""
        if authorized:
            self._unauthorized.discard(guid)
        else:
            self._unauthorized.add(guid)

    def new_token(self, caller: Caller) -> str:
        """Return a token which stands for `caller`."""
        token = secrets.token_urlsafe(24)
        self._callers[token] = caller
        return token

    def holder(self, token: str) -> Caller | None:
        """Return whose token this is; None if the robot does not know it (any more)."""
        return self._callers.get(token)

    def revoke_tokens(self) -> None:
        """Forget every token."""
        self._callers.clear()


def bearer_token(context: grpc.ServicerContext) -> str:
    """Return the token that came with the call, or ""."""
    for key, value in context.invocation_metadata():
        if key == "authorization" and isinstance(value, str) and value.startswith(_BEARER):
            return value.removeprefix(_BEARER)
    return ""

"""What must never be shown: the secrets of a child's configuration line, wherever the child repeats them.

A driver that cannot open `rtsp://user:password@…` likes to say so with the whole address. docs/running.md says what is
masked, and what is not.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from supervision.settings import without_credentials

MASK = "…"
_SECRET_KEY = re.compile(
    r"secret|passw|passphrase|passcode|token|guid|credential(?!s?_file)|api_?key"
    r"|(?<![a-z])(pass|pwd|pin|auth|key|login)(?![a-z])",
    re.IGNORECASE,
)
_ARGUMENTS = "arguments"  # of a camera class: nobody knows what they mean
_SHORTEST = 6  # characters: what is shorter would be found in ordinary words, and is no secret anyway


class Mask:
    """Replaces the secrets of a configuration line, and `more` of them, in what its child says.

    In plain text, and as they are written in JSON, in Python and in URLs.
    """

    def __init__(self, configuration: str = "", more: tuple[str, ...] = ()) -> None:
        secrets = {**dict(_secrets(_parsed(configuration))), **dict.fromkeys(more, MASK)}
        shown = {form: secrets[text] for text in secrets if len(text) >= _SHORTEST for form in _forms(text)}
        # The longest first: a URL holds its password. Replaced one by one: a thousand of them cost less than one regex.
        texts = sorted(shown, key=len, reverse=True)
        self._replacements = [(_encoded(text), _encoded(shown[text])) for text in texts]
        self.longest_bytes = max((len(secret) for secret, _ in self._replacements), default=0)

    def __call__(self, said: bytes) -> bytes:
        """Return what was said, any number of lines, without the secrets."""
        for secret, replacement in self._replacements:
            said = said.replace(secret, replacement)
        return said

    def in_values(self, value: Any) -> Any:
        """Return a JSON value without the secrets in its texts; the keys of its objects stay."""
        if isinstance(value, dict):
            return {key: self.in_values(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.in_values(inner) for inner in value]
        return self(_encoded(value)).decode("utf-8", "surrogatepass") if isinstance(value, str) else value

    def at_cut(self, text: str) -> str:
        """Return a text that was cut, masked, without the beginning of a secret at its end."""
        said = self(_encoded(text))
        for secret, _ in self._replacements:
            for length in range(min(len(secret), len(said)), _SHORTEST - 1, -1):
                if said.endswith(secret[:length]):
                    return said[:-length].decode("utf-8", "replace") + MASK
        return said.decode("utf-8", "surrogatepass")


def redacted(configuration: str) -> Any:
    """Return a configuration line as a value that may be shown: without secrets, and URLs without credentials."""
    return _redacted(_parsed(configuration))


def _parsed(configuration: str) -> Any:
    try:
        return json.loads(configuration)
    except ValueError:
        return {}


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON may say half a character


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: MASK if inner and _is_hidden(key) else _redacted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    return without_credentials(value) if isinstance(value, str) else value


def _is_hidden(key: str) -> bool:
    return key in (_ARGUMENTS, "username") or bool(_SECRET_KEY.search(key))


def _secrets(value: Any, *, is_secret: bool = False, is_argument: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each secret text with what is shown in its place. All that is below a secret key is secret."""
    if isinstance(value, dict):
        for key, inner in value.items():
            is_inner_secret = is_secret or bool(_SECRET_KEY.search(key))
            yield from _secrets(inner, is_secret=is_inner_secret, is_argument=is_argument or key == _ARGUMENTS)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, is_secret=is_secret, is_argument=is_argument)
    elif isinstance(value, str):
        yield from _secrets_of_text(value, is_secret=is_secret, is_argument=is_argument)


def _secrets_of_text(text: str, *, is_secret: bool, is_argument: bool) -> Iterator[tuple[str, str]]:
    if is_secret:
        yield text, MASK
    elif without_credentials(text) != text:
        yield text, without_credentials(text)
        yield from ((secret, MASK) for secret in _of_url(text))
    elif is_argument and not text.startswith("/"):  # "cannot open /dev/video4" must stay a sentence
        yield text, MASK


def _of_url(text: str) -> Iterator[str]:
    try:
        url = urlsplit(text)
        password = url.password or ""
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)
        yield base64.b64encode(f"{unquote(url.username or '')}:{unquote(password)}".encode()).decode()
    yield url.query
    yield from (value for key, value in parse_qsl(url.query) if _SECRET_KEY.search(key))


def _forms(text: str) -> Iterator[str]:
    yield from (text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    try:
        yield from (quote(text), quote(text, safe=""), quote_plus(text))
    except UnicodeEncodeError:
        return  # half a character is in no URL

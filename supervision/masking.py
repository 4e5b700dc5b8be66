"""What must never be shown: the secrets of a child's configuration line, wherever the child repeats them.

A driver that cannot open `rtsp://user:password@…` likes to say so with the whole address.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from supervision.settings import without_credentials

MASK = "…"
_SECRET_KEY = re.compile(r"secret|passw|token|guid|api_?key", re.IGNORECASE)
_HIDDEN_KEYS = {"arguments"}  # of a camera class: nobody knows what they mean
_SHORTEST = 6  # characters: what is shorter would be found in ordinary words, and is no secret anyway


class Mask:
    """Replaces the secrets of a configuration line in lines of its child, in plain text and in JSON."""

    def __init__(self, configuration: str) -> None:
        shown = {text: replacement for text, replacement in _secrets(_parsed(configuration)) if len(text) >= _SHORTEST}
        shown.update({json.dumps(text, ensure_ascii=False)[1:-1]: shown[text] for text in tuple(shown)})
        # The longest first: a URL holds its password.
        self._replacements = [(text.encode(), shown[text].encode()) for text in sorted(shown, key=len, reverse=True)]

    def __call__(self, line: bytes) -> bytes:
        """Return the line without the secrets."""
        for secret, replacement in self._replacements:
            line = line.replace(secret, replacement)
        return line


def redacted(configuration: str) -> Any:
    """Return a configuration line as a value that may be shown: without secrets, and URLs without credentials."""
    return _redacted(_parsed(configuration))


def _parsed(configuration: str) -> Any:
    try:
        return json.loads(configuration)
    except ValueError:
        return {}


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: MASK if _is_hidden(key, inner) else _redacted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    return without_credentials(value) if isinstance(value, str) else value


def _is_hidden(key: str, value: Any) -> bool:
    return bool(value) and (key in _HIDDEN_KEYS or key == "username" or bool(_SECRET_KEY.search(key)))


def _secrets(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each secret text with what is shown in its place."""
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            yield from _secrets(inner, inner_key)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, key)
    elif isinstance(value, str):
        if _SECRET_KEY.search(key):
            yield value, MASK
        if without_credentials(value) != value:
            yield value, without_credentials(value)
            yield from ((secret, MASK) for secret in _of_url(value))


def _of_url(text: str) -> Iterator[str]:
    try:
        url = urlsplit(text)
        password = url.password or ""
    except ValueError:
        return
    yield password
    yield unquote(password)
    yield url.query
    yield from (value for key, value in parse_qsl(url.query) if _SECRET_KEY.search(key) or key in ("pwd", "auth"))

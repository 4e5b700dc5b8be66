"""A file that says what a synthetic camera does wrong while it runs, in the words of `capture_worker.misbehaviour`.

Others write it at any moment. It is read anew at each capture, which takes some 20 µs; what it says counts until it
says something else. An absent or empty file says nothing, and so does one that nobody can follow, which is logged once.
"""

import logging
import os
from pathlib import Path

from capture_worker.misbehaviour import ENDING, Misbehaviour, ScriptError, parse_order

_LONGEST_BYTES = 200

_log = logging.getLogger(__name__)


class ControlFile:
    """What the file at `path` says now: `order`, None for nothing. Without a path it never says anything."""

    def __init__(self, path: Path | None, encoding: str) -> None:
        self.order: Misbehaviour | None = None
        self._path = path
        self._encoding = encoding
        self._content: bytes | str = b""

    def read(self) -> None:
        """Read it again. The same words again are the same `order`. Never fails."""
        content = b"" if self._path is None else _content(self._path)
        if content != self._content:
            self._content = content
            self.order = self._understand(content)

    def take_back(self) -> None:
        """Remove the file if the process does not survive what it says: the next process shall.

        An order that cannot be taken back is not followed.
        """
        if self._path is None or self.order is None or self.order.kind not in ENDING:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._ignore(f"it cannot be removed: {error.strerror}")
            self.order = None

    def _understand(self, content: bytes | str) -> Misbehaviour | None:
        if isinstance(content, str):
            self._ignore(content)
            return None
        try:
            return parse_order(content.decode(), self._encoding) if content.strip() else None
        except (ScriptError, UnicodeDecodeError) as error:
            self._ignore(str(error))
            return None

    def _ignore(self, why: str) -> None:
        _log.warning("%s is ignored: %s", self._path, why)


def _content(path: Path) -> bytes | str:
    """Return its first bytes, or why it cannot be read. Waits for nobody, not even at a named pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        return error.strerror or str(error)
    try:
        return os.read(fd, _LONGEST_BYTES)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(fd)

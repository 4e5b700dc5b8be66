"""Needs a module that nobody has installed."""

import no_such  # noqa: F401

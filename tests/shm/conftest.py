"""An instance name per test, whose segments are gone afterwards."""

import os
import secrets
from collections.abc import Iterator

import pytest

from shm import names


@pytest.fixture
def instance() -> Iterator[str]:
    """A name that nobody else uses, also when several runs of the tests share a machine."""
    name = f"test-{os.getpid()}-{secrets.token_hex(3)}"
    yield name
    for left in names.names_of(name):
        names.remove(left)

"""The pipelines that the rows of the matrix share."""

from collections.abc import Iterator

import pytest

from tests.matrix.fleet import Fleet


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Cameras and servicers to be harmed, each once."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet

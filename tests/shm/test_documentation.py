"""What docs/shared-memory.md shows can be copied."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from shm import Encoding, RingWriter
from supervision.configuration import validate
from tests.shm.stamped import PROJECT
from tests.shm.test_rights import GID, OTHER_UID, printed_as

PAGE = (PROJECT / "docs" / "shared-memory.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def keep_publishing(ring: RingWriter, done: threading.Event) -> None:
    """A grey picture of 4 x 6 pixels, again and again."""
    picture = np.full((4, 6, 3), 100, np.uint8)
    while not done.wait(0.01):
        now_ns = time.monotonic_ns()
        ring.publish(picture, captured_ns=now_ns, rows=4, cols=6, row_stride_bytes=18, encoding=Encoding.BGR8)


@pytest.fixture
def camera(instance: str) -> Iterator[str]:
    """The instance of a camera that delivers, shared with a group if we can."""
    done = threading.Event()
    group = str(GID if os.geteuid() == 0 else os.getegid())
    with RingWriter(instance, "front", payload_capacity_bytes=72, descriptor={}, shm_group=group) as ring:
        thread = threading.Thread(target=keep_publishing, args=(ring, done))
        thread.start()
        yield instance
        done.set()
        thread.join()


def code_of(*blocks: int, instance: str) -> str:
    """Blocks of the page, for this instance."""
    return "".join(BLOCKS[block] for block in blocks).replace("spot-cameras", instance)


def test_the_page_is_covered() -> None:
    """Every block is run by one of these tests."""
    assert len(BLOCKS) == 3


def test_the_users_own_program(camera: str) -> None:
    """The loop finds a fresh picture, and its brightness is measured in place."""
    code = code_of(0, 1, instance=camera) + "print(image.shape, image.mean())"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "100.0\n(4, 6, 3) 100.0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_users_program(camera: str) -> None:
    """With the group, as a number, and the configuration that the page names."""
    code = "from shm import RingReader\n" + code_of(2, instance=camera).replace('"cameras"', f'"{GID}"')
    assert printed_as(OTHER_UID, [GID], code + "print(reader.latest().rows)", camera, "") == "4\n"
    (line,) = {line for line in re.findall(r"`(shm_group = .*?)`", PAGE) if "cameras" in line}
    key, value = line.split(" = ")
    assert validate({key: value.strip('"')}, "the page").shm_group == "cameras"

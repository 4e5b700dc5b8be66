"""Random harm to segments under the eyes of a real reader process: it lives, says why, and reads again at once."""

import collections
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from shm import RingWriter, layout, names
from tests.matrix.recording import MeasuredRow
from tests.shm import harm
from tests.shm.stamped import PROJECT, publish

SEED = int(os.environ.get("FUZZ_SEED", "20"))

Row = Callable[[str], MeasuredRow]


class FuzzedReader:
    """The reader process, inside `with`; leaving checks that it ends by itself, with nothing to say."""

    def __init__(self, instance: str) -> None:
        self._argv = [sys.executable, "-m", "tests.shm.fuzz_reader", instance, str(harm.CAPACITY_BYTES)]

    def __enter__(self) -> "FuzzedReader":
        """Start it."""
        self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Close its stdin, and wait."""
        errors = self._process.communicate(timeout=20)[1]
        assert (self._process.returncode, errors) == (0, "")

    def look(self) -> tuple[int | None, int | None, str | None]:
        """The newest frame of a reader that was there before, that of a newcomer, and what is his problem."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("look\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the reader is dead: {self._process.wait()}"
        old, new, problem = json.loads(line)
        return old, new, problem


def publish_good_ring(instance: str) -> int:
    """A new ring of a few frames; returns the number of the newest."""
    with RingWriter(instance, "front", payload_capacity_bytes=harm.CAPACITY_BYTES, descriptor={}, slots=4) as ring:
        return max(publish(ring, stamp, harm.CAPACITY_BYTES) for stamp in range(6))


def fuzz_reader(instance: str, rounds: int) -> tuple[float, "collections.Counter[str]"]:
    """Harm the ring so often; returns the longest time until a good one was read, and how often who was refused."""
    rng, longest_s = random.Random(SEED), 0.0  # noqa: S311  reproducible, not secret
    path, refused = names.path_of(f"/{instance}.cam.front"), collections.Counter[str]()
    with FuzzedReader(instance) as reader:
        for number in range(rounds):
            good = publish_good_ring(instance)
            good_s = time.monotonic()
            while reader.look() != (good, good, None):
                assert time.monotonic() - good_s < 1.0, f"seed {SEED}, round {number}"
            longest_s = max(longest_s, time.monotonic() - good_s)
            kind = list(harm.KINDS)[number % len(harm.KINDS)]
            for _ in range(rng.choice([1, 1, 2]) if kind in ("header", "counters", "metadata", "anywhere") else 1):
                harm.KINDS[kind](path, rng)
            _, new, problem = reader.look()
            refused[kind] += new is None
            assert new is None or problem is None
            harm.heal(path)
    return longest_s, refused


@pytest.mark.row("M14")
def test_a_reader_of_harmed_segments(instance: str, row: Row) -> None:
    """1,000 times bytes, length, name or owner: no signal, no exception, a reason, and the next good ring at once."""
    longest_s, refused = fuzz_reader(instance, 1_000)
    row("M14").measured("attached again", longest_s, 1.0)
    for kind in ("cut", "garbage", "no segment", "removed", "foreign"):
        assert kind not in harm.KINDS or refused[kind] > 100, (kind, refused)
    for kind in ("header", "counters", "metadata", "anywhere"):
        assert refused[kind] > 5, (kind, refused)


@pytest.mark.soak
@pytest.mark.row("M14")
@pytest.mark.timeout(3600)
def test_a_reader_of_harmed_segments_for_long(instance: str, row: Row) -> None:
    """The same 100,000 times."""
    longest_s, _ = fuzz_reader(instance, 100_000)
    row("M14").measured("attached again", longest_s, 1.0)


def fuzz_headers(rounds: int) -> "collections.Counter[str]":
    """Decode so many harmed headers; returns how often which error, or none, came of it."""
    rng, ends = random.Random(SEED), collections.Counter[str]()  # noqa: S311  as above
    whole = layout.pack_header(harm.RING, 1, "a.cam.front", {"rows": 4, "more": ["x" * 1000] * 5})
    for _ in range(rounds):
        page = harm.harmed_header(whole, rng)
        if rng.random() < 0.1:
            page = page[: rng.randrange(len(page))]
        try:
            header = layout.unpack_header(page)
        except layout.LayoutError as error:
            ends[re.sub("[0-9]+", "N", str(error))] += 1
        else:
            ends["none"] += 1
            assert header.layout.total_bytes <= layout.SLOTS_OFFSET + 64 * (4096 + layout.MAX_PAYLOAD_BYTES)
            assert isinstance(header.descriptor, dict)
            assert header.epoch > 0
    return ends


@pytest.mark.row("M14")
def test_harmed_headers() -> None:
    """10,000 headers: each is decoded to something consistent, or is a LayoutError with a sentence."""
    ends = fuzz_headers(10_000)
    assert len(ends) > 8
    assert 0 < ends["none"] < 3_000


@pytest.mark.soak
def test_harmed_headers_for_long() -> None:
    """The same with a million."""
    fuzz_headers(1_000_000)

"""The rows of the fault matrix: a fault, what is expected of the pipeline, and within what bound.

A test shows a row by its marker, `@pytest.mark.row("M1")`, wherever in tests/ it is.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row. `bound` is "–" where the row is not about a figure."""

    id: str
    fault: str
    expected: str
    bound: str


ROWS = (
    Row(
        "M1",
        "a worker is killed at a random moment, between the two stores of a sequence too",
        "it is back; no frame is torn and no number goes back; one fault comes and goes; the others keep their rate",
        "first new frame ≤ 2 s; rate of the others ≥ 95 %",
    ),
    Row(
        "M2",
        "a worker is stopped (SIGSTOP)",
        "its promise breaks, it is killed and started again; no old frame is ever OK",
        "new frame ≤ 7 s",
    ),
    Row("M3", "a driver hangs inside C, deaf to SIGTERM", "its stack is kept, it is killed and started again", "≤ 7 s"),
    Row(
        "M4",
        "a worker cannot be killed (state D)",
        "the loop turns on, the others run, and nobody opens the device a second time",
        "a turn of the loop ≤ 1 s",
    ),
    Row(
        "M5",
        "a worker dies of SIGSEGV, of SIGBUS, or of having no memory",
        "as M1; how it ended is on the board",
        "first new frame ≤ 2 s",
    ),
    Row(
        "M6",
        "a worker ends at once, again and again",
        "its starts become rare and never stop; one fault; the log stays short",
        "≤ 10 starts in 60 s; supervisor < 5 % CPU; ≤ 20 lines a minute",
    ),
    Row(
        "M7",
        "the servicer is killed during 50 GetImage calls",
        "capture goes on; calls fail as UNAVAILABLE; same port, registration and faults again",
        "OK and registered ≤ 3 s",
    ),
    Row("M8", "the servicer is stopped (SIGSTOP)", "it is killed and started again", "≤ 8 s"),
    Row(
        "M9",
        "the supervisor is killed",
        "no child outlives it; the next start removes what is left in /dev/shm",
        "no process after 3 s",
    ),
    Row(
        "M10",
        "supervisor, servicer and two workers are ended in every order, by SIGTERM and by SIGKILL",
        "no process of ours is left, and no segment after the next start",
        "≤ 5 s",
    ),
    Row(
        "M11",
        "the supervisor dies before its child could ask for the parent-death signal",
        "the child notices by itself and ends",
        "≤ 1 s after it runs",
    ),
    Row("M12", "a child is to be started by another thread than the main one", "refused with an error", "–"),
    Row(
        "M13",
        "/dev/shm is full",  # noqa: S108  no file is made here
        "that camera fails with a sentence that names shm_size; no SIGBUS; the others run",
        "said ≤ 2 s after the start",
    ),
    Row(
        "M14",
        "a segment is truncated, removed, foreign, garbage, or of another version",
        "the reader refuses it with a typed error, never by a signal, and finds the next ring",
        "attached again ≤ 1 s",
    ),
    Row(
        "M15",
        "a second pipeline of one instance, and a second writer of one ring",
        "refused with the holder's pid (exit 100); the first is not affected",
        "≤ 1 s after it runs",
    ),
    Row(
        "M16",
        "segments of a dead instance beside those of a living one",
        "a start removes its own instance's alone",
        "–",
    ),
    Row("M17", "a worker is killed at each step of making a segment", "the next start recovers", "≤ 3 s"),
    Row("M18", "the wall clock jumps by an hour, both ways", "no restart; ages and freshness unchanged", "0 restarts"),
    Row(
        "M19",
        "the robot is down at boot, reboots, is silent, says 401 or RESOURCE_EXHAUSTED",
        "capture and GetImage do not notice; registration and faults come back",
        "p99 of GetImage + < 20 % or 5 ms; registered ≤ 35 s",
    ),
    Row(
        "M20",
        "the fault service hangs while a picture cannot be decoded",
        "GetImage does not notice; no threads pile up",
        "GetImage < 100 ms",
    ),
    Row("M21", "time sync is lost", "images stay OK, with a WARN fault; acquisition times never go back", "–"),
    Row(
        "M22",
        "unplug and replug, another resolution, zero-size, None, float64 and huge frames",
        "nothing escapes the worker; readers see the new ring",
        "≤ 3 s from the next try on",
    ),
    Row(
        "M23",
        "corrupt JPEG: cut at each of 200 places, flipped bits, lying sizes, no end, empty",
        "never OK with garbage; no memory for sizes that lie",
        "50 ms each; RSS + < 100 MB",
    ),
    Row("M24", "a sensor delivers the same picture for ever", "a WARN fault, no restart; cleared by change", "6–8 s"),
    Row(
        "M25",
        "GetImage requests of every kind of nonsense",
        "a response or a documented status code; no fault on the robot; memory flat",
        "≤ 2 s each",
    ),
    Row(
        "M26",
        "100,000 entries, a 300 kB request, 10,000 duplicates, parameters 60 deep",
        "refused as a whole, with a status",
        "200 ms of computing; RSS + < 50 MB",
    ),
    Row(
        "M27",
        "50 clients stopped in the middle, 1,000 silent connections, 200 idle ones",
        "they are dropped; a good client is served all the time",
        "dropped ≤ 20 s; good client p99 < 500 ms",
    ),
    Row(
        "M28", "64 clients at once, with deadlines of 50 ms", "the excess is refused; capture keeps its rate", "≥ 95 %"
    ),
    Row(
        "M29",
        "the port is taken, by a plain listener or by a gRPC server that shares it",
        "exit code 98 and a sentence; tried again; never bound twice",
        "said ≤ 1 s after it runs",
    ),
    Row("M30", "a caller that is not allowed", "PERMISSION_DENIED for every method; no byte of an image", "–"),
    Row(
        "M31",
        "fifty bad configurations",
        "one line and exit code 78 (or the documented one); no process, no segment",
        "≤ 1 s each",
    ),
    Row("M32", "a child writes 100 MB to stderr", "it is not held up; the log is bounded", "log ≤ 1 MB"),
    Row("M33", "the disk for logs and post-mortems is full", "everything is served on", "0 restarts"),
    Row("M34", "a worker's memory grows", "it is started again in an orderly way before it harms the others", "–"),
    Row("M35", "all of this at random (make chaos)", "the invariants hold", "0 violations"),
    Row(
        "M36",
        "SIGTERM, SIGTERM twice, SIGINT to the process group",
        "an orderly end: unregistered, exit code 0, nothing is left",
        "≤ 5 s",
    ),
)

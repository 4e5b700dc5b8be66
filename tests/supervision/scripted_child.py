"""A child process without cameras or gRPC, which does what the last part of its camera's device says.

The supervisor starts it in the place of every kind of child. A camera with `device = "test://x/crash"` runs `crash`,
and so on, and so do a servicer with the authority `x/crash`, and a robot whose certificate is to be a file `crash`;
otherwise the servicer and the robot work well.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from shm.board import BoardReader
from supervision import exit_codes
from supervision.lifeline import Lifeline


def main() -> int:
    """Attach to the supervisor and behave."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--report-fd", type=int)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        return list_cameras(os.environ["SCRIPTED_LIST"])
    lifeline = Lifeline(arguments.report_fd)
    lifeline.attach()
    behaviour = globals()["do_" + _behaviour(lifeline.configuration)]
    return int(behaviour(lifeline) or exit_codes.FINISHED)


def list_cameras(listing: str) -> int:
    """Print the listing, or hang with a process of our own that holds our stdout open."""
    if listing == "hang":
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], start_new_session=True)
        Path(os.environ["SCRIPTED_PID"]).write_text(str(os.getpid()))
        sleeper.wait()
    sys.stdout.write(listing)
    return exit_codes.FINISHED


def _behaviour(configuration: dict[str, Any]) -> str:
    scripted = configuration.get("camera", {}).get("device") or configuration.get("service", {}).get("authority")
    ca_out = Path(configuration.get("ca_out", "ca.pem"))
    scripted = scripted or (f"x/{ca_out.name}" if not ca_out.suffix else "")
    return str(scripted).rpartition("/")[2] if "/" in scripted else "work"


def work(lifeline: Lifeline, seconds: float = float("inf"), **facts: Any) -> None:
    """Deliver a frame every 20 ms until asked to stop, or for some seconds."""
    lifeline.promise(1.0)
    robot = lifeline.configuration.get("robot") or {}
    given_port = lifeline.configuration.get("port")
    lifeline.ready(port=4321, robot_port=robot.get("port"), robot_ca=robot.get("ca"), given_port=given_port)
    end_s, frames = time.monotonic() + seconds, 0
    while not lifeline.stopping and time.monotonic() < end_s:
        time.sleep(0.02)
        frames += 1
        now_ns = time.monotonic_ns()
        picture = {"frame_number": frames, "captured_ns": now_ns, "rows": 48, "cols": 64, "encoding": "bgr8"}
        lifeline.promise(0.5, frames=frames, **picture, **facts)


def do_work(lifeline: Lifeline) -> None:
    """Behave well; in the place of the servicer, know the robot's clock."""
    work(lifeline, robot="registered", refused=2, requests=7, offset_ns=123)


def do_finish(lifeline: Lifeline) -> None:
    """End like a video file."""
    work(lifeline, seconds=0.2)


def do_crash(_lifeline: Lifeline) -> NoReturn:
    """End with an exception at once."""
    raise RuntimeError("no luck today")


def do_crash_later(lifeline: Lifeline) -> NoReturn:
    """Work for a while, and die of a segmentation fault."""
    work(lifeline, seconds=0.3)
    ctypes.string_at(0)
    raise AssertionError("still alive")


def do_refuse(lifeline: Lifeline) -> int:
    """Refuse the configuration."""
    lifeline.promise(5.0)
    lifeline.error("bad_configuration", "no such mode")
    return exit_codes.BAD_CONFIGURATION


def do_absent(lifeline: Lifeline) -> int:
    """Report a missing device and end."""
    sys.stderr.write("looking for /dev/video7\n")
    lifeline.error("absent", "there is no /dev/video7")
    return exit_codes.CAMERA_FAILED


def do_no_room(lifeline: Lifeline) -> int:
    """Find no room in /dev/shm."""
    lifeline.error("shm_full", "shm_size is too small")
    return exit_codes.SHM_FAILED


def do_hang(lifeline: Lifeline) -> None:
    """Hang inside C, deaf to SIGTERM."""
    sys.stderr.write("about to hang\n")
    lifeline.promise(0.3)
    hang_in_c(lifeline)


def hang_in_c(lifeline: Lifeline) -> None:
    """Wait for a mutex that nobody releases."""
    lifeline.ready()
    mutex = ctypes.create_string_buffer(64)
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def do_never_ready(_lifeline: Lifeline) -> None:
    """Promise nothing at all."""
    signal.pause()  # SIGUSR1 ends it, and with exit code 0: a hung child that wakes up has not finished


def do_stop_itself(lifeline: Lifeline) -> None:
    """Be stopped by SIGSTOP in the middle of the work."""
    work(lifeline, seconds=0.2)
    os.kill(os.getpid(), signal.SIGSTOP)


def do_ignore_sigterm(lifeline: Lifeline) -> None:
    """Work, and go on working after SIGTERM."""
    while True:
        work(lifeline)


def do_say_goodbye(lifeline: Lifeline) -> None:
    """Work, and say at the end which of its sisters are gone already."""
    work(lifeline)
    board = BoardReader(lifeline.configuration["instance"]).latest()
    for child in board.children if board else ():
        is_there = child.pid and Path(f"/proc/{child.pid}").exists()
        sys.stderr.write(f"goodbye, {child.name} is {'there' if is_there else 'gone'}\n")


def do_hang_for_long(lifeline: Lifeline) -> None:
    """Hang inside C with a promise that allows it."""
    lifeline.promise(60.0)
    hang_in_c(lifeline)


def do_flood(lifeline: Lifeline) -> None:
    """Write 100 MB to stderr before working."""
    lifeline.promise(30.0)
    line = b"x" * 99 + b"\n"
    for _ in range(100):
        os.write(2, line * 10_000)
    work(lifeline)


def do_grandchild(lifeline: Lifeline) -> NoReturn:
    """Start a process that outlives this one, name it in the log, and crash."""
    grandchild = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    sys.stderr.write(f"grandchild {grandchild.pid}\n")
    work(lifeline, seconds=0.2)
    os._exit(3)


def do_daemon(lifeline: Lifeline) -> NoReturn:
    """Start a process in a session of its own, name it in the log, and crash."""
    daemon = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    sys.stderr.write(f"daemon {daemon.pid}\n")
    work(lifeline, seconds=0.2)
    os._exit(3)


def do_leak(lifeline: Lifeline) -> None:
    """Work, and keep 10 MB more every 20 ms until asked to stop."""
    kept: list[bytes] = []
    lifeline.promise(1.0)
    lifeline.ready()
    while not lifeline.stopping:
        kept.append(b"x" * 10_000_000)
        lifeline.promise(1.0, frames=len(kept))
        time.sleep(0.02)


def do_tell(lifeline: Lifeline) -> int:
    """Repeat the whole configuration wherever something can be said."""
    device = lifeline.configuration["camera"]["device"]
    sys.stderr.write(f"{lifeline.configuration}\ncannot open {device}\n")
    lifeline.promise(5.0, looking_for=device)
    lifeline.error("open_failed", f"cannot open {device}")
    return exit_codes.CAMERA_FAILED


def do_tell_credentials(lifeline: Lifeline) -> None:
    """Repeat what is in the payload's file."""
    lifeline.promise(5.0)
    guid, secret = Path(lifeline.configuration["robot"]["payload_credentials_file"]).read_text().split()
    sys.stderr.write(f"the robot refuses {guid} with {secret}\n")
    lifeline.error("parameters", f"refused: {guid} with {secret}")
    work(lifeline, robot=f"refused: {guid} with {secret}")


def do_mad(lifeline: Lifeline) -> None:
    """Report nonsense, then work."""
    fd = lifeline._report_fd
    os.write(fd, b'{"report":"beat","within_ms":-5}\nnonsense\n{"report":"ready"\n[]\n' + b"z" * 9000 + b"\n")
    work(lifeline)


if __name__ == "__main__":
    sys.exit(main())

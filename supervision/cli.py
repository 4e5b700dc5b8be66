"""The command line: flags to settings, a log on stderr, and one call of the supervisor."""

import argparse
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from shm import ForeignSegmentError, ShmFullError
from supervision import exit_codes, remove_ipc
from supervision.configuration import ConfigurationError
from supervision.discovery import NoCameraFoundError, list_devices, table_of
from supervision.display import Display
from supervision.flags import parse_flags, settings_from_flags
from supervision.instance import AlreadyRunningError
from supervision.line_budget import LineBudget
from supervision.login import Login
from supervision.loop import Supervisor
from supervision.output import Output, OutputHandler
from supervision.process import forbid_core_dumps
from supervision.room import room_warning
from supervision.settings import Settings
from supervision.status import status_command

_STDOUT, _STDERR = 1, 2

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str], *, has_terminal: bool = False) -> int:
    """Run what the arguments (without the program's name) ask for, and return the exit code.

    With `has_terminal`, as it was at the very start, SIGHUP means that the terminal has hung up.
    """
    if arguments[:1] == ["status"]:
        return status_command(arguments[1:])
    flags, login = parse_flags(arguments), Login(os.environ)  # before any child is started
    log_to_stderr(verbose=flags.verbose)
    os.umask(0o077)
    forbid_core_dumps()
    return exit_code_of(_list if flags.list else lambda: _supervise(flags, login, has_terminal))


def exit_code_of(run: Callable[[], int]) -> int:
    """Run, and turn what a person has to know into one line on stderr and its exit code."""
    errors = Output(_STDERR)
    try:
        return run()
    except (ConfigurationError, NoCameraFoundError, AlreadyRunningError) as error:
        errors.write(f"supervisor.py: {error}")
        return error.exit_code
    except (ShmFullError, ForeignSegmentError) as error:
        errors.write(f"supervisor.py: {error.strerror}")
        return exit_codes.SHM_FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        errors.write(f"supervisor.py: {where}{error.strerror or error}")
        return exit_codes.INTERNAL_ERROR


def _list() -> int:
    Output(_STDOUT).write(table_of(list_devices()))
    return exit_codes.FINISHED


def _supervise(flags: argparse.Namespace, login: Login, has_terminal: bool) -> int:
    folder = Path.cwd()
    settings = settings_from_flags(flags, folder, login=login)

    def reload() -> Settings:
        # The loop waits meanwhile: no camera is searched, no name looked up. No cameras in the file are none at all.
        return settings_from_flags(flags, folder, find=dict, known=settings, login=login)

    output = Output(_STDOUT)
    repeat = settings.simulate or os.isatty(_STDOUT)
    display = Display(settings, output, repeat=repeat)
    return Supervisor(
        settings,
        duration_s=flags.duration,
        on_start=lambda: _warn(settings),
        show=display.show,
        reload=reload if flags.config else None,
        has_terminal=has_terminal,
    ).run()


def _warn(settings: Settings) -> None:
    """Say what works now, and may not for ever."""
    if os.geteuid() == 0:
        _log.warning("running as root, which is not needed: a user in the group video is enough (docs/running.md)")
    for sentence in (remove_ipc.warning(os.geteuid()), room_warning(settings)):
        if sentence:
            _log.warning("%s", sentence)


def log_to_stderr(*, verbose: bool) -> None:
    """Send the log of this process and of its children to stderr, as far as that takes it.

    It is a line a second in the long run, unless `verbose` asks for everything.
    """
    logging.raiseExceptions = False
    budget = None if verbose else LineBudget()
    handler = OutputHandler(Output(_STDERR), budget)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    children = OutputHandler(Output(_STDERR), budget, of_children=True)
    children.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger("child").addHandler(children)
    logging.getLogger("child").propagate = False

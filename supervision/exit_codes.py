"""The exit codes of the pipeline's processes: a documented interface (README, "Exit codes").

Where a sysexits.h code fits, it is used. A child's exit code only decides whether it is restarted;
what went wrong is said by its last error report.
"""

FINISHED = 0  # a child: its work is done (a video that is not looped); the supervisor: stopped as asked
INTERNAL_ERROR = 1  # an unexpected exception; a child's traceback is in the log, the supervisor says a sentence
NO_CAMERA_FOUND = 1  # the supervisor: nothing was configured and nothing was found
USAGE = 2  # argparse's own
CAMERA_FAILED = 69  # EX_UNAVAILABLE: the camera is absent, did not open, or stopped delivering
SHM_FAILED = 71  # EX_OSERR: /dev/shm is full, or a name in it belongs to another user
ORPHANED = 75  # EX_TEMPFAIL, a child: the supervisor is gone
NO_ROUTE = 75  # … the supervisor: no route to the robot from its own network, as on a computer that has just booted
BAD_CONFIGURATION = 78  # EX_CONFIG: never restarted, because the same would happen again
PORT_IN_USE = 98  # EADDRINUSE
ALREADY_RUNNING = 100  # another supervisor holds this instance
INTERRUPTED = 130  # Ctrl-C before anything was started
EXPLAINED = (CAMERA_FAILED, SHM_FAILED, BAD_CONFIGURATION, PORT_IN_USE)  # by a child, whose last error says the rest
TERMINATED = 143  # a child: asked to end by SIGTERM; restarted if it was not the supervisor who asked

HAD_TO_BE_KILLED = "signal SIGKILL, for it did not end when asked"  # on the board, where another child has its code

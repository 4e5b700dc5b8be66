"""The real supervisor over scripted children: settings as JSON in argv, everything else as it is in production.

SIGHUP makes it read new settings, as JSON too, from the `file` that the request names.
"""

import json
import os
import sys
from pathlib import Path

from shm.records import Kind
from supervision import post_mortem
from supervision.cli import exit_code_of, log_to_stderr
from supervision.configuration import validate
from supervision.loop import Supervisor
from supervision.settings import Settings
from supervision.timing import Timing

MODULE = "tests.supervision.scripted_child"


def main() -> int:
    """Run the supervisor that the first argument describes."""
    request = json.loads(sys.argv[1])
    log_to_stderr(verbose=request.get("verbose", True))
    post_mortem.WRITER = request.get("writer", post_mortem.WRITER)
    settings = Settings.model_validate(request["settings"])
    modules: dict[Kind, str] = {"camera": request.get("module", MODULE), "servicer": MODULE, "simulated_robot": MODULE}
    supervisor = Supervisor(
        settings,
        duration_s=request.get("duration_s"),
        reload=lambda: validate(json.loads(Path(request["file"]).read_text()), "the file"),
        modules=modules,
        timing=Timing(**request.get("timing", {})),
        has_terminal=os.isatty(0),
    )
    return exit_code_of(supervisor.run)


if __name__ == "__main__":
    sys.exit(main())

"""The real supervisor over scripted children: settings as JSON in argv, everything else as it is in production."""

import json
import sys

from shm.records import Kind
from supervision.cli import exit_code_of, log_to_stderr
from supervision.loop import Supervisor
from supervision.settings import Settings
from supervision.timing import Timing

MODULE = "tests.supervision.scripted_child"


def main() -> int:
    """Run the supervisor that the first argument describes."""
    request = json.loads(sys.argv[1])
    log_to_stderr(verbose=True)
    settings = Settings.model_validate_json(json.dumps(request["settings"]))
    modules: dict[Kind, str] = {"camera": MODULE, "servicer": MODULE, "simulated_robot": MODULE}
    timing = Timing(**request.get("timing", {}))
    return exit_code_of(Supervisor(settings, duration_s=request.get("duration_s"), modules=modules, timing=timing).run)


if __name__ == "__main__":
    sys.exit(main())

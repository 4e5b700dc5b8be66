"""`python -m servicer --report-fd N`: started by the supervisor, configured through stdin."""

import argparse
import os
import sys

from supervision.lifeline import Lifeline

_IMPORTS_S = 60.0  # gRPC, OpenCV and the SDK together take 10 s on a slow payload computer


def main() -> int:
    """Attach to the supervisor, promise before the slow imports, and serve."""
    parser = argparse.ArgumentParser(prog="python -m servicer", description=__doc__)
    parser.add_argument("--report-fd", type=int, required=True, help="descriptor of the report pipe")
    lifeline = Lifeline(parser.parse_args().report_fd)
    lifeline.attach()
    lifeline.promise(_IMPORTS_S)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # anybody who reaches the port could write its lines into our log
    from servicer import process  # noqa: PLC0415  after the promise

    return process.run(lifeline)


if __name__ == "__main__":
    sys.exit(main())

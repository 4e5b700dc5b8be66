"""`python -m chaos [--duration S] [--seed N] [--report FILE.json] [--only KIND…] [--list] [--keep FOLDER]`.

Exit code 0 if every invariant held, 1 if not, 2 for a command line that makes no sense.
"""

import argparse
import secrets
import signal
import sys
from pathlib import Path

from chaos import isolation, report
from chaos.runner import chaos
from chaos.schedule import BY_NAME, KINDS, plan


def main() -> int:
    """Run chaos, and return the exit code."""
    flags = _flags()
    if flags.list:
        for kind in KINDS:
            print(f"{kind.name:<24}{kind.about:<12}{'needs ' + kind.needs if kind.needs else ''}")
        return 0
    if flags.plan:
        print(*plan(flags.seed, flags.duration, only=flags.only), sep="\n")
        return 0
    if not isolation.is_isolated():
        isolation.isolate([*sys.argv[1:], "--seed", str(flags.seed)])
    else:
        isolation.raise_network()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up, as after Ctrl-C
    print(f"chaos: seed {flags.seed}, {flags.duration:g} s", flush=True)
    run = chaos(flags.seed, flags.duration, flags.only, flags.keep)
    print(f"\n{report.text(run)}")
    if flags.report:
        report.write(run, flags.report)
    return 0 if report.is_clean(run) else 1


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="A pipeline, eight clients, random faults.")
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="seconds of faults (60)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="the same seed is the same plan")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the pipeline's log and reports there")
    parser.add_argument("--only", nargs="+", default=[], choices=sorted(BY_NAME), metavar="KIND", help="see --list")
    parser.add_argument("--list", action="store_true", help="print the kinds of faults")
    parser.add_argument("--plan", action="store_true", help="print the plan of the seed, and do nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

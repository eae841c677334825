"""The command line, and the order of the measurements."""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

from . import capture, console, population, processes, quick, restart, slow
from .report import write
from .table import Table
from .world import Failed, World, say

ROWS = {
    "population": population.measure,
    "restart": restart.measure,
    "capture": capture.measure,
    "quick": quick.measure,
    "console": console.measure,
    "slow": slow.measure,
}
PARTS = {f"console:{name}": console.measure_part(name) for name in console.PARTS}


def main():
    arguments = parse()
    began = time.monotonic()
    processes.adopt_orphans()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tmd-bench-"))
    table = Table()
    try:
        world = World(folder, arguments)
        world.build()
        for name in arguments.only or ROWS:
            say(name)
            try:
                (ROWS | PARTS)[name](world, table)
            except (Failed, OSError, ValueError) as failed:
                traceback.print_exc()
                table.incomplete.append(f"{name}: {failed}")
        spent = time.monotonic() - began
        say(f"took {spent:.0f} s")
        for words in table.incomplete:
            say(f"INCOMPLETE: {words}")
        if arguments.write or not (arguments.only or arguments.quick):
            write(world, table, spent)
    finally:
        processes.end_all()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if table.incomplete else 0


def parse():
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Compare tmd with minimal C programs (the lower bound) and with other "
        "programs (bench/rivals installs them). A run of everything writes docs/benchmarks.md "
        "and its plots.",
    )
    names = ", ".join(ROWS | PARTS)
    parser.add_argument("rounds", nargs="?", type=int, default=5,
                        help="number of interleaved rounds (5)")
    parser.add_argument("--only", nargs="+", choices=ROWS | PARTS, metavar="ROW",
                        help=f"measure only these, without writing the page: {names}")
    parser.add_argument("--quick", action="store_true",
                        help="use smaller sizes, to check that it works")
    parser.add_argument("--long", action="store_true", help="flood for a minute instead of 20 s")
    parser.add_argument("--write", action="store_true",
                        help="write the page with --only or --quick too")
    arguments = parser.parse_args()
    # `--only ROW 3` reads naturally, but takes 3 as a row.
    if arguments.rounds < 1:
        parser.error("ROUNDS must be at least 1")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

"""The command line, the order of the measurements, and what is written."""

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
            say(f"NOT COMPLETE: {words}")
        if arguments.write or not (arguments.only or arguments.quick):
            write(world, table, spent)
    finally:
        processes.end_all()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if table.incomplete else 0


def parse():
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Measures tmd beside bare C programs that do the least that has to be done, "
        "and beside others (bench/rivals installs them). A run of everything writes "
        "docs/benchmarks.md and its plots.",
    )
    parser.add_argument("rounds", nargs="?", type=int, default=5, help="times, interleaved (5)")
    parser.add_argument("--only", nargs="+", choices=ROWS | PARTS, metavar="ROW",
                        help=f"of {', '.join(ROWS | PARTS)}; prints, writes nothing")
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it works")
    parser.add_argument("--long", action="store_true", help="floods of a minute, not of 20 s")
    parser.add_argument("--write", action="store_true", help="write the page all the same")
    arguments = parser.parse_args()
    # `--only ROW 3` reads naturally but would take 3 for a row.
    if arguments.rounds < 1:
        parser.error("ROUNDS is at least 1")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

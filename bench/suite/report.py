"""docs/benchmarks.md and its plots."""

import os
import platform
import re
import subprocess
import time

from . import plot
from .processes import read
from .table import show
from .world import ROOT

PAGE = ROOT / "docs/benchmarks.md"
PLOTS = ROOT / "docs/benchmarks"
REMARKS = ROOT / "bench/remarks.md"

# Rows worth a picture: the begin of what they are called, the picture's name.
PICTURED = [
    ("memory (PSS) of its own processes, 1000", "memory"),
    ("1000 children from the order to the last one's exec", "start"),
    ("1000 children from the order to the last one's end", "stop"),
    ("the same of a process that ran for more than a second, p50", "restart"),
    ("CPU for a GiB of captured output", "capture"),
    ("echo of a key while attached, p50", "echo"),
    ("`cat` of 100 MB while attached, time to prompt", "cat-attached"),
    ("`cat` of 100 MB while nobody is attached", "cat-detached"),
    ("attach to full screen shown", "shown"),
    ("a child writes 20 MB while its only client is stopped", "stalled"),
]

HEAD = """# Figures

Written by `bench/run`, not by hand. tmd beside the least that has to be done (loops in C of some
fifty lines, `bench/limits/`) and beside others, all in one run on one machine. Ratios mean more
than seconds: contenders take turns within each round, so that what disturbs one disturbs all. A
figure is the median of the rounds unless it says p50, p99 or min; smaller is better but for MB/s.

"""

HOW = """
## How to run it again

```sh
bench/rivals                    # installs the others into target/rivals, nothing elsewhere
bench/run                       # everything, about a quarter of an hour; writes this page
bench/run 2 --only console      # a part of it, to the terminal only
bench/micro                     # instructions of the small pieces, independent of noise
```

Who is missing above was "not installed" on the machine of the run; words stand where somebody did
not get there. What a figure is taken of:

- *Memory* is the sum of PSS over all processes of a supervisor (not of its children), so that what
  several share counts once. It includes the executable's own pages.
- *Start, stop, restart* are told by the children: each writes the time of its exec into a FIFO that
  it keeps open, and the end of the FIFO is the end of all. s6 and runit start what they find when
  their scanner starts; that is what is timed for them. s6 and runit wait a second before they start
  again what ran for less than that, so the restart row lets everybody run for longer.
- *CPU for a GiB* is that of whoever reads the child's pipe and writes the file.
- *Echo* is from a byte written to the terminal of the client to the same byte read back, through
  client, server and a child that gives each byte back, 400 keys a round, one session after another.
- *Time to prompt* is from the typed command to the prompt after it, in a terminal that reads as
  fast as it can. Those that skip what nobody can read show fewer bytes.
"""


def write(world, table, spent_s):
    PLOTS.mkdir(exist_ok=True)
    text = HEAD + machine(world, spent_s)
    for group in dict.fromkeys(row.group for row in table.rows):
        text += f"\n## {group}\n\n" + section([row for row in table.rows if row.group == group])
    for words in table.incomplete:
        text += f"\n**Not complete**: {words}\n"
    text += pictures(table) + HOW
    if REMARKS.exists():
        text += "\n" + REMARKS.read_text()
    PAGE.write_text(text)
    print(f"written: {PAGE.relative_to(ROOT)}")


def machine(world, spent_s):
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    memory = int(re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))[1]) / 2**20
    commit = output("git", "describe", "--always", "--dirty")
    versions = [f"{name} {version}" for name, version in sorted(world.installed.items())]
    lines = [
        f"- tmd {output(world.tm, '--version').split()[-1]} ({commit}), "
        f"{output('rustc', '--version')}",
        f"- {os.cpu_count()} × {model[1] if model else platform.machine()}, {memory:.0f} GiB, "
        f"Linux {platform.release()}",
        f"- {time.strftime('%Y-%m-%d')}, {world.rounds} rounds, {spent_s / 60:.0f} minutes; "
        f"load in the minutes before it began {world.load_before:.1f}" + noise(world.load_before),
        f"- others: {', '.join(versions) or 'none installed'}",
    ]
    return "\n".join(lines) + "\n"


def noise(load):
    if load > os.cpu_count() / 2:
        warning = "the machine was busy with other things: only ratios mean something, p99 little"
        return f" (**{warning}**)"
    return ""


def output(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def section(rows):
    """Columns: ours, then everybody who appears in the group."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures if name != "tmd"))
    # What stands in one row only is told in that row.
    columns = [name for name in names if sum(name in row.figures for row in rows) > 1]
    head = ["what", "unit", "tmd", *columns, "target", "ratio", ""]
    lines = [head, ["---"] * 2 + ["---:"] * (1 + len(columns)) + ["---", "---:", "---"]]
    notes = []
    for row in rows:
        what = row.what
        for name in names:
            if name in row.figures and name not in columns:
                what += f" ({name}: {show(row.figures[name])})"
        shown = row.ratio()
        cells = [what, row.unit, show(row.ours)]
        cells += [show(row.figures.get(name)) for name in columns]
        cells += [row.target.text if row.target else "", f"{shown:.2f}" if shown else ""]
        lines.append([*cells, row.verdict()])
        if row.note:
            notes.append(f"\n{row.what}: {row.note}.\n")
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return table + "\n" + "".join(notes)


def pictures(table):
    text = "\n## Pictures\n\n"
    for begin, name in PICTURED:
        for row in table.rows:
            if row.what.startswith(begin) and "CPU of" not in row.what:
                file = PLOTS / f"{name}.svg"
                plot.bars(file, row.what.replace("`", ""), row.unit, row.figures)
                text += f"![{row.what}](benchmarks/{name}.svg)\n\n"
    return text.rstrip("\n") + "\n"

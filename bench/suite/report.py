"""Writes docs/benchmarks.md and its plots."""

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

# Rows with a picture: the start of the row's label, the name of the picture.
PICTURED = [
    ("memory (PSS) of its own processes, 1000", "memory"),
    ("1000 children, from the order to the last exec", "start"),
    ("1000 children, from the order to the last exit", "stop"),
    ("restart after a run of more than a second, p50", "restart"),
    ("CPU for a GiB of captured output", "capture"),
    ("echo of a key while attached, p50", "echo"),
    ("`cat` of 100 MB while attached, time to prompt", "cat-attached"),
    ("`cat` of 100 MB while detached", "cat-detached"),
    ("attach to full screen shown", "shown"),
    ("a child writes 20 MB while its only client is stopped", "stalled"),
]

HEAD = """# Figures

`bench/run` writes this page. It compares tmd with minimal C loops (the lower bound, some fifty
lines each, `bench/limits/`) and with other programs, all in one run on one machine. Ratios mean
more than seconds: contenders take turns within each round, so a disturbance affects all of them. A
figure is the median of the rounds unless it says p50, p99 or min. Smaller is better, except for
MB/s.

"""

HOW = """
## How to repeat it

```sh
bench/rivals                    # installs the other programs into target/rivals, nothing elsewhere
bench/run                       # everything, about a quarter of an hour; writes this page
bench/run 2 --only console      # one part, printed to the terminal only
bench/micro                     # instruction counts of small pieces, independent of noise
```

A missing column means that the program was not installed. Text in a cell means that the contender
did not finish. Definitions:

- *Memory* is the sum of PSS over all processes of a supervisor, without its children. Shared pages
  count once. The executable's own pages are included.
- *Start, stop, restart* are reported by the children. Each writes the time of its exec into a FIFO
  and keeps it open; the end of the FIFO is the end of the last child. s6 and runit are timed from
  the start of their scanner, which starts what it finds. They also delay the restart of a process
  that ran for less than a second, so every process in the restart row runs for longer.
- *CPU for a GiB* is the CPU time of the process that reads the child's pipe and writes the file.
- *Echo* is the time from a byte written to the client's terminal to the same byte read back. It
  passes through the client, the server and a child that returns each byte. A round has 400 keys;
  sessions take turns.
- *Time to prompt* is the time from the typed command to the next prompt, in a terminal that reads
  at full speed. Programs that skip output show fewer bytes.
"""


def write(world, table, spent_s):
    PLOTS.mkdir(exist_ok=True)
    text = HEAD + machine(world, spent_s)
    for group in dict.fromkeys(row.group for row in table.rows):
        text += f"\n## {group}\n\n" + section([row for row in table.rows if row.group == group])
    for words in table.incomplete:
        text += f"\n**Incomplete**: {words}\n"
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
        f"load before the run {world.load_before:.1f}" + noise(world.load_before),
        f"- other programs: {', '.join(versions) or 'none installed'}",
    ]
    return "\n".join(lines) + "\n"


def noise(load):
    if load > os.cpu_count() / 2:
        warning = "the machine was busy: trust ratios only, and p99 little"
        return f" (**{warning}**)"
    return ""


def output(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def section(rows):
    """Renders a table: our column first, then one per contender of the group."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures if name != "tmd"))
    # A contender of a single row is named in that row instead of a column.
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

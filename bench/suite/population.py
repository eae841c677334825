"""A thousand children: start, stop, status, memory, idle cost."""

import os
import statistics
import time

from . import processes
from .supervisors import ALL, Bare, Gate, Tmd
from .table import Target, at_most, ratio
from .world import Failed, say, seconds

GROUP = "A thousand children"


def measure(world, table):
    starts(world, table)
    crowd(world, table)


def starts(world, table):
    """Times the daemon (until all are RUNNING) against the bare loop, with pipes and with ptys."""
    for kind in ("pipe", "pty"):
        figures = {"tmd": [], "bare C": []}
        stops = []
        ours = Tmd(world, ["/bin/sleep", "100000"], 1000)
        ours.launch(tty=kind == "pty")
        for _ in range(world.rounds):
            command = (world.spawn, kind, "1000", "/bin/sleep", "100000")
            figures["bare C"].append(world.limit(*command))
            figures["tmd"].append(seconds(ours.up))
            stops.append(seconds(ours.down))
        ours.end()
        what = f"start of 1000 `sleep`s until all are RUNNING, each with a {kind}"
        table.add(GROUP, what, "s", figures, ratio(1.3, "bare C"))
        if kind == "pipe":
            table.add(GROUP, "stop of 1000 obedient children until all are STOPPED", "s",
                      {"tmd": stops}, at_most(1, "s"))


class Figures:
    """Samples of one contender, by what was measured."""

    def __init__(self):
        self.lists = {}
        self.words = {}
        self.out = None

    def add(self, what, value):
        self.lists.setdefault(what, []).append(value)

    def of(self, what):
        return self.lists.get(what) or self.words.get(what) or self.out or ""

    def timed(self, what, action, wanted):
        """Adds the duration of an action, or its error."""
        began = time.perf_counter()
        try:
            action()
        except Failed as failed:
            self.words[what] = str(failed)
            raise
        if wanted:
            self.add(what, time.perf_counter() - began)


# A contender that takes longer for one visit with a thousand children is visited once.
PATIENCE_S = 30


def crowd(world, table):
    """Measures every contender, as reported by the children."""
    figures = {kind.name: Figures() for kind in ALL}
    for number in range(min(world.rounds, 3)):
        for kind in ALL:
            for count in (1, 100, 1000):
                one = figures[kind.name]
                if one.out is not None or (count < 1000 and number > 0):
                    continue
                say(f"population: {kind.name}, {count}, round {number + 1}")
                began = time.monotonic()
                try:
                    visit(world, kind, count, number == 0, one)
                except (Failed, OSError, ValueError, KeyError) as failed:
                    one.out = str(failed) if "not installed" in str(failed) else ""
                    say(f"{kind.name}: {failed}")
                if time.monotonic() - began > PATIENCE_S + 10:
                    one.out = ""

    def add(what, key, unit, target=None):
        row = {name: one.of(key) for name, one in figures.items()}
        table.add(GROUP, what, unit, row, target)

    add("1000 children, from the order to the last exec", "start", "s")
    add("1000 children, from the order to the last exit", "stop", "s")
    for count in (1, 100, 1000):
        bound = 6 + 8 * count / 1024
        target = Target(f"≤ 6 MiB + 8 KiB per child = {bound:.2f}", bound)
        add(f"memory (PSS) of its own processes, {count} children", f"memory{count}", "MiB",
            target)
    add("wakeups in 10 idle seconds, 1000 children", "wakeups", "", at_most(0))
    add("CPU in 10 idle seconds, 1000 children", "idle", "ms", at_most(0, "ms"))
    add("`status` of 1000, by the fastest interface of each", "status", "ms")


def visit(world, kind, count, first, figures):
    """Measures one contender with `count` children, from launch to end."""
    gate = Gate(world.new_folder("gate"))
    one = kind(world, [world.child, "stamp", gate.path], count)
    one.launch()
    try:
        figures.timed("start", lambda: (one.up(), gate.stamps(count)), count == 1000)
        if kind is not Bare and first:
            observe(one, count, figures)
        figures.timed("stop", lambda: (one.down(), gate.all_gone()), count == 1000)
    finally:
        one.end()
        os.close(gate.fd)


def observe(one, count, figures):
    settle(one)
    own = one.own()
    figures.add(f"memory{count}", processes.pss_kib(own) / 1024)
    if count < 1000:
        return
    times = [seconds(one.status) * 1000 for _ in range(5)]
    figures.add("status", statistics.median(times))
    settle(one)
    before = processes.wakeups(own), processes.cpu_s(own)
    time.sleep(10)
    after = processes.wakeups(own), processes.cpu_s(own)
    figures.add("wakeups", processes.more_wakeups(before[0], after[0]))
    figures.add("idle", (after[1] - before[1]) * 1000)


def settle(one):
    """Waits until a second passes without CPU time, for at most ten seconds."""
    own = one.own()
    for _ in range(10):
        before = processes.cpu_s(own)
        time.sleep(1)
        if processes.cpu_s(own) == before:
            return

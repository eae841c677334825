"""Time from `kill -9` to the replacement's exec, reported by the replacement."""

import os
import signal
import time

from .supervisors import RIVALS, Gate, Supervisor, Tmd
from .table import ratio
from .world import Failed, say

GROUP = "Restart"
# s6 and runit delay the restart of a process that ran for less than a second.
REST_S = 1.1


class BareRestart(Supervisor):
    """A loop in C around one program."""

    name = "bare C"

    def launch(self):
        pass

    def up(self):
        self.root = self.world.start(self.world.restart, *self.command)

    def end(self):
        self.root.terminate()
        self.root.wait()


def measure(world, table):
    quick = {"tmd": [], "bare C": []}
    with_rest = {kind.name: [] for kind in (Tmd, BareRestart, *RIVALS)}
    failed = {}
    contenders = []
    for kind in (Tmd, BareRestart, *RIVALS):
        try:
            contenders.append(Contender(world, kind))
        except (Failed, OSError) as words:
            failed[kind.name] = str(words)
            say(f"{kind.name}: {words}")
    for _ in range(2 * world.rounds):
        began = time.monotonic()
        for one in list(contenders):
            try:
                with_rest[one.kind.name].append(one.once() / 1000)
            except Failed as words:
                failed[one.kind.name] = str(words)
                contenders.remove(one)
        for one in contenders[:2]:
            one.forgive()
        for _ in range(40):
            for one in contenders[:2]:
                quick[one.kind.name].append(one.once())
        time.sleep(max(0, REST_S - (time.monotonic() - began)))
    for one in contenders:
        one.end()
    report(table, quick, with_rest, failed)


def report(table, quick, with_rest, failed):
    for name, at in (("p50", 50), ("p99", 99)):
        row = {who: percentile(spans, at) for who, spans in quick.items()}
        table.add(GROUP, f"`kill -9` to the replacement's exec, {name}, in a loop", "µs",
                  row, ratio(1.2, "bare C"))
    row = {who: percentile(spans, 0) for who, spans in quick.items()}
    table.add(GROUP, "the same, min", "µs", row)
    figures = {who: failed.get(who, spans) for who, spans in with_rest.items()}
    table.add(GROUP, "restart after a run of more than a second, p50", "ms", figures)
    worst = {
        who: spans if isinstance(spans, str) else max(spans) for who, spans in figures.items()
    }
    table.add(GROUP, "the same, maximum", "ms", worst)


def percentile(samples, at):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * at // 100)]


class Contender:
    def __init__(self, world, kind):
        self.kind = kind
        self.gate = Gate(world.new_folder("gate"))
        # We keep it open too, so that it does not end between two runs.
        self.holder = os.open(self.gate.path, os.O_WRONLY)
        self.one = kind(world, [world.child, "stamp", self.gate.path], 1)
        self.one.launch()
        self.one.up()
        self.pid = self.gate.stamps(1)[0][0]

    def once(self):
        """Returns the microseconds from the kill to the next exec."""
        killed = time.monotonic_ns()
        os.kill(self.pid, signal.SIGKILL)
        self.pid, started = self.gate.stamps(1, patience_s=30)[-1]
        return (started - killed) / 1000

    def forgive(self):
        if self.one.forgive():
            self.pid = self.gate.stamps(1)[-1][0]

    def end(self):
        self.one.end()

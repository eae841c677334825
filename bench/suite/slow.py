"""Slow clients: their cost for the child, other clients and the daemon, and their recovery."""

import json
import subprocess
import time

from . import processes
from .consoles import Errand, Terminal
from .daemon import Daemon
from .table import at_most, ratio
from .world import Failed, say, wait_until

GROUP = "Slow clients"
WINDOW_S = 5
SLOW_BYTES_A_SECOND = 1000


def measure(world, table):
    windows = 1 if world.quick else 12 if world.long else 4
    folder = world.new_folder("slow")
    errand = Errand(folder, "flood")
    programs = {
        "flood": {"cmd": [world.child, "flood", str(errand.go), str(errand.done)]},
        "echo": {"cmd": [world.child, "echo"]},
    }
    defaults = {"tty": True, "starttime": 0, "stoptime": 1}
    config = {"defaults": defaults, "programs": programs}
    daemon = Daemon(world, folder, json.dumps(config))
    alone, slow, back = [], [], []
    flood_for(world, daemon, errand, 1)
    new_kib = processes.anonymous_kib([daemon.pid])
    # The first screen allocates memory that later ones reuse.
    for client in slow_clients(world, daemon):
        client.end()
    calm_kib = processes.anonymous_kib([daemon.pid])
    grown = 0
    for number in range(windows):
        say(f"slow: window {number + 1} of {windows}")
        alone.append(flood_for(world, daemon, errand, WINDOW_S))
        clients = slow_clients(world, daemon)
        slow.append(flood_for(world, daemon, errand, WINDOW_S))
        grown = max(grown, processes.anonymous_kib([daemon.pid]) - calm_kib)
        back.append(come_back(world, daemon, clients))
        for client in clients:
            client.end()
    daemon.end()
    table.add(GROUP, "growth of the daemon at the first attach, with a full ring", "MiB",
              {"tmd": (calm_kib - new_kib) / 1024})
    report(table, windows, alone, slow, grown, back)


def report(table, windows, alone, slow, grown, back):
    who = "a stopped client and one that reads 1 KB/s"
    alone_name = "tmd, no client"
    what = f"rate of a child that floods for {windows * WINDOW_S} s with {who}"
    row = {"tmd": [one[0] for one in slow], alone_name: [one[0] for one in alone]}
    table.add(GROUP, what, "MB/s", row, ratio(0.95, alone_name, at_least=True))
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        row = {"tmd": of_all(slow, share), alone_name: of_all(alone, share)}
        what = f"echo of another process's console meanwhile, {name}"
        table.add(GROUP, what, "µs", row, ratio(1.05, alone_name))
    # One ring, and the data in flight.
    table.add(GROUP, "growth of the daemon meanwhile", "MiB", {"tmd": grown / 1024},
              at_most(1, "MiB"))
    wrong = [one for one in back if isinstance(one, str)]
    what = "from the end of the flood to the correct screen on both slow clients"
    table.add(GROUP, what, "s", {"tmd": wrong[0] if wrong else back})


def of_all(windows, share):
    """Returns a percentile over all windows: one window has only three keys in its last 1 %."""
    keys = sorted(key for _, window in windows for key in window)
    return keys[int(len(keys) * share)]


def flood_for(world, daemon, errand, span_s):
    """Returns MB per second, and the echo times of another console in µs."""
    errand.order(span_s)
    command = [world.console, "keys", str(span_s * 60), daemon.attach_command("echo")]
    # It settles for a second, then types a key every few milliseconds.
    typist = subprocess.Popen(command, stdout=subprocess.PIPE, env=world.environment, text=True)
    written = int(errand.result(span_s + 30))
    said, _ = typist.communicate(timeout=60)
    return written / span_s / 1e6, [float(key) for key in said.split()]


def slow_clients(world, daemon):
    stopped = Terminal(world, daemon.attach_command("flood"), keep=True)
    narrow = Terminal(world, daemon.attach_command("flood"), keep=True)
    for client in (stopped, narrow):
        wait_until(lambda: client.kept, "attached")  # noqa: B023
    time.sleep(0.3)
    stopped.freeze()
    narrow.bytes_a_second = SLOW_BYTES_A_SECOND
    return stopped, narrow


def come_back(world, daemon, clients):
    """Returns the seconds until both show the process's screen, or an error text."""
    stopped, narrow = clients
    began = time.monotonic()
    stopped.thaw()
    narrow.bytes_a_second = None

    def right():
        shown = daemon.call("peek", process="flood")
        wanted = without_blank_end(shown["lines"])
        return all(screen(world, client) == wanted for client in clients)

    try:
        wait_until(right, "screen", patience_s=10, pause_s=0.05)
    except Failed:
        return "wrong screen"
    return time.monotonic() - began


def screen(world, client):
    command = [str(world.screen), "24", "80"]
    done = subprocess.run(command, input=bytes(client.kept), capture_output=True, check=True)
    return without_blank_end(done.stdout.decode().split("\n"))


def without_blank_end(lines):
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines

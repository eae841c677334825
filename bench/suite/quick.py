"""Interactive use: size, a cold `tm status`, `status` during a flood."""

import json
import shutil
import statistics
import subprocess
import time

from .daemon import Daemon
from .restart import percentile
from .table import at_most
from .world import seconds

GROUP = "At the keyboard"


def measure(world, table):
    sizes(world, table)
    cold(world, table)
    flooded(world, table)


def sizes(world, table):
    """`tm` contains the daemon; `tmd` exists for its name."""
    table.add(GROUP, "size of the executable `tm` (client and daemon)", "MiB",
              {"tmd": world.tm.stat().st_size / 2**20})


def cold(world, table):
    folder = world.new_folder("cold")
    yaml = {"programs": {"s": {"cmd": "sleep 100000", "numprocs": 10, "starttime": 0}}}
    daemon = Daemon(world, folder, json.dumps(yaml))
    command = [world.tm, "status", "--socket", daemon.socket]
    times, bare = [], []
    for _ in range(20 * world.rounds):
        times.append(seconds(lambda: run(command)) * 1000)
        bare.append(seconds(lambda: run(["/bin/true"])) * 1000)
    daemon.end()
    table.add(GROUP, "`tm status` of 10 processes, from fork to exit", "ms",
              {"tmd": times, "/bin/true": bare})


def run(command):
    subprocess.run(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def flooded(world, table):
    """Four children write at full speed through pipes and terminals. An idle daemon is asked in
    turn, to show the latency of the machine itself."""
    folder = world.new_folder("flooded")
    common = {"cmd": f"{world.child} emit 1000000000000", "numprocs": 2, "starttime": 0,
              "stoptime": 1}
    # Output to /dev/null would bypass the daemon, so use a real file.
    logs = {"file": f"{folder}/{{instance}}.log", "max_size": "50MB", "keep": 1}
    programs = {"pipes": {**common, "stdout": logs}, "ptys": {**common, "tty": True}}
    daemon = Daemon(world, folder, json.dumps({"programs": programs}))
    idler = Daemon(world, world.new_folder("idler"), json.dumps({"programs": {}}))
    times, idle = [], []
    until = time.monotonic() + world.rounds
    while time.monotonic() < until:
        times.append(seconds(lambda: daemon.call("status")) * 1000)
        idle.append(seconds(lambda: idler.call("status")) * 1000)
        time.sleep(0.002)
    daemon.end()
    idler.end()
    shutil.rmtree(folder)
    figures = {"tmd": percentile(times, 99), "an idle tmd": percentile(idle, 99)}
    table.add(GROUP, "`status` while 4 children flood, p99", "ms", figures, at_most(5, "ms"))
    medians = {"tmd": statistics.median(times), "an idle tmd": statistics.median(idle)}
    table.add(GROUP, "the same, p50", "ms", medians)

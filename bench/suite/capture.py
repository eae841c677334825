"""Output into a file: throughput next to a bare loop, CPU cost next to other programs."""

import json
import os
import shlex
import shutil

from . import processes
from .daemon import Daemon
from .supervisors import Dekit, Pm2, Supervisord
from .table import ratio
from .world import Failed, say, seconds, wait_until

GROUP = "Output into ring and log"
GIB = 1 << 30


def measure(world, table):
    scale = 10 if world.quick else 1
    throughput(world, table, "pipe", 400 * 10**6 // scale)
    throughput(world, table, "pty", 100 * 10**6 // scale)
    throughput(world, table, "raw pty", 100 * 10**6 // scale)
    cost(world, table, 200 * 10**6 // scale)


def throughput(world, table, channel, size):
    """A child writes at full speed; its output goes through the ring into a log."""
    emit = "emit-raw" if channel == "raw pty" else "emit"
    command = f"{world.child} {emit} {size}"
    tty = channel != "pipe"
    folder = world.new_folder("capture")
    log = folder / "captured.log"
    settings = {
        "cmd": command, "tty": tty, "autostart": False, "autorestart": "never",
        "starttime": 0, "stdout": {"file": str(log), "max_size": 0},
    }
    daemon = Daemon(world, folder, json.dumps({"programs": {"flood": settings}}))
    speed, cpu, note = {"tmd": [], "bare C": []}, {"tmd": [], "bare C": []}, ""
    # A terminal turns each newline into two bytes.
    expected = size + (size // 80 if channel == "pty" else 0)
    for _ in range(3 * world.rounds):
        log.unlink(missing_ok=True)
        daemon.reopen_logs()
        world.touch_memory(expected)
        said = world.run(world.drain, "pty" if tty else "pipe", folder / "bare.log", command)
        bare, bare_cpu = map(float, said.split())
        # Delete the file, or the kernel writes it back while the other one is measured.
        (folder / "bare.log").unlink()
        speed["bare C"].append(size / bare / 1e6)
        cpu["bare C"].append(bare_cpu * 100e6 / size)
        world.touch_memory(expected)
        before = processes.cpu_s([daemon.pid])

        def run():
            daemon.call("start", targets=["flood"])
            daemon.call("wait", targets=["flood"], **{"for": "exited"})

        speed["tmd"].append(size / seconds(run) / 1e6)
        cpu["tmd"].append((processes.cpu_s([daemon.pid]) - before) * 100e6 / size)
        written = log.stat().st_size
        if written != expected:
            note = f"{written} of {expected} bytes are in the log"
    log.unlink()
    daemon.end()
    what = f"{size // 10**6} MB through a {channel} into ring and log"
    table.add(GROUP, what, "MB/s", speed, ratio(0.95, "bare C", at_least=True), note)
    table.add(GROUP, f"CPU of the daemon for 100 MB through a {channel}", "s", cpu,
              ratio(1.2, "bare C"))


def cost(world, table, size):
    """CPU time of the capturing process, without that of the writer."""
    kinds = {
        "tmd": tmd, "supervisord": supervisord, "s6": s6, "runit": runit, "dekit": dekit,
        "pm2": pm2,
    }
    spent = {name: [] for name in kinds}
    failed = {}
    for number in range(min(world.rounds, 3)):
        # Rotate the order: the first contender after a long pause finds cold caches.
        order = list(kinds)[number:] + list(kinds)[:number]
        for name in order:
            if name in failed:
                continue
            say(f"capture: {name}")
            try:
                spent[name].append(once(world, kinds[name], size) * GIB / size)
            except (Failed, OSError, ValueError) as words:
                failed[name] = str(words).split("\n")[0]
                say(f"{name}: {words}")
    figures = {name: failed.get(name, values) for name, values in spent.items()}
    table.add(GROUP, "CPU for a GiB of captured output, a pipe into a log file", "s", figures)


def once(world, start, size):
    """Measures a child that writes on command and then stays, so no supervisor exits early."""
    folder = world.new_folder("cost")
    log = folder / "out.log"
    script = f"read go <{folder}/go; {world.child} emit {size}; exec sleep 100000"
    os.mkfifo(folder / "go")
    one, own, stop = start(world, ["/bin/sh", "-c", script], log)
    try:
        pids = own()
        world.touch_memory(1 * size)
        before = processes.cpu_s(pids)
        with open(folder / "go", "w") as go:
            go.write("go\n")
        wait_until(lambda: size_of(log) >= size, "capture", patience_s=120, pause_s=0.02)
        return processes.cpu_s(pids) - before
    finally:
        stop()
        # Delete the log, or the kernel writes it back while the next one is measured.
        shutil.rmtree(log) if log.is_dir() else log.unlink(missing_ok=True)


def size_of(log):
    """Returns the size of a log, or of all files in a directory of logs."""
    try:
        files = [log] if log.is_file() else list(log.rglob("*"))
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0


def tmd(world, command, log):
    folder = world.new_folder("tmd")
    stdout = {"file": str(log), "max_size": 0}
    settings = {"cmd": command, "starttime": 0, "stdout": stdout, "stoptime": 1}
    daemon = Daemon(world, folder, json.dumps({"programs": {"s": settings}}))
    return daemon, lambda: [daemon.pid], daemon.end


def supervisord(world, command, log):
    one = Supervisord(world, command, 1)
    one.launch(logfile=log)
    one.up()
    return one, one.own, one.end


def s6(world, command, log):
    return logger(world, command, f"exec s6-log -b n2 s1000000000 {log}", "s6-log")


def runit(world, command, log):
    log.mkdir()
    (log / "config").write_text("s1000000000\n")
    return logger(world, command, f"exec svlogd {log}", "svlogd")


def logger(world, command, script, name):
    """Measures a separate logger process behind a pipe, as s6 and runit use them."""
    shell = f"({shlex.join(command)}) | ({script})"
    root = world.start("/bin/sh", "-c", shell)

    def own():
        return [pid for pid in processes.descendants(root.pid) if processes.command(pid) == name]

    def stop():
        for pid in processes.descendants(root.pid):
            os.kill(pid, 15)
        root.wait()

    try:
        wait_until(own, name, patience_s=5)
    except Failed:
        stop()
        raise Failed("not installed") from None
    return root, own, stop


def dekit(world, command, log):
    one = Dekit(world, command, 1)
    one.launch(log={"enabled": True, "file": str(log)})
    one.up()
    return one, one.own, one.end


def pm2(world, command, log):
    one = Pm2(world, command, 1)
    one.launch(logfile=str(log))
    one.up()
    return one, one.own, one.end

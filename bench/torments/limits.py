"""Exhausted resources: descriptors, processes, memory, disks."""

import os
import shutil
import signal
import subprocess
import time

from .daemon import Client, Console, Daemon, eventually, expect, p99


class Skipped(Exception):
    """The scenario cannot run here."""


def descriptors(folder, minutes):
    """EMFILE: starts without a descriptor fail with the reason; everything else continues."""
    daemon = Daemon(folder, """
programs:
  a: {cmd: sleep 100000, numprocs: 40, starttime: 0, startretries: 0}
""", prefix=["prlimit", "--nofile=80:80"])
    failed = eventually("a failed start", lambda: failures(daemon))
    expect("Too many open files" in failed[0]["detail"], f"the reason is missing: {failed[0]}")
    running = [row["name"] for row in daemon.status() if row["state"] == "RUNNING"]
    expect(running, "no process runs")
    # Clients without a descriptor wait until one is free.
    crowd = []
    for _ in range(20):
        client = Client(daemon.socket)
        client.stream.write(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
        client.stream.flush()
        crowd.append(client)
    expect(daemon.row(running[0])["state"] == "RUNNING", "an unrelated process is affected")
    daemon.call("stop", targets=running[:10])
    for client in crowd:
        expect(b'"result"' in client.stream.readline(), "a client was never served")
        client.close()
    reply = daemon.call("start", targets=running[:10])
    expect(all(row["ok"] for row in reply["processes"]), f"no recovery: {reply}")
    daemon.end()
    return {"running": len(running), "failed": len(failed)}


def failures(daemon):
    rows = daemon.status()
    if any(row["state"] in ("STARTING", "STOPPED", "BACKOFF") for row in rows):
        return None
    return [row for row in rows if row["state"] == "FATAL"]


def processes(folder, minutes):
    """EAGAIN from clone: an ordinary user at RLIMIT_NPROC."""
    if os.geteuid() != 0:
        raise Skipped("needs root to switch to a user without processes")
    user = 54_321
    os.chown(folder, user, user)
    daemon = Daemon(folder, """
programs:
  a: {cmd: sleep 100000, numprocs: 30, starttime: 0, startretries: 0}
""", prefix=[
        "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "prlimit", "--nproc=20",
    ])
    failed = eventually("a failed start", lambda: failures(daemon))
    named = "Resource temporarily unavailable" in failed[0]["detail"]
    expect(named, f"the reason is missing: {failed[0]}")
    running = [row["name"] for row in daemon.status() if row["state"] == "RUNNING"]
    daemon.call("stop", targets=running[:5])
    reply = daemon.call("start", targets=[failed[0]["name"]])
    expect(reply["processes"][0]["ok"], f"no recovery: {reply}")
    daemon.end()
    return {"running": len(running), "failed": len(failed)}


def memory(folder, minutes):
    """ENOMEM: if a buffer cannot grow, output is lost and the daemon survives."""
    daemon = Daemon(folder, """
programs:
  steady: {cmd: sleep 100000, starttime: 0}
  hungry: {cmd: '@BIN@/flood 400000000 1000', starttime: 0, numprocs: 4, buffer: 512MiB,
    autorestart: never}
""", prefix=["prlimit", "--as=400000000"])
    done = lambda: all(row["state"] == "EXITED" for row in daemon.status("hungry"))
    eventually("all output to be read", done)
    expect(daemon.row("steady")["restarts"] == 0, "an unrelated process is affected")
    after = daemon.measures()
    daemon.end()
    return {"after": after}


class Disk:
    """A small ext4 file system that can be frozen and filled."""

    def __init__(self, folder, mebibytes=256):
        if os.geteuid() != 0:
            raise Skipped("needs root to mount a file system")
        self.image, self.place = folder / "disk.img", folder / "disk"
        self.place.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(mebibytes << 20)
        made = shutil.which("mkfs.ext4") and subprocess.run(
            ["mkfs.ext4", "-q", "-F", self.image], capture_output=True
        ).returncode == 0
        mounted = made and subprocess.run(
            ["mount", "-o", "loop", self.image, self.place], capture_output=True
        ).returncode == 0
        if not mounted:
            raise Skipped("cannot mount an ext4 image here")

    def freeze(self):
        if subprocess.run(["fsfreeze", "-f", self.place], capture_output=True).returncode != 0:
            raise Skipped("cannot freeze a file system here")

    def thaw(self):
        subprocess.run(["fsfreeze", "-u", self.place], capture_output=True)

    def gone(self):
        self.thaw()
        subprocess.run(["umount", "-l", self.place], capture_output=True)


def frozen_disk(folder, minutes):
    """The logs' disk is frozen for 30 s: nothing gets slower, and lost bytes are counted."""
    disk = Disk(folder)
    try:
        return on_frozen_disk(folder, disk)
    finally:
        disk.gone()


def on_frozen_disk(folder, disk):
    total = 60_000_000
    daemon = Daemon(folder, f"""
defaults: {{starttime: 0}}
programs:
  writer: {{cmd: '@BIN@/flood {total} 1; sleep 100000', shell: true, autostart: false,
    stdout: {{file: '@DIR@/disk/log', max_size: 0}}}}
  shell: {{cmd: cat, tty: true, stdout: '@DIR@/disk/shell'}}
  logged: {{cmd: 'echo up; exec sleep 100000', shell: true, autorestart: always,
    stdout: '@DIR@/disk/logged'}}
  elsewhere: {{cmd: sleep 100000, autorestart: always}}
""")
    events = daemon.follow()
    eventually("all to run", lambda: daemon.row("logged")["state"] == "RUNNING")
    console = Console(daemon.socket, "shell:0")
    console.echo_s(b"before")
    disk.freeze()
    daemon.call("start", targets=["writer"], wait=False)
    spans = {"status": [], "echo": [], "restart": [], "restart_logged": []}
    end = time.monotonic() + 30
    while time.monotonic() < end:
        spans["status"].append(daemon.status_s())
        spans["echo"].append(console.echo_s(b"x"))
        for name, target in [("restart", "elsewhere"), ("restart_logged", "logged")]:
            began = time.perf_counter()
            reply = daemon.call("restart", targets=[target])
            expect(reply["processes"][0]["ok"], f"{target}: {reply}")
            spans[name].append(time.perf_counter() - began)
        time.sleep(0.05)
    disk.thaw()
    lost = 0
    while True:
        event = events.event()
        if event.get("event") == "output_lost" and event.get("process") == "writer:0":
            lost += int(event["detail"].split(": ")[1].split()[0])
            break
    console.close()
    eventually("the kept output to be written", lambda: kept_and_lost(folder, total)[0] is not None)
    kept, marked = kept_and_lost(folder, total)
    expect(marked == lost, f"{marked} marked in the log, {lost} in the event")
    worst = {f"{name}_ms_p99": round(p99(of) * 1000, 2) for name, of in spans.items()}
    expect(worst["status_ms_p99"] < 20 and worst["echo_ms_p99"] < 20, f"slow: {worst}")
    expect(worst["restart_ms_p99"] < 200, f"slow: {worst}")
    daemon.end()
    count = len(spans["restart"])
    return {**worst, "restarts": count, "printed": total, "kept": kept, "lost": lost}


def kept_and_lost(folder, total):
    """Returns the bytes in the log and those marked as lost, once they add up to `total`."""
    kept = lost = 0
    for line in (folder / "disk/log").read_bytes().split(b"\n"):
        if line.startswith(b"[tmd: "):
            lost += int(line.split()[1])
            kept -= 1
    kept += (folder / "disk/log").read_bytes().count(b"\n")
    return (kept, lost) if kept + lost == total else (None, None)

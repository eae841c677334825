"""A private tmd, a bare protocol client, and the kernel's view of both."""

import json
import os
import pathlib
import socket
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Resolved, because programs run in other directories.
BUILT = pathlib.Path(os.environ.get("TM_BIN_DIR") or ROOT / "target/release").resolve()
PATIENCE_S = 60


class Failed(Exception):
    """A check failed."""


def expect(holds, what):
    if not holds:
        raise Failed(what)


def eventually(what, holds, patience_s=PATIENCE_S):
    """Waits until `holds()` returns something true, and returns it."""
    deadline = time.monotonic() + patience_s
    while True:
        found = holds()
        if found:
            return found
        expect(time.monotonic() < deadline, f"{what}: not reached within {patience_s} s")
        time.sleep(0.02)


def p99(values):
    return sorted(values)[max(0, len(values) * 99 // 100 - 1)] if values else 0.0


class Client:
    """One connection: requests and answers, one line each."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rwb")
        self.last_id = 0

    def try_call(self, method, **params):
        """Returns the answer, even if it is an error."""
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        self.stream.write(json.dumps(request).encode() + b"\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            expect(line, f"the daemon closed the connection after {method}")
            answer = json.loads(line)
            if answer.get("id") == self.last_id:
                return answer

    def call(self, method, **params):
        answer = self.try_call(method, **params)
        expect("result" in answer, f"{method}: {answer.get('error')}")
        return answer["result"]

    def event(self):
        """Returns the next event, after `events` with follow."""
        line = self.stream.readline()
        expect(line, "the daemon closed a connection that follows events")
        return json.loads(line).get("params", {})

    def close(self):
        self.stream.close()
        self.socket.close()


class Console:
    """An attached client."""

    def __init__(self, path, process, read_only=False):
        self.client = Client(path)
        answer = self.client.try_call("attach", process=process, read_only=read_only, replay=True)
        expect("result" in answer, f"attach {process}: {answer.get('error')}")
        self.data = b""

    def type(self, text):
        self.client.stream.write(struct.pack(">BBI", 2, 0, len(text)) + text)
        self.client.stream.flush()

    def read_frame(self):
        head = self.client.stream.read(6)
        if len(head) < 6:
            return None
        kind, _, length = struct.unpack(">BBI", head)
        return kind, self.client.stream.read(length)

    def echo_s(self, text):
        """Types a text and returns the seconds until its echo."""
        began = time.perf_counter()
        self.type(text)
        seen = b""
        while text not in seen:
            frame = self.read_frame()
            expect(frame, "the console ended")
            if frame[0] == 1:
                seen += frame[1][8:]
        return time.perf_counter() - began

    def close(self):
        self.client.close()


class Daemon:
    """A running tmd in a directory. `@DIR@` and `@BIN@` in its config become paths."""

    def __init__(self, folder, yaml, prefix=()):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / "tmd.sock"
        self.configure(yaml)
        log = open(self.folder / "tmd.log", "ab")
        config = self.folder / "taskmaster.yaml"
        command = [*prefix, BUILT / "tmd", "-c", config, "--socket", self.socket]
        environment = dict(os.environ, XDG_RUNTIME_DIR=str(self.folder))
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            env=environment,
        )
        self.pid = self.child.pid
        self.client = eventually("tmd to answer", self.connected)

    def connected(self):
        expect(self.child.poll() is None, f"tmd exited:\n{self.log()[-2000:]}")
        try:
            return Client(self.socket)
        except OSError:
            return None

    def configure(self, yaml):
        text = yaml.replace("@DIR@", str(self.folder)).replace("@BIN@", str(BUILT))
        path = self.folder / "taskmaster.yaml"
        partial = self.folder / "taskmaster.partial"
        partial.write_text(text)
        partial.rename(path)

    def log(self):
        return (self.folder / "tmd.log").read_text(errors="replace")

    def call(self, method, **params):
        return self.client.call(method, **params)

    def status(self, *targets):
        return self.call("status", targets=list(targets) or ["all"])["processes"]

    def row(self, process):
        return self.status(process)[0]

    def states(self):
        return {row["name"]: row["state"] for row in self.status()}

    def status_s(self, *targets):
        began = time.perf_counter()
        self.status(*targets)
        return time.perf_counter() - began

    def cross_check(self):
        """Checks that every pid in `status` is a living child. Returns their number."""
        rows = [row for row in self.status() if row["pid"]]
        pids = [row["pid"] for row in rows]
        expect(len(set(pids)) == len(pids), "one pid is shown twice")
        for row in rows:
            if not lives(row["pid"], self.pid):
                # It may have died after the answer. The next answer then shows another pid, or
                # no longer has the process.
                again = [now for now in self.status() if now["name"] == row["name"]]
                lies = [now for now in again if now["pid"] == row["pid"]]
                expect(not lies, f"dead, but shown as alive: {lies}")
        return len(rows)

    def follow(self):
        client = Client(self.socket)
        client.call("events", follow=True)
        return client

    def measures(self):
        """Returns descriptors, zombies, KiB of memory and threads."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return {
            "fds": len(os.listdir(f"/proc/{self.pid}/fd")),
            "zombies": len(zombies_of(self.pid)),
            "rss_kib": int(fields["VmRSS"].split()[0]),
            "anon_kib": int(fields["RssAnon"].split()[0]),
            "threads": int(fields["Threads"]),
        }

    def end(self, patience_s=PATIENCE_S):
        """Shuts down in order, and checks that nothing is left."""
        self.client.try_call("shutdown")
        try:
            code = self.child.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"tmd does not exit:\n{self.log()[-2000:]}") from None
        expect(code == 0, f"tmd exited with {code}:\n{self.log()[-2000:]}")
        left = processes_of(self.socket)
        expect(not left, f"left behind: {left}")
        expect("panicked" not in self.log(), "the daemon panicked")

    def abandon(self):
        """Kills everything that is left after a failure."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        for pid, _ in processes_of(self.socket):
            try:
                os.kill(pid, 9)
            except OSError:
                pass


def stat_of(pid):
    """Returns the state letter and the parent of a process, or None if it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def lives(pid, parent):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX" and stat[1] == parent


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def zombies_of(parent):
    return [pid for pid in pids() if (stat_of(pid) or ("", 0)) == ("Z", parent)]


def processes_of(path):
    """Returns living processes whose environment names this control socket."""
    wanted = f"TM_SOCKET={path}".encode()
    found = []
    for pid in pids():
        try:
            environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if wanted in environ and (stat_of(pid) or "Z")[0] not in "ZX":
            found.append((pid, command.replace(b"\0", b" ").decode(errors="replace")))
    return found

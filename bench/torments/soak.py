"""Everything at once, for a long time: no leak, no wrong answer, no slowdown."""

import os
import pty
import random
import signal
import socket
import statistics
import struct
import subprocess
import time

from .daemon import BUILT, Client, Console, Daemon, Failed, eventually, expect, p99, zombies_of
from .limits import Disk, Skipped
from .plot import draw

# Small buffers are full after a minute, so later growth of memory is a leak.
HEAD = "defaults: {buffer: 16KiB}\nprograms:\n"

CALM = """
  untouched: {cmd: sleep 100000, numprocs: 20, starttime: 0}
  victim: {cmd: sleep 100000, numprocs: 20, starttime: 0, autorestart: always}
  crash: {cmd: '@BIN@/exit_code 1 20', starttime: 0, autorestart: always}
  failing: {cmd: '@BIN@/exit_code 3', startretries: 2}
  missing: {cmd: /no/such/command, startretries: 1}
  tree: {cmd: '@BIN@/fork_tree 2 --ignore-term', starttime: 0, stoptime: 200ms}
  deserted: {cmd: '@BIN@/fork_tree 2 --leader-exits', starttime: 0, autorestart: never}
  closed: {cmd: '@BIN@/close_stdout', starttime: 0}
  shell: {cmd: cat, tty: true, starttime: 0, numprocs: 4, autorestart: always}
  chatter: {cmd: '@BIN@/flood 4000000 100; sleep 0.5', shell: true, starttime: 0,
    autorestart: always, stdout: {file: '@DIR@/logs/chatter', max_size: 1MB, keep: 3}}
  painter: {cmd: 'while :; do
    printf "\\\\033[%dmpaint\\\\033[0m\\\\377\\\\000\\\\n" $((30 + i % 8)); i=$((i + 1));
    sleep 0.01; done', shell: true, tty: true, starttime: 0}
"""

# Fills the 16 MiB disk of its log.
ON_DISK = """
  glutton: {cmd: '@BIN@/flood 3000000 100; sleep 0.3', shell: true, starttime: 0,
    autorestart: always, stdout: {file: '@DIR@/disk/log', max_size: 0}}
"""

BUSY = CALM.replace("numprocs: 4", "numprocs: 9") + """
  newcomer: {cmd: sleep 100000, numprocs: 5, starttime: 0, stdout: '@DIR@/logs/new'}
"""


class Soak:
    def __init__(self, folder, minutes):
        (folder / "logs").mkdir()
        self.disk, self.frozen = None, False
        self.minutes = minutes
        self.random = random.Random(1)
        self.samples, self.latencies = [], []
        self.counts = {}
        self.consoles = []
        self.idle = []
        self.commands = []
        self.turn = 0
        try:
            self.disk = Disk(folder, mebibytes=16)
        except Skipped as why:
            print(f"skipping the full and frozen disk: {why}")
        self.on_disk = ON_DISK if self.disk else ""
        self.daemon = Daemon(folder, HEAD + CALM + self.on_disk)
        (folder / "idle").mkdir()
        # An idle daemon shows the latency of the machine itself.
        self.idler = Daemon(folder / "idle", "programs: {}\n")

    def run(self):
        daemon = self.daemon
        self.settle()
        untouched = self.untouched()
        base = daemon.measures()
        began = time.monotonic()
        torments = [
            self.kill_a_victim, self.reload, self.attach, self.say_garbage, self.stay_half_open,
            self.start_and_stop, self.reopen_logs, self.lose_the_logs, self.follow_and_leave,
            self.pause_the_daemon, self.kill_all_victims, self.scale, self.say_something,
            self.ask, self.resize, self.run_a_client, self.kill_a_client,
        ]
        if self.disk:
            torments += [self.make_room, self.freeze, self.thaw]
        next_sample = began
        while (now := time.monotonic()) < began + self.minutes * 60:
            self.turn += 1
            torment = self.random.choice(torments)
            torment()
            self.counts[torment.__name__] = self.counts.get(torment.__name__, 0) + 1
            if now >= next_sample:
                next_sample = now + 1
                self.sample(now - began)
            time.sleep(0.02)
        self.settle()
        expect(self.untouched() == untouched, "an untouched process has another pid")
        end = eventually("the initial number of descriptors", lambda: self.as_at(base))
        daemon.end()
        self.idler.end()
        return self.verdict(base, end)

    def as_at(self, base):
        """Returns measures if no descriptor or zombie was added, else None."""
        now = self.daemon.measures()
        return now if now["fds"] <= base["fds"] and now["zombies"] == 0 else None

    def settle(self):
        """Closes all clients, restores the first config, and waits until its processes run."""
        for client in self.consoles + self.idle:
            client.close()
        self.consoles, self.idle = [], []
        while self.commands:
            self.kill_a_client()
        self.thaw()
        (self.daemon.folder / "logs").mkdir(exist_ok=True)
        self.daemon.configure(HEAD + CALM + self.on_disk)
        self.daemon.call("reload")
        restless = ["crash", "chatter", "failing", "missing", "deserted"]
        restless += ["glutton"] if self.disk else []
        self.daemon.call("stop", targets=restless)
        self.daemon.call("start", targets=["victim", "shell", "painter", "tree", "closed"])

        def quiet():
            states = self.daemon.states()
            here = not any(name.startswith("newcomer") for name in states)
            return here and set(states.values()) <= {"RUNNING", "STOPPED"}

        eventually("everything to be up or down", quiet)
        restless = ["crash", "chatter"] + (["glutton"] if self.disk else [])
        self.daemon.call("start", targets=restless, wait=False)

    def untouched(self):
        return [row["pid"] for row in self.daemon.status("untouched")]

    def kill_a_victim(self):
        row = self.random.choice(self.daemon.status("victim", "shell", "tree", "painter"))
        if row["pid"]:
            try:
                os.kill(row["pid"], self.random.choice([signal.SIGKILL, signal.SIGSEGV]))
            except ProcessLookupError:
                pass

    def reload(self):
        self.daemon.configure(HEAD + self.random.choice([CALM, BUSY]) + self.on_disk)
        os.kill(self.daemon.pid, signal.SIGHUP)

    def attach(self):
        if len(self.consoles) > 10:
            self.consoles.pop(0).close()
        process = self.random.choice(["shell:0", "shell:1", "painter:0", "chatter:0", "victim:3"])
        try:
            console = Console(self.daemon.socket, process)
            console.type(b"something typed\r" * 20)
            # Half of them never read.
            if self.random.random() < 0.5:
                console.read_frame()
            self.consoles.append(console)
        except OSError:
            pass
        except Failed as failed:
            # The process may be scaled away.
            if "no such process" not in str(failed):
                raise

    def kill_all_victims(self):
        """Kills all victims while the daemon is stopped, so that it sees them at one instant."""
        pids = [row["pid"] for row in self.daemon.status("victim") if row["pid"]]
        os.kill(self.daemon.pid, signal.SIGSTOP)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.kill(self.daemon.pid, signal.SIGCONT)

    def scale(self):
        program = self.random.choice(["victim", "tree", "closed", "shell"])
        at_least = 20 if program == "victim" else 4
        self.daemon.call("scale", program=program, numprocs=self.random.randrange(1, at_least + 9))

    def say_something(self):
        text = "said\n" * self.random.randrange(1, 2000)
        # An error is fine: the process may not be running.
        self.daemon.client.try_call("send", process="shell:0", text=text)

    def ask(self):
        verb = self.random.choice(["peek", "why", "clients", "events", "doctor", "nonsense"])
        process = self.random.choice(["painter:0", "shell:1", "chatter:0", "absent:7"])
        parameters = {"process": process} if verb in ("peek", "why") else {}
        self.daemon.client.try_call(verb, **parameters)

    def resize(self):
        if self.consoles:
            size = struct.pack(">HH", self.random.randrange(400), self.random.randrange(400))
            client = self.random.choice(self.consoles).client.socket
            try:
                client.send(struct.pack(">BBI", 3, 0, len(size)) + size)
            except OSError:
                pass  # Its process has ended.

    def run_a_client(self):
        """Starts a real client, on a terminal that is never read."""
        if len(self.commands) > 8:
            self.kill_a_client()
        arguments = self.random.choice([
            ["attach", "painter:0"], ["attach", "shell:0"], ["attach", "-r", "shell:1"],
            ["logs", "-f"], ["events", "-f"], ["status", "--watch"],
        ])
        ours, theirs = pty.openpty()
        command = subprocess.Popen(
            [BUILT / "tm", "--socket", self.daemon.socket, *arguments], stdin=theirs,
            stdout=theirs, stderr=theirs, start_new_session=True,
        )
        os.close(theirs)
        self.commands.append((command, ours))

    def kill_a_client(self):
        if self.commands:
            command, terminal = self.commands.pop(self.random.randrange(len(self.commands)))
            command.kill()
            command.wait()
            os.close(terminal)

    def make_room(self):
        if not self.frozen:
            (self.daemon.folder / "disk/log").unlink(missing_ok=True)
            os.kill(self.daemon.pid, signal.SIGUSR1)

    def freeze(self):
        # Rarely, or the logs would stay empty.
        if not self.frozen and self.random.random() < 0.1:
            try:
                self.disk.freeze()
            except Skipped:
                return
            self.frozen = True
            self.counts["frozen_disk"] = self.counts.get("frozen_disk", 0) + 1

    def thaw(self):
        if self.frozen:
            self.disk.thaw()
            self.frozen = False

    def say_garbage(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.daemon.socket))
            client.settimeout(5)
            try:
                client.sendall(self.random.randbytes(self.random.randrange(200_000)))
            except OSError:
                pass

    def stay_half_open(self):
        if len(self.idle) > 30:
            self.idle.pop(0).close()
        client = Client(self.daemon.socket)
        client.socket.send(b'{"jsonrpc":"2.0","id":1,"meth')
        self.idle.append(client)

    def follow_and_leave(self):
        client = Client(self.daemon.socket)
        client.call("logs", targets=["all"], follow=True)
        if self.random.random() < 0.5 and len(self.idle) < 30:
            self.idle.append(client)
        else:
            client.close()

    def start_and_stop(self):
        verb = self.random.choice(["start", "stop", "restart"])
        target = self.random.choice(["shell:2", "tree", "failing", "missing", "deserted", "closed"])
        # An error is fine: the process may be scaled away.
        self.daemon.client.try_call(verb, targets=[target], wait=False)

    def reopen_logs(self):
        os.kill(self.daemon.pid, signal.SIGUSR1)

    def pause_the_daemon(self):
        os.kill(self.daemon.pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(self.daemon.pid, signal.SIGCONT)

    def lose_the_logs(self):
        logs = self.daemon.folder / "logs"
        if self.turn % 10 == 0 and logs.exists():
            for entry in logs.iterdir():
                entry.unlink(missing_ok=True)
            try:
                logs.rmdir()
            except OSError:
                pass
        else:
            logs.mkdir(exist_ok=True)

    def sample(self, at_s):
        latencies, idle = [], []
        for _ in range(20):
            latencies.append(self.daemon.status_s() * 1000)
            idle.append(self.idler.status_s() * 1000)
        alive = self.daemon.cross_check()
        sample = {"at_s": round(at_s, 1), "alive": alive, **self.daemon.measures()}
        # A process that has just exited is a zombie until the turn ends, so look twice.
        if sample["zombies"]:
            before = set(zombies_of(self.daemon.pid))
            self.daemon.status()
            sample["zombies"] = len(before & set(zombies_of(self.daemon.pid)))
        sample["status_ms"] = round(max(latencies), 3)
        sample["idle_ms"] = round(max(idle), 3)
        self.latencies += latencies
        self.samples.append(sample)

    def verdict(self, base, end):
        def level(of):
            return statistics.median(sample["anon_kib"] for sample in of)

        count = len(self.samples)
        early = level(self.samples[count // 5 : count * 2 // 5] or self.samples)
        late = level(self.samples[-(count // 5) :] or self.samples)
        growth = late - early
        figures = {
            "minutes": self.minutes,
            "samples": count,
            "anon_kib_early": early,
            "anon_kib_late": late,
            "growth_kib": growth,
            "fds_before": base["fds"],
            "fds_after": end["fds"],
            "zombies_max": max(sample["zombies"] for sample in self.samples),
            "zombies_after": end["zombies"],
            "status_ms_median": round(statistics.median(self.latencies), 3),
            "status_ms_p99": round(p99(self.latencies), 3),
            "idle_daemon_ms_p99": round(p99([s["idle_ms"] for s in self.samples]), 3),
            "torments": self.counts,
        }
        expect(figures["zombies_max"] == 0, f"zombies: {figures}")
        expect(growth <= max(512, early * 0.03), f"memory grows: {figures}")
        return figures


def soak(folder, minutes, picture=None):
    """Runs the soak. Draws the samples into `picture`, also after a failure."""
    run = Soak(folder, minutes)
    try:
        return run.run()
    except (Failed, OSError):
        print(f"last samples: {run.samples[-3:]}\ntorments: {run.counts}")
        print(run.daemon.log()[-3000:])
        raise
    finally:
        if run.disk:
            run.disk.thaw()
        run.daemon.abandon()
        run.idler.abandon()
        for command, _ in run.commands:
            command.kill()
        if run.disk:
            run.disk.gone()
        if picture and run.samples:
            draw(run.samples, run.minutes, picture)

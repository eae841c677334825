"""Supervisors, each behind the same four methods.

`launch` starts the supervisor with `count` copies of one command, stopped if it supports that. `up`
and `down` start and stop all of them. `own` returns the supervisor's processes. Restarts are
immediate if that can be configured.
"""

import http.client
import json
import os
import shlex
import signal
import socket
import xmlrpc.client

from . import processes
from .daemon import Daemon
from .processes import own_below, read
from .world import Failed, wait_until


class Supervisor:
    def __init__(self, world, command, count):
        self.world, self.command, self.count = world, list(map(str, command)), count
        self.folder = world.new_folder(self.name)

    def forgive(self):
        """Restarts the process, so that the row of its short runs ends. Returns whether it did."""
        return False

    def own(self):
        return own_below(self.root.pid)

    def end(self):
        self.root.terminate()
        self.root.wait(timeout=60)


class Tmd(Supervisor):
    name = "tmd"

    def launch(self, stdout="ring", tty=False):
        settings = {
            # Each kill ends a started process, and 100 in a row are not slowed down.
            "starttime": "100us", "restart": {"burst": 100},
            "cmd": self.command, "numprocs": self.count, "autostart": False,
            "autorestart": "always", "stdout": stdout, "tty": tty, "stoptime": 60,
        }
        # JSON is YAML.
        self.daemon = Daemon(self.world, self.folder, json.dumps({"programs": {"s": settings}}))
        self.root = self.daemon.child

    def up(self):
        self.daemon.call("start", targets=["all"])

    def forgive(self):
        self.daemon.call("restart", targets=["all"])
        return True

    def down(self):
        self.daemon.call("stop", targets=["all"])

    def status(self):
        self.daemon.send("status")
        self.daemon.stream.readline()

    def end(self):
        self.daemon.end()


class Bare(Supervisor):
    """No supervisor: a C loop that starts the commands."""

    name = "bare C"

    def launch(self):
        pass

    def up(self):
        command = [self.world.spawn, "pipe", self.count, "stay", *self.command]
        self.root = self.world.start(*command, stdin=-1, stdout=-1)
        self.root.stdout.readline()

    def down(self):
        self.root.stdin.close()
        self.root.wait(timeout=60)

    def end(self):
        pass


class UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def make_connection(self, host):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        return connection


class Supervisord(Supervisor):
    """Starts together with its children, which is much faster than one order per child."""

    name = "supervisord"

    def launch(self, logfile="NONE"):
        self.path = path = self.folder / "s.sock"
        self.config = self.folder / "s.conf"
        self.config.write_text(f"""
[unix_http_server]
file={path}
[supervisord]
nodaemon=true
minfds=20000
logfile={self.folder}/s.log
pidfile={self.folder}/s.pid
childlogdir={self.folder}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:s]
command={shlex.join(self.command)}
process_name=%(process_num)d
numprocs={self.count}
autorestart=true
startsecs=0
stopwaitsecs=60
stdout_logfile={logfile}
stdout_logfile_maxbytes=0
stderr_logfile=NONE
""")

    def up(self):
        self.root = self.world.start("supervisord", "-n", "-c", self.config)
        path = self.path
        wait_until(path.exists, "supervisord")
        self.proxy = xmlrpc.client.ServerProxy("http://x/RPC2", UnixTransport(str(path)))
        wait_until(self.answers, "supervisord")

    def answers(self):
        try:
            return bool(self.proxy.supervisor.getState())
        except OSError:
            return False

    def down(self):
        self.proxy.supervisor.stopAllProcesses(False)

    def status(self):
        self.proxy.supervisor.getAllProcessInfo()


class Folders(Supervisor):
    """s6 and runit: one directory per service. The scanner starts each of them."""

    def launch(self):
        self.services = self.folder / "services"
        self.services.mkdir()
        for number in range(self.count):
            service = self.services / f"s{number}"
            service.mkdir()
            run = service / "run"
            run.write_text(f"#!/bin/sh\nexec {shlex.join(self.command)}\n")
            run.chmod(0o755)

    def up(self):
        self.root = self.world.start("runsvdir", "-P", self.services)

    def end(self):
        if self.root.poll() is None:
            self.down()


class S6(Folders):
    """Mounts s6-supervise at the path that Debian compiles into s6-svscan."""

    name = "s6"

    def up(self):
        command = ["s6-svscan", "-c", "2000", str(self.services)]
        if not os.path.exists("/usr/bin/s6-supervise"):
            lower = f"{self.world.rivals}/root/usr/bin:/usr/bin"
            script = f'mount -t overlay overlay -o "lowerdir={lower}" /usr/bin && exec "$@"'
            rights = [] if os.getuid() == 0 else ["--map-root-user"]
            command = ["unshare", "--mount", *rights, "/bin/sh", "-c", script, "sh", *command]
        self.root = self.world.start(*command)

    def down(self):
        self.root.send_signal(signal.SIGTERM)
        self.root.wait(timeout=120)

    def status(self):
        names = sorted(str(service) for service in self.services.iterdir())
        script = 'for s do s6-svstat "$s"; done'
        self.world.run("/bin/sh", "-c", script, "sh", *names)


class Runit(Folders):
    name = "runit"

    def down(self):
        self.root.send_signal(signal.SIGHUP)
        self.root.wait(timeout=120)

    def status(self):
        names = sorted(str(service) for service in self.services.iterdir())
        self.world.run("sv", "status", *names)


class Dekit(Supervisor):
    name = "dekit"

    def launch(self, log=False):
        task = {"cmd": self.command, "autorestart": "always", "log": log}
        tasks = {f"s{number}": task for number in range(self.count)}
        (self.folder / "dekit.yaml").write_text(json.dumps({"tasks": tasks}))
        self.root = self.world.start("dekit", "runner", "run", "--dir", self.folder)
        wait_until(self.answers, "dekit")

    def verb(self, *words):
        return self.world.run("dekit", "-C", self.folder, *words, cwd=self.folder)

    def answers(self):
        try:
            self.verb("ls")
            return True
        except Failed as failed:
            if "not installed" in str(failed):
                raise
            return False

    def up(self):
        self.verb("start", "**")

    def down(self):
        self.verb("stop", "**")

    def status(self):
        self.verb("ls")

    def end(self):
        self.verb("runner", "stop")
        self.root.wait(timeout=60)


class Pm2(Supervisor):
    name = "pm2"

    def launch(self, logfile="/dev/null"):
        self.environment = {**self.world.environment, "PM2_HOME": str(self.folder / "pm2")}
        apps = [
            {
                "name": f"s{number}", "script": self.command[0], "args": self.command[1:],
                "interpreter": "none", "out_file": logfile, "error_file": "/dev/null",
                "autorestart": True, "kill_timeout": 60000,
            }
            for number in range(self.count)
        ]
        self.apps = self.folder / "apps.json"
        self.apps.write_text(json.dumps({"apps": apps}))
        self.verb("ping")
        self.daemon_pid = int(read(self.folder / "pm2/pm2.pid"))

    def verb(self, *words):
        world = self.world
        keep, world.environment = world.environment, self.environment
        try:
            return world.run("pm2", *words, timeout_s=45)
        finally:
            world.environment = keep

    def own(self):
        return own_below(self.daemon_pid)

    def up(self):
        self.verb("start", self.apps)

    def down(self):
        self.verb("stop", "all")

    def status(self):
        self.verb("jlist")

    def end(self):
        """Kills everything: `pm2 kill` takes minutes with many children."""
        below = processes.descendants(self.daemon_pid)
        for pid in [self.daemon_pid, *below]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


ALL = (Tmd, Bare, Supervisord, S6, Runit, Dekit, Pm2)
RIVALS = (Supervisord, S6, Runit, Dekit, Pm2)


class Gate:
    """A FIFO that shows when children run and end: each writes a stamp and keeps it open."""

    def __init__(self, folder):
        self.path = folder / "gate"
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.rest = b""

    def stamps(self, count, patience_s=120.0):
        """Returns the next `count` pairs of pid and CLOCK_MONOTONIC in nanoseconds."""
        lines = []

        def enough():
            try:
                self.rest += os.read(self.fd, 65536)
            except BlockingIOError:
                pass
            *whole, self.rest = self.rest.split(b"\n")
            lines.extend(whole)
            return len(lines) >= count

        wait_until(enough, "starting", patience_s, pause_s=0.0005)
        return [tuple(map(int, line.split())) for line in lines]

    def all_gone(self, patience_s=120.0):
        def closed():
            try:
                return os.read(self.fd, 65536) == b""
            except BlockingIOError:
                return False

        wait_until(closed, "ending", patience_s, pause_s=0.0005)

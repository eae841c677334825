"""Programs with terminals to attach to, each behind the same methods.

`create` starts a session that runs a command, without a client. `attach_command` returns the
command that a user types to attach. `servers` returns the processes that hold the sessions.
"""

import fcntl
import json
import os
import pty
import shlex
import signal
import struct
import subprocess
import termios
import threading

from . import processes
from .daemon import Daemon
from .world import wait_until


class Raw:
    """A terminal with nothing in between: the lower bound. It has no sessions."""

    name = "raw pty"

    def __init__(self, world):
        self.world = world
        self.commands = {}

    def create(self, session, command):
        self.commands[session] = shlex.join(map(str, command))

    def attach_command(self, session):
        return f"exec {self.commands[session]}"

    def servers(self):
        return []


class Dtach:
    """One server per session."""

    name = "dtach"

    def __init__(self, world):
        self.world, self.folder = world, world.new_folder(self.name)

    def create(self, session, command):
        path = self.folder / session
        self.world.run("dtach", "-n", path, "-Ez", *command)
        wait_until(path.exists, "dtach")

    def attach_command(self, session):
        return f"exec dtach -a {self.folder / session} -Ez -r none"

    def servers(self):
        mine = str(self.folder).encode()
        below = processes.descendants(os.getpid())
        return [
            pid for pid in below
            if processes.command(pid) == "dtach" and mine in arguments_of(pid)
            and b"-n" in arguments_of(pid)
        ]


def arguments_of(pid):
    return processes.read(f"/proc/{pid}/cmdline").encode()


class Tmux:
    name = "tmux"

    def __init__(self, world):
        self.world, self.folder = world, world.new_folder(self.name)
        self.config = self.folder / "tmux.conf"
        self.config.write_text("set -g status off\nset -s escape-time 0\n")
        self.base = ["tmux", "-f", self.config, "-S", self.folder / "socket"]

    def create(self, session, command):
        size = ["-x", "80", "-y", "24"]
        words = shlex.join(map(str, command))
        self.world.run(*self.base, "new-session", "-d", "-s", session, *size, words)

    def attach_command(self, session):
        return "exec " + shlex.join(map(str, [*self.base, "attach", "-t", session]))

    def servers(self):
        shown = self.world.run(*self.base, "display-message", "-p", "#{pid}")
        return [int(shown)]


class Screen:
    """One server per session."""

    name = "screen"

    def __init__(self, world):
        self.world, self.folder = world, world.new_folder(self.name)
        self.folder.chmod(0o700)
        world.environment["SCREENDIR"] = str(self.folder)
        self.config = self.folder.parent / "screenrc"
        self.config.write_text("startup_message off\nvbell off\n")

    def create(self, session, command):
        self.world.run("screen", "-c", self.config, "-dmS", session, *command)
        found = lambda: any(self.folder.glob(f"*.{session}"))  # noqa: E731
        wait_until(found, "screen")

    def attach_command(self, session):
        return f"exec screen -c {self.config} -r {session}"

    def servers(self):
        return [int(path.name.split(".")[0]) for path in self.folder.glob("*.*")]


class Shpool:
    name = "shpool"

    def __init__(self, world):
        self.world, self.folder = world, world.new_folder(self.name)
        self.socket = self.folder / "socket"
        config = self.folder / "config.toml"
        config.write_text('prompt_prefix = ""\nnoread_etc_environment = true\n')
        self.base = ["shpool", "-s", self.socket, "-c", config]
        self.root = world.start(*self.base, "daemon")
        wait_until(self.socket.exists, "shpool")

    def create(self, session, command):
        words = shlex.join(map(str, command))
        attach = [*self.base, "attach", "-b", "-c", words, session]
        self.world.run(*attach, timeout_s=20)

    def attach_command(self, session):
        """Waits until shpool has noticed that the previous client is gone."""
        def free():
            listed = self.world.run(*self.base, "list").split("\n")
            return any(line.split() == [session, "disconnected"] for line in listed)

        wait_until(free, "shpool", patience_s=10, pause_s=0.05)
        return "exec " + shlex.join(map(str, [*self.base, "attach", session]))

    def servers(self):
        return [self.root.pid]


class Tm:
    """One daemon. A session is a program that a reload adds."""

    name = "tmd"

    def __init__(self, world):
        self.world, self.folder = world, world.new_folder(self.name)
        self.programs = {"first": {"cmd": "sleep 100000", "starttime": 0}}
        self.daemon = Daemon(world, self.folder, self.text())

    def text(self):
        return json.dumps({"programs": self.programs})

    def create(self, session, command):
        self.programs[session] = {
            "cmd": list(map(str, command)), "tty": True, "starttime": 0, "autorestart": "never",
            "stoptime": 1,
        }
        self.daemon.config.write_text(self.text())
        self.daemon.call("reload")

    def attach_command(self, session):
        return self.daemon.attach_command(session)

    def servers(self):
        return [self.daemon.pid]


ALL = (Tm, Raw, Dtach, Tmux, Screen, Shpool)


class Terminal:
    """Our own terminal with a command on it, read at a chosen speed."""

    def __init__(self, world, command, keep=False):
        """`keep` stores all output instead of the last 4 KiB."""
        self.kept = bytearray()
        self.keep = keep
        self.bytes_a_second = None
        self.stopping = threading.Event()
        self.gone = threading.Event()
        self.paused = threading.Event()
        self.master, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.child = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=theirs, stdout=theirs, stderr=theirs,
            env=world.environment, start_new_session=True, preexec_fn=take_terminal,
        )
        os.close(theirs)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while not self.stopping.is_set():
            slow = self.bytes_a_second
            if self.paused.is_set():
                self.stopping.wait(0.02)
                continue
            if slow:
                self.stopping.wait(0.1)
            try:
                got = os.read(self.master, slow // 10 if slow else 65536)
            except OSError:
                break
            if self.keep:
                self.kept += got
            elif got:
                self.kept[:] = (self.kept + got)[-4096:]
        self.gone.set()

    def shows(self, text, patience_s=20.0):
        wait_until(lambda: text in bytes(self.kept), f"{text!r}", patience_s)

    def freeze(self):
        """Stops the client, and stops reading its output."""
        self.paused.set()
        os.kill(self.child.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.child.pid, signal.SIGCONT)
        self.paused.clear()

    def end(self):
        self.stopping.set()
        for number in (signal.SIGCONT, signal.SIGHUP, signal.SIGKILL):
            try:
                os.kill(self.child.pid, number)
            except ProcessLookupError:
                break
            try:
                self.child.wait(timeout=0.01 if number == signal.SIGCONT else 0.5)
                break
            except subprocess.TimeoutExpired:
                continue
        # A blocked read returns when the other side closes. Leave the descriptor open otherwise.
        if self.gone.wait(1):
            os.close(self.master)


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Errand:
    """A child that writes to its terminal on command, and reports when it is done."""

    def __init__(self, folder, name):
        self.go, self.done = folder / f"{name}.go", folder / f"{name}.done"
        os.mkfifo(self.go)
        os.mkfifo(self.done)
        # Kept open, so that neither side blocks in open().
        self.answers = os.open(self.done, os.O_RDWR | os.O_NONBLOCK)

    def order(self, text):
        with open(self.go, "w") as go:
            go.write(f"{text}\n")

    def result(self, patience_s):
        said = b""

        def whole():
            nonlocal said
            try:
                said += os.read(self.answers, 4096)
            except BlockingIOError:
                pass
            return said.endswith(b"\n")

        wait_until(whole, "blocked", patience_s, pause_s=0.0005)
        return said.decode().strip()

    def close(self):
        os.close(self.answers)

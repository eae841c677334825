"""Paths of our binaries, the limits and the rivals, and the directory of the run."""

import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MIB = 1 << 20
LIMITS = ("spawn", "drain", "restart", "child", "console")


class Failed(Exception):
    """A measurement failed. The message goes into the table."""


class World:
    """Common to all measurements."""

    def __init__(self, folder, arguments):
        self.folder = pathlib.Path(folder)
        # Taken now: later, the load is mostly our own.
        self.load_before = os.getloadavg()[1]
        self.rounds = arguments.rounds
        self.quick = arguments.quick
        self.long = arguments.long
        self.rivals = pathlib.Path(os.environ.get("TMD_RIVALS", ROOT / "target/rivals"))
        self.installed = dict(
            line.split(" ", 1)
            for line in (self.rivals / "installed").read_text().splitlines()
        ) if (self.rivals / "installed").exists() else {}
        self.environment = self.clean_environment()
        self.folders = 0

    def clean_environment(self):
        """Hides the user's environment, so that rivals keep sockets and files in our directory."""
        rivals, home = self.rivals, self.folder / "home"
        (home / "run").mkdir(parents=True, mode=0o700)
        path = [rivals / "venv/bin", rivals / "root/usr/bin", rivals / "root/usr/sbin"]
        path += [rivals / "npm/node_modules/.bin", rivals / "cargo/bin", rivals / "go/bin"]
        return {
            "PATH": ":".join(map(str, path)) + ":" + os.environ["PATH"],
            "LD_LIBRARY_PATH": str(rivals / "root/usr/lib/x86_64-linux-gnu"),
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
        }

    def build(self):
        """Builds our release binaries, and the limits."""
        cargo = ["cargo", "build", "--release", "--quiet"]
        cargo += ["--package", "taskmaster", "--package", "taskmaster-bench"]
        subprocess.run(cargo, cwd=ROOT, check=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
        self.tm, self.tmd = target / "tm", target / "tmd"
        self.screen = target / "bench_screen"
        for name in LIMITS:
            built = self.folder / name
            source = ROOT / "bench/limits" / f"{name}.c"
            subprocess.run(["cc", "-O2", "-o", built, source], check=True)
            setattr(self, name, str(built))

    def new_folder(self, name):
        self.folders += 1
        folder = self.folder / f"{name}-{self.folders}"
        folder.mkdir()
        return folder

    def touch_memory(self, size):
        """Makes the machine back page cache for `size` bytes. In a virtual machine this is the most
        expensive part of writing a file, and the first writer would pay for it."""
        path = self.folder / "touched"
        with open(path, "wb") as file:
            # Write more than that: the kernel does not always reuse the pages freed last.
            for _ in range(4 * size // MIB):
                file.write(bytes(MIB))
        path.unlink()

    def run(self, *command, timeout_s=120, **options):
        """Runs a command to its end and returns its output."""
        command = list(map(str, command))
        try:
            done = subprocess.run(
                command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=timeout_s, **options
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"> {timeout_s:g} s") from None
        except FileNotFoundError:
            raise Failed("not installed") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise Failed(f"{command[0].rpartition('/')[2]}: {said[-1] if said else 'failed'}")
        return done.stdout

    def start(self, *command, **options):
        """Starts a long-running command. Its output goes to a file in our directory."""
        log = open(self.folder / "rivals.log", "ab")
        settings = dict(stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        settings.update(options)
        try:
            return subprocess.Popen(list(map(str, command)), **settings)
        except FileNotFoundError:
            raise Failed("not installed") from None

    def limit(self, *command):
        return float(self.run(*command))


def seconds(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def wait_until(condition, what, patience_s=30.0, pause_s=0.002):
    until = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > until:
            raise Failed(f"{what}: > {patience_s:g} s")
        time.sleep(pause_s)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

"""Attached and detached: keys, floods, pastes, next to other programs and a raw terminal."""

import time

from . import processes
from .consoles import ALL, Errand, Raw, Terminal
from .table import at_most, ratio
from .world import Failed, say, seconds, wait_until

GROUP = "Consoles"
LINE = b"0123456789" * 8


class Stage:
    """The available contenders, and the errors of the others."""

    def __init__(self, world):
        self.world = world
        self.failed = {}
        self.here = []
        self.dtach_attached_s = None
        for kind in ALL:
            try:
                one = kind(world)
                one.create("trial", ["/bin/sleep", "100000"])
                self.here.append(one)
            except (Failed, OSError) as failed:
                words = str(failed).split("\n")[0]
                known = kind.name in world.installed or not world.installed
                self.failed[kind.name] = words if known else "not installed"
                say(f"{kind.name}: {failed}")

    def each(self, what, measure, contenders=None, **per_round):
        """Measures every contender in turn. Returns samples and errors."""
        samples, failed = {}, dict(self.failed)
        for number in range(per_round.get("rounds", min(self.world.rounds, 3))):
            for one in contenders or self.here:
                if one.name in failed:
                    continue
                say(f"{what}: {one.name}, round {number + 1}")
                try:
                    samples.setdefault(one.name, []).append(measure(one, number))
                except (Failed, OSError) as words:
                    failed[one.name] = str(words).split("\n")[0]
                    say(f"{one.name}: {words}")
        return samples, failed


def measure(world, table):
    stage = Stage(world)
    for part in PARTS.values():
        part(world, table, stage)


def measure_part(name):
    return lambda world, table: PARTS[name](world, table, Stage(world))


def write_megabytes(world, count):
    """Writes `count` megabytes of lines into a file; a tenth of that with --quick."""
    path = world.new_folder("text") / "lines"
    return write_text(path, count * 10**6 // (10 if world.quick else 1))


def write_text(path, size):
    path.write_bytes((LINE[:79] + b"\n") * (size // 80))
    return path


def figures(samples, failed, pick=lambda sample: sample):
    row = {name: [pick(one) for one in all_of] for name, all_of in samples.items()}
    return {**row, **failed}


def echo(world, table, stage):
    """All contenders are attached at once; keys are typed one at a time, in turn."""
    for one in stage.here:
        one.create("echo", [world.child, "echo"])
    samples = {one.name: [] for one in stage.here}
    keys = 100 if world.quick else 400
    for number in range(world.rounds):
        say(f"echo: round {number + 1}")
        commands = [one.attach_command("echo") for one in stage.here]
        lines = world.run(world.console, "echo", keys, *commands).splitlines()
        for one, line in zip(stage.here, lines):
            samples[one.name].append(tuple(map(float, line.split())))
    lowest = {name: min(one[0] for one in all_of) for name, all_of in samples.items()}
    what = "echo of a key while attached"
    table.add(GROUP, f"{what}, min", "µs", {**lowest, **stage.failed}, ratio(1.0, "dtach"))
    for at, name, bound in ((1, "p50", 1.0), (2, "p99", 1.5)):
        row = figures(samples, stage.failed, lambda one: one[at])
        table.add(GROUP, f"{what}, {name}", "µs", row, ratio(bound, "dtach"))


def shown(world, table, stage):
    """Time from the start of the client until the process's last output is on the screen."""
    for one in stage.here:
        one.create("paint", [world.child, "paint", 400000])
    time.sleep(1)
    # These draw no screen, so the wait would never end.
    drawing = [one for one in stage.here if one.name not in ("dtach", "raw pty")]

    def once(one, _):
        command = one.attach_command("paint")
        said = world.run(world.console, "show", "painted", command, timeout_s=5)
        return float(said.split()[0]) * 1000

    samples, failed = stage.each("shown", once, drawing, rounds=3 * world.rounds)
    row = {**figures(samples, failed), "dtach": "never"}
    table.add(GROUP, "attach to full screen shown, with a full ring", "ms", row, at_most(5, "ms"))


def flood_attached(world, table, stage):
    """Time from `cat` typed at a shell to the next prompt."""
    path = write_megabytes(world, 100)
    for one in stage.here:
        one.create("shell", ["/bin/sh"])
    script = f"cat {path}; printf 'PRO%s\\n' MPT\n"
    grown = {}

    def once(one, number):
        servers = one.servers()
        before = processes.cpu_s(servers), processes.anonymous_kib(servers)
        command = one.attach_command("shell")
        said = world.run(world.console, "say", script, "PROMPT", command)
        after = processes.cpu_s(servers), processes.anonymous_kib(servers)
        if number == 0:
            grown[one.name] = (after[1] - before[1]) / 1024
        spent, count = said.split()[:2]
        return float(spent), after[0] - before[0], int(count) / 1e6

    samples, failed = stage.each("cat attached", once)
    size = path.stat().st_size // 10**6
    what = f"`cat` of {size} MB while attached"
    row = figures(samples, failed, lambda one: one[0])
    stage.dtach_attached_s = row.get("dtach")
    table.add(GROUP, f"{what}, time to prompt", "s", row, ratio(1.5, "raw pty"))
    cpu = figures(samples, failed, lambda one: one[1])
    table.add(GROUP, f"{what}, CPU of the server", "s", {**cpu, "raw pty": ""})
    shown_mb = figures(samples, failed, lambda one: one[2])
    table.add(GROUP, f"{what}, bytes that reached the terminal", "MB", shown_mb)
    table.add(GROUP, f"{what}, growth of the server", "MiB", {**grown, "raw pty": ""})


def errand_of(world, one, name, path):
    errand = Errand(world.new_folder("errand"), name)
    script = f"while read go <{errand.go}; do cat {path}; echo done >{errand.done}; done"
    one.create(name, ["/bin/sh", "-c", script])
    return errand


def flood_detached(world, table, stage):
    """Floods without a client. The raw terminal is a bare loop that reads and discards."""
    path = write_megabytes(world, 100)
    contenders = [one for one in stage.here if one.name != Raw.name]
    errands = {one.name: errand_of(world, one, "detached", path) for one in contenders}

    def once(one, _):
        if one.name == Raw.name:
            said = world.run(world.drain, "pty", "/dev/null", f"cat {path}")
            return tuple(map(float, said.split()))
        servers = one.servers()
        before = processes.cpu_s(servers)
        errand = errands[one.name]
        spent = seconds(lambda: (errand.order("go"), errand.result(60)))
        return spent, processes.cpu_s(servers) - before

    samples, failed = stage.each("cat detached", once)
    size = path.stat().st_size // 10**6
    what = f"`cat` of {size} MB while detached"
    row = figures(samples, failed, lambda one: one[0])
    row["dtach, attached"] = stage.dtach_attached_s or "not measured"
    table.add(GROUP, f"{what}", "s", row, ratio(0.8, "dtach, attached"))
    cpu = figures(samples, failed, lambda one: one[1])
    table.add(GROUP, f"{what}, CPU of the server", "s", cpu, at_most(0.25 * size / 100, "s"))


def stalled(world, table, stage):
    """The client is stopped while the child writes. More than 5 s counts as blocked."""
    path = write_megabytes(world, 20)
    patience_s = 5
    contenders = [one for one in stage.here if one.name != Raw.name]
    errands = {one.name: errand_of(world, one, "stalled", path) for one in contenders}

    def once(one, _):
        errand = errands[one.name]
        alone = seconds(lambda: (errand.order("go"), errand.result(60)))
        servers = one.servers()
        before = processes.anonymous_kib(servers)
        client = Terminal(world, one.attach_command("stalled"))
        time.sleep(0.5)
        client.freeze()
        try:
            spent = seconds(lambda: (errand.order("go"), errand.result(patience_s)))
            grown = (processes.anonymous_kib(servers) - before) / 1024
        except Failed:
            raise Failed(f"blocked (> {patience_s} s)") from None
        finally:
            client.end()
        return spent, alone, grown

    samples, failed = stage.each("stalled", once, contenders)
    size = path.stat().st_size // 10**6
    row = figures(samples, {**failed, "raw pty": "blocked"}, lambda one: one[0])
    row["tmd, no client"] = [one[1] for one in samples.get("tmd", [])]
    what = f"a child writes {size} MB while its only client is stopped"
    table.add(GROUP, what, "s", row, ratio(1.05, "tmd, no client"))
    grown = figures(samples, failed, lambda one: one[2])
    table.add(GROUP, "the same, growth of the server", "MiB", grown)


def paste(world, table, stage):
    """A megabyte is pasted into a child that sleeps for two seconds first."""

    def once(one, number):
        session = f"paste{number}"
        one.create(session, [world.child, "paste", 10**6, 2])
        command = one.attach_command(session)
        try:
            said = world.run(world.console, "paste", 10**6, "paste:", command, timeout_s=15)
        except Failed:
            raise Failed("lost") from None
        spent, _, wrong = said.split()[:3]
        if wrong != "0":
            raise Failed(f"{wrong} bytes wrong")
        return float(spent)

    samples, failed = stage.each("paste", once)
    row = figures(samples, failed)
    what = "1 MB pasted into a child that pauses 2 s, until all of it arrived"
    table.add(GROUP, what, "s", row, ratio(1.1, "raw pty"))


def clients(world, table, stage):
    """Memory that each client costs its server."""
    count = 10 if world.quick else 50
    row = dict(stage.failed)
    for one in stage.here:
        # As used here, screen and shpool take one client per session.
        if one.name not in ("tmd", "dtach", "tmux"):
            continue
        say(f"clients: {one.name}")
        one.create("clients", [world.child, "echo"])
        servers = one.servers()
        before = processes.anonymous_kib(servers)
        terminals = [Terminal(world, one.attach_command("clients")) for _ in range(count)]
        wait_until(lambda: all(terminal.kept for terminal in terminals), "clients", 20)
        time.sleep(1)
        row[one.name] = (processes.anonymous_kib(servers) - before) / count
        for terminal in terminals:
            terminal.end()
    table.add(GROUP, f"memory of the server per attached client, with {count}", "KiB", row,
              at_most(16, "KiB"))


PARTS = {
    "echo": echo,
    "shown": shown,
    "attached": flood_attached,
    "detached": flood_detached,
    "stalled": stalled,
    "paste": paste,
    "clients": clients,
}

"""Scenarios: an attack on a daemon, and checks during and after it.

Each takes an empty directory and the minutes that a long scenario may use, and returns figures.
"""

import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import threading
import time

from .daemon import BUILT, Client, Console, Daemon, eventually, expect, p99, stat_of

STATUS_MS_MAX = 5


def kills(folder, minutes):
    """Kills random children and clients under load; checks status against /proc."""
    daemon = Daemon(folder, """
defaults: {autorestart: always, starttime: 0}
programs:
  victim: {cmd: sleep 100000, numprocs: 200}
  shell: {cmd: cat, tty: true, numprocs: 20}
  flood: {cmd: '@BIN@/flood', numprocs: 2}
""")
    base = settled(daemon)
    chance, clients, killed, checks, latencies = random.Random(2), [], [0, 0], 0, []
    end = time.monotonic() + minutes * 60
    next_check = 0
    while (now := time.monotonic()) < end:
        row = chance.choice(daemon.status("victim", "shell", "flood"))
        if row["pid"]:
            kill(row["pid"], signal.SIGKILL)
            killed[0] += 1
        while len(clients) < 8:
            clients.append(client_of(daemon, chance.choice(CLIENTS)))
        if chance.random() < 0.1:
            client = clients.pop(chance.randrange(len(clients)))
            client.kill()
            client.wait()
            killed[1] += 1
        if now >= next_check:
            next_check = now + 1
            daemon.cross_check()
            checks += 1
        latencies.append(daemon.status_s("victim:0") * 1000)
        time.sleep(0.005)
    for client in clients:
        client.kill()
        client.wait()
    figures = {"children_killed": killed[0], "clients_killed": killed[1], "checks": checks}
    end = eventually("the initial state", lambda: as_before(daemon, base))
    restarts = sum(row["restarts"] for row in daemon.status())
    expect(restarts >= killed[0] * 0.9, f"{killed[0]} killed, {restarts} restarts")
    daemon.end()
    return {**figures, "status_ms_p99": round(p99(latencies), 3), "before": base, "after": end}


CLIENTS = [["logs", "-f"], ["logs", "-f", "flood"], ["events", "-f"], ["status", "--watch"]]


def client_of(daemon, arguments):
    return subprocess.Popen(
        [BUILT / "tm", "--socket", daemon.socket, *arguments], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def settled(daemon):
    """Waits until all processes are RUNNING, then measures."""
    eventually("all to run", lambda: set(daemon.states().values()) == {"RUNNING"})
    return daemon.measures()


def as_before(daemon, base):
    """Returns measures if all processes run and no descriptor was added, else None."""
    now = daemon.measures()
    calm = set(daemon.states().values()) == {"RUNNING"} and now["zombies"] == 0
    return now if calm and now["fds"] <= base["fds"] else None


def exits(folder, minutes):
    """Two thousand processes exit at the same instant; no answer shows a dead one as alive."""
    daemon = Daemon(folder, """
defaults: {starttime: 0, cmd: sleep 100000, numprocs: 2000}
programs: {once: {autorestart: never}, again: {autorestart: always}}
""")
    base = settled(daemon)
    figures = {}
    for program in ["once", "again"]:
        dead = {row["pid"] for row in daemon.status(program)}
        os.kill(daemon.pid, signal.SIGSTOP)
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        eventually("their exits", lambda: all(stat_of(pid)[0] == "Z" for pid in dead))
        began = time.monotonic()
        os.kill(daemon.pid, signal.SIGCONT)
        rows = daemon.status(program)
        figures[f"{program}_first_answer_s"] = round(time.monotonic() - began, 3)
        lies = [row for row in rows if row["pid"] in dead]
        expect(not lies, f"{len(lies)} dead processes are shown as alive: {lies[:1]}")
        state = {"once": "EXITED", "again": "RUNNING"}[program]
        wanted = lambda: all(row["state"] == state for row in daemon.status(program))
        eventually("all of them", wanted)
        figures[f"{program}_s"] = round(time.monotonic() - began, 3)
        expect(daemon.measures()["zombies"] == 0, "a zombie is left")
    daemon.call("stop", targets=["all"])
    daemon.call("start", targets=["all"])
    end = eventually("the descriptors", lambda: as_before(daemon, base))
    daemon.end()
    return {**figures, "before": base, "after": end}


def crash_loop(folder, minutes):
    """Programs that exit at once restart as fast as the brake allows; status stays fast."""
    daemon = Daemon(folder, """
defaults: {starttime: 0, autorestart: always, startretries: 1000, restart: {burst: 100}}
programs:
  crash: {cmd: 'true', numprocs: 300}
  segfault: {cmd: '@BIN@/crash'}
  steady: {cmd: sleep 100000}
""")
    before = daemon.measures()
    # With all cores busy, a daemon gets only its share, and its speed cannot be judged.
    crowded = os.getloadavg()[0] > os.cpu_count()
    # The load of these programs also slows an idle daemon, and a single start. Both are measured,
    # because no request is answered during a start.
    (folder / "idle").mkdir()
    idler = Daemon(folder / "idle", "programs: {}\n")
    latencies, idle, spawn, end = [], [], [], time.monotonic() + min(60, minutes * 30)
    while time.monotonic() < end:
        latencies.append(daemon.status_s() * 1000)
        idle.append(idler.status_s() * 1000)
        began = time.perf_counter()
        spawned = os.posix_spawn("/bin/false", ["false"], {})
        spawn.append((time.perf_counter() - began) * 1000)
        os.waitpid(spawned, 0)
    idler.end()
    restarts = sum(row["restarts"] for row in daemon.status())
    took = len(latencies)
    p99s = f"status {p99(latencies):.1f}, idle {p99(idle):.1f}, spawn {p99(spawn):.1f} ms (p99)"
    bound = max(STATUS_MS_MAX, 2 * (p99(idle) + p99(spawn)))
    expect(crowded or p99(latencies) <= bound, p99s)
    expect(daemon.row("steady")["restarts"] == 0, "an unrelated process was restarted")
    began = time.monotonic()
    daemon.call("stop", targets=["crash", "segfault"])
    stop_s = time.monotonic() - began
    after = daemon.measures()
    daemon.end()
    return {
        "restarts": restarts, "answers": took, "status_ms_p99": round(p99(latencies), 3),
        "speed_judged": not crowded, "idle_daemon_ms_p99": round(p99(idle), 3),
        "spawn_ms_p99": round(p99(spawn), 3),
        "stop_s": round(stop_s, 3),
        "before": before, "after": after,
    }


def stopped(folder, minutes):
    """The daemon is stopped (SIGSTOP) for ten seconds, then catches up."""
    daemon = Daemon(folder, """
defaults: {starttime: 0}
programs:
  victim: {cmd: sleep 100000, numprocs: 50, autorestart: always}
  once: {cmd: sleep 100000, autorestart: never}
  writer: {cmd: 'i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i + 1)); done; sleep 100000',
    shell: true, stdout: '@DIR@/log', autostart: false}
""")
    settled_but(daemon, "writer")
    victims = [row["pid"] for row in daemon.status("victim")]
    once = daemon.row("once")["pid"]
    daemon.call("start", targets=["writer"])
    os.kill(daemon.pid, signal.SIGSTOP)
    for pid in victims + [once]:
        os.kill(pid, signal.SIGKILL)
    waiting = [Client(daemon.socket) for _ in range(100)]
    for client in waiting:
        client.stream.write(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
        client.stream.flush()
    time.sleep(10)
    began = time.monotonic()
    os.kill(daemon.pid, signal.SIGCONT)
    for client in waiting:
        expect(b'"result"' in client.stream.readline(), "no answer")
        client.close()
    caught_up_s = time.monotonic() - began
    back = lambda: all(
        row["state"] == "RUNNING" and row["pid"] not in victims for row in daemon.status("victim")
    )
    eventually("the victims to run again", back)
    expect(daemon.row("once")["state"] == "EXITED", "an exit was missed")
    lines = "".join(f"line {i}\n" for i in range(2000))
    eventually("all lines", lambda: (folder / "log").read_text() == lines)
    daemon.end()
    return {"answers_after_s": round(caught_up_s, 3)}


def settled_but(daemon, *others):
    def holds():
        states = daemon.states().items()
        return all(state == "RUNNING" for name, state in states if name.split(":")[0] not in others)

    eventually("all to run", holds)


def clients(folder, minutes):
    """Garbage, slow, half-open and 5,000 clients: those within the limit are served."""
    limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    daemon = Daemon(folder, "programs: {steady: {cmd: sleep 100000, starttime: 0}}\n")
    base = settled(daemon)
    early = [Client(daemon.socket) for _ in range(500)]
    for client in early:
        client.call("hello")
    refused, crowd = 0, []
    for _ in range(5000):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(str(daemon.socket))
        try:
            client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello"}\n')
        except BrokenPipeError:
            pass  # Refused already; counted below.
        crowd.append(client)
        if len(crowd) % 100 == 0:
            expect(daemon.row("steady")["state"] == "RUNNING", "steady does not run")
    welcome = 0
    for client in crowd:
        answer = client.recv(4096)
        welcome += b'"result"' in answer
        refused += b"1024 clients already" in answer
    # The early clients, and the one that requests status.
    expect((welcome, refused) == (1024 - 501, 5000 - (1024 - 501)), f"{welcome}, {refused} refused")
    latencies = []
    for client in early:
        began = time.perf_counter()
        client.call("status")
        latencies.append((time.perf_counter() - began) * 1000)
    for client in crowd + early:
        client.close()
    chance, garbage = random.Random(3), 0
    slow = [Client(daemon.socket) for _ in range(50)]
    end = time.monotonic() + min(20, minutes * 60)
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(daemon.socket))
            try:
                client.sendall(chance.randbytes(chance.randrange(2_000_000)))
            except OSError:
                pass
            garbage += 1
        for client in slow:
            client.socket.send(b" ")
        latencies.append(daemon.status_s() * 1000)
    for client in slow:
        client.close()
    after = eventually("the descriptors", lambda: as_before(daemon, base))
    daemon.end()
    return {
        "served": welcome + len(early) + 1, "refused": refused, "garbage": garbage,
        "status_ms_p99": round(p99(latencies), 3), "before": base, "after": after,
    }


def output(folder, minutes):
    """10 GB, one line of 100 MB, NULs, broken UTF-8, a closed stdout, a grandchild's terminal."""
    gigabytes = max(1, min(10, int(minutes)))
    daemon = Daemon(folder, f"""
defaults: {{starttime: 0, autorestart: never, autostart: false}}
programs:
  huge: {{cmd: '@BIN@/flood {gigabytes}000000000 1000'}}
  pty: {{cmd: '@BIN@/flood 200000000 1000', tty: true}}
  line: {{cmd: 'head -c 100000000 /dev/zero | tr "\\0" x; echo; echo after', shell: true,
    stdout: {{file: '@DIR@/line', max_size: 0}}}}
  nuls: {{cmd: head -c 100000000 /dev/zero, stdout: {{file: '@DIR@/nuls', max_size: 0}}}}
  noise: {{cmd: head -c 100000000 /dev/urandom, tty: true}}
  closed: {{cmd: '@BIN@/close_stdout', autostart: true}}
  deserted: {{cmd: '@BIN@/fork_tree 1 --leader-exits', tty: true}}
""")
    before = daemon.measures()
    watch, latencies, done = Client(daemon.socket), [], threading.Event()

    def look():
        while not done.is_set():
            began = time.perf_counter()
            watch.call("status")
            latencies.append((time.perf_counter() - began) * 1000)
            time.sleep(0.005)

    looking = threading.Thread(target=look)
    looking.start()
    seconds = {}
    try:
        for name in ["huge", "pty", "line", "nuls", "noise", "deserted"]:
            began = time.monotonic()
            daemon.client.socket.settimeout(600)
            daemon.call("start", targets=[name], wait=False)
            daemon.call("wait", targets=[name], **{"for": "exited"})
            seconds[f"{name}_s"] = round(time.monotonic() - began, 2)
    finally:
        done.set()
        looking.join()
    expect((folder / "line").stat().st_size == 100_000_007, "the line is incomplete")
    expect((folder / "nuls").stat().st_size == 100_000_000, "NULs are missing")
    deserted = daemon.row("deserted")
    expect(deserted["stragglers"], f"its straggler is not listed: {deserted}")
    expect(daemon.row("closed")["state"] == "RUNNING", "closed its stdout and ended")
    daemon.call("stop", targets=["all"])
    after = daemon.measures()
    expect(after["rss_kib"] < before["rss_kib"] + 8 * 1024, f"grown: {before} {after}")
    daemon.end()
    return {**seconds, "status_ms_p99": round(p99(latencies), 3), "before": before, "after": after}


def reloads(folder, minutes):
    """5,000 programs, reloaded every 100 ms with one change."""
    def config(turn):
        quiet = "\n".join(
            f"  quiet{i}: {{cmd: sleep 100000, autostart: false, stoptime: {turn % 7 + 1}}}"
            if i == turn % 4990 else f"  quiet{i}: {{cmd: sleep 100000, autostart: false}}"
            for i in range(4990)
        )
        return f"programs:\n  up: {{cmd: sleep 100000, starttime: 0, numprocs: 10}}\n{quiet}\n"

    daemon = Daemon(folder, config(0))
    settled_but(daemon, *(f"quiet{i}" for i in range(4990)))
    untouched = [row["pid"] for row in daemon.status("up")]
    texts = [config(turn) for turn in range(20)]
    spans, memory, end = [], [], time.monotonic() + min(120, minutes * 60)
    while time.monotonic() < end:
        daemon.configure(texts[len(spans) % len(texts)])
        began = time.monotonic()
        daemon.call("reload")
        spans.append(time.monotonic() - began)
        memory.append(daemon.measures()["anon_kib"])
        time.sleep(max(0, 0.1 - spans[-1]))
    pids = [row["pid"] for row in daemon.status("up")]
    expect(pids == untouched, "an unchanged process got another pid")
    third = len(memory) // 3
    growth = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])
    expect(growth <= max(1024, memory[third] * 0.03), f"grows by {growth} KiB: {memory[::50]}")
    daemon.end()
    return {
        "reloads": len(spans), "reload_ms_median": round(statistics.median(spans) * 1000, 1),
        "growth_kib": growth, "anon_kib": memory[-1],
    }

"""Inspects processes through /proc, and ends those that we started."""

import ctypes
import os
import signal
import time

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes us the parent of orphaned descendants, so that we can end them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def descendants(root):
    """Returns every living process below `root`, the nearest first."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = read(f"/proc/{name}/stat").rpartition(")")[2].split()
            if fields and fields[0] not in "ZX":
                children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found[1:]


def command(pid):
    return read(f"/proc/{pid}/comm").strip()


def own_below(root, foreign=("child", "sleep", "sh", "cat")):
    """Returns the supervisor's own processes: `root` and descendants with other commands."""
    return [pid for pid in [root, *descendants(root)] if command(pid) not in foreign]


def memory_kib(pids, kind):
    total = 0
    for pid in pids:
        for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(kind + ":"):
                total += int(line.split()[1])
    return total


def pss_kib(pids):
    """Returns proportional memory: shared pages count once in the sum."""
    return memory_kib(pids, "Pss")


def anonymous_kib(pids):
    """Returns private memory. Shared memory changes with others, so it cannot show growth."""
    return memory_kib(pids, "Anonymous")


def cpu_s(pids):
    """Returns seconds of CPU time, including waited-for children."""
    total = 0
    for pid in pids:
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:13])) if fields else 0
    return total / TICKS_A_SECOND


def wakeups(pids):
    """Returns how often each thread went to sleep."""
    counts = {}
    for pid in pids:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            for line in read(f"/proc/{pid}/task/{thread}/status").splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    counts[pid, thread] = int(line.split()[1])
    return counts


def more_wakeups(before, after):
    """Returns the difference of two counts. Threads that ended in between are not counted."""
    return sum(count - before.get(thread, 0) for thread, count in after.items())


def reap():
    """Reaps adopted orphans."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def end_all(patience_s=5.0):
    """Ends every descendant, with SIGTERM first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + patience_s
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        while descendants(os.getpid()) and time.monotonic() < until:
            reap()
            time.sleep(0.02)
    reap()

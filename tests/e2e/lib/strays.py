"""What a container runtime that a test started leaves on the machine: its cgroups, processes and
mounts."""

import glob
import os
import signal
import time

from testing import run


def cgroups(parent):
    """Every cgroup below the name parent, in every hierarchy, innermost first."""
    tops = glob.glob("/sys/fs/cgroup/*" + parent) + glob.glob("/sys/fs/cgroup" + parent)
    return sorted((path for top in tops for path, _, _ in os.walk(top)), reverse=True)


def processes(parent, folder):
    """Containers and their monitors: who is in those cgroups, and whose command line names folder."""
    found = set()
    for path in cgroups(parent):
        try:
            with open(os.path.join(path, "cgroup.procs")) as f:
                found.update(map(int, f.read().split()))
        except OSError:
            continue
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if folder.encode() in f.read():
                    found.add(int(pid))
        except OSError:
            continue
    return found - {os.getpid()}


def end(parent, folder, mounted):
    """Ends and removes all of it; mounted: the directory below which its mounts lie."""
    deadline = time.monotonic() + 10
    while (pids := processes(parent, folder)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    for path in cgroups(parent):
        try:
            os.rmdir(path)
        except OSError:
            pass
    run("sh", "-c", f"grep -o '{mounted}[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l",
        check=False)

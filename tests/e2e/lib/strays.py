"""What a container runtime that a test started leaves on the machine: its cgroups and processes."""

import glob
import os


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

"""Processes that neither end nor stop, whoever says so, until the test lets them: they are held by the
freezer of cgroup v1, as disk or network file systems hold processes. Harmless: a guard lets them go
when the test ends, also by SIGKILL."""
import os
import select
import subprocess

import testing
from node import enter
from testing import on_exit, run, wait_until

GUARD = """read x
echo THAWED > "$1/freezer.state"
i=0
until rmdir "$1" 2> /dev/null || [ $i = 500 ]; do sleep 0.02; i=$((i + 1)); done"""


def freezer():
    """Where the hierarchy is; mounted if need be. None: the kernel has none."""
    with open("/proc/self/mounts") as f:
        for line in f:
            _, path, kind, options, *_ = line.split()
            if kind == "cgroup" and "freezer" in options.split(","):
                return path
    path = testing.tempdir()
    if run("mount", "-t", "cgroup", "-o", "freezer", "freezer", path, check=False).returncode:
        return None
    on_exit(lambda: run("umount", path, check=False))
    return path


class Held:
    """A program that says again what it is told, held from the start. prefix: the command that leads to
    where it runs; cgroup: one of version 2 to put it into."""

    def __init__(self, base, name, prefix, cgroup=None):
        self.dir = os.path.join(base, f"{name}-{os.getpid()}")
        os.mkdir(self.dir)
        self.guard = subprocess.Popen(["sh", "-c", GUARD, "sh", self.dir], stdin=subprocess.PIPE,
                                      start_new_session=True)
        join = "".join(f"echo $$ > {d}/cgroup.procs; " for d in (self.dir, cgroup) if d)
        self.proc = testing.spawn([*prefix, "sh", "-c", join + "echo here; exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        on_exit(self.end)  # before the spawned one's, which would wait for who is held
        self.proc.stdout.readline()
        self.hold()

    @classmethod
    def in_pod(cls, base, pod):
        return cls(base, pod.ns, enter(pod.ns))

    def set(self, state):
        with open(os.path.join(self.dir, "freezer.state"), "w") as f:
            f.write(state)
        wait_until(lambda: open(os.path.join(self.dir, "freezer.state")).read().strip() == state, 15,
                   f"the freezer says {state}")

    def hold(self):
        self.set("FROZEN")

    def let_go(self):
        self.set("THAWED")

    @property
    def pid(self):
        return self.proc.pid

    def state(self):
        """As in /proc/PID/stat; "" when it is gone."""
        try:
            with open(f"/proc/{self.pid}/stat") as f:
                return f.read().rpartition(") ")[2][0]
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def answers(self):
        """It runs: what it is told comes back."""
        self.proc.stdin.write(b"word\n")
        ready, _, _ = select.select([self.proc.stdout], [], [], 15)
        return bool(ready) and self.proc.stdout.readline() == b"word\n"

    def end(self):
        if not self.guard.stdin.closed:
            self.proc.kill()
            self.guard.stdin.close()
            self.proc.wait(20)
            self.guard.wait(20)

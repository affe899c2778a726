"""Processes that neither end nor stop, whoever says so, until the test lets them: they look for a file
in a file system that does not answer (stuck_fs.py). Harmless: its server ends with the test, also by
SIGKILL, and lets all of them go."""
import os
import select
import stat
import subprocess
import sys

import testing
from node import enter
from testing import on_exit, run

ECHO = 'while read -r x; do if [ "$x" = hold ]; then read -r y < "$1"; else echo "$x"; fi; done 2> /dev/null'


class StuckFs:
    """Where processes are held. reason: why there is none."""

    def __init__(self):
        self.dir, self.reason, device = testing.tempdir(), None, "/dev/fuse"
        try:
            if not os.path.exists(device):  # whoever opens it has the module loaded
                device = os.path.join(testing.tempdir(), "fuse")
                os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(10, 229))
            os.close(os.open(device, os.O_RDWR))
        except OSError as e:
            self.reason = str(e)
            return
        on_exit(lambda: run("umount", "-l", self.dir, check=False))
        self.server = testing.spawn([sys.executable, os.path.join(os.path.dirname(__file__), "stuck_fs.py"),
                                     self.dir, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, bufsize=1)
        if self.server.stdout.readline() != "mounted\n":
            self.reason = self.server.communicate()[1].strip()

    def await_held(self, name):
        said = self.server.stdout.readline()
        if said != f"held {name}\n":
            raise RuntimeError(f"not held: {said!r}")

    def let_go(self, name):
        self.server.stdin.write(f"go {name}\n")


class Held:
    """A program that says again what it is told, held from the start. prefix: the command that leads to
    where it runs; cgroup: one of version 2 to put it into."""

    def __init__(self, fs, name, prefix, cgroup=None):
        self.fs, self.name, self.is_held = fs, name, False
        join = f"echo $$ > {cgroup}/cgroup.procs; " if cgroup else ""
        self.proc = testing.spawn([*prefix, "sh", "-c", f"{join}echo here; {ECHO}", "sh",
                                   os.path.join(fs.dir, name)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        on_exit(self.end)  # before the spawned one's, which would wait for who is held
        self.proc.stdout.readline()
        self.hold()

    @classmethod
    def in_pod(cls, fs, pod):
        return cls(fs, pod.ns, enter(pod.ns))

    def hold(self):
        self.proc.stdin.write(b"hold\n")
        self.fs.await_held(self.name)
        self.is_held = True

    def let_go(self):
        if self.is_held:
            self.fs.let_go(self.name)
        self.is_held = False

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
        if self.proc.poll() is None:
            self.proc.kill()
            self.let_go()
            self.proc.wait(20)

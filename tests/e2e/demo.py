#!/usr/bin/python3
"""The demo tells its whole story, as it should be, and leaves nothing behind: neither at its end,
nor when it is interrupted in the middle."""
import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from testing import SOURCE, check, equal, part

DEMO = [sys.executable, os.path.join(SOURCE, "examples", "demo", "demo.py")]
PARTS = ("A node, its policies", "What policy allows", "broken into", "Quarantine", "Release")


class Left:
    """What the demo could leave behind. Everything it makes in the file system is in a directory of
    ours, and that path is also in the command lines and environments of its processes."""

    def __init__(self):
        self.dir = testing.tempdir()
        self.env = {**os.environ, "TMPDIR": self.dir, "BH_BUILD_DIR": testing.BUILD}

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                for name in ("environ", "cmdline"):
                    with open(f"/proc/{pid}/{name}", "rb") as f:
                        if self.dir.encode() in f.read():
                            found.append(pid)
            except OSError:
                continue
        return found

    def check(self, pid, why):
        testing.wait_until(lambda: not self.processes(), 60, f"{why}: the end of every process")
        left = glob.glob(f"/sys/fs/cgroup/*/bhe{pid:x}*") + glob.glob(f"/run/netns/bhe{pid:x}*")
        equal(left, [], f"{why}: no cgroup and no network namespace is left")
        equal(os.listdir(self.dir), [], f"{why}: no file is left")


def whole(left):
    p = subprocess.Popen(DEMO, env=left.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, preexec_fn=testing.die_with_parent)
    out = p.communicate(timeout=testing.HANG_S)[0]
    equal(p.returncode, 0, "the demo ends with 0")
    for text in PARTS:
        check(text in out, f"it shows: {text}", out[-2000:])
    check("THIS SHOULD NOT BE" not in out and "Everything was as it should be" in out,
          "everything was as it should be", out)
    check("\033" not in out, "no colours where there is no terminal")
    left.check(p.pid, "at its end")


def interrupted(left, at, signo):
    p = subprocess.Popen(DEMO, env=left.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, preexec_fn=testing.die_with_parent)
    for line in p.stdout:
        if at in line:
            p.send_signal(signo)
            break
    rest = p.stdout.read()
    check(p.wait(testing.HANG_S) != 0, f"interrupted at '{at}': it says so", rest)
    left.check(p.pid, f"interrupted at '{at}'")


def main():
    left = Left()
    with part("the whole story"):
        whole(left)
    with part("interrupted"):
        interrupted(left, "started web", signal.SIGINT)
        interrupted(left, "is quarantined", signal.SIGTERM)


testing.start()
testing.main(main)

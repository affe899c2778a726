#!/usr/bin/python3
"""The five commands of examples/images, as README has them, with cosign 3 and cosign 2: the pod that
nobody signed is refused, the signed one runs, and nothing is left behind, also after an interrupt."""
import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
import tools
from testing import SOURCE, check, equal, part

EXAMPLE = [sys.executable, os.path.join(SOURCE, "examples/images/images.py")]


class Left:
    """All that the example makes is below one directory, which its processes carry in their
    environment."""

    def __init__(self):
        self.dir = testing.tempdir()
        self.env = {**os.environ, "TMPDIR": self.dir, "BH_BUILD_DIR": testing.BUILD}

    def start(self, *args):
        return subprocess.Popen([*EXAMPLE, *args], env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True,
                                preexec_fn=testing.die_with_parent)

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if self.dir.encode() in f.read():
                        found.append(pid)
            except OSError:
                continue
        return found

    def check(self, pid, why):
        testing.wait_until(lambda: not self.processes(), 60, f"{why}: the end of every process")
        equal(glob.glob(f"/sys/fs/cgroup/*/bhe{pid:x}*"), [], f"{why}: no cgroup is left")
        equal(os.listdir(self.dir), [], f"{why}: no file is left")
        check(not os.path.exists("/etc/bulkhead/manifests/pods.yaml"),
              f"{why}: /etc is as it was")


def whole(left, cosign):
    p = left.start(cosign)
    out = p.communicate(timeout=testing.HANG_S)[0]
    equal(p.returncode, 0, f"{cosign}: the example ends with 0")
    commands = [line for line in out.splitlines() if line.startswith("# ")]
    equal(len(commands), 6, f"{cosign}: five commands, and one more for the signed pod")
    check("refused by ImagePolicy 'shop': no-signature: nobody signed it" in out,
          f"{cosign}: the refusal says why", out[-3000:])
    check("shop/app runs" in out, f"{cosign}: the signed pod runs", out[-3000:])
    left.check(p.pid, cosign)


def interrupted(left):
    p = left.start("cosign3")
    for line in p.stdout:
        if "podman run" in line:
            p.send_signal(signal.SIGTERM)
            break
    p.stdout.read()
    check(p.wait(testing.HANG_S) != 0, "interrupted: it says so")
    left.check(p.pid, "interrupted")


def main():
    left = Left()
    for cosign in ("cosign3", "cosign2"):
        with part(cosign):
            whole(left, cosign)
    with part("interrupted"):
        interrupted(left)


tools.need("registry", "umoci", "skopeo", "cosign2", "cosign3")
testing.start(needs=("/usr/bin/podman", "/usr/lib/cni/bridge"))
testing.main(main)

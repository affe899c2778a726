#!/usr/bin/python3
"""A seccomp profile that Bulkhead wrote, under runc: a container that does what it was seen doing notices
nothing, and what it was not seen doing is refused, by 32-bit calls too."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import mount
from node import Node
from testing import check, equal, on_exit, part, run

SLICES = 4
LIFE = r"""set -e
date > /tmp/d; ls / > /tmp/l; mkdir -p /tmp/dir; cp /tmp/l /tmp/dir/l2; chmod 600 /tmp/l; rm /tmp/l
echo hello | sed s/h/j/ | tr a-z A-Z; sleep 0.1; sort /etc/passwd | uniq | head -1 > /dev/null
/usr/bin/python3 -ISc 'import socket, threading, subprocess, os, tempfile, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
c = socket.create_connection(s.getsockname()); a, _ = s.accept(); a.sendall(b"x"); c.recv(1)
t = threading.Thread(target=time.sleep, args=(0.01,)); t.start(); t.join()
print(subprocess.run(["/bin/echo", "sub"], capture_output=True).stdout)
with tempfile.TemporaryDirectory() as d:
    open(os.path.join(d, "x"), "w").write("y"); os.rename(os.path.join(d, "x"), os.path.join(d, "z"))
pid = os.fork()
if not pid: os._exit(3)
os.waitpid(pid, 0)'
"""
SAYS = "JELLO\nb'sub\\n'\n"
# ptrace, mount, unshare, bpf, perf_event_open, io_uring_setup, chroot, process_vm_readv
OTHERS = (101, 165, 272, 321, 298, 425, 161, 310)
TRY = ("import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nfor n in %r:\n"
       "    print(n, c.syscall(n, 0, 0, 0, 0, 0), ctypes.get_errno())" % (OTHERS,))
ENOSYS = 38
# getpid as a 32-bit program calls it
I386 = 'int main(void) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)); return r <= 0; }'


def spec(root, netns, argv, profile, no_new):
    caps = ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"]
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0, "additionalGids": [7]}, "args": list(argv), "env": ["PATH=/usr/bin:/bin"],
                    "cwd": "/", "noNewPrivileges": no_new,
                    "capabilities": {k: caps for k in ("bounding", "effective", "permitted")}},
        "root": {"path": root},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts")]
                  + [{"type": "network", "path": netns}],
                  "cgroupsPath": f"/bhe{os.getpid():x}",
                  **({"seccomp": profile} if profile else {})}}


class Runc:
    """Containers of one pod, one after the other, each with an overlay over the machine's root."""

    def __init__(self, pod):
        self.pod, self.count, self.dir = pod, 0, testing.tempdir()
        mount("tmpfs", self.dir, "tmpfs")
        on_exit(lambda: run("umount", "-l", self.dir, check=False))

    def run(self, argv, profile=None, program=None, no_new=True):
        self.count += 1
        d = os.path.join(self.dir, str(self.count))
        for name in ("upper", "work", "root"):
            os.makedirs(os.path.join(d, name))
        if program:  # as if the image had it
            testing.run("cp", program, os.path.join(d, "upper", "program"))
        root = os.path.join(d, "root")
        mount("overlay", root, "overlay", 0,
              f"lowerdir=/,upperdir={d}/upper,workdir={d}/work")
        with open(os.path.join(d, "config.json"), "w") as f:
            json.dump(spec(root, self.pod.conf["netns"], argv, profile, no_new), f)
        try:
            return subprocess.run(["runc", "--root", os.path.join(self.dir, "state"), "run", "-b", d,
                                   f"bhe{os.getpid():x}-{self.count}"], capture_output=True,
                                  text=True, stdin=subprocess.DEVNULL, timeout=120)
        finally:
            run("umount", "-l", root, check=False)


def learn(node, box, workload, argv, says="", **args):
    """The same life again and again, until learning ends; the profile."""
    def row():
        rows = node.ask("baseline", "list")["baselines"]
        return next((b for b in rows if b["workload"] == workload), {})
    end = time.monotonic() + 120
    while row().get("state") != "closed" and time.monotonic() < end:
        r = box.run(argv, **args)
        if (r.returncode, r.stdout) != (0, says):
            raise RuntimeError(f"without a profile: {r}")
    equal(row().get("state"), "closed", f"{workload} is learnt")
    r = node.cli("profile", "seccomp", workload)
    equal(r.returncode, 0, f"profile: {r.stderr}")
    return json.loads(r.stdout)


def lives(box, what, argv, says, profile, **args):
    """noNewPrivileges: without it runc loads the filter earlier."""
    for no_new in (True, False, True, False):
        r = box.run(argv, profile, no_new=no_new, **args)
        equal((r.returncode, r.stdout, r.stderr), (0, says, ""), f"{what} passes, from its first call on")


def main():
    node = Node(config={"runtime": {"mode": "learn", "learning": {
        "slice": "1s", "slices": SLICES, "replicas": 1, "unseen": "50%"}}}).start()
    box = Runc(node.pod("shop", "web-6bcd5d8f4-bcdfg"))
    sh = ["/bin/sh", "-c", LIFE]
    with part("learnt"):
        profile = learn(node, box, "shop/web", sh, SAYS)
    with part("what was observed"):
        lives(box, "a life", sh, SAYS, profile)
    with part("a program that does nothing"):
        small = Runc(node.pod("shop", "tiny-6bcd5d8f4-hjklm"))
        path = os.path.join(testing.tempdir(), "tiny")
        run("gcc", "-static", "-x", "c", "-o", path, "-", input="int main(void) { return 0; }")
        least = learn(node, small, "shop/tiny", ["/program"], program=path)
        lives(small, "nothing", ["/program"], "", least, program=path)
    with part("what was not"):
        r = box.run(["/usr/bin/python3", "-ISc", TRY], profile)
        equal([tuple(map(int, line.split())) for line in r.stdout.splitlines()],
              [(n, -1, ENOSYS) for n in OTHERS], f"does not exist: {r.stderr}")
        free = box.run(["/usr/bin/python3", "-ISc", TRY])
        check(sum(line.endswith(f" {ENOSYS}") for line in free.stdout.splitlines()) < len(OTHERS) / 2,
              "without the profile it does", free.stdout)
    with part("32-bit calls"):
        path = os.path.join(testing.tempdir(), "i386")
        run("gcc", "-static", "-x", "c", "-o", path, "-", input=I386)
        if box.run(["/program"], program=path).returncode == 0:
            r = box.run(["/program"], profile, program=path)
            check(r.returncode not in (0, None), "are none that the profile allows", r)


testing.start(needs=["/usr/sbin/runc"])
testing.main(main)

"""A container in a pod: the host's root file system below an overlay of its own, as an image would
be, entered the way a runtime does it: nothing is executed in the pod before the container's first
program.
"""
import ctypes
import os
import subprocess
import threading

import testing
from testing import on_exit, run

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
PR_CAPBSET_DROP, MS_REMOUNT, MS_RDONLY = 24, 32, 1
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
# what container runtimes leave: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
# net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap
USUAL_CAPS = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
SYS_PIVOT_ROOT = 155


def must(r, what):
    if r:
        e = ctypes.get_errno()
        raise OSError(e, f"{what}: {os.strerror(e)}")


def mount(source, target, fs=None, flags=0, data=None):
    enc = [None if x is None else str(x).encode() for x in (source, target, fs, data)]
    must(libc.mount(enc[0], enc[1], enc[2], flags, enc[3]), f"mount {target}")


def setns(path, kind):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    must(libc.setns(fd, kind), f"enter {path}")
    os.close(fd)


class Container:
    """lower: directories that are the image, the uppermost first, with ':' between them. volume: a
    directory mounted at /srv. uid: whom the first program runs as. usual: without the capabilities
    that runtimes take away, else with all. readonly: its root file system."""

    def __init__(self, pod, lower="/", first=("/bin/sh",), volume=None, env=None, uid=None,
                 usual=False, readonly=False):
        self.pod, self.netns = pod, pod.conf["netns"]
        self.uid, self.usual, self.readonly = uid, usual, readonly
        self.dir = testing.tempdir()
        mount("tmpfs", self.dir, "tmpfs")
        on_exit(lambda: run("umount", "-l", self.dir, check=False))
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.dir, name))
        self.lower, self.volume = lower, volume
        self.lock = threading.Lock()
        self.count = 0
        self.proc = subprocess.Popen(list(first), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True,
                                     env={"PATH": PATH, **(env or {})},
                                     preexec_fn=self.begin)
        on_exit(self.stop)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def begin(self):
        """In the child: what a runtime does between fork and exec."""
        root = self.path("root")
        testing.die_with_parent()
        setns(self.netns, CLONE_NEWNET)
        must(libc.unshare(CLONE_NEWNS), "unshare")
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        mount("overlay", root, "overlay", 0, f"lowerdir={self.lower},upperdir={self.path('upper')},"
              f"workdir={self.path('work')}")
        mount("proc", root + "/proc", "proc")
        mount("/dev", root + "/dev", None, MS_BIND)
        mount("shm", root + "/mnt", "tmpfs")
        if self.volume:
            mount(self.volume, root + "/srv", None, MS_BIND)
        os.chdir(root)
        must(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
        must(libc.umount2(b".", MNT_DETACH), "umount")
        os.chdir("/")
        self.lower_rights()

    def lower_rights(self):
        if self.readonly:
            mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY)
        if self.usual:
            for cap in set(range(41)) - USUAL_CAPS:
                libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)
        if self.uid is not None:
            os.setgroups([])
            os.setgid(self.uid)
            os.setuid(self.uid)

    @property
    def pid(self):
        return self.proc.pid

    def sh(self, text):
        """Runs shell lines in the container's first process, a shell; (status, output)."""
        with self.lock:
            self.count += 1
            mark = f"--done-{self.count}-"
            self.proc.stdin.write(f"{text}\necho {mark}$?\n")
            self.proc.stdin.flush()
            out = []
            for line in self.proc.stdout:
                head, found, status = line.partition(mark)
                if found:
                    return int(status), "".join(out) + head
                out.append(line)
        raise RuntimeError("the container's shell ended: " + "".join(out))

    def enter(self, *argv, text=None, terminal=None, only_network=False):
        """Runs a program in the container from outside, as `kubectl exec` does: with a text to
        read, or at a terminal. only_network: as `nsenter -n`, with the node's files."""
        def into():
            setns(f"/proc/{self.pid}/ns/net", CLONE_NEWNET)
            if not only_network:
                setns(f"/proc/{self.pid}/ns/mnt", CLONE_NEWNS)
            os.chdir("/")
        source = terminal or (subprocess.DEVNULL if text is None else subprocess.PIPE)
        p = subprocess.Popen(argv, stdin=source, stdout=terminal or subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, preexec_fn=into)
        return p.communicate(text, timeout=testing.HANG_S)[0], p.returncode

    def stop(self):
        testing.end(self.proc)

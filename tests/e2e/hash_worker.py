#!/usr/bin/python3
"""bulkhead-worker as the reader of executables: what it answers, what it survives, what it cannot
do. Driven as the daemon drives it (bulkhead/hash.h)."""
import array
import hashlib
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from testing import BIN, check, equal, part

WORKER = os.path.join(BIN, "bulkhead-worker")
EBADF, EISDIR, EINVAL, EFBIG = 9, 21, 22, 27
MAX = 1 << 30


class Worker:
    def __init__(self):
        self.socket, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen([WORKER, "hash"], stdin=inner, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env={},
                                        preexec_fn=testing.die_with_parent)
        inner.close()
        self.socket.settimeout(60)
        testing.on_exit(lambda: testing.end(self.process))

    def send(self, fds, data):
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], anc)

    def ask(self, fds, ident=1, limit=MAX):
        """(error, bytes, digest)"""
        self.send(fds, struct.pack("<QQ", ident, limit))
        got, size, error, _, digest = struct.unpack("<QQII32s", self.socket.recv(100))
        if got != ident:
            raise RuntimeError(f"answer to {got}, not {ident}")
        return error, size, digest.hex()

    def file(self, path, **kw):
        with open(path, "rb") as f:
            return self.ask([f.fileno()], **kw)

    def status(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return dict(x.split(":\t", 1) for x in f.read().splitlines() if ":\t" in x)

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def answers(w, directory):
    path = os.path.join(directory, "f")
    for size in (0, 1, 63, 64, 65, 262143, 262144, 262145, 5 << 20):
        data = os.urandom(size)
        with open(path, "wb") as f:
            f.write(data)
        equal(w.file(path, ident=size + 1), (0, size, sha(data)), f"{size} bytes")
    with open(path, "rb") as f:
        f.seek(1000)
        equal(w.ask([f.fileno()])[2], sha(data), "from the beginning, wherever the offset stands")
        equal(f.tell(), 1000, "which is left alone")
    os.chmod(path, 0)
    equal(w.file(path)[2], sha(data), "a file that nobody may read")
    equal(w.file(path, limit=1000)[0], EFBIG, "larger than it may be")
    equal(w.file(path)[2], sha(data), "the next one is none the worse")


def nonsense(w, directory):
    equal(w.ask([])[0], EBADF, "no file")
    d = os.open(directory, os.O_RDONLY)
    r, p = os.pipe()
    equal([w.ask([x])[0] for x in (d, r, p)], [EINVAL] * 3, "a directory, a pipe")
    equal(w.ask([w.socket.fileno()])[0], EINVAL, "its own socket")
    f = os.open("/proc/self/mem", os.O_RDONLY)
    check(w.ask([f])[0] != 0, "somebody's memory")
    for x in (d, r, p, f):
        os.close(x)
    before = w.open_files()
    with open("/bin/true", "rb") as f:
        for _ in range(100):
            w.ask([f.fileno()] * 3)
    equal(w.open_files(), before, "what comes besides is closed")
    for size in (1, 15, 17, 4000):
        other = Worker()
        other.send([], b"x" * size)
        check(other.process.wait(60) == 1, f"a question of {size} bytes ends it")


def confined(w):
    s = w.status()
    equal((s["Uid"].split()[0], int(s["CapEff"], 16), int(s["CapBnd"], 16), s["Seccomp"].strip(),
           s["NoNewPrivs"].strip()), ("65534", 0, 0, "2", "1"), "nobody, nothing, filtered")
    kib = int(s["VmHWM"].split()[0])
    check(kib < 24 * 1024, f"at most 24 MiB: {kib} KiB")
    equal(w.open_files(), 3, "no file of anybody is open")


def main():
    directory = testing.tempdir()
    w = Worker()
    with part("answers"):
        answers(w, directory)
    with part("nonsense"):
        nonsense(w, directory)
    with part("confinement"):
        confined(w)
    with part("end"):
        w.socket.close()
        equal(w.process.wait(60), 0, "it ends when the daemon hangs up")


testing.start()
testing.main(main)

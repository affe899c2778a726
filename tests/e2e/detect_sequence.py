#!/usr/bin/python3
"""The order of system calls, live: three replicas of a server are learnt, their baseline is closed; the
same life, and a new replica's start, raise nothing; then one request makes the same process do what
injected code does, and that is an anomaly."""
import base64
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container, mount
from node import Node
from testing import check, equal, part, run, wait_until

SERVER = r'''
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]

def page(c, n):
    with open("/etc/hostname" if n % 3 else "/etc/passwd") as f:
        c.sendall(f.read(64).encode())

def store(c, n):
    with open("/tmp/upload", "w") as f:
        f.write("x" * 100)
        f.flush()
        os.fsync(f.fileno())
    os.rename("/tmp/upload", "/tmp/stored")
    c.sendall(b"ok")

def listing(c, n):
    c.sendall(" ".join(sorted(os.listdir("/etc"))[:3]).encode())

def novel(c, n):
    """A request that nobody made before, with a call that the server never made."""
    c.sendall(str(os.sched_getaffinity(0)).encode())

def injected(c, n):
    """No new program, no new connection: only calls, by the process that serves."""
    for _ in range(4):
        at = libc.mmap(None, 8192, 6, 0x22, -1, 0)
        libc.mprotect(ctypes.c_void_p(at), 4096, 5)
        fd = libc.socket(1, 1, 0)
        for to in (200, 201, 202):
            libc.dup2(fd, to)
        libc.syscall(32, fd)          # dup
        libc.syscall(72, fd, 3, 0)    # fcntl
        libc.syscall(105, 0)          # setuid
        libc.syscall(157, 4, 0)       # prctl, not dumpable
        libc.syscall(95, 0o77)        # umask
        libc.syscall(23, 0, 0, 0, 0, ctypes.byref((ctypes.c_long * 2)(0, 1000)))  # select
        libc.syscall(59, b"/nowhere", None, None)  # execve
        libc.syscall(11, ctypes.c_void_p(at), 8192)
    c.sendall(b"done")

s = socket.create_server(("0.0.0.0", 8080))
deeds = {b"p": page, b"s": store, b"l": listing, b"i": injected, b"n": novel}
n = 0
while True:
    c, _ = s.accept()
    n += 1
    deeds.get(c.recv(1), page)(c, n)
    c.close()
'''

CLIENT = r'''
import socket, sys
ok = 0
for kind in sys.argv[2]:
    c = socket.create_connection((sys.argv[1], 8080), timeout=10)
    c.sendall(kind.encode())
    ok += bool(c.recv(100))
    c.close()
print(ok)
'''
NAMES = ("bcdfg", "hjklm", "npqrs", "tvwxz")
LIFE = "pppslpplspppplpspplp" * 10


class World:
    def __init__(self):
        self.node = Node(config={"runtime": {"mode": "learn"}}, default="kubernetes").start()
        self.image = testing.tempdir()
        mount("tmpfs", self.image, "tmpfs")  # layers must not lie inside each other
        testing.on_exit(lambda: run("umount", "-l", self.image, check=False))
        for name, text in (("server.py", SERVER), ("client.py", CLIENT)):
            with open(os.path.join(self.image, name), "w") as f:
                f.write(text)
        self.client = self.container(self.node.pod("tools", "client"))
        self.pods, self.boxes = [], []

    def container(self, pod):
        return Container(pod, lower=f"{self.image}:/")

    def replica(self):
        pod = self.node.pod("shop", f"web-6bcd5d8f4-{NAMES[len(self.pods)]}")
        box = self.container(pod)
        box.sh("python3 /server.py >/dev/null 2>&1 &")
        # looked at from outside, so that the wait is no part of the workload's life
        wait_until(lambda: is_listening(box), 60, "the server")
        self.pods.append(pod)
        self.boxes.append(box)
        return pod

    def ask(self, pod, kinds):
        status, out = self.client.sh(f"python3 /client.py {pod.ip4} {kinds}")
        equal((status, out.strip()), (0, str(len(kinds))), f"{len(kinds)} requests are answered")

    def findings(self, pod, detector=None):
        self.node.ask("runtime")
        r = self.node.cli("events", "--class", "finding", "--pod", pod.name, "-o", "json")
        all_of = [json.loads(line) for line in r.stdout.splitlines() if line.strip()]
        return [e for e in all_of
                if detector in (None, e["unmapped"]["bulkhead"]["detector"])]

    def private(self):
        path = self.node.path("key.pem")
        if not os.path.exists(path):
            run("openssl", "genpkey", "-algorithm", "ed25519", "-out", path)
        return path

    def close_baseline(self):
        """What an operator does who knows enough: the file, marked as complete, signed and back."""
        text = self.payload()
        body = json.loads(text)
        body["closed"] = True
        path = self.node.path("closed.json")
        with open(path, "w") as f:
            json.dump(self.sign(json.dumps(body).encode()), f)
        public = self.node.path("key.pub")
        run("openssl", "pkey", "-in", self.private(), "-pubout", "-out", public)
        r = self.node.cli("baseline", "import", path, "--key", public)
        equal(r.returncode, 0, f"the baseline is closed {r.stderr}")
        return body

    def payload(self):
        r = self.node.cli("baseline", "export", "shop/web", "--key", self.private())
        return base64.b64decode(json.loads(r.stdout)["payload"]).decode()

    def sign(self, payload):
        """DSSE, as `bulkhead baseline export` writes it."""
        kind = json.loads(self.node.cli("baseline", "export", "shop/web", "--key",
                                        self.private()).stdout)["payloadType"]
        said = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        message, signature = self.node.path("message"), self.node.path("signature")
        with open(message, "wb") as f:
            f.write(said)
        run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.private(), "-in", message,
            "-out", signature)
        with open(signature, "rb") as f:
            sig = base64.b64encode(f.read()).decode()
        return {"payload": base64.b64encode(payload).decode(), "payloadType": kind,
                "signatures": [{"sig": sig}]}


def is_listening(box):
    """On port 8080, in the box."""
    with open(f"/proc/{box.pid}/net/tcp") as f:
        return any(x.split()[1].endswith(":1F90") and x.split()[3] == "0A" for x in list(f)[1:])


def sequences(w):
    return json.loads(w.payload()).get("sequences", {"grams": [], "windows": []})


def learn(w):
    for _ in range(3):
        w.replica()

    def learnt():
        for pod in w.pods:
            w.ask(pod, LIFE)
        w.node.ask("runtime")
        return len(sequences(w)["windows"]) >= 12

    wait_until(learnt, 150, "windows of the replicas' calls are learnt")
    for pod in w.pods:
        told = [e["message"] for e in w.findings(pod)
                if e["severity_id"] > 1 and e["class_uid"] == 2004]  # 2003: how it is made
        check(not told, f"{pod.name}: nothing to distrust", told)
    got = sequences(w)
    check(got["refused"] == 0 and sum(len(x.split()) for x in got["grams"]) > 300,
          "and the orders of their calls", sum(len(x.split()) for x in got["grams"]))
    r = w.node.cli("baseline", "diff", *files(w))
    check("sequence" in r.stdout or r.returncode == 0, "diff knows them", r.stdout)


def files(w):
    one = w.node.path("one.json")
    with open(one, "w") as f:
        f.write(w.node.cli("baseline", "export", "shop/web", "--key", w.private()).stdout)
    return one, "shop/web", "--key", w.private()


def same_life(w):
    w.close_baseline()
    told = w.node.ask("baseline", "list")["baselines"]
    equal([b["sequences"]["notJudged"] for b in told if b["workload"] == "shop/web"], [None],
          "its sequences are judged")
    w.node.ask("runtime", "watch")
    for _ in range(3):
        for pod in w.pods:
            w.ask(pod, LIFE)
        w.node.ask("runtime")
    fresh = w.replica()
    w.node.ask("runtime")
    w.ask(fresh, LIFE)
    for pod in w.pods:
        told = w.findings(pod)
        check(not [e for e in told if ours(e)["detector"] == "anomaly"], f"{pod.name}: no anomaly",
              [e["message"] for e in told])


def ours(event):
    return event["unmapped"]["bulkhead"]


def novel(w):
    for _ in range(3):
        w.ask(w.pods[0], "ppnplpnpnspp")
        w.node.ask("runtime")
    told = w.findings(w.pods[0])
    check(not [e for e in told if ours(e)["detector"] == "anomaly"], "one new call is no anomaly",
          [e["message"] for e in told])


def injected(w):
    victim = w.pods[1]
    w.ask(victim, "ppsippl")
    wait_until(lambda: w.findings(victim, "anomaly"), 60, "an anomaly is found")
    e = w.findings(victim, "anomaly")[0]
    a = e["anomaly_analyses"][0]
    check(float(a["anomalies"][0]["observations"][0]["value"]) >
          float(a["baselines"][0]["observations"][0]["value"]), "with what was measured", a)
    check("python" in e["evidences"][0]["process"]["file"]["path"], "and who did it", e["evidences"])
    equal([len(w.findings(p, "anomaly")) for p in w.pods if p is not victim], [0, 0, 0],
          "nobody else's")


def main():
    w = World()
    with part("learning"):
        learn(w)
    with part("the same life"):
        same_life(w)
    with part("something new"):
        novel(w)
    with part("injected code"):
        injected(w)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

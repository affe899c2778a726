#!/usr/bin/python3
"""The daemon and what it stands on: its database damaged, lost, on a full or read-only file system,
its directories in the hands of another daemon, a socket path nobody could use, too many clients."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni
import testing
import yaml
from control import ask, connect, frame, read
from node import Node, enter, namespace, network_policy, pods_peer
from testing import check, equal, part, run, wait_until
from traffic import comes_true, is_allowed

FOLLOWERS = 24
POLICY = network_policy("s", "friends", {"app": "a"}, ingress=[{"from": [pods_peer(app="a")]}],
                        egress=[{"to": [pods_peer(app="a")]}])


class World:
    def __init__(self):
        self.node = node = Node().start()
        node.write("world.yaml", namespace("s"), POLICY)
        node.sync()
        self.a, self.b = (node.pod("s", n, {"app": "a"}, listen=("80/tcp",)) for n in "ab")
        self.z = node.pod("s", "z", {"app": "z"})
        self.stream = None

    def holds(self, why):
        equal(self.a.agent.probe("tcp", self.b.ip4, 80, timeout=1.5), "open", f"{why}: allowed")
        got = self.z.agent.probe("tcp", self.b.ip4, 80, timeout=0.25)
        check(not is_allowed(got), f"{why}: denied", got)
        if not self.stream:
            self.stream = self.a.agent.stream("tcp", self.b.ip4, 80)
        check(self.stream.lives(), f"{why}: a live connection goes on", self.stream.state)

    def states(self):
        return {p["pod"]: p["state"] for p in self.node.ask("pods")["pods"]}

    @contextlib.contextmanager
    def standing(self):
        """The daemon stands still: it looks after its socket every few seconds, and must not do so
        in the middle of what is done meanwhile."""
        self.node.proc.send_signal(signal.SIGSTOP)
        wait_until(self.is_stopped, 10, "the daemon stands still")
        try:
            yield
        finally:
            self.node.proc.send_signal(signal.SIGCONT)

    def is_stopped(self):
        with open(f"/proc/{self.node.proc.pid}/stat") as f:
            return f.read().rpartition(") ")[2][0] == "T"

    def degraded(self):
        return {d["what"]: d["why"] for d in self.node.ask("status")["degraded"]}

    def fails_to_start(self):
        """What it says."""
        try:
            self.node.start()
        except RuntimeError as e:
            return str(e)
        self.node.kill()
        return None


def mount(w, name, size):
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", w.node.path(name))
    testing.on_exit(lambda: run("umount", "-l", w.node.path(name), check=False))


def fill(w, name):
    run("dd", "if=/dev/zero", "of=" + w.node.path(name, "fill"), "bs=4k", "count=2000", check=False)


def restarts_at_once(w):
    """A new daemon right behind a killed one, while that one's last system calls still run."""
    for _ in range(5):
        w.node.write("x.yaml", namespace("x"))
        w.node.cli("sync")
        w.node.proc.kill()
        w.node.start()
        w.node.remove("x.yaml")
        w.node.sync()
    w.holds("killed and started at once")


def other_daemons(w):
    """A second daemon on any of the same directories ends, and the first never notices."""
    config = yaml.safe_load(open(w.node.path("config.yaml")))
    for shared in ("run state log bpffs", "bpffs", "state", "log", "run"):
        other = json.loads(json.dumps(config))
        for name in other["paths"]:
            if name not in shared.split():
                base = w.node.path("bpffs" if name == "bpffs" else "")
                other["paths"][name] = os.path.join(base, f"other-{name}")
        path = w.node.path("other.yaml")
        with open(path, "w") as f:
            yaml.safe_dump(other, f)
        p = subprocess.run([*enter(w.node.netns), w.node.binary, "--config", path], timeout=20,
                           capture_output=True, text=True, preexec_fn=testing.die_with_parent)
        check(p.returncode == 1 and "another" in p.stderr, f"a second daemon on the same {shared}",
              f"{p.returncode} {p.stderr}")
        equal(w.node.cli("status").returncode, 0, f"same {shared}: the first one answers")
    w.holds("second daemons")
    equal(set(w.states().values()), {"open"}, "second daemons: every pod is open")


def inode(path):
    with contextlib.suppress(OSError):
        return os.stat(path).st_ino
    return None


def damaged(w):
    """Without its records the kernel's pods stay shut, whoever comes and goes, until they are added
    again; and nothing of them is handed to others."""
    for how in ("damaged", "removed"):
        w.stream = None
        w.node.cli("quarantine", "s/z", "--reason", "test")
        w.node.kill()
        for name in os.listdir(w.node.path("state")):
            if how == "removed":
                os.unlink(w.node.path("state", name))
            else:
                with open(w.node.path("state", name), "r+b") as f:
                    f.write(os.urandom(8192))
        w.node.start()
        check("3 interfaces" in w.degraded().get("pods", ""), f"{how}: status says so", w.degraded)
        new = [w.node.pod("s", n, {"app": "a"}, listen=("80/tcp",)) for n in ("n1", "n2")]
        equal(new[0].agent.probe("tcp", new[1].ip4, 80, timeout=1), "open", f"{how}: new pods work")
        outside = w.node.outside()
        got = [outside.probe("tcp", p.ip4, 80, timeout=0.25) for p in (w.a, w.b)]
        check(not any(is_allowed(g) for g in got), f"{how}: nothing reaches the old ones", got)
        got = w.a.agent.probe("tcp", new[0].ip4, 80, timeout=0.25)
        check(not is_allowed(got), f"{how}: they reach nothing", got)
        pin = w.node.link_pin(w.a)
        old = os.stat(pin).st_ino
        run("bpftool", "link", "detach", "pinned", pin)
        wait_until(lambda: inode(pin) not in (None, old), 15, "the program is attached again")
        check(True, f"{how}: a program that was taken off such an interface is back")
        for pod in (w.a, w.b, w.z):
            w.node.chain.call(w.node.chain.conf["plugins"][-1], "ADD", pod.conf, pod.conf["result"])
        equal(w.states()["s/z"], "quarantined", f"{how}: a quarantine outlives its record")
        check(w.node.cli("release", "s/z", "--reason", "test").returncode == 0, f"{how}: released")
        w.holds(f"{how}, added again")
        check("pods" not in w.degraded(), f"{how}, added again: nothing is left to tell")
        for pod in new:
            pod.gone()
    equal(w.node.ask("policy", "verify")["mismatches"], [], "the tables are right")


def full(w):
    """Full disks: enforcement goes on, what could not be written is written later."""
    w.node.kill()
    state = w.node.path("state")
    run("cp", "-a", state, state + ".copy")
    mount(w, "state", "512k")
    mount(w, "log", "256k")
    run("sh", "-c", f"cp -a {state}.copy/. {state}/")
    w.node.start()
    w.holds("small file systems")
    fill(w, "state")
    fill(w, "log")
    for i in range(20):
        w.node.write("n.yaml", *[namespace(f"n{i}-{k}", big="x" * 60) for k in range(60)])
        w.node.sync()
    late = w.node.pod("s", "late", {"app": "a"})
    wait_until(lambda: "state" in w.degraded(), 15, "status says that the disk is full")
    r = w.node.cli("quarantine", "s/late", "--reason", "test", "--ttl", "1s")
    equal(w.states()["s/late"], "quarantined", "full: a quarantine cuts")
    check(r.returncode == 1 and "record" in r.stderr, "full: and says that it is not kept", r.stderr)
    time.sleep(1.2)
    equal(w.node.cli("status").returncode, 0, "full: the end of its time does not hang the daemon")
    w.holds("full")
    os.unlink(w.node.path("state", "fill"))
    os.unlink(w.node.path("log", "fill"))
    wait_until(lambda: "state" not in w.degraded(), 12, "the trouble is over")
    wait_until(lambda: w.states()["s/late"] == "open", 12, "the quarantine's time is over")
    w.node.restart(hard=True)
    w.holds("room again")
    equal(w.states().get("s/late"), "open", "room again: what was added meanwhile is known")
    late.gone()


def read_only(w):
    w.node.kill()
    run("mount", "-o", "remount,ro", w.node.path("state"))
    check("Read-only" in (w.fails_to_start() or ""), "a read-only state directory: refused")
    w.holds("without a daemon")
    run("mount", "-o", "remount,rw", w.node.path("state"))
    w.node.start()
    w.holds("writable again")


def sockets(w):
    w.node.kill()
    check(os.path.exists(w.node.socket), "a killed daemon leaves its socket")
    w.node.start()
    w.node.kill()
    os.unlink(w.node.socket)
    with open(w.node.socket, "w"):
        pass
    check("no socket" in (w.fails_to_start() or ""), "a file in the socket's place: refused")
    os.unlink(w.node.socket)
    path = w.node.path("long.yaml")
    with open(w.node.path("config.yaml")) as f, open(path, "w") as out:
        out.write(f.read().replace(w.node.path("run") + "\n", w.node.path("r" * 120) + "\n"))
    r = run(w.node.binary, "--config", path, "--check", check=False)
    check(r.returncode != 0 and f"{path}:" in r.stderr, "a run directory too long for a socket",
          r.stderr)
    run("rm", "-rf", w.node.path("run"))
    w.node.start()
    equal(oct(os.stat(w.node.socket).st_mode & 0o777), "0o600", "the socket's mode")
    w.holds("a new run directory")


def taken_away(w):
    """The running daemon's socket, or all of its directory, is removed: it listens again."""
    def answers():
        return w.node.cli("quarantine", "--list").returncode == 0

    for what in (w.node.socket, w.node.path("run")):
        with w.standing():
            run("rm", "-rf", what)
            equal(w.node.cli("status").returncode, 3, "no socket, no daemon")
        wait_until(answers, 15, "the daemon listens again")
        equal(oct(os.stat(w.node.socket).st_mode & 0o777), "0o600", "the new socket's mode")
    with socket.socket(socket.AF_UNIX) as other:
        with w.standing():
            os.unlink(w.node.socket)
            other.bind(w.node.socket)
            other.listen()
        wait_until(lambda: "another process listens" in w.node.log(), 15, "the log says who has it")
        check(os.path.exists(w.node.socket), "another process's socket is left alone")
    wait_until(answers, 15, "the daemon listens again")
    w.holds("a socket that was taken away")


class Crowded:
    """A daemon that turns the first clients away."""

    def __init__(self, path, times):
        self.times, self.seen = times, 0
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.server.accept()
            self.seen += 1
            with s:
                if self.seen <= self.times:
                    answer = {"error": {"code": 16, "message": "too many connections",
                                        "retry": True}}
                else:
                    s.recv(4096)
                    answer = {"result": {"quarantines": []}}
                s.sendall(frame(answer))


def turned_away(w):
    """The command line comes again while there is time."""
    path = w.node.path("crowded")
    crowded = Crowded(path, 4)
    r = run(os.path.join(testing.BIN, "bulkhead"), "--socket", path, "quarantine", "--list",
            check=False)
    equal((r.returncode, r.stderr, crowded.seen), (0, "", 5), "turned away four times, then in")
    os.unlink(path)
    crowded = Crowded(path, 10**6)
    r = run(os.path.join(testing.BIN, "bulkhead"), "--socket", path, "sync", "--timeout", "3s",
            check=False)
    check(r.returncode == 1 and "too many connections" in r.stderr and 2 < crowded.seen < 60,
          "turned away for good: it says so", (r.stderr, crowded.seen))


def crowd(w):
    """Quick clients, idle clients and streams nobody reads leave room for ADD."""
    alone = w.node.pod("s", "alone", {"app": "a"})
    alone.gone()
    for i in range(3000):
        with connect(w.node.socket) as s, contextlib.suppress(BrokenPipeError):  # turned away
            if i % 2:
                s.sendall(b"x" * (i % 40))
    idle = []

    def one_more():
        idle.append(connect(w.node.socket))
        try:
            return "result" in ask(idle[-1], "quarantine.list")
        except OSError:  # turned away
            return False

    for _ in range(60):
        wait_until(one_more, 5, "room for one more idle client")
    check(True, "60 idle clients of one user: each is answered")
    refused = []
    streams = []
    for _ in range(FOLLOWERS + 4):
        streams.append(connect(w.node.socket))
        streams[-1].sendall(frame({"verb": "flows", "args": {"follow": True}}))
    for s in streams[FOLLOWERS:]:
        refused.append(read(s).get("error", {}).get("code"))
    equal(refused, [16] * 4, "more streams than one user may have are refused")
    for i in range(50):
        w.node.write("x.yaml", namespace(f"x{i}"))
    late = w.node.pod("s", "crowded", {"app": "a"})
    check(late.add_seconds < 2 + 3 * alone.add_seconds, "ADD beside all of them",
          (late.add_seconds, alone.add_seconds))
    equal(w.node.cli("sync").returncode, 0, "sync beside all of them")
    late.gone()
    for s in idle + streams:
        s.close()
    w.holds("after the crowd")


def growth(w):
    """Neither memory nor descriptors grow with what comes and goes."""
    # events that find no room on the small disk of before are kept in memory for a while
    run("mount", "-o", "remount,size=64m", w.node.path("log"))

    def size():
        rss = w.node.ask("status")["memory"]["rssBytes"]
        return rss, len(os.listdir(f"/proc/{w.node.proc.pid}/fd"))

    pod = w.node.pod("s", "grow", {"app": "a"})
    plugin = w.node.chain.conf["plugins"][-1]
    w.node.chain.call(plugin, "DEL", pod.conf, pod.conf["result"])
    s = connect(w.node.socket)
    wrong = []

    def rounds(n):
        for i in range(n):
            added = ask(s, "cni.add", containerId=f"c{i}", netns=pod.conf["netns"], ifname="eth0",
                        podNamespace="s", podName=f"n{i}", labels=[{"key": "k", "value": f"{i}"}],
                        addresses=pod.ips, timeoutMs=5000, network="pods")
            gone = ask(s, "cni.del", containerId=f"c{i}", ifname="eth0")
            w.node.write("x.yaml", network_policy("s", f"x{i % 7}", {"app": "a"}, ["Ingress"],
                                                  ingress=[{"from": [pods_peer(app=f"q{i}")]}]))
            synced = ask(s, "sync", timeoutMs=5000)
            wrong.extend(r for r in (added, gone, synced) if "result" not in r)

    rounds(200)
    before = size()
    rounds(600)
    equal(wrong[:2], [], "800 ADD, DEL and policy changes")

    def is_as_before():
        now = size()
        return now[0] < before[0] + (2 << 20) and now[1] <= before[1] + 2
    # the last rounds' memory is in use until the next tick gives it back; what leaks stays
    check(comes_true(is_as_before, 15), "they leave neither memory nor descriptors behind",
          lambda: f"{before} {size()}")
    s.close()


def main():
    w = World()
    w.holds("at the start")
    for fn in (restarts_at_once, other_daemons, damaged, full, read_only, sockets, taken_away,
               turned_away, crowd, growth):
        with part(fn.__name__.replace("_", " ")):
            fn(w)


testing.start(needs=[os.path.join(cni.PLUGINS, "bridge")])
testing.main(main)

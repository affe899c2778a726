#!/usr/bin/python3
"""Quarantine of a pod on the node's own network: new calls are refused, open sockets end or fall
silent, also over kill -9 and in a new cgroup; nobody else on the node notices."""
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, enter, namespace
from testing import check, equal, on_exit, part, wait_until
from traffic import Agent, AgentError, comes_true, is_allowed

REMOTE, SELF = "192.0.2.2", "192.0.2.1"  # see node.outside()


def cgroup2():
    with open("/proc/self/mounts") as f:
        for line in f:
            _, path, kind, *_ = line.split()
            if kind == "cgroup2":
                return path
    return None


def make_cgroup(path):
    os.makedirs(path)
    on_exit(lambda: os.path.isdir(path) and os.rmdir(path))


class HostPod:
    """Processes in the node's namespace, in a container's cgroup below the pod's."""

    def __init__(self, w, name, port):
        self.w, self.name, self.port = w, name, port
        self.uid = f"{random.getrandbits(128):032x}"
        self.move()

    def move(self):
        self.dir = os.path.join(self.w.root, f"pod{self.uid}")
        make_cgroup(self.dir)
        inner = os.path.join(self.dir, "c1")
        make_cgroup(inner)
        self.w.node.write(f"{self.name}.yaml", {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": "h", "uid": self.uid},
            "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": "x"}]},
            "status": {"phase": "Running", "podIP": SELF}})
        self.w.node.sync()
        self.agent = Agent([*enter(self.w.node.netns), "sh", "-c",
                            f'echo $$ > {inner}/cgroup.procs; exec "$@"', "sh"])
        self.agent.listen(f"{self.port}/tcp", f"{self.port}/udp")

    def talks(self):
        """Conversations of every kind: what it began and what was begun with it."""
        return {"tcp out": self.agent.stream("tcp", REMOTE, 80),
                "udp out": self.agent.stream("udp", REMOTE, 53),
                "tcp in": self.w.outside.stream("tcp", SELF, self.port),
                "udp in": self.w.outside.stream("udp", SELF, self.port)}

    def quarantine(self, *args):
        return self.w.node.cli("quarantine", f"h/{self.name}", "--reason", "test", *args, "-o",
                               "json")

    def release(self):
        return self.w.node.cli("release", f"h/{self.name}", "--reason", "test").returncode


class World:
    def __init__(self):
        self.node = Node().start()
        self.node.write("base.yaml", namespace("h"))
        self.root = os.path.join(cgroup2(), f"bh-e2e-{os.getpid()}")
        make_cgroup(self.root)
        self.outside = self.node.outside()
        self.outside.listen("80/tcp", "53/udp")
        self.bad = HostPod(self, "bad", 8080)
        self.good = HostPod(self, "good", 8081)
        self.good_talks = self.good.talks()

    def others_live(self, why):
        for kind, s in self.good_talks.items():
            check(s.lives(), f"{why}: another pod's {kind} goes on", s.state)

    def ways(self, pod):
        """What becomes of an attempt each way."""
        out = {}
        for proto, port in (("tcp", 80), ("udp", 53)):
            out[f"{proto} out"] = pod.agent.probe(proto, REMOTE, port, timeout=0.3)
            out[f"{proto} in"] = self.outside.probe(proto, SELF, pod.port, timeout=0.3)
        return out

    def is_cut(self, pod, why):
        for way, got in self.ways(pod).items():
            check(not is_allowed(got), f"{why}: {way}", got)

    def is_open(self, pod, why):
        for proto, port in (("tcp", 80), ("udp", 53)):
            equal(pod.agent.reach(proto, REMOTE, port), "open", f"{why}: {proto} out")
            equal(self.outside.reach(proto, SELF, pod.port), "open", f"{why}: {proto} in")


def cut_and_released(w):
    talks = w.bad.talks()
    w.is_open(w.bad, "before")
    r = w.bad.quarantine()
    equal(r.returncode, 0, "quarantine")
    receipt = json.loads(r.stdout)
    check(receipt["socketsDestroyed"] >= 3, "its connected sockets are ended", receipt)
    for kind, s in talks.items():
        check(s.is_cut(), f"what was open: {kind}", s.state)
    # by an error, which comes with the next number, not by a silence
    check(comes_true(lambda: talks["tcp out"].state()["error"], 10), "its application is told at once",
          talks["tcp out"].state)
    w.is_cut(w.bad, "cut")
    w.others_live("cut")
    rows = json.loads(w.node.cli("quarantine", "--list", "-o", "json").stdout)["quarantines"]
    equal([(q["pod"], q["active"]) for q in rows], [("h/bad", True)], "it is listed")
    w.node.kill()
    w.is_cut(w.bad, "without a daemon")
    w.others_live("without a daemon")
    w.node.start()
    w.is_cut(w.bad, "after kill -9")
    equal(w.bad.release(), 0, "release")
    w.is_open(w.bad, "released")
    equal(pins(w), [], "released: no program is left on its cgroup")
    w.others_live("released")


def pins(w):
    base = w.node.path("bpffs", "bulkhead")
    return [name for d in os.listdir(base) for name in os.listdir(os.path.join(base, d, "links"))
            if name.startswith("cut-")]


def comes_back(w):
    """The record names the pod, not its cgroup."""
    equal(w.bad.quarantine().returncode, 0, "quarantine")
    w.bad.agent.stop()
    w.bad.uid = f"{random.getrandbits(128):032x}"
    w.bad.move()
    # one hook after the other: all of it is cut once the last one is there
    wait_until(lambda: not any(map(is_allowed, w.ways(w.bad).values())), 15,
               "the new cgroup is cut off")
    w.is_cut(w.bad, "in a new cgroup")
    equal(w.bad.release(), 0, "release")
    w.is_open(w.bad, "released from the new cgroup")
    equal(pins(w), [], "released: nothing is left")


def what_cannot_be(w):
    for option in ("--allow", "10.0.0.0/8"), ("--evidence", w.node.path("ev")):
        if option[0] == "--evidence":
            os.mkdir(option[1])
        r = w.bad.quarantine(*option)
        check(r.returncode == 1 and "node's network" in r.stderr, f"{option[0]}: refused, and why",
              r.stderr)
    w.is_open(w.bad, "refused")


def stopped_and_killed(w):
    def answers():
        try:
            return w.bad.agent.call("probe", patience=0.5, targets=[], timeout=0.1) == []
        except AgentError:
            return False

    r = w.bad.quarantine("--freeze")
    receipt = json.loads(r.stdout)
    check(receipt["frozen"] and not answers(), "frozen", receipt)
    equal(w.bad.release(), 0, "release")
    wait_until(answers, 15, "it goes on")
    w.is_open(w.bad, "goes on")
    receipt = json.loads(w.bad.quarantine("--kill").stdout)
    check(receipt["killed"] >= 1 and w.bad.agent.proc.wait(15), "killed", receipt)
    w.others_live("killed")


def main():
    w = World()
    for fn in (cut_and_released, comes_back, what_cannot_be, stopped_and_killed):
        with part(fn.__name__.replace("_", " ")):
            fn(w)


testing.start()
if not cgroup2():
    testing.skip("needs a cgroup2 hierarchy")
testing.main(main)

#!/usr/bin/python3
"""SIGKILL at any moment of ADD, DEL, vanished pods and policy changes. After each start every pod is
enforced, nothing is left of pods that are gone, and a connection that stays allowed never noticed."""
import glob
import json
import os
import random
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni
import testing
from node import Node, namespace, network_policy, pods_peer, ports
from testing import check, equal, part, run
from traffic import is_allowed

ROUNDS = 25
SEED = int(os.environ.get("BH_SEED", "1"))


class World:
    def __init__(self, rng):
        self.rng = rng
        self.node = node = Node().start()
        node.write("base.yaml", namespace("k"),
                   network_policy("k", "out", None, ["Egress"], egress=[{}]),
                   network_policy("k", "keep", {"app": "friend"}, ["Ingress"],
                                  ingress=[{"from": [pods_peer(app="friend")]}]))
        node.sync()
        self.fixed = [node.pod("k", f"f{i}", {"app": "friend" if i < 2 else "other"},
                               listen=("80/tcp",)) for i in range(3)]
        self.stream = self.fixed[0].agent.stream("tcp", self.fixed[1].ip4, 80)
        self.pods = {}
        self.count = 0

    # ---- what happens all the time ----

    def step(self):
        kind = self.rng.random()
        if kind < 0.4 or not self.pods:
            self.add()
        elif kind < 0.65:
            self.drop(self.take(), True)
        elif kind < 0.75:
            self.drop(self.take(), False)
        else:
            port = self.rng.choice([80, 81, 82])
            peer = pods_peer(app=self.rng.choice(["friend", "other"]))
            self.node.write(f"x{self.rng.randrange(5)}.yaml", network_policy(
                "k", f"x{self.rng.randrange(5)}", {"app": "other"}, ["Ingress"],
                ingress=[{"from": [peer], "ports": ports(f"{port}/TCP")}]))

    def add(self):
        self.count += 1
        pod = self.node.new_pod("k", f"p{self.count}",
                                {"app": self.rng.choice(["friend", "other"])})
        self.pods[pod.name] = pod
        try:
            pod.add()
            pod.is_added = True
        except cni.CniError:
            pod.is_added = False

    def take(self):
        return self.pods.pop(self.rng.choice(sorted(self.pods)))

    def drop(self, pod, with_del):
        if with_del:
            for plugin in reversed(self.node.chain.conf["plugins"]):
                try:
                    self.node.chain.call(plugin, "DEL", pod.conf, pod.conf.get("result"))
                except cni.CniError:
                    pass  # a runtime would try again; the namespace goes anyway
        pod.agent.stop()
        run("ip", "netns", "del", pod.ns)

    def until_killed(self):
        timer = threading.Timer(self.rng.random() * 0.2, self.node.proc.send_signal,
                                [signal.SIGKILL])
        timer.start()
        while timer.is_alive():
            self.step()
        self.node.proc.wait(10)
        self.step()

    # ---- what must hold ----

    def links(self):
        """The daemon's own: other tests have interfaces of the same number in other namespaces."""
        return len(glob.glob(os.path.join(self.node.path("bpffs", "bulkhead"), "abi*", "links", "[0-9]*gress")))

    def wrong(self):
        """What does not hold, as text; None when all does."""
        rows = {r["pod"]: r for r in self.node.ask("pods")["pods"]}
        want = {p.name for p in [*self.pods.values(), *self.fixed] if p in self.fixed or p.is_added}
        failed = {p.name for p in self.pods.values() if not p.is_added}
        if want - set(rows) or set(rows) - want - failed:
            return f"pods: missing {want - set(rows)}, too many {set(rows) - want - failed}"
        for name in want:
            if rows[name]["state"] != "open":
                return f"{name} is {rows[name]['state']}: {rows[name]['why']}"
        if any(rows[n]["state"] == "open" for n in failed & set(rows)):
            return f"a pod whose ADD failed is open: {failed}"
        mismatches = self.node.ask("policy", "verify")["mismatches"]
        if mismatches:
            return f"verify: {mismatches[:2]}"
        maps = {m["name"]: m["used"] for m in self.node.ask("status")["maps"]}
        if maps["endpoint"] != len(rows) or maps["slot_by_cookie"] != len(rows):
            return f"slots: {maps} for {len(rows)} pods"
        return self.wrong_packets()

    def wrong_packets(self):
        server = self.fixed[1]
        for pod in [self.fixed[0], self.fixed[2], *list(self.pods.values())[-2:]]:
            if pod not in self.fixed and not pod.is_added:
                continue
            want = pod.conf["labels"]["app"] == "friend"
            got = pod.agent.probe("tcp", server.ip4, 80, timeout=1 if want else 0.12)
            if is_allowed(got) != want:
                return f"{pod.name} {pod.conf['labels']}: {got}"
        return None if self.stream.lives() else f"the stream: {self.stream.state()}"

    def clear_failed(self):
        for name in [n for n, p in self.pods.items() if not p.is_added]:
            self.drop(self.pods.pop(name), True)


def main():
    w = World(random.Random(SEED))
    with part(f"{ROUNDS} kills, seed {SEED}"):
        for n in range(ROUNDS):
            w.until_killed()
            w.node.start()
            w.node.sync()
            wrong = w.wrong()
            if not check(not wrong, f"kill {n}", wrong):
                break
            w.clear_failed()
    with part("the end"):
        for pod in list(w.pods.values()):
            w.drop(pod, True)
        w.pods.clear()
        w.node.sync()
        equal(w.wrong(), None, "everything that came is gone")
        equal(w.links(), 2 * len(w.fixed), "programs are attached to what is left, and nowhere else")


testing.start(needs=[os.path.join(cni.PLUGINS, "bridge")])
testing.main(main)

#!/usr/bin/python3
"""Every CNI command against a real daemon, exactly as a runtime calls the plugin: versions, codes,
DEL in all its forms, GC, CHECK, STATUS, odd previous results, calls that cross each other, a daemon
that hangs."""
import copy
import glob
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni
import testing
from node import Node, namespace, network_policy, pods_peer
from testing import check, equal, part, wait_until
from traffic import is_allowed

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
POLICY = network_policy("r", "friends", {"app": "a"}, ingress=[{"from": [pods_peer(app="a")]}],
                        egress=[{"to": [pods_peer(app="a")]}])
NOBODY = {"id": "", "netns": "", "args": "", "ifname": ""}


class World:
    def __init__(self):
        self.node = Node().start()
        self.node.write("world.yaml", namespace("r"), POLICY)
        self.node.sync()
        self.peer = self.node.pod("r", "peer", {"app": "a"}, listen=("80/tcp",))
        self.count = 0

    def call(self, command, conf, prev=None, version=None, env=None, **keys):
        """Our plugin alone: (code, message) of its error, else (0, what it printed)."""
        chain = cni.Chain({**self.node.chain.conf,
                           "cniVersion": version or self.node.chain.conf["cniVersion"],
                           "name": keys.pop("network", "pods")},
                          self.node.chain.enter, self.node.chain.path)
        plugin = {**self.node.chain.conf["plugins"][-1], **keys}
        try:
            return 0, chain.call(plugin, command, conf, prev, env)
        except cni.CniError as e:
            return e.code, e.msg

    def bare(self, labels=None, **more):
        """A pod that the plugins before ours have made; its result, not ours, in .prev."""
        self.count += 1
        pod = self.node.new_pod("r", f"p{self.count}", labels or {"app": "a"}, **more)
        pod.prev = None
        for plugin in pod.chain.conf["plugins"][:-1]:
            pod.prev = pod.chain.call(plugin, "ADD", pod.conf, pod.prev)
        pod.conf["result"] = pod.prev
        pod.learn(pod.prev)
        return pod

    def rows(self):
        return {(p["containerId"], p["interface"]): p for p in self.node.ask("pods")["pods"]}

    def row(self, pod):
        return self.rows().get((pod.conf["id"], pod.conf.get("ifname", "eth0")))

    def links(self):
        return len(glob.glob(os.path.join(self.node.path("bpffs", "bulkhead"), "abi*", "links",
                                          "[0-9]*gress")))

    def is_whole(self, why):
        equal(self.links(), 2 * len(self.rows()), f"{why}: programs are where pods are")
        equal(self.node.ask("policy", "verify")["mismatches"], [], f"{why}: the tables are right")

    def reaches(self, pod, name, want=True):
        got = pod.agent.probe("tcp", self.peer.ip4, 80, timeout=1.5 if want else 0.3)
        check(is_allowed(got) == want, name, got)


def versions(w):
    for version in VERSIONS:
        pod = w.bare()
        code, out = w.call("ADD", pod.conf, pod.prev, version)
        check(code == 0 and out["cniVersion"] == version, f"{version}: ADD", (code, out))
        old = version.startswith("0")
        equal([("version" in ip) for ip in out["ips"]], [old] * len(out["ips"]),
              f"{version}: addresses in its form")
        same = {**out, "cniVersion": None, "ips": [{**ip, "version": None} for ip in out["ips"]]}
        want = {**pod.prev, "cniVersion": None,
                "ips": [{**ip, "version": None} for ip in pod.prev["ips"]]}
        equal(same, want, f"{version}: all else unchanged")
        equal(w.call("CHECK", pod.conf, out, version)[0], 0, f"{version}: CHECK")
        w.reaches(pod, f"{version}: it works")
        equal(w.call("DEL", pod.conf, out, version), (0, None), f"{version}: DEL")
        pod.gone()
    equal(w.call("ADD", w.peer.conf, w.peer.conf["result"], "0.2.0")[0], 1, "0.2.0: code 1")
    w.node.sh(f"ip link set {w.peer.host_if} up")


def identity(w):
    for args, code in (("K8S_POD_NAMESPACE=A", 4), ("K8S_POD_NAMESPACE=a.b", 4),
                       ("K8S_POD_NAME=../../etc", 4), ("K8S_POD_NAME=" + "a" * 254, 4),
                       ("K8S_POD_UID=a b", 4), ("K8S_POD_INFRA_CONTAINER_ID=a/b", 4),
                       ("K8S_POD_NAME=a;K8S_POD_NAME=b", 4), ("FOO=bar", 4), ("K8S_POD_NAME", 4),
                       ("IgnoreUnknown=1;FOO=bar;K8S_POD_NAMESPACE=r;K8S_POD_NAME=", 0),
                       ("", 0)):
        pod = w.bare()
        equal(w.call("ADD", {**pod.conf, "args": args}, pod.prev)[0], code, f"CNI_ARGS {args[:40]!r}")
        row = w.row(pod)
        equal(bool(row), code == 0, f"CNI_ARGS {args[:40]!r}: registered or not")
        if code == 0:
            want = ("default" if not args else "r") + "/" + pod.conf["id"]
            equal(row["pod"], want, f"CNI_ARGS {args[:40]!r}: named by its container")
        equal(w.call("DEL", {**pod.conf, "args": args})[0], 0, f"CNI_ARGS {args[:40]!r}: DEL")
        pod.gone()
    pod = w.bare()
    for env in ({"CNI_CONTAINERID": ""}, {"CNI_CONTAINERID": "-a"}, {"CNI_IFNAME": "a/b"},
                {"CNI_IFNAME": "x" * 16}, {"CNI_NETNS": "relative"}, {"CNI_NETNS": ""},
                {"CNI_COMMAND": "add"}, {"CNI_COMMAND": ""}):
        equal(w.call("ADD", pod.conf, pod.prev, env=env)[0], 4, f"ADD with {env}")
    pod.gone()
    w.is_whole("bad names")


def previous_results(w):
    """What the plugin before us may say."""
    def row(name, want, change):
        pod = w.bare()
        prev = copy.deepcopy(pod.prev)
        change(prev)
        code, out = w.call("ADD", pod.conf, prev)
        equal(code, want, f"prevResult {name}")
        if not code:
            equal(out, {**prev, "cniVersion": "1.0.0"}, f"prevResult {name}: unchanged")
            equal(w.row(pod)["state"], "open", f"prevResult {name}: open")
            w.reaches(pod, f"prevResult {name}: reaches", bool(prev.get("ips")))
        pod.gone()

    def no_sandbox(prev):
        for i in prev["interfaces"]:
            i.pop("sandbox", None)

    def no_list(prev):
        del prev["interfaces"]
        for ip in prev["ips"]:
            del ip["interface"]

    row("as it is", 0, lambda p: None)
    row("without cniVersion", 0, lambda p: p.pop("cniVersion"))
    row("without a sandbox", 7, no_sandbox)
    row("without interfaces", 0, no_list)
    row("with one address twice", 0, lambda p: p["ips"].append(dict(p["ips"][0])))
    row("without addresses", 0, lambda p: p.pop("ips"))
    row("with more than we know", 0, lambda p: p.update(
        {"dns": {"nameservers": ["10.0.0.1"]}, "x": [1.5, None, {"y": 2 ** 53 + 1}, "ä\n"]}))
    row("with a bad address", 7, lambda p: p["ips"][0].update(address="10.0.0.300/24"))
    row("with an address of no interface", 7, lambda p: p["ips"][0].update(interface=9))
    row("of an unknown version", 1, lambda p: p.update(cniVersion="2.0.0"))
    w.is_whole("previous results")


def deletes(w):
    pod = w.bare()
    equal(w.call("DEL", pod.conf, pod.prev), (0, None), "DEL before ADD")
    equal(w.call("ADD", pod.conf, pod.prev)[0], 0, "ADD")
    equal(w.call("ADD", pod.conf, pod.prev)[0], 0, "ADD twice")
    w.reaches(pod, "ADD twice: it works")
    equal(w.call("DEL", {**pod.conf, "ifname": "eth9"}), (0, None), "DEL of another interface")
    equal(w.row(pod)["state"], "open", "DEL of another interface changes nothing")
    equal(w.call("DEL", {**pod.conf, "netns": "", "args": ""}), (0, None),
          "DEL without a namespace and a previous result")
    check(not w.row(pod), "it is gone")
    equal(w.call("DEL", {**pod.conf, "netns": ""}), (0, None), "DEL twice")
    w.reaches(pod, "after DEL nothing passes", False)
    equal(w.call("ADD", pod.conf, pod.prev)[0], 0, "ADD after DEL")
    w.reaches(pod, "ADD after DEL: it works")
    pod.agent.stop()
    testing.run("ip", "netns", "del", pod.ns)
    equal(w.call("DEL", pod.conf, pod.prev), (0, None), "DEL of a namespace that is gone")
    w.is_whole("DEL")


def collects(w):
    pods = [w.bare() for _ in range(3)]
    for p in pods[:2]:
        equal(w.call("ADD", p.conf, p.prev)[0], 0, "ADD")
    equal(w.call("ADD", pods[2].conf, pods[2].prev, network="other")[0], 0, "ADD in another network")
    first, second, other = ((p.conf["id"], "eth0") for p in pods)
    peer = {"containerID": w.peer.conf["id"], "ifname": "eth0"}

    def gc(valid, **more):
        return w.call("GC", NOBODY, None, "1.1.0", **{"cni.dev/valid-attachments": valid}, **more)

    equal(w.call("GC", NOBODY, None, "1.1.0")[0], 7, "GC without a list: refused")
    equal(gc([{"containerID": "a"}])[0], 7, "GC with half an attachment: refused")
    equal(len(w.rows()), 4, "a refused GC removes nothing")
    equal(gc([peer, {"containerID": first[0], "ifname": "eth0"},
              {"containerID": second[0], "ifname": "eth1"}]), (0, None), "GC")
    rows = w.rows()
    check(first in rows and second not in rows and other in rows,
          "GC: what is not in the list, of this network only", list(rows))
    w.reaches(pods[1], "GC: what was removed passes nothing", False)
    w.reaches(pods[0], "GC: what was kept works")
    equal(gc([], network="none"), (0, None), "GC of a network nobody knows")
    equal(gc([peer]), (0, None), "GC of all but one")
    equal(set(w.rows()), {(w.peer.conf["id"], "eth0"), other}, "GC: the other network is left alone")
    equal(gc([peer], network="other"), (0, None), "GC of the other network")
    for p in pods:
        equal(w.call("DEL", p.conf)[0], 0, "DEL after GC")
        p.gone()
    w.is_whole("GC")


def checks(w):
    pod = w.bare()
    equal(w.call("CHECK", pod.conf, pod.prev)[0], 101, "CHECK before ADD: code 101")
    equal(w.call("ADD", pod.conf, pod.prev)[0], 0, "ADD")
    equal(w.call("CHECK", pod.conf, pod.prev), (0, None), "CHECK")
    w.node.sh(f"ip link set {pod.host_if} down")
    code, text = w.call("CHECK", pod.conf, pod.prev)
    check(code == 101 and "down" in text, "CHECK finds a link that is down", (code, text))
    w.node.sh(f"ip link set {pod.host_if} up")
    equal(w.call("CHECK", pod.conf, pod.prev), (0, None), "CHECK: up again")
    equal(w.call("CHECK", {**pod.conf, "netns": w.peer.conf["netns"]}, w.peer.conf["result"])[0], 101,
          "CHECK with another namespace")
    equal(w.call("CHECK", pod.conf)[0], 7, "CHECK without a previous result")
    pod.gone()


def hangs(w):
    """The daemon does not answer: calls end in time, and what it does later opens nothing."""
    pod = w.bare()
    w.node.proc.send_signal(signal.SIGSTOP)
    took = []

    def call(*args):
        began = time.monotonic()
        code, _ = w.call(*args, timeoutSeconds=1)
        took.append(time.monotonic() - began)
        return code
    try:
        equal(call("ADD", pod.conf, pod.prev), 11, "ADD, it hangs: code 11")
        equal(call("STATUS", NOBODY, None, "1.1.0"), 50, "STATUS, it hangs: 50")
        equal(call("DEL", pod.conf), 11, "DEL, it hangs: code 11")
        equal(call("CHECK", pod.conf, pod.prev), 11, "CHECK, it hangs: 11")
        # of 1 s; the 10 s that they have otherwise would show
        check(max(took) < 8, "each within its time", took)
    finally:
        w.node.proc.send_signal(signal.SIGCONT)
    w.node.sync()
    w.node.sh(f"ip link set {pod.host_if} up")
    row = w.row(pod)
    check(not row or row["state"] == "shut", "what was asked meanwhile opens nothing", row)
    if row:
        w.reaches(pod, "it is shut", False)
    equal(w.call("ADD", pod.conf, pod.prev)[0], 0, "ADD again")
    w.reaches(pod, "ADD again: it works")
    pod.gone()
    w.is_whole("a daemon that hung")


def cannot_enforce(w):
    """A first publish that fails: no ADD, and STATUS says so; what is enforced stays."""
    pod = w.bare()
    os.environ["BULKHEAD_FAULT"] = "row:1:ENOMEM"
    w.node.restart(hard=True)
    code, text = w.call("STATUS", NOBODY, None, "1.1.0")
    check(code == 50 and "memory" in text, "STATUS 50 and why", (code, text))
    equal(w.call("ADD", pod.conf, pod.prev)[0], 11, "ADD: code 11")
    del os.environ["BULKHEAD_FAULT"]
    w.node.restart(hard=True)
    equal(w.call("STATUS", NOBODY, None, "1.1.0"), (0, None), "STATUS once it can")
    equal(w.call("ADD", pod.conf, pod.prev)[0], 0, "ADD once it can")
    w.reaches(pod, "it works")
    pod.gone()
    w.node.stop()
    equal(w.call("STATUS", NOBODY, None, "1.1.0")[0], 50, "STATUS 50 without a daemon")
    equal(w.call("GC", NOBODY, None, "1.1.0", **{"cni.dev/valid-attachments": []})[0], 11,
          "GC without a daemon: code 11")
    w.node.start()


def crossing(w):
    """ADD, DEL and CHECK of the same pods at the same time: whatever wins, nothing is half."""
    rng = random.Random(int(os.environ.get("BH_SEED", "1")))
    pods = [w.bare() for _ in range(4)]

    def worker(seed):
        own = random.Random(seed)
        for _ in range(12):
            pod = own.choice(pods)
            w.call(own.choice(("ADD", "ADD", "DEL", "CHECK")), pod.conf, pod.prev)

    threads = [threading.Thread(target=worker, args=(rng.random(),)) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    w.is_whole("crossing calls")
    for pod in pods:
        equal(w.call("ADD", pod.conf, pod.prev)[0], 0, "ADD after the crossing")
        w.reaches(pod, "after the crossing")
        pod.gone()
    w.node.sync()
    equal(len(w.rows()), 1, "all of them are gone")
    w.is_whole("after the crossing")


def main():
    w = World()
    for fn in (versions, identity, previous_results, deletes, collects, checks, hangs,
               cannot_enforce, crossing):
        with part(fn.__name__.replace("_", " ")):
            fn(w)
    wait_until(w.node.is_alive, 1, "the daemon")


testing.start(needs=[os.path.join(cni.PLUGINS, "bridge")])
testing.main(main)

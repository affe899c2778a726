#!/usr/bin/python3
"""What does not fit and what fails: one policy that is too large is refused by its name while all
else goes on; a map that is full or a write that fails leaves the old policy whole."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, namespace, network_policy, pods_peer, ports, segmentation_policy
from testing import check, equal, part, wait_until
from traffic import is_allowed


def simple(name, port):
    return network_policy("l", name, {"app": "b"}, ["Ingress"],
                          ingress=[{"from": [pods_peer(app="a")], "ports": ports(port)}])


def large(name, first=0, n=5000, **more):
    """Names more executables than there is room for on a node."""
    return segmentation_policy("l", name, {"app": "b"}, egress=[
        {"to": [pods_peer(app="a")], "processes": [f"/usr/bin/x{first + i}" for i in range(n)],
         **more}])


def blocks(n):
    """ipBlocks as text: the YAML library takes its time for as many."""
    items = "\n".join(f"   - ipBlock: {{cidr: {11 + i // 65536}.{i // 256 % 256}.{i % 256}.0/24, "
                      f"except: [{11 + i // 65536}.{i // 256 % 256}.{i % 256}.4/30]}}"
                      for i in range(n))
    return ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
            "metadata: {name: blocks, namespace: l}\n"
            "spec:\n podSelector: {matchLabels: {app: b}}\n policyTypes: [Egress]\n egress:\n"
            f" - to:\n{items}\n")


class World:
    def __init__(self, default="deny"):
        self.node = node = Node(default=default).start()
        node.write("base.yaml", namespace("l"),
                   network_policy("l", "out", {"app": "a"}, ["Egress"], egress=[{}]),
                   simple("p", "80/TCP"))
        node.sync()
        self.a = node.pod("l", "a", {"app": "a"}, listen=("80/tcp",))
        self.b = node.pod("l", "b", {"app": "b"}, listen=("80/tcp", "81/tcp", "82/tcp"))
        self.stream = self.a.agent.stream("tcp", self.b.ip4, 80)
        self.count = 0

    def end(self):
        self.node.stop()
        for name in os.listdir("/run/netns"):  # the next node has the same names
            testing.run("ip", "netns", "del", name)

    def allowed(self, port, want=True):
        got = self.a.agent.probe("tcp", self.b.ip4, port, timeout=1 if want else 0.2)
        return is_allowed(got) == want

    def refused(self):
        """The policies that are not live: {name: why}"""
        return {p["name"]: p["why"] for p in self.node.ask("status")["policies"] if not p["live"]}

    def holds(self, why, new_pod=True):
        check(self.node.is_alive() and self.allowed(80) and self.allowed(82, False),
              f"{why}: the old policy is whole")
        check(self.stream.lives(), f"{why}: a live connection goes on", self.stream.state)
        if new_pod:
            self.count += 1
            pod = self.node.pod("l", f"n{self.count}", {"app": "b"}, listen=("80/tcp",))
            equal(self.a.agent.probe("tcp", pod.ip4, 80, timeout=1), "open",
                  f"{why}: a new pod has its policy")
            pod.gone()

    def goes_on(self, why, *names):
        """Other changes are enforced; exactly these policies are not."""
        self.node.write("good.yaml", simple("good", "81/TCP"))
        said = self.node.cli("sync", "--timeout", "60s").stderr
        check(self.allowed(81), f"{why}: another new policy is enforced")
        self.node.remove("good.yaml")
        self.node.cli("sync", "--timeout", "60s")
        check(self.allowed(81, False), f"{why}: its removal too")
        got = self.refused()
        equal(set(got), set(names), f"{why}: exactly the policies that do not fit are not live")
        check(all(f"'l/{n}'" in (got.get(n) or "") for n in names),
              f"{why}: each with a sentence that names it", got)
        check(any(n in said for n in names), f"{why}: sync says so", said)

    def recovers(self, why):
        equal(self.node.cli("sync", "--timeout", "60s").returncode, 0, f"{why}: gone, and all is well")
        equal((self.refused(), self.node.ask("status")["publish"]["lastFailure"]), ({}, None),
              f"{why}: nothing is left to tell")
        equal(self.node.ask("policy", "verify")["mismatches"], [], f"{why}: the tables are right")


def one_too_large(w):
    for why, name, document in (("executables", "exes", large("exes")),
                                ("address blocks", "blocks", blocks(40000))):
        w.node.write("over.yaml", document)
        equal(w.node.cli("sync", "--timeout", "60s").returncode, 1, f"{why}: sync fails")
        w.holds(why)
        w.goes_on(why, name)
        w.node.remove("over.yaml")
        w.recovers(why)


def several(w):
    """Two that do not fit together, one that never does, and good ones in the same change."""
    w.node.write("over.yaml", large("x1", 0, 3000), large("x2", 3000, 3000), large("x3"),
                 simple("c1", "81/TCP"), simple("c2", "83/TCP"))
    w.node.cli("sync", "--timeout", "60s")
    check(w.allowed(81), "several: the good ones of the same change are enforced")
    got = w.refused()
    check(len(got) == 2 and "x3" in got, "several: as few as need be are refused", got)
    w.holds("several")
    w.node.write("over.yaml", large("x2", 3000, 3000))
    w.recovers("several")
    w.node.remove("over.yaml")
    w.recovers("several: the rest")


def grows(w):
    """A policy in force becomes too large: its last good version stays, over a restart as well."""
    w.node.write("grown.yaml", segmentation_policy(
        "l", "grown", {"app": "b"}, ["Ingress"],
        ingress=[{"from": [pods_peer(app="a")], "ports": ports("81/TCP")}]))
    w.node.sync()
    check(w.allowed(81), "grown: while it fits")
    grown = large("grown")
    grown["spec"]["policyTypes"] = ["Ingress", "Egress"]
    grown["spec"]["ingress"] = [{"from": [pods_peer(app="a")], "ports": ports("82/TCP")}]
    w.node.write("grown.yaml", grown)
    w.node.cli("sync", "--timeout", "60s")
    check(w.allowed(81) and w.allowed(82, False), "grown: the version that fits stays")
    w.holds("grown")
    w.node.restart(hard=True)
    w.holds("grown, after kill -9")
    check(w.allowed(82, False), "grown, after kill -9: the large version opens nothing")
    equal(set(w.refused()), {"grown"}, "grown, after kill -9: only it is not live")
    w.node.remove("grown.yaml")
    w.recovers("grown")


def deny_is_not_lost(w):
    """After a restart a Deny rule that does not fit must not be left out: nothing opens."""
    deny = segmentation_policy("l", "deny", {"app": "b"}, ["Ingress"], ingress=[
        {"action": "Deny", "from": [pods_peer(app="a")], "ports": ports("81/TCP")}])
    w.node.write("deny.yaml", deny, simple("allow", "81/TCP"))
    w.node.sync()
    check(w.allowed(81, False), "deny: it wins")
    over = large("deny")
    over["spec"]["policyTypes"] = ["Ingress", "Egress"]
    over["spec"]["ingress"] = deny["spec"]["ingress"]
    w.node.write("deny.yaml", over, simple("allow", "81/TCP"))
    w.node.cli("sync", "--timeout", "60s")
    check(w.allowed(81, False), "deny, too large: its last good version wins")
    w.node.restart(hard=True)
    check(w.allowed(81, False), "deny, too large, after kill -9: still nothing is opened")
    check(w.allowed(80, False), "deny, too large, after kill -9: all of its pods' ingress is denied")
    why = w.refused()
    check(set(why) == {"deny"} and "everything to the pods it selects is denied" in why["deny"],
          "deny, too large, after kill -9: status names it and says what is in its place", why)
    pod = w.node.pod("l", "other", {"app": "c"}, listen=("80/tcp",))
    w.node.write("other.yaml", network_policy("l", "other", {"app": "c"}, ["Ingress"],
                                              ingress=[{"from": [pods_peer(app="a")]}]))
    w.node.cli("sync", "--timeout", "60s")
    equal(w.a.agent.probe("tcp", pod.ip4, 80, timeout=1), "open",
          "deny, too large, after kill -9: all else goes live, for new pods too")
    pod.gone()
    w.node.remove("other.yaml")
    w.node.remove("deny.yaml")
    w.node.cli("sync", "--timeout", "60s")
    w.recovers("deny")
    w.stream.close()
    w.stream = w.a.agent.stream("tcp", w.b.ip4, 80)
    w.holds("deny, gone")


def default_is_open(_):
    """Where the default is to allow, a policy that is left out must isolate its pods all the same."""
    w = World(default="kubernetes")
    over = large("over")
    w.node.write("over.yaml", over)
    outside = w.node.pod("l", "c", {"app": "c"}, listen=("80/tcp",))

    def holds(why):
        check(not is_allowed(w.b.agent.probe("tcp", outside.ip4, 80, timeout=0.2)),
              f"{why}: its pods stay isolated")
        equal(outside.agent.probe("tcp", w.a.ip4, 80, timeout=1), "open",
              f"{why}: others are open")
        equal(set(w.refused()), {"over"}, f"{why}: only it is not live")
        w.holds(why)

    equal(w.node.cli("sync", "--timeout", "60s").returncode, 1, "default kubernetes: sync fails")
    holds("default kubernetes")
    w.node.restart(hard=True)
    holds("default kubernetes, after kill -9")
    w.node.remove("over.yaml")
    w.recovers("default kubernetes")
    equal(w.b.agent.probe("tcp", outside.ip4, 80, timeout=1), "open",
          "default kubernetes: open again without it")
    w.end()


def full_map(w):
    """A table without room: the old policy whole, the new one told, and both when room returns."""
    many = [network_policy("l", f"m{i}", {"app": "b"}, ["Ingress"],
                           ingress=[{"from": [pods_peer(**{f"k{i}": "v"})]}]) for i in range(40)]
    peers = [{"apiVersion": "v1", "kind": "Pod",
              "metadata": {"name": f"peer{i}", "namespace": "l", "labels": {f"k{i}": "v"}},
              "status": {"podIP": f"10.66.0.{i + 1}", "phase": "Running"}} for i in range(40)]
    w.node.write("many.yaml", *many, *peers)
    r = w.node.cli("sync", "--timeout", "60s")
    check(r.returncode == 1 and r.stderr, "a full map: sync fails and says why", r.stderr)

    def holds(why):
        w.holds(why)
        got = w.refused()
        check(got and set(got) < {f"m{i}" for i in range(40)} and
              all("has no room" in v for v in got.values()),
              f"{why}: some policies are not live, each says why", got)
        equal(w.node.ask("policy", "verify")["mismatches"], [], f"{why}: the tables are right")

    holds("a full map")
    w.goes_on("a full map", *w.refused())
    w.node.restart(hard=True)
    holds("a full map, after kill -9")
    w.node.remove("many.yaml")
    w.recovers("a full map")
    w.end()


def failing_writes(w):
    """A write that fails at every place of a publish in turn."""
    w.stream.close()
    for number in (1, 2, 3, 5, 8, 13):
        os.environ["BULKHEAD_FAULT"] = f"row:{number}:ENOMEM"
        w.node.restart(hard=True)
        w.stream = w.a.agent.stream("tcp", w.b.ip4, 80)
        w.node.write("f.yaml", *[simple(f"f{i}", f"{8100 + i}/TCP") for i in range(number)])
        w.node.cli("sync", "--timeout", "60s")
        w.holds(f"write {number} fails", new_pod=False)
        w.node.remove("f.yaml")
        w.node.cli("sync", "--timeout", "60s")
        w.stream.close()
    del os.environ["BULKHEAD_FAULT"]
    w.node.restart(hard=True)
    w.stream = w.a.agent.stream("tcp", w.b.ip4, 80)
    w.holds("no more faults")
    wait_until(lambda: not w.refused(), 15, "every policy live")
    w.recovers("no more faults")


def main():
    w = World()
    for fn in (one_too_large, several, grows, deny_is_not_lost, failing_writes):
        with part(fn.__name__.replace("_", " ")):
            fn(w)
    os.environ.pop("BULKHEAD_FAULT", None)
    w.end()
    with part("default is open"):
        default_is_open(w)
    os.environ["BULKHEAD_MAP_MAX"] = "peer4=24"
    with part("a full map"):
        full_map(World())


testing.start()
testing.main(main)

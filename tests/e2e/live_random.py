#!/usr/bin/python3
"""Random worlds on live packets: pods of both families, labels, named ports, NetworkPolicies and
SegmentationPolicies with Deny and expiry, changed at random round after round. In every round all must
say the same: `policy test`, `policy matrix` and `policy explain` of the running daemon, connections by
socket, frames past the sockets, and `policy verify`.

  live_random.py [--seed N] [--seconds N] [--rounds N]

The same seed plays the same worlds; addresses differ."""
import argparse
import json
import os
import random
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.realpath(__file__)),
                os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib")]
import rawcells
import testing
from node import SUBNET4, SUBNET6, Node, namespace
from testing import check
from traffic import is_allowed

NAMESPACES = ("a", "b", "c")
PODS = (("a", "p1"), ("a", "p2"), ("a", "p3"), ("b", "p1"), ("b", "p2"), ("c", "p1"))
SERVED = ("80/tcp", "81/tcp", "53/udp", "80/udp")
PLACES = ("80/TCP", "81/TCP", "53/UDP", "80/UDP", "80/SCTP", "ICMP")
QUICK_S, PATIENT_S = 0.25, 10
MAX_POLICIES = 8
MAX_SHOWN = 4
EXPLAINED = 10  # cells a round


class Dice:
    """Everything that is random, from one seed."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.made = 0

    def one_in(self, n):
        return self.r.randrange(n) == 0

    def pick(self, items):
        return self.r.choice(items)

    def some(self, make, low, high):
        return [make() for _ in range(self.r.randint(low, high))]

    def pod_labels(self):
        labels = {"app": self.pick(("w", "d", "q"))}
        if self.one_in(2):
            labels["tier"] = self.pick(("", "1"))
        return labels

    def namespace_labels(self):
        return self.pick(({}, {"team": "x"}, {"team": "y"}, {"team": "x", "env": "p"}))

    def named_ports(self):
        return {"web": self.pick(("80/TCP", "81/TCP")), "dns": self.pick(("53/UDP", "80/UDP"))} \
            if not self.one_in(4) else {}

    def selector(self, keys):
        """keys: {label: values}"""
        if self.one_in(4):
            return {}
        key = self.pick(sorted(keys))
        values = self.r.sample(keys[key], self.r.randint(1, len(keys[key])))
        kind = self.r.randrange(4)
        if kind == 0:
            return {"matchLabels": {key: values[0]}}
        if kind == 1:
            return {"matchExpressions": [{"key": key, "operator": self.pick(
                ("Exists", "DoesNotExist"))}]}
        return {"matchExpressions": [{"key": key, "operator": self.pick(("In", "NotIn")),
                                      "values": values}]}

    def pod_selector(self):
        return self.selector({"app": ["w", "d", "q"], "tier": ["", "1"]})

    def namespace_selector(self):
        return self.selector({"team": ["x", "y"], "env": ["p"],
                              "kubernetes.io/metadata.name": list(NAMESPACES)})

    def block(self, addresses):
        one = self.pick(addresses)
        v6 = ":" in one
        length = 128 if v6 else 32
        if self.one_in(2):
            return {"cidr": f"{one}/{length}"}
        return {"cidr": self.pick(("::/0", SUBNET6) if v6 else ("0.0.0.0/0", SUBNET4)),
                "except": [f"{one}/{length - self.pick((0, 0, 1, 3))}"]}

    def peer(self, addresses):
        kind = self.r.randrange(5)
        if kind == 0:
            return {"ipBlock": self.block(addresses)}
        peer = {}
        if kind in (1, 2):
            peer["podSelector"] = self.pod_selector()
        if kind in (2, 3, 4):
            peer["namespaceSelector"] = self.namespace_selector()
        return peer

    def port(self):
        return dict(self.pick((
            {"port": 80}, {"protocol": "TCP", "port": 81}, {"protocol": "UDP", "port": 53},
            {"port": "web"}, {"protocol": "UDP", "port": "dns"}, {"port": 80, "endPort": 81},
            {"port": 1, "endPort": 80}, {"protocol": "UDP"}, {"protocol": "SCTP"},
            {"protocol": "SCTP", "port": 80}, {"protocol": "UDP", "port": 80, "endPort": 65535})))

    def rule(self, word, addresses, has_actions):
        rule = {}
        if not self.one_in(5):
            rule[word] = self.some(lambda: self.peer(addresses), 1, 2)
        if not self.one_in(3):
            rule["ports"] = self.some(self.port, 1, 3)
        if has_actions and self.one_in(2):
            rule["action"] = "Deny"
        if has_actions and self.one_in(3):
            rule["reason"] = {"why": "test", "owner": "test", "expires": self.pick(
                ("2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z"))}
        return rule

    def policy(self, addresses):
        self.made += 1
        own = self.one_in(2)
        types = self.pick((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
        spec = {"podSelector": self.pod_selector(), "policyTypes": types}
        for key, word in (("ingress", "from"), ("egress", "to")):
            if key.capitalize() in types:
                spec[key] = self.some(lambda: self.rule(word, addresses, own), 0, 3)
        return {"apiVersion": "bulkhead.io/v1alpha1" if own else "networking.k8s.io/v1",
                "kind": "SegmentationPolicy" if own else "NetworkPolicy",
                "metadata": {"name": f"n{self.made}", "namespace": self.pick(NAMESPACES)},
                "spec": spec}


class World:
    def __init__(self, node, dice):
        self.node, self.dice = node, dice
        self.pods, self.policies = {}, {}
        self.labels, self.ports = {}, {}
        for name in NAMESPACES:
            self.relabel_namespace(name)
        for ns, name in PODS:
            self.make_pod(ns, name)
        for _ in range(4):
            self.add_policy()

    def addresses(self):
        return [a for name in sorted(self.pods) for a in self.pods[name].ips]

    # ---- changes ----

    def make_pod(self, ns, name):
        key = f"{ns}/{name}"
        if key in self.pods:
            self.pods.pop(key).gone()
        self.pods[key] = self.node.pod(ns, name, listen=SERVED)
        self.describe_pod(key)

    def describe_pod(self, key):
        manifest = self.pods[key].manifest(self.dice.pod_labels(), self.dice.named_ports())
        self.node.write(f"pod-{key.replace('/', '-')}.yaml", manifest)

    def relabel_namespace(self, name):
        self.node.write(f"ns-{name}.yaml", namespace(name, **self.dice.namespace_labels()))

    def add_policy(self):
        policy = self.dice.policy(self.addresses())
        name = f"policy-{policy['metadata']['name']}.yaml"
        self.policies[name] = policy
        self.node.write(name, policy)

    def drop_policy(self):
        if self.policies:
            name = self.dice.pick(sorted(self.policies))
            del self.policies[name]
            self.node.remove(name)

    def restart(self):
        self.node.enforcement["default"] = self.dice.pick(("deny", "kubernetes"))
        self.node.write_config()
        self.node.restart(hard=self.dice.one_in(2))

    def change(self):
        kind = self.dice.r.randrange(12)
        if kind < 4:
            self.add_policy()
        if kind in (3, 4, 5) or len(self.policies) > MAX_POLICIES:
            self.drop_policy()
        if kind in (6, 7, 8):
            self.describe_pod(self.dice.pick(sorted(self.pods)))
        if kind == 9:
            self.relabel_namespace(self.dice.pick(NAMESPACES))
        if kind == 10:
            self.make_pod(*self.dice.pick(PODS))
        if kind == 11 and self.dice.one_in(2):
            self.restart()

    # ---- what everybody says ----

    def cells(self):
        """(from, to, place, is it IPv6)"""
        names = sorted(self.pods)
        return [(a, b, place, v6) for place in PLACES for a in names for b in names if a != b
                for v6 in (False, True)]

    def address(self, name, v6):
        return self.pods[name].ip6 if v6 else self.pods[name].ip4

    def by_test(self, cells):
        """The evaluator's answers, address by address; {cell: is allowed}."""
        rows = [{"from": self.address(a, v6), "to": self.address(b, v6), "port": place,
                 "expect": "allowed"} for a, b, place, v6 in cells]
        path = self.node.path("assertions.json")
        with open(path, "w") as f:
            json.dump(rows, f)
        r = self.node.cli("policy", "test", path, "-o", "json")
        results = json.loads(r.stdout)["results"]
        return {c: x["verdict"] == "allowed" for c, x in zip(cells, results, strict=True)}

    def by_matrix(self):
        """{(from, to, place): is allowed}: by some pair of addresses"""
        return {(c["from"], c["to"], place): c["verdict"] == "allowed" for place in PLACES
                for c in self.node.ask("policy", "matrix", "--port", place)["cells"]}

    def by_socket(self, cells, timeout):
        batches, begun, out = {}, [], {}
        for c in cells:
            batches.setdefault(c[0], []).append(c)
        for source, group in batches.items():
            targets = []
            for _, b, place, v6 in group:
                number, proto = place.split("/")
                targets.append([proto.lower(), self.address(b, v6), int(number)])
            agent = self.pods[source].agent
            begun.append((group, agent, agent.begin("probe", targets=targets, timeout=timeout)))
        for group, agent, slot in begun:
            out.update(zip(group, agent.wait(slot)))
        return out

    def by_frame(self, cells):
        """Cells whose frame arrived."""
        shots = rawcells.Shots(self.pods)
        for cell in cells:
            a, b, place, v6 = cell
            number, _, proto = place.rpartition("/")
            shots.add(cell, a, b, proto, int(number or 0), v6)
        return shots.fire()


def tell(cell, text):
    a, b, place, v6 = cell
    return f"{a} -> {b} {place} by IPv{6 if v6 else 4}: {text}"


def shown(wrong):
    return f"{len(wrong)} cells: " + "; ".join(wrong[:MAX_SHOWN])


def wrong_half(world, cell, got):
    """One cell by halves: what explain says of both, what the kernel's tables say, and that it is the
    socket hook which refuses egress, and nobody but the other side's interface that refuses ingress."""
    a, b, place, v6 = cell
    e = world.node.ask("policy", "explain", world.address(a, v6), world.address(b, v6), place)
    for side in ("egress", "ingress"):
        if e["kernel"][side]["verdict"] != e[side]["verdict"]:
            return tell(cell, f"{side}: {e[side]}, kernel {e['kernel'][side]}")
    if e["egress"]["verdict"] == "denied":
        wanted = ("EPERM",)
    else:
        wanted = ("timeout",) if e["ingress"]["verdict"] == "denied" else ("open", "refused")
    return None if got in wanted else tell(cell, f"{got} instead of {wanted[0]}")


def judge(world, name):
    """One round's comparison: (cells by frame, allowed ones, cells by socket)"""
    errors = [p for p in world.node.ask("status")["problems"] if p["level"] == "error"]
    check(not errors, f"{name}: every object is in force", lambda: str(errors[:MAX_SHOWN]))
    cells = world.cells()
    want = world.by_test(cells)
    matrix = world.by_matrix()
    wrong = [f"{a} -> {b} {p}: matrix {matrix[a, b, p]}" for a, b, p, v6 in cells
             if not v6 and matrix[a, b, p] != (want[a, b, p, False] or want[a, b, p, True])]
    check(not wrong, f"{name}: the matrix", lambda: shown(wrong))
    with_socket = [c for c in cells if c[2].endswith(("TCP", "UDP"))]
    got = world.by_socket(with_socket, QUICK_S)
    again = [c for c in with_socket if want[c] and not is_allowed(got[c])]
    if again:
        got.update(world.by_socket(again, PATIENT_S))
    wrong_s = [tell(c, f"{got[c]}, must be {'allowed' if want[c] else 'denied'}")
               for c in with_socket if is_allowed(got[c]) != want[c]]
    arrived = world.by_frame(cells)
    wrong_f = [tell(c, f"the frame {'arrived' if c in arrived else 'was stopped'}")
               for c in cells if (c in arrived) != want[c]]
    holds = check(not wrong_s, f"{name}: sockets", lambda: shown(wrong_s))
    holds &= check(not wrong_f, f"{name}: frames", lambda: shown(wrong_f))
    sample = world.dice.r.sample(with_socket, EXPLAINED)
    wrong_e = [w for w in (wrong_half(world, c, got[c]) for c in sample) if w]
    holds &= check(not wrong_e, f"{name}: halves", lambda: shown(wrong_e))
    verified = world.node.ask("policy", "verify")
    holds &= check(not verified["mismatches"], f"{name}: verify",
                   lambda: str(verified["mismatches"][:MAX_SHOWN]))
    if not holds:
        print(json.dumps(list(world.policies.values()), indent=1))
    return len(cells), sum(want.values()), len(with_socket)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--seconds", type=float, default=75, help="begin no round after so long")
    parser.add_argument("--rounds", type=int, default=10000)
    args = parser.parse_args()
    dice = Dice(args.seed)
    node = Node(default=dice.pick(("deny", "kubernetes"))).start()
    world = World(node, dice)
    sums = [0, 0, 0]
    end = time.monotonic() + args.seconds
    for n in range(1, args.rounds + 1):
        name = f"seed {args.seed} round {n}"
        with testing.part(name):
            node.sync()
            sums = [a + b for a, b in zip(sums, judge(world, name))]
            for _ in range(dice.r.randint(1, 4)):
                world.change()
        if time.monotonic() > end or not node.is_alive():
            break
    print(f"{n} rounds: {sums[0]} cells by frame ({sums[1]} allowed), {sums[2]} by socket")
    check(node.is_alive(), "the daemon is alive")
    check(0.05 < sums[1] / max(1, sums[0]) < 0.95, "both answers were common")


testing.start()
testing.main(main)

"""Random worlds of pods, labels and policies, from a seed."""
import ipaddress
import os
import random

import yaml

NAMESPACES = ("n1", "n2", "n3")
KEYS, VALUES = ("app", "tier", "x"), ("a", "b", "", "c")
PROTOCOLS, NAMES = ("TCP", "UDP", "SCTP"), ("web", "dns", "adm")
NUMBERS = (1, 53, 79, 80, 81, 255, 256, 257, 443, 1080, 8080, 65535)


class Dice:
    """Everything that is random, from one seed."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def is_hit(self, share):
        return self.r.random() < share

    def some(self, counts, fn):
        return [fn() for _ in range(self.r.choice(counts))]

    def labels(self):
        return {k: self.r.choice(VALUES) for k in KEYS if self.is_hit(0.6)}

    def expression(self):
        e = {"key": self.r.choice(KEYS),
             "operator": self.r.choice(("In", "NotIn", "Exists", "DoesNotExist"))}
        if e["operator"] in ("In", "NotIn"):
            e["values"] = self.r.sample(VALUES, self.r.choice((1, 2)))
        return e

    def selector(self):
        kind = self.r.random()
        s = {}
        if 0.15 < kind < 0.7:
            keys = self.r.sample(KEYS, self.r.choice((1, 1, 2)))
            s["matchLabels"] = {k: self.r.choice(VALUES) for k in keys}
        if kind > 0.55:
            s["matchExpressions"] = self.some((1, 1, 2), self.expression)
        return s

    def block(self, addresses):
        ip = ipaddress.ip_address(self.r.choice(addresses))
        bits = ip.max_prefixlen
        net = ipaddress.ip_network((ip, self.r.choice((0, bits - 16, bits - 8, bits - 4, bits - 2,
                                                       bits))), strict=False)
        inside = [o for o in map(ipaddress.ip_address, addresses)
                  if o.version == ip.version and o in net and net.prefixlen < bits]
        block = {"cidr": str(net)}
        if inside and self.is_hit(0.6):
            block["except"] = sorted({str(ipaddress.ip_network(
                (self.r.choice(inside), self.r.randint(net.prefixlen + 1, bits)), strict=False))
                for _ in range(self.r.choice((1, 2, 3)))})
        return block

    def peer(self, addresses):
        kind = self.r.random()
        if kind < 0.25:
            return {"ipBlock": self.block(addresses)}
        if kind < 0.55:
            return {"podSelector": self.selector()}
        by_name = {"matchLabels": {"kubernetes.io/metadata.name": self.r.choice(NAMESPACES)}}
        peer = {"namespaceSelector": self.selector() if self.is_hit(0.7) else by_name}
        if kind > 0.75:
            peer["podSelector"] = self.selector()
        return peer

    def port(self):
        port = {"protocol": self.r.choice(PROTOCOLS)} if self.is_hit(0.7) else {}
        kind = self.r.random()
        if kind < 0.15:
            return port or {"protocol": "TCP"}
        if kind < 0.45:
            return {**port, "port": self.r.choice((*NAMES, "none"))}
        port["port"] = self.r.choice(NUMBERS)
        if self.is_hit(0.35):
            port["endPort"] = min(65535, port["port"] + self.r.choice((0, 1, 2, 200, 1000, 60000)))
        return port

    def rule(self, side, addresses, can_deny):
        rule = {}
        if self.is_hit(0.8):
            rule[side] = self.some((0, 1, 1, 2, 3), lambda: self.peer(addresses))
        if self.is_hit(0.7):
            rule["ports"] = self.some((0, 1, 1, 2, 3), self.port)
        if can_deny and self.is_hit(0.5):
            rule["action"] = self.r.choice(("Allow", "Deny"))
        return rule

    def policy(self, n, addresses):
        ours = self.is_hit(0.3)
        spec = {"podSelector": self.selector()}
        if self.is_hit(0.5):
            spec["policyTypes"] = self.r.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
        for direction, side in (("ingress", "from"), ("egress", "to")):
            if self.is_hit(0.6):
                spec[direction] = self.some((0, 1, 1, 2, 3),
                                            lambda: self.rule(side, addresses, ours))
        return {"apiVersion": "bulkhead.io/v1alpha1" if ours else "networking.k8s.io/v1",
                "kind": "SegmentationPolicy" if ours else "NetworkPolicy",
                "metadata": {"name": f"p{n}", "namespace": self.r.choice(NAMESPACES)},
                "spec": spec}

    def address(self, taken):
        while True:
            ip = (f"fd00::{self.r.choice((1, 2, 16, 17))}:{self.r.randint(1, 40):x}"
                  if self.is_hit(0.3) else
                  f"10.{self.r.choice((0, 1, 128))}.{self.r.choice((0, 1, 255))}."
                  f"{self.r.randint(1, 40)}")
            if ip not in taken:
                taken.add(ip)
                return ip

    def containers(self, pod):
        """Containers, init containers; a sidecar's ports count, a plain init container's do not."""
        lists = [{"name": "c0", "image": "x"}, {"name": "c1", "image": "x"},
                 {"name": "i0", "image": "x"},
                 {"name": "i1", "image": "x", "restartPolicy": "Always"}]
        for name in NAMES:
            for c in self.r.sample(lists, self.r.choice((0, 1, 1, 2))):
                port = {"name": name, "containerPort": self.r.choice((53, 80, 81, 443, 8080))}
                if self.is_hit(0.5):
                    port["protocol"] = self.r.choice(PROTOCOLS)
                c.setdefault("ports", []).append(port)
                if c["name"] != "i0":
                    pod["named"].append((name, port.get("protocol", "TCP"), port["containerPort"]))
        return {"containers": lists[:2], "initContainers": lists[2:]}

    def pod(self, n, taken):
        """(what the evaluator sees, the manifest)"""
        phase = self.r.choices(("Running", "Pending", "Succeeded", "Failed"), (8, 1, 1, 1))[0]
        pod = {"ns": self.r.choice(NAMESPACES), "name": f"q{n}", "labels": self.labels(),
               "ip": self.address(taken), "named": []}
        spec = self.containers(pod)
        if self.is_hit(0.05):
            spec["hostNetwork"] = True
        pod["takes_part"] = phase in ("Running", "Pending") and "hostNetwork" not in spec
        meta = {"name": pod["name"], "namespace": pod["ns"], "labels": pod["labels"]}
        if self.is_hit(0.1):
            meta["deletionTimestamp"] = "2026-11-01T00:00:00Z"
        status = {"phase": phase, "podIP": pod["ip"]}
        if self.is_hit(0.7):
            status["podIPs"] = [{"ip": pod["ip"]}]
        return pod, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec,
                     "status": status}


class World:
    def __init__(self, seed):
        self.dice, taken = Dice(seed), set()
        self.namespaces = {n: {**self.dice.labels(), "kubernetes.io/metadata.name": n}
                           for n in NAMESPACES}
        made = [self.dice.pod(n, taken) for n in range(self.dice.r.randint(2, 9))]
        self.pods = {f"{p['ns']}/{p['name']}": p for p, _ in made}
        addresses = [*sorted(taken), "10.0.0.200", "fd00::99"]
        self.policies = [self.dice.policy(n, addresses)
                         for n in range(self.dice.r.randint(0, 7))]
        self.manifests = [
            *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": labels}}
              for n, labels in self.namespaces.items()), *(m for _, m in made), *self.policies]

    def write(self, directory):
        with open(os.path.join(directory, "world.yaml"), "w") as f:
            yaml.dump_all(self.manifests, f, Dumper=NoAliases)


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True

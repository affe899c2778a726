#!/usr/bin/python3
"""The catalogue of policy cases (tests/cases) as live packets: every pod a network namespace made
by the real plugins with the addresses the case writes down, every row a connection attempt.

  live_cases.py [NUMBER...]

Left out, because packets cannot show it: steps that set the clock, and rows without a process where
rules ask for one."""
import json
import os
import re
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import GATEWAY4, Node, add_netns, enter
from testing import SOURCE, check, run
from traffic import Agent, is_allowed

CASES = os.path.join(SOURCE, "tests", "cases")
DENY_S, ALLOW_S = 0.3, 10


def load(case):
    with open(os.path.join(CASES, case, "case.json")) as f:
        return json.load(f)


def read(case, name):
    with open(os.path.join(CASES, case, name)) as f:
        return f.read()


class Place:
    """Somewhere connections start or end: an agent with addresses of its own."""

    def __init__(self, agent, addresses, is_pod):
        self.agent, self.addresses, self.is_pod = agent, list(addresses), is_pod
        self.served = set()

    def serve(self, proto, port):
        if proto in ("tcp", "udp") and (proto, port) not in self.served:
            self.served.add((proto, port))
            hosts = ("0.0.0.0", "::") if self.is_pod else self.addresses
            self.agent.call("listen", ports=[[proto, port]], hosts=list(hosts))


class World:
    """The node, the pods that the manifests in force describe, and everybody else."""

    def __init__(self):
        self.node = Node(default="kubernetes")
        self.default = "kubernetes"
        self.pods = {}
        self.others = {}
        self.programs = {}
        self.node_address = None
        self.hosts = {}

    def set_default(self, mode):
        if mode == self.default and self.node.is_alive():
            return
        self.default = mode
        self.node.enforcement["default"] = mode
        self.node.write_config()
        if self.node.is_alive():
            self.node.restart()
        else:
            self.node.start()

    def set_node(self, address):
        """In this step the address is one of our own node (None: none of those of the cases)."""
        if self.node_address == address:
            return
        if self.node_address:
            self.others.pop(self.node_address).agent.stop()
            self.node.sh(f"ip addr del {self.node_address}/32 dev br0")
        self.node_address = address
        if address:
            self.drop_other(address)
            self.node.sh(f"ip addr add {address}/32 dev br0")
            self.others[address] = Place(self.node.agent(), [address], False)

    # ---- who there is ----

    def fit(self, files):
        """Makes exactly the pods that the manifests in force describe."""
        wanted = {}
        for text in files.values():
            for doc in yaml.safe_load_all(text):
                if doc and doc.get("kind") == "Pod" and is_ours(doc):
                    status = doc.get("status", {})
                    ips = [i["ip"] for i in status.get("podIPs", [])] or \
                        [status[k] for k in ("podIP",) if k in status]
                    meta = doc["metadata"]
                    wanted[f"{meta['namespace']}/{meta['name']}"] = (tuple(ips), meta)
        for name in [n for n, (ips, _) in self.pods.items()
                     if n not in wanted or wanted[n][0] != ips]:
            _, place = self.pods.pop(name)
            place.pod.gone()
        for name, (ips, meta) in wanted.items():
            if name not in self.pods:
                self.add_pod(name, ips, meta)

    def add_pod(self, name, ips, meta):
        for ip in ips:
            self.drop_other(ip)
        pod = self.node.pod(meta["namespace"], meta["name"], None, list(ips) or None)
        place = Place(pod.agent, pod.ips, True)
        place.pod = pod
        self.pods[name] = (ips, place)

    def drop_other(self, address):
        place = self.others.pop(address, None)
        if place:
            place.agent.stop()
            run("ip", "netns", "del", place.netns)

    def find(self, name):
        """A place by the name a row gives: NS/POD or an address; and the address to use."""
        if "/" in name:
            if name in self.pods:
                return self.pods[name][1], None
            return self.find(self.host_address(name))
        for _, place in self.pods.values():
            if name in place.addresses:
                return place, name
        if name not in self.others:
            self.others[name] = self.make_other(name)
        return self.others[name], name

    def host_address(self, name):
        return self.hosts[name]

    def make_other(self, address):
        """Somebody who is no pod here: a neighbour on the pods' bridge, or behind the node."""
        if not address.startswith("10.77."):
            return Place(self.node.outside(address), [address], False)
        self.node.count += 1
        netns, link = f"{self.node.prefix}-o{self.node.count}", f"o{self.node.count}"
        add_netns(netns)
        self.node.sh(f"ip link add {link} type veth peer name eth0 netns {netns}",
                     f"ip link set {link} master br0 up")
        run(*enter(netns), "sh", "-ec", f"ip addr add {address}/16 dev eth0; ip link set eth0 up; "
            f"ip route add default via {GATEWAY4}")
        place = Place(Agent(enter(netns)), [address], False)
        place.netns = netns
        return place

    def agent_with(self, place, program):
        """An agent in the pod whose executable has the path that the case's rules name."""
        key = (place.pod.ns, program)
        if key not in self.programs:
            self.programs[key] = Agent(enter(place.pod.ns), python=program)
        return self.programs[key]


def is_ours(doc):
    phase = doc.get("status", {}).get("phase", "Running")
    return not doc.get("spec", {}).get("hostNetwork") and phase not in ("Succeeded", "Failed")


def hosts_of(files):
    """hostNetwork pods: name > the node address they use."""
    out = {}
    for text in files.values():
        for doc in yaml.safe_load_all(text):
            if doc and doc.get("kind") == "Pod" and doc.get("spec", {}).get("hostNetwork"):
                meta = doc["metadata"]
                out[f"{meta['namespace']}/{meta['name']}"] = doc["status"].get("podIP") or \
                    doc["status"].get("hostIP")
    return out


def parse_port(text):
    """"80/TCP" > ("tcp", 80); "ICMP" > ("icmp", 0); "0/47" > ("raw", 47)"""
    if "/" not in text:
        return "icmp", 0
    number, proto = text.split("/")
    if proto.isdigit():
        return "raw", int(proto)
    return proto.lower(), int(number)


class Play:
    """One case."""

    def __init__(self, world, case):
        self.world, self.case, self.spec = world, case, load(case)
        self.files = {}
        self.programs = os.path.join(world.node.dir, "bin")
        self.streams = {}

    def run(self):
        self.world.set_default("kubernetes")
        for i, step in enumerate(self.spec["steps"]):
            name = f"{self.case} step {i + 1}"
            if step.get("title"):
                name += f" ({step['title']})"
            self.apply(step)
            if "now" in step:
                continue
            self.rows(name, step["expect"])
            following = self.spec["steps"][i + 1]["expect"] if i + 1 < len(
                self.spec["steps"]) else []
            self.open_streams([r for r in following if r.get("established")])

    def clear(self):
        for s in self.streams.values():
            s.close()
        for name in self.files:
            self.world.node.remove(name)
        self.world.set_node(None)
        self.world.node.sync()

    def apply(self, step):
        for name, source in step.get("files", {}).items():
            if source is None:
                self.files.pop(name, None)
                self.world.node.remove(name)
            else:
                self.files[name] = self.adapt(read(self.case, source))
        if "default" in step:
            self.world.set_default(step["default"])
        self.world.hosts = hosts_of(self.files)
        for name in step.get("files", {}):
            if name in self.files:
                self.world.node.write(name, self.files[name])
        self.world.fit(self.files)
        self.world.set_node(self.node_address(step.get("node")))
        self.world.node.sync()

    def node_address(self, name):
        for text in self.files.values():
            for doc in yaml.safe_load_all(text):
                if name and doc and doc.get("kind") == "Node" and doc["metadata"]["name"] == name:
                    return doc["status"]["addresses"][0]["address"]
        return None

    def adapt(self, text):
        """Executables of the rules are put where the test can make them."""
        return text.replace("/usr/bin/", self.programs + "/")

    def program(self, path):
        path = path.replace("/usr/bin", self.programs)
        if not os.path.exists(path):
            os.makedirs(self.programs, exist_ok=True)
            run("cp", os.path.realpath("/usr/bin/python3"), path)
        return path

    # ---- rows ----

    def targets(self, row):
        """(agent, [proto, address, port, source]) of every address pair of one family."""
        source, source_ip = self.world.find(row["from"])
        target, target_ip = self.world.find(row["to"])
        proto, port = parse_port(row["port"])
        if row.get("listen", True) and not row["to"].startswith(("224.", "255.")):
            target.serve(proto, port)
        agent = source.agent
        if "process" in row:
            agent = self.world.agent_with(source, self.program(row["process"]))
        out = []
        for a in [source_ip] if source_ip else source.addresses:
            for b in [target_ip] if target_ip else target.addresses:
                if (":" in a) == (":" in b):
                    out.append((agent, [proto, b, port, a]))
        return out

    def rows(self, name, rows):
        conditional = any("processes:" in t for t in self.files.values())
        plan, live = [], []
        for row in rows:
            if row.get("established"):
                live.append(row)
            elif "process" in row or not (conditional and row["expect"] == "allowed"):
                plan.append((row, self.targets(row)))
        got = self.probe([t for _, targets in plan for t in targets])
        for row, targets in plan:
            want = row.get("packet", row["expect"]) == "allowed"
            results = [got.pop(0) for _ in targets]
            if want and not any(map(is_allowed, results)):
                results = [self.one(t, ALLOW_S) for t in targets]  # once more, with patience
            check(any(map(is_allowed, results)) == want, f"{name}: {tell(row)}",
                  f"{results} {self.why(row)}")
        for row in live:
            self.check_stream(name, row)

    @staticmethod
    def one(target, timeout):
        agent, t = target
        return agent.probes([t], timeout=timeout)[0]

    @staticmethod
    def probe(targets):
        """All at once, a batch for each agent; results in the order of targets."""
        batches = {}
        for i, (agent, t) in enumerate(targets):
            batches.setdefault(agent, []).append((i, t))
        begun = [(items, agent.begin("probe", targets=[t for _, t in items], timeout=DENY_S),
                  agent) for agent, items in batches.items()]
        out = [None] * len(targets)
        for items, slot, agent in begun:
            for (i, _), result in zip(items, agent.wait(slot)):
                out[i] = result
        return out

    def why(self, row):
        r = self.world.node.cli("policy", "explain", row["from"], row["to"], row["port"])
        return r.stdout.replace("\n", " ")[:400] or r.stderr

    # ---- connections that live across a step ----

    def open_streams(self, rows):
        for row in rows:
            target = self.targets(row)
            if target:
                agent, (proto, addr, port, _) = target[0]
                self.streams[tell(row)] = agent.stream(proto, addr, port)

    def check_stream(self, name, row):
        s = self.streams.get(tell(row))
        if not s:
            check(False, f"{name}: {tell(row)}", "no connection was opened in the step before")
        elif row["established"] == "cut":
            check(s.is_cut(), f"{name}: {tell(row)}: the connection is cut", s.state)
        else:
            check(s.lives(), f"{name}: {tell(row)}: the connection goes on", s.state)


def tell(row):
    return f"{row['from']} -> {row['to']} {row['port']} " + \
        (f"by {row['process']} " if "process" in row else "") + row.get("packet", row["expect"])


def main():
    wanted = sys.argv[1:]
    world = World()
    world.set_default("kubernetes")
    for case in sorted(os.listdir(CASES)):
        if not re.match(r"\d{3}-", case) or (wanted and case[:3] not in wanted):
            continue
        with testing.part(case):
            play = Play(world, case)
            try:
                play.run()
            finally:
                play.clear()


testing.start()
testing.main(main)

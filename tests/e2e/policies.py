#!/usr/bin/python3
"""The shipped policies: each is clean, means what its assertions say to the reference evaluator, and
to a live node, tables and packets alike. Every file is there in both places."""
import os
import re
import shutil
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node
from testing import BIN, SOURCE, check, equal, part, run
from traffic import PATIENCE_S, is_allowed

HERE = os.path.join(SOURCE, "policies")
TESTS = os.path.join(HERE, "tests")
WORLD = os.path.join(TESTS, "world.yaml")
CLI = os.path.join(BIN, "bulkhead")


def names(directory):
    return sorted(f[:-5] for f in os.listdir(directory) if f.endswith(".yaml"))


def on_paper(name, directory):
    policy = os.path.join(HERE, name + ".yaml")
    r = run(CLI, "policy", "check", WORLD, policy, check=False)
    check(r.returncode == 0, f"{name}: policy check", r.stdout + r.stderr)
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory)
    shutil.copy(policy, directory)
    shutil.copy(WORLD, directory)
    r = run(CLI, "policy", "test", os.path.join(TESTS, name + ".yaml"), "--manifests", directory,
            "--default", "kubernetes", check=False)
    check(r.returncode == 0, f"{name}: policy test", r.stdout + r.stderr)


class Live:
    def __init__(self):
        self.node = Node(default="kubernetes", dual=False).start()
        shutil.copy(WORLD, self.node.path("manifests", "world.yaml"))
        self.outside = {a: self.node.outside(a) for a in ("203.0.113.9", "169.254.169.254")}
        with open(WORLD) as f:
            docs = [d for d in yaml.safe_load_all(f) if d["kind"] == "Pod"]
        self.pods = {f"{d['metadata']['namespace']}/{d['metadata']['name']}": self.node.pod(
            d["metadata"]["namespace"], d["metadata"]["name"], None, [d["status"]["podIP"]])
            for d in docs}
        self.served = set()

    def end(self, name):
        """(agent, address)"""
        if name in self.pods:
            return self.pods[name].agent, self.pods[name].ip4
        return self.outside[name], name

    def serve(self, agent, address, proto, port):
        key = (address, proto, port)
        if proto in ("tcp", "udp") and key not in self.served:
            self.served.add(key)
            agent.call("listen", ports=[[proto, port]], hosts=[address])

    def play(self, name):
        shutil.copy(os.path.join(HERE, name + ".yaml"),
                    self.node.path("manifests", "policy.yaml"))
        self.node.sync()
        assertions = os.path.join(TESTS, name + ".yaml")
        r = self.node.cli("policy", "test", assertions)
        check(r.returncode == 0, f"{name}: policy test against the live node", r.stdout + r.stderr)
        with open(os.path.join(HERE, name + ".yaml")) as f:
            has_processes = "processes:" in f.read()
        with open(assertions) as f:
            for row in yaml.safe_load(f):
                if not (has_processes and row["expect"] == "allowed"):
                    self.packets(name, row)

    def packets(self, name, row):
        proto, port = "icmp", 0
        if "/" in row["port"]:
            port, proto = row["port"].split("/")
        proto, port = proto.lower(), int(port)
        (source, a), (target, b) = self.end(row["from"]), self.end(row["to"])
        self.serve(target, b, proto, port)
        want = row["expect"] == "allowed"
        got = source.probes([[proto, b, port, a]], timeout=PATIENCE_S if want else 0.3)[0]
        check(is_allowed(got) == want,
              f"{name}: {row['from']} -> {row['to']} {row['port']} {row['expect']}", got)


def main():
    scratch = os.path.join(testing.tempdir(), "m")
    listed = names(HERE)
    with part("complete"):
        with open(os.path.join(HERE, "README.md")) as f:
            said = sorted(re.findall(r"^\| `([\w-]+)\.yaml`", f.read(), re.M))
        equal(said, listed, "each policy is in the list")
        # who talks to whom can be asserted; RuntimePolicies are provoked in detect_deeds and trace_policy
        others = [n for n in listed if n.startswith("runtime-")]
        listed = [n for n in listed if n not in others]
        equal(listed, [n for n in names(TESTS) if n != "world"], "each policy has assertions")
    with part("on paper"):
        for name in listed:
            on_paper(name, scratch)
        for name in others:
            r = run(CLI, "policy", "check", os.path.join(HERE, name + ".yaml"), check=False)
            check(r.returncode == 0, f"{name}: policy check", r.stdout + r.stderr)
    live = Live()
    for name in listed:
        with part(name):
            live.play(name)


testing.start()
testing.main(main)

#!/usr/bin/python3
"""The public NetworkPolicy truth tables as live packets: nine pods, every step of every case, TCP and
UDP connection attempts between all of them, with enforcement.default kubernetes.

  live_conformance.py [--case N] [--share I/N]

Counted in cases. SCTP has no sockets on every kernel; its cells are played by conformance.py."""
import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "lib")]
import conformance_lib
import testing
from node import Node
from testing import check
from traffic import is_allowed

NETWORK = "10.77.9.0/24"
TIMES = (0.25, 2.0)  # first attempt; attempt of those that should have been let through
MAX_SHOWN = 3


class Cluster:
    """The pods of the world as network namespaces; those of the table live through all cases."""

    def __init__(self, node):
        self.node = node
        self.pods = {}

    def fit(self, world):
        for name in [n for n, p in self.pods.items()
                     if n not in world.pods or world.pods[n]["ip"] != p.ip4]:
            self.pods.pop(name).gone()
        for name, pod in world.pods.items():
            if name not in self.pods:
                self.pods[name] = self.node.pod(
                    pod["ns"], pod["name"], None, [pod["ip"]],
                    listen=[f"{c['containerPort']}/{c['protocol']}"
                            for c in world.container_ports if c["protocol"] != "SCTP"])

    def attempt(self, wanted, timeout):
        """Every cell at once, a batch for each source; {cell: result}."""
        batches = {}
        for c in wanted:
            batches.setdefault(c.source, []).append(c)
        begun = []
        for source, group in batches.items():
            targets = [[c.protocol.lower(), self.pods[c.target].ip4, c.port] for c in group]
            begun.append((group, self.pods[source].agent,
                          self.pods[source].agent.begin("probe", targets=targets,
                                                        timeout=timeout)))
        out = {}
        for group, agent, slot in begun:
            out.update(zip(group, agent.wait(slot)))
        return out


def play_step(cluster, step):
    """(cells, wrong cells as sentences)"""
    wanted = [c for c in conformance_lib.cells(step) if c.protocol in ("TCP", "UDP")]
    got = cluster.attempt(wanted, TIMES[0])
    again = [c for c in wanted if c.is_allowed and not is_allowed(got[c])]
    if again:
        got.update(cluster.attempt(again, TIMES[1]))
    wrong = [f"{c.source} -> {c.target} {c.port}/{c.protocol}: {got[c]}, must be "
             f"{'allowed' if c.is_allowed else 'denied'}"
             for c in wanted if is_allowed(got[c]) != c.is_allowed]
    return len(wanted), wrong


def play_case(node, cluster, table, case):
    world = conformance_lib.World(table, NETWORK)
    cells, wrong = 0, []
    for n, step in enumerate(case["steps"]):
        for action in step["actions"] or []:
            world.apply(action)
        world.write(node.manifests)
        cluster.fit(world)
        node.sync()
        count, bad = play_step(cluster, step)
        cells += count
        wrong += [f"step {n + 1}: {w}" for w in bad]
    return cells, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--share", help="only the I-th of N equal shares, as in 1/4")
    args = parser.parse_args()
    node = Node(default="kubernetes", dual=False).start()
    cluster = Cluster(node)
    total, start = 0, time.monotonic()
    cases = list(enumerate(table.cases))
    if args.case is not None:
        cases = cases[args.case:args.case + 1]
    if args.share:
        i, n = map(int, args.share.split("/"))
        cases = cases[i - 1::n]
    for number, case in cases:
        name = f"{number} {case.get('description') or case.get('name') or ''}".strip()
        with testing.part(name):
            cells, wrong = play_case(node, cluster, table, case)
            total += cells
            check(not wrong, f"{name} ({cells} cells)", "; ".join(wrong[:MAX_SHOWN]))
    print(f"{total} cells in {time.monotonic() - start:.0f} s")
    verified = node.ask("policy", "verify")
    check(not verified["mismatches"], "the kernel's tables are what they should be")


testing.start()
try:
    table = conformance_lib.Table()
except FileNotFoundError as e:
    testing.skip(f"needs {e.filename}")
testing.main(main)

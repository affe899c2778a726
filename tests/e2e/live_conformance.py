#!/usr/bin/python3
"""The public NetworkPolicy truth tables as live packets: nine pods, every step of every case, TCP and
UDP connection attempts between all of them, with enforcement.default kubernetes; and every cell, SCTP's
too, once more as a frame written past the sockets, which the packet programs alone judge.

  live_conformance.py [--case N] [--share I/N]

Counted in cases."""
import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "lib")]
import conformance_lib
import rawcells
import testing
from node import Node
from testing import check
from traffic import is_allowed

NETWORK = "10.77.9.0/24"
TIMES = (0.25, 10)  # first attempt; attempt of those that should have been let through
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


def tell(cell, got):
    return f"{cell.source} -> {cell.target} {cell.port}/{cell.protocol}: {got}, must be " \
        f"{'allowed' if cell.is_allowed else 'denied'}"


def play_sockets(cluster, cells):
    """(number of attempts, wrong ones as sentences)"""
    wanted = [c for c in cells if c.protocol in ("TCP", "UDP")]
    got = cluster.attempt(wanted, TIMES[0])
    again = [c for c in wanted if c.is_allowed and not is_allowed(got[c])]
    if again:
        got.update(cluster.attempt(again, TIMES[1]))
    return len(wanted), [tell(c, got[c]) for c in wanted if is_allowed(got[c]) != c.is_allowed]


def play_frames(cluster, cells):
    """The same past the sockets; every cell."""
    shots = rawcells.Shots(cluster.pods)
    for c in cells:
        shots.add(c, c.source, c.target, c.protocol, c.port)
    arrived = shots.fire()
    return len(cells), [tell(c, "the frame arrived" if c in arrived else "the frame was stopped")
                        for c in cells if (c in arrived) != c.is_allowed]


def play_case(node, cluster, table, case):
    """(socket cells, frame cells, wrong cells)"""
    world = conformance_lib.World(table, NETWORK)
    counts, wrong = [0, 0], []
    for n, step in enumerate(case["steps"]):
        for action in step["actions"] or []:
            world.apply(action)
        world.write(node.manifests)
        cluster.fit(world)
        node.sync()
        cells = list(conformance_lib.cells(step))
        for i, play in enumerate((play_sockets, play_frames)):
            count, bad = play(cluster, cells)
            counts[i] += count
            wrong += [f"step {n + 1}: {w}" for w in bad]
    return counts[0], counts[1], wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--share", help="only the I-th of N equal shares, as in 1/4")
    args = parser.parse_args()
    node = Node(default="kubernetes", dual=False).start()
    cluster = Cluster(node)
    sockets, frames, start = 0, 0, time.monotonic()
    cases = list(enumerate(table.cases))
    if args.case is not None:
        cases = cases[args.case:args.case + 1]
    if args.share:
        i, n = map(int, args.share.split("/"))
        cases = cases[i - 1::n]
    for number, case in cases:
        name = f"{number} {case.get('description') or case.get('name') or ''}".strip()
        with testing.part(name):
            by_socket, by_frame, wrong = play_case(node, cluster, table, case)
            sockets += by_socket
            frames += by_frame
            check(not wrong, f"{name} ({by_socket} + {by_frame} cells)",
                  "; ".join(wrong[:MAX_SHOWN]))
    print(f"{sockets} cells by socket, {frames} by frame in {time.monotonic() - start:.0f} s")
    verified = node.ask("policy", "verify")
    check(not verified["mismatches"], "the kernel's tables are what they should be")


testing.start()
try:
    table = conformance_lib.Table()
except FileNotFoundError as e:
    testing.skip(f"needs {e.filename}")
testing.main(main)

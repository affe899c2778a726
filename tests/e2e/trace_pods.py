#!/usr/bin/python3
"""Pods that live as long as three programs, many of them: every program is told with its pod's name,
the very first one as the container's start.

--pods N: so many; ten thousand take minutes. Every pod has a network namespace, an interface, an ADD
and a DEL of the real plugin; the plugins before it in a chain are left out."""
import argparse
import collections
import glob
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, enter
from testing import check, equal, run

LIB = os.path.join(testing.SOURCE, "tests", "e2e", "lib")
WORKERS, CHUNK = 3, 20
GATEWAY_MAC = "02:00:00:00:00:01"


class Maker:
    """Makes pods i, i + WORKERS, ... of count, and ends them, in a process of its own."""

    def __init__(self, node, programs, first, count):
        self.node, self.programs = node, programs
        self.mine = range(first, count, WORKERS)
        self.plugin = next(p for p in node.chain.conf["plugins"] if p["type"] == "bulkhead-cni")

    def run(self):
        for at in range(0, len(self.mine), CHUNK):
            chunk = self.mine[at:at + CHUNK]
            batch([], [f"netns add {self.netns(i)}" for i in chunk])
            batch(enter(self.node.netns), [
                f"link add {self.host_if(i)} type veth peer name eth0 "
                f"address {mac(i)} netns {self.netns(i)}" for i in chunk])
            for i in chunk:
                self.live(i)
            batch([], [f"netns del {self.netns(i)}" for i in chunk])

    def netns(self, i):
        return f"{self.node.prefix}-m{i}"

    @staticmethod
    def host_if(i):
        return f"vm{i}"

    def live(self, i):
        """ADD, three programs at once, DEL at once."""
        conf = {"id": f"{i:064x}", "netns": f"/run/netns/{self.netns(i)}", "namespace": "batch",
                "name": f"job{i}"}
        result = {"cniVersion": self.node.chain.conf["cniVersion"],
                  "interfaces": [{"name": self.host_if(i), "mac": GATEWAY_MAC},
                                 {"name": "eth0", "mac": mac(i), "sandbox": conf["netns"]}],
                  "ips": [{"address": f"10.77.{i // 250 % 200}.{i % 250 + 1}/32", "interface": 1}]}
        self.node.chain.call(self.plugin, "ADD", conf, result)
        run(*enter(self.netns(i)), "/bin/sh", "-c",
            f"{self.programs}/tiny; exec {self.programs}/other")
        self.node.chain.call(self.plugin, "DEL", conf, result)


def mac(i):
    return f"02:77:00:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}"


def batch(prefix, lines):
    """ip commands in one process."""
    run(*prefix, "ip", "-batch", "-", input="\n".join(lines) + "\n")


def build():
    d = testing.tempdir()
    run("gcc", "-O1", "-static", "-nostdlib", "-o", f"{d}/tiny", f"{LIB}/tiny.c")
    os.symlink("tiny", f"{d}/other")
    return d


def make_all(node, count):
    """In several processes; how many of them failed."""
    programs, pids = build(), []
    for n in range(WORKERS):
        pid = os.fork()
        if not pid:
            testing.die_with_parent()
            failed = 1
            try:
                Maker(node, programs, n, count).run()
                failed = 0
            except Exception as e:
                print(f"      {type(e).__name__}: {e}")
            finally:
                os._exit(failed)
        pids.append(pid)
    return sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in pids)


def programs_by_pod(node):
    """{pod: [(name, whether it is a container's start)]}, from the log and what it rotated away."""
    found = collections.defaultdict(list)
    for name in glob.glob(node.path("log", "events.jsonl*")):
        with open(name) as f:
            for line in f:
                if '"class_uid":1007' not in line.replace(" ", "") or not line.endswith("\n"):
                    continue
                e = json.loads(line)
                if e["activity_name"] != "Launch":  # a digest that came late
                    continue
                more = e["unmapped"]["bulkhead"]
                found[more["pod"]].append((e["time"], e["process"]["name"],
                                           bool(more.get("containerStart"))))
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--pods", type=int, default=500)
    count = p.parse_args().pods
    node = Node(config={"runtime": {"mode": "light"}}).start()
    start = time.monotonic()
    equal(make_all(node, count), 0, "all pods came and went")
    seconds = time.monotonic() - start
    r = node.ask("runtime")
    node.cli("events", "--pod", "batch/none", "-o", "json")  # ends when all so far are in the log
    found = programs_by_pod(node)
    wanted = {f"batch/job{i}" for i in range(count)}
    equal(set(found), wanted, f"{count} pods are in the log, in {seconds:.0f} s")
    wrong = [(pod, seen) for pod, seen in found.items()
             if sorted((name, first) for _, name, first in seen) !=
             [("other", False), ("sh", True), ("tiny", False)]]
    check(not wrong, f"each of {3 * count} programs is told, the first as the container's start",
          wrong[:3])
    equal((r["records"]["unnamed"], r["records"]["broken"]), (0, 0), "none without a pod's name")
    equal(node.ask("pods")["pods"], [], "none is left")


if __name__ == "__main__":
    testing.start(needs=("/usr/bin/gcc",))
    testing.main(main)

#!/usr/bin/python3
"""More programs at once than anybody can read about: every one of them is in the books of its pod,
to the last, whether the daemon reads or stands still; and no verdict about a packet changes."""
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node, namespace, network_policy, pods_peer, ports
from testing import check, equal, part, run
from traffic import comes_true

LIB = os.path.join(testing.SOURCE, "tests", "e2e", "lib")
PROCESSES = 2  # of a pod
COUNT = 6500  # executions of one; two bursts of four pods make 104 000
DISTINCT = 900  # of them under a name of their own
QUOTA = 2048  # names that a pod's set has room for
OVER = 3000  # names of the pod that has more than that
MEMORY_MB = 20
SETTLE_S = 60


def build():
    """A directory with the driver and what it executes."""
    d = testing.tempdir()
    run("gcc", "-O2", "-static", "-o", f"{d}/burst", f"{LIB}/burst.c")
    run("gcc", "-O1", "-static", "-nostdlib", "-o", f"{d}/tiny", f"{LIB}/tiny.c")
    return d


def volume_of(programs):
    d = testing.tempdir()
    for name in ("burst", "tiny"):
        shutil.copy(os.path.join(programs, name), d)
    return d


class Burst:
    def __init__(self, pod, volume, distinct, where):
        self.pod, self.volume, self.distinct, self.where = pod, volume, distinct, where
        self.copies = 0 if where == "/srv" else 1
        self.box = None

    def start(self):
        text = f"exec /srv/burst {PROCESSES} {COUNT} {self.distinct} {self.where}"
        if self.copies:
            text = f"cp /srv/tiny {self.where}/ || exit 1; {text}"
        self.box = Container(self.pod, first=("/bin/sh", "-c", text), volume=self.volume)

    def is_running(self):
        return self.box.proc.poll() is None

    def result(self):
        """(good executions, seconds)"""
        good, ns = self.box.proc.communicate(timeout=240)[0].split()[-2:]
        return int(good), int(ns) / 1e9


class Bed:
    def __init__(self):
        self.node = Node(config={"runtime": {"mode": "light"}}).start()
        self.programs = build()
        self.node.write("shop.yaml", namespace("shop"), namespace("load"),
                        network_policy("shop", "web", {"app": "web"}, types=("Ingress",),
                                       ingress=[{"from": [pods_peer(app="client")],
                                                 "ports": ports("80/TCP")}]),
                        network_policy("shop", "client", {"app": "client"}, types=("Egress",),
                                       egress=[{"to": [pods_peer(app="web")],
                                                "ports": ports("80/TCP", "81/TCP")}]))
        self.node.sync()
        self.web = self.node.pod("shop", "web", {"app": "web"}, listen=("80/tcp", "81/tcp"))
        self.client = self.node.pod("shop", "client", {"app": "client"})
        self.count = 0

    def pod(self, distinct=DISTINCT, where="/srv"):
        """A pod, and how its container will burst. where not /srv: what it executes is then not of
        the image, and its events are alarms."""
        self.count += 1
        return Burst(self.node.pod("load", f"burst{self.count}"), volume_of(self.programs),
                     distinct, where)

    def books(self, pod):
        listed = self.node.ask("runtime")["pods"]
        return next(p["books"] for p in listed if p["pod"] == pod.name)

    def settled(self):
        """What the daemon says once it has read everything."""
        def done():
            r = self.node.ask("runtime")
            return r if r["books"]["deferred"] == 0 else None
        return testing.wait_until(done, SETTLE_S, "the daemon read everything", 0.2)


def verdicts(bed, bursts):
    """Asks over and over while the bursts run: (rounds, [wrong answers])."""
    wrong, rounds = [], 0
    while any(b.is_running() for b in bursts):
        got = [bed.client.agent.probe("tcp", bed.web.ip4, port, 5 if port == 80 else 0.3)
               for port in (80, 81)]
        rounds += 1
        if got[0] != "open" or got[1] == "open":
            wrong.append(got)
    return rounds, wrong


def balanced(b):
    return b["seen"] == b["delivered"] + b["deduplicated"] + b["deferred"] + b["lost"]


def check_books(bed, bursts, how):
    """To the last program: the shell, the driver it becomes, what that executed; perhaps cp."""
    for one in bursts:
        b, name = bed.books(one.pod), one.pod.name
        n = one.copies + PROCESSES * COUNT
        equal((b["execs"], b["forks"], b["exits"]), (2 + n, PROCESSES + n, 1 + PROCESSES + n),
              f"{how}: every exec, fork and end of {name}")
        check(balanced(b) and b["seen"] > b["execs"], f"{how}: its books balance", b)
        if one.distinct * PROCESSES < QUOTA:
            equal(b["overflow"], 0, f"{how}: the set had room")
            wanted = PROCESSES * one.distinct
            equal(names_told(bed, one.pod, wanted), wanted,
                  f"{how}: each of its {wanted} new programs is told, once")
        else:
            check(b["overflow"] > 0 and b["lost"] > 0, f"{how}: beyond the quota there is loss", b)


def records(r):
    return sum(r["records"][k] for k in ("told", "unnamed", "broken"))


def burst(bed, how, bursts, signals=()):
    """signals: for the daemon, before and after."""
    before = bed.settled()
    for signo in signals[:1]:
        bed.node.proc.send_signal(signo)
    try:
        for b in bursts:
            b.start()
        rounds, wrong = verdicts(bed, bursts)
        results = [b.result() for b in bursts]
    finally:
        for signo in signals[1:]:
            bed.node.proc.send_signal(signo)
    after = bed.settled()
    rate = sum(good / seconds for good, seconds in results)
    equal(sum(good for good, _ in results), len(bursts) * PROCESSES * COUNT,
          f"{how}: all programs ran, {rate:.0f} a second")
    check(not wrong and rounds >= 3, f"{how}: {rounds} rounds of verdicts, all right", wrong)
    check_books(bed, bursts, how)
    equal(records(after) - records(before),
          after["books"]["delivered"] - before["books"]["delivered"],
          f"{how}: what is booked as delivered is what the daemon read")
    equal(after["records"]["unnamed"] + after["records"]["broken"], 0, f"{how}: each has its pod")


def names_now(bed, pod):
    """The programs of the names made up for it that are told. A digest that comes late is an event
    too, but no start."""
    r = bed.node.cli("events", "--class", "process", "--pod", pod.name, "-o", "json")
    events = [json.loads(line) for line in r.stdout.splitlines()]
    names = [e["process"].get("name", "") for e in events if e["activity_name"] == "Launch"]
    return [n for n in names if n.startswith("n")]


def names_told(bed, pod, wanted):
    """How many different ones, once the log has them all; -1: one of them twice."""
    names = []

    def all_there():
        names[:] = names_now(bed, pod)
        return len(names) >= wanted
    comes_true(all_there, SETTLE_S)
    return len(names) if len(names) == len(set(names)) else -1


def memory_mb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024


def main():
    bed = Bed()
    with part("the daemon reads"):
        burst(bed, "reading", [bed.pod(), bed.pod(), bed.pod(), bed.pod(where="/usr/local/bin")])
    with part("the daemon stands still"):
        burst(bed, "standing", [bed.pod(), bed.pod(), bed.pod(distinct=OVER // 2),
                                bed.pod(where="/usr/local/bin")], (signal.SIGSTOP, signal.SIGCONT))
    with part("memory"):
        mb = memory_mb(bed.node.proc.pid)
        check(mb < MEMORY_MB, f"the daemon never had more than {mb:.0f} MB")


if __name__ == "__main__":
    testing.start(needs=("/usr/bin/gcc",))
    testing.main(main)

#!/usr/bin/python3
"""However fast pods execute, and whatever: the daemon's memory stays in its budget of 20 MB with 30
pods, at every moment. No two of the programs are the same file, with as many arguments as there can
be, while the worker that reads them stands still; every one of them is told, and counted."""
import json
import os
import shutil
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part, run

LIB = os.path.join(testing.SOURCE, "tests", "e2e", "lib")
PODS, BUDGET_MB = 30, 20
PROCESSES, COUNT = 2, 900  # of a pod; its set has room for 2048 names
BURSTS = (("none", "/srv"), ("long", "/srv"), ("many", "/srv"), ("none", "/usr/local/n"))
SETTLE_S = 120
STOP_EVERY_S = 0.02


def volume():
    """A directory with the driver and what it executes."""
    d = testing.tempdir()
    run("gcc", "-O2", "-static", "-o", f"{d}/unlike", f"{LIB}/unlike.c")
    run("gcc", "-O1", "-static", "-nostdlib", "-o", f"{d}/tiny", f"{LIB}/tiny.c")
    return d


def copy_of(directory):
    d = testing.tempdir()
    for name in os.listdir(directory):
        shutil.copy(os.path.join(directory, name), d)
    return d


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(n) for n in f.read().split()]


class Standstill:
    """Whatever worker the daemon starts stands still, as long as the block lasts."""

    def __init__(self, pid):
        self.pid, self.stopped = pid, 0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.end.wait(STOP_EVERY_S):
            self.signal(signal.SIGSTOP)

    def signal(self, signo):
        for pid in children(self.pid):
            try:
                os.kill(pid, signo)
                self.stopped += 1
            except ProcessLookupError:
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *why):
        self.end.set()
        self.thread.join()
        self.signal(signal.SIGCONT)


def memory_mb(pid, what):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what)) / 1024


def settled(node):
    """What the daemon says once it has read everything, and every file."""
    def done():
        r = node.ask("runtime")
        return r if r["books"]["deferred"] == 0 and r["hashes"]["waiting"] == 0 else None
    return testing.wait_until(done, SETTLE_S, "the daemon read everything", 0.2)


def flood(node):
    """[(pod, its programs' arguments, how many ended as they should)]"""
    srv = volume()
    boxes = []
    with Standstill(node.proc.pid) as workers:
        for i, (arguments, where) in enumerate(BURSTS):
            text = f"exec /srv/unlike {PROCESSES} {COUNT} {where} {arguments}"
            if where != "/srv":
                text = f"mkdir -p {where} && cp /srv/tiny {where}/ && {text}"
            pod = node.pods[f"load/p{i}"]
            boxes.append((pod, Container(pod, first=("/bin/sh", "-c", text), volume=copy_of(srv))))
        ended = [(pod, box.proc.communicate(timeout=240)[0].split()[-1:]) for pod, box in boxes]
        check(workers.stopped > 0, "the worker stood still")
    return [(pod, int(good[0]) if good else 0) for pod, good in ended]


def events_of(node, *more):
    r = node.cli("events", *more, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines()]


def ours(event):
    return event["unmapped"]["bulkhead"]


def programs(node, pod):
    """The names of the made up programs that are told of the pod."""
    return [e["process"]["name"] for e in events_of(node, "--class", "process", "--pod", pod.name)
            if e["activity_name"] == "Launch" and e["process"].get("name", "").startswith("n")]


def check_books(node, ran):
    for pod, good in ran:
        equal(good, PROCESSES * COUNT, f"all programs of {pod.name} ran")
    listed = {p["pod"]: p["books"] for p in node.ask("runtime")["pods"]}
    for pod, _ in ran:
        b = listed[pod.name]
        equal(b["seen"], b["delivered"] + b["deduplicated"] + b["deferred"] + b["lost"],
              f"the books of {pod.name} balance")
        check(b["execs"] >= PROCESSES * COUNT and not b["overflow"],
              f"{pod.name}: every program is in its books, and its set", b)


def check_events(node, ran, hashes):
    for pod, _ in ran:
        names = programs(node, pod)
        equal((len(names), len(set(names))), (PROCESSES * COUNT,) * 2,
              f"each program of {pod.name} is told, once")
    pending = [e for e in events_of(node) if ours(e).get("sha256Missing") == "pending"]
    equal(len(pending), hashes["eventsWithout"],
          "events that did not wait for a digest say so, and are counted")
    late = [ours(e)["completes"] for e in events_of(node, "--class", "process")
            if e["activity_name"] == "Hash"]
    uids = {e["metadata"]["uid"] for e in pending}
    check(len(late) == len(set(late)) and set(late) <= uids,
          f"{len(late)} digests are told later, each of its event")


def main():
    node = Node(config={"runtime": {"mode": "light"}}).start()
    for i in range(PODS):
        node.pod("load", f"p{i}")
    pid = node.proc.pid
    rest = memory_mb(pid, "VmRSS")
    with part("a flood of unlike programs"):
        ran = flood(node)
        hashes = settled(node)["hashes"]
        check_books(node, ran)
        peak = memory_mb(pid, "VmHWM")
        check(peak < BUDGET_MB, f"{rest:.1f} MB at rest with {PODS} pods, never more than "
              f"{peak:.1f} MB")
    with part("what is told"):
        equal(node.cli("events", "verify").returncode, 0, "the log is whole")
        check_events(node, ran, hashes)


if __name__ == "__main__":
    testing.start(needs=("/usr/bin/gcc",))
    testing.main(main)

#!/usr/bin/python3
"""Receivers with bad manners: answers that drip, never end, are none; connections that are reset;
one that reads slower than events come. None of them holds anything up but itself, nothing is lost,
and a daemon that is killed under a steady flow sends no more than one request again."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, enter, namespace, network_policy
from testing import SOURCE, check, equal, part, spawn, wait_until

LONG_S = 60
NO_ANSWERS = ("headers", "continues", "old", "redirect", "half", "closes", "reset", "drip")


class Scene:
    def __init__(self):
        self.node = Node()
        self.dir = self.node.path("receiver")
        os.mkdir(self.dir)
        self.mode("ok")
        self.node.extra["sinks"] = [
            {"type": "webhook", "name": "hook", "url": "http://127.0.0.1:8080/x", "insecure": True},
            {"type": "syslog", "name": "slow", "address": "127.0.0.1:1514", "tls": False}]
        self.node.write_config()
        self.made = 0

    def mode(self, how):
        with open(os.path.join(self.dir, "mode.new"), "w") as f:
            f.write(how)
        os.rename(os.path.join(self.dir, "mode.new"), os.path.join(self.dir, "mode"))

    def start_receiver(self):
        p = spawn([*enter(self.node.netns), "/usr/bin/python3",
                   os.path.join(SOURCE, "tests", "fakes", "bad_receiver.py"), "8080", "1514",
                   self.dir], stdout=subprocess.PIPE, text=True)
        equal(p.stdout.readline(), "ready\n", "the receiver runs")

    def lines(self, name):
        path = os.path.join(self.dir, name)
        if not os.path.exists(path):
            return []
        with open(path) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def head(self):
        with open(self.node.path("log", "events.jsonl")) as f:
            return [json.loads(line) for line in f if line.endswith("\n")][-1]["chain"]["seq"]

    def make_events(self, n):
        """At least n."""
        for _ in range(n):
            self.made += 1
            self.node.write("p.yaml", namespace("a"),
                            network_policy("a", "p", {}, ["Ingress"],
                                           ingress=[{"ports": [{"port": self.made}]}]))
            self.node.sync()

    def make_many(self, n):
        """At least n at once: policies that come and go."""
        names = [f"many{self.made}x{i}" for i in range(n)]
        self.made += 1
        self.node.write("many.yaml", namespace("a"),
                        *(network_policy("a", name, {}, ["Ingress"]) for name in names))
        self.node.sync()

    def state(self, name):
        return next(s for s in self.node.ask("status")["sinks"] if s["name"] == name)

    def wait_all(self, what):
        """Until the hook has all up to now, none twice within an answered request."""
        last = self.head()
        wait_until(lambda: any(last in r["seqs"] for r in self.lines("got.jsonl")), LONG_S,
                   f"{what}: event {last} arrives; {self.state('hook')}")
        got = {s for r in self.lines("got.jsonl") for s in r["seqs"]}
        first = min(got)
        equal(sorted(s for s in got if s <= last), list(range(first, last + 1)),
              f"{what}: every event")


def no_answers(scene):
    before = scene.state("hook")
    scene.mode(NO_ANSWERS[0])
    scene.make_events(1)
    # an answer may have been on its way
    wait_until(lambda: scene.state("hook")["retries"] > before["retries"], LONG_S, "no delivery")
    for how in NO_ANSWERS:
        before = scene.state("hook")
        scene.mode(how)
        scene.make_events(1)
        wait_until(lambda b=before: scene.state("hook")["retries"] > b["retries"], LONG_S,
                   f"{how}: no delivery; {scene.state('hook')}")
        equal(scene.state("hook")["delivered"], before["delivered"], f"{how}: nothing is delivered")
        start = time.monotonic()
        scene.node.ask("status")
        check(time.monotonic() - start < 5, f"{how}: the daemon answers meanwhile")
    scene.mode("ok")
    scene.wait_all("no answers")
    equal(scene.state("hook")["refused"], 0, "nothing counts as refused")


def endless(scene):
    scene.mode("endless")
    before = scene.state("hook")
    scene.make_events(1)
    wait_until(lambda: scene.state("hook")["delivered"] > before["delivered"], LONG_S,
               f"a status of 200 is enough; {scene.state('hook')}")
    scene.mode("ok")
    scene.make_events(1)
    scene.wait_all("endless")
    seqs = [s for r in scene.lines("got.jsonl") if r["mode"] == "endless" for s in r["seqs"]]
    equal(len(seqs), len(set(seqs)), "what was taken does not come again")


def killed(scene):
    scene.make_events(1)
    scene.wait_all("before the kill")
    requests = len(scene.lines("got.jsonl"))
    start = time.monotonic()
    while time.monotonic() < start + 4 or (  # a busy machine takes longer
            len(scene.lines("got.jsonl")) < requests + 10 and time.monotonic() < start + LONG_S):
        scene.make_events(1)
    scene.node.kill()
    flow = scene.lines("got.jsonl")[requests:]
    scene.node.start()
    scene.make_events(1)
    scene.wait_all("killed")
    check(len(flow) > 5, f"{len(flow)} requests before the kill")
    seen = [s for r in scene.lines("got.jsonl")[requests:] for s in r["seqs"]]
    twice = {s for s in seen if seen.count(s) > 1}
    check(twice <= set(flow[-1]["seqs"]), f"{len(twice)} of {len(seen)} events came twice: those of "
          "one request", sorted(twice))


def damaged(scene):
    """Cursors are gone with the database: what was not delivered is, rather twice than never."""
    scene.mode("closes")
    scene.make_events(5)
    last = scene.head()
    scene.node.stop()
    with open(scene.node.path("state", "bulkhead.db"), "r+b") as f:
        f.write(b"not a database at all" * 200)
    scene.mode("ok")
    scene.node.start()
    scene.wait_all("damaged")
    got = {s for r in scene.lines("got.jsonl") for s in r["seqs"]}
    check(set(range(1, last + 1)) <= got, "a damaged database loses no event")


def slow(scene):
    """Longer than the patience with one that takes nothing: it does take something."""
    wait_until(lambda: scene.state("slow")["behind"] == 0, LONG_S, "nothing is behind")
    scene.mode("slow_syslog")
    before = scene.state("slow")
    for _ in range(2):
        scene.make_many(60)
    last = scene.head()
    wait_until(lambda: scene.state("slow")["cursor"] >= last, LONG_S * 4,
               f"the slow one gets all; {scene.state('slow')}")
    equal(scene.state("slow")["retries"], before["retries"], "and none of it twice")
    scene.mode("ok")
    wait_until(lambda: last in scene.lines("syslog.jsonl"), LONG_S, "it has read them")
    got = [s for s in scene.lines("syslog.jsonl") if before["cursor"] < s <= last]
    equal(got, list(range(before["cursor"] + 1, last + 1)), "in order")


def main():
    scene = Scene()
    scene.start_receiver()
    scene.node.start()
    with part("what is no answer"):
        no_answers(scene)
    with part("an answer without an end"):
        endless(scene)
    with part("killed under a steady flow"):
        killed(scene)
    with part("a damaged database"):
        damaged(scene)
    with part("a slow reader"):
        slow(scene)
    equal([scene.state(n)["lost"] for n in ("hook", "slow")], [0, 0], "none is lost")


testing.start()
testing.main(main)

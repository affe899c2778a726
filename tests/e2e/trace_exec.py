#!/usr/bin/python3
"""Processes of pods: the very first exec has its pod's name, and so has every later one; where the
bytes come from; and the books balance."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part

LIGHT = {"runtime": {"mode": "light"}}


def events(node, pod=None):
    """The process events so far, oldest first."""
    node.ask("runtime")  # reads what waits in the rings
    more = ["--pod", pod] if pod else []
    r = node.cli("events", "--class", "process", *more, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def ours(event):
    return event["unmapped"]["bulkhead"]


def path(event):
    return event["process"].get("file", {}).get("path")


def by_path(node, pod, wanted):
    return [e for e in events(node, pod) if path(e) == wanted]


def first_exec(node):
    """A pod's first program, started right after ADD."""
    for i in range(20):
        pod = node.pod("shop", f"first{i}", addresses=None)
        c = Container(pod, first=("/bin/sh", "-c", "exec /bin/true"))
        c.proc.wait(20)
        got = events(node, pod.name)
        shell = [e for e in got if ours(e).get("containerStart")]
        if not check(len(shell) == 1 and path(shell[0]) in ("/usr/bin/dash", "/bin/dash"),
                     f"the first exec of {pod.name} is told once, with its pod", lambda: got):
            return
        if i == 0:
            equal(ours(shell[0])["provenance"], "image", "it is from the image")
            equal(ours(shell[0])["args"], ["/bin/sh", "-c", "exec /bin/true"], "its arguments")
            equal(shell[0]["class_uid"], 1007, "OCSF process activity")
            equal(shell[0]["container"]["name"], "first0", "the container profile")
        equal([os.path.basename(path(e)) for e in got[-1:]], ["true"], "and its second")
        pod.gone()


def books(node):
    return node.ask("runtime")["books"]


def balanced(b):
    return b["seen"] == b["delivered"] + b["deduplicated"] + b["deferred"] + b["lost"]


def main():
    node = Node(config=LIGHT).start()
    with part("first exec"):
        first_exec(node)
    r = node.ask("runtime")
    check(balanced(r["books"]), "the books balance", r)
    equal(r["records"]["unnamed"], 0, "no event without a pod")
    equal(r["records"]["broken"], 0, "no broken record")


if __name__ == "__main__":
    testing.start()
    testing.main(main)

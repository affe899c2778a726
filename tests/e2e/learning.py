#!/usr/bin/python3
"""How learning ends, in real time: `runtime.learning` of the settings makes slices of time short enough to
watch."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node
from testing import check, equal, part, run

BAD = (
    ({"slice": "999ms"}, "'slice': 999ms is too short"),
    ({"slice": "25h"}, "'slice': 25h is too long"),
    ({"slice": "soon"}, "'slice': 'soon' is not a length of time"),
    ({"slices": 0}, "slices"),
    ({"slices": "many"}, "slices"),
    ({"replicas": 0}, "replicas"),
    ({"replicas": -3}, "replicas"),
    ({"unseen": "0%"}, "'unseen': '0%' is not above 0% and up to 50%"),
    ({"unseen": "51%"}, "'unseen': '51%' is not"),
    ({"unseen": "-1%"}, "'unseen': '-1%' is not"),
    ({"unseen": "nan%"}, "'unseen': 'nan%' is not"),
    ({"unseen": "2"}, "'unseen': '2' is not"),
    ({"until": "2%"}, "until"),
)


def settings(node):
    path = node.path("config.yaml")
    for learning, words in BAD:
        node.extra = {"runtime": {"mode": "learn", "learning": learning}}
        node.write_config()
        r = run(node.binary, "--check", "--config", path, check=False)
        check(r.returncode and words in r.stderr and f"{path}:" in r.stderr, f"refused: {learning}", r.stderr)
    for learning in ({}, {"slice": "1s", "slices": 1, "replicas": 1, "unseen": "0.5%"}, {"slice": "1d"}):
        node.extra = {"runtime": {"learning": learning}}
        node.write_config()
        r = run(node.binary, "--check", "--config", path, check=False)
        equal((r.returncode, r.stderr), (0, ""), f"fine: {learning}")


def main():
    node = Node()
    with part("settings"):
        settings(node)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

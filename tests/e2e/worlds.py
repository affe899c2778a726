#!/usr/bin/python3
"""Random worlds: `policy matrix` of a directory against an evaluator in plain Python that was written
from the case list alone. No daemon, no packets: thousands of worlds in seconds.

  worlds.py [--seed N] [--worlds N]"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from dice import NUMBERS, PROTOCOLS, World
from plain import compare
from testing import check, run, tempdir

BULKHEAD = os.path.join(testing.BUILD, "bin", "bulkhead")
MAX_SHOWN = 5


def matrix(directory, default, where):
    return json.loads(run(BULKHEAD, "policy", "matrix", "--manifests", directory, "--default",
                          default, "--port", f"{where[1]}/{where[0]}", "-o", "json"))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--worlds", type=int, default=150)
    a = p.parse_args()
    directory, cells, bad = tempdir(), 0, []
    for seed in range(a.seed, a.seed + a.worlds):
        world = World(seed)
        world.write(directory)
        for default in ("deny", "kubernetes"):
            for _ in range(3):
                where = world.dice.r.choice(PROTOCOLS), world.dice.r.choice(NUMBERS)
                n, wrong = compare(world, matrix(directory, default, where), default, where)
                cells += n
                bad += [f"seed {seed}: {w}" for w in wrong]
    check(cells > 50 * a.worlds, f"{cells} cells of {a.worlds} worlds compared", cells)
    check(not bad, "policy matrix says what the plain evaluator says",
          f"{len(bad)} differ: {bad[:MAX_SHOWN]}")


testing.start()
testing.main(main)

#!/usr/bin/python3
"""The benchmarks' programs start and measure something, and the rows that call them can be read. What
they measure is nobody's business here: one small round of each."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
BENCH = os.path.join(HERE, "..", "bench")
sys.path[:0] = [os.path.join(HERE, "lib"), BENCH]
import testing
import world
from fleet import Fleet, measured_pods, start_world
from testing import check, equal, part, run
from row_node import config_pin

DIR = os.path.join(testing.BUILD, "bench")
FIGURE = re.compile(r"\d+(\.\d+)?")
STARTED = set()


def program(name):
    STARTED.add(name)
    return os.path.join(DIR, name)


def says(name, *args, lines=(), before=()):
    """It ends well, and each of the lines is said."""
    r = run(*before, program(name), *args, check=False, timeout=120)
    told = [text for text in lines if text in r.stdout]
    check(r.returncode == 0 and len(told) == len(lines) and FIGURE.search(r.stdout),
          f"{name} {' '.join(map(str, args))}", f"{r.returncode} {r.stdout[-400:]} {r.stderr[-400:]}")
    return r.stdout


def alone():
    apart = ["unshare", "--mount", "--net"]
    says("bench_compile", 3, 5, 2, lines=("from nothing", "with memo, one policy", "peak RSS"))
    says("bench_publish", 2, 5, 1, lines=("first publish after a restart",), before=apart)
    says("bench_packet", 10, lines=("established TCP out", "first allowed"))
    says("bench_load", 1, 10, 100, "/bin/true")
    for what, line in ("hook", "exec hook, known"), ("calls", "getppid, "):
        says("bench_trace", 1, what, lines=(line,))
    manifests = testing.tempdir()
    world.put_base(manifests)
    world.put_measured_pods(manifests)
    world.put_policies(manifests, 20)
    out = says("bench_verdict", 1, 10, manifests)
    cases = {line.split("\t")[0] for line in out.splitlines()}
    check(any(c.startswith("established") for c in cases) and any("denied" in c for c in cases),
          "bench_verdict: of established packets and new flows", cases)


def on_a_node():
    fleet = Fleet()
    start_world(fleet, 1, 0)
    client, server = measured_pods(fleet)
    fleet.add(client)
    fleet.add(server)
    fleet.node.sync()
    program("bench_traffic")
    fleet.begin(server, "serve")
    for what in "stream", "rr", "crr":
        rate = fleet.traffic(client, what, server.ip, "0.1")
        check(rate > 0, f"bench_traffic {what}", rate)
    holder = fleet.begin(client, "hold", server.ip, "3")
    holder.terminate()
    world.put(fleet.node.dir, "next/new.yaml", world.policy_text(1))
    us = run(program("bench_epoch"), config_pin(fleet.node), fleet.node.path("next", "new.yaml"),
             os.path.join(fleet.node.manifests, "new.yaml"))
    check(float(us) > 0, "bench_epoch: a change is published", us)


def main():
    with part("programs by themselves"):
        alone()
    with part("on a node"):
        on_a_node()
    with part("rows"):
        r = subprocess.run([sys.executable, os.path.join(BENCH, "main.py"), "--help"],
                           env={**os.environ, "PYTHONPATH": ":".join(sys.path[:2])},
                           capture_output=True, text=True, timeout=60)
        check(r.returncode == 0 and "--quick" in r.stdout, "main.py and its rows are read", r.stderr)
    equal(sorted(os.listdir(DIR)), sorted(STARTED), "no program is left out")


testing.start()
testing.main(main)

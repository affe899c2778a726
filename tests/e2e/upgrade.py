#!/usr/bin/python3
"""An upgrade to a daemon whose programs and maps are of another version, and back again, under
traffic. The other daemon is the same source with BH_ABI_VERSION raised; it is built into the
build directory, once."""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node
from testing import BUILD, SOURCE, check, equal, part, run
from watch import POLICIES, watched_pods

PARTS = ("CMakeLists.txt", "cmake", "include", "bpf", "src", "cni")
VERSION = re.compile(rb"#define BH_ABI_VERSION (\d+)\n")


def files_of(path):
    if os.path.isfile(path):
        yield path
    for folder, _, names in os.walk(path):
        for name in names:
            yield os.path.join(folder, name)


def refresh(target):
    """Copies what changed, so that a second run builds nothing."""
    for name in PARTS:
        for source in files_of(os.path.join(SOURCE, name)):
            copy = os.path.join(target, os.path.relpath(source, SOURCE))
            with open(source, "rb") as f:
                data = f.read()
            if source.endswith("include/bulkhead/abi.h"):
                data, n = VERSION.subn(lambda m: b"#define BH_ABI_VERSION %d\n" % (int(m[1]) + 1000),
                                       data)
                assert n == 1, "BH_ABI_VERSION is where it was"
            if os.path.exists(copy) and open(copy, "rb").read() == data:
                continue
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(copy, "wb") as f:
                f.write(data)


def build():
    """The other daemon's path."""
    tree = os.path.join(BUILD, "upgrade", "tree")
    out = os.path.join(BUILD, "upgrade", "build")
    refresh(tree)
    generator = [] if os.path.exists(os.path.join(out, "CMakeCache.txt")) else ["-G", "Ninja"]
    run("cmake", "-S", tree, "-B", out, *generator, "-DBH_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "--build", out, "-j", "2", "--target", "bulkheadd", timeout=560)
    return os.path.join(out, "bin", "bulkheadd")


def pods_come_and_go(node, watch, why):
    pod = node.pod("r", "visitor", {"app": "client"})
    equal(pod.agent.reach("tcp", watch.good.ip4, 80), "open", f"{why}: a new pod is let through")
    got = pod.agent.probe("tcp", watch.bad.ip4, 80, timeout=0.3)
    check(got not in ("open", "refused"), f"{why}: and kept out", got)
    pod.gone()
    equal(node.ask("policy", "verify")["mismatches"], [], f"{why}: the tables are right")


def main():
    other = build()
    node = Node()
    copy = node.path("bulkheadd")
    shutil.copy(node.binary, copy)
    node.start(copy)
    node.write("world.yaml", *POLICIES)
    node.sync()
    watch = watched_pods(node)
    with part("before"):
        watch.holds("the first daemon")
        node.ask("quarantine", "r/bad", "--reason", "upgrade")
        watch.holds("with a quarantine")
    for binary, why in ((other, "upgraded"), (copy, "downgraded"), (other, "upgraded again")):
        for hard in (True, False):
            with part(f"{why}, {'killed' if hard else 'stopped'}"):
                node.restart(hard=hard, binary=binary)
                # programs of another version do not know the question of an answer on its way
                watch.holds(why, spare=1)
                pods_come_and_go(node, watch, why)
                equal([q["pod"] for q in node.ask("quarantine", "--list")["quarantines"]],
                      ["r/bad"], f"{why}: the quarantine is still there")


testing.start(needs=("/usr/bin/cmake", "/usr/bin/ninja"))
testing.main(main)

#!/usr/bin/python3
"""Enforcement outlives the daemon: killed, restarted, upgraded, its manifests removed and put back.
All of it under traffic: no allowed connection is lost, no denied packet gets through."""
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, network_policy, pods_peer
from testing import check, equal, part, wait_until
from watch import POLICIES, watched_pods


def kills(node, watch):
    for i in range(3):
        node.kill()
        watch.holds(f"killed ({i + 1})")
        node.start()
        watch.holds(f"started again ({i + 1})")
    node.restart()
    watch.holds("stopped and started")


def kill_early(node, watch):
    """Killed again and again before it is ready."""
    node.stop()
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
        node.start(wait=False)
        try:
            node.proc.wait(delay)
        except testing.subprocess.TimeoutExpired:
            pass
        node.proc.send_signal(signal.SIGKILL)
        node.proc.wait(5)
    watch.holds("killed while starting")
    node.start()
    watch.holds("and started after all")


def manifests_vanish(node, watch):
    """rm -rf of the whole directory is a source that went away, not a wish."""
    keep = node.path("keep")
    shutil.copytree(node.manifests, keep)
    shutil.rmtree(node.manifests)
    wait_until(lambda: node.ask("status")["sources"][0]["state"] == "missing", 10, "missing source")
    watch.holds("manifests removed with rm -rf")
    node.kill()
    node.start()
    watch.holds("restarted without manifests")
    os.mkdir(node.manifests)
    for name in sorted(os.listdir(keep)):
        shutil.copy(os.path.join(keep, name), os.path.join(node.manifests, name))
    wait_until(lambda: node.ask("status")["sources"][0]["state"] == "ok", 10, "source is back")
    node.sync()
    watch.holds("manifests restored")


def manifests_move(node, watch):
    away = node.path("away")
    os.rename(node.manifests, away)
    wait_until(lambda: node.ask("status")["sources"][0]["state"] == "missing", 10, "missing source")
    watch.holds("manifests moved away")
    os.rename(away, node.manifests)
    wait_until(lambda: node.ask("status")["sources"][0]["state"] == "ok", 10, "source is back")
    node.sync()
    watch.holds("manifests moved back")


def changes_while_down(node, watch):
    """What was changed while the daemon was dead holds once it is ready."""
    node.kill()
    node.write("late.yaml", network_policy("r", "late", {"app": "bad"}, ["Egress"],
                                           egress=[{"to": [pods_peer(app="late")]}]))
    node.start()
    node.sync()
    watch.holds("a policy was added while the daemon was dead")
    node.remove("late.yaml")
    node.sync()


def pod_goes_while_down(node, watch):
    """A pod that is deleted while the daemon is dead is forgotten."""
    pod = node.pod("r", "brief", {"app": "brief"})
    node.kill()
    pod.gone()
    node.start()
    names = [p["pod"] for p in node.ask("pods")["pods"]]
    check("r/brief" not in names, "a pod deleted while the daemon was dead is gone", names)
    watch.holds("a pod went away meanwhile")


def upgrade(node, watch):
    """Another binary takes over the pinned programs in place, under traffic."""
    other = node.path("bulkheadd.new")
    shutil.copy(node.binary, other)
    for binary in (other, node.binary):
        node.restart(hard=True, binary=binary)
        watch.holds(f"taken over by another binary ({os.path.basename(binary)})")
    verified = node.ask("policy", "verify")
    equal(verified["mismatches"], [], "the kernel's tables are right after all of this")


def main():
    node = Node().start()
    node.write("world.yaml", *POLICIES)
    node.sync()
    watch = watched_pods(node)
    with part("at the start"):
        watch.holds("before anything happens")
    with part("kill -9"):
        kills(node, watch)
    with part("killed while starting"):
        kill_early(node, watch)
    with part("manifests removed"):
        manifests_vanish(node, watch)
    with part("manifests moved"):
        manifests_move(node, watch)
    with part("changes while it is dead"):
        changes_while_down(node, watch)
        pod_goes_while_down(node, watch)
    with part("another binary"):
        upgrade(node, watch)


testing.start()
testing.main(main)

#!/usr/bin/python3
"""quarantine --kill and --freeze of a pod with a process that the kernel holds: the network is cut at
once, the command waits and says in the end who is left, and meanwhile the daemon serves everybody else.
Several at once, a release, a hang-up, a daemon that ends, a pod that goes, all in the middle of it."""
import contextlib
import json
import os
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from held import Held, StuckFs
from node import Node, enter, namespace, network_policy
from testing import BIN, check, equal, on_exit, part, run, wait_until
from traffic import is_allowed

TRIES = 5  # on a busy machine what is asked meanwhile may take longer than the wait


class World:
    def __init__(self, fs):
        self.fs, self.count = fs, 0
        self.node = Node().start()
        self.node.write("world.yaml", namespace("q"), network_policy(
            "q", "open", None, ["Ingress", "Egress"], ingress=[{}], egress=[{}]))
        self.node.sync()
        self.other = self.node.pod("q", "other", {}, listen=("80/tcp",))
        self.made = []

    def pod(self):
        """A pod that lives, and in it a process that is held."""
        self.count += 1
        pod = self.node.pod("q", f"p{self.count}", {}, listen=("80/tcp",))
        held = Held.in_pod(self.fs, pod)
        self.made.append((pod, held))
        return pod, held

    def clean(self):
        for pod, held in self.made:
            held.end()
            self.release(pod)
            pod.gone()
        self.made = []

    def begin(self, pod, *how):
        """The command, in the background."""
        p = testing.spawn([os.path.join(BIN, "bulkhead"), "--socket", self.node.socket, "quarantine",
                           pod.name, "--reason", "test", *how, "-o", "json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return p

    def listed(self, pod):
        rows = self.node.ask("quarantine", "--list")["quarantines"]
        return next((q for q in rows if q["pod"] == pod.name), None)

    def state(self, pod):
        return next(p["state"] for p in self.node.ask("pods")["pods"] if p["pod"] == pod.name)

    def wait_cut(self, pod):
        wait_until(lambda: self.state(pod) == "quarantined", 15, f"{pod.name} is quarantined")

    def release(self, pod):
        return self.node.cli("release", pod.name, "--reason", "test").returncode

    def ended(self, pod):
        """The event about the whole quarantine, as soon as it is there."""
        def last():
            r = self.node.cli("events", "--class", "quarantine", "--pod", pod.name, "-o", "json")
            rows = [json.loads(x) for x in r.stdout.splitlines() if x.strip()]
            rows = [e for e in rows if e["unmapped"]["bulkhead"]["change"] == "quarantined"]
            return rows and rows[-1]
        return wait_until(last, 30, f"the event about {pod.name}")


def answered_first(w, how, ask, what):
    """ask(pod) is answered before the command is, which a held process keeps waiting."""
    for _ in range(TRIES):
        pod, held = w.pod()
        p = w.begin(pod, how)
        w.wait_cut(pod)
        ask(pod)
        was_first = p.poll() is None
        out, err = p.communicate(timeout=60)
        held.let_go()
        w.release(pod)
        if was_first:
            break
    check(was_first, f"{how}: {what} is answered meanwhile")
    return p.returncode, out, err, held


def others_are_served(w):
    for how in "--kill", "--freeze":
        new = w.node.new_pod("q", f"new{how}", {})
        # an ADD that failed, or came too late, is made again with a pod of its own
        answered_first(w, how, lambda _: w.node.ask("status"), "status")
        answered_first(w, how, lambda _: (new.add(), new.delete()), "ADD")


def cut_at_once(w):
    pod, held = w.pod()
    was = w.other.agent.reach("tcp", pod.ip4, 80)
    p = w.begin(pod, "--kill")
    w.wait_cut(pod)
    got = w.other.agent.probe("tcp", pod.ip4, 80, timeout=0.2)
    check(was == "open" and not is_allowed(got), "the network is cut before the processes have ended",
          f"{was} {got}")
    out, err = p.communicate(timeout=60)
    equal(p.returncode, 1, "who cannot be killed: exit 1")
    check("cut off" in err and f"{held.pid}" in err, "and it says that it is cut off, and who is left", err)
    check(not out, "and no receipt that would say otherwise", out)
    equal(pod.agent.proc.wait(15), -signal.SIGKILL, "whoever can be killed is")
    e = w.ended(pod)
    check(e["status"] == "Partial" and str(held.pid) in e["status_detail"], "the event says so too", e)
    held.let_go()
    equal(held.proc.wait(15), -signal.SIGKILL, "it dies when the kernel lets go of it")
    equal(w.release(pod), 0, "release")


def stops_when_it_can(w):
    """Let go of while the command waits: then all is well."""
    for how in "--kill", "--freeze":
        for _ in range(TRIES):
            pod, held = w.pod()
            p = w.begin(pod, how)
            w.wait_cut(pod)
            held.let_go()
            out, err = p.communicate(timeout=60)
            if p.returncode == 0:
                break
            w.release(pod)
        equal(p.returncode, 0, f"{how}: done as soon as it is let go of")
        receipt = json.loads(out or "{}")
        if how == "--kill":
            equal(receipt.get("killed"), 2, "--kill: both processes are counted")
            equal(held.proc.wait(15), -signal.SIGKILL, "--kill: it is gone")
        else:
            equal(receipt.get("frozen"), True, "--freeze: the receipt says so")
            equal(held.state(), "T", "--freeze: it is stopped when the receipt is there")
            check(w.listed(pod)["frozen"], "--freeze: the list says so")
        equal(w.release(pod), 0, f"{how}: release")
        if how == "--freeze":
            check(held.answers(), "--freeze: it goes on after the release")


def half_frozen(w):
    pod, held = w.pod()
    p = w.begin(pod, "--freeze")
    _, err = p.communicate(timeout=60)
    equal(p.returncode, 1, "who cannot be stopped: exit 1")
    check("cut off" in err and str(held.pid) in err, "and who it is", err)
    equal(w.listed(pod)["frozen"], False, "the list does not say that it is frozen")
    equal(w.release(pod), 0, "release")
    held.let_go()
    check(held.answers(), "released: it goes on")
    equal(pod.agent.reach("tcp", w.other.ip4, 80), "open", "released: whoever was stopped goes on")


def several_at_once(w):
    for _ in range(TRIES):
        held = [w.pod() for _ in range(3)]
        free = w.node.pod("q", f"free{w.count}", {}, listen=("80/tcp",))
        calls = [w.begin(pod, how) for (pod, _), how in zip(held, ("--kill", "--freeze", "--kill"))]
        for pod, _ in held:
            w.wait_cut(pod)
        last = w.begin(free, "--kill")
        last.communicate(timeout=60)
        was_first = all(p.poll() is None for p in calls)
        errors = [p.communicate(timeout=60)[1] for p in calls]
        if was_first:
            break
    check(was_first, "the last of four is done first, where nothing holds it up")
    equal(last.returncode, 0, "and it succeeds")
    for p, err, (pod, h) in zip(calls, errors, held):
        check(p.returncode == 1 and str(h.pid) in err, f"{pod.name}: waits for its own process alone", err)


def twice(w):
    """The same pod, by a second command in the middle of the first."""
    pod, held = w.pod()
    one, two = w.begin(pod, "--freeze"), w.begin(pod, "--kill")
    for p in one, two:
        p.communicate(timeout=60)
        equal(p.returncode, 1, "both are answered")
    held.let_go()
    equal(held.proc.wait(15), -signal.SIGKILL, "the stronger one holds")
    equal(w.release(pod), 0, "release")
    pod, held = w.pod()
    held.let_go()
    w.node.ask("quarantine", pod.name, "--reason", "first", "--freeze")
    w.node.ask("quarantine", pod.name, "--reason", "second")
    check(w.listed(pod)["frozen"], "quarantined again without --freeze: it still is frozen")
    equal(w.release(pod), 0, "release")
    check(held.answers(), "and goes on after the release")


def release_meanwhile(w):
    for how in "--kill", "--freeze":
        for _ in range(TRIES):
            pod, held = w.pod()
            p = w.begin(pod, how)
            w.wait_cut(pod)
            equal(w.release(pod), 0, f"{how}: release in the middle of it")
            _, err = p.communicate(timeout=60)
            if "released" in err:
                break
        check(p.returncode == 1 and "released" in err, f"{how}: the command says that it was", err)
        check(not w.listed(pod) and w.state(pod) == "open", f"{how}: the pod is open")
        held.let_go()
        if how == "--freeze":
            check(held.answers(), "--freeze: nobody stops again")
            equal(pod.agent.reach("tcp", w.other.ip4, 80), "open", "--freeze: and whoever was stopped goes on")


def hang_up(w):
    pod, held = w.pod()
    p = w.begin(pod, "--kill")
    w.wait_cut(pod)
    p.kill()
    p.wait(15)
    e = w.ended(pod)
    check(str(held.pid) in e.get("status_detail", ""), "who hangs up stops nothing: it is in the log", e)
    check(w.node.is_alive() and w.state(pod) == "quarantined", "and the pod is cut off")


def daemon_ends(w):
    for hard in False, True:
        why = "killed" if hard else "stopped"
        pod, held = w.pod()
        p = w.begin(pod, "--freeze")
        w.wait_cut(pod)
        w.node.kill() if hard else w.node.stop()
        p.communicate(timeout=60)
        check(p.returncode != 0, f"daemon {why}: the command does not say that it is done", p.returncode)
        held.let_go()
        w.node.start()
        equal(w.state(pod), "quarantined", f"daemon {why}: still cut off")
        wait_until(lambda: w.listed(pod)["frozen"], 15, "the next daemon has stopped it")
        equal(held.state(), "T", f"daemon {why}: what the list says is so")
        equal(w.release(pod), 0, f"daemon {why}: release")
        check(held.answers(), f"daemon {why}: and all goes on")
        pod, held = w.pod()
        w.begin(pod, "--kill")
        w.wait_cut(pod)
        w.node.kill() if hard else w.node.stop()
        held.let_go()
        w.node.start()
        equal(held.proc.wait(15), -signal.SIGKILL, f"daemon {why}: it is killed all the same")
        check(w.listed(pod) and w.ended(pod), f"daemon {why}: it is in the list and in the log")


def pod_goes(w):
    for how in "--kill", "--freeze":
        for _ in range(TRIES):
            pod, held = w.pod()
            p = w.begin(pod, how)
            w.wait_cut(pod)
            pod.delete()
            was_first = p.poll() is None
            _, err = p.communicate(timeout=60)
            if was_first:
                break
        check(was_first, f"{how}: DEL is answered meanwhile")
        check(p.returncode == 1 and str(held.pid) in err, f"{how}: and the command all the same", err)
        equal(w.listed(pod)["active"], False, f"{how}: the record stays, for whoever comes under its name")
        held.let_go()
    check(w.node.is_alive(), "the daemon lives")


class HostPod:
    """On the node's network: known by its cgroup, and what is in it held."""

    def __init__(self, w):
        uid = f"{random.getrandbits(128):032x}"
        base = run("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").split()[0]
        self.name, self.cgroup = "q/host", os.path.join(base, f"pod{uid}")
        os.mkdir(self.cgroup)
        on_exit(lambda: os.path.isdir(self.cgroup) and os.rmdir(self.cgroup))
        self.held = Held(w.fs, w.node.prefix, enter(w.node.netns), self.cgroup)
        w.node.write("host.yaml", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "host", "namespace": "q", "uid": uid},
            "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": "x"}]},
            "status": {"phase": "Running", "podIP": "192.0.2.1"}})
        w.node.sync()


def on_the_nodes_network(w):
    pod = HostPod(w)
    p = w.begin(pod, "--freeze")
    wait_until(lambda: w.listed(pod), 15, "it is in the list")
    check(p.poll() is None, "--freeze: the daemon answers meanwhile")
    _, err = p.communicate(timeout=60)
    check(p.returncode == 1 and "not all processes" in err, "--freeze: and says that it is not all", err)
    equal(w.listed(pod)["frozen"], False, "--freeze: the list does not say so either")
    equal(w.release(pod), 0, "release")
    pod.held.let_go()
    check(pod.held.answers(), "it goes on after the release")
    pod.held.hold()
    p = w.begin(pod, "--kill")
    _, err = p.communicate(timeout=60)
    check(p.returncode == 1 and str(pod.held.pid) in err, "--kill: who is left is named", err)
    pod.held.let_go()
    equal(pod.held.proc.wait(15), -signal.SIGKILL, "--kill: it dies when the kernel lets go of it")
    equal(w.release(pod), 0, "release")
    pod.held.end()
    wait_until(lambda: is_removed(pod.cgroup), 15, "its cgroup is empty")


def is_removed(path):
    """Who has ended is in it for a moment longer."""
    with contextlib.suppress(OSError):
        os.rmdir(path)
    return not os.path.exists(path)


PARTS = (others_are_served, cut_at_once, stops_when_it_can, half_frozen, several_at_once, twice,
         release_meanwhile, hang_up, daemon_ends, pod_goes, on_the_nodes_network)


def main():
    w = World(fs)
    for fn in PARTS:
        with part(fn.__name__.replace("_", " ")):
            fn(w)
        w.clean()


testing.start()
fs = StuckFs()
if fs.reason:
    testing.skip(f"needs FUSE: {fs.reason}")
testing.main(main)

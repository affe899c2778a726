#!/usr/bin/python3
"""Every detector of the table, on live pods: a deed done for real in a container on an overlay, in a pod
made through CNI, must make it speak; its benign twin must not, and nothing grave may be said about it.
The list of detectors is the program's own: one without a deed fails. See lib/deeds.py."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import deeds
import testing
from container import Container
from node import Node, network_policy
from testing import check, equal, part

# graver than what a twin may raise; a container with every capability is told to be one
GRAVE = 4
HOW = ("env", "uid", "usual", "readonly", "volume")
SPOOL = "/var/spool/cron"  # of the node; a directory of the test's own in it stands for a hostPath
STRICT = {"runtime": {"mode": "watch", "startup": "0s"}}
USUAL = {"runtime": {"mode": "watch"}}


def findings(node, pod):
    node.ask("runtime")  # reads what waits in the rings
    r = node.cli("events", "--class", "finding", "--pod", pod, "-o", "json")
    events = [json.loads(line) for line in r.stdout.splitlines() if line.strip()]
    return [(e["unmapped"]["bulkhead"]["detector"], e["severity_id"], e["message"]) for e in events]


def runtime_policy(name, labels, spec):
    return {"apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": labels}, **spec}}


def volume():
    """As a pod finds it, with something to run in it."""
    top = testing.tempdir()
    shutil.copy("/bin/true", os.path.join(top, "tool"))
    shutil.copy(deeds.LIBRARY, os.path.join(top, "lib.so"))
    with open(os.path.join(top, "script"), "w") as f:
        f.write("true\n")
    return top


def spool():
    """A directory among the node's scheduled jobs; cron does not look into it."""
    made = not os.path.isdir(SPOOL)
    os.makedirs(SPOOL, exist_ok=True)
    if made:
        testing.on_exit(lambda: os.listdir(SPOOL) or os.rmdir(SPOOL))
    path = tempfile.mkdtemp(prefix="bulkhead-", dir=SPOOL)
    testing.on_exit(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


class Runner:
    def __init__(self, node):
        self.node, self.count = node, 0
        self.volumes = {"node's jobs": spool, "volume": testing.tempdir, True: volume}

    def name(self, what):
        self.count += 1
        return f"{what}{self.count}"

    def do(self, act, what):
        """Does it in a pod of its own; what was found about that."""
        name = self.name(what)
        labels = dict(act.get("labels", {}), number=name)
        if "policy" in act:
            self.node.write("act.yaml", runtime_policy(name, {"number": name}, act["policy"]))
            self.node.sync()
        pod = self.node.pod("shop", name, labels)
        how = {k: act[k] for k in HOW if k in act}
        if "volume" in how:
            how["volume"] = self.volumes[how["volume"]]()
        box = Container(pod, **how)
        text = act["text"].replace("OUTSIDE", str(os.getpid()))
        box.sh(f"{{ {text}; }} >/dev/null 2>&1")
        got = findings(self.node, pod.name)
        box.stop()
        pod.delete()
        if "policy" in act:
            self.node.remove("act.yaml")
        return got

    def deed(self, detector, act):
        got = self.do(act, "deed")
        check(detector in {name for name, _, _ in got}, f"{detector}: {act['text'][:60]}", got)

    def twin(self, detector, act):
        got = self.do(act, "twin")
        # what containers do while they start is told, and no more than told
        least = 2 if act.get("starting") else 1
        check(detector not in {name for name, severity, _ in got if severity >= least},
              f"{detector}: silent at {act['text'][:60]}", got)
        grave = [f for f in got if f[1] >= GRAVE]
        check(not grave, f"{detector}: nothing grave about its twin", grave)


def listed(node):
    return [d["name"] for d in node.ask("detectors")["detectors"]]


def complete(node):
    names = listed(node)
    equal(sorted(names), sorted(deeds.ROWS), "every detector has its deed and its twin")
    here = os.path.dirname(os.path.realpath(__file__))
    for name, (first, second) in deeds.ROWS.items():
        if first != "elsewhere":
            continue
        path = os.path.join(here, second)
        text = open(path).read() if os.path.exists(path) else ""
        check(f'"{name}"' in text, f"{name}: {second} provokes it")
    return names


def rows(runner, starting):
    for name in listed(runner.node):
        acts, twins = deeds.ROWS.get(name, ((), ()))
        if isinstance(acts, str):
            continue
        for act in acts:
            if bool(act.get("starting")) == starting:
                runner.deed(name, act)
        for act in twins:
            if bool(act.get("starting")) == starting:
                runner.twin(name, act)


# commands of operators and probes; what somebody types
COMMANDS = (("/bin/ls", "/"), ("/bin/sh", "-c", "exit 0"), ("/bin/sh", "-c", "echo true | sh; ls /"), ("python3", "-c", "1"),
            ("/bin/bash", "-ec", "true"))
PIPED = (("/bin/sh", "-c", "cat > /tmp/x"), ("/bin/tar", "xmf", "-", "-C", "/tmp"), ("/bin/sh", "-c", "wc -l"),
         ("python3", "-c", "input()"))
TYPED = (("/bin/sh",), ("/bin/bash", "-i"), ("/bin/bash", "--norc", "-l"), ("/bin/bash", "-o", "pipefail", "-s", "x"),
         ("busybox", "sh"), ("env", "bash"), ("python3", "-iu"), ("perl", "-"),
         ("/bin/sh", "-c", "export TERM=xterm; exec bash || exec sh"))


def entered(node, name, argv, **how):
    """Runs it in a container of its own, from outside; what was found."""
    pod = node.pod("shop", name)
    box = Container(pod, usual=True)
    box.enter(*argv, **how)
    got = findings(node, pod.name)
    box.stop()
    pod.delete()
    return got


def from_outside(node):
    pod = node.pod("shop", "entered")
    box = Container(pod, usual=True)
    for argv in COMMANDS:
        box.enter(*argv)
    for argv in PIPED:
        box.enter(*argv, text="")
    got = [f for f in findings(node, pod.name) if f[1] > 1]
    check(not got, "from outside: silent at commands", got)
    box.stop()
    ours, theirs = os.openpty()
    ways = [(argv, {"text": ""}) for argv in TYPED]
    ways += [(("/bin/sh", "-c", "true"), {"terminal": theirs}), (("/bin/sh",), {"text": "", "only_network": True})]
    for i, (argv, how) in enumerate(ways):
        got = entered(node, f"typed{i}", argv, **how)
        check("interactive-exec" in {name for name, _, _ in got}, f"interactive-exec: {' '.join(argv)}", got)
        if "only_network" in how:
            check("privileged" not in {name for name, _, _ in got}, "who comes from the node is no container", got)
    os.close(ours)
    os.close(theirs)


def filled_by_another(node):
    """An init container puts there what the others run: the pod's author wants that."""
    pod = node.pod("shop", "filled")
    first = Container(pod, volume=volume())
    first.sh(f"cp /bin/true /srv/x; cp {deeds.LIBRARY} /srv/x.so; echo true > /srv/x.sh")
    second = Container(pod, volume=first.volume)
    first.stop()
    second.sh(f"/srv/x; sh /srv/x.sh; {deeds.LOADS.format('/srv/x.so')}")
    grave = [f for f in findings(node, pod.name) if f[1] > 2 and f[0] != "posture"]
    check(not grave, "drop-chain: silent at what another container left for it", grave)
    second.sh(f"cp /srv/x /srv/y; {deeds.LOADS.format('/srv/y')}; /srv/y")
    got = findings(node, pod.name)
    check(("drop-chain", 4) in {f[:2] for f in got}, "drop-chain: what it wrote there itself", got)
    second.stop()


def own_signal(node):
    pod = node.pod("shop", "killer")
    box = Container(pod)
    box.sh(f"kill -{int(signal.SIGWINCH)} {node.proc.pid}; sleep 60 & kill $!")
    got = findings(node, pod.name)
    check("own-signal" not in {name for name, _, _ in got}, "own-signal: silent at what ends nobody",
          got)
    box.sh(f"kill -9 {node.proc.pid}")
    node.proc.wait(60)
    node.start()
    got = findings(node, pod.name)
    check("own-signal" in {name for name, _, _ in got}, "own-signal: kill -9 of the daemon before", got)
    box.stop()


def main():
    node = Node(config=STRICT).start()
    node.write("out.yaml", network_policy(
        "shop", "out", {"out": "yes"}, ["Egress"],
        egress=[{"to": [{"ipBlock": {"cidr": "198.51.100.99/32"}}]}]))
    node.sync()
    runner = Runner(node)
    for name, fn in (("the table", lambda: complete(node)), ("deeds and twins", lambda: rows(runner, False)),
                     ("from outside", lambda: from_outside(node)),
                     ("a volume of two containers", lambda: filled_by_another(node)),
                     ("signals to the daemon", lambda: own_signal(node))):
        with part(name):
            fn()
    with part("what containers do at their start"):
        node.extra = USUAL
        node.write_config()
        node.restart()
        rows(runner, True)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

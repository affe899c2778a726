#!/usr/bin/python3
"""How learning ends, in real time: `runtime.learning` of the settings makes slices of time short enough to
watch. Replicas live, one of them does something new again and again, one of them is broken into; the
daemon is restarted and killed meanwhile; then nothing new comes, learning ends, and what is new from then
on is told, as each pod's RuntimePolicy wants it."""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part, run, wait_until

SLICE_S = 1
LEARNING = {"slice": f"{SLICE_S}s", "slices": 24, "replicas": 3, "unseen": "0.5%"}
NAMES = ("bcdfg", "hjklm", "npqrs", "tvwxz", "b2c4d", "f5g6h", "j7k8l", "m9n2p", "q4r5s")
# 110 getppid, 102 getuid, 111 getpgrp: 110 102 and 102 111 follow each other, 110 111 never does
CALLS = "python3 -ISc 'import ctypes; c = ctypes.CDLL(None).syscall; [c(n) for n in (%s)]'"
LIFE = ("date; ls /; mkdir -p /var/lib/app; echo x > /var/lib/app/state; echo x > /tmp/scratch; "
        "bash -c 'echo x > /dev/udp/198.51.100.99/53'; " + CALLS % "110, 102, 111")
NEWS = ("arch", "nproc", "users", "logname", "hostid", "whoami", "dircolors", "printenv", "unlink", "pathchk /")  # programs, each new when its slice begins
BASE = ("new-exec", "new-chain", "new-edge", "new-port", "new-path", "new-syscall", "anomaly")
POLICY = """apiVersion: bulkhead.io/v1alpha1
kind: RuntimePolicy
metadata: {{name: baseline-{0}, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{use: baseline-{0}}}}}
  baseline: {0}
  on: {{violation: kill}}
"""

BAD = (
    ({"slice": "999ms"}, "'slice': 999ms is too short"),
    ({"slice": "25h"}, "'slice': 25h is too long"),
    ({"slice": "soon"}, "'slice': 'soon' is not a length of time"),
    ({"slices": 0}, "slices"),
    ({"slices": "many"}, "slices"),
    ({"replicas": 0}, "replicas"),
    ({"replicas": -3}, "replicas"),
    ({"replicas": 9}, "replicas"),
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


class World:
    def __init__(self, node):
        self.node, self.boxes = node, []
        self.known = set()  # findings that were looked at

    def replica(self, use=None):
        """Another pod of the Deployment, with a container. use: which RuntimePolicy is its."""
        labels = {"app": "web", **({"use": use} if use else {})}
        pod = self.node.pod("shop", f"web-6bcd5d8f4-{NAMES[len(self.boxes)]}", labels)
        box = Container(pod)
        self.boxes.append(box)
        return box

    def row(self, name="shop/web"):
        self.node.ask("runtime")
        return next((b for b in self.node.ask("baseline", "list")["baselines"] if b["workload"] == name), None)

    def learnt(self, kind=None):
        """{(kind, key): fact} of the baseline."""
        b = json.loads(self.node.cli("baseline", "show", "shop/web", "-o", "json").stdout)
        return {(k, f["key"]): f for k, facts in b["facts"].items() for f in facts if kind in (None, k)}

    def live(self, boxes=None):
        for box in boxes or self.boxes:
            box.sh(f"{{ {LIFE}; }} > /dev/null 2>&1")

    def live_until(self, fn, timeout, what, boxes=None):
        """Ordinary life goes on until fn holds; its value."""
        def one():
            self.live(boxes)
            return fn()
        return wait_until(one, timeout, what, 0.2)

    def findings(self, box, detectors=BASE):
        self.node.ask("runtime")
        r = self.node.cli("events", "--class", "finding", "--pod", box.pod.name, "-o", "json")
        rows = [(e["unmapped"]["bulkhead"], e) for e in map(json.loads, r.stdout.splitlines())]
        return [(own, e) for own, e in rows if own["detector"] in detectors]

    def told(self, box, detector, words):
        """The finding of a detector whose text has these words."""
        return next(((own, e) for own, e in self.findings(box, (detector,)) if words in e["message"]), None)

    def quiet(self, name=None):
        """Checks that nothing was found since the last time, when there is a name for it."""
        rows = {(box.pod.name, e["message"]) for box in self.boxes for _, e in self.findings(box)}
        if name:
            check(rows <= self.known, name, rows - self.known)
        self.known |= rows


def begins(w):
    """What is missing is said, in the order in which it is."""
    first = w.replica()
    w.live()
    for program in NEWS[:5]:
        first.sh(f"{program} > /dev/null 2>&1")
    row = wait_until(w.row, 10, "there is a baseline")
    equal((row["state"], row["waitsFor"]), ("learning", "1 of 3 starts seen"), "one replica is not enough")
    w.replica()
    w.live_until(lambda: w.row()["waitsFor"] == "2 of 3 starts seen", 10, "nor are two")
    w.replica()
    row = w.live_until(lambda: w.row() if w.row()["starts"] == 3 else None, 10, "a third one is seen")
    check("of 24 slices of time seen" in row["waitsFor"], "then time is wanted", row)
    for _ in range(3):  # seen many times, in this replica only
        before = w.row()["units"]
        first.sh("pinky > /dev/null")
        w.live_until(lambda: w.row()["units"] > before, 10, "time goes on")


def goes_on(w):
    """Something new in each slice: learning does not end, however long it takes."""
    for program in NEWS[5:]:
        w.boxes[0].sh(f"{program} > /dev/null 2>&1")
        at = w.row()["units"]
        w.live_until(lambda: w.row()["units"] >= at + 3, 10, "a slice passes")
        equal(w.row()["state"], "learning", f"{program} is new: learning goes on")
    row = w.live_until(lambda: w.row() if w.row()["units"] > 24 else None, 20, "enough time was seen")
    equal(row["state"], "learning", "enough replicas, enough time: learning goes on all the same")
    check("keys are still to come, 0.5 % may be" in row["waitsFor"], "it says of what more is to come", row)
    check(row["keys"]["exec"]["unseen"] > 0.005, "and how much", row["keys"])
    equal(row["keys"]["listen"], {"seen": 0, "confirmed": 0, "unseen": 0.0}, "nothing of a kind, and nothing waited for")


def broken_into(w):
    """Two more replicas run foreign code; what they do from then on confirms nothing."""
    for name in ("dropped", "fallen"):
        box = w.replica()
        w.live([box])
        shutil.copy("/bin/true", f"/proc/{box.pid}/root/tmp/{name}")
        box.sh(f"/tmp/{name}")
        wait_until(lambda: suspicious(w, box), 10, f"{box.pod.name}: foreign code is found")
        for _ in range(3):
            box.sh("tty > /dev/null")
    fact = wait_until(lambda: w.learnt("exec").get(("exec", "/usr/bin/tty")), 10, "it is seen all the same")
    check(not fact["confirmed"] and fact["replicas"] == 0, "what both did while a finding was open confirms nothing",
          fact)


def suspicious(w, box):
    w.node.ask("runtime")
    r = w.node.cli("events", "--class", "finding", "--pod", box.pod.name, "-o", "json")
    return [e for e in map(json.loads, r.stdout.splitlines()) if e["class_uid"] == 2004 and e["severity_id"] > 1]


def restarts(w, hard):
    """Nothing is lost, and nothing counts twice."""
    word = "killed" if hard else "stopped"
    row, before = w.row(), w.learnt()
    if hard:  # what it does not come to write down is no older than half a slice, or a minute
        w.live_until(lambda: w.row()["units"] >= row["units"] + 2 * len(w.boxes), 30, "it is kept")
    w.node.restart(hard=hard)
    now, after = w.row(), w.learnt()
    equal(now["state"], "learning", f"{word}: still learning")
    equal(now["starts"], row["starts"], f"{word}: the same replicas")
    check(now["units"] >= row["units"], f"{word}: no slice is lost", (row["units"], now["units"]))
    gone = [k for k in before if k not in after or after[k]["replicas"] < before[k]["replicas"] or
            after[k]["confirmed"] < before[k]["confirmed"] or after[k]["units"] < before[k]["units"]]
    check(not gone, f"{word}: no key is lost", gone)
    once = [k for k, f in before.items() if k[0] == "exec" and f["units"] == 1]
    check(len(once) >= len(NEWS), "some were seen once", once)
    twice = [k for k in once if after[k]["units"] != 1]
    check(not twice, f"{word}: and none of them counts twice", twice)
    w.live()
    w.row()
    fact = w.learnt("exec")[("exec", "/usr/bin/tty")]
    for box in w.boxes[3:]:
        box.sh("tty > /dev/null")
    w.row()
    check(not w.learnt("exec")[("exec", "/usr/bin/tty")]["confirmed"], f"{word}: who was suspect is", fact)


def ends(w):
    """Everybody does everything: nothing new is to be expected."""
    w.boxes[1].sh(f"{{ {'; '.join(NEWS)}; }} > /dev/null 2>&1")
    w.live_until(lambda: w.row()["state"] == "closed", 90, "learning ends")
    row = w.row()
    equal(row["waitsFor"], None, "learning ended by itself")
    check(all(k["unseen"] <= 0.005 for k in row["keys"].values()) and row["sequences"]["unseen"] <= 0.005,
          "hardly anything new is to be expected", row)
    facts = w.learnt("exec")
    equal([facts[("exec", f"/usr/bin/{n}")]["confirmed"] for n in ("date", "ls", "arch", "pinky", "tty")],
          [True, True, True, False, False], "confirmed is what several replicas did undisturbed")
    w.quiet()  # it may have ended while the second replica did the last of it


def speaks(w):
    """The same life is not told, also of a replica that comes later; what is new is."""
    box = w.replica()
    w.live([box, *w.boxes[:3]])
    w.row()
    w.live([box, *w.boxes[:3]])
    w.quiet("ordinary life, and a new replica's, raise nothing")
    box.sh((CALLS % "110, 111, 102, 111") + " > /dev/null")
    w.row()
    w.quiet("one pair of calls that nobody made before is not told")
    for program, why in (("pinky", "one replica did before"), ("tty", "suspects did before")):
        box.sh(f"{program} > /dev/null")
        got = wait_until(lambda: w.told(box, "new-exec", f"/usr/bin/{program}"), 10, program)
        equal(got[1]["severity_id"], 1, f"what {why} is told, for information")
    other = w.boxes[2]
    other.sh("id > /dev/null")
    got = wait_until(lambda: w.told(other, "new-exec", "/usr/bin/id"), 10, "id")
    check(got[1]["severity_id"] > 1, "what nobody did is told as more than that", got[1]["severity"])
    w.live([other])
    got = [e["message"] for _, e in w.findings(other, ("anomaly",))]
    check(not got, "one new program is no anomaly, with all its calls", got)
    box.sh("uptime; hostname; groups; who; factor 6; expr 1; seq 2; tac /etc/hostname; echo x > /srv/elsewhere")
    got = wait_until(lambda: w.findings(box, ("anomaly",)), 10, "an anomaly")
    check(got[0][0]["detector"] == "anomaly", "many new things at once are an anomaly")
    for detector in ("new-chain", "new-path"):
        check(w.findings(box, (detector,)), f"and {detector} speaks", lambda: w.findings(box))


def ran(w, box, path):
    """Whether the execution is in the log, so that everything about it was told."""
    w.node.ask("runtime")
    r = w.node.cli("events", "--class", "process", "--pod", box.pod.name, "-o", "json")
    return any(e["process"].get("file", {}).get("path") == path for e in map(json.loads, r.stdout.splitlines()))


def policies(w):
    boxes = {}
    for use in ("required", "observe", "off"):
        w.node.write(f"{use}.yaml", POLICY.format(use))
        w.node.sync()
        boxes[use] = w.replica(f"baseline-{use}")
        w.live([boxes[use]])
    status, _ = boxes["required"].sh("tail -f /etc/hostname > /dev/null")
    own, _ = wait_until(lambda: w.told(boxes["required"], "new-exec", "/usr/bin/tail"), 10, "required")
    equal((status, own["response"]), (137, "kill"), "required: what is new is a violation, and answered like one")
    equal(boxes["required"].sh("pinky > /dev/null")[0], 0, "required: what one replica did before is not")
    equal(boxes["observe"].sh("wc /etc/hostname > /dev/null")[0], 0, "observe: what is new runs")
    own, _ = wait_until(lambda: w.told(boxes["observe"], "new-exec", "/usr/bin/wc"), 10, "observe")
    equal(own["response"], "alert", "observe: and is told")
    equal(boxes["off"].sh("cut -c1 /etc/hostname > /dev/null; fold /etc/hostname; paste /etc/hostname; nl /etc/hostname; "
                          "od /etc/hostname; sort /etc/hostname; uniq /etc/hostname")[0], 0, "off: what is new runs")
    wait_until(lambda: ran(w, boxes["off"], "/usr/bin/uniq"), 10, "off: it is logged")
    equal([e["message"] for _, e in w.findings(boxes["off"])], [], "off: and no finding")


def moves(w):
    node = w.node
    private, public, path = node.path("key.pem"), node.path("key.pub"), node.path("web.json")
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", private)
    run("openssl", "pkey", "-in", private, "-pubout", "-out", public)
    r = node.cli("baseline", "export", "shop/web", "--key", private)
    with open(path, "w") as f:
        f.write(r.stdout)
    before = w.learnt()
    node.ask("runtime", "watch")
    equal(node.cli("baseline", "reset", "shop/web").returncode, 0, "forgotten")
    equal(w.row(), None, "in mode watch nothing is learnt")
    for more, name in (((), "shop/web"), (("--as", "production/web"), "production/web")):
        r = node.cli("baseline", "import", path, "--key", public, *more)
        equal((r.returncode, r.stdout.strip()), (0, name), "imported")
        row = w.row(name)
        equal((row["state"], row["waitsFor"]), ("closed", None), f"{name} is closed")
        r = node.cli("baseline", "diff", path, name, "--key", public)
        equal((r.returncode, r.stdout), (0, ""), "diff finds nothing")
    same = {k: f["confirmed"] for k, f in w.learnt().items()} == {k: f["confirmed"] for k, f in before.items()}
    check(same, "what was not confirmed is not")
    w.boxes[0].sh("basename /a/b > /dev/null")
    wait_until(lambda: w.told(w.boxes[0], "new-exec", "/usr/bin/basename"), 10, "what is new is told again")
    node.restart()
    equal(w.row()["state"], "closed", "closed it stays")


def main():
    node = Node(default="kubernetes")
    with part("settings"):
        settings(node)
    node.extra = {"runtime": {"mode": "learn", "startup": "0s", "learning": LEARNING}}
    node.write_config()
    node.start()
    w = World(node)
    for name, fn in (("it begins", begins), ("it goes on", goes_on), ("an intruder", broken_into),
                     ("a restart", lambda w: restarts(w, False)), ("a kill", lambda w: restarts(w, True)),
                     ("it ends", ends), ("afterwards", speaks), ("RuntimePolicies", policies), ("files", moves)):
        with part(name):
            fn(w)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

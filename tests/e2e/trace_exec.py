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
from traffic import comes_true

LIGHT = {"runtime": {"mode": "light"}}


def events(node, pod=None):
    """The starts of programs so far, oldest first."""
    node.ask("runtime")  # reads what waits in the rings
    more = ["--pod", pod] if pod else []
    r = node.cli("events", "--class", "process", *more, "-o", "json")
    all_of = [json.loads(line) for line in r.stdout.splitlines() if line.strip()]
    return [e for e in all_of if e["activity_id"] == 1]  # not the digests that came late


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


SHORT, EACH = 40, 50
STORM = 1500


def short_lives(node):
    """Pods that execute at once and are gone before anybody looks."""
    for i in range(SHORT):
        pod = node.pod("batch", f"job{i}")
        c = Container(pod, first=("/bin/sh", "-c", f"for i in $(seq {EACH}); do /bin/true; done"))
        c.proc.wait(30)
        pod.gone()
    r = node.ask("runtime")
    equal(r["records"]["unnamed"], 0, f"{SHORT * EACH} programs of short-lived pods all had a name")
    told = {e["unmapped"]["bulkhead"]["pod"] for e in events(node)}
    equal(len([p for p in told if p.startswith("batch/")]), SHORT, "and each pod is in the log")


def one_among_many(node):
    """A dropped program in the middle of a storm of ordinary ones, from several processes."""
    pod = node.pod("shop", "storm")
    box = Container(pod)
    box.sh("cp /bin/true /usr/local/bin/bad")
    loop = f"(i=0; while [ $i -lt {STORM} ]; do /bin/true; i=$((i+1)); done)"
    box.sh(f"{loop} & {loop} & {loop} & sleep 0.2; /usr/local/bin/bad; wait")
    bad = [e for e in events(node, pod.name) if path(e) == "/usr/local/bin/bad"]
    check(len(bad) == 1 and ours(bad[0])["provenance"] == "new",
          f"one bad program among {3 * STORM} is told", len(bad))
    b = next(p for p in node.ask("runtime")["pods"] if p["pod"] == pod.name)["books"]
    check(b["execs"] > 3 * STORM and b["deduplicated"] > 2 * STORM, "the others are counted", b)
    check(b["lost"] == 0 and balanced(b), "nothing is lost", b)


def host_network(node):
    """A pod on the node's own network is known by its cgroup."""
    with open("/proc/self/mounts") as f:
        roots = [x.split()[1] for x in f if x.split()[2] == "cgroup2"]
    uid = os.urandom(16).hex()
    base = os.path.join(roots[0], f"bh-e2e-{os.getpid()}")
    made = [base, os.path.join(base, f"pod{uid}"), os.path.join(base, f"pod{uid}", "c1")]
    for d in made:
        os.mkdir(d)
        testing.on_exit(lambda d=d: os.path.isdir(d) and os.rmdir(d))
    node.write("host.yaml", {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "agent", "namespace": "sys", "uid": uid},
        "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": "x"}]},
        "status": {"phase": "Running", "podIP": "10.77.255.254"}})
    node.sync()
    node.ask("runtime")
    node.sh(f"echo $$ > {made[2]}/cgroup.procs; /usr/bin/id >/dev/null; /bin/true")
    got = {path(e) for e in events(node, "sys/agent")}
    equal(sorted(os.path.basename(p) for p in got), ["id", "true"], "a hostNetwork pod's programs")
    # it executes nothing there: that it is in the cgroup is enough
    node.sh(f"python3 -c 'import os, socket; open(\"{made[2]}/cgroup.procs\", \"w\").write(\"0\"); "
            "s = socket.create_server((\"127.0.0.1\", 4712)); os._exit(0)'")
    node.ask("runtime")
    r = node.cli("events", "--class", "kernel", "--pod", "sys/agent", "-o", "json")
    got = [ours(json.loads(line)) for line in r.stdout.splitlines()]
    check([e for e in got if e["call"] == "listen" and e["arguments"][0] == 4712],
          "a task is the pod's from the moment it is in its cgroup", got)
    node.write("strict.yaml", {
        "apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
        "metadata": {"name": "strict", "namespace": "sys"},
        "spec": {"podSelector": {}, "exec": {"allow": ["/usr/bin/dash", "/bin/dash"]}, "on": {"violation": "kill"}}})
    node.sync()
    text = f"echo $$ > {made[2]}/cgroup.procs; /usr/bin/id > /dev/null 2>&1 || echo $?"
    equal(node.sh(text).split(), ["137"], "a RuntimePolicy holds for it, too")
    node.write("strict.yaml", {
        "apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
        "metadata": {"name": "strict", "namespace": "sys"},
        "spec": {"podSelector": {}, "on": {"package-manager": "kill"}}})
    node.sync()
    node.sh(f"echo $$ > {made[2]}/cgroup.procs; /usr/bin/dpkg -i /nothing.deb 2>/dev/null || :")

    def kills():
        node.ask("runtime")
        r = node.cli("events", "--class", "kill", "--pod", "sys/agent", "-o", "json")
        return [x for x in map(ours, map(json.loads, r.stdout.splitlines())) if "package-manager" in x["reason"]]
    check(comes_true(kills, 20), "what a finding in it calls for is done, and told")
    node.remove("strict.yaml")
    node.sync()
    equal(node.sh(text), "", "and when it is gone no more")
    node.remove("host.yaml")
    node.sync()
    node.ask("runtime")
    node.sh(f"echo $$ > {made[2]}/cgroup.procs; /usr/bin/tac /dev/null")
    got = {os.path.basename(path(e)) for e in events(node)}
    check("tac" not in got, "and when it is gone nothing is told in its name")


def started_again(node):
    """A container that takes another one's place is a container's start, though the kernel's numbers of
    namespaces come again."""
    pod = node.pod("shop", "again")
    for n in range(1, 4):
        box = Container(pod)
        box.sh("id > /dev/null")
        box.stop()
        got = [e for e in events(node, pod.name) if ours(e).get("containerStart")]
        equal(len(got), n, f"container {n} of the pod starts")


def main():
    node = Node(config=LIGHT).start()
    with part("first exec"):
        first_exec(node)
    with part("short-lived pods"):
        short_lives(node)
    with part("hostNetwork"):
        host_network(node)
    with part("containers one after the other"):
        started_again(node)
    with part("one among many"):
        one_among_many(node)
    r = node.ask("runtime")
    check(balanced(r["books"]), "the books balance", r)
    equal(r["records"]["unnamed"], 0, "no event without a pod")
    equal(r["records"]["broken"], 0, "no broken record")


if __name__ == "__main__":
    testing.start()
    testing.main(main)

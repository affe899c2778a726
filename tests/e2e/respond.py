#!/usr/bin/python3
"""What is done about findings, on live pods: kill, freeze (by the cgroup freezer), quarantine; the evidence
it needs, budgets, replicas that stay, exempt namespaces, dry run. Whatever is held back is told, what was
done outlives the daemon, and a person takes it back with a command."""
import contextlib
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, on_exit, part, run, wait_until

DROP = "cp /bin/true /opt/evil; /opt/evil"  # code that is not the image's: one signal of provenance
CRON = "echo '* * * * * root id' > /etc/cron.d/job"  # one signal of another family
SHADOW = "cat /etc/shadow > /dev/null"  # and one of a third
WATCH = {"mode": "watch", "startup": "0s"}


def on(name, ns="shop", **answers):
    return {"apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
            "metadata": {"name": name, "namespace": ns},
            "spec": {"podSelector": {}, "baseline": "observe",
                     "on": {k.replace("_", "-"): v for k, v in answers.items()}}}


def only_image(name, ns="shop"):
    p = on(name, ns, violation="kill")
    p["spec"]["exec"] = {"origin": ["image"]}
    return p


def settings(node, **response):
    """Other settings, and the daemon with them; what it remembers of answers is for this boot."""
    node.extra = {"runtime": {**WATCH, "response": response}}
    node.write_config()
    node.restart()


def policy(node, *documents):
    node.write("on.yaml", *documents)
    node.sync()


def container(node, name, ns="shop", cgroup=None, **how):
    pod = node.pod(ns, name)
    box = Container(pod, **how)
    if cgroup:
        with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
            f.write(str(box.pid))
    return box


def do(box, text):
    """Shell lines that may end the shell, or stop it."""
    box.proc.stdin.write(f"{{ {text}; }} > /dev/null 2>&1\n")
    box.proc.stdin.flush()


def state(node, name):
    """open, quarantined ... of a pod."""
    node.ask("runtime")
    return next(p["state"] for p in node.ask("pods")["pods"] if p["pod"] == name)


def answers(node, name):
    """What was said about answers to findings of a pod."""
    node.ask("runtime")
    r = node.cli("events", "--class", "finding", "--pod", name, "-o", "json")
    rows = [json.loads(line)["unmapped"]["bulkhead"] for line in r.stdout.splitlines() if line.strip()]
    return [row["answer"] for row in rows if row.get("answer")]


def isolated(node, name):
    return wait_until(lambda: state(node, name) == "quarantined", 15, f"{name} is quarantined")


def told(node, name, words):
    wait_until(lambda: any(words in a for a in answers(node, name)), 15, f"'{words}' about {name}")
    check(True, f"{name}: told: {words}")


def alone(node, name, why):
    check(state(node, name) == "open", f"{name}: left alone: {why}", lambda: answers(node, name))


def release(node, name):
    r = node.cli("release", name, "--reason", "a test")
    equal(r.returncode, 0, f"{name}: released by a command")
    equal(state(node, name), "open", f"{name}: open again")


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(") ")[2][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def killing(node):
    policy(node, on("kill", fileless="kill"))
    box = container(node, "kill")
    box.sh("python3 -c 'import os; f = os.memfd_create(\"x\"); os.write(f, open(\"/bin/sleep\", "
           "\"rb\").read()); os.execve(f, [\"sleep\", \"60\"], {})' & echo $! > /tmp/pid")
    pid = int(box.sh("cat /tmp/pid")[1])
    wait_until(lambda: has_ended(pid), 15, "it is killed")
    check(True, "kill: the process ends")
    equal(box.sh("echo here")[0], 0, "kill: and nothing else of the pod")
    told(node, "shop/kill", "kill for shop/kill because of fileless")


def is_removed(path):
    """Who has ended is in it for a moment longer."""
    with contextlib.suppress(OSError):
        os.rmdir(path)
    return not os.path.exists(path)


def remove_cgroup(path):
    """Also when a check failed while it was frozen: whoever is in it is killed and waited for."""
    if not os.path.isdir(path):
        return
    with open(os.path.join(path, "cgroup.kill"), "w") as f:
        f.write("1")
    wait_until(lambda: is_removed(path), 15, "the cgroup is empty")


def freezing(node):
    """In a cgroup of the pod's own, as every runtime makes one."""
    base = run("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").split()[0]
    cgroup = os.path.join(base, f"{node.prefix}-frozen")
    os.mkdir(cgroup)
    on_exit(lambda: remove_cgroup(cgroup))
    policy(node, on("freeze", foreign_code="freeze"))
    box = container(node, "freeze", cgroup=cgroup)
    frozen = lambda: "frozen 1" in open(os.path.join(cgroup, "cgroup.events")).read()
    do(box, f"while :; do date >> /tmp/ticks; done & {DROP}")
    wait_until(frozen, 15, "the cgroup is frozen")
    check(True, "freeze: by the cgroup freezer")
    isolated(node, "shop/freeze")
    was = os.path.getsize(f"/proc/{box.pid}/root/tmp/ticks")
    run("sleep", "0.3")
    equal(os.path.getsize(f"/proc/{box.pid}/root/tmp/ticks"), was, "freeze: nothing runs any more")
    node.restart(hard=True)
    check(frozen() and state(node, "shop/freeze") == "quarantined", "freeze: also over kill -9 of the daemon")
    release(node, "shop/freeze")
    wait_until(lambda: not frozen(), 15, "it is thawed")
    wait_until(lambda: os.path.getsize(f"/proc/{box.pid}/root/tmp/ticks") > was, 15, "it runs again")
    check(True, "freeze: goes on after the release")
    remove_cgroup(cgroup)


def evidence(node):
    policy(node, on("evidence", foreign_code="quarantine", cron="quarantine", shadow="quarantine"))
    one = container(node, "one")
    one.sh(CRON)
    told(node, "shop/one", "neither foreign code nor a second signal")
    alone(node, "shop/one", "one signal that is not of provenance")
    one.sh(SHADOW)
    isolated(node, "shop/one")
    check(True, "two signals of different families are enough")
    code = container(node, "code")
    code.sh(DROP)
    isolated(node, "shop/code")
    check(True, "one signal of provenance is enough")
    r = node.ask("quarantine", "--list")["quarantines"]
    row = next(x for x in r if x["pod"] == "shop/code")
    check("foreign-code" in row["reason"] and "bulkheadd" in row["by"], "the record says why, and who", row)
    node.restart(hard=True)
    equal(state(node, "shop/code"), "quarantined", "over kill -9 of the daemon too")
    release(node, "shop/code")
    code.sh("true")
    alone(node, "shop/code", "a release is not taken back for what was done before")
    release(node, "shop/one")


def budget(node):
    settings(node, podsPerHour=1, nodePerHour=100, keepReplicas="0%")
    policy(node, on("budget", foreign_code="quarantine"))
    boxes = [container(node, f"rep-7d4b9c6f5-x{n}w2z") for n in "2456"]
    names = [b.pod.name for b in boxes]
    boxes[0].sh(DROP)
    isolated(node, names[0])
    boxes[1].sh(DROP)
    told(node, names[1], "this hour's budget is used up")
    alone(node, names[1], "the budget of its owner")
    node.restart(hard=True)
    boxes[2].sh(DROP)
    told(node, names[2], "this hour's budget is used up")
    alone(node, names[2], "a restart is no fresh budget")
    release(node, names[0])


def replicas(node):
    settings(node, podsPerHour=100, nodePerHour=100, keepReplicas="50%")
    policy(node, on("share", foreign_code="quarantine"))
    boxes = [container(node, f"web-7d4b9c6f5-x{n}w2z") for n in "2456"]
    names = [b.pod.name for b in boxes]
    for box in boxes:
        box.sh(DROP)
    isolated(node, names[0])
    isolated(node, names[1])
    for name in names[2:]:
        told(node, name, "too few replicas would remain")
        alone(node, name, "half of the owner's pods stay")
    release(node, names[0])
    boxes[3].sh("cp /bin/true /opt/more; /opt/more")
    isolated(node, names[3])
    check(True, "a released one makes room")
    for name in (names[1], names[3]):
        release(node, name)


def held_back(node):
    settings(node, dryRun=True)
    policy(node, on("dry", foreign_code="quarantine"))
    box = container(node, "dry")
    box.sh(DROP)
    told(node, "shop/dry", "wanted: quarantine for shop/dry because of foreign-code, but this is a dry run")
    alone(node, "shop/dry", "dry run")
    policy(node, only_image("dry"))
    equal(box.sh("cp /bin/true /opt/dry; /opt/dry")[0], 0, "shop/dry: nor does the kernel kill")
    told(node, "shop/dry", "wanted: kill for shop/dry because of policy-exec, but this is a dry run")
    settings(node, exemptNamespaces=["spared"])
    policy(node, on("spare", ns="spared", foreign_code="quarantine"), on("not", foreign_code="quarantine"),
           only_image("kill", "spared"))
    spared, other = container(node, "a", ns="spared"), container(node, "b")
    equal(spared.sh(DROP)[0], 0, "spared/a: nor does the kernel kill")
    other.sh(DROP)
    told(node, "spared/a", "but its namespace is exempt")
    told(node, "spared/a", "wanted: kill for spared/a because of policy-exec, but its namespace is exempt")
    alone(node, "spared/a", "its namespace is exempt")
    isolated(node, "shop/b")
    release(node, "shop/b")


def refused(node):
    """Settings that mean nothing are refused with a place and a sentence."""
    rows = (({"response": {"podsPerHour": -1}}, "podsPerHour"), ({"response": {"keepReplicas": "150%"}}, "keepReplicas"),
            ({"response": {"keepReplicas": "half"}}, "0% to 100%"), ({"response": {"dry": True}}, "dry"),
            ({"startup": "soon"}, "startup"), ({"mode": "loud"}, "off, light, watch or learn"),
            ({"response": {"exemptNamespaces": "x"}}, "exemptNamespaces"),
            ({"rates": {"every": "10ms"}}, "10ms is too short"), ({"rates": {"busy": "2d"}}, "2d is too long"),
            ({"rates": {"often": "1s"}}, "often"), ({"fanotify": "perhaps"}, "fanotify"))
    good = node.extra
    for bad, words in rows:
        node.extra = {"runtime": bad}
        node.write_config()
        r = subprocess.run([node.binary, "--check", "--config", node.path("config.yaml")],
                           capture_output=True, text=True, timeout=20)
        check(r.returncode != 0 and words in r.stderr and "config.yaml:" in r.stderr,
              f"refused: {json.dumps(bad)}", r.stderr)
    node.extra = good
    node.write_config()


def main():
    node = Node(config={"runtime": WATCH}).start()
    for name, fn in (("kill", killing), ("freeze", freezing), ("evidence", evidence), ("budget", budget),
                     ("replicas", replicas), ("held back", held_back), ("settings", refused)):
        with part(name):
            fn(node)
            for pod in list(node.pods.values()):
                pod.delete()


if __name__ == "__main__":
    testing.start()
    testing.main(main)

#!/usr/bin/python3
"""Events and baselines go by the workload: what ownerReferences say, a guess only where no object
describes the pod, and the guess says so. Container and image of pods that have one only."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part

DIGEST = "sha256:" + "ab" * 32


def manifest(name, owner=None, labels=None, containers=None, **more):
    """A Pod as the API server has it."""
    refs = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "not-the-one", "uid": "x"}]
    if owner:
        refs.append({"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": "u",
                     "controller": True, "blockOwnerDeletion": True})
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": labels or {},
                         "ownerReferences": refs},
            "spec": {"containers": containers or [{"name": "main", "image": "img/app:v1"}], **more}}


# pod's name, its manifest (None: none), workload, guessed
CASES = (
    ("web-5d4f8c7b9-x2x4z", {"owner": ("ReplicaSet", "web-5d4f8c7b9"),
                             "labels": {"pod-template-hash": "5d4f8c7b9"}},
     ("Deployment", "web"), False),
    ("db-0", {"owner": ("StatefulSet", "db")}, ("StatefulSet", "db"), False),
    ("nightly-28394715-k8s2x", {"owner": ("Job", "nightly-28394715")}, ("CronJob", "nightly"),
     False),
    ("agent-zz9zz", {"owner": ("DaemonSet", "agent")}, ("DaemonSet", "agent"), False),
    ("lonely-x2x4z", {}, ("Pod", "lonely-x2x4z"), False),
    ("wild-5d4f8c7b9-x2x4z", None, ("Pod", "wild"), True),
)


def ours(e):
    return e["unmapped"]["bulkhead"]


def events(node, pod, *more):
    node.ask("runtime")
    r = node.cli("events", "--pod", pod, *more, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def started(node, pod):
    """The last start of a program. A digest that comes late is told after it, as an event of its own."""
    return [e for e in events(node, pod, "--class", "process") if e["activity_name"] == "Launch"][-1]


def named(node, boxes):
    for name, _, (kind, owner), guessed in CASES:
        boxes[name].sh("cp /bin/true /opt/x; /opt/x")
        got = events(node, f"shop/{name}")
        want = {"kind": kind, "name": owner, **({"guessed": True} if guessed else {})}
        classes = {e["class_uid"] for e in got}
        check({1007, 2004, 6002} <= classes, f"{name}: execs, findings and its life are told",
              classes)
        # what was told before the manifest was there could only be a guess
        late = [e for e in got if e["class_uid"] != 6002]
        equal([w for w in map(lambda e: ours(e).get("workload"), late) if w != want], [],
              f"{name} is of {kind} {owner}")


def containers(node, boxes):
    e = started(node, "shop/db-0")
    equal((e["container"]["name"], e["container"]["image"]),
          ("main", {"uid": DIGEST, "name": f"img/app@{DIGEST}"}),
          "the only container of a pod, and its image's digest")
    e = started(node, "shop/web-5d4f8c7b9-x2x4z")
    equal((e["container"]["name"], ours(e)["image"], "image" in e["container"]),
          ("main", "img/app:v1", False), "a tag is no digest")
    e = started(node, "shop/agent-zz9zz")
    equal((e["container"]["name"], "image" in ours(e)), ("agent-zz9zz", False),
          "of two containers none is named")


def main():
    node = Node(config={"runtime": {"mode": "learn"}})
    docs = {}
    for name, facts, _, _ in CASES:
        if facts is not None:
            docs[name] = manifest(name, **facts)
    docs["db-0"]["spec"]["containers"][0]["image"] = f"img/app@{DIGEST}"
    docs["agent-zz9zz"]["spec"]["containers"].append({"name": "side", "image": "img/side:v1"})
    node.write("pods.yaml", *docs.values())
    node.start()
    node.sync()
    boxes = {name: Container(node.pod("shop", name)) for name, *_ in CASES}
    with part("workloads"):
        named(node, boxes)
    with part("containers"):
        containers(node, boxes)
    with part("baselines"):
        r = node.ask("baseline", "list")
        rows = {b["workload"]: (b["ownerKind"], b["guessed"]) for b in r.get("baselines", r)}
        for _, _, (kind, owner), guessed in CASES:
            equal([v for k, v in rows.items() if k.startswith(f"shop/{owner}")], [(kind, guessed)],
                  f"the baseline of {kind} {owner}")
    with part("after a restart without manifests"):
        node.stop()
        node.remove("pods.yaml")
        node.start()
        boxes["db-0"].sh("/usr/bin/wc /dev/null")
        e = started(node, "shop/db-0")
        equal(ours(e)["workload"]["name"], "db-0", "an object that is gone is not remembered")


if __name__ == "__main__":
    testing.start()
    testing.main(main)

#!/usr/bin/python3
"""One incident as who answers it reads it in the event log: who did it, with which program and where
that comes from, which rule says what, what was done about it, and what belongs together. And
whether the tracer's maps show in status as the others do."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node, pods_peer, ports, segmentation_policy
from testing import check, equal, part, wait_until

WATCH = {"mode": "watch", "startup": "0s"}


def runtime_policy(name, spec, **answers):
    return {"apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
            "metadata": {"name": name, "namespace": "shop", "uid": f"uid-of-{name}"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "baseline": "observe", **spec,
                     "on": {k.replace("_", "-"): v for k, v in answers.items()}}}


def events(node, kind, pod="shop/web"):
    node.ask("runtime")
    r = node.cli("events", "--class", kind, "--pod", pod, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def find(node, kind, what, **how):
    """The first event of the class for which what is true."""
    def look():
        return next((e for e in events(node, kind, **how) if what(e)), None)
    return wait_until(look, 20, f"an event of {kind}")


def ours(e):
    return e["unmapped"]["bulkhead"]


def line_of(node, name, words):
    """file:line of the first line of a manifest with these words."""
    path = os.path.join(node.manifests, name)
    with open(path) as f:
        return next(f"{path}:{i}" for i, line in enumerate(f, 1) if words in line)


def connection(node, box, db):
    """Denied and allowed ones name who opened them, though it is gone by now."""
    ip = db.ips[0]
    box.sh(f"cp /bin/nc.openbsd /tmp/nc; nc -z -w1 {ip} 81; /tmp/nc -z -w1 {ip} 82")
    e = find(node, "network", lambda e: e["dst_endpoint"].get("port") == 81)
    p = e["actor"]["process"]
    equal((e["disposition"], ours(e)["processProvenance"], p["file"]["path"]),
          ("Blocked", "image", "/usr/bin/nc.openbsd"), "denied: by which program, and where it is from")
    e = find(node, "network", lambda e: e["dst_endpoint"].get("port") == 82)
    equal(ours(e)["processProvenance"], "new", "denied: code that is not the image's")
    equal((e["firewall_rule"]["name"], ours(e)["pod"], ours(e)["peer"]),
          ("default", "shop/web", "shop/db"), "denied: between whom, by what")
    box.sh(f"(printf x; sleep 2) | nc -w2 {ip} 80 >/dev/null & echo $! > /tmp/pid")
    e = find(node, "network", lambda e: e["activity_name"] == "Open" and
             e["connection_info"]["direction"] == "Outbound" and e["dst_endpoint"].get("port") == 80)
    p = e["actor"]["process"]
    equal((p["file"]["path"], ours(e)["processProvenance"], p["user"]["uid"]),
          ("/usr/bin/nc.openbsd", "image", "0"), "allowed: by which program")
    equal(e["firewall_rule"]["desc"], line_of(node, "net.yaml", "- to:"), "allowed: by which line")
    started = find(node, "process", lambda x: x["process"].get("uid") == p["uid"])
    equal(started["process"]["file"]["path"], "/usr/bin/nc.openbsd",
          "allowed: and its start is found by its uid")
    flow = next(f for f in node.ask("flows", "--pod", "shop/web")["flows"]
                if f["port"] == "80/TCP" and f["direction"] == "egress")
    equal(flow["process"], "/usr/bin/nc.openbsd", "flows shows it too")


def rule_of(e):
    return (e["policy"]["name"], e["policy"]["desc"], e["policy"].get("uid"), ours(e)["line"])


def violation(node, box):
    """What a policy refuses says so itself, and so does all that follows from it."""
    want = ("RuntimePolicy shop/narrow", line_of(node, "narrow.yaml", "- image"), "uid-of-narrow")
    want += (int(want[1].rpartition(":")[2]),)
    box.sh("cp /bin/true /opt/evil; /opt/evil")
    start = find(node, "process", lambda e: e["process"]["file"]["path"] == "/opt/evil")
    finding = find(node, "detection", lambda e: ours(e)["detector"] == "policy-exec")
    kill = find(node, "kill", lambda e: True)
    for what, e in (("its start", start), ("the finding", finding), ("the kill", kill)):
        equal(rule_of(e), want, f"{what} names the policy with file and line")
        equal(e["disposition"], "Blocked", f"{what}: it was stopped")
        equal(e["policy"]["version"], start["policy"]["version"], f"{what}: by the same text of it")
    uid = finding["finding_info"]["uid"]
    equal((finding["metadata"]["correlation_uid"], kill["metadata"]["correlation_uid"]), (uid, uid),
          "the finding and the kill belong together")
    equal(kill["process"]["uid"], start["process"]["uid"], "and the kill is of that start")
    equal((ours(kill)["provenance"], kill["process"]["file"]["path"],
           kill["process"]["parent_process"]["file"]["path"]), ("new", "/opt/evil", "/usr/bin/dash"),
          "what was killed, where it is from, who started it")
    attack = finding["finding_info"]["attacks"][0]
    equal((attack["tactic"]["name"], attack["technique"]["name"]), ("Execution", "User Execution"),
          "the tactic, in words")
    equal((finding["count"], finding["is_alert"]), (1, True), "seen once, worth an alert")


def quarantine(node, box):
    want = ("RuntimePolicy shop/cut", line_of(node, "cut.yaml", "foreign-code"))
    box.sh("cp /bin/true /opt/other; /opt/other")
    cut = find(node, "quarantine", lambda e: e["activity_name"] == "Isolate")
    equal(rule_of(cut)[:2], want, "the quarantine names the policy that wants it, with its line")
    finding = [e for e in events(node, "detection")
               if e["finding_info"]["uid"] == cut["metadata"]["correlation_uid"]][-1]
    equal((ours(finding)["detector"], finding["disposition"]), ("foreign-code", "Isolated"),
          "and the finding that it answers")
    equal(cut["actor"], {"app_name": "bulkheadd"}, "nobody in person did it")
    node.restart()
    node.cli("release", "shop/web", "--reason", "a test")
    back = find(node, "quarantine", lambda e: e["activity_name"] == "Restore")
    equal((back["metadata"]["correlation_uid"], back["disposition"]),
          (cut["metadata"]["correlation_uid"], "Restored"),
          "the release belongs to it, also after a restart")
    check("process" in back["actor"], "and a person did that", back["actor"])


SHORT = 3  # pods that end at once
BECOME = ("import os; os.setuid(4242); os.execv(\"/bin/true\", [\"true\"])")


def kills(node, box):
    """Who is to be killed may be gone by then: by the kernel, which is as good, or by itself."""
    node.write("kill.yaml", runtime_policy("kill", {"users": {"deny": [4242]}}, violation="kill",
                                           cron="kill"))
    node.sync()
    before = len(events(node, "kill"))
    status = box.sh(f"/usr/bin/python3.11 -c '{BECOME}'")[0]
    equal(status, 137, "who becomes a refused user is killed, at its next start at the latest")
    box.sh("sh -c 'exec sh -c \"echo x > /etc/cron.d/job\"'")
    find(node, "kill", lambda e: "because of cron" in ours(e)["reason"])
    got = events(node, "kill")[before:]
    by_us = [e for e in got if e["actor"] == {"app_name": "bulkheadd"}]
    check(all(e["status"] in ("Success", "Does Not Exist") for e in by_us), "no kill failed",
          [(e["status"], e.get("status_detail")) for e in by_us])
    user = [e for e in got if "policy-user" in ours(e)["reason"] or e["actor"] == {"app_name": "kernel"}]
    check(user and all(e["status"] == "Success" for e in user),
          "whom the kernel killed first is dead all the same",
          [(e["status"], e.get("status_detail"), ours(e)["reason"]) for e in user])
    ended(node)
    node.remove("kill.yaml")


def ended(node):
    """Nor is the pod there any more: what became of the process is told nevertheless."""
    for i in range(SHORT):
        pod = node.pod("shop", f"short{i}", {"app": "web"})
        box = Container(pod, first=("/bin/sh", "-c", "exec sh -c \"echo x > /etc/cron.d/job\""))
        box.proc.wait()
        pod.delete()
        e = find(node, "kill", lambda e: "because of cron" in ours(e)["reason"], pod=pod.name)
        check(ours(e)["pod"] == pod.name and e["status"] in ("Does Not Exist", "Success"),
              f"{pod.name}: told, though it had ended", e)


def by_hand(node):
    node.cli("quarantine", "shop/db", "--reason", "a test")
    node.cli("release", "shop/db", "--reason", "a test")
    both = [e["metadata"].get("correlation_uid") for e in events(node, "quarantine", pod="shop/db")]
    check(len(both) == 2 and both[0] and both[0] == both[1], "by hand they belong together too", both)


def maps(node):
    rows = {m["name"]: m for m in node.ask("status")["maps"]}
    for name in ("trace_fact", "trace_slot", "trace_events", "trace_alarms", "trace_policy"):
        check(name in rows and rows[name]["max"] > 0 and rows[name]["bytes"] > 0,
              f"status shows {name}", sorted(rows))
    facts = sum(p["facts"] for p in node.ask("runtime")["pods"])
    check(0 < facts <= rows["trace_fact"]["used"], "and how full it is",
          (facts, rows["trace_fact"]))


def main():
    node = Node(config={"runtime": WATCH})
    node.write("net.yaml", segmentation_policy(
        "shop", "out", types=("Egress",),
        egress=[{"to": [pods_peer(app="db")], "ports": ports("80/TCP")}]),
        segmentation_policy("shop", "in", selector={"app": "db"}, types=("Ingress",),
                            ingress=[{"from": [pods_peer(app="web")], "ports": ports("80/TCP")}]))
    node.start()
    db = node.pod("shop", "db", {"app": "db"}, listen=("80/tcp",))
    web = node.pod("shop", "web", {"app": "web"})
    node.sync()
    box = Container(web)
    with part("who opened a connection"):
        connection(node, box, db)
    with part("what a policy refuses"):
        node.write("narrow.yaml", runtime_policy("narrow", {"exec": {"origin": ["image"]}},
                                                 violation="kill"))
        node.sync()
        violation(node, box)
        node.remove("narrow.yaml")
    with part("kills that come late"):
        kills(node, box)
    with part("what is answered by a quarantine"):
        node.write("cut.yaml", runtime_policy("cut", {}, foreign_code="quarantine"))
        node.sync()
        quarantine(node, box)
        by_hand(node)
    with part("maps"):
        maps(node)


testing.start()
testing.main(main)

#!/usr/bin/python3
"""Several RuntimePolicies on one pod: what one refuses is refused, the strictest answer is given, and the
finding names the policy and the line that decided. Every field live; what is wrong is said with its place."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part

HEAD = """apiVersion: bulkhead.io/v1alpha1
kind: RuntimePolicy
metadata: {{name: {0}, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: web}}}}
"""
WIDE = HEAD.format("wide") + """  exec:
    allow: [/usr/bin/dash, /bin/dash, /usr/bin/date, /usr/bin/id]
  on: {violation: kill}
"""
NARROW = HEAD.format("narrow") + """  exec:
    origin: [image]
    allow:
    - /usr/bin/dash
    - /bin/dash
    - /usr/bin/date
  files:
    writable: [/tmp, /var/log]
  on: {violation: alert}
"""
CALLS = HEAD.format("calls") + """  syscalls: {deny: [mount]}
  users:
    deny: [12]
  maxLifetime: 1s
"""
BAD = (
    ("  exec: {origin: [images]}", "6:19", "there is no origin 'images'"),
    ("  exec: {allow: [nginx]}", "6:18", "'nginx' is not an absolute path"),
    ("  files: {writable: [/var/*/log]}", "6:22", "'*' may only stand at the end"),
    ("  syscalls: {deny: [mounts]}", "6:21", "there is no system call 'mounts'"),
    ("  users: {deny: [root]}", "6:18", "user"),
    ("  users: {deny: [-1]}", "6:18", "'-1' is no user id"),
    ("  maxLifetime: 3 days", "6:16", "'3 days' is not a length of time"),
    ("  maxLifetime: 3600", "6:16", "quote it"),
    ("  baseline: always", "6:13", "'baseline' is off, observe or required"),
    ("  on: {violation: stop}", "6:19", "there is no response 'stop'"),
    ("  on: {foreign-cod: kill}", "6:8", "there is no detector 'foreign-cod'"),
    ("  exce: {origin: [image]}", "6:3", "exce"),
)


def findings(node, pod):
    node.ask("runtime")
    r = node.cli("events", "--class", "finding", "--pod", pod, "-o", "json")
    return [(e["unmapped"]["bulkhead"], e["message"]) for e in map(json.loads, r.stdout.splitlines())]


def found(node, pod, detector):
    return next((f for f in findings(node, pod) if f[0]["detector"] == detector), None)


def executions(node, box, name):
    equal(box.sh("/usr/bin/date > /dev/null")[0], 0, "what both allow runs")
    equal(box.sh("/usr/bin/id > /dev/null")[0], 137, "what one of them refuses is killed, as the other one says")
    own, text = found(node, name, "policy-exec")
    line = 1 + NARROW.split("\n").index("    allow:")
    check(f"RuntimePolicy shop/narrow (narrow.yaml:{line + 1})" in text,
          "the finding names policy, file and line", text)
    equal(own.get("rule"), "RuntimePolicy shop/narrow", "and so does the event")
    equal(own["response"], "kill", "with the strictest answer")
    inside = f"/proc/{box.pid}/root/tmp/date"
    with open("/bin/date", "rb") as f, open(inside, "wb") as to:
        to.write(f.read())
    os.chmod(inside, 0o755)
    check(box.sh("/tmp/date")[0] == 137, "an origin that one refuses is killed, too")


def files(node, box, name):
    box.sh("echo x > /tmp/x; echo x > /var/log/x.log")
    check(not found(node, name, "policy-file"), "what may be written is no finding", lambda: findings(node, name))
    box.sh("echo x > /etc/x.conf")
    own, text = found(node, name, "policy-file")
    check("/etc/x.conf" in text and "narrow.yaml" in text, "what may not be written is one", text)


def calls_and_users(node):
    node.remove("wide.yaml")
    node.remove("narrow.yaml")
    node.write("calls.yaml", CALLS)
    node.sync()
    pod = node.pod("shop", "calls", {"app": "web"})
    box = Container(pod)
    box.sh("python3 -c 'import ctypes; ctypes.CDLL(None).mount(b\"x\", b\"/none\", b\"tmpfs\", 0, 0)'")
    box.sh("setpriv --reuid=12 --clear-groups id > /dev/null")
    box.sh("sleep 1.2; date > /dev/null")
    for detector, words in (("policy-syscall", "forbids the system call mount"),
                            ("policy-user", "does not let anything run as user 12"),
                            ("max-lifetime", "allows 1 s")):
        f = found(node, pod.name, detector)
        check(f and words in f[1] and "calls.yaml:" in f[1], f"{detector}: {words}", f)


def bad_input(node):
    path = os.path.join(node.dir, "bad.yaml")
    for text, place, words in BAD:
        with open(path, "w") as f:
            f.write(HEAD.format("bad") + text + "\n")
        r = node.cli("policy", "check", path)
        said = r.stdout + r.stderr
        check(r.returncode == 1 and f"bad.yaml:{place}" in said and words in said,
              f"policy check: {text.strip()}", said)


def news(node):
    """Of what becomes of RuntimePolicies; a refused one leaves its last good version in force."""
    def told(words):
        r = node.cli("events", "--class", "policy", "-o", "json")
        rows = [e for e in map(json.loads, r.stdout.splitlines()) if "shop/news" in e["message"]]
        e = rows[-1] if rows else {"message": "", "unmapped": {"bulkhead": {}}}
        check(words in e["message"], f"told: {words}", [x["message"] for x in rows])
        return e["unmapped"]["bulkhead"]
    text = HEAD.format("news")
    for body, words in ((" users: {deny: [7]}", "news added"), (" users: {deny: [8]}", "news changed"),
                        (" users: {deny: [x]}", "stays in force"), (" users: {deny: [9]}", "news changed")):
        node.write("news.yaml", text + " " + body + "\n")
        node.sync()
        check("news.yaml" in told(words)["place"], f"{words}: with its place")
    node.write("other.yaml", "# a comment\n---\n" + text + "  users: {deny: [9]}\n")
    node.sync()
    check(told("already defined at")["place"].endswith("other.yaml:3"),
          "a second one of the name: where it is")
    node.remove("other.yaml")
    node.remove("news.yaml")
    node.sync()
    told("news removed")


def live(node):
    """{name of a RuntimePolicy: (is it live, why not)}"""
    return {p["name"]: (p["live"], p["why"]) for p in node.ask("status")["policies"]
            if p["kind"] == "RuntimePolicy"}


def without_tracing(node):
    """Who does not look refuses nothing, and says so."""
    names = sorted(live(node))
    equal([live(node)[n] for n in names], [(True, None)] * len(names), f"{names} are live")
    node.ask("runtime", "off")
    equal([live(node)[n] for n in names], [(False, "tracing is off")] * len(names),
          "none is while tracing is off")
    node.ask("runtime", "light")
    equal([live(node)[n] for n in names], [(True, None)] * len(names), "all are with it")


def main():
    node = Node(config={"runtime": {"mode": "light", "startup": "0s"}}).start()
    node.write("wide.yaml", WIDE)
    node.write("narrow.yaml", NARROW)
    node.sync()
    pod = node.pod("shop", "web", {"app": "web"})
    box = Container(pod)
    for name, fn in (("executions", lambda: executions(node, box, pod.name)),
                     ("files", lambda: files(node, box, pod.name)),
                     ("system calls, users, age", lambda: calls_and_users(node)),
                     ("news", lambda: news(node)),
                     ("tracing off", lambda: without_tracing(node)),
                     ("what is wrong", lambda: bad_input(node))):
        with part(name):
            fn()


if __name__ == "__main__":
    testing.start()
    testing.main(main)

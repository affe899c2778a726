#!/usr/bin/python3
"""Names that a pod chooses to be trouble: bytes that are no UTF-8, line breaks, quotes, escape sequences, as
long as they may be. What such a program does is told, with its pod; nothing of it is lost for its name."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part, run, wait_until

NAMES = (rb"plain", rb"bad\xff\xfe", rb"nl\nname", rb"esc\x1b[31m", rb"quote\"]\\", rb"ctl\x01\x7f",
         rb"uni\xc3\xa9\xe2\x80\xae", rb"half\xc3", rb"over\xc0\x80", rb"sur\xed\xa0\x80",
         rb"non\xef\xbf\xbf", rb"long" + rb"\xff" * 240)
# copies of true under such names, executed; then files that detectors look at
DEEDS = r"""python3 -IS - <<'EOF' 2>&1
import os, shutil, subprocess
for name in (%s):
    path = b"/tmp/" + name
    shutil.copy(b"/bin/true", path)
    os.chmod(path, 0o755)
    subprocess.run([path, b"\xff\x01\n\"", b"\xc3" * 5000])
os.makedirs(b"/tmp/" + b"d\xff" * 100 + b"/" + b"e\n" * 100, exist_ok=True)
open(b"/etc/cron.d/\xff\n\"", "w").write("x")
open(b"/usr/bin/\xff\n\"", "w").write("x")
EOF
""" % ", ".join(f'b"{n.decode()}"' for n in NAMES)
# connects, under a name that is no UTF-8
FLOW = r"""cp /usr/bin/python3.11 "$(printf '/tmp/net\377')"
"$(printf '/tmp/net\377')" -ISc 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("198.51.100.7", 99)); s.send(b"x")' """
SLEEPER = r"""cp /usr/bin/sleep "$(printf '/tmp/sleep\377')"
( cd /tmp; exec "$(printf '/tmp/sleep\377')" 1000 ) > /dev/null 2>&1 & """


def log(node):
    with open(node.path("log", "events.jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def told(node):
    """Each has its pod and what it is about; all are lines that others can read."""
    def findings():
        node.ask("runtime")
        return [e for e in log(node) if e["class_uid"] == 2004]
    for words in ("schedules something to run", "changes programs or libraries"):
        wait_until(lambda w=words: any(w in e["message"] for e in findings()), 60, words)
    equal([e["message"] for e in findings() if "unmapped" not in e], [], "none without its pod")
    check(all(e["unmapped"]["bulkhead"]["key"] for e in findings()), "nor its key")
    started = [e["process"]["file"]["path"] for e in log(node)
               if e["class_uid"] == 1007 and e["process"]["file"].get("path", "").startswith("/tmp/")]
    check(len(set(started)) >= len(NAMES) - 1, f"{len(set(started))} programs are told", started)
    check(run("jq", "-c", ".", node.path("log", "events.jsonl")).count("\n") >= len(started),
          "jq reads every line")
    lines = node.cli("events").stdout.split("\n")
    check(max(map(len, lines)) <= 100 and not any(c < " " or c == "\x7f" for x in lines for c in x),
          "as text: no control characters, 100 columns")
    equal(node.cli("events", "verify").returncode, 0, "the chain holds")


def flows(node, box):
    box.sh(FLOW)
    wait_until(lambda: any(f["toAddress"] == "198.51.100.7" for f in node.ask("flows")["flows"]), 60,
               "the flow is listed")
    f = next(f for f in node.ask("flows")["flows"] if f["toAddress"] == "198.51.100.7")
    check(f["process"] in ("/tmp/net?", "net?"), f"with its program: {f['process']}")


def baseline(node):
    # odd deeds keep it from being closed; what was seen is there all the same
    shown = node.ask("baseline", "show", "shop/web")
    keys = [f["key"] for f in shown["facts"]["exec"]]
    check(any("/tmp/bad??" in k for k in keys), "with the odd ones", keys)
    lines = node.cli("baseline", "show", "shop/web").stdout.splitlines()
    check(max(map(len, lines)) <= 100, "and shown in 100 columns", max(lines, key=len))
    key, path = node.path("key"), node.path("web.json")
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    r = node.cli("baseline", "export", "shop/web", "--key", key)
    equal(r.returncode, 0, f"it is exported: {r.stderr}")
    with open(path, "w") as f:
        f.write(r.stdout)
    node.restart()
    again = node.ask("baseline", "show", "shop/web")
    equal({f["key"] for f in again["facts"]["exec"]}, set(keys), "it outlives a restart")
    r = node.cli("baseline", "diff", path, "shop/web", "--key", key)
    check(" exec " not in r.stdout and not r.stderr, "and the file says the same", r)
    for kind in ("runtime", "seccomp"):
        r = node.cli("profile", kind, "shop/web")
        equal(r.returncode, 0, f"profile {kind}: {r.stderr}")


def evidence(node, box):
    box.sh(SLEEPER)
    directory = node.path("evidence")
    r = node.cli("quarantine", box.pod.name, "--reason", "odd", "--evidence", directory)
    equal(r.returncode, 0, f"quarantine: {r.stderr}")
    with open(os.path.join(directory, "processes.json"), encoding="utf-8") as f:
        found = json.load(f)
    check("/tmp/sleep?" in json.dumps(found), "evidence names the program", found)


def main():
    node = Node(default="kubernetes", config={"runtime": {"mode": "learn"}})
    node.start()
    box = Container(node.pod("shop", "web-6bcd5d8f4-bcdfg", {"app": "web"}))
    code, out = box.sh(DEEDS)
    equal((code, out), (0, ""), "it is done")
    with part("events"):
        told(node)
    with part("flows"):
        flows(node, box)
    with part("baseline"):
        baseline(node)
    with part("evidence"):
        evidence(node, box)


testing.start()
testing.main(main)

#!/usr/bin/python3
"""Detectors that need a baseline, on live pods: a workload is learnt, its baseline closed and confirmed as after
weeks of replicas (the file says so, signed), and then each kind of new deed is told, and nothing of its
ordinary life. Provokes "new-exec", "new-chain", "new-edge", "new-port", "new-path", "new-syscall" and
"anomaly"."""
import base64
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from detect_deeds import findings
from node import Node, network_policy
from testing import check, equal, part, run, wait_until

TYPE = "application/vnd.bulkhead.baseline+json"
LIFE = ("date > /dev/null; ls / > /dev/null; mkdir -p /var/lib/app; echo x > /var/lib/app/state; "
        "nc -w 1 -z 198.51.100.99 80; "
        "python3 -c 'import socket; socket.create_server((\"0.0.0.0\", 8099))'")
NEW = (
    (("new-exec", "new-chain"), "/usr/bin/id > /dev/null"),
    (("new-port",), "python3 -c 'import socket; socket.create_server((\"0.0.0.0\", 4444))'"),
    (("new-edge",), "nc -w 1 -z 198.51.100.99 8443"),
    (("new-path",), "echo x > /srv/elsewhere"),
    (("new-syscall",), "python3 -c 'import ctypes; [ctypes.CDLL(None).syscall(n, 0, 0, 0, 0) for n in "
                       "(153, 154, 250, 248, 315, 98, 111)]'"),
    (("anomaly",), "uptime; hostname; groups; tty; nproc; arch; who; pinky; users; logname"),
)
MINE = ("new-exec", "new-chain", "new-port", "new-edge", "new-path", "new-syscall", "anomaly")


def sign(node, payload, key):
    """A DSSE envelope, as `baseline export` writes it, around what it exported."""
    pae = f"DSSEv1 {len(TYPE)} {TYPE} {len(payload.encode())} {payload}".encode()
    path = node.path("pae")
    with open(path, "wb") as f:
        f.write(pae)
    run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", path, "-out", path + ".sig")
    with open(path + ".sig", "rb") as f:
        sig = base64.b64encode(f.read()).decode()
    return {"payloadType": TYPE, "payload": base64.b64encode(payload.encode()).decode(),
            "signatures": [{"keyid": "", "sig": sig}]}


def closed(text):
    """As learning leaves it in the end: closed, and every key seen by several replicas."""
    b = json.loads(text)
    b.update(closed=True, starts=5, units=60)
    for kind in b["facts"].values():
        for fact in kind:
            fact.update(confirmed=True, units=40, replicas=5)
    return json.dumps(b)


def learn(node, box, name):
    for _ in range(3):
        box.sh(f"{{ {LIFE}; }} 2>/dev/null")
    node.ask("runtime")
    want = ("exec", "edge", "listen", "path", "syscall")
    wait_until(lambda: any(b["workload"] == name and all(b["keys"][k]["seen"] for k in want)
                           for b in node.ask("baseline", "list")["baselines"]), 120, "it is learnt", 0.5)
    node.ask("runtime")
    return node.cli("baseline", "show", name, "-o", "json").stdout


def bring_back(node, text, name):
    private, public = node.path("key.pem"), node.path("key.pub")
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", private)
    run("openssl", "pkey", "-in", private, "-pubout", "-out", public)
    path = node.path("closed.json")
    with open(path, "w") as f:
        json.dump(sign(node, closed(text), private), f)
    equal(node.cli("baseline", "reset", name).returncode, 0, "the learnt one is forgotten")
    r = node.cli("baseline", "import", path, "--key", public)
    equal(r.returncode, 0, f"the closed one is imported: {r.stderr}")
    rows = node.ask("baseline", "list")["baselines"]
    check(any(b["workload"] == name and b["state"] == "closed" for b in rows), "and is closed", rows)


def names(node, pod):
    return {f[0] for f in findings(node, pod)} & set(MINE)


def main():
    node = Node(config={"runtime": {"mode": "learn", "startup": "0s"}}).start()
    node.write("out.yaml", network_policy(
        "shop", "out", {"app": "web"}, ["Egress"],
        egress=[{"to": [{"ipBlock": {"cidr": "198.51.100.99/32"}}]}]))
    node.sync()
    pod = node.pod("shop", "web", {"app": "web"})
    box = Container(pod)
    with part("learning"):
        text = learn(node, box, "shop/web")
        equal(names(node, "shop/web"), set(), "nothing is new while it is learnt")
        bring_back(node, text, "shop/web")
    with part("ordinary life"):
        box.sh(f"{{ {LIFE}; }} 2>/dev/null")
        equal(names(node, "shop/web"), set(), "nothing of it is new")
    with part("from outside, as kubectl exec does"):
        # from three lives hardly any order of calls is known, so what "anomaly" adds up is left out
        box.enter("/bin/ls", "/")
        equal(names(node, "shop/web") - {"anomaly"}, set(), "a program that the workload knows")
        box.enter("/usr/bin/printenv")
        equal(names(node, "shop/web") - {"anomaly"}, {"new-exec"}, "one that it does not: one finding")
    with part("new deeds"):
        for detectors, deed in NEW:
            box.sh(f"{{ {deed}; }} > /dev/null 2>&1")
            for detector in detectors:
                try:
                    wait_until(lambda: detector in names(node, "shop/web"), 60, detector, 0.3)
                    check(True, f"{detector}: {deed[:60]}")
                except TimeoutError:
                    check(False, f"{detector}: {deed[:60]}", findings(node, "shop/web"))


if __name__ == "__main__":
    testing.start()
    testing.main(main)

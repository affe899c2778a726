#!/usr/bin/python3
"""A real runtime: podman with CNI makes the pods, through bridge, portmap and bulkhead-cni. Names come
from podman, labels from the manifests; policy, published ports, quarantine with --kill and --freeze of
real containers, removal."""
import json
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[0] = os.path.join(HERE, "lib")  # this file must not stand in for the library's podman.py
import testing
from node import Node, enter, namespace, network_policy, pods_peer, ports
from podman import Podman
from testing import check, equal, part, wait_until

ECHO = ("socat", "TCP6-LISTEN:80,ipv6only=0,fork,reuseaddr", "EXEC:cat")
POLICIES = [
    namespace("default"),
    network_policy("default", "web", {"app": "web"}, ["Ingress", "Egress"],
                   ingress=[{"ports": ports("80/TCP")}],
                   egress=[{"to": [pods_peer(app="db")], "ports": ports("80/TCP")}]),
    network_policy("default", "db", {"app": "db"}, ["Ingress"],
                   ingress=[{"from": [pods_peer(app="web")], "ports": ports("80/TCP")}]),
]


def pod_manifest(name):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "localhost/pod"}]}}


def says(podman, name, addr, port=80):
    """What a container hears from an echo server: "hello", or nc's complaint."""
    v6 = "-6" if ":" in addr else "-4"
    r = podman.exec(name, "sh", "-c", f"echo hello | nc {v6} -v -N -w 15 {addr} {port}")
    return r.stdout.strip() or (r.stderr.strip().splitlines() or [f"exit {r.returncode}"])[-1]


def connections(podman, a):
    for addr in a["db"]:
        equal(says(podman, "web", addr), "hello", f"web -> db {addr} is allowed")
    for addr in a["web"]:
        said = says(podman, "db", addr)
        check("not permitted" in said, f"db -> web {addr}: refused at once", said)
        said = says(podman, "other", addr)
        check("hello" not in said, f"other -> web {addr}: no egress", said)
    said = says(podman, "web", a["other"][0])
    check("not permitted" in said, "web -> other: refused at once", said)


def published(node, a):
    """A published port: DNAT before the veth, so policy sees the pod's own port."""
    outside = node.outside("203.0.113.9")
    equal(outside.probes([["tcp", "192.0.2.1", 8080, "203.0.113.9"]], timeout=2)[0], "open",
          "a published port reaches web from outside")
    got = outside.probes([["tcp", a["db"][0], 80, "203.0.113.9"]])[0]
    check(got not in ("open", "refused"), "db is not reached from outside", got)


def pids(podman, name):
    return [int(p) for p in podman("top", name, "hpid").split()[1:]]


def alone(found):
    return found if len(found) == 1 else None


def listens(podman, name):
    """Its server has a socket that listens on port 80."""
    pid = json.loads(podman("inspect", name))[0]["State"]["Pid"]
    with open(f"/proc/{pid}/net/tcp6") as f:
        return any(":0050" in line.split()[1] and line.split()[3] == "0A" for line in f)


def quarantine(node, podman, a):
    receipt = node.ask("quarantine", "default/web", "--reason", "test", "--freeze")
    check(receipt["frozen"] is True, "--freeze: the container is frozen", receipt)
    node.ask("release", "default/web", "--reason", "test")
    equal(says(podman, "web", a["db"][0]), "hello", "released: web -> db again")
    equal(says(podman, "db", a["db"][0]), "hello", "db reaches itself")
    receipt = node.ask("quarantine", "default/web", "--reason", "test")
    said = says(podman, "web", a["db"][0])
    check("hello" not in said, "quarantined: web -> db is cut", said)
    equal(node.ask("quarantine", "--list")["quarantines"][0]["pod"], "default/web", "--list")
    # what served a connection may still be about to end by itself
    victims = wait_until(lambda: alone(pids(podman, "web")), 15, "only the server runs")
    receipt = node.ask("quarantine", "default/web", "--reason", "test", "--kill")
    check(receipt["killed"] >= len(victims) > 0, "--kill: the container's processes", receipt)
    wait_until(lambda: not any(os.path.exists(f"/proc/{p}") for p in victims), 5, "their end")
    check(json.loads(podman("inspect", "db"))[0]["State"]["Running"], "db still runs")
    node.ask("release", "default/web", "--reason", "test")


def main():
    node = Node(version="0.4.0").start()
    node.write("world.yaml", *POLICIES, *map(pod_manifest, ("web", "db", "other")))
    node.sync()
    podman = Podman(node, enter(node.netns))
    a = {name: podman.start(name, *ECHO, flags=flags)
         for name, flags in (("web", ("-p", "8080:80")), ("db", ()), ("other", ()))}
    for name in a:
        wait_until(lambda n=name: listens(podman, n), 30, f"{name}'s server")
    with part("registered"):
        shown = {p["pod"]: p for p in node.ask("pods")["pods"]}
        equal(sorted(shown), ["default/db", "default/other", "default/web"], "all three pods")
        for name, addresses in a.items():
            equal(sorted(shown[f"default/{name}"]["addresses"]), sorted(addresses),
                  f"addresses of {name}")
            equal(shown[f"default/{name}"]["labels"].get("app"), name, f"labels of {name}")
    with part("connections"):
        connections(podman, a)
    with part("published port"):
        published(node, a)
    with part("the daemon dies"):
        node.kill()
        equal(says(podman, "web", a["db"][0]), "hello", "allowed goes on")
        check("hello" not in says(podman, "other", a["db"][0]), "denied stays denied")
        node.start()
    with part("quarantine"):
        quarantine(node, podman, a)
    with part("removal"):
        podman.remove("web", "db", "other")
        equal(node.ask("pods")["pods"], [], "podman rm: every pod is gone")
        equal(node.ask("policy", "verify")["mismatches"], [], "and the tables are right")


testing.start(needs=("/usr/bin/podman",))
testing.main(main)

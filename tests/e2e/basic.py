#!/usr/bin/python3
"""Allow and deny, TCP, UDP, ICMP and others, both families, between pods, node and outside."""
import contextlib
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, namespace, network_policy, pods_peer, ports
from testing import check, equal, part
from traffic import is_allowed

OUT4, OUT6 = "203.0.113.9", "2001:db8::9"
POLICIES = [
    namespace("shop"),
    # everybody may be reached by web on 80/TCP and 53/UDP; web may open the same
    network_policy("shop", "web-out", {"app": "web"}, ["Egress"],
                   egress=[{"to": [pods_peer(app="db")], "ports": ports("80/TCP", "53/UDP")},
                           {"to": [{"ipBlock": {"cidr": f"{OUT4}/32"}},
                                   {"ipBlock": {"cidr": f"{OUT6}/128"}}],
                            "ports": ports("80/TCP")}]),
    network_policy("shop", "db-in", {"app": "db"}, ["Ingress"],
                   ingress=[{"from": [pods_peer(app="web")],
                             "ports": ports("80/TCP", "53/UDP")}]),
    # ping is opened by a rule without ports
    network_policy("shop", "ping-out", {"app": "ping"}, ["Egress"],
                   egress=[{"to": [pods_peer(app="pong")]}]),
    network_policy("shop", "ping-in", {"app": "pong"}, ["Ingress"],
                   ingress=[{"from": [pods_peer(app="ping")]}]),
    # egress without the other side's consent, and the reverse
    network_policy("shop", "lone-out", {"app": "lone"}, ["Egress"], egress=[{}]),
    network_policy("shop", "open-in", {"app": "open"}, ["Ingress"], ingress=[{}]),
]


def main():
    node = Node().start()
    node.write("world.yaml", *POLICIES)
    node.sync()
    outside = node.outside(OUT4, OUT6)
    outside.listen("80/tcp", "81/tcp", hosts=(OUT4, OUT6))
    served = ("80/tcp", "81/tcp", "53/udp", "54/udp")
    pods = {app: node.pod("shop", app, {"app": app}, listen=served)
            for app in ("web", "db", "ping", "pong", "lone", "open")}
    node.sync()

    def row(source, to, proto, port, want, why):
        for addr in pods[to].ips:
            agent = pods[source].agent
            got = (agent.reach if want else agent.probe)(proto, addr, port)
            check(is_allowed(got) == want,
                  f"{why}: {source} -> {to} {addr} {port}/{proto} is {'' if want else 'not '}let "
                  f"through", got)

    with part("both sides allow"):
        row("web", "db", "tcp", 80, True, "a rule of both sides")
        row("web", "db", "udp", 53, True, "a rule of both sides")
        row("web", "db", "tcp", 81, False, "another port")
        row("web", "db", "udp", 54, False, "another port")
        row("web", "db", "udp", 80, False, "another protocol")
        row("web", "db", "icmp", 0, False, "rules with ports do not open ICMP")
    with part("rules without ports"):
        row("ping", "pong", "icmp", 0, True, "a rule without ports")
        row("ping", "pong", "sctp", 5, True, "a rule without ports")
        row("ping", "pong", "raw", 47, True, "a rule without ports")
        row("ping", "pong", "tcp", 9, True, "nobody listens, but the refusal comes back")
    with part("one side is not enough"):
        row("lone", "db", "tcp", 80, False, "ingress does not consent")
        row("ping", "open", "tcp", 80, False, "egress does not consent")
        row("lone", "open", "tcp", 80, True, "egress and ingress of different policies")
        row("db", "web", "tcp", 80, False, "the direction counts")
    with part("the outside"):
        agent = pods["web"].agent
        for addr in (OUT4, OUT6):
            equal(agent.reach("tcp", addr, 80), "open", f"ipBlock allows {addr}")
            check(not is_allowed(agent.probe("tcp", addr, 81)), f"{addr}: only its port")
            check(not is_allowed(pods["db"].agent.probe("tcp", addr, 80)), f"db not to {addr}")
        for pod, addr in ((pods["db"], OUT4), (pods["db"], OUT6)):
            target = pod.ip6 if ":" in addr else pod.ip4
            got = outside.probes([["tcp", target, 80, addr]])[0]
            check(not is_allowed(got), f"{addr} does not reach db", got)
            target = pods["open"].ip6 if ":" in addr else pods["open"].ip4
            got = outside.probes([["tcp", target, 80, addr]])[0]
            equal(got, "open", f"{addr} reaches the pod that is open to all")
    with part("the pod's own node"):
        home = node.agent()
        for pod in (pods["db"], pods["web"]):
            for addr in pod.ips:
                equal(home.reach("tcp", addr, 80), "open", f"the node reaches {pod.name} {addr}")
        for gateway in ("10.77.255.254", "fd77:ffff::1"):
            equal(pods["db"].agent.reach("icmp", gateway), "open", f"db pings its node {gateway}")
    with part("itself"):
        for addr in pods["db"].ips:
            equal(pods["db"].agent.reach("tcp", addr, 81), "open", f"db reaches itself at {addr}")
    with part("what the command line says"):
        commands(node, pods)
    testing.finish()


@contextlib.contextmanager
def tampered_peer(node, ip):
    """The address's classes in the kernel are those of a stranger, for a while."""
    base = node.path("bpffs", "bulkhead")
    abi = sorted(d for d in os.listdir(base) if d.startswith("abi"))[-1]
    pin = ["pinned", os.path.join(base, abi, "maps", "peer4")]
    key = ["key", *ip.split(".")]
    found = json.loads(testing.run("bpftool", "-j", "map", "lookup", *pin, *key))["value"]
    testing.run("bpftool", "map", "update", *pin, *key, "value", "hex", *["00"] * 8)
    try:
        yield
    finally:
        testing.run("bpftool", "map", "update", *pin, *key, "value", "hex",
                    *(b.removeprefix("0x") for b in found))



def commands(node, pods):
    status = node.ask("status")
    check(status["ready"] is True, "status: ready")
    check(all(p["live"] for p in status["policies"]), "status: every policy is live",
          status["policies"])
    shown = {p["pod"]: p for p in node.ask("pods")["pods"]}
    equal(sorted(shown), sorted(p.name for p in pods.values()), "pods: all of them")
    check(all(p["state"] == "open" for p in shown.values()), "pods: all open")
    equal(sorted(shown["shop/db"]["addresses"]), sorted(pods["db"].ips), "pods: addresses")
    cells = {(c["from"], c["to"]): c["verdict"]
             for c in node.ask("policy", "matrix", "--port", "80/TCP")["cells"]}
    equal(cells[("shop/web", "shop/db")], "allowed", "matrix: web -> db")
    equal(cells[("shop/db", "shop/web")], "denied", "matrix: db -> web")
    cell = node.ask("policy", "explain", "shop/web", "shop/db", "80/TCP")
    equal(cell["ingress"]["rule"], "NetworkPolicy shop/db-in ingress[0]", "explain: the rule")
    equal(cell["kernel"]["egress"]["verdict"], "allowed", "explain: the kernel's egress")
    equal(cell["kernel"]["ingress"]["verdict"], "allowed", "explain: the kernel's ingress")
    verified = node.ask("policy", "verify")
    check(verified["cells"] > 0 and not verified["mismatches"], "verify: the kernel agrees",
          verified["mismatches"][:3])
    with tampered_peer(node, pods["web"].ip4):
        answer = node.cli("policy", "verify", "-o", "json")
        wrong = json.loads(answer.stdout)["mismatches"]
        check(answer.returncode == 1 and any(m["kernel"] != m["reference"] for m in wrong),
              "verify: sees an entry that somebody changed", wrong[:3])
    equal(node.ask("policy", "verify")["mismatches"], [], "verify: and that it is right again")
    flows = node.ask("flows", "--pod", "shop/web", "--verdict", "denied")["flows"]
    check(any(f["port"] == "81/TCP" for f in flows), "flows: the denied attempt is there",
          flows[:2])
    check(any(f["process"] and "python" in f["process"] for f in flows),
          "flows: with the process that tried", flows[:2])
    events = [json.loads(line) for line in node.cli("events", "-o", "json").stdout.splitlines()]
    check(any(e["class_uid"] == 4001 and "81" in json.dumps(e) for e in events),
          "events: the denied attempt", events[:1])
    rules = [e["firewall_rule"] for e in events if e["class_uid"] == 4001 and "firewall_rule" in e
             and e["firewall_rule"]["name"] != "default"]
    check(rules and all(re.search(r"/world\.yaml:[1-9]\d*$", r.get("desc", "")) for r in rules),
          "events: the rule with its file and line", rules[:3])
    check(all(e["metadata"]["version"] and e["chain"]["hash"] for e in events), "events: chained")
    whole = node.ask("events", "verify")
    check(whole["whole"] and whole["lines"] >= len(events) > 0, "events verify: whole", whole)
    log = node.path("log", "events.jsonl")
    equal(node.cli("events", "verify", log).returncode, 0, "events verify FILE")
    with open(log) as f:
        text = f.read()
    with open(node.path("changed.jsonl"), "w") as f:
        f.write(text.replace("shop", "shop2", 1))
    equal(node.cli("events", "verify", node.path("changed.jsonl")).returncode, 1,
          "events verify FILE: a changed byte")
    doctor(node)
    for args in (("status",), ("pods",), ("flows",), ("policy", "matrix", "--port", "80/TCP"),
                 ("policy", "explain", "shop/web", "shop/db", "81/TCP"), ("policy", "verify"),
                 ("policy", "exceptions"), ("quarantine", "--list"), ("events",),
                 ("top", "--once", "--interval", "100ms")):
        r = node.cli(*args)
        wide = [line for line in r.stdout.splitlines() if len(line) > 100]
        check(r.returncode == 0 and not wide,
              f"{' '.join(args)}: exit 0, 100 columns", f"{r.returncode} {r.stderr} {wide[:2]}")
    equal(testing.run(os.path.join(testing.BIN, "bulkhead"), "--socket", node.path("absent"),
                      "status", check=False).returncode, 3, "no daemon: exit code 3")


def doctor(node):
    """What the test can be sure of: the chain, its plugins, the socket, the daemon."""
    directory = node.path("net.d")
    os.mkdir(directory)
    with open(os.path.join(directory, "10-pods.conflist"), "w") as f:
        json.dump(node.chain.conf, f)
    r = node.cli("doctor", "--cni-conf", directory, "--cni-bin", node.chain.path, "-o", "json")
    checks = json.loads(r.stdout)["checks"]
    for name, count in (("CNI chain", 1), ("CNI plugin", 3), ("socket", 1), ("daemon", 1)):
        found = [c for c in checks if c["name"] == name]
        check(len(found) == count and all(c["state"] == "ok" for c in found),
              f"doctor: {name}", found)


testing.start()
testing.main(main)

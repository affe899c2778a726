#!/usr/bin/python3
"""/metrics as a strict reader of OpenMetrics takes it, over pods, drops and sinks; what the Grafana
dashboard asks for is there; /healthz and /readyz."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, enter, namespace, network_policy, pods_peer, ports
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from testing import SOURCE, check, equal, part, run, wait_until

PORT = 9473
DASHBOARD = os.path.join(SOURCE, "examples", "grafana.json")


def get(node, path, accept="*/*"):
    """(status, content type, body), from inside the node's network namespace."""
    out = run(*enter(node.netns), "curl", "-s", "-m", "5", "-H", f"Accept: {accept}", "-w",
              "\n%{http_code} %{content_type}", f"http://127.0.0.1:{PORT}{path}")
    body, _, last = out.rpartition("\n")
    status, _, kind = last.partition(" ")
    return int(status), kind, body


def samples(node):
    """{name: {labels as a sorted tuple: value}}, and the families."""
    status, kind, body = get(node, "/metrics")
    equal((status, kind.split(";")[0]), (200, "application/openmetrics-text"), "OpenMetrics")
    families = list(text_string_to_metric_families(body))
    out = {}
    for family in families:
        for s in family.samples:
            out.setdefault(s.name, {})[tuple(sorted(s.labels.items()))] = s.value
    return out, families


def queried():
    """Names of our metrics in the dashboard's expressions."""
    with open(DASHBOARD) as f:
        text = f.read()
    board = json.loads(text)
    exprs = [t["expr"] for p in board["panels"] for t in p["targets"]]
    check(len(exprs) >= len(board["panels"]) > 5, "each panel asks for something")
    return {name for e in exprs for name in re.findall(r"bulkhead_\w+", e)}


def main():
    node = Node(config={"http": {"listen": f"127.0.0.1:{PORT}"},
                        "sinks": [{"name": "away", "type": "syslog", "tls": False,
                                   "address": "127.0.0.1:1"}]})
    node.start()
    node.write("p.yaml", namespace("m"),
               network_policy("m", "in", {"app": "b"}, ["Ingress"],
                              ingress=[{"from": [pods_peer(app="a")],
                                        "ports": ports("80/TCP")}]))
    a, b = node.pod("m", "a", {"app": "a"}), node.pod("m", "b", {"app": "b"})
    node.sync()
    with part("what there is"):
        a.agent.probe("tcp", b.ip4, 81)
        node.cli("quarantine", "m/a", "--reason", "test")
        found, families = samples(node)
        equal(found["bulkhead_up"], {(): 1.0}, "up")
        equal(found["bulkhead_policies"], {(): 1.0}, "policies")
        equal(found["bulkhead_endpoints"], {(("state", "open"),): 1.0, (("state", "shut"),): 0.0,
                                            (("state", "quarantined"),): 1.0}, "endpoints by state")
        check(sum(found["bulkhead_dropped_packets_total"].values()) > 0, "drops are counted")
        check(all(f.documentation for f in families), "every metric has its sentence")
        check(all(f.name.startswith("bulkhead_") for f in families), "and our name in front")
    with part("sinks"):
        wait_until(lambda: samples(node)[0]["bulkhead_sink_events_total"][
            (("result", "retries"), ("sink", "away"))] > 0, 20, "a receiver that is away shows")
        check(samples(node)[0]["bulkhead_sink_behind"][(("sink", "away"),)] > 0, "backlog")
    with part("dashboard"):
        found, _ = samples(node)
        equal(queried() - set(found), set(), "every metric that the dashboard asks for exists")
    with part("health"):
        equal(get(node, "/healthz")[0], 200, "alive")
        equal(get(node, "/readyz")[0], 200, "ready")


testing.start()
testing.main(main)

#!/usr/bin/python3
"""/metrics as a strict reader of OpenMetrics and the real Prometheus take it, over pods, drops and
sinks; what the Grafana dashboard and the alerts ask for is there; /healthz and /readyz."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, enter, namespace, network_policy, pods_peer, ports
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from testing import SOURCE, check, equal, part, run, spawn, wait_until
from traffic import comes_true

PORT, SERVER = 9473, 19090
DASHBOARD = os.path.join(SOURCE, "examples", "grafana.json")
ALERTS = os.path.join(SOURCE, "examples", "alerts.yaml")


OPEN = "application/openmetrics-text;version=1.0.0,*/*;q=0.1"


def get(node, path, accept="*/*"):
    """(status, content type, body), from inside the node's network namespace."""
    out = run(*enter(node.netns), "curl", "-s", "-m", "5", "-H", f"Accept: {accept}", "-w",
              "\n%{http_code} %{content_type}", f"http://127.0.0.1:{PORT}{path}")
    body, _, last = out.rpartition("\n")
    status, _, kind = last.partition(" ")
    return int(status), kind, body


def samples(node):
    """{name: {labels as a sorted tuple: value}}, and the families."""
    status, kind, body = get(node, "/metrics", OPEN)
    equal((status, kind.split(";")[0]), (200, "application/openmetrics-text"), "OpenMetrics")
    families = list(text_string_to_metric_families(body))
    out = {}
    for family in families:
        for s in family.samples:
            out.setdefault(s.name, {})[tuple(sorted(s.labels.items()))] = s.value
    return out, families


def expressions():
    """What the dashboard's panels ask for."""
    with open(DASHBOARD) as f:
        board = json.load(f)
    exprs = [t["expr"] for p in board["panels"] for t in p["targets"]]
    check(len(exprs) >= len(board["panels"]) > 5, "each panel asks for something")
    return exprs


def names_in(text):
    return set(re.findall(r"bulkhead_\w+", text))


class Prometheus:
    """The real one, scraping the daemon inside of its network namespace."""

    def __init__(self, node):
        self.node, self.dir = node, testing.tempdir()
        config = os.path.join(self.dir, "prometheus.yml")
        with open(config, "w") as f:
            json.dump({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                       "rule_files": [ALERTS],
                       "scrape_configs": [{"job_name": "bulkhead", "static_configs": [
                           {"targets": [f"127.0.0.1:{PORT}"]}]}]}, f)
        run("promtool", "check", "config", config)
        log = open(os.path.join(self.dir, "log"), "w")
        testing.on_exit(log.close)
        spawn([*enter(node.netns), "prometheus", f"--config.file={config}",
               f"--storage.tsdb.path={self.dir}/data",
               f"--web.listen-address=127.0.0.1:{SERVER}"], stdout=log, stderr=log)

    def api(self, path, **query):
        args = [x for k, v in query.items() for x in ("--data-urlencode", f"{k}={v}")]
        r = run(*enter(self.node.netns), "curl", "-s", "-m", "10", "-G", *args,
                f"http://127.0.0.1:{SERVER}/api/v1/{path}", check=False)
        return json.loads(r.stdout)["data"] if r.returncode == 0 and r.stdout[:1] == "{" else None

    def target(self):
        """The target as Prometheus sees it."""
        return ((self.api("targets") or {}).get("activeTargets") or [{}])[0]

    def is_up(self):
        """Its last scrape went well."""
        t = self.target()
        return (t.get("health"), t.get("lastError")) == ("up", "")

    def scrapes(self):
        data = self.api("query", query="count_over_time(bulkhead_up[1m])")
        return int(data["result"][0]["value"][1]) if data and data["result"] else 0

    def ask(self, expr):
        """(exit status, output) of promtool, as people would ask by hand."""
        r = run(*enter(self.node.netns), "promtool", "query", "instant",
                f"http://127.0.0.1:{SERVER}", expr, check=False)
        return r.returncode, r.stdout + r.stderr

    def answers(self, expr):
        code, out = self.ask(expr)
        return code == 0 and "=>" in out


def scraped(node):
    """Prometheus takes what we say, and answers what the dashboard asks."""
    status, kind, text = get(node, "/metrics")
    equal((status, kind.split(";")[0]), (200, "text/plain"), "the older format by default")
    r = run("promtool", "check", "metrics", input=text, check=False)
    equal((r.returncode, r.stdout + r.stderr), (0, ""), "promtool has nothing to say about it")
    server = Prometheus(node)
    check(comes_true(server.is_up, 60), "Prometheus scrapes the daemon", server.target)
    wait_until(lambda: server.scrapes() >= 3, 60, "some scrapes", interval=0.5)
    for expr in expressions():
        asked = expr.replace("$node", ".*").replace("$__rate_interval", "1m")
        # where a scrape took longer than it may, here a second, there is nothing until the next
        check(comes_true(lambda q=asked: server.answers(q), 20), expr,
              lambda q=asked: server.ask(q))
    rules = server.api("rules")["groups"][0]["rules"]
    equal({r["name"]: r["health"] for r in rules if r["health"] == "err"}, {},
          f"Prometheus evaluates {len(rules)} alerts")


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
        equal({dict(k)["severity"] for k in found["bulkhead_findings_total"]},
              {"informational", "low", "medium", "high"}, "findings by severity")
        check(found["bulkhead_log_events_total"][()] > 0 and found["bulkhead_log_waiting"] == {(): 0.0},
              "the log's own books")
        check(all(f.documentation for f in families), "every metric has its sentence")
        check(all(f.name.startswith("bulkhead_") for f in families), "and our name in front")
    with part("sinks"):
        wait_until(lambda: samples(node)[0]["bulkhead_sink_events_total"][
            (("result", "retries"), ("sink", "away"))] > 0, 20, "a receiver that is away shows")
        check(samples(node)[0]["bulkhead_sink_behind"][(("sink", "away"),)] > 0, "backlog")
    with part("dashboard"):
        found, _ = samples(node)
        equal(names_in(" ".join(expressions())) - set(found), set(),
              "every metric that the dashboard asks for exists")
        with open(ALERTS) as f:
            equal(names_in(f.read()) - set(found), set(), "and those of the alerts")
    with part("Prometheus"):
        scraped(node)
    with part("health"):
        equal(get(node, "/healthz")[0], 200, "alive")
        equal(get(node, "/readyz")[0], 200, "ready")


testing.start(needs=["/usr/bin/prometheus", "/usr/bin/promtool"])
testing.main(main)

#!/usr/bin/python3
"""Where events go besides the log: rsyslog over TLS and without, an OTLP collector, a webhook.
Receivers that are away, slow, wrong or half willing. Every event arrives, in order, as the log has it."""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, enter, namespace, network_policy
from testing import SOURCE, check, equal, part, run, spawn, wait_until
from traffic import comes_true

RSYSLOG = """
global(workDirectory="{dir}" maxMessageSize="256k" defaultNetstreamDriverCAFile="{dir}/ca.pem"
       defaultNetstreamDriverCertFile="{dir}/server.pem"
       defaultNetstreamDriverKeyFile="{dir}/server.key")
module(load="imptcp")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="line" type="list") {{
  property(name="pri") constant(value="\\t") property(name="hostname") constant(value="\\t")
  property(name="app-name") constant(value="\\t") property(name="msgid") constant(value="\\t")
  property(name="structured-data") constant(value="\\t") property(name="msg")
  constant(value="\\n")
}}
ruleset(name="tls") {{ action(type="omfile" file="{dir}/tls.log" template="line") }}
ruleset(name="plain") {{ action(type="omfile" file="{dir}/plain.log" template="line") }}
input(type="imtcp" port="6514" address="127.0.0.1" ruleset="tls")
input(type="imptcp" port="1514" address="127.0.0.1" ruleset="plain")
"""
CONFIG = {
    "tls": {"type": "syslog", "address": "127.0.0.1:6514", "ca": "ca.pem"},
    "plain": {"type": "syslog", "address": "127.0.0.1:1514", "tls": False, "facility": 16},
    "stranger": {"type": "syslog", "address": "127.0.0.1:6514", "ca": "other.pem"},
    "misnamed": {"type": "syslog", "address": "127.0.0.1:6514", "ca": "ca.pem",
                 "serverName": "logs.example"},
    "otlp": {"type": "otlp", "url": "https://127.0.0.1:4318", "ca": "ca.pem",
             "headers": {"X-Tenant": "t1"}},
    "hook": {"type": "webhook", "url": "https://127.0.0.1:4318/hook", "ca": "ca.pem",
             "headers": {"X-Tenant": "t1"}, "secretFile": "secret"},
    "severe": {"type": "syslog", "address": "127.0.0.1:1514", "tls": False,
               "minSeverity": "medium", "facility": 17},
}
WHY = {"stranger": "self-signed certificate in certificate chain", "misnamed": "hostname mismatch"}
GOOD = ("tls", "plain", "otlp", "hook")
LONG_S = 30


def certificates(directory):
    """An authority with a server's certificate for 127.0.0.1, and an authority nobody asked."""
    def openssl(*args):
        run("openssl", *args, cwd=directory)
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj",
                f"/CN={name}")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "server.key", "-out", "server.csr", "-subj", "/CN=server")
    with open(os.path.join(directory, "san"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", "server.pem")


class Receivers:
    def __init__(self, node):
        self.node, self.dir = node, node.path("receivers")
        os.mkdir(self.dir)
        certificates(self.dir)
        self.write("secret", "hush hush\n")
        self.write("rsyslog.conf", RSYSLOG.format(dir=self.dir))
        self.mode("ok")
        self.syslog = self.collector = None

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def mode(self, how):
        self.write("mode.new", how)
        os.rename(os.path.join(self.dir, "mode.new"), os.path.join(self.dir, "mode"))

    def settings(self):
        """The sinks of the daemon's settings."""
        out = []
        for name, sink in CONFIG.items():
            out.append({"name": name, **{k: os.path.join(self.dir, v)
                                         if k in ("ca", "secretFile") else v
                                         for k, v in sink.items()}})
        return out

    def start_syslog(self):
        self.syslog = spawn([*enter(self.node.netns), "rsyslogd", "-n", "-f",
                             os.path.join(self.dir, "rsyslog.conf"), "-i",
                             os.path.join(self.dir, "rsyslog.pid")])
        for port in (6514, 1514):
            wait_until(lambda p=port: self.listens(p), 10, f"rsyslog on port {port}")

    def start_collector(self):
        self.collector = spawn([*enter(self.node.netns), "/usr/bin/python3",
                                os.path.join(SOURCE, "tests", "fakes", "collector.py"), "4318",
                                os.path.join(self.dir, "server.pem"),
                                os.path.join(self.dir, "server.key"), self.dir],
                               stdout=subprocess.PIPE, text=True)
        equal(self.collector.stdout.readline(), "ready\n", "the collector runs")

    def listens(self, port):
        return run(*enter(self.node.netns), "ss", "-Hltn", f"sport = :{port}")

    def end(self, p):
        p.send_signal(signal.SIGKILL)
        p.wait()

    # ---- what arrived ----

    def lines(self, name):
        path = os.path.join(self.dir, name)
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()

    def syslog_events(self, name, facility):
        """Events of one facility; the header is checked on the way."""
        events = []
        for line in self.lines(name):
            pri, host, app, msgid, data, msg = line.split("\t", 5)
            event = json.loads(msg.lstrip().lstrip("\ufeff"))
            if int(pri) >> 3 != facility:
                continue
            if (host, app, msgid) != ("node1", "bulkheadd", f"ocsf-{event['class_uid']}"):
                raise RuntimeError(f"header: {line[:200]}")
            if f'seq="{event["chain"]["seq"]}"' not in data:
                raise RuntimeError(f"structured data: {data}")
            events.append(event)
        return events

    def events(self, name):
        if name in ("otlp", "hook"):
            return [json.loads(line) for line in self.lines(f"{name}.jsonl")]
        return self.syslog_events("tls.log" if name == "tls" else "plain.log",
                                  CONFIG[name].get("facility", 13))


class Scene:
    def __init__(self):
        self.node = Node()
        self.receivers = Receivers(self.node)
        self.node.extra["sinks"] = self.receivers.settings()
        self.node.write_config()
        self.made = 0

    def log(self):
        """As far as it is written; the last line may be on its way."""
        with open(self.node.path("log", "events.jsonl"), encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def make_events(self, n):
        for _ in range(n):
            self.made += 1
            self.node.write("p.yaml", namespace("a"),
                            network_policy("a", "p", {}, ["Ingress"],
                                           ingress=[{"ports": [{"port": self.made}]}]))
            self.node.sync()

    def state(self, name):
        return next(s for s in self.node.ask("status")["sinks"] if s["name"] == name)

    def wait_delivered(self, names, what):
        """Until the receivers have the log's last event; then all up to it, as the log has it. There
        may be more by then: the log tells of sinks, too."""
        last = self.log()[-1]["chain"]["seq"]
        for name in names:
            wait_until(lambda n=name: any(e["chain"]["seq"] == last
                                          for e in self.receivers.events(n)[-50:]),
                       LONG_S, f"{what}: {name} has event {last}; {self.state(name)}")
        log = {e["chain"]["seq"]: e for e in self.log() if e["chain"]["seq"] <= last}
        for name in names:
            events = [e for e in self.receivers.events(name) if e["chain"]["seq"] <= last]
            first = {}
            for e in events:
                first.setdefault(e["chain"]["seq"], e)
            equal(sorted(first), sorted(log), f"{what}: {name} has every event")
            check(all(first[k] == log[k] for k in log), f"{what}: {name} has them as they are")
            equal(list(first), sorted(first), f"{what}: {name} got them in order")


def refusals(node):
    """Settings that cannot be meant."""
    cases = (
        ({"type": "kafka"}, "'type': 'kafka' is none of syslog, otlp, webhook"),
        ({"type": "syslog"}, "'address' is missing"),
        *(({"type": "syslog", "address": a}, "is not HOST:PORT") for a in (
            "h", "h:", ":1", "h:0", "h:65536", "h:x", "h:1:2", "[::1]", "[]:1", "a b:1", "h/x:1")),
        *(({"type": "otlp", "url": "https://" + u}, "is not https://") for u in (
            "", "/x", ":1", "h:0/x", "h:65536", "h:x", "[::1", "h:99999999999999999999/", "u@h")),
        ({"type": "syslog", "address": "h:1", "name": "a\"b"}, "has more than letters"),
        ({"type": "syslog", "address": "h:1", "urll": "x"}, "unknown field 'urll'"),
        ({"type": "otlp", "url": "http://h"}, "insecure: true"),
        ({"type": "webhook", "url": "ftp://h"}, "is not https://"),
        ({"type": "webhook", "url": "https://h", "secretFile": "/nowhere/x"}, "/nowhere/x"),
        ({"type": "syslog", "address": "h:1", "classes": ["nonsense"]}, "nonsense"),
        ({"type": "syslog", "address": "h:1", "key": "/etc/hostname"}, "'certificate' is missing"),
    )
    path = node.path("bad.yaml")
    good = [{"type": "syslog", "name": f"s{i}", "address": a} for i, a in enumerate(
        ("logs.example.org:6514", "192.0.2.1:1", "[2001:db8::1]:65535"))]
    good += [{"type": "otlp", "name": f"o{i}", "url": u} for i, u in enumerate(
        ("https://h", "https://h:4318", "https://[::1]:1/x?y=z", "https://[::1]"))]
    with open(path, "w") as f:
        json.dump({"apiVersion": "bulkhead.io/v1alpha1", "kind": "DaemonConfig", "sinks": good}, f)
    r = run(node.binary, "--config", path, "--check", check=False)
    equal((r.returncode, r.stderr), (0, ""), "taken: names, addresses, ports, paths")
    for sink, text in cases:
        with open(path, "w") as f:
            json.dump({"apiVersion": "bulkhead.io/v1alpha1", "kind": "DaemonConfig",
                       "sinks": [sink]}, f)
        r = run(node.binary, "--config", path, "--check", check=False)
        check(r.returncode == 1 and text in r.stderr and re.search(r"bad.yaml:\d+:\d+: ", r.stderr),
              f"refused: {text}", (r.returncode, r.stderr))


def goes_on(scene, name, before, why):
    """A sink refuses what it was just told, and that does not hold up what follows. That it is not
    behind says nothing by itself: the event may not be in the log yet."""
    def done():
        s = scene.state(name)
        return s["refused"] > before and s["behind"] == 0
    check(comes_true(done, LONG_S), why, lambda: scene.state(name))


CONFINED = ("65534", 0, "2")


def rights(pid):
    """(user, capabilities, seccomp mode) of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if status["State"].startswith(("Z", "X")):
        return None
    return status["Uid"].split()[0], int(status["CapEff"], 16), status["Seccomp"].strip()


def main():
    scene = Scene()
    node, receivers = scene.node, scene.receivers
    with part("settings"):
        refusals(node)
    receivers.start_syslog()
    receivers.start_collector()
    node.start()
    with part("all is well"):
        scene.make_events(5)
        scene.wait_delivered(GOOD, "well")
        wait_until(lambda: scene.state("stranger")["error"] and scene.state("misnamed")["error"],
                   LONG_S, "receivers with the wrong certificate are not trusted")
        for name in ("stranger", "misnamed"):
            s = scene.state(name)
            check("certificate is not trusted: " + WHY[name] in s["error"], f"{name}: {s['error']}",
                  s)
            equal(s["delivered"], 0, f"{name}: gets nothing")
    with part("receivers that are away"):
        receivers.end(receivers.syslog)
        receivers.end(receivers.collector)
        scene.make_events(10)
        wait_until(lambda: all(scene.state(n)["error"] for n in GOOD), LONG_S, "it is noticed")
        check(all(scene.state(n)["behind"] > 0 for n in GOOD), "status says how far behind")
        receivers.start_syslog()
        receivers.start_collector()
        scene.wait_delivered(GOOD, "away")
    with part("the daemon killed meanwhile"):
        receivers.mode("hang")
        scene.make_events(10)
        node.kill()
        node.start()
        receivers.mode("ok")
        scene.make_events(3)
        scene.wait_delivered(GOOD, "killed")
    with part("a worker killed"):
        receivers.mode("busy")
        scene.make_events(5)
        wait_until(lambda: "503" in (scene.state("otlp")["error"] or ""), LONG_S, "503 is told")
        for p in children(node.proc.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGKILL)
        receivers.mode("ok")
        scene.make_events(3)
        scene.wait_delivered(GOOD, "worker")
    with part("what the receiver does not want"):
        before = scene.state("otlp")["refused"]
        receivers.mode("partial")
        scene.make_events(1)
        goes_on(scene, "otlp", before, "partial success is counted")
        before = scene.state("hook")["refused"]
        receivers.mode("refuse")
        scene.make_events(1)
        goes_on(scene, "hook", before, "400 is final, and counted")
    with part("filters"):
        wanted = {e["chain"]["seq"] for e in scene.log() if e["severity_id"] >= 3}
        check(comes_true(lambda: wanted <= {e["chain"]["seq"] for e in receivers.events("severe")},
                         LONG_S), "all that is severe", (wanted, receivers.events("severe")))
        equal([e for e in receivers.events("severe") if e["severity_id"] < 3], [], "and only that")
    with part("no privilege"):
        workers = wait_until(lambda: children(node.proc.pid), LONG_S, "workers")
        for p in workers:
            # one that has just begun is about to give its rights up; one may end meanwhile
            comes_true(lambda p=p: rights(p) in (None, CONFINED), 10)
            check(rights(p) in (None, CONFINED), f"worker {p}: nobody, no capability, filtered",
                  lambda p=p: rights(p))
        check(any(rights(p) == CONFINED for p in workers), "some of them were seen so", workers)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        found = [int(p) for p in f.read().split()]
    out = []
    for p in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{p}/comm") as f:
            if f.read().startswith("bulkhead-worker"[:15]):
                out.append(p)
    return out


testing.start(needs=["/usr/sbin/rsyslogd"])
testing.main(main)

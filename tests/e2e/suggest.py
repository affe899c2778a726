#!/usr/bin/python3
"""Policies that come of what was observed: `policy suggest` from edges, baselines in learn mode, moved
as signed files, and the profiles made of them. What was allowed before stays allowed under the
suggested policies, and nothing else does."""
import json
import os
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, namespace
from testing import check, equal, part, run, wait_until
from traffic import PATIENCE_S, is_allowed

TALK = (("web-1", "db-1", "tcp", 5432), ("web-2", "db-1", "tcp", 5432), ("web-1", "db-1", "udp", 53))
NEVER = (("db-1", "web-1", "tcp", 80), ("web-1", "db-1", "tcp", 80), ("other", "db-1", "tcp", 5432))


def pod_manifest(name, app):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "s", "labels": {"app": app, "of": "shop"}},
            "spec": {"containers": [{"name": "c", "image": "x"}]}}


def make(node):
    apps = {"web-1": "web", "web-2": "web", "db-1": "db", "other": "other"}
    node.write("pods.yaml", namespace("s"), *(pod_manifest(n, a) for n, a in apps.items()))
    return {n: node.pod("s", n, {}, listen=("5432/tcp", "80/tcp", "53/udp")) for n in apps}


def talk(pods, pairs, timeout=PATIENCE_S):
    return [is_allowed(pods[a].agent.probe(proto, pods[b].ip4, port, timeout))
            for a, b, proto, port in pairs]


def suggestions(node, pods):
    equal(talk(pods, TALK), [True] * len(TALK), "all of it works while nothing is forbidden")
    said = node.ask("policy", "suggest", "--namespace", "s")
    equal(said["failed"], [], "every workload can be described")
    equal(sorted(p["workload"] for p in said["policies"]), ["s/db-1", "s/web-1", "s/web-2"],
          "a policy for each that was seen to talk")
    for p in said["policies"]:
        check(p["observed"] == p["admitted"] > 0, f"{p['workload']}: admits all that was observed", p)
    text = node.cli("policy", "suggest").stdout
    docs = [d for d in yaml.safe_load_all(text) if d]
    equal({d["kind"] for d in docs}, {"NetworkPolicy"}, "as YAML")
    equal(node.ask("policy", "suggest", "s/other"), {"policies": [], "failed": []},
          "nothing for a pod that did nothing")
    return text


def in_force(node, pods, text):
    node.write("suggested.yaml", text)
    node.enforcement["default"] = "deny"
    node.write_config()
    node.restart()
    node.sync()
    equal(talk(pods, TALK), [True] * len(TALK), "what was observed is allowed")
    equal(talk(pods, NEVER, 0.6), [False] * len(NEVER), "what was not is denied")


def keys(directory):
    private, public = (os.path.join(directory, n) for n in ("key.pem", "key.pub"))
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", private)
    run("openssl", "pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def baselines(node, pods):
    equal(node.ask("baseline", "list")["baselines"], [], "none while nothing is learnt")
    node.cli("runtime", "learn")
    talk(pods, TALK)
    pods["web-1"].sh("ls /")
    pods["web-1"].agent.probe("udp", pods["db-1"].ip4, 5432)
    wait_until(lambda: any(b["workload"] == "s/web-1" and
                           all(b["keys"][k]["seen"] > 0 for k in ("exec", "syscall", "edge"))
                           for b in node.ask("baseline", "list")["baselines"]), 30, "it is learnt")
    shown = node.cli("baseline", "show", "s/web-1").stdout
    check("exec" in shown and "learning" in shown, "baseline show", shown)
    check("waits" not in node.cli("baseline", "list").stdout.lower().split("\n")[1],
          "the table says what is waited for")
    private, public = keys(node.dir)
    signed = node.cli("baseline", "export", "s/web-1", "--key", private)
    equal(signed.returncode, 0, "export")
    path = node.path("web.json")
    with open(path, "w") as f:
        f.write(signed.stdout)
    equal(node.cli("baseline", "diff", path, "s/web-1", "--key", public).returncode, 0,
          "the file says the same")
    equal(node.cli("baseline", "reset", "s/web-1").returncode, 0, "reset")
    node.cli("runtime", "light")
    r = node.cli("baseline", "show", "s/web-1")
    check(r.returncode == 1 and "no baseline" in r.stderr, "gone", r.stderr)
    r = node.cli("baseline", "import", path, "--key", keys_of_another(node))
    check(r.returncode == 1 and r.stderr, "a file that another key signed is refused", r.stderr)
    equal(node.cli("baseline", "import", path, "--key", public).returncode, 0, "import")
    equal(node.cli("baseline", "diff", path, "s/web-1", "--key", public).returncode, 0,
          "as it was before")
    once(node, path, public)
    moved(node, path, public)
    node.restart(hard=True)
    equal(node.cli("baseline", "diff", path, "s/web-1", "--key", public).returncode, 0,
          "also over kill -9")


def once(node, path, public):
    """A file that is imported again is no second replica."""
    def row():
        return next(b for b in node.ask("baseline", "list")["baselines"] if b["workload"] == "s/web-1")
    before = row()
    for _ in range(3):
        equal(node.cli("baseline", "import", path, "--key", public).returncode, 0, "import again")
    equal(row(), before, "changes nothing")


def moved(node, path, public):
    """What was learnt in one namespace, for another."""
    r = node.cli("baseline", "import", path, "--key", public, "--as", "production/web-1")
    equal((r.returncode, r.stdout.strip()), (0, "production/web-1"), f"import --as: {r.stderr}")
    text = json.dumps(node.ask("baseline", "show", "production/web-1"))
    check("production/" in text and " pod s/" not in text, "its peers are those of the new namespace", text[:400])
    r = node.cli("baseline", "import", path, "--key", public, "--as", "production")
    equal(r.returncode, 2, "a name without a namespace is refused")


def keys_of_another(node):
    os.mkdir(node.path("another"))
    return keys(node.path("another"))[1]


def profiles(node):
    r = node.cli("profile", "runtime", "s/web-1")
    equal(r.returncode, 0, f"profile runtime: {r.stderr}")
    check(yaml.safe_load(r.stdout)["kind"] == "RuntimePolicy", "a RuntimePolicy", r.stdout)
    r = node.cli("profile", "seccomp", "s/web-1")
    equal(r.returncode, 0, f"profile seccomp: {r.stderr}")
    profile = json.loads(r.stdout)
    check(profile["defaultAction"] != "SCMP_ACT_ALLOW", "what was not observed is refused", profile)


def main():
    node = Node(default="kubernetes", dual=False).start()
    pods = make(node)
    node.sync()
    with part("policy suggest"):
        text = suggestions(node, pods)
    with part("the suggested policies in force"):
        in_force(node, pods, text)
    with part("baselines"):
        baselines(node, pods)
    with part("profiles"):
        profiles(node)


testing.start()
testing.main(main)

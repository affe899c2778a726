#!/usr/bin/python3
"""Bad input of every kind: manifests, CNI requests, the control socket. The daemon lives, says what
is wrong, and what was in force stays in force."""
import json
import os
import random
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni
import testing
from node import Node, namespace, network_policy, pods_peer, ports
from testing import check, equal, part
from traffic import is_allowed

POLICY = network_policy("b", "p", {"app": "server"}, ["Ingress"],
                        ingress=[{"from": [pods_peer(app="a")], "ports": ports("80/TCP")}])
HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: b}\n"
MAGIC, VERSION = 0x31484b42, 1

# each replaces the policy's file; none may change what holds
BAD_POLICIES = {
    "not YAML": "{{{",
    "half a file": HEAD + "spec:\n  podSelector: {matchLa",
    "a tab": HEAD + "spec:\n\tpodSelector: {}\n",
    "a bad port": HEAD + "spec: {podSelector: {}, ingress: [{ports: [{port: 70000}]}]}\n",
    "a bad CIDR": HEAD + "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}\n",
    "an empty peer": HEAD + "spec: {podSelector: {}, ingress: [{from: [{}]}]}\n",
    "block and selector": HEAD + "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: "
                                 "10.0.0.0/8}, podSelector: {}}]}]}\n",
    "In without values": HEAD + "spec: {podSelector: {matchExpressions: [{key: a, operator: In}]}}\n",
    "an unknown field": HEAD + "spec: {podSelector: {}, ingres: [{}]}\n",
    "spec is a list": HEAD + "spec: [1, 2]\n",
    "a duplicate key": HEAD + "spec: {podSelector: {}, podSelector: {}}\n",
    "a control character": HEAD + "spec: {podSelector: {}} # \x07\n",
    "bad UTF-8": (HEAD + "spec: {podSelector: {matchLabels: {a: ").encode() + b"\xff\xfe}}}\n",
    "deep nesting": HEAD + "spec: " + "[" * 5000 + "]" * 5000 + "\n",
    "deep JSON": '{"a":' * 20000 + "1" + "}" * 20000,
    "an alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)),
    "a merge key": HEAD + "spec:\n  podSelector: {}\n  <<: {ingress: [{}]}\n",
    "a tag": HEAD + "spec: !!python/object:os.system {podSelector: {}}\n",
    "a long line": HEAD + "spec: {podSelector: {matchLabels: {a: " + "x" * 3000000 + "}}}\n",
}
BAD_ARGS = {
    "a slash in the name": "K8S_POD_NAMESPACE=b;K8S_POD_NAME=../x",
    "an upper-case name": "K8S_POD_NAMESPACE=b;K8S_POD_NAME=Web",
    "a control character": "K8S_POD_NAMESPACE=b;K8S_POD_NAME=a\x01b",
    "a name that is too long": "K8S_POD_NAMESPACE=b;K8S_POD_NAME=" + "x" * 300,
    "a namespace that is too long": "K8S_POD_NAMESPACE=" + "n" * 64 + ";K8S_POD_NAME=x",
    "no equals sign": "K8S_POD_NAMESPACE=b;K8S_POD_NAME",
    "a key twice": "K8S_POD_NAMESPACE=b;K8S_POD_NAME=x;K8S_POD_NAME=y",
}


class Holds:
    """What must stay true all the time."""

    def __init__(self, node, a, b, server):
        self.node, self.a, self.b, self.server = node, a, b, server
        self.stream = a.agent.stream("tcp", server.ip4, 80)

    def check(self, why):
        check(self.node.is_alive(), f"{why}: the daemon lives")
        got = self.a.agent.probe("tcp", self.server.ip6, 80, timeout=1.5)
        equal(got, "open", f"{why}: the old policy allows")
        got = self.b.agent.probe("tcp", self.server.ip4, 80, timeout=0.25)
        check(not is_allowed(got), f"{why}: the old policy denies", got)
        check(self.stream.lives(), f"{why}: a live connection goes on", self.stream.state)


def bad_manifests(node, holds):
    for why, text in BAD_POLICIES.items():
        data = text if isinstance(text, bytes) else text.encode()
        path = os.path.join(node.manifests, "policy.yaml")
        with open(path + ".tmp", "wb") as f:
            f.write(data)
        os.rename(path + ".tmp", path)
        r = node.cli("sync")
        check(r.returncode == 0, f"{why}: sync answers", r.stderr)
        status = node.ask("status")
        check(any(p["level"] == "error" and p["file"] and p["file"].endswith("policy.yaml")
                  for p in status["problems"]), f"{why}: status names the file",
              status["problems"][:2])
        holds.check(why)
        check(node.cli("policy", "check", path).returncode == 1, f"{why}: policy check refuses")
    node.write("policy.yaml", POLICY)
    node.sync()
    holds.check("the file is good again")
    equal([p for p in node.ask("status")["problems"] if p["level"] == "error"], [],
          "and no problem is left")


def odd_files(node, holds):
    """Not regular files, or not readable ones."""
    os.mkfifo(os.path.join(node.manifests, "fifo.yaml"))
    os.symlink("/nonexistent", os.path.join(node.manifests, "dangling.yaml"))
    os.symlink(".", os.path.join(node.manifests, "loop"))
    os.mkdir(os.path.join(node.manifests, "dir.yaml"))
    os.symlink("/dev/zero", os.path.join(node.manifests, "zero.yaml"))
    node.cli("sync")
    holds.check("fifo, loops, devices")
    for name in ("fifo.yaml", "dangling.yaml", "loop", "zero.yaml"):
        os.unlink(os.path.join(node.manifests, name))
    os.rmdir(os.path.join(node.manifests, "dir.yaml"))
    node.sync()


def broken_neighbour(node, holds):
    """A new bad object beside good ones refuses itself alone."""
    node.write("new.yaml", HEAD.replace("name: p,", "name: new,") +
               "spec: {podSelector: {}, ingress: [{ports: [{port: -1}]}]}\n---\n" +
               "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")
    node.sync()
    holds.check("a new bad policy")
    listed = {f"{p['namespace']}/{p['name']}": p for p in node.ask("status")["policies"]}
    check("b/new" in listed and not listed["b/new"]["live"] and listed["b/new"]["why"],
          "status: it is not live, and why", listed.get("b/new"))
    node.remove("new.yaml")
    node.sync()


def raw_socket(node):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect(node.socket)
    return s


def frame(body, magic=MAGIC, version=VERSION, flags=0, length=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return struct.pack("<IHHI", magic, version, flags,
                       len(data) if length is None else length) + data


def bad_frames(node, holds):
    rng = random.Random(1)
    status = {"verb": "status", "args": {}}
    rows = {
        "random bytes": rng.randbytes(4096),
        "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "a wrong magic": frame(status, magic=1),
        "another version": frame(status, version=99),
        "a length of 4 GiB": frame(b"", length=0xffffffff),
        "a length beyond the limit": frame(b"", length=16 * 1024 * 1024 + 1),
        "an empty body": frame(b""),
        "no JSON": frame(b"}{"),
        "a list": frame([1, 2, 3]),
        "no verb": frame({"args": {}}),
        "an unknown verb": frame({"verb": "nonsense", "args": {}}),
        "args that are no object": frame({"verb": "status", "args": 7}),
        "bad UTF-8": frame(b'{"verb":"\xff"}'),
        "deep JSON": frame(b"[" * 100000),
        "two requests at once": frame(status) + frame(status),
        "flags nobody knows": frame(status, flags=0xffff),
        "NUL in the verb": frame(b'{"verb":"sta\\u0000tus","args":{}}'),
    }
    for why, data in rows.items():
        with raw_socket(node) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError:
                pass
        check(node.is_alive() and node.cli("status").returncode == 0, f"socket: {why}")
    bad_arguments(node)
    crowd(node)
    holds.check("after all that garbage")


def bad_arguments(node):
    """Well-formed requests with wrong arguments are answered with an error."""
    for verb, args in (("cni.add", {}), ("cni.add", {"netns": 7}), ("cni.del", {}),
                       ("cni.add", {"containerId": "x" * 100000}), ("quarantine", {"pod": "x"}),
                       ("quarantine", {"pod": "a/b", "reason": ""}), ("sync", {"timeoutMs": -1}),
                       ("policy.explain", {"from": "", "to": "", "port": ""}),
                       ("policy.matrix", {"port": "80"}), ("flows", {"pod": "nonsense"}),
                       ("release", {"pod": "b/none", "reason": "x"})):
        with raw_socket(node) as s:
            s.sendall(frame({"verb": verb, "args": args}))
            f = s.makefile("rb")  # a socket with a time-out gives what there is, MSG_WAITALL or not
            answer = json.loads(f.read(struct.unpack("<IHHI", f.read(12))[3]))
        check(answer.get("error", {}).get("message"), f"socket: {verb} {str(args)[:40]}: an error",
              str(answer)[:200])


def crowd(node):
    """More clients than there is room for, and clients that stall in the middle of a frame."""
    crowd_of = []
    for i in range(100):
        try:
            s = raw_socket(node)
            s.sendall(frame({"verb": "status", "args": {}})[:6 + i % 8])
            crowd_of.append(s)
        except OSError:
            break
    check(node.is_alive(), f"socket: {len(crowd_of)} clients that stall")
    for s in crowd_of:
        s.close()
    testing.wait_until(lambda: node.cli("status").returncode == 0, 20, "an answer after the crowd")


def bad_cni(node, holds):
    for why, args in BAD_ARGS.items():
        pod = node.new_pod("b", "bad", {}, args="IgnoreUnknown=1;" + args)
        code, plugin = None, None
        try:
            pod.add(env=None)
        except (cni.CniError, ValueError) as e:
            code, plugin = getattr(e, "code", None), getattr(e, "plugin", None)
        check(plugin and code, f"CNI_ARGS: {why}: refused by {plugin}", f"{plugin} {code}")
    plugin = os.path.join(testing.BIN, "bulkhead-cni")
    env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/proc/self/ns/net",
           "CNI_IFNAME": "eth0", "CNI_PATH": "/x"}
    conf = {"cniVersion": "1.0.0", "name": "pods", "type": "bulkhead-cni", "socket": node.socket}
    rows = {
        "no stdin": (b"", env), "no JSON": (b"}{", env), "a list": (b"[]", env),
        "deep JSON": (b"[" * 100000, env), "no prevResult": (json.dumps(conf).encode(), env),
        "prevResult is a number": (json.dumps({**conf, "prevResult": 7}).encode(), env),
        "an unknown version": (json.dumps({**conf, "cniVersion": "9.9.9"}).encode(), env),
        "an unknown command": (json.dumps(conf).encode(), {**env, "CNI_COMMAND": "EAT"}),
        "no environment": (json.dumps(conf).encode(), {}),
        "an interface name of 300": (json.dumps(conf).encode(), {**env, "CNI_IFNAME": "e" * 300}),
        "a socket path of 300": (json.dumps({**conf, "socket": "/" + "s" * 300,
                                             "prevResult": {}}).encode(), env),
    }
    for why, (data, environment) in rows.items():
        r = subprocess.run([plugin], input=data, env=environment, capture_output=True, timeout=testing.HANG_S)
        try:
            error = json.loads(r.stdout)
        except ValueError:
            error = {}
        check(r.returncode and error.get("code") and error.get("msg"),
              f"plugin: {why}: an error object", f"{r.returncode} {r.stdout[:200]}")
    holds.check("after bad CNI requests")


def bad_config(node):
    daemon = os.path.join(testing.BIN, "bulkheadd")
    head = "apiVersion: bulkhead.io/v1alpha1\nkind: DaemonConfig\n"
    for why, text in {
            "an unknown key": head + "pats: {}\n",
            "a wrong type": head + "paths: {run: 7}\n",
            "an impossible value": head + "enforcement: {default: maybe}\n",
            "no YAML": "{{{",
            "another kind": "apiVersion: v1\nkind: Pod\n"}.items():
        path = node.path("bad.yaml")
        with open(path, "w") as f:
            f.write(text)
        r = testing.run(daemon, "--config", path, "--check", check=False)
        said = r.stderr + r.stdout
        check(r.returncode != 0 and f"{path}:" in said, f"config: {why}: refused with its place",
              f"{r.returncode} {said}")
    r = testing.run(daemon, "--config", node.path("config.yaml"), "--check", check=False)
    equal(r.returncode, 0, "config: the good one is good")


def main():
    node = Node().start()
    node.write("world.yaml", namespace("b"),
               network_policy("b", "out", None, ["Egress"], egress=[{}]))
    node.write("policy.yaml", POLICY)
    node.sync()
    a, b, server = (node.pod("b", n, {"app": n}, listen=("80/tcp",)) for n in ("a", "b", "server"))
    holds = Holds(node, a, b, server)
    with part("bad manifests"):
        bad_manifests(node, holds)
    with part("odd files"):
        odd_files(node, holds)
    with part("a bad neighbour"):
        broken_neighbour(node, holds)
    with part("garbage on the socket"):
        bad_frames(node, holds)
    with part("bad CNI requests"):
        bad_cni(node, holds)
    with part("bad configuration"):
        bad_config(node)
    with part("the end"):
        equal(node.stop(), 0, "the daemon ends with 0 when asked")


testing.start()
testing.main(main)

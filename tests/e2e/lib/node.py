"""A node of its own for each test: network namespace, daemon, CNI chain, pods.

Everything is private to the test: the node is a network namespace with its own bridge, the daemon
runs in it with its own run, state, log and bpffs directories, and pods are made by the real plugins.
The daemon's cgroup programs are global, but know pods by their network namespace's cookie.
"""
import glob
import json
import os
import random
import signal
import socket
import subprocess
import time

import yaml

import cni
import ocsf
import testing
from testing import BIN, on_exit, run
from traffic import Agent

SUBNET4, GATEWAY4 = "10.77.0.0/16", "10.77.255.254"
SUBNET6, GATEWAY6 = "fd77::/16", "fd77:ffff::1"
READY_S = 60  # only a daemon that hangs takes so long, however slow the machine
FAST6 = ("conf/all/accept_dad", "conf/default/accept_dad")


def enter(name):
    """Command prefix that runs something in a named network namespace (only that one)."""
    return ["nsenter", f"--net=/run/netns/{name}"]


def add_netns(name):
    """Makes a network namespace; duplicate address detection is off, so addresses work at once."""
    run("ip", "netns", "add", name)
    on_exit(lambda: run("ip", "netns", "del", name, check=False))
    run(*enter(name), "sh", "-c", "ip link set lo up; " + "; ".join(
        f"echo 0 > /proc/sys/net/ipv6/{f}" for f in FAST6))


class Node:
    """prefix is unique per test; it starts all names."""

    def __init__(self, enforcement=None, default="deny", version="1.0.0", portmap=True,
                 dual=True, config=None, binary=None):
        self.prefix = f"bhe{os.getpid():x}"
        self.dir = testing.tempdir()
        self.netns = f"{self.prefix}-node"
        self.enforcement = {"default": default, **(enforcement or {})}
        self.extra = config or {}
        self.binary = binary or os.path.join(BIN, "bulkheadd")
        self.proc = None
        self.pods = {}
        self.count = 0
        self.outer = None
        for name in ("run", "state", "log", "manifests", "bpffs", "ipam"):
            os.mkdir(os.path.join(self.dir, name))
        self.mount_bpffs()
        self.make_node()
        self.chain = self.make_chain(version, portmap, dual)
        self.write_config()
        testing.on_failure(self.trouble)
        testing.at_end(self.check_events)

    # ---- making ----

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    @property
    def socket(self):
        return self.path("run", "bulkheadd.sock")

    @property
    def manifests(self):
        return self.path("manifests")

    def mount_bpffs(self):
        """A bpffs of our own: with it every pin of the test goes away."""
        run("mount", "-t", "bpf", "bpf", self.path("bpffs"))
        on_exit(lambda: run("umount", "-l", self.path("bpffs"), check=False))

    def make_node(self):
        add_netns(self.netns)
        self.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; "
                "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")

    def make_chain(self, version, portmap, dual):
        ranges = [[{"subnet": SUBNET4, "rangeStart": "10.77.200.1", "gateway": GATEWAY4}]]
        routes = [{"dst": "0.0.0.0/0"}]
        if dual:
            ranges.append([{"subnet": SUBNET6, "rangeStart": "fd77:c8::1", "gateway": GATEWAY6}])
            routes.append({"dst": "::/0"})
        plugins = [{"type": "bridge", "bridge": "br0", "isGateway": True, "hairpinMode": True,
                    "ipam": {"type": "host-local", "dataDir": self.path("ipam"),
                             "ranges": ranges, "routes": routes}}]
        if portmap:
            plugins.append({"type": "portmap", "snat": False,
                            "capabilities": {"portMappings": True}})
        plugins.append({"type": "bulkhead-cni", "socket": self.socket, "timeoutSeconds": 10,
                        "capabilities": {"cgroupPath": True}})
        conf = {"cniVersion": version, "name": "pods", "plugins": plugins}
        return cni.Chain(conf, enter(self.netns), f"{BIN}:{cni.PLUGINS}")

    def write_config(self):
        config = {
            "apiVersion": "bulkhead.io/v1alpha1",
            "kind": "DaemonConfig",
            "node": {"name": "node1"},
            "paths": {"run": self.path("run"), "state": self.path("state"),
                      "log": self.path("log"), "bpffs": self.path("bpffs", "bulkhead")},
            "sources": {"manifests": {"directory": self.manifests}},
            "enforcement": self.enforcement,
            "http": {"listen": ""},
            **self.extra,
        }
        with open(self.path("config.yaml"), "w") as f:
            yaml.safe_dump(config, f)

    def outside(self, *addresses):
        """A network behind the node; addresses are added to it. Its agent."""
        name = f"{self.prefix}-out"
        if not self.outer:
            add_netns(name)
            self.sh(f"ip link add up0 type veth peer name up1 netns {name}",
                    "ip addr add 192.0.2.1/30 dev up0", "ip addr add 2001:db8:ffff::1/64 dev up0",
                    "ip link set up0 up")
            run(*enter(name), "sh", "-ec", "; ".join((
                "ip addr add 192.0.2.2/30 dev up1", "ip addr add 2001:db8:ffff::2/64 dev up1",
                "ip link set up1 up", "ip route add default via 192.0.2.1",
                "ip -6 route add default via 2001:db8:ffff::1")))
            self.outer = Agent(enter(name))
        for a in addresses:
            v6 = ":" in a
            run(*enter(name), "ip", "addr", "add", f"{a}/{128 if v6 else 32}", "dev", "lo")
            self.sh(f"ip -6 route add {a} via 2001:db8:ffff::2" if v6 else
                    f"ip route add {a} via 192.0.2.2")
        return self.outer

    def sh(self, *lines):
        """Shell lines in the node's network namespace."""
        return run(*enter(self.netns), "sh", "-ec", "; ".join(lines)) if lines else ""

    def agent(self):
        """A helper process in the node's own network namespace."""
        return Agent(enter(self.netns))

    # ---- daemon ----

    def start(self, binary=None, wait=True):
        """Starts the daemon and waits for its READY=1."""
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.path("notify")
        if os.path.exists(path):
            os.unlink(path)
        ready.bind(path)
        ready.settimeout(0.1)
        log = open(self.path("daemon.log"), "a")
        self.proc = testing.spawn(
            [*enter(self.netns), binary or self.binary, "--config", self.path("config.yaml")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "NOTIFY_SOCKET": path})
        log.close()
        if wait:
            self.wait_ready(ready)
        ready.close()
        return self

    def wait_ready(self, ready):
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                raise RuntimeError(f"bulkheadd ended with {self.proc.returncode}: {self.log()}")
            try:
                if b"READY=1" in ready.recv(4096):
                    return
            except socket.timeout:
                continue
        raise TimeoutError(f"bulkheadd was not ready within {READY_S} s: {self.log()}")

    def stop(self):
        """SIGTERM; the exit code."""
        self.proc.send_signal(signal.SIGTERM)
        return self.proc.wait(READY_S)

    def kill(self):
        self.proc.kill()
        self.proc.wait(READY_S)

    def restart(self, hard=False, binary=None):
        self.kill() if hard else self.stop()
        self.start(binary)

    def is_alive(self):
        return self.proc is not None and self.proc.poll() is None

    def log(self, lines=40):
        try:
            with open(self.path("daemon.log"), errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def trouble(self):
        alive = "alive" if self.is_alive() else f"ended: {self.proc and self.proc.poll()}"
        return f"bulkheadd is {alive}; its log ends with:\n{self.log()}"

    def check_events(self):
        """Every event that the test had told, against the schema."""
        n, problems = ocsf.check_log(self.path("log"))
        if n:
            testing.check(not problems, f"{n} events are what OCSF {ocsf.VERSION} knows",
                          "; ".join(problems[:10]))

    def link_pin(self, pod):
        """Path of the pin of one of the programs on a pod's interface."""
        index = json.loads(self.sh(f"ip -j link show {pod.host_if}"))[0]["ifindex"]
        return glob.glob(self.path("bpffs", "bulkhead", "abi*", "links", f"{index}-ingress"))[0]

    # ---- command line ----

    def cli(self, *args, **kw):
        """bulkhead ARGS; the completed process."""
        return run(os.path.join(BIN, "bulkhead"), "--socket", self.socket, *args, check=False,
                   **kw)

    def ask(self, *args):
        """bulkhead ARGS -o json, parsed; raises when it fails."""
        r = self.cli(*args, "-o", "json")
        if r.returncode:
            raise RuntimeError(f"bulkhead {' '.join(args)}: exit {r.returncode}: {r.stderr}")
        return json.loads(r.stdout)

    def sync(self, timeout=f"{READY_S}s"):
        r = self.cli("sync", "--timeout", timeout)
        if r.returncode:
            raise RuntimeError(f"sync: exit {r.returncode}: {r.stderr.strip()}")
        return int(r.stdout)

    # ---- manifests ----

    def write(self, name, *documents):
        """A manifest: dicts, or text as it is. Replaced in one step; not yet synced."""
        path = os.path.join(self.manifests, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        text = "---\n".join(d if isinstance(d, str) else yaml.safe_dump(d, sort_keys=False)
                            for d in documents)
        with open(path + ".tmp", "w") as f:
            f.write(text)
        os.rename(path + ".tmp", path)

    def remove(self, name):
        os.unlink(os.path.join(self.manifests, name))

    # ---- pods ----

    def new_pod(self, ns, name, labels=None, addresses=None, **more):
        """Makes the network namespace of a pod, without ADD. addresses: exactly these."""
        self.count += 1
        netns = f"{self.prefix}-p{self.count}"
        add_netns(netns)
        pod = {"id": f"{random.getrandbits(256):064x}", "netns": f"/run/netns/{netns}",
               "namespace": ns, "name": name, "labels": labels or {},
               "uid": f"{random.getrandbits(128):032x}", "ns": netns, **more}
        return Pod(self, pod, addresses)

    def pod(self, ns, name, labels=None, addresses=None, listen=(), **more):
        """A pod whose ADD is done, with servers on `listen` ("80/tcp" ...)."""
        p = self.new_pod(ns, name, labels, addresses, **more)
        if listen:
            p.agent.listen(*listen)
        p.add()
        return p


class Pod:
    def __init__(self, node, conf, addresses):
        self.node, self.conf, self.addresses = node, conf, addresses
        self.name = f"{conf['namespace']}/{conf['name']}"
        self.ns = conf["ns"]
        self.agent = Agent(enter(self.ns))
        self.chain = node.chain if addresses is None else static_chain(node.chain, addresses)
        self.ip4 = self.ip6 = self.mac = self.host_if = None
        self.add_seconds = None

    def add(self, env=None):
        """ADD through the whole chain. Raises cni.CniError."""
        start = time.monotonic()
        result = self.chain.add(self.conf, env)
        self.add_seconds = time.monotonic() - start
        self.learn(result)
        self.node.pods[self.name] = self
        return self

    def learn(self, result):
        for ip in result.get("ips", []):
            addr = ip["address"].split("/")[0]
            if ":" in addr:
                self.ip6 = addr
            else:
                self.ip4 = addr
        for i in result.get("interfaces", []):
            if i.get("sandbox"):
                self.mac = i["mac"]
            elif i["name"].startswith("veth"):
                self.host_if = i["name"]

    @property
    def ips(self):
        return [a for a in (self.ip4, self.ip6) if a]

    def manifest(self, labels=None, ports=(), phase="Running"):
        """The Pod object as `kubectl get -o yaml` would print it, in short. ports: {name: "80/TCP"}."""
        listed = [{"name": n, "containerPort": int(p.split("/")[0]), "protocol": p.split("/")[1]}
                  for n, p in dict(ports).items()]
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"namespace": self.conf["namespace"], "name": self.conf["name"],
                             "labels": self.conf["labels"] if labels is None else labels},
                "spec": {"containers": [{"name": "main", "image": "registry.example/app:1",
                                         "ports": listed}]},
                "status": {"phase": phase}}

    def delete(self, prev=True):
        self.chain.delete(self.conf, prev)
        self.node.pods.pop(self.name, None)

    def gone(self):
        """DEL, then the namespace and its processes, as when a runtime removes a pod."""
        self.delete()
        self.agent.stop()
        run("ip", "netns", "del", self.ns)

    def sh(self, *lines):
        return run(*enter(self.ns), "sh", "-ec", "; ".join(lines))


def static_chain(chain, addresses):
    """The same chain with addresses of the caller's choice."""
    conf = json.loads(json.dumps(chain.conf))
    listed = []
    for a in addresses:
        v6 = ":" in a
        listed.append({"address": f"{a}/16", "gateway": GATEWAY6 if v6 else GATEWAY4})
    routes = ([{"dst": "0.0.0.0/0"}] if any(":" not in a for a in addresses) else []) + \
             ([{"dst": "::/0"}] if any(":" in a for a in addresses) else [])
    conf["plugins"][0]["ipam"] = {"type": "static", "addresses": listed, "routes": routes}
    return cni.Chain(conf, chain.enter, chain.path)


# ---- objects ----

def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def network_policy(ns, name, selector=None, types=("Ingress", "Egress"), ingress=(), egress=(),
                   annotations=None):
    """A NetworkPolicy; selector: matchLabels."""
    spec = {"podSelector": {"matchLabels": selector} if selector else {},
            "policyTypes": list(types)}
    if ingress:
        spec["ingress"] = list(ingress)
    if egress:
        spec["egress"] = list(egress)
    meta = {"name": name, "namespace": ns}
    if annotations:
        meta["annotations"] = annotations
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta,
            "spec": spec}


def segmentation_policy(ns, name, selector=None, types=("Egress",), ingress=(), egress=()):
    p = network_policy(ns, name, selector, types, ingress, egress)
    p.update(apiVersion="bulkhead.io/v1alpha1", kind="SegmentationPolicy")
    return p


def pods_peer(**labels):
    return {"podSelector": {"matchLabels": labels}}


def ports(*texts):
    """ports("80/TCP", "53/UDP")"""
    out = []
    for t in texts:
        number, proto = t.split("/")
        out.append({"protocol": proto, "port": int(number)})
    return out

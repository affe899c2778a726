"""Pods in numbers: routed veth pairs made in bulk, handed to the daemon by the real plugin.

The pods of the e2e library come from the bridge plugin, one after the other, with a helper process
each. Here only bulkhead-cni is run for every pod (with the result that a plugin before it would
have given), so that 250 of them are up in seconds. They are routed, not bridged: that is the path
on which nftables is cheapest.
"""
import json
import os
import random
import subprocess

import testing
import world
from node import Node, enter, on_exit, run

TRAFFIC = os.path.join(testing.BUILD, "bench", "bench_traffic")
GATEWAY_MAC = "02:00:00:00:00:01"
GATEWAY = "169.254.1.1"


class Pod:
    def __init__(self, number, ns, name, app, ip):
        self.number, self.ns, self.name, self.app, self.ip = number, ns, name, app, ip
        self.full = f"{ns}/{name}"
        self.netns = self.host_if = self.result = self.conf = None

    def manifest(self, app=None):
        return world.pod_text(self.ns, self.name, app or self.app, self.ip)


class Fleet:
    """A node with a daemon that is not started yet."""

    def __init__(self, **settings):
        self.node = Node(**settings)
        self.plugin = next(p for p in self.node.chain.conf["plugins"]
                           if p["type"] == "bulkhead-cni")
        self.pods = []
        self.cpu = str(max(os.sched_getaffinity(0)))

    # ---- pods ----

    def make(self, wanted):
        """wanted: [(ns, name, app, address)]. Interfaces only; add() hands them to the daemon."""
        made = []
        for ns, name, app, ip in wanted:
            pod = Pod(len(self.pods), ns, name, app, ip)
            pod.netns = f"{self.node.prefix}-f{pod.number}"
            pod.host_if = f"vf{pod.number}"
            self.pods.append(pod)
            made.append(pod)
        self.make_netns(made)
        lines = []
        for p in made:
            lines += [f"link add {p.host_if} address {GATEWAY_MAC} type veth "
                      f"peer name eth0 netns {p.netns}", f"link set {p.host_if} up",
                      f"route add {p.ip}/32 dev {p.host_if}"]
        batch(enter(self.node.netns), lines)
        for p in made:
            batch(enter(p.netns), [
                f"addr add {p.ip}/32 dev eth0", "link set eth0 up",
                f"route add {GATEWAY}/32 dev eth0", f"route add default via {GATEWAY}",
                f"neigh add {GATEWAY} lladdr {GATEWAY_MAC} dev eth0"])
            self.describe(p)
        return made

    def make_netns(self, pods):
        on_exit(lambda: batch([], [f"netns del {p.netns}" for p in pods], check=False))
        batch([], [f"netns add {p.netns}" for p in pods])

    def describe(self, p):
        p.conf = {"id": f"{random.getrandbits(256):064x}", "netns": f"/run/netns/{p.netns}",
                  "namespace": p.ns, "name": p.name, "labels": {"app": p.app, "version": "1"}}
        link = json.loads(run(*enter(p.netns), "ip", "-j", "link", "show", "eth0"))[0]
        p.result = {"cniVersion": "1.0.0",
                    "interfaces": [{"name": p.host_if, "mac": GATEWAY_MAC},
                                   {"name": "eth0", "mac": link["address"],
                                    "sandbox": p.conf["netns"]}],
                    "ips": [{"address": f"{p.ip}/32", "interface": 1, "gateway": GATEWAY}]}

    def add(self, pod):
        self.node.chain.call(self.plugin, "ADD", pod.conf, pod.result)

    def delete(self, pod):
        """DEL leaves the interface down, as what is about to go; here it goes on without us."""
        self.node.chain.call(self.plugin, "DEL", pod.conf, pod.result)
        self.sh(f"ip link set {pod.host_if} up", f"ip route replace {pod.ip}/32 dev {pod.host_if}")

    def local(self, count):
        """The count pods of this node that a world's policies speak of."""
        return self.make([(*world.local_pod(n), world.local_address(n)) for n in range(count)])

    # ---- traffic ----

    def traffic(self, pod, *args, timeout=120):
        """bench_traffic in the pod, to its end; what it printed, as a number."""
        return float(run(*enter(pod.netns), TRAFFIC, *args, timeout=timeout,
                         env={**os.environ, "BH_BENCH_CPU": self.cpu}))

    def begin(self, pod, *args, waits=True):
        """bench_traffic in the background; waits until it says that it is ready."""
        p = testing.spawn([*enter(pod.netns), TRAFFIC, *args], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "BH_BENCH_CPU": self.cpu})
        if waits and p.stdout.readline() != "ready\n":
            raise RuntimeError(f"bench_traffic {' '.join(args)} did not start")
        return p

    def inside(self, pod, *argv):
        return run(*enter(pod.netns), *argv)

    def sh(self, *lines, text=None):
        """Shell lines in the node's network namespace, `text` on their standard input."""
        return run(*enter(self.node.netns), "sh", "-ec", "; ".join(lines), input=text)


def batch(prefix, lines, check=True):
    """ip commands in one process."""
    force = [] if check else ["-force"]
    return run(*prefix, "ip", *force, "-batch", "-", input="\n".join(lines) + "\n", check=check)


def measured_pods(fleet):
    """bench/client and bench/server."""
    return fleet.make([("bench", "client", "measured", world.CLIENT4),
                       ("bench", "server", "measured", world.SERVER4)])


def start_world(fleet, policies, peers):
    """Manifests on disk, then the daemon."""
    world.put_base(fleet.node.manifests)
    world.put_policies(fleet.node.manifests, policies)
    world.put_peers(fleet.node.manifests, peers)
    fleet.node.start()
    return fleet

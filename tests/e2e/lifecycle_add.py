#!/usr/bin/python3
"""An ADD that is cut short at any of its steps leaves the interface shut, also for the next daemon,
until another ADD succeeds; one that succeeded is open, whatever happens to the daemon afterwards."""
import copy
import glob
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni
import testing
from node import Node, enter, namespace, network_policy
from testing import check, equal, part, wait_until
from traffic import is_allowed

HEADER = struct.Struct("<IHHI")
KILLS = 30


class Proxy:
    """Between plugins and the daemon: on_reply(n) is called before the n-th reply, and says whether
    it may pass."""

    def __init__(self, node, on_reply):
        self.node, self.on_reply, self.replies = node, on_reply, 0
        self.path = node.path(f"proxy{random.getrandbits(32):x}")
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen(8)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(self.node.socket)
                self.relay(client, daemon)

    def relay(self, client, daemon):
        send_frame(daemon, read_frame(client))
        reply = read_frame(daemon)
        self.replies += 1
        if self.on_reply(self.replies):
            send_frame(client, reply)
            client.recv(1)  # the client ends the connection

    def close(self):
        self.server.close()


def read_frame(s):
    head = read_all(s, HEADER.size)
    return head + read_all(s, HEADER.unpack(head)[3])


def read_all(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise ConnectionError("the peer closed")
        data += more
    return data


def send_frame(s, frame):
    s.sendall(frame)


class World:
    def __init__(self):
        self.node = node = Node().start()
        node.write("base.yaml", namespace("a"), network_policy(
            "a", "all", None, ["Ingress", "Egress"], ingress=[{}], egress=[{}]))
        node.sync()
        self.peer = node.pod("a", "peer", listen=("80/tcp",))
        self.count = 0

    def bare(self):
        """A pod with an interface of the bridge plugin, ours not called yet."""
        self.count += 1
        pod = self.node.new_pod("a", f"p{self.count}")
        plugins = self.node.chain.conf["plugins"]
        pod.prev = None
        for plugin in plugins[:-1]:
            pod.prev = self.node.chain.call(plugin, "ADD", pod.conf, pod.prev)
        pod.conf["result"] = pod.prev
        pod.learn(pod.prev)
        return pod

    def ours(self, pod, command="ADD", **conf):
        """Our plugin alone; the error's code, None when it goes well."""
        plugin = {**self.node.chain.conf["plugins"][-1], **conf}
        try:
            self.node.chain.call(plugin, command, pod.conf, pod.prev)
        except cni.CniError as e:
            return e.code
        return None

    def row(self, pod):
        rows = [r for r in self.node.ask("pods")["pods"] if r["pod"] == pod.name]
        return rows[0] if rows else {}

    def state(self, pod):
        return self.row(pod).get("state")

    def link_up(self, pod):
        self.node.sh(f"ip link set {pod.host_if} up")

    def passes(self, pod, want):
        got = pod.agent.probe("tcp", self.peer.ip4, 80, timeout=1 if want else 0.2)
        return is_allowed(got) == want

    def stays_shut(self, pod, why):
        """Also when somebody sets the link up again."""
        self.link_up(pod)
        check(self.state(pod) in (None, "shut"), f"{why}: shut", self.row(pod))
        check(self.passes(pod, False), f"{why}: nothing passes")
        self.node.write("more.yaml", namespace(f"n{self.count}"))
        self.node.sync()
        check(self.state(pod) in (None, "shut") and self.passes(pod, False),
              f"{why}: a publish does not open it", self.row(pod))

    def heals(self, pod, why):
        equal(self.ours(pod), None, f"{why}: ADD again")
        check(self.state(pod) == "open" and self.passes(pod, True), f"{why}: then it is open",
              self.row(pod))

    def ends(self, pod, why):
        pod.gone()
        self.node.sync()
        status = self.node.ask("status")
        check(not self.row(pod) and not [d for d in status["degraded"] if d["what"] == "pods"],
              f"{why}: nothing is left", (self.row(pod), status["degraded"]))
        equal(self.links(), 2 * len(self.node.ask("pods")["pods"]),
              f"{why}: programs only where pods are")

    def links(self):
        """By their pins: other tests have interfaces of the same number in other namespaces."""
        return len(glob.glob(os.path.join(self.node.path("bpffs", "bulkhead"), "abi*", "links",
                                          "[0-9]*gress")))


def restarted_without(w, number):
    """The daemon dies before reply `number` reaches the plugin."""
    def on_reply(n):
        if n < number:
            return True
        w.node.kill()
        return False

    why = f"killed before reply {number}"
    pod = w.bare()
    proxy = Proxy(w.node, on_reply)
    equal(w.ours(pod, socket=proxy.path), 11, f"{why}: ADD fails")
    proxy.close()
    w.node.start()
    w.stays_shut(pod, why)
    w.node.restart(hard=True)
    w.stays_shut(pod, f"{why}, and again")
    w.heals(pod, why)
    w.node.restart(hard=True)
    check(w.state(pod) == "open" and w.passes(pod, True), f"{why}: open after one more kill")
    w.ends(pod, why)


def cut_short(w, number):
    """The connection breaks before the plugin hears reply `number`."""
    reached = threading.Event()
    why = f"the connection breaks before reply {number}"

    def on_reply(n):
        if n < number:
            return True
        reached.set()
        return False

    pod = w.bare()
    proxy = Proxy(w.node, on_reply)
    victim = threading.Thread(target=lambda: w.ours(pod, socket=proxy.path))
    victim.start()
    reached.wait(10)
    proxy.close()
    victim.join()
    if number == 2:
        wait_until(lambda: w.state(pod) == "shut", 30, "a pod whose plugin failed is shut")
    w.stays_shut(pod, why)
    w.node.restart(hard=True)
    w.stays_shut(pod, f"{why}, and the daemon too")
    w.heals(pod, why)
    w.ends(pod, why)


def sigkilled(w):
    """A plugin that ends by SIGKILL takes no link down: what it has not heard is not open."""
    held, go = threading.Event(), threading.Event()

    def on_reply(_):
        held.set()
        go.wait(10)
        return False

    pod = w.bare()
    proxy = Proxy(w.node, on_reply)
    before = children()
    thread = threading.Thread(target=lambda: w.ours(pod, socket=proxy.path), daemon=True)
    thread.start()
    held.wait(10)
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    go.set()
    thread.join()
    proxy.close()
    check(link_is_up(w, pod), "SIGKILL of the plugin: the link is up")
    w.stays_shut(pod, "SIGKILL of the plugin")
    w.heals(pod, "SIGKILL of the plugin")
    w.ends(pod, "SIGKILL of the plugin")


def children():
    found = set()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as f:
            found |= set(map(int, f.read().split()))
    return found


def link_is_up(w, pod):
    return ",UP" in w.node.sh(f"ip link show {pod.host_if}")


def output_closed(w):
    """The result cannot be printed: the runtime does not have it."""
    pod = w.bare()
    plugin = dict(w.node.chain.conf["plugins"][-1])
    plugin.pop("capabilities")
    conf = copy.deepcopy(plugin)
    conf.update(cniVersion="1.0.0", name="pods", prevResult=pod.prev)
    env = {"PATH": os.environ["PATH"], "CNI_COMMAND": "ADD", "CNI_PATH": w.node.chain.path,
           **cni.pod_env(pod.conf)}
    with open("/dev/full", "w") as full:
        r = subprocess.run([*enter(w.node.netns), os.path.join(testing.BIN, "bulkhead-cni")],
                           input=json.dumps(conf), env=env, stdout=full, text=True,
                           stderr=subprocess.DEVNULL, timeout=30)
    check(r.returncode, "no room for the result: ADD fails")
    check(not link_is_up(w, pod), "no room for the result: the link is down")
    wait_until(lambda: w.state(pod) == "shut", 30, "shut when its plugin could not print")
    w.stays_shut(pod, "no room for the result")
    w.heals(pod, "no room for the result")
    w.ends(pod, "no room for the result")


def killed_anywhere(w):
    """SIGKILL of the daemon at any time of an ADD: open if and only if the ADD succeeded."""
    rng = random.Random(int(os.environ.get("BH_SEED", "1")))
    wrong = []
    for n in range(KILLS):
        pod = w.bare()
        proc = w.node.proc
        timer = threading.Timer(rng.random() * 0.02, proc.send_signal, [signal.SIGKILL])
        timer.start()
        code = w.ours(pod)
        timer.join()
        proc.wait(10)
        w.node.start()
        state = w.state(pod)
        if code is not None and state:  # one the daemon never heard of has only its link down
            w.link_up(pod)
        if (state == "open") != (code is None) or not w.passes(pod, code is None):
            wrong.append((n, code, state))
        elif w.links() != 2 * len(w.node.ask("pods")["pods"]):
            wrong.append((n, code, state, w.links()))
        pod.gone()
    equal(wrong, [], f"{KILLS} kills: open if and only if the ADD succeeded, nothing left over")
    w.node.sync()
    equal([d for d in w.node.ask("status")["degraded"] if d["what"] == "pods"], [],
          "no interface is in no record")


def deleted_interface_is_down(w):
    """DEL of our plugin alone takes the programs off: what is left must not be an open door."""
    pod = w.bare()
    equal(w.ours(pod), None, "ADD")
    check(w.passes(pod, True), "ADD: open")
    equal(w.ours(pod, "DEL"), None, "DEL")
    check(not link_is_up(w, pod) and w.passes(pod, False), "DEL: the link is down")
    equal(w.ours(pod, "DEL"), None, "DEL again")
    w.heals(pod, "after DEL")
    w.ends(pod, "after DEL")


def main():
    w = World()
    parts = [(restarted_without, 1), (restarted_without, 2), (cut_short, 1),
             (cut_short, 2), (sigkilled,), (output_closed,), (deleted_interface_is_down,),
             (killed_anywhere,)]
    for fn, *args in parts:
        with part(" ".join([fn.__name__.replace("_", " "), *map(str, args)])):
            fn(w, *args)


testing.start(needs=[os.path.join(cni.PLUGINS, "bridge")])
testing.main(main)

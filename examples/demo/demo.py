"""The demo's story. Started by examples/demo/run, which builds first.

Everything happens on a node of its own: a network namespace with its own bridge, CNI chain, daemon
and directories, which all go away at the end. Pods are podman's containers; where podman does not
work they are plain network namespaces, made by the same CNI plugins."""
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/e2e/lib"))
import testing
from node import Node, enter
from podman import Podman
from traffic import Agent

EVIL = "203.0.113.66"
SERVERS = {"web": (80,), "db": (5432, 22), "backup": (873,)}
COLOURS = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "blue": 36, "faint": 2}
has_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
surprises = []


def paint(colour, text):
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if has_colour else text


def title(number, text):
    print(f"\n{paint('bold', f'{number}. {text}')}")


def say(text):
    print(paint("faint", "   " + text))


def show(node, *args, lines=None):
    """An operator's command with what it answers; of a long answer the first lines."""
    words = " ".join(f"'{a}'" if " " in a else a for a in args)
    print(paint("blue", f"   # bulkhead {words}"))
    r = node.cli(*args)
    answer = (r.stdout + r.stderr).rstrip().splitlines()
    for line in answer[:lines]:
        print("   " + line)
    if lines and len(answer) > lines:
        say(f"... and {len(answer) - lines} more lines")


def expect(holds, what, result):
    """One line of the story: what was tried, and how it ended."""
    mark = paint("green", "as it should") if holds else paint("red", "THIS SHOULD NOT BE")
    print(f"   {what:52} {result:32} {mark}")
    if not holds:
        surprises.append(what)


# ---- where pods come from ----

class Containers:
    """podman's containers."""
    name = "podman"

    def __init__(self, node):
        self.podman = Podman(node, enter(node.netns))

    def start(self, name, ports):
        serve = " ".join(f"socat TCP6-LISTEN:{p},ipv6only=0,fork,reuseaddr EXEC:cat &"
                          for p in ports)
        return self.podman.start(name, "sh", "-c", f"{serve} while :; do sleep 1000; done")

    def shell(self, name, line):
        return self.podman.exec(name, "sh", "-c", line)

    def netns(self, name):
        info = json.loads(self.podman("inspect", name))[0]
        return info["NetworkSettings"]["SandboxKey"]


class Namespaces:
    """Network namespaces without containers, made by the same plugins."""
    name = "plain network namespaces"

    def __init__(self, node):
        self.node, self.pods = node, {}

    def start(self, name, ports):
        pod = self.pods[name] = self.node.new_pod("default", name)
        for p in ports:
            testing.spawn([*enter(pod.ns), "socat", f"TCP6-LISTEN:{p},ipv6only=0,fork,reuseaddr",
                           "EXEC:cat"])
        pod.add()
        return pod.ip4, pod.ip6

    def shell(self, name, line):
        return testing.run(*enter(self.pods[name].ns), "sh", "-c", line, check=False)

    def netns(self, name):
        return self.pods[name].conf["netns"]


def containers_or_namespaces(node):
    try:
        return Containers(node)
    except Exception as e:
        say(f"podman does not work here ({str(e).splitlines()[0][:70]}); going on without")
        return Namespaces(node)


# ---- the story ----

class Demo:
    def __init__(self):
        self.node = Node()
        self.address = {}
        self.runtime = None

    def attempt(self, source, target, port, should):
        """A connection from one pod to another, or to an address."""
        addr = self.address.get(target, target)
        r = self.runtime.shell(source, f"echo hello | nc -v -N -w 2 {addr} {port}")
        if "hello" in r.stdout:
            result = paint("green", "answers")
        elif "not permitted" in r.stderr:
            result = paint("red", "refused at once (EPERM)")
        else:
            result = paint("red", "nothing comes back")
        expect(("hello" in r.stdout) == should, f"{source} -> {target} port {port}", result)

    def set_up(self):
        title(1, "A node, its policies, and three pods made by a container runtime")
        for name in ("pods.yaml", "policies.yaml"):
            with open(os.path.join(HERE, "manifests", name)) as f:
                self.node.write(name, f.read())
        self.node.start()
        self.node.sync()
        self.outside = self.node.outside(EVIL)
        self.outside.listen("443/tcp", hosts=(EVIL,))
        self.runtime = containers_or_namespaces(self.node)
        for name, ports in SERVERS.items():
            start = time.monotonic()
            self.address[name] = self.runtime.start(name, ports)[0]
            print(f"   started {paint('bold', name):8} {self.address[name]}  "
                  f"({time.monotonic() - start:.2f} s)")
        say(f"by {self.runtime.name}, through the CNI chain bridge > portmap > bulkhead-cni")
        show(self.node, "pods")
        show(self.node, "policy", "matrix", "--port", "5432/TCP")

    def connections(self):
        title(2, "What policy allows works, everything else does not")
        testing.wait_until(lambda: "hello" in self.runtime.shell(
            "web", f"echo hello | nc -N -w 1 {self.address['db']} 5432").stdout, 10, "db's server")
        testing.wait_until(lambda: self.outside.probes(
            [["tcp", self.address["web"], 80, EVIL]], timeout=2) == ["open"], 10, "web's server")
        self.attempt("web", "db", 5432, True)
        self.attempt("web", "db", 22, False)
        self.attempt("web", "backup", 873, False)
        self.attempt("backup", "db", 5432, False)
        self.attempt("db", "web", 80, False)
        got = self.outside.probes([["tcp", self.address["web"], 80, EVIL]], timeout=2)[0]
        expect(got == "open", "the internet -> web port 80", paint("green", got))
        got = self.outside.probes([["tcp", self.address["db"], 5432, EVIL]])[0]
        expect(got == "timeout", "the internet -> db port 5432", paint("red", got))
        show(self.node, "policy", "explain", "default/backup", "default/db", "5432/TCP")

    def attack(self):
        title(3, "web is broken into: what can the intruder reach from there?")
        scan = f"for p in 21 22 23 80 443 3306 6379; do nc -z -w 1 {self.address['db']} $p; done"
        r = self.runtime.shell("web", scan + " 2>&1")
        expect("succeeded" not in r.stdout, "a port scan of db", paint("red", "finds nothing"))
        self.attempt("web", "backup", 873, False)
        self.attempt("web", EVIL, 443, False)
        self.attempt("web", "169.254.169.254", 80, False)
        self.forge()
        show(self.node, "flows", "--pod", "default/web", "--verdict", "denied", lines=12)

    def forge(self):
        """As root in the pod: frames in another pod's name."""
        from scapy.layers.inet import IP, TCP
        from scapy.layers.l2 import Ether
        inside = ["nsenter", f"--net={self.runtime.netns('web')}"]
        mac = json.loads(testing.run(*inside, "ip", "-j", "link", "show", "eth0"))[0]["address"]
        agent = Agent(inside)
        frame = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src=self.address["backup"],
                                                   dst=self.address["db"]) / \
            TCP(sport=4444, dport=5432, flags="S")
        sent = agent.call("frames", interface="eth0", frames=[bytes(frame).hex()] * 100)
        agent.stop()

        def dropped():
            drops = {d["reason"]: d["packets"] for d in self.node.ask("status")["drops"]}
            return drops.get("spoofed-ip", 0)
        # what was sent is on its way for a moment
        testing.wait_until(lambda: dropped() >= sent, 5, "every forged frame's drop")
        forged = dropped()
        expect(forged >= sent == 100, f"{sent} frames with the address of backup",
               paint("red", f"{forged} dropped as forged"))

    def quarantine(self):
        title(4, "Quarantine: cut it off, and prove it")
        agent = Agent(["nsenter", f"--net={self.runtime.netns('web')}"])
        stream = agent.stream("tcp", self.address["db"], 5432)
        expect(stream.lives(), "a live connection web -> db", paint("green", "exchanges data"))
        show(self.node, "quarantine", "default/web", "--reason", "port scan, incident 4711")
        expect(stream.is_cut(), "the same connection", paint(
            "red", f"is dead ({stream.state()['error'] or 'silent'})"))
        self.attempt("web", "db", 5432, False)
        got = self.outside.probes([["tcp", self.address["web"], 80, EVIL]])[0]
        expect(got == "timeout", "the internet -> web port 80", paint("red", got))
        say("Enforcement lives in the kernel: the daemon is killed with SIGKILL ...")
        self.node.kill()
        self.attempt("web", "db", 5432, False)
        self.node.start()
        say("... and started again.")
        self.attempt("web", "db", 5432, False)
        agent.stop()

    def release(self):
        title(5, "Release")
        show(self.node, "release", "default/web", "--reason", "cleaned up, incident 4711")
        self.attempt("web", "db", 5432, True)
        self.attempt("web", "backup", 873, False)
        show(self.node, "events", "--class", "quarantine")
        show(self.node, "events", "verify")
        show(self.node, "policy", "verify")

    def run(self):
        for step in (self.set_up, self.connections, self.attack, self.quarantine, self.release):
            step()
        print()
        if surprises:
            print(paint("red", f"{len(surprises)} things were not as they should be: ") +
                  "; ".join(surprises))
            return 1
        print(paint("green", "Everything was as it should be.") + " Nothing is left behind.")
        return 0


testing.start()
sys.exit(Demo().run())

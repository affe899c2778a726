#!/usr/bin/python3
"""Ways out of a quarantine for a container with every capability: its own qdiscs and programs, raw
frames of any kind, other devices upon its interface, the interface in another network namespace,
sockets from before in another pod's hands. Each way carries a mark, which is looked for on the node's
bridge; before the quarantine it is found there, so that the test can fail."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from detect_deeds import STRICT, findings
from node import Node, namespace, network_policy
from testing import check, equal, part, wait_until
from traffic import is_allowed

PRELUDE = """
import os, socket, struct, subprocess, sys, time
def attempt(fn, *args):
    try:
        return fn(*args)
    except OSError as e:
        print(fn, e)
def sh(text):
    r = subprocess.run(["/bin/sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if r.returncode:
        print(text, r.stdout)
def frame(kind, body, to=b"\\xff" * 6):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((os.environ.get("DEV", "eth0"), 0))
    return s.send(to + MAC + struct.pack("!H", kind) + body)
def udp(**how):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return s.sendto(MARK, (OTHER, 53))
"""
# the mark in a datagram, with all headers by hand
HEADERS = """
def packet(src, dst, payload, proto=17):
    body = struct.pack("!HHHH", 5353, 53, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, proto, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    total = sum(struct.unpack("!10H", head))
    total = (total >> 16) + (total & 0xffff)
    head = head[:10] + struct.pack("!H", 0xffff - total - (total >> 16)) + head[12:]
    return head + body
"""
WAYS = {
    "an ordinary datagram": "attempt(udp)",
    "without qdiscs and programs of its own": "sh('tc qdisc del dev eth0 clsact; tc qdisc del dev eth0 root; "
                                              "tc qdisc add dev eth0 root noqueue; ip link set eth0 xdp off'); attempt(udp)",
    "a header of its own": "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)"
                           ".sendto(packet(OWN, OTHER, MARK), (OTHER, 0)))",
    "a raw frame": "attempt(frame, 0x0800, packet(OWN, OTHER, MARK), PEER)",
    "a raw frame to all": "attempt(frame, 0x0800, packet(OWN, '255.255.255.255', MARK))",
    "an unknown protocol": "attempt(frame, 0x88b5, MARK + b'\\0' * 40)",
    "a tag around it": "attempt(frame, 0x8100, b'\\0\\1\\x08\\0' + packet(OWN, OTHER, MARK), PEER)",
    "two tags around it": "attempt(frame, 0x88a8, b'\\0\\1\\x81\\0\\0\\2\\x08\\0' + packet(OWN, OTHER, MARK), PEER)",
    "IPv6 to all nodes": "attempt(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)"
                         ".sendto(MARK, ('ff02::1', 53, 0, socket.if_nametoindex('eth0'))))",
    "ARP with a trailer": "attempt(frame, 0x0806, b'\\0\\1\\x08\\0\\6\\4\\0\\1' + MAC + socket.inet_aton(OWN) + b'\\0' * 6 + "
                          "socket.inet_aton(OTHER) + MARK)",
    "another address": "sh('ip addr add 10.77.123.45/16 dev eth0')\n"
                       "attempt(frame, 0x0800, packet('10.77.123.45', OTHER, MARK), PEER)",
    "a device upon its own": "sh('ip link add m0 link eth0 type macvlan mode bridge; ip link set m0 up; "
                             "ip addr add 10.77.123.46/16 dev m0')\nos.environ['DEV'] = 'm0'\n"
                             "attempt(frame, 0x0800, packet('10.77.123.46', OTHER, MARK), PEER)",
    "a tunnel": "sh('ip link add x0 type vxlan id 7 remote ' + OTHER + ' dstport 4789 dev eth0; ip link set x0 up; "
                "ip addr add 192.168.77.1/24 dev x0; ip neigh add 192.168.77.2 lladdr 02:00:00:00:00:01 dev x0')\n"
                "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(MARK, ('192.168.77.2', 53)))",
    "a device upon the node's": "for i in range(1, 17):\n"
                                "    sh('ip link add link if%d name n%d link-netnsid 0 type macvlan mode bridge && ip link set n%d up' % (i, i, i))\n"
                                "    os.environ['DEV'] = 'n%d' % i\n"
                                "    attempt(frame, 0x0800, packet(OWN, OTHER, MARK), PEER)",
    "its interface in another namespace":
        "p = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo; read x; ip addr add ' + OWN + '/16 dev eth0; ip link set eth0 up; "
        "ip neigh replace ' + OTHER + ' lladdr ' + PEER.hex(':') + ' dev eth0; python3 -c \"import socket; "
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(bytes.fromhex(\\\\\\\"' + MARK.hex() + '\\\\\\\"), "
        "(\\\\\\\"' + OTHER + '\\\\\\\", 53))\"'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); sh('ip link set eth0 netns %d' % p.pid); p.communicate(b'\\n')",
}


# what a pod that is free may do: the mark arrives
PASS = ("an ordinary datagram", "without qdiscs and programs of its own", "a header of its own", "a raw frame",
        "a tunnel", "a device upon the node's", "its interface in another namespace")
AGAIN = "for i in range(1, 17):\n    sh('ip link set n%d up' % i)\n    os.environ['DEV'] = 'n%d' % i\n" \
        "    attempt(frame, 0x0800, packet(OWN, OTHER, MARK), PEER)"


class Watch:
    """What arrives at the other pod, or at the node."""

    def __init__(self, node, other, marks):
        self.at = [(other.agent, "eth0"), (node.agent(), "br0")]
        self.at = [(agent, agent.call("sniff_start", marks=marks, interface=name)) for agent, name in self.at]

    def count(self, mark):
        states = [agent.call("sniff_state", sniffer=ident)["counts"] for agent, ident in self.at]
        return sum(n for counts in states for name, n in counts.items() if name.startswith(mark))


def way_out(box, text, pod, other, mark):
    """Does it; what it said."""
    names = (f"OWN, OTHER, MARK = '{pod.ip4}', '{other.ip4}', bytes.fromhex('{mark}')\n"
             f"MAC, PEER = (bytes.fromhex(x) for x in ('{pod.mac.replace(':', '')}', '{other.mac.replace(':', '')}'))\n")
    box.sh("cat > /tmp/it.py <<'END'\n" + PRELUDE + names + HEADERS + text + "\nEND")
    return box.sh("python3 /tmp/it.py 2>&1")[1]


def before(node, other, watch, marks):
    for what in PASS:
        pod = node.pod("q", f"free{len(marks)}")
        box = Container(pod)
        said = way_out(box, WAYS[what], pod, other, marks[what])
        wait_until(lambda w=what: watch.count(marks[w]), 15, f"the mark of {what}: {said}")
        check(True, f"a pod that is free: {what} arrives")
        box.stop()
        pod.delete()


def quarantined(node, other, watch, marks):
    for i, what in enumerate(WAYS):
        pod = node.pod("q", f"caught{i}")
        box = Container(pod)
        node.ask("quarantine", pod.name, "--reason", "test")
        said = way_out(box, WAYS[what], pod, other, marks[what])
        equal(other.node.home.reach("udp", other.ip4, 53), "open", f"quarantined, {what}: the way is free for others")
        equal(watch.count(marks[what]), 0, f"quarantined, {what}: nothing arrives")
        check("Traceback" not in said, f"quarantined, {what}: it was tried", said[:300])
        box.stop()
        node.ask("release", pod.name, "--reason", "test")
        pod.delete()


def made_before(node, other, watch, free, marks):
    """Its devices upon the node's are set down, and it sets them up again."""
    way = "a device upon the node's"
    pod = node.pod("q", "prepared")
    box = Container(pod)
    way_out(box, WAYS[way], pod, other, free[way])
    node.ask("quarantine", pod.name, "--reason", "test")
    for text in (AGAIN.replace("sh(", "str("), AGAIN):
        said = way_out(box, text, pod, other, marks[way])
        equal(other.node.home.reach("udp", other.ip4, 53), "open", "made before: the way is free for others")
        equal(watch.count(marks[way]), 0, "made before: nothing arrives")
        check("Traceback" not in said, "made before: it was tried", said[:300])
    equal(box.sh("ip link show type veth 2> /dev/null | grep -c eth0")[1].strip(), "1", "made before: its own interface is there")
    node.restart()
    way_out(box, WAYS[way], pod, other, marks[way])
    equal(watch.count(marks[way]), 0, "made before: nor when the daemon was restarted")
    node.ask("release", pod.name, "--reason", "test")
    equal(pod.agent.reach("udp", other.ip4, 53), "open", "made before: released")
    box.stop()
    pod.delete()


def detached(node, other):
    """bpf() is for whoever has CAP_SYS_ADMIN on the node: it can take our programs away, not for long."""
    pod = node.pod("q", "detaches")
    box = Container(pod)
    node.ask("quarantine", pod.name, "--reason", "test")
    for direction in ("ingress", "egress"):
        pin = node.link_pin(pod).replace("-ingress", f"-{direction}")
        r = testing.run("bpftool", "-j", "link", "show", "pinned", pin, check=False)
        took, said = box.sh(f"bpftool link detach id {json.loads(r.stdout)['id']}")
        equal(took, 0, f"detached: the {direction} program {said}")
    wait_until(lambda: not is_allowed(other.agent.probe("udp", pod.ip4, 9, timeout=0.3)), 3, "the programs are back")
    check(True, "detached: nothing reaches the pod a moment later")
    wait_until(lambda: ("bpf", 4) in [f[:2] for f in findings(node, pod.name)], 15, "a finding")
    check(True, "detached: it is told, gravely")


def main():
    node = Node(config=STRICT).start()
    node.home = node.agent()
    node.write("world.yaml", namespace("q"),
               network_policy("q", "open", None, ["Ingress", "Egress"], ingress=[{}], egress=[{}]))
    node.sync()
    other = node.pod("q", "other", listen=("80/tcp", "53/udp"))
    marks = {what: (b"bh-way-out-%02d" % i).hex() for i, what in enumerate(WAYS)}
    free = {what: (b"bh-let-out-%02d" % i).hex() for i, what in enumerate(WAYS)}
    watch = Watch(node, other, [*marks.values(), *free.values()])
    with part("before"):
        before(node, other, watch, free)
    with part("quarantined"):
        quarantined(node, other, watch, marks)
    with part("made before"):
        made_before(node, other, watch, free, marks)
    with part("detached"):
        detached(node, other)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

#!/usr/bin/python3
"""Frames that a pod makes by itself: forged addresses, router advertisements, VLAN tags, fragments,
source routes, foreign ARP, truncated headers. None may arrive anywhere but where a rule allows it.

Each frame carries a mark; a sniffer in every other pod and on the node looks for it. After each batch
a fence, an honest frame over the same path, says that everything before it has been decided."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, namespace, network_policy, pods_peer, ports
from testing import check, equal, part, wait_until
from traffic import comes_true

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption, IPOption_LSRR, IPOption_SSRR, fragment
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,
                                ICMPv6ND_Redirect, ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo,
                                ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, IPv6ExtHdrRouting)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

BROADCAST = "ff:ff:ff:ff:ff:ff"
BY_POLICY = ("policy-deny", "default-deny", "process", "process-unknown", "expired")


class Range:
    """Sends crafted frames from one pod and looks for them everywhere else."""

    def __init__(self, node, pod, friend, narrow, foe):
        self.node, self.pod = node, pod
        self.friend, self.narrow, self.foe = friend, narrow, foe
        self.home = node.agent()
        self.gateway = json.loads(node.sh("ip -j link show br0"))[0]["address"]
        self.sniffers = []
        for agent, name in ((friend.agent, "friend"), (narrow.agent, "narrow"),
                            (foe.agent, "foe")):
            self.sniffers.append((agent, name, agent.call("sniff_start", marks=[],
                                                          interface="eth0")))
        # on the node: whatever comes out of the pod's own veth has been decided; look behind it
        self.sniffers.append((self.home, "bridge", self.home.call("sniff_start", marks=[],
                                                                  interface="br0")))

    def l2(self, dst=None, src=None, **kw):
        return Ether(src=src or self.pod.mac, dst=dst or self.foe.mac, **kw)

    def watch(self, mark):
        for agent, _, s in self.sniffers:
            agent.call("sniff_mark", sniffer=s, mark=mark)

    def seen(self, mark):
        out = set()
        for agent, name, s in self.sniffers:
            counts = agent.call("sniff_state", sniffer=s)["counts"]
            if any(k.startswith(mark + "@") for k in counts):
                out.add(name)
        return out

    def send(self, *frames):
        return self.pod.agent.call("frames", interface="eth0",
                                   frames=[bytes(f).hex() for f in frames])

    def fence(self):
        """An allowed datagram; everything sent before it has been decided when it arrives."""
        mark = os.urandom(12)
        self.watch(mark.hex())
        self.send(self.l2(self.friend.mac) / IP(src=self.pod.ip4, dst=self.friend.ip4) /
                  UDP(sport=4000, dport=53) / Raw(mark))
        wait_until(lambda: "friend" in self.seen(mark.hex()), 10, "the fence")

    def batch(self, rows):
        """rows: (name, function of a mark that gives frames). None may be seen anywhere."""
        marks = {}
        for name, make in rows:
            mark = os.urandom(12)
            self.watch(mark.hex())
            frames = make(mark)
            sent = self.send(*(frames if isinstance(frames, list) else [frames]))
            check(sent > 0, f"{name}: sent")
            marks[name] = mark.hex()
        self.fence()
        for name, mark in marks.items():
            equal(self.seen(mark), set(), f"{name}: arrives nowhere")

    def arrives(self, name, make, where):
        mark = os.urandom(12)
        self.watch(mark.hex())
        frames = make(mark)
        self.send(*(frames if isinstance(frames, list) else [frames]))
        self.fence()
        # the fence says that it was decided; each sniffer reads by itself
        check(comes_true(lambda: where in self.seen(mark.hex()), 10),
              f"{name}: arrives (the test can see)", lambda: self.seen(mark.hex()))


def datagram(mark, port=53):
    return UDP(sport=4000, dport=port) / Raw(mark)


def addresses(r):
    pod, friend = r.pod, r.friend
    to4, to6 = friend.ip4, friend.ip6
    return [
        ("another pod's IPv4", lambda m: r.l2(friend.mac) / IP(src=r.foe.ip4, dst=to4) /
         datagram(m)),
        ("an address of nobody", lambda m: r.l2(friend.mac) / IP(src="10.77.99.9", dst=to4) /
         datagram(m)),
        ("0.0.0.0", lambda m: r.l2(friend.mac) / IP(src="0.0.0.0", dst=to4) / datagram(m)),
        ("the node's address", lambda m: r.l2(friend.mac) / IP(src="10.77.255.254", dst=to4) /
         datagram(m)),
        ("loopback as source", lambda m: r.l2(friend.mac) / IP(src="127.0.0.1", dst=to4) /
         datagram(m)),
        ("another pod's IPv6", lambda m: r.l2(friend.mac) / IPv6(src=r.foe.ip6, dst=to6) /
         datagram(m)),
        ("v4-mapped IPv6", lambda m: r.l2(friend.mac) / IPv6(src=f"::ffff:{pod.ip4}", dst=to6) /
         datagram(m)),
        ("another pod's MAC", lambda m: r.l2(friend.mac, r.foe.mac) / IP(src=pod.ip4, dst=to4) /
         datagram(m)),
        ("a group MAC as source", lambda m: r.l2(friend.mac, "01:00:5e:00:00:01") /
         IP(src=pod.ip4, dst=to4) / datagram(m)),
        ("spoofed TCP SYN", lambda m: r.l2(friend.mac) / IP(src=r.foe.ip4, dst=to4) /
         TCP(sport=4000, dport=80, flags="S") / Raw(m)),
        ("spoofed ping", lambda m: r.l2(friend.mac) / IP(src=r.foe.ip4, dst=to4) / ICMP() /
         Raw(m)),
        ("RST for a connection of others", lambda m: r.l2(friend.mac) /
         IP(src=r.foe.ip4, dst=to4) / TCP(sport=80, dport=4000, flags="R") / Raw(m)),
    ]


def link_layer(r):
    pod, friend = r.pod, r.friend
    ip = IP(src=pod.ip4, dst=friend.ip4)
    return [
        ("VLAN tag", lambda m: r.l2(friend.mac) / Dot1Q(vlan=0) / ip / datagram(m)),
        ("VLAN tag 7", lambda m: r.l2(friend.mac) / Dot1Q(vlan=7) / ip / datagram(m)),
        ("two VLAN tags", lambda m: r.l2(friend.mac, type=0x88a8) / Dot1Q(vlan=1) /
         Dot1Q(vlan=2) / ip / datagram(m)),
        ("MPLS", lambda m: r.l2(friend.mac, type=0x8847) / Raw(b"\x00\x01\x01\x40" + bytes(ip) +
                                                               m)),
        ("LLDP", lambda m: r.l2("01:80:c2:00:00:0e", type=0x88cc) / Raw(m)),
        ("spanning tree", lambda m: r.l2("01:80:c2:00:00:00", type=40) /
         Raw(b"\x42\x42\x03" + m)),
        ("PPPoE", lambda m: r.l2(BROADCAST, type=0x8863) / Raw(m)),
        ("an ethertype of nobody", lambda m: r.l2(friend.mac, type=0x1234) / Raw(m)),
        ("ARP for the node's address", lambda m: r.l2(BROADCAST) /
         ARP(op=2, hwsrc=pod.mac, psrc="10.77.255.254", hwdst=BROADCAST, pdst=friend.ip4) /
         Raw(m)),
        ("ARP for another pod's address", lambda m: r.l2(friend.mac) /
         ARP(op=2, hwsrc=pod.mac, psrc=r.foe.ip4, hwdst=friend.mac, pdst=friend.ip4) / Raw(m)),
        ("gratuitous ARP for another", lambda m: r.l2(BROADCAST) /
         ARP(op=1, hwsrc=pod.mac, psrc=r.foe.ip4, pdst=r.foe.ip4) / Raw(m)),
        ("ARP with another's MAC", lambda m: r.l2(BROADCAST) /
         ARP(op=1, hwsrc=r.foe.mac, psrc=pod.ip4, pdst=friend.ip4) / Raw(m)),
        ("RARP", lambda m: r.l2(BROADCAST, type=0x8035) /
         Raw(bytes(ARP(op=3, hwsrc=pod.mac)) + m)),
    ]


def neighbours(r):
    pod, friend = r.pod, r.friend
    all_nodes = "33:33:00:00:00:01"
    ra = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=pod.mac) / \
        ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)
    local = "fe80::bad"
    return [
        ("router advertisement", lambda m: r.l2(all_nodes) / IPv6(src=local, dst="ff02::1",
                                                                   hlim=255) / ra / Raw(m)),
        ("router advertisement to one", lambda m: r.l2(friend.mac) /
         IPv6(src=pod.ip6, dst=friend.ip6, hlim=255) / ra / Raw(m)),
        ("router advertisement behind a header", lambda m: r.l2(all_nodes) /
         IPv6(src=local, dst="ff02::1", hlim=255) / IPv6ExtHdrHopByHop() / ra / Raw(m)),
        ("router advertisement in fragments", lambda m: r.l2(all_nodes) /
         IPv6(src=local, dst="ff02::1", hlim=255) / IPv6ExtHdrFragment(offset=0, m=1, id=7,
                                                                       nh=58) / ra / Raw(m)),
        ("advertisement of another's address", lambda m: r.l2(friend.mac) /
         IPv6(src=pod.ip6, dst=friend.ip6, hlim=255) /
         ICMPv6ND_NA(tgt=r.foe.ip6, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=pod.mac) / Raw(m)),
        ("advertisement from another's address", lambda m: r.l2(friend.mac) /
         IPv6(src=r.foe.ip6, dst=friend.ip6, hlim=255) /
         ICMPv6ND_NA(tgt=r.foe.ip6, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=pod.mac) / Raw(m)),
        ("solicitation with another's MAC", lambda m: r.l2(friend.mac) /
         IPv6(src=pod.ip6, dst=friend.ip6, hlim=255) / ICMPv6ND_NS(tgt=friend.ip6) /
         ICMPv6NDOptSrcLLAddr(lladdr=r.foe.mac) / Raw(m)),
        ("redirect", lambda m: r.l2(friend.mac) / IPv6(src=pod.ip6, dst=friend.ip6, hlim=255) /
         ICMPv6ND_Redirect(tgt=pod.ip6, dst=r.foe.ip6) / Raw(m)),
        ("IPv4 redirect", lambda m: r.l2(friend.mac) / IP(src=pod.ip4, dst=friend.ip4) /
         ICMP(type=5, code=1, gw=pod.ip4) / IP(src=friend.ip4, dst=r.foe.ip4) / Raw(m)),
        ("multicast", lambda m: r.l2("01:00:5e:00:00:fb") / IP(src=pod.ip4, dst="224.0.0.251") /
         datagram(m, 5353)),
        ("IPv6 multicast", lambda m: r.l2("33:33:00:00:00:fb") /
         IPv6(src=pod.ip6, dst="ff02::fb") / datagram(m, 5353)),
        ("broadcast", lambda m: r.l2(BROADCAST) / IP(src=pod.ip4, dst="255.255.255.255") /
         datagram(m, 67)),
        ("broadcast of the network", lambda m: r.l2(BROADCAST) /
         IP(src=pod.ip4, dst="10.77.255.255") / datagram(m, 137)),
    ]


def headers(r):
    pod, friend, narrow, foe = r.pod, r.friend, r.narrow, r.foe
    ip = IP(src=pod.ip4, dst=friend.ip4)
    ip6 = IPv6(src=pod.ip6, dst=friend.ip6)
    loose = IPOption_LSRR(routers=[foe.ip4])
    strict = IPOption_SSRR(routers=[foe.ip4])
    return [
        ("loose source route", lambda m: r.l2(friend.mac) /
         IP(src=pod.ip4, dst=friend.ip4, options=[loose]) / datagram(m)),
        ("strict source route", lambda m: r.l2(friend.mac) /
         IP(src=pod.ip4, dst=friend.ip4, options=[strict]) / datagram(m)),
        ("source route behind padding", lambda m: r.l2(friend.mac) /
         IP(src=pod.ip4, dst=friend.ip4, options=[IPOption(b"\x01"), loose]) / datagram(m)),
        ("routing header type 0", lambda m: r.l2(friend.mac) / ip6 /
         IPv6ExtHdrRouting(type=0, addresses=[foe.ip6]) / datagram(m)),
        ("routing header behind options", lambda m: r.l2(friend.mac) / ip6 /
         IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(type=0, addresses=[foe.ip6]) / datagram(m)),
        ("twenty extension headers", lambda m: r.l2(friend.mac) / chain(ip6, 20) / datagram(m)),
        ("hop-by-hop in the second place", lambda m: r.l2(friend.mac) / ip6 /
         IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / datagram(m)),
        ("a header length beyond the packet", lambda m: r.l2(friend.mac) /
         Raw(bytes([0x4f]) + bytes(ip)[1:] + m)),
        ("a total length beyond the packet", lambda m: r.l2(friend.mac) /
         IP(src=pod.ip4, dst=friend.ip4, len=1400) / datagram(m)),
        ("a total length too short", lambda m: r.l2(friend.mac) /
         IP(src=pod.ip4, dst=friend.ip4, len=21) / datagram(m)),
        ("IP version 5", lambda m: r.l2(friend.mac, type=0x0800) /
         Raw(bytes([0x55]) + bytes(ip / datagram(m))[1:])),
        ("IPv6 in an IPv4 ethertype", lambda m: r.l2(friend.mac, type=0x0800) /
         Raw(bytes(ip6 / datagram(m)))),
        # a later fragment may come first where some port of its protocol is allowed, not elsewhere
        ("a later fragment of nothing", lambda m: r.l2(foe.mac) /
         IP(src=pod.ip4, dst=foe.ip4, frag=100, id=77, proto=17) / Raw(m * 4)),
        ("a later fragment of a protocol without ports", lambda m: r.l2(narrow.mac) /
         IP(src=pod.ip4, dst=narrow.ip4, frag=100, id=77, proto=6) / Raw(m * 4)),
        ("a later IPv6 fragment of nothing", lambda m: r.l2(foe.mac) /
         IPv6(src=pod.ip6, dst=foe.ip6) / IPv6ExtHdrFragment(offset=100, id=78, nh=17) /
         Raw(m * 4)),
        ("a fragment that writes over the ports", lambda m: [
            r.l2(narrow.mac) / IP(src=pod.ip4, dst=narrow.ip4, flags="MF", id=80, proto=17) /
            Raw(bytes(UDP(sport=4000, dport=53, len=40)) + bytes(16)),
            r.l2(narrow.mac) / IP(src=pod.ip4, dst=narrow.ip4, frag=1, id=80, proto=17) /
            Raw(m * 2)]),
        ("a first fragment that hides its ports", lambda m: r.l2(friend.mac) /
         IP(src=pod.ip4, dst=friend.ip4, flags="MF", id=79, proto=6) / Raw(b"\x0f\xa0" + m[:6])),
        ("an ICMP error about nothing", lambda m: r.l2(foe.mac) / IP(src=pod.ip4, dst=foe.ip4) /
         ICMP(type=3, code=4) / IP(src=foe.ip4, dst="10.77.9.9") / UDP(sport=9, dport=9) /
         Raw(m)),
    ]


def chain(base, n):
    for _ in range(n):
        base = base / IPv6ExtHdrDestOpt()
    return base


def denied(r):
    """Honest packets to the pod that no rule names, in every dress."""
    pod, foe = r.pod, r.foe
    ip, ip6 = IP(src=pod.ip4, dst=foe.ip4), IPv6(src=pod.ip6, dst=foe.ip6)
    return [
        ("UDP", lambda m: r.l2() / ip / datagram(m)),
        ("UDP over IPv6", lambda m: r.l2() / ip6 / datagram(m)),
        ("SYN", lambda m: r.l2() / ip / TCP(sport=4001, dport=80, flags="S") / Raw(m)),
        ("ACK out of nothing", lambda m: r.l2() / ip / TCP(sport=4002, dport=80, flags="A") /
         Raw(m)),
        ("SYN and ACK", lambda m: r.l2() / ip / TCP(sport=80, dport=4003, flags="SA") / Raw(m)),
        ("RST", lambda m: r.l2() / ip / TCP(sport=4004, dport=80, flags="R") / Raw(m)),
        ("all flags", lambda m: r.l2() / ip / TCP(sport=4005, dport=80, flags="FSRPAU") / Raw(m)),
        ("no flags", lambda m: r.l2() / ip / TCP(sport=4006, dport=80, flags=0) / Raw(m)),
        ("ping", lambda m: r.l2() / ip / ICMP() / Raw(m)),
        ("ping over IPv6", lambda m: r.l2() / ip6 / ICMPv6EchoRequest(data=m)),
        ("UDP in fragments", lambda m: [r.l2() / f for f in
                                        fragment(ip / datagram(m * 80), fragsize=400)]),
        ("fragments to another port", lambda m: [r.l2(r.narrow.mac) / f for f in fragment(
            IP(src=pod.ip4, dst=r.narrow.ip4, id=82) / datagram(m * 80, 54), fragsize=400)]),
        ("GRE", lambda m: r.l2() / IP(src=pod.ip4, dst=foe.ip4, proto=47) / Raw(b"\0" * 4 + m)),
        ("IP in IP", lambda m: r.l2() / ip / ip / datagram(m)),
        ("to the pod's MAC with the friend's address",
         lambda m: r.l2(foe.mac) / IP(src=pod.ip4, dst=r.friend.ip4) / datagram(m)),
        ("behind the node", lambda m: r.l2(r.gateway) / ip / datagram(m)),
    ]


def main():
    node = Node().start()
    node.write("world.yaml", namespace("s"),
               network_policy("s", "pod", {"app": "pod"}, ["Egress"],
                              egress=[{"to": [pods_peer(app="friend")]},
                                      {"to": [pods_peer(app="narrow")], "ports": ports("53/UDP")}]),
               network_policy("s", "in", {"role": "peer"}, ["Ingress", "Egress"], ingress=[{}],
                              egress=[{}]))
    node.sync()
    friend, narrow, foe = (
        node.pod("s", n, {"app": n, "role": "peer"}, listen=("80/tcp", "53/udp"))
        for n in ("friend", "narrow", "foe"))
    pod = node.pod("s", "pod", {"app": "pod"})
    r = Range(node, pod, friend, narrow, foe)
    with part("what is allowed does arrive"):
        udp = IP(src=pod.ip4, dst=friend.ip4)
        r.arrives("UDP", lambda m: r.l2(friend.mac) / udp / datagram(m), "friend")
        r.arrives("UDP with IP options", lambda m: r.l2(friend.mac) /
                  IP(src=pod.ip4, dst=friend.ip4, options=[IPOption(b"\x01")]) / datagram(m),
                  "friend")
        r.arrives("UDP behind destination options", lambda m: r.l2(friend.mac) /
                  IPv6(src=pod.ip6, dst=friend.ip6) / IPv6ExtHdrDestOpt() / datagram(m), "friend")
        r.arrives("fragments", lambda m: [r.l2(friend.mac) / f for f in
                                          fragment(udp / datagram(m * 80), fragsize=400)], "friend")
        r.arrives("fragments to an allowed port", lambda m: [
            r.l2(narrow.mac) / f for f in fragment(
                IP(src=pod.ip4, dst=narrow.ip4, id=81) / datagram(m * 80), fragsize=400)], "narrow")
        r.arrives("fragments backwards", lambda m: [
            r.l2(narrow.mac) / f for f in reversed(fragment(
                IP(src=pod.ip4, dst=narrow.ip4, id=83) / datagram(m * 80), fragsize=400))],
                  "narrow")
    with part("forged addresses"):
        r.batch(addresses(r))
    with part("link layer"):
        r.batch(link_layer(r))
    with part("neighbours and multicast"):
        r.batch(neighbours(r))
    with part("headers"):
        r.batch(headers(r))
    with part("denied by policy"):
        r.batch(denied(r))
    with part("nothing was fooled"):
        table = friend.sh("ip neigh show dev eth0") + foe.sh("ip neigh show dev eth0")
        wrong = [line for line in table.splitlines()
                 if pod.mac in line and not line.startswith((pod.ip4, pod.ip6, "fe80:"))]
        equal(wrong, [], "no neighbour table has the pod's MAC for a foreign address")
        check("2001:db8:bad" not in friend.sh("ip -6 addr; ip -6 route"), "no forged prefix")
        drops = {d["reason"]: d["packets"] for d in node.ask("status")["drops"]}
        for reason in ("spoofed-ip", "spoofed-mac", "vlan", "ethertype", "arp", "nd",
                       "router-advertisement", "multicast", "source-route", "malformed",
                       "fragment-orphan", "icmp-orphan"):
            check(drops.get(reason, 0) > 0, f"counted under {reason}", drops)
        check(pod.agent.probe("tcp", friend.ip4, 80) == "open", "the honest pod still works")
        flows = node.ask("flows", "--pod", "s/pod", "--verdict", "denied")["flows"]
        check(len(flows) > 10, "the attempts are in flows", len(flows))
        blamed = [f for f in flows if f["rule"] and f["reason"] not in BY_POLICY]
        equal(blamed, [], "flows: no rule is named where none decided")


testing.start()
testing.main(main)

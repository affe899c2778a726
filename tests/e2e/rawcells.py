"""Whole matrices as frames written straight to the pods' interfaces, past every socket: what the
packet programs alone let through. TCP SYN, UDP, SCTP INIT and echo requests, both families.

The receivers' interfaces are listened on; a frame is known by its random mark. Checksums of layer 4 are
wrong on purpose, so that no stack answers. After its cells every source sends every target an ARP
request with a mark: it always passes, and when it is there, everything before it is too.
"""
import ipaddress
import os
import struct

import testing

PROTO = {"TCP": 6, "UDP": 17, "SCTP": 132, "ICMP": 1}
BAD_SUM = 0xdead
MARK_LEN = 8
FENCE_S = 20  # only frames that are lost take so long


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def sum16(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def layer4(proto, sport, dport, mark, v6):
    if proto == "TCP":
        return struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, 2, 65535, BAD_SUM, 0) + mark
    if proto == "UDP":
        return struct.pack("!HHHH", sport, dport, 8 + len(mark), BAD_SUM) + mark
    if proto == "SCTP":
        chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 7)
        return struct.pack("!HHII", sport, dport, 0, BAD_SUM) + chunk + mark
    return struct.pack("!BBHHH", 128 if v6 else 8, 0, BAD_SUM, sport, 1) + mark


def ip_packet(src, dst, proto, body):
    a, b = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if a.version == 6:
        number = 58 if proto == "ICMP" else PROTO[proto]
        return struct.pack("!IHBB", 6 << 28, len(body), number, 64) + a.packed + b.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, PROTO[proto], 0)
    total = sum16(head + a.packed + b.packed)
    return head[:10] + struct.pack("!H", total) + a.packed + b.packed + body


def frame(source, target, src, dst, proto, ports, mark):
    body = ip_packet(src, dst, proto, layer4(proto, ports[0], ports[1], mark, ":" in src))
    kind = b"\x86\xdd" if ":" in src else b"\x08\x00"
    return mac_bytes(target.mac) + mac_bytes(source.mac) + kind + body


def fence(source, target, mark):
    own, other = mac_bytes(source.mac), mac_bytes(target.mac)
    return other + own + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + \
        ipaddress.ip_address(source.ip4).packed + bytes(6) + \
        ipaddress.ip_address(target.ip4).packed + mark.ljust(18, b"\0")


class Shots:
    """One matrix: made, sent and read at once."""

    def __init__(self, pods):
        self.pods = pods
        self.by_source = {name: [] for name in pods}
        self.marks = {name: [] for name in pods}  # by target
        self.cells = {}  # mark > cell
        self.fences = {}  # target > marks
        self.port = 20000

    def new_mark(self, target):
        mark = os.urandom(MARK_LEN)
        self.marks[target].append(mark.hex())
        return mark

    def add(self, cell, source, target, proto, port, v6=False):
        a, b = self.pods[source], self.pods[target]
        self.port = self.port + 1 if self.port < 29999 else 20000
        mark = self.new_mark(target)
        src, dst = (a.ip6, b.ip6) if v6 else (a.ip4, b.ip4)
        self.by_source[source].append(
            frame(a, b, src, dst, proto, (self.port, port), mark).hex())
        self.cells[mark.hex()] = cell

    def add_fences(self):
        for source, a in self.pods.items():
            for target, b in self.pods.items():
                if source != target and self.by_source[source]:
                    mark = self.new_mark(target)
                    self.fences.setdefault(target, set()).add(mark.hex())
                    self.by_source[source].append(fence(a, b, mark).hex())

    def everywhere(self, do, args):
        """One request to the agents of all pods in args; {name: answer}."""
        begun = {n: self.pods[n].agent.begin(do, **a) for n, a in args.items()}
        return {n: self.pods[n].agent.wait(slot) for n, slot in begun.items()}

    def fire(self):
        """The set of cells that arrived. Raises TimeoutError when a fence did not."""
        self.add_fences()
        ids = self.everywhere("sniff_start", {n: {"marks": m, "interface": "eth0"}
                                              for n, m in self.marks.items() if m})
        listening = {n: {"sniffer": i} for n, i in ids.items()}
        self.everywhere("frames", {n: {"interface": "eth0", "frames": f}
                                   for n, f in self.by_source.items() if f})
        seen = {n: set() for n in listening}

        def all_fences():
            for n, state in self.everywhere("sniff_state", listening).items():
                seen[n] = {key.split("@")[0] for key in state["counts"]}
            return all(self.fences.get(n, set()) <= seen[n] for n in listening)
        try:
            testing.wait_until(all_fences, FENCE_S, "the last frame of every source")
        finally:
            self.everywhere("sniff_stop", listening)
        return {self.cells[m] for s in seen.values() for m in s if m in self.cells}

#!/usr/bin/python3
"""Names that pods ask for: seen in watch mode with type and answer, told once, counted whatever happens;
names that carry data are found, a resolver's ordinary life is not."""
import base64
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node, enter
from testing import check, equal, part, spawn

SERVER = "198.51.100.53"
SERVER6 = "2001:db8:53::53"

# answers every question with its own bytes: NXDOMAIN below "gone.", else no error
SERVE = """
import select, socket, sys
def answer(q):
    gone = b"\\4gone" in q
    if len(q) < 12:
        return q
    return q[:2] + bytes([q[2] | 0x80, 0x80 | (3 if gone else 0)]) + q[4:]
udp = [socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)]
udp[0].bind((sys.argv[1], 53)); udp[1].bind((sys.argv[2], 53))
tcp = socket.create_server((sys.argv[1], 53))
open_ = []
print("ready", flush=True)
while True:
    for s in select.select(udp + [tcp] + open_, [], [])[0]:
        if s in udp:
            q, who = s.recvfrom(4096)
            s.sendto(answer(q), who)
        elif s is tcp:
            open_.append(s.accept()[0])
        else:
            q = s.recv(4096)
            if q:
                s.sendall(q[:2] + answer(q[2:]))
            else:
                open_.remove(s)
                s.close()
"""

# asks for the names of a file: one "type proto name" a line; rate in questions a second, 0: at once
ASK = """
import socket, struct, sys, time
server, path, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
family = socket.AF_INET6 if ":" in server else socket.AF_INET
udp = socket.socket(family, socket.SOCK_DGRAM)
udp.settimeout(5)
for n, line in enumerate(open(path)):
    kind, proto, name = line.split()
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    q = struct.pack(">HHHHHH", n & 0xffff, 0x100, 1, 0, 0, 0) + labels + b"\\0" + \\
        struct.pack(">HH", int(kind), 1)
    if proto == "tcp":
        c = socket.create_connection((server, 53), 5)
        c.sendall(struct.pack(">H", len(q)) + q)
        c.recv(4096)
        c.close()
    elif proto == "mute":
        udp.sendto(q, ("198.51.100.99", 53))
    else:
        udp.sendto(q, (server, 53))
        udp.recv(4096)
    if rate:
        time.sleep(1 / rate)
"""


def ask(box, names, server=SERVER, rate=0):
    """names: (type, "udp"|"tcp"|"mute", name)"""
    with open(box.path("upper", "names"), "w") as f:
        f.writelines(f"{t} {p} {n}\n" for t, p, n in names)
    status, out = box.sh(f"python3 /ask.py {server} /names {rate}")
    equal(status, 0, f"{len(names)} questions" + (f": {out}" if status else ""))


def told(node, pod):
    node.ask("runtime")  # reads what waits in the rings
    r = node.cli("events", "--class", "dns", "--pod", pod, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def findings(node, pod):
    node.ask("runtime")
    r = node.cli("events", "--class", "finding", "--pod", pod, "-o", "json")
    return [(e["unmapped"]["bulkhead"]["detector"], e["message"])
            for e in map(json.loads, r.stdout.splitlines())]


def books(node, pod):
    b = next(p for p in node.ask("runtime")["pods"] if p["pod"] == pod)["books"]
    check(b["seen"] == b["delivered"] + b["deduplicated"] + b["deferred"] + b["lost"],
          "the books balance", b)
    return b


def container(node, name):
    box = Container(node.pod("shop", name))
    with open(box.path("upper", "ask.py"), "w") as f:
        f.write(ASK)
    return box


def seen(node):
    box = container(node, "asker")
    pod = box.pod.name
    ask(box, [(1, "udp", "www.Example.org"), (28, "udp", "www.example.org"),
              (16, "tcp", "text.example.org"), (1, "udp", "x.gone.example"),
              (1, "udp", "WWW.example.ORG")])
    ask(box, [(1, "udp", "six.example.org")], SERVER6)
    got = [(e["activity_name"], e["query"]["hostname"], e["query"]["type"],
            e["dst_endpoint"]["ip"], e["connection_info"]["protocol_name"], e.get("rcode"))
           for e in told(node, pod)]
    for want in (("Query", "www.example.org", "A", SERVER, "udp", None),
                 ("Response", "www.example.org", "A", SERVER, "udp", "NoError"),
                 ("Query", "www.example.org", "AAAA", SERVER, "udp", None),
                 ("Query", "text.example.org", "TXT", SERVER, "tcp", None),
                 ("Response", "text.example.org", "TXT", SERVER, "tcp", "NoError"),
                 ("Query", "x.gone.example", "A", SERVER, "udp", None),
                 ("Response", "x.gone.example", "A", SERVER, "udp", "NXDomain"),
                 ("Query", "six.example.org", "A", SERVER6, "udp", None)):
        equal(got.count(want), 1, f"told once: {' '.join(map(str, want))}")
    who = [e["actor"]["process"]["name"] for e in told(node, pod) if "actor" in e]
    check(not who or set(who) == {"python3"}, "who asked, where it is known", who)
    books(node, pod)


def tunnel(node):
    box = container(node, "tunnel")
    data = random.Random(1).randbytes(2400)
    chunks = [base64.b32encode(data[i:i + 30]).decode().strip("=").lower()
              for i in range(0, len(data), 30)]
    ask(box, [(16, "udp", f"{c[:40]}.{c[40:]}.t.tunnel.example") for c in chunks])
    got = findings(node, box.pod.name)
    check([f for f in got if f[0] == "dns-tunnel" and "tunnel.example" in f[1]],
          "names that carry data are found", got)
    books(node, box.pod.name)


def life(node):
    """Search domains, a CDN's names, signed zones, reverse names, the same question every moment."""
    box = container(node, "calm")
    r = random.Random(2)
    names = []
    for host in ("db", "cache", "api.partner.example", "www.debian.org"):
        for zone in ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local",
                     "eu-west-1.compute.internal", ""):
            names += [(t, "udp", f"{host}.{zone}".strip(".")) for t in (1, 28)]
    names += [(1, "udp", f"d{r.randrange(16 ** 13):013x}.cloudfront.example") for _ in range(12)]
    names += [(1, "udp", f"r{i}---sn-{r.randrange(36 ** 6):x}.video.example") for i in range(12)]
    names += [(t, "udp", z) for z in ("org", "debian.org", "www.debian.org") for t in (43, 48, 46)]
    names += [(12, "udp", f"{i}.0.77.10.in-addr.arpa") for i in range(40)]
    names += [(1, "udp", "db.shop.svc.cluster.local")] * 200
    ask(box, names)
    found = [f for f in findings(node, box.pod.name) if f[0] == "dns-tunnel"]
    equal(found, [], "no name is found to carry data")
    b = books(node, box.pod.name)
    check(b["deduplicated"] >= 199, "a question that repeats is told once", b)


def flood(node):
    """More names than the quota and the budget hold: each is in the books, and no other event of the
    pod suffers."""
    box = container(node, "flood")
    before = books(node, box.pod.name)
    ask(box, [(1, "mute", f"n{i}.flood.example") for i in range(3000)])
    after = books(node, box.pod.name)
    # python3 itself, what it opens and maps, comes on top
    check(after["seen"] - before["seen"] >= 3000, "all are seen", after)
    check(after["lost"] > 0 and after["overflow"] > 0, "what found no room is counted", after)
    box.sh("cp /bin/true /opt/late; /opt/late")
    check([f for f in findings(node, box.pod.name) if f[0] == "foreign-code"],
          "and what happens then is told as ever")


def odd(node):
    """Port 53 carries other things too: they pass, and are no names."""
    box = container(node, "odd")
    before = len(told(node, box.pod.name))
    status, _ = box.sh(
        "python3 -c 'import os, socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for n in range(0, 300, 3): s.sendto(os.urandom(n), (\"{SERVER}\", 53))\n"
        f"h = bytes(4) + b\"\\0\\1\" + bytes(6)\n"
        f"for q in (b\"\\xc0\\x0c\\0\\1\\0\\1\", b\"\\x40\" + b\"a\" * 70 + bytes(5), b\"\\1a\",\n"
        f"          (b\"\\x3f\" + b\"a\" * 63) * 5): s.sendto(h + q, (\"{SERVER}\", 53))'")
    equal(status, 0, "what is no DNS passes")
    equal(len(told(node, box.pod.name)), before, "and is not told")
    books(node, box.pod.name)


def modes(node):
    box = container(node, "modes")
    for mode, wanted in (("light", False), ("watch", True), ("off", False), ("learn", True)):
        node.ask("runtime", mode)
        name = f"{os.urandom(4).hex()}.mode.example"
        ask(box, [(1, "udp", name)])
        equal(bool([e for e in told(node, box.pod.name) if e["query"]["hostname"] == name]), wanted,
              f"{mode}: names are {'' if wanted else 'not '}told")
    node.ask("runtime", "watch")


def main():
    node = Node(default="kubernetes", config={"runtime": {"mode": "watch"}}).start()
    node.outside(SERVER, SERVER6)
    server = spawn([*enter(f"{node.prefix}-out"), "python3", "-c", SERVE, SERVER, SERVER6],
                   stdout=-1, text=True)
    server.stdout.readline()
    for name, fn in (("what is seen", seen), ("a tunnel", tunnel), ("ordinary life", life),
                     ("a flood", flood), ("not DNS", odd), ("modes", modes)):
        with part(name):
            fn(node)
    r = node.ask("runtime")
    equal((r["records"]["unnamed"], r["records"]["broken"]), (0, 0), "no stray record")


if __name__ == "__main__":
    testing.start()
    testing.main(main)

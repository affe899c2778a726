"""Row 5: how fast a pod under traffic is cut, and a thousand of its sockets with it."""
import json
import socket
import struct
import time

from fleet import measured_pods
from table import Row, median, quantile, spread, tail
from testing import end, wait_until

MAGIC, VERSION, HEADER = 0x31484b42, 1, struct.Struct("<IHHI")
CUT_US, SOCKETS, SOCKETS_MS = 1000, 1000, 20


def ask(path, verb, **args):
    """One verb over the control socket, without a command line in between: (result, Unix time in us
    just before it was sent)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(path)
        body = json.dumps({"verb": verb, "args": args}).encode()
        sent = time.time() * 1e6
        s.sendall(HEADER.pack(MAGIC, VERSION, 0, len(body)) + body)
        head = s.recv(HEADER.size, socket.MSG_WAITALL)
        reply = json.loads(s.recv(HEADER.unpack(head)[3], socket.MSG_WAITALL))
    if "error" in reply:
        raise RuntimeError(f"{verb}: {reply['error']['message']}")
    return reply["result"], sent


class Scene:
    """bench/client floods bench/server with datagrams; the server knows when the last one came."""

    def __init__(self, bed):
        self.fleet, self.path = bed.fleet, bed.node.socket
        self.client, self.server = measured_pods(bed.fleet)
        bed.fleet.add(self.client)
        bed.fleet.add(self.server)
        self.watch = bed.fleet.begin(self.server, "watch")
        self.flood = bed.fleet.begin(self.client, "flood", self.server.ip, waits=False)
        self.server_tcp = bed.fleet.begin(self.server, "serve_tcp")
        self.flows()

    def close(self):
        """No traffic, no pods: the other rows want a quiet node."""
        for p in (self.flood, self.watch, self.server_tcp):
            end(p)
        self.fleet.delete(self.client)
        self.fleet.delete(self.server)

    def last_us(self):
        self.watch.stdin.write("?\n")
        self.watch.stdin.flush()
        return float(self.watch.stdout.readline())

    def flows(self):
        start = time.time() * 1e6
        wait_until(lambda: self.last_us() > start, 5, "the flood")

    def cut(self):
        return ask(self.path, "quarantine", pod=self.client.full, reason="benchmark",
                   ttlSeconds=None, allow=[], kill=False, freeze=False, evidence=None)

    def release(self):
        ask(self.path, "release", pod=self.client.full, reason="benchmark")


def cuts(scene, n):
    """[(receipt, us from the command to the last datagram that the server received)]"""
    out = []
    for _ in range(n):
        scene.flows()
        receipt, sent = scene.cut()
        out.append((receipt, max(0.0, scene.last_us() - sent)))
        scene.release()
    return out


def by_nft(scene, n):
    """ms from the start of nft to the last datagram, with a rule in a table that was there."""
    fleet, out = scene.fleet, []
    fleet.sh("nft -f -", text="table inet cut {\nset pods { type ipv4_addr; }\n"
             "chain forward {\ntype filter hook forward priority 0;\n"
             "ip saddr @pods drop\nip daddr @pods drop\n}\n}\n")
    for _ in range(n):
        scene.flows()
        start = time.time() * 1e6
        fleet.sh(f"nft add element inet cut pods '{{ {scene.client.ip} }}'")
        out.append(max(0.0, scene.last_us() - start) / 1e3)
        fleet.sh(f"nft delete element inet cut pods '{{ {scene.client.ip} }}'")
    fleet.sh("nft delete table inet cut")
    return out


def hold(scene):
    """A thousand connections of the client's."""
    return scene.fleet.begin(scene.client, "hold", scene.server.ip, str(SOCKETS))


def forget(scene):
    """The server's ends, which no packet told that the others are gone."""
    scene.fleet.inside(scene.server, "ss", "-K", "-t", "dst", scene.client.ip)


def many_sockets(scene, n):
    """[(ms from the command to the end of the last socket, how many the receipt counts)]"""
    out = []
    for _ in range(n):
        p = hold(scene)
        receipt, sent = scene.cut()
        ended = float(p.stdout.readline())
        out.append(((ended - sent) / 1e3, receipt["socketsDestroyed"]))
        p.wait(5)
        scene.release()
        forget(scene)
        scene.flows()
    return out


def sockets_by_ss(scene, n):
    out = []
    for _ in range(n):
        p = hold(scene)
        start = time.time() * 1e6
        scene.fleet.inside(scene.client, "ss", "-K", "-t", "dst", scene.server.ip)
        out.append((float(p.stdout.readline()) - start) / 1e3)
        p.wait(5)
        forget(scene)
    return out


def measure(bed, quick, rows):
    row = rows[5] = Row(5, "Quarantine")
    scene = Scene(bed)
    found = cuts(scene, 20 if quick else 200)
    verdict = [r["verdictMicroseconds"] for r, _ in found]
    last = [r["lastPacketMicroseconds"] for r, _ in found]
    after = sum(r["packetsAfter"] for r, _ in found)
    row.add("the daemon has the command, to the flag in the kernel (receipt)", tail(verdict, "us"))
    row.add("to the last packet that passed (receipt)", tail(last, "us"),
            "p99 <= 1 ms", quantile(last, 0.99) <= CUT_US)
    row.add("command sent, to the last datagram the peer received", tail([u for _, u in found],
                                                                         "us"))
    row.add("packets after the cut, all receipts", str(after), "0", after == 0)
    times = many_sockets(scene, 3 if quick else 10)
    row.add(f"command sent, to the end of the last of {SOCKETS} sockets",
            spread([t for t, _ in times], "ms"), f"<= {SOCKETS_MS} ms",
            median([t for t, _ in times]) <= SOCKETS_MS)
    row.add("sockets destroyed (receipts)", spread([c for _, c in times]), f"{SOCKETS}",
            min(c for _, c in times) >= SOCKETS)
    row.compare(["the same by hand", "ms"],
                [["nft add element, to the last datagram", tail(by_nft(scene, 5 if quick else 20))],
                 [f"ss -K, to the end of the last of {SOCKETS} sockets",
                  spread(sockets_by_ss(scene, 2 if quick else 5))]])
    scene.close()
    row.note(f"Under a flood of datagrams from the pod, {bed.size(1000)} on the node.")

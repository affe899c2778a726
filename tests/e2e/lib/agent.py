#!/usr/bin/python3
"""The process inside a pod of a test: servers, probes, streams, raw frames.

Started in the pod's network namespace; reads one JSON request a line from stdin and answers each on
stdout with the same id. Requests run side by side in threads. Use traffic.Agent to talk to it.
"""
import collections
import errno
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import threading
import time

from sniffer import ETH_P_ALL, MAX_DATAGRAM, SO_TIMESTAMPNS, Sniffer, arrival
from tcpinfo import lost

IP_RECVERR, IPV6_RECVERR = 11, 25
PATIENCE_S = 10  # for a process to answer what its kernel has let in already
KEPT = 512       # arrivals that a stream remembers

lock = threading.Lock()


def reply(body):
    line = json.dumps(body) + "\n"
    with lock:
        sys.stdout.write(line)
        sys.stdout.flush()


def family_of(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def error_name(e):
    return errno.errorcode.get(e.errno, str(e)) if e.errno else type(e).__name__


# ---- servers ----

class Echo:
    """Echoes on any number of TCP and UDP ports; counts what reached it."""

    def __init__(self):
        self.poll = select.epoll()
        self.by_fd = {}
        self.seen = {}
        threading.Thread(target=self.loop, daemon=True).start()

    def listen(self, proto, host, port):
        """proto unix: port is the path of a socket, and there is no network."""
        if proto == "unix":
            s = socket.socket(socket.AF_UNIX)
            s.bind(port)
            s.listen()
            s.setblocking(False)
            return self.add(s, "tcp", port)
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        s = socket.socket(family_of(host), kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if s.family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((host, port))
        if proto == "tcp":
            s.listen(512)
        s.setblocking(False)
        return self.add(s, proto, port)

    def add(self, s, kind, port):
        self.by_fd[s.fileno()] = (s, kind, port)
        self.poll.register(s, select.EPOLLIN)

    def loop(self):
        while True:
            for fd, _ in self.poll.poll():
                try:
                    self.ready(*self.by_fd[fd])
                except OSError:
                    self.drop(fd)

    def drop(self, fd):
        s, kind, _ = self.by_fd[fd]
        if kind == "udp":
            return
        self.by_fd.pop(fd)
        s.close()

    def ready(self, s, kind, port):
        if kind == "tcp":
            peer, _ = s.accept()
            self.note("tcp", port)
            peer.setblocking(False)
            self.add(peer, "conn", port)
        elif kind == "udp":
            data, who = s.recvfrom(MAX_DATAGRAM)
            self.note("udp", port)
            s.sendto(data, who)
        else:
            data = s.recv(MAX_DATAGRAM)
            if not data:
                raise ConnectionResetError
            s.sendall(data)

    def note(self, proto, port):
        key = f"{port}/{proto}"
        self.seen[key] = self.seen.get(key, 0) + 1


def peer_of(s):
    try:
        return s.getpeername()[0]
    except (OSError, IndexError):  # gone; a Unix socket has no address
        return None


echo = None


def do_listen(ports, hosts=("0.0.0.0", "::")):
    global echo
    echo = echo or Echo()
    for proto, port in ports:
        for host in hosts:
            echo.listen(proto, host, port)
    return len(ports)


def do_seen():
    return dict(echo.seen) if echo else {}


def do_lost(peers=None):
    """Lost segments of all connections that the echo server holds, or of those with some addresses."""
    held = [s for s, kind, _ in list(echo.by_fd.values()) if kind == "conn"] if echo else []
    return sum(lost(s) for s in held if not peers or peer_of(s) in peers)


# ---- probes: one attempt each, all at once ----

def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Probe:
    """One connection attempt: result is "open", "refused", "timeout" or an errno's name. proto: tcp,
    udp, icmp, sctp, or raw with the protocol's number in place of the port."""

    def __init__(self, proto, addr, port, source=None):
        self.proto, self.addr, self.port = proto, addr, port
        self.result, self.sock = None, None
        self.token = os.urandom(8)
        try:
            self.begin(source)
        except OSError as e:
            self.fail(e)

    def begin(self, source):
        fam = family_of(self.addr)
        kind, number = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0),
                        "icmp": (socket.SOCK_RAW, 58 if fam == socket.AF_INET6 else 1),
                        "sctp": (socket.SOCK_RAW, 132),
                        "raw": (socket.SOCK_RAW, self.port)}[self.proto]
        self.sock = s = socket.socket(fam, kind, number)
        s.setblocking(False)
        if self.proto in ("sctp", "raw"):
            level, opt = ((socket.IPPROTO_IPV6, IPV6_RECVERR) if fam == socket.AF_INET6 else
                          (socket.IPPROTO_IP, IP_RECVERR))
            s.setsockopt(level, opt, 1)
        if source:
            s.bind((source, 0))
        has_port = self.proto in ("tcp", "udp")
        code = s.connect_ex((self.addr, self.port if has_port else 0))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        if self.proto != "tcp":
            self.send()

    def send(self):
        if self.proto == "udp":
            self.sock.send(self.token)
        elif self.proto == "icmp":
            self.sock.send(self.ping())
        elif self.proto == "raw":
            self.sock.send(self.token)
        else:
            self.sock.send(self.init())

    def ping(self):
        v6 = self.sock.family == socket.AF_INET6
        ident = int.from_bytes(self.token[:2], "big")
        head = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, ident, 1)
        body = head + self.token
        return body if v6 else head[:2] + struct.pack("!H", checksum(body)) + body[4:]

    def init(self):
        """An SCTP INIT; nobody listens, so what comes back is that nobody speaks it."""
        chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 7)
        ports = 1024 + int.from_bytes(self.token[:2], "big") % 60000
        head = struct.pack("!HHII", ports, self.port, 0, 0)
        crc = crc32c(head + chunk)
        return struct.pack("!HHI", ports, self.port, 0) + struct.pack("<I", crc) + chunk

    def fail(self, e):
        refused = (errno.ECONNREFUSED, errno.ENOPROTOOPT, errno.EPROTO)
        self.result = "refused" if e.errno in refused else error_name(e)

    def wants(self):
        return select.EPOLLOUT if self.proto == "tcp" and not self.writable else select.EPOLLIN

    writable = False

    def ready(self):
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            return self.fail(OSError(code, os.strerror(code)))
        try:
            if self.proto == "tcp" and not self.writable:
                self.writable = True
                self.sock.send(self.token)
                return None
            data = self.sock.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return None
        except OSError as e:
            return self.fail(e)
        if self.proto == "icmp":
            v6 = self.sock.family == socket.AF_INET6
            at = 0 if v6 else (data[0] & 15) * 4
            if data[at] != (129 if v6 else 0) or data[at + 8:at + 16] != self.token:
                return None
        self.result = "open" if data else "closed"
        return None


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def do_probe(targets, timeout=0.6):
    """targets: [proto, address, port, source?]. Datagrams are sent again while there is time. What came
    in time counts also when we look late; a connection that was let in has PATIENCE_S to answer."""
    probes = [Probe(*t) for t in targets]
    deadline = time.monotonic() + timeout
    again = time.monotonic() + timeout / 3
    poll = select.epoll()
    by_fd = {}
    for p in probes:
        if p.result is None:
            by_fd[p.sock.fileno()] = p
            poll.register(p.sock, p.wants())
    while by_fd and time.monotonic() < deadline:
        look(poll, by_fd, min(deadline, again) - time.monotonic())
        if time.monotonic() >= again:
            again += timeout / 3
            resend(by_fd.values())
    while by_fd and look(poll, by_fd, 0):
        continue
    for fd in [fd for fd, p in by_fd.items() if not p.writable]:
        poll.unregister(fd)
        del by_fd[fd]
    deadline = time.monotonic() + PATIENCE_S
    while by_fd and time.monotonic() < deadline:
        look(poll, by_fd, deadline - time.monotonic())
    results = [p.result or "timeout" for p in probes]
    for p in probes:
        if p.sock:
            p.sock.close()
    return results


def look(poll, by_fd, wait):
    """Goes on with whatever is ready within `wait` seconds; whether anything was."""
    events = poll.poll(max(0.001, wait) if wait else 0)
    for fd, _ in events:
        p = by_fd[fd]
        p.ready()
        if p.result is None:
            poll.modify(fd, p.wants())
        else:
            poll.unregister(fd)
            del by_fd[fd]
    return bool(events)


def resend(probes):
    for p in probes:
        if p.proto == "tcp":
            continue
        try:
            p.send()
        except OSError:
            pass  # the error comes again when the socket is read


# ---- streams: a conversation that goes on ----

class Stream(threading.Thread):
    """Sends a number every interval and expects it back, on one connection (or one UDP socket). Keeps
    when answers arrived, as the kernel says, whenever we come to read them."""

    def __init__(self, proto, addr, port, interval, size):
        super().__init__(daemon=True)
        self.proto, self.interval, self.size = proto, interval, size
        self.sent = self.echoed = self.top = 0
        self.error = None
        self.error_at = self.last = None
        self.max_gap = 0.0
        self.arrivals = collections.deque(maxlen=KEPT)
        self.stopping = threading.Event()
        kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
        family = socket.AF_UNIX if proto == "unix" else family_of(addr)
        self.sock = socket.socket(family, kind)
        self.sock.settimeout(2)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.connect(addr if proto == "unix" else (addr, port))
        if proto == "tcp":
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(0.05)
        self.start()

    def run(self):
        buf = b""
        due = time.monotonic()
        while not self.stopping.is_set() and not self.error:
            try:
                now = time.monotonic()
                if now >= due:
                    self.sent += 1
                    self.sock.sendall(struct.pack("!Q", self.sent).rjust(self.size, b"."))
                    due = now + self.interval
                self.sock.settimeout(max(0.001, due - time.monotonic()))
                data, extra, _, _ = self.sock.recvmsg(MAX_DATAGRAM, 128)
                if not data and self.proto != "udp":
                    raise ConnectionResetError(errno.ECONNRESET, "closed by the peer")
                self.arrivals.append(arrival(extra))
                buf += data
                while len(buf) >= self.size:
                    self.note(buf[:self.size])
                    buf = buf[self.size:]
            except socket.timeout:
                continue
            except OSError as e:
                self.error, self.error_at = error_name(e), time.time()

    def note(self, answer):
        self.top = max(self.top, struct.unpack("!Q", answer[-8:])[0])
        now = time.monotonic()
        if self.last is not None:
            self.max_gap = max(self.max_gap, now - self.last)
        self.last = now
        self.echoed += 1

    def state(self):
        quiet = time.monotonic() - self.last if self.last else None
        return {"sent": self.sent, "echoed": self.echoed, "error": self.error,
                "errorAt": self.error_at, "maxGap": self.max_gap, "quiet": quiet,
                "lost": lost(self.sock), "top": self.top}


streams = {}


def do_stream_open(proto, addr, port, interval=0.02, size=16):
    s = Stream(proto, addr, port, interval, size)
    streams[id(s)] = s
    return id(s)


def do_stream_state(stream):
    return streams[stream].state()


def do_stream_arrivals(stream):
    """Unix times of the latest answers."""
    return list(streams[stream].arrivals)


def do_stream_reset_gap(stream):
    streams[stream].max_gap = 0.0
    streams[stream].last = None


def do_stream_close(stream):
    s = streams.pop(stream)
    s.stopping.set()
    s.join(3)
    state = s.state()
    s.sock.close()
    return state


# ---- storms: packets at a peer from before the pod has an address ----

class Storm(threading.Thread):
    """UDP datagrams and TCP connection attempts at one address until stopped. Keeps how many succeeded
    and when, and of the very first one how many segments were lost; None: not known yet, -1: it failed."""

    def __init__(self, addr, udp_port, tcp_port, mark, pause):
        super().__init__(daemon=True)
        self.addr, self.udp_port, self.tcp_port = addr, udp_port, tcp_port
        self.mark, self.pause = bytes.fromhex(mark), pause
        self.stopping = threading.Event()
        self.sent = self.connected = 0
        self.errors = {}
        self.connected_at = []
        self.first = self.first_lost = None
        self.start()

    def run(self):
        udp = socket.socket(family_of(self.addr), socket.SOCK_DGRAM)
        pending = []
        while not self.stopping.is_set():
            for fn in (lambda: udp.sendto(self.mark, (self.addr, self.udp_port)),
                       lambda: self.syn(pending)):
                try:
                    fn()
                    self.sent += 1
                except BlockingIOError:
                    pass
                except OSError as e:
                    name = error_name(e)
                    self.errors[name] = self.errors.get(name, 0) + 1
            self.reap(pending)
            if self.pause:
                time.sleep(self.pause)
        for s in pending:
            s.close()
        udp.close()

    def syn(self, pending):
        s = socket.socket(family_of(self.addr), socket.SOCK_STREAM)
        s.setblocking(False)
        self.first = self.first or s
        code = s.connect_ex((self.addr, self.tcp_port))
        if code not in (0, errno.EINPROGRESS):
            self.note_first(s, -1)
            s.close()
            raise OSError(code, os.strerror(code))
        pending.append(s)

    def note_first(self, s, result):
        if s is self.first and self.first_lost is None:
            self.first_lost = result

    def reap(self, pending):
        _, writable, _ = select.select([], pending, [], 0)
        for s in writable:
            is_open = not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if is_open:
                self.connected += 1
                self.connected_at.append(time.monotonic())
            self.note_first(s, lost(s) if is_open else -1)
            pending.remove(s)
            s.close()
        while len(pending) > 64:
            self.note_first(pending[0], -1)
            pending.pop(0).close()


storms = {}


def do_storm_start(addr, udp_port, tcp_port, mark, pause=0.0005):
    s = Storm(addr, udp_port, tcp_port, mark, pause)
    storms[id(s)] = s
    return id(s)


def do_storm_state(storm):
    s = storms[storm]
    return {"sent": s.sent, "connected": s.connected, "errors": s.errors,
            "connectedAt": s.connected_at[-2000:], "firstLost": s.first_lost}


def do_storm_stop(storm):
    s = storms[storm]
    s.stopping.set()
    s.join(5)
    return do_storm_state(storm)


# ---- raw frames ----

def do_frames(interface, frames):
    """Sends whole Ethernet frames, hex. Returns how many the kernel took."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((interface, 0))
    taken = 0
    for f in frames:
        try:
            s.send(bytes.fromhex(f))
            taken += 1
        except OSError:
            pass
    s.close()
    return taken


sniffers = {}


def do_sniff_start(marks, interface=None, outgoing=False):
    s = Sniffer(interface, marks, outgoing)
    sniffers[id(s)] = s
    return id(s)


def do_sniff_state(sniffer):
    s = sniffers[sniffer]
    return {"counts": dict(s.counts), "last": dict(s.last), "frames": list(s.frames)}


def do_sniff_mark(sniffer, mark):
    sniffers[sniffer].marks[mark] = bytes.fromhex(mark)


def do_sniff_stop(sniffer):
    s = sniffers[sniffer]
    s.stopped_at = time.time()
    s.join(10)
    s.sock.close()
    return do_sniff_state(sniffer)


# ---- facts ----

def do_now():
    return time.monotonic()


def do_addresses():
    """Addresses of the interfaces as the kernel has them."""
    out = {}
    with open("/proc/net/if_inet6") as f:
        for line in f:
            raw, _, plen, _, _, name = line.split()
            out.setdefault(name, []).append(
                f"{ipaddress.ip_address(bytes.fromhex(raw))}/{int(plen, 16)}")
    return out


def serve(request):
    ident = request.pop("id")
    try:
        reply({"id": ident, "result": globals()["do_" + request.pop("do")](**request)})
    except Exception as e:
        name = error_name(e) if isinstance(e, OSError) else type(e).__name__
        reply({"id": ident, "error": name, "text": str(e)})


def main():
    for line in sys.stdin:
        threading.Thread(target=serve, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    main()
    os._exit(0)

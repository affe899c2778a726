"""Frames that arrive at an interface, and when the kernel took them in."""
import socket
import struct
import threading
import time

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
MAX_DATAGRAM = 65536


class Sniffer(threading.Thread):
    """Counts received frames that contain one of the marks, by mark and interface. What had arrived
    when it was stopped is counted."""

    def __init__(self, interface, marks, outgoing):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if interface:
            self.sock.bind((interface, 0))
        self.sock.settimeout(0.05)
        self.marks = {m: bytes.fromhex(m) for m in marks}
        self.outgoing = outgoing
        self.counts = {}
        self.last = {}
        self.frames = []
        self.stopped_at = None  # Unix time
        self.start()

    def run(self):
        while True:
            try:
                data, extra, _, who = self.sock.recvmsg(MAX_DATAGRAM, 128)
            except socket.timeout:
                if self.stopped_at:
                    return
                continue
            except OSError:
                return
            at = arrival(extra)
            if self.stopped_at and at > self.stopped_at:
                return
            if who[2] == socket.PACKET_OUTGOING and not self.outgoing:
                continue
            for name, mark in list(self.marks.items()):
                if mark in data:
                    key = f"{name}@{who[0]}"
                    self.counts[key] = self.counts.get(key, 0) + 1
                    self.last[key] = at
                    if len(self.frames) < 64:
                        self.frames.append([who[0], data[:256].hex()])


def arrival(extra):
    """Unix time at which the kernel took the frame."""
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            return seconds + nanoseconds / 1e9
    return time.time()

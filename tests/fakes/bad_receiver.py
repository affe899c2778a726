#!/usr/bin/python3
"""A receiver of webhooks on plain HTTP, and of syslog on plain TCP, with bad manners.

  bad_receiver.py HTTP_PORT SYSLOG_PORT DIR

DIR/mode says how it behaves, looked at for each connection and request (see MODES). Each body that is
answered with 2xx goes to DIR/got.jsonl as a line {"mode", "seqs"}. Syslog is read through a buffer
of 4 KiB, 8 KiB a second while the mode is slow_syslog; its messages go to DIR/syslog.jsonl."""
import json
import os
import re
import socket
import struct
import sys
import threading
import time

HTTP_PORT, SYSLOG_PORT, DIR = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
lock = threading.Lock()


def mode():
    with open(os.path.join(DIR, "mode")) as f:
        return f.read().strip()


def keep(name, what):
    with lock, open(os.path.join(DIR, name), "a") as f:
        f.write(json.dumps(what) + "\n")


def read_request(c, rest):
    """The next request's body and what follows it; None at the end."""
    while b"\r\n\r\n" not in rest:
        got = c.recv(65536)
        if not got:
            return None, b""
        rest += got
    head, rest = rest.split(b"\r\n\r\n", 1)
    n = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(rest) < n:
        got = c.recv(65536)
        if not got:
            return None, b""
        rest += got
    return rest[:n], rest[n:]


def drip(c, text, seconds):
    """A byte each tenth of a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for byte in text:
            c.sendall(bytes((byte,)))
            time.sleep(0.1)


def flood(c, text):
    while True:
        c.sendall(text * 1000)


# Answers that are none: the sender may not count what it sent as delivered.
MODES = {
    "drip": lambda c: drip(c, b"HTTP/1.1 200 OK\r\nX: ", 60),
    "headers": lambda c: flood(c, b"X-Long: " + b"y" * 100 + b"\r\n"),
    "continues": lambda c: flood(c, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "old": lambda c: c.sendall(b"welcome to the log server\n"),
    "redirect": lambda c: c.sendall(b"HTTP/1.1 307 x\r\nLocation: http://169.254.169.254/latest\r\n"
                                    b"Content-Length: 0\r\n\r\n"),
    "half": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"),
    "busy": lambda c: c.sendall(b"HTTP/1.1 503 x\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"),
    "closes": lambda c: None,
}


def serve(c):
    rest = b""
    if mode() == "reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return
    while True:
        body, rest = read_request(c, rest)
        if body is None:
            return
        how = mode()
        if how in MODES:
            MODES[how](c)
            return
        seqs = [e["chain"]["seq"] for e in json.loads(body)["events"]]
        keep("got.jsonl", {"mode": how, "seqs": seqs})
        if how == "endless":
            c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            flood(c, b"x")
        c.sendall(OK)


def http():
    listening = socket.create_server(("127.0.0.1", HTTP_PORT), backlog=64)
    while True:
        c, _ = listening.accept()
        threading.Thread(target=guarded, args=(serve, c), daemon=True).start()


def guarded(do, c):
    with c:
        try:
            do(c)
        except OSError:
            pass


def read_slowly(c):
    """One connection; whole messages are kept as their sequence numbers."""
    text = b""
    while True:
        got = c.recv(800)
        if not got:
            return
        text += got
        while b" " in text and len(text) >= (n := int(text.split(b" ", 1)[0])) + len(str(n)) + 1:
            start = len(str(n)) + 1
            event = json.loads(text[start:start + n].split(b"\xef\xbb\xbf", 1)[1])
            keep("syslog.jsonl", event["chain"]["seq"])
            text = text[start + n:]
        if mode() == "slow_syslog":
            time.sleep(0.1)


def syslog():
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listening.bind(("127.0.0.1", SYSLOG_PORT))
    listening.listen(8)
    while True:
        c, _ = listening.accept()
        threading.Thread(target=guarded, args=(read_slowly, c), daemon=True).start()


threading.Thread(target=http, daemon=True).start()
threading.Thread(target=syslog, daemon=True).start()
for port in (HTTP_PORT, SYSLOG_PORT):
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
print("ready", flush=True)
threading.Event().wait()

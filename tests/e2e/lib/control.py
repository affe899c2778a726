"""The daemon's control socket without the command line in between: frames of JSON."""
import json
import socket
import struct

MAGIC, VERSION = 0x31484b42, 1


def frame(body):
    data = json.dumps(body).encode()
    return struct.pack("<IHHI", MAGIC, VERSION, 0, len(data)) + data


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # waits while the backlog is full, which a time limit would prevent
    s.settimeout(5)
    return s


def read(s):
    """The next answer."""
    size = struct.unpack("<IHHI", s.recv(12, socket.MSG_WAITALL))[3]
    return json.loads(s.recv(size, socket.MSG_WAITALL))


def ask(s, verb, **args):
    s.sendall(frame({"verb": verb, "args": args}))
    return read(s)

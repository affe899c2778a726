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


def exactly(s, size):
    """A socket with a time limit gives what there is, with MSG_WAITALL too."""
    data = b""
    while len(data) < size:
        more = s.recv(size - len(data))
        if not more:
            raise ConnectionResetError("the daemon hung up")
        data += more
    return data


def read(s):
    """The next answer."""
    size = struct.unpack("<IHHI", exactly(s, 12))[3]
    return json.loads(exactly(s, size))


def ask(s, verb, **args):
    s.sendall(frame({"verb": verb, "args": args}))
    return read(s)

"""stuck_fs.py DIR DEVICE: a file system in which looking for a name takes as long as one likes, as when disk or
network are away: who looks neither ends nor stops meanwhile. FUSE, spoken by hand. Says "held NAME" when
somebody looks for NAME, and lets them go on (there is no such file) at "go NAME" on standard input; all of
them when it ends, however that comes about, for the kernel ends what waits for a server that is gone."""
import ctypes
import errno
import os
import select
import struct
import sys

HEADER = struct.Struct("=IIQQIIII")  # length, kind, number, node; the caller
ANSWER = struct.Struct("=IiQ")
ATTRIBUTES = struct.Struct("=QII 6Q 10I")
LOOKUP, FORGET, GETATTR, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 26, 36, 42
MAJOR, MINOR, PARALLEL_LOOKUPS = 7, 31, 1 << 18
DIRECTORY, SECONDS = 0o40755, 3600


def answer(fd, number, error=0, body=b""):
    try:
        os.write(fd, ANSWER.pack(ANSWER.size + len(body), -error, number) + body)
    except FileNotFoundError:
        pass  # whoever asked has gone


def serve(fd, held):
    request = os.read(fd, 1 << 16)
    _, kind, number, node, *_ = HEADER.unpack_from(request)
    if kind == LOOKUP:
        name = request[HEADER.size:].split(b"\0")[0].decode()
        held[name] = number
        print(f"held {name}", flush=True)
    elif kind == INIT:
        answer(fd, number, 0, struct.pack("=IIIIHHI", MAJOR, MINOR, 0, PARALLEL_LOOKUPS, 0, 0, 4096).ljust(64, b"\0"))
    elif kind == GETATTR and node == 1:
        answer(fd, number, 0, ATTRIBUTES.pack(SECONDS, 0, 0, 1, *[0] * 5, *[0] * 3, DIRECTORY, 2, *[0] * 5))
    elif kind not in (FORGET, BATCH_FORGET, INTERRUPT):
        answer(fd, number, errno.ENOSYS)


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    fd, held = os.open(sys.argv[2], os.O_RDWR), {}
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"stuck", sys.argv[1].encode(), b"fuse", 0, options.encode()):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    print("mounted", flush=True)
    while True:
        ready, _, _ = select.select([fd, sys.stdin.buffer.raw], [], [])
        if fd in ready:
            serve(fd, held)
            continue
        words = sys.stdin.buffer.raw.readline().decode().split()
        if not words:
            return
        answer(fd, held.pop(words[1]), errno.ENOENT)


main()

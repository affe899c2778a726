"""bulkhead-worker, driven as the daemon drives it: a socket as standard input, frames of JSON."""
import contextlib
import json
import os
import socket
import struct
import subprocess
import threading
import time

import testing as t

MAGIC, VERSION = 0x31484B42, 1
WORKER = os.path.join(t.BIN, "bulkhead-worker")


def frame(data):
    return struct.pack("<IHHI", MAGIC, VERSION, 0, len(data)) + data


class Worker:
    def __init__(self, mode="image"):
        self.socket, inner = socket.socketpair()
        self.process = subprocess.Popen([WORKER, mode], stdin=inner, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env={},
                                        preexec_fn=t.die_with_parent)
        inner.close()
        self.socket.settimeout(60)
        self.peak_kib = 0
        t.on_exit(self.kill)
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        """The peak of its memory, looked at while it lives."""
        with contextlib.suppress(OSError, KeyError, ValueError):
            while self.process.returncode is None:
                status = self.status()
                if status["Name"] == "bulkhead-worker":
                    peak = int(status["VmHWM"].split()[0])
                    self.peak_kib = max(self.peak_kib, peak)
                time.sleep(0.002)

    def kill(self):
        self.socket.close()
        if self.process.returncode is None:
            self.process.kill()
            self.end()

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def say(self, question):
        self.send(frame(json.dumps(question).encode()))

    def exactly(self, n):
        data = b""
        while len(data) < n:
            try:
                more = self.socket.recv(n - len(data))
            except ConnectionResetError:
                return None
            if not more:
                return None
            data += more
        return data

    def answer(self):
        """The next answer, None at the end."""
        head = self.exactly(12)
        return head and json.loads(self.exactly(struct.unpack("<IHHI", head)[3]))

    def end(self):
        """Waits for its end; its exit status."""
        return self.process.wait(60)

    def status(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

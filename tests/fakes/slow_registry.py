#!/usr/bin/python3
"""The registry that BH_SLOW_SERVE names, with every answer late and in pieces.

BH_SLOW_MS (30) is the wait before an answer, half of it lies between its pieces.
"""
import http.server
import os
import runpy
import time

WAIT_S = int(os.environ.get("BH_SLOW_MS", "30")) / 1000
PIECES = 3


class Dribble:
    """A connection's output that hands over big writes in pieces."""

    def __init__(self, inner):
        self.inner = inner

    def write(self, data):
        size = max(1, -(-len(data) // PIECES))
        # what endless answers write would take for ever in pieces
        if len(data) < 2 or len(data) >= 65536:
            return self.inner.write(data)
        for at in range(0, len(data), size):
            self.inner.write(data[at:at + size])
            self.inner.flush()
            time.sleep(WAIT_S / 2 / PIECES)
        return len(data)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def setup(self, plain=http.server.BaseHTTPRequestHandler.setup):
    plain(self)
    self.wfile = Dribble(self.wfile)


def parse_request(self, plain=http.server.BaseHTTPRequestHandler.parse_request):
    time.sleep(WAIT_S / 2)
    return plain(self)


http.server.BaseHTTPRequestHandler.setup = setup
http.server.BaseHTTPRequestHandler.parse_request = parse_request
runpy.run_path(os.environ["BH_SLOW_SERVE"], run_name="__main__")

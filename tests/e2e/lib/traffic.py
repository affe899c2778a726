"""Talks to the processes inside pods (agent.py) and names what came back."""
import json
import os
import subprocess
import threading

import testing

AGENT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "agent.py")
ALLOWED = ("open", "refused")  # what reaches a closed port was let through as well
PATIENCE_S = 10  # what is let through answers at once; on a busy machine its process is late
DENIED = ("timeout", "EPERM", "EACCES", "EHOSTUNREACH", "ENETUNREACH", "ECONNABORTED")


class AgentError(Exception):
    """The agent's system call failed; .name is the errno's name."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name


class Agent:
    """A helper process in a network namespace. enter: the command that gets there."""

    def __init__(self, enter, python="/usr/bin/python3", env=None):
        self.proc = testing.spawn([*enter, python, "-u", AGENT], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, env=env)
        self.lock = threading.Lock()
        self.waiting = {}
        self.next_id = 0
        threading.Thread(target=self.read, daemon=True).start()

    @property
    def pid(self):
        return self.proc.pid

    def read(self):
        for line in self.proc.stdout:
            body = json.loads(line)
            slot = self.waiting.pop(body["id"])
            slot["body"] = body
            slot["done"].set()
        for slot in list(self.waiting.values()):
            slot["body"] = {"error": "EOF", "text": "the agent is gone"}
            slot["done"].set()

    def begin(self, do, **args):
        slot = {"done": threading.Event()}
        with self.lock:
            self.next_id += 1
            self.waiting[self.next_id] = slot
            try:
                self.proc.stdin.write(json.dumps({"id": self.next_id, "do": do, **args}) + "\n")
                self.proc.stdin.flush()
            except (BrokenPipeError, ValueError):
                raise AgentError("EOF", "the agent is gone") from None
        return slot

    @staticmethod
    def wait(slot, patience=60):
        if not slot["done"].wait(patience):
            raise AgentError("ETIMEDOUT", "the agent does not answer")
        body = slot["body"]
        if "error" in body:
            raise AgentError(body["error"], body.get("text", ""))
        return body["result"]

    def call(self, do, patience=60, **args):
        return self.wait(self.begin(do, **args), patience)

    # ---- what tests say ----

    def listen(self, *ports, hosts=("0.0.0.0", "::")):
        """ports: "80/tcp", "53/udp". Echoes."""
        return self.call("listen", ports=[split(p) for p in ports], hosts=list(hosts))

    def probe(self, proto, addr, port=0, timeout=0.6):
        """One attempt: "open", "refused", "timeout", or the errno's name."""
        return self.call("probe", targets=[[proto, addr, port]], timeout=timeout)[0]

    def reach(self, proto, addr, port=0):
        """The same where an answer is expected: as long as a busy machine may take for it."""
        return self.probe(proto, addr, port, PATIENCE_S)

    def probes(self, targets, timeout=0.8):
        return self.call("probe", targets=targets, timeout=timeout)

    def is_whole(self, timeout=10, peers=None, spare=0):
        """True when the echo server's ends of connections lost no segment, or not more than spare.
        peers: only these addresses' connections."""
        return comes_true(lambda: self.call("lost", peers=peers) <= spare, timeout)

    def stream(self, proto, addr, port, interval=0.02):
        return Stream(self, self.call("stream_open", proto=proto, addr=addr, port=port,
                                      interval=interval))

    def stop(self):
        self.proc.stdin.close()
        testing.end(self.proc)


class Stream:
    """A conversation that goes on inside the agent."""

    def __init__(self, agent, ident):
        self.agent, self.ident = agent, ident

    def state(self):
        return self.agent.call("stream_state", stream=self.ident)

    def reset_gap(self):
        self.agent.call("stream_reset_gap", stream=self.ident)

    def arrivals(self):
        """When the latest answers arrived: Unix times, of the kernel where there is a network."""
        return self.agent.call("stream_arrivals", stream=self.ident)

    def close(self):
        return self.agent.call("stream_close", stream=self.ident)

    def is_whole(self, timeout=10, spare=0):
        """True when all that was sent until now came back, all but spare, and no segment of it had to be
        sent again because it was lost. Unlike a gap in time this does not depend on who got a processor
        when; there may always be some on their way."""
        sent = self.state()["sent"]

        def whole():
            s = self.state()
            return s["error"] or (s["top"] >= sent and s["echoed"] + spare >= s["top"] and
                                  s["lost"] <= spare)
        return comes_true(whole, timeout) is True

    def lives(self, timeout=PATIENCE_S):
        """True when it makes progress from now on."""
        before = self.state()["echoed"]
        try:
            testing.wait_until(lambda: self.state()["echoed"] > before + 1, timeout)
            return True
        except TimeoutError:
            return False

    def is_cut(self, quiet=0.5, timeout=PATIENCE_S):
        """True when nothing comes back any more: an error, or silence of `quiet` seconds."""
        def cut():
            s = self.state()
            return s["error"] or (s["quiet"] is not None and s["quiet"] >= quiet)
        try:
            testing.wait_until(cut, timeout)
            return True
        except TimeoutError:
            return False


def comes_true(fn, timeout):
    """wait_until that gives False instead of an exception."""
    try:
        return testing.wait_until(fn, timeout)
    except TimeoutError:
        return False


class Pace:
    """A conversation between the processes of two agents that passes no network: how long the machine
    itself keeps them from talking."""

    def __init__(self, client, server):
        path = os.path.join(testing.tempdir(), "pace")
        server.call("listen", ports=[["unix", path]], hosts=[""])
        self.stream = client.stream("unix", path, 0)

    def close(self):
        self.stream.close()


def split(port):
    """"80/tcp" > ["tcp", 80]"""
    number, proto = port.split("/")
    return [proto.lower(), int(number)]


def is_allowed(result):
    return result in ALLOWED

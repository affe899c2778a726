#!/usr/bin/python3
"""bulkhead-worker itself: what it cannot do, what it survives, how much memory it takes.

It is driven as the daemon drives it: a socket as standard input, one frame with a question.
"""
import base64
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import image_lib
from image_lib import r, t
from worker import MAGIC, VERSION, WORKER, Worker, frame

NOW = 1796083200


def question(w, *references, policy=None, **more):
    with open(policy or w.policy) as f:
        text = f.read()
    with open(w.key.public, "rb") as f:
        key = base64.b64encode(f.read()).decode()
    return frame(json.dumps({
        "images": [{"reference": ref} for ref in references], "now": NOW, "deadlineMs": 5000,
        "policies": {"documents": [{"file": "/p/policy.yaml", "text": text}],
                     "files": {"/p/k.pub": key}}, **more}).encode())


def ask(w, *references, **more):
    worker = Worker()
    worker.send(question(w, *references, **more))
    answers = [worker.answer() for _ in references]
    worker.end()
    return answers, worker


def judges(w):
    reg = w.start(r.serve(w.content))
    answers, worker = ask(w, f"{reg.host}/team/app:v1", f"{reg.host}/team/bare:v1", "::bad::")
    t.equal([a["verdict"] for a in answers], ["accept", "reject", "reject"], "a batch of three")
    t.equal(worker.process.returncode, 0, "then it ends")
    print(f"      peak {worker.peak_kib} KiB")


def confined(w):
    waiting = threading.Event()
    seen = threading.Event()

    def hang(_):
        seen.set()
        waiting.wait(60)
    reg = w.start(hang)
    worker = Worker()
    worker.send(question(w, f"{reg.host}/team/app:v1"))
    t.check(seen.wait(20), "it asks the registry")
    s = worker.status()
    t.equal(set(s["Uid"].split() + s["Gid"].split()), {"65534"}, "nobody")
    t.equal(s["Groups"].strip(), "", "no groups")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        t.equal(int(s[name], 16), 0, f"no capabilities: {name}")
    t.equal((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"), "no new privileges, filtered calls")
    with open(f"/proc/{worker.process.pid}/limits") as f:
        limits = f.read()
    t.check(f"Max data size             {64 << 20}" in limits, "64 MiB of memory", limits)
    fds = os.listdir(f"/proc/{worker.process.pid}/fd")
    t.check(len(fds) <= 8, "no descriptors of others", fds)
    begin = time.monotonic()
    answer = worker.answer()
    t.equal((answer["verdict"], answer["reason"]), ("undecided", "timeout"), "a hanging registry")
    t.check(time.monotonic() - begin < 15, "within the deadline")
    waiting.set()
    worker.end()


def refuses_nonsense(_):
    rows = {
        "nothing": b"", "no frame": b"GET / HTTP/1.1\r\n\r\n", "half a frame": frame(b"{}")[:13],
        "a huge length": struct.pack("<IHHI", MAGIC, VERSION, 0, 0xFFFFFFFF),
        "no object": frame(b"[]"), "an empty object": frame(b"{}"),
        "deep JSON": frame(b'{"a":' * 100000), "not JSON": frame(b"\xff" * 100),
        "no policies": frame(json.dumps({"images": [], "now": 0}).encode()),
    }
    for name, data in rows.items():
        worker = Worker()
        worker.send(data)
        worker.socket.shutdown(socket.SHUT_WR)
        answer = worker.answer()
        t.check(answer is None or "error" in answer, f"{name}: no verdict", answer)
        t.equal(worker.end(), 1, f"{name}: it ends")


def bombs(w):
    """Answers made to eat memory; whatever the verdict, it is given, and is no accept."""
    deep = b"[" * (3 << 20)
    wide = b'{"layers":[' + b"{}," * (1 << 20) + b"{}]}"
    for name, body in (("deep", deep), ("wide", wide), ("zeros", b"0" * (64 << 20))):
        def bomb(seen, body=body):
            if ".sig" in seen["path"] or "referrers" in seen["path"]:
                return 200, body, {"Content-Type": r.INDEX}
            return None
        reg = w.start(bomb, r.serve(w.content))
        answers, worker = ask(w, f"{reg.host}/team/bare:v1")
        t.check(answers[0] and answers[0]["verdict"] in ("reject", "undecided"), f"bomb: {name}",
                answers)
        t.check(worker.peak_kib < 96 << 10, f"bomb: {name}: memory", f"{worker.peak_kib} KiB")
        print(f"      peak {worker.peak_kib} KiB, {answers[0] and answers[0]['reason']}")
    many = r.Content()
    image = many.image("team/app", "v1")
    many.sign("team/app", image, lambda data: b"x" * 70, n=12000)
    reg = w.start(r.serve(many))
    begin = time.monotonic()
    answers, worker = ask(w, f"{reg.host}/team/app:v1")
    t.equal(answers[0]["verdict"], "reject", "12000 bad signatures")
    t.check(time.monotonic() - begin < 12, "in time")
    t.check(len(reg.seen) <= 200, "few requests", len(reg.seen))


def dies_with_its_parent(w):
    """A daemon that is killed leaves no worker behind."""
    waiting, seen = threading.Event(), threading.Event()

    def hang(_):
        seen.set()
        waiting.wait(60)
    reg = w.start(hang)
    ask_and_wait = ("import signal, sys; from worker import Worker; w = Worker(); "
                    "w.send(sys.stdin.buffer.read()); print(w.process.pid, flush=True); signal.pause()")
    parent = t.spawn([sys.executable, "-c", ask_and_wait], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.path.dirname(t.__file__)})
    parent.stdin.write(question(w, f"{reg.host}/team/app:v1", deadlineMs=60000))
    parent.stdin.close()
    pid = int(parent.stdout.readline())
    t.check(seen.wait(20), "a worker that waits for its registry")
    parent.kill()
    parent.wait()
    t.wait_until(lambda: is_gone(pid), 20, "the worker's end")
    waiting.set()
    t.check(True, "it dies with its parent")


def is_gone(pid):
    """Also when it is only waited for."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def run():
    w = image_lib.World()
    for fn in (judges, confined, refuses_nonsense, bombs, dies_with_its_parent):
        with t.part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    image_lib.enter()
    t.main(run)

#!/usr/bin/python3
"""The worker that asks the container runtime: what it makes of good answers, and that bad ones end in
one sentence, in time and within its memory.

It is driven as the daemon drives it: a socket as standard input, frames of JSON.
"""
import random
import socket
import time

import image_lib
import cri_runtime
from image_lib import t
from worker import Worker

D1, D2, ID1 = ("sha256:" + c * 64 for c in "12c")
LOOK = {"look": True}


class World:
    def __init__(self):
        self.folder = t.tempdir()
        self.runtime = cri_runtime.Runtime(self.folder + "/cri.sock")
        t.on_exit(self.runtime.close)

    def worker(self):
        w = Worker("cri")
        w.say({"socket": self.runtime.path})
        return w

    def look(self):
        """One look by a fresh worker."""
        w = self.worker()
        w.say(LOOK)
        answer = w.answer()
        w.kill()
        return answer


def reads(w):
    w.runtime.sandbox("s1", "prod", "web", "uid-1")
    w.runtime.images[ID1] = [f"r.example/app@{D1}", f"other.example/app@{D2}"]
    w.runtime.images["r.example/data:v1"] = [f"r.example/data@{D2}"]
    w.runtime.container("c1", "s1", name="main", image=ID1, wanted="r.example/app:v1",
                        image_id=ID1, image_ref=f"r.example/app@{D1}",
                        volumes=["r.example/data:v1"])
    w.runtime.container("c2", "s1", name="side", state="exited", image="r.example/side:v2",
                        image_id=D2, image_ref=D2)
    w.runtime.container("c3", "gone", image="x")
    worker = w.worker()
    worker.say(LOOK)
    answer = worker.answer()
    t.equal(answer["runtime"], "fake 2.1.9", "the runtime's name")
    rows = {c["id"]: c for c in answer["containers"]}
    t.equal(sorted(rows), ["c1", "c2"], "a container without its sandbox is left out")
    c1 = rows["c1"]
    created = w.runtime.containers["c1"]["created"] // 1000000
    t.equal(c1, {"id": "c1", "state": "running", "namespace": "prod", "pod": "web",
                 "uid": "uid-1", "sandbox": "s1", "name": "main", "createdMs": created,
                 "image": "r.example/app:v1", "imageId": ID1,
                 "digests": [f"r.example/app@{D1}", f"other.example/app@{D2}"],
                 "volumes": [{"image": "r.example/data:v1", "imageId": "r.example/data:v1",
                              "digests": [f"r.example/data@{D2}"]}]}, "all about a container")
    t.equal((rows["c2"]["image"], rows["c2"]["state"], rows["c2"]["digests"]),
            ("r.example/side:v2", "exited", []), "one whose image is gone")
    w.runtime.container("c4", "s1", image="r.example/new:v1", image_id=ID1)
    before = len(w.runtime.calls)
    worker.say(LOOK)
    rows = {c["id"]: c for c in worker.answer()["containers"]}
    t.equal(rows["c1"], {"id": "c1", "state": "running"}, "known ones are told once")
    t.equal(rows["c4"]["image"], "r.example/new:v1", "new ones as the first ones")
    t.equal(len(w.runtime.calls) - before, 4, "and nobody is asked about the known ones")
    w.runtime.remove("c1")
    worker.say(LOOK)
    worker.answer()
    w.runtime.container("c1", "s1", image="r.example/again:v1")
    worker.say(LOOK)
    rows = {c["id"]: c for c in worker.answer()["containers"]}
    t.equal(rows["c1"].get("image"), "r.example/again:v1", "one that went and came is told again")
    t.equal(w.runtime.complaints, [], "nothing that the protocols do not allow")


def many(w):
    for i in range(400):
        w.runtime.container(f"m{i}", "s1", image=f"r.example/m{i}:v1", image_id=ID1)
    worker = w.worker()
    worker.say(LOOK)
    t.equal(len(worker.answer()["containers"]), 403, "hundreds of containers")
    for i in range(400):
        w.runtime.remove(f"m{i}")


def fails(w):
    message, field = cri_runtime.message, cri_runtime.field

    def of(method, said):
        return lambda m, answer: said if m.endswith(method) else answer

    def status(number, content):
        return of("ContainerStatus", message(1, message(number, content)))
    big = {"raw": b"\0" + (20 << 20).to_bytes(4, "big") + bytes(20 << 20)}
    cases = (
        ("an error of the runtime", of("ListContainers", (13, "out%20of%0Aluck")),
         "status 13: out of?luck"),
        ("a method it does not have", of("ListPodSandbox", (12, "no")), "status 12"),
        ("20 MB", of("ListContainers", big), "longer than"),
        ("no trailers", of("ListContainers", {"raw": bytes(5), "trailers": False}), "not gRPC"),
        ("HTTP, but no gRPC", of("ListContainers", {"raw": b"<p>", "type": "text/html"}),
         "not gRPC"),
        ("an error of HTTP", of("ListContainers", {"http": "502", "raw": b""}), "not gRPC"),
        ("no message", of("ListContainers", {"raw": b"", "trailers": True}), "not one whole"),
        ("half a message", of("ListContainers", {"raw": b"\0\0\0\0\x09abc"}), "not one whole"),
        ("a compressed one", of("ListContainers", {"raw": b"\1\0\0\0\0"}), "not one whole"),
        ("bytes that are no message", of("ListContainers", b"\xff" * 40), "cannot be read"),
        ("text that is no UTF-8", status(8, field(18, b"\xff\xfe")), "image of container"),
        ("the same in a volume", status(14, message(9, field(20, b"r.example/x@\xff"))),
         "image volume"),
        ("no status", of("ContainerStatus", b""), "has no status"),
    )
    for name, fault, sentence in cases:
        w.runtime.fault = fault
        said = w.look()
        t.check(said and sentence in said.get("error", {}).get("message", "-"), name, said)
    w.runtime.fault = of("ListContainers", {"hang": True})
    begin = time.monotonic()
    said = w.look()
    took = time.monotonic() - begin
    # it is given 4 s; whoever waited for the runtime would wait for ever
    t.check("error" in said and took < 15, "one that hangs", (said, took))
    w.runtime.fault = None
    t.check("containers" in w.look(), "and all is well again")


def damaged(w):
    """Answers with a few bytes changed: read or refused, and the worker ends by itself."""
    rnd = random.Random(7)

    def damage(_, answer):
        data = bytearray(answer if isinstance(answer, bytes) else b"")
        for _ in range(rnd.randint(1, 3)):
            if data:
                data[rnd.randrange(len(data))] = rnd.randrange(256)
        return bytes(data)
    w.runtime.fault = damage
    codes = set()
    for _ in range(60):
        worker = w.worker()
        worker.say(LOOK)
        worker.answer()
        worker.socket.shutdown(socket.SHUT_WR)
        codes.add(worker.end())
    w.runtime.fault = None
    t.check(codes <= {0, 1}, "it never crashes", codes)


def ends(w):
    worker = w.worker()
    worker.say(LOOK)
    worker.answer()
    t.check("AF_UNIX" not in str(worker.status()), "it runs")
    status = worker.status()
    t.equal((status["Uid"].split()[0], status["CapEff"], status["Seccomp"]),
            ("65534", "0000000000000000", "2"), "without privilege")
    w.runtime.close()
    worker.say(LOOK)
    said = worker.answer()
    t.check(said and "error" in said, "the runtime is stopped: it says so and ends", said)
    t.equal(worker.end(), 1, "with an error")
    said = w.look()
    t.check("connect" in said.get("error", {}).get("message", ""), "nobody listens", said)
    w.runtime.listen()
    worker = w.worker()
    worker.say(LOOK)
    t.check("containers" in worker.answer(), "the runtime is back")
    worker.socket.close()
    t.equal(worker.process.wait(60), 0, "the daemon hangs up: it ends")


def run():
    w = World()
    for fn in (reads, many, fails, damaged, ends):
        with t.part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    image_lib.enter()
    t.main(run)

#!/usr/bin/python3
"""Many at once: a hundred pods of one image cost one verification; several registries that hang at the
same time hold up nobody who does not need them."""
import os
import sys
import threading
import time

import image_lib
from image_lib import add_all, r, t

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
from node import Node, namespace  # noqa: E402
from testing import check, equal, part, wait_until  # noqa: E402

N_PODS = 100
N_STUCK = 4  # registries
N_EACH = 6   # images that each of them is asked for


class World(image_lib.World):
    def __init__(self):
        super().__init__()
        self.node = Node(config={"images": {"mode": "enforce"},
                                 "http": {"listen": "127.0.0.1:9473"}}, portmap=False, dual=False)
        # a hundred at once take turns: on a slow machine the last one longer than the usual 10 s; and
        # who hangs does so until the daemon gives up, however late it was asked
        self.node.chain.conf["plugins"][-1]["timeoutSeconds"] = 60
        self.free = threading.Event()
        self.asked = []
        with image_lib.inside(self.node.netns):
            self.registry = self.start(r.serve(self.content))
            self.stuck = [self.start(self.hang) for _ in range(N_STUCK)]
        t.on_exit(self.free.set)
        self.node.write("ns.yaml", namespace("prod"))
        self.node.write("images.yaml", self.policy_of(
            {"match": {"namespaces": ["prod"], "images": ["127.0.0.1*/**"]}}, name="prod").replace(
                '"k.pub"', f'"{self.key.public}"'))
        self.node.start()

    def hang(self, seen):
        self.asked.append(seen["path"])
        self.free.wait(60)

    def pods(self, prefix, images):
        pods = []
        for i, image in enumerate(images):
            pods.append(self.node.new_pod("prod", f"{prefix}{i}"))
        self.node.write(f"{prefix}.yaml", *[{
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"{prefix}{i}", "namespace": "prod"},
            "spec": {"containers": [{"name": "main", "image": image}]}}
            for i, image in enumerate(images)])
        return pods

    def metric(self, name):
        text = self.node.sh("curl -sf http://127.0.0.1:9473/metrics")
        return next(int(float(line.split()[1])) for line in text.splitlines()
                    if line.startswith(f"bulkhead_{name} "))


def one_image(w):
    pods = w.pods("same", [f"{w.registry.host}/team/app@{w.image}"] * N_PODS)
    threads, errors = add_all(pods)
    for thread in threads:
        thread.join()
    equal(errors, [], f"{N_PODS} pods of one image at once: all start")
    equal(w.metric("image_verifications_total"), 1, "one verification")
    equal(w.metric('image_verdicts_total{verdict="accept"}'), N_PODS, "a verdict for each")
    paths = [seen["path"] for seen in w.registry.seen]
    equal(len(paths), len(set(paths)), "the registry was asked for everything once")


def several_hang(w):
    images = [f"{reg.host}/team/x{i}:v1" for reg in w.stuck for i in range(N_EACH)]
    good = [w.pods(f"good{i}", [f"{w.registry.host}/team/app:v1"])[0] for i in range(2)]
    threads, errors = add_all(w.pods("stuck", images))
    wait_until(lambda: len(w.asked) >= N_STUCK, 60, "all of them are asked")
    first, none = add_all(good[:1])
    begin = time.monotonic()
    first[0].join()
    took = time.monotonic() - begin
    equal(none, [], "a pod of another registry starts")
    check(sum(x.is_alive() for x in threads) >= N_STUCK, "while they hang", took)
    for thread in threads:
        thread.join()
    equal([e.code for e in errors], [11] * len(images), "theirs: try again, each")
    # now they are known to be slow
    again, errors = add_all(w.pods("again", images[:N_EACH]))
    before = len(w.asked)
    wait_until(lambda: len(w.asked) > before or errors, 60, "asked again")
    first, none = add_all(good[1:])
    first[0].join()
    equal(none, [], "and another one later")
    w.free.set()
    for thread in again:
        thread.join()


def run():
    w = World()
    for fn in (one_image, several_hang):
        with part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)

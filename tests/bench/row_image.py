"""Row 8: what judging images costs an ADD: a digest that is known, a signature that is not."""
import os
import socket
import statistics
import sys
import threading
import time

from row_quarantine import ask
from table import Row, median, tail
from testing import SOURCE

sys.path[:0] = [os.path.join(SOURCE, "tests", "e2e"), os.path.join(SOURCE, "tests", "fakes")]
import image_lib  # noqa: E402
from image_lib import r  # noqa: E402
from node import Node, namespace  # noqa: E402

CACHED_MS, COLD_MS, AT_ONCE = 1, 60, 100


class Bed(image_lib.World):
    """A node whose pods have images, a registry on its loopback, a policy about all of them."""

    def __init__(self):
        super().__init__()
        self.node = Node(config={"images": {"mode": "enforce"},
                                 "http": {"listen": "127.0.0.1:9473"}}, portmap=False)
        with image_lib.inside(self.node.netns):
            self.registry = self.start(r.serve(self.content))
        self.node.write("ns.yaml", namespace("bench"), namespace("free"))
        key = f'"{self.key.public}"'
        self.node.write("all.yaml", self.policy_of({}, name="all").replace('"k.pub"', key))
        self.node.write("pods.yaml", *[{
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "bench"},
            "spec": {"containers": [{"name": "main", "image": image}] if image else []}}
            for name, image in (("judged", f"{self.registry.host}/team/app@{self.image}"),
                                ("plain", None))])
        self.node.start()

    def judge(self, repository, digest):
        ask(self.node.socket, "image.judge", reference=f"{self.registry.host}/{repository}:v1",
            digest=digest)

    def add_args(self, pod):
        ips = [ip["address"].split("/")[0] for ip in pod.conf["result"]["ips"]]
        return {"containerId": pod.conf["id"], "ifname": "eth0", "netns": pod.conf["netns"],
                "podNamespace": pod.conf["namespace"], "podName": pod.conf["name"],
                "podUid": pod.conf["uid"], "network": "pods", "addresses": ips,
                "timeoutMs": 10000, "willOpen": False}

    def verifications(self):
        text = self.node.sh("curl -sf http://127.0.0.1:9473/metrics")
        return next(int(line.split()[1]) for line in text.splitlines()
                    if line.startswith("bulkhead_image_verifications_total"))


def ms(fn):
    start = time.perf_counter()
    fn()
    return (time.perf_counter() - start) * 1e3


def cached(row, bed, n):
    judged, idle = [], []
    bed.judge("team/app", bed.image)
    for _ in range(n):
        judged.append(ms(lambda: bed.judge("team/app", bed.image)))
        idle.append(ms(lambda: ask(bed.node.socket, "cni.status")))
    extra = [a - b for a, b in zip(judged, idle)]
    row.add("verdict about a known digest, more than an empty verb", tail(extra, "ms"),
            f"< {CACHED_MS} ms", median(extra) < CACHED_MS)


def adds(row, bed, n):
    pods = {name: bed.add_args(bed.node.pod("bench", name)) for name in ("judged", "plain")}
    took = {name: [] for name in pods}
    for _ in range(n):
        for name, args in pods.items():
            took[name].append(ms(lambda a=args: ask(bed.node.socket, "cni.add", **a)))
    extra = median(took["judged"]) - median(took["plain"])
    row.add("daemon's part of ADD, image judged before", tail(took["judged"], "ms"))
    row.add("the same without an image", tail(took["plain"], "ms"))
    row.add("the first over the second", f"{extra:+.2f} ms, "
            f"{median(took['judged']) / median(took['plain']):.2f} times", f"< {CACHED_MS} ms",
            extra < CACHED_MS)


def cold(row, bed, n):
    took = []
    for i in range(n):
        digest = bed.content.image(f"team/cold{i}", "v1", f"cold {i}".encode())
        bed.content.sign(f"team/cold{i}", digest, bed.key.sign)
        took.append(ms(lambda d=digest, i=i: bed.judge(f"team/cold{i}", d)))
    row.add("key signature nobody asked about before, registry on loopback", tail(took, "ms"),
            f"< {COLD_MS} ms", statistics.median(took) < COLD_MS)


def at_once(row, bed):
    digest = bed.content.image("team/once", "v1", b"once")
    bed.content.sign("team/once", digest, bed.key.sign)
    before, start = bed.verifications(), threading.Barrier(AT_ONCE // 4)

    def several():
        start.wait()
        for _ in range(4):
            bed.judge("team/once", digest)
    threads = [threading.Thread(target=several) for _ in range(AT_ONCE // 4)]
    took = ms(lambda: [*map(threading.Thread.start, threads), *map(threading.Thread.join, threads)])
    n = bed.verifications() - before
    row.add(f"{AT_ONCE} questions about one new image, {AT_ONCE // 4} at a time",
            f"{n} verification{'s' if n != 1 else ''}, {took:.0f} ms for all", "1", n == 1)


def measure(quick):
    """{8: Row}"""
    row, bed, n = Row(8, "images"), Bed(), 20 if quick else 200
    socket.setdefaulttimeout(30)
    cached(row, bed, n)
    adds(row, bed, n // 2)
    cold(row, bed, max(10, n // 10))
    at_once(row, bed)
    row.note("A known digest costs a look at the manifests' directory and one in a table. A cold one "
             "is a worker started, confined and fed, two requests on loopback, one P-256 check.")
    return {8: row}

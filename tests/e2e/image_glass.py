#!/usr/bin/python3
"""Break-glass: an exception that the operators' key has signed lets an image run that no policy
accepts, by its digest or its whole repository, until its time is over; each use is an event. Anything
less than that lets nothing run."""
import base64
import os
import subprocess
import sys
import time

import image_lib
from image_lib import r, t
import cri_runtime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni  # noqa: E402
from node import Node, namespace  # noqa: E402
from testing import check, equal, part, wait_until  # noqa: E402

FAR = "2999-01-01T00:00:00Z"


def clock(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


class World(image_lib.World):
    def __init__(self):
        super().__init__()
        self.glass = image_lib.Key(self.folder, "glass")
        self.thief = image_lib.Key(self.folder, "thief")
        self.runtime = cri_runtime.Runtime(os.path.join(self.folder, "cri.sock"))
        t.on_exit(self.runtime.close)
        self.node = Node(config={"images": {"mode": "enforce",
                                            "runtimeSocket": self.runtime.path,
                                            "breakGlassKeys": [self.glass.public]}})
        with image_lib.inside(self.node.netns):
            self.registry = self.start(r.serve(self.content))
        self.bare = self.content.image("team/bare", "v1", b"unsigned")
        for ns in ("prod", "pay"):
            self.node.write(f"ns-{ns}.yaml", namespace(ns))
        self.node.write("images.yaml", self.policy_of(
            {"match": {"namespaces": ["prod", "pay"], "images": ["127.0.0.1*/**"]}}).replace(
                '"k.pub"', f'"{self.key.public}"'))
        self.node.start()
        self.n = 0

    def ref(self, tail):
        return f"{self.registry.host}/team/{tail}"

    def exception(self, images, key=None, until=FAR, change=None, **more):
        """An exception in force, or one that should not be: changed after it was signed."""
        spec = {"images": images, "why": "the build farm is down", "until": until, **more}
        doc = {"apiVersion": "bulkhead.io/v1alpha1", "kind": "ImageException",
               "metadata": {"name": "incident"}, "spec": spec}
        self.node.write("exception.yaml", doc)
        path = os.path.join(self.node.manifests, "exception.yaml")
        text = self.node.cli("image", "exception", path).stdout
        spec["signature"] = base64.b64encode((key or self.glass).sign(text.encode())).decode()
        spec.update(change or {})
        self.node.write("exception.yaml", doc)
        return path

    def pod(self, ns, image):
        self.n += 1
        name = f"p{self.n}"
        self.node.write(f"{name}.yaml", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns},
            "spec": {"containers": [{"name": "main", "image": image}]}})
        return self.node.new_pod(ns, name)

    def starts(self, image, ns="prod"):
        try:
            self.last = self.pod(ns, image)
            self.last.add()
            return True
        except cni.CniError as e:
            check("no-signature" in str(e), "it is the signature that is missing", e)
            return False


def counts(w):
    bare, pinned = w.ref("bare:v1"), w.ref("bare") + "@" + w.bare
    check(not w.starts(pinned), "an unsigned image: refused")
    w.exception([pinned])
    check(w.starts(pinned), "exempt by its digest: it starts")
    check(w.starts(bare), "by a tag that leads to the digest too")
    w.content.image("team/bare", "v2", b"other")
    check(not w.starts(w.ref("bare:v2")), "another digest of the repository does not")
    w.exception([w.ref("bare")])
    check(w.starts(w.ref("bare:v2")), "exempt by its whole repository: it starts")
    w.exception([w.ref("bare")], namespaces=["pay"])
    check(w.starts(bare, "pay"), "in the namespace that is named")
    check(not w.starts(bare), "not in others")


def counts_not(w):
    pinned = w.ref("bare") + "@" + w.bare
    w.exception([pinned], key=w.thief)
    check(not w.starts(pinned), "signed by another key: refused")
    check("no key" in w.node.log(), "and the log says why")
    w.exception([pinned], until="2001-01-01T00:00:00Z")
    check(not w.starts(pinned), "its time is over")
    w.exception([pinned], until="2001-01-01T00:00:00Z", change={"until": FAR})
    check(not w.starts(pinned), "prolonged without a signature")
    w.exception([w.ref("app")], change={"images": [pinned]})
    check(not w.starts(pinned), "another image written into it")
    w.exception([pinned], change={"signature": ""})
    check(not w.starts(pinned), "without a signature")


def is_told(w):
    pinned = w.ref("bare") + "@" + w.bare
    path = w.exception([pinned], owner="ops@example.org")
    check(w.starts(pinned), "it starts")
    events = w.node.cli("events", "--class", "5002", "-o", "json").stdout
    check("ImageException incident" in events and "build farm" in events, "each use is an event")
    row = next(x for x in w.node.ask("policy", "exceptions") if "ImageException" in x["rule"])
    equal((row["why"], row["owner"], row["expires"], row["expired"]),
          ("the build farm is down", "ops@example.org", FAR, False), "policy exceptions lists it")
    check(row["lastUsed"], "and when it was last used", row)
    pods = w.node.ask("pods")
    pods = pods if isinstance(pods, list) else pods["pods"]
    mine = next(x for x in pods if x["pod"] == w.last.name)
    equal(mine["images"][0]["reason"], "exception", "pods shows that it is one")
    said = w.node.cli("policy", "check", path)
    check(said.returncode == 0 and "more than 30 days" in said.stdout + said.stderr,
          "policy check warns of one without an end in sight", said)
    said = w.node.cli("image", "exception", path, "--key", w.glass.public)
    check(said.returncode == 0, "its signature can be checked", said)
    said = w.node.cli("image", "exception", path, "--key", w.thief.public)
    check(said.returncode == 1 and "not signed" in said.stderr, "and is not another's", said)
    w.exception([pinned], change={"signature": "YWJj", "why": ""})
    said = w.node.cli("policy", "check", path)
    check(said.returncode == 1 and "exception.yaml" in said.stdout + said.stderr,
          "policy check finds what is wrong", said)


def ends(w):
    pinned = w.ref("bare") + "@" + w.bare
    begin = time.monotonic()
    w.exception([pinned])
    check(w.starts(pinned), "with enough time it starts")
    w.exception([pinned], until=clock(8 + 4 * (time.monotonic() - begin)))
    check(w.starts(pinned), "it starts")
    pod = w.last
    w.runtime.sandbox(pod.conf["id"], "prod", pod.name.split("/")[1])
    w.runtime.images["id1"] = [pinned]
    w.runtime.container("c1", pod.conf["id"], image=pinned, image_id="id1", image_ref=pinned)

    def state():
        pods = w.node.ask("pods")
        pods = pods if isinstance(pods, list) else pods["pods"]
        return next(x["state"] for x in pods if x["pod"] == pod.name)
    equal(state(), "open", "and is open")
    wait_until(lambda: state() == "quarantined", 90, "cut off", 0.2)
    check(True, "when the time is over, what still runs is cut off")


def needs_a_path(w):
    config = w.write("config.yaml", "images: {breakGlassKeys: [relative.pub]}")
    p = subprocess.run([os.path.join(t.BIN, "bulkheadd"), "--check", "--config", config],
                       capture_output=True, text=True)
    check(p.returncode and "absolute" in p.stderr + p.stdout, "keys have absolute paths", p)


def run():
    w = World()
    for fn in (counts, counts_not, is_told, ends, needs_a_path):
        with part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)

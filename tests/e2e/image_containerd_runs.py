#!/usr/bin/python3
"""A real containerd is asked what it runs: a tag that moved between ADD and pull, a container that came
later, an index of several platforms, a runtime that is started again. Verdicts, and who is cut off; and
events that name the container of a pod that has two."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing as t  # noqa: E402
import tools  # noqa: E402
from image_containerd import TOOLS, World as Base  # noqa: E402
from testing import check, equal, part, wait_until  # noqa: E402

SEEN_S = 60
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class World(Base):
    def __init__(self):
        super().__init__()
        self.sleeps = ("--config.cmd", "/bin/sleep", "--config.cmd", "1000")
        self.rootfs = os.path.join(self.folder, "rootfs")
        self.node.extra["images"]["runtimeSocket"] = self.ctd.path("sock")
        self.node.extra["runtime"] = {"mode": "watch"}
        self.node.write_config()
        self.node.restart()

    def row(self, name):
        return next((p for p in self.node.ask("pods")["pods"] if p["pod"] == name), {})

    def runs(self, name, container, verdict):
        """Waits for the verdict about a container that containerd tells of."""
        def look():
            return [x for x in self.row(name).get("images", []) if x.get("runs") is not None and
                    x["container"] == container and x["verdict"] == verdict]
        return wait_until(look, SEEN_S, f"{name}/{container}: {verdict}", 0.2)[0]

    def wait_cut(self, name, what):
        try:
            wait_until(lambda: self.row(name).get("state") == "quarantined", SEEN_S, interval=0.2)
            check(True, what)
        except TimeoutError:
            check(False, what, self.row(name))

    def start(self, image, *more):
        """A pod in prod: (its name, its sandbox, its configuration)."""
        sandbox, config, name = self.sandbox("prod", image, *more)
        check(isinstance(sandbox, str), "the sandbox is made", sandbox)
        return name, sandbox, config

    def create(self, sandbox, config, name, image):
        container = self.cri.create(sandbox, config, name, image)
        self.cri.start(container)
        return container


def same(w):
    image = w.lab.ref("app/web")
    equal(w.pull(image), None, "it is pulled")
    name, sandbox, config = w.start(image)
    w.create(sandbox, config, "c0", image)
    got = w.runs(name, "c0", "accept")
    check(got["runs"] and got["runs"][0].endswith(got["digest"]), "what runs is what was judged",
          got)
    equal(w.row(name)["state"], "open", "and it goes on")
    state = w.node.ask("status")["images"]["runtime"]
    check(state["state"] == "connected" and state["runtime"].startswith("containerd"),
          "status names the runtime", state)
    w.name = name


def events(w, name, kind):
    w.node.ask("runtime")
    r = w.node.cli("events", "--class", kind, "--pod", name, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines()]


def names(w):
    """Which of a pod's containers did it."""
    image = w.lab.ref("app/web")
    name, sandbox, config = w.start(image)
    ids = {c: w.create(sandbox, config, c, image) for c in ("front", "side")}
    for container in ids:
        w.runs(name, container, "accept")
    for container, cid in ids.items():
        w.cri.exec(cid, "/bin/sh", "-c", f"echo x > /{container}.x; /bin/ls /{container}.x")

        def listed(kind, path):
            return [e["container"] for e in events(w, name, kind)
                    if json.dumps(e).find(path) >= 0]
        for kind in ("process", "file"):
            got = wait_until(lambda: listed(kind, f"/{container}.x"), SEEN_S, f"{container}: {kind}", 0.2)
            check(all((c["name"], c["uid"]) == (container, cid) for c in got), f"{kind}: it was {container}", got)
            check(all(c["image"]["name"] == image and c["image"]["uid"].startswith("sha256:") for c in got),
                  f"{kind}: with its image", got)
    killed(w, name, ids)
    w.cri.remove_sandbox(sandbox)


def killed(w, name, ids):
    """Who was killed, too."""
    w.node.write("kill.yaml", {"apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
                               "metadata": {"name": "kill", "namespace": "prod"},
                               "spec": {"podSelector": {}, "on": {"violation": "kill"},
                                        "exec": {"allow": ["/bin/dash", "/bin/sleep"]}}})
    w.node.sync()
    for container, cid in ids.items():
        before = len(events(w, name, "kill"))
        equal(w.cri.exec(cid, "/bin/sh", "-c", "/bin/ls /")[0], 137, f"{container}: ls is killed")
        got = wait_until(lambda n=before: events(w, name, "kill")[n:], SEEN_S, f"{container}: a kill", 0.2)
        equal({(e["container"]["name"], e["container"]["uid"]) for e in got}, {(container, cid)},
              f"kill: it was {container}")
    w.node.remove("kill.yaml")
    w.node.sync()


def moved(w):
    image = w.lab.ref("app/late")
    w.lab.image("app/late", rootfs=w.rootfs, config=w.sleeps)
    w.lab.sign("cosign2", "release", image)
    name, sandbox, config = w.start(image)
    equal(w.row(name)["state"], "open", "judged and open")
    w.lab.image("app/late", rootfs=w.rootfs, config=w.sleeps)
    equal(w.pull(image), None, "the tag moves, and then it is pulled")
    w.create(sandbox, config, "c0", image)
    w.wait_cut(name, "what runs is unsigned: cut off")
    got = w.runs(name, "c0", "reject")
    equal(got["reason"], "no-signature", "and why")
    w.cri.remove_sandbox(sandbox)


def later(w):
    image = w.lab.ref("app/web")
    name, sandbox, config = w.start(image)
    w.create(sandbox, config, "c0", image)
    w.runs(name, "c0", "accept")
    w.create(sandbox, config, "debug", w.lab.ref("app/late"))
    w.wait_cut(name, "a container that comes later, of an unsigned image: cut off")
    w.cri.remove_sandbox(sandbox)


def platforms(w):
    w.lab.image("app/web", "amd64", rootfs=w.rootfs, config=w.sleeps)
    body = w.lab.manifest("app/web", "amd64")
    digest = w.lab.put_manifest("app/web", "amd64", body)
    w.lab.put_manifest("app/web", "multi", json.dumps({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [{
            "mediaType": MANIFEST, "digest": digest, "size": len(body),
            "platform": {"os": "linux", "architecture": "amd64"}}]}).encode(), INDEX)
    image = w.lab.ref("app/web").rsplit(":", 1)[0] + ":multi"
    w.lab.sign("cosign2", "release", image)
    equal(w.pull(image), None, "a signed index is pulled")
    name, sandbox, config = w.start(image)
    w.create(sandbox, config, "c0", image)
    w.runs(name, "c0", "accept")
    equal(w.row(name)["state"], "open", "its platform runs and goes on")


def restarts(w):
    w.ctd.restart()
    begin = time.monotonic()

    def is_asked():
        state = w.node.ask("status")["images"]["runtime"]
        return state["state"] == "connected" and state["lastSeconds"] + 1 < time.monotonic() - begin
    wait_until(is_asked, SEEN_S, "asked again", 0.2)
    equal(w.row(w.name)["state"], "open", "containerd starts again: nobody is cut off")
    w.node.restart()
    w.runs(w.name, "c0", "accept")
    equal(w.row(w.name)["state"], "open", "so does the daemon")


def run():
    w = World()
    print(f"containerd {w.cri.version()}")
    for fn in (same, names, moved, later, platforms, restarts):
        with part(fn.__name__):
            fn(w)
    w.ctd.clean()
    equal(w.ctd.processes(), set(), "no process of containerd is left")


if __name__ == "__main__":
    tools.need(*TOOLS)
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)

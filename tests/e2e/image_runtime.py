#!/usr/bin/python3
"""What the runtime really started: another image than the one that was judged is judged at once, and
what is refused is cut off; so is what appears later, what runs on the node's network, and what a new
policy refuses. The runtime is a stand-in that says what the test wants."""
import json
import os
import sys

import image_lib
from image_lib import r, t
import cri_runtime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
from node import Node, enter, namespace  # noqa: E402
from traffic import Agent, is_allowed  # noqa: E402
from testing import check, equal, part, wait_until  # noqa: E402

SEEN_S = 60  # the runtime is asked every few seconds; only what is never seen takes so long
OUTSIDE = "192.0.2.2"  # see node.outside()


def cgroup2():
    with open("/proc/self/mounts") as f:
        return next((x.split()[1] for x in f if x.split()[2] == "cgroup2"), None)


class World(image_lib.World):
    def __init__(self):
        super().__init__()
        self.runtime = cri_runtime.Runtime(os.path.join(self.folder, "cri.sock"))
        t.on_exit(self.runtime.close)
        self.node = Node(config={"images": {"mode": "enforce", "runtimeSocket": self.runtime.path},
                                 "http": {"listen": "127.0.0.1:9473"}})
        self.broken = False
        with image_lib.inside(self.node.netns):
            self.registry = self.start(lambda _: (500, b"{}", {}) if self.broken else None,
                                       r.serve(self.content))
        self.make_images()
        for name in ("prod", "audit", "free", "cut"):
            self.node.write(f"ns-{name}.yaml", namespace(name))
        self.rule("prod", {})
        self.rule("audit", {"mode": "audit"})
        self.rule("cut", {"mode": "quarantine"})
        self.node.start()
        self.n = 0

    def make(self, name, signed):
        """An image of one platform: (digest of its manifest, of its configuration)."""
        config = self.content.blob(json.dumps({"architecture": "amd64", "name": name}).encode())
        layer = {**self.content.blob(name.encode()), "mediaType": r.MANIFEST}
        made = self.content.manifest("team/" + name, "v1", {
            "schemaVersion": 2, "mediaType": r.MANIFEST,
            "config": {**config, "mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [layer]})
        if signed:
            self.content.sign("team/" + name, made, self.key.sign)
        return made, config["digest"]

    def make_images(self):
        self.good, self.good_id = self.make("good", True)
        self.evil, self.evil_id = self.make("evil", False)
        self.other, self.other_id = self.make("other", True)
        platform, self.multi_id = self.make("multi", False)
        self.platform = platform
        self.index = self.content.manifest("team/multi", "v1", {
            "schemaVersion": 2, "mediaType": r.INDEX,
            "manifests": [{"mediaType": r.MANIFEST, "digest": platform, "size": 1,
                           "platform": {"os": "linux", "architecture": "amd64"}}]})
        self.content.sign("team/multi", self.index, self.key.sign)

    def ref(self, name, digest=None):
        return f"{self.registry.host}/team/{name}" + (f"@{digest}" if digest else ":v1")

    def rule(self, ns, more):
        more = {"match": {"namespaces": [ns], "images": ["127.0.0.1*/**"]}, **more}
        text = self.policy_of(more, name=ns).replace('"k.pub"', f'"{self.key.public}"')
        self.node.write(f"images-{ns}.yaml", text)

    # ---- pods ----

    def pod(self, ns, image):
        """A pod that was added."""
        self.n += 1
        name = f"p{self.n}"
        self.node.write(f"{name}.yaml", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns},
            "spec": {"containers": [{"name": "main", "image": image}]}})
        pod = self.node.pod(ns, name)
        self.runtime.sandbox(pod.conf["id"], ns, name, pod.conf["uid"])
        return pod

    def run(self, pod, image, digest, ident, name="main", **more):
        """The runtime starts a container of the pod."""
        self.n += 1
        repository = image.rsplit(":", 1)[0].split("@")[0]
        self.runtime.images[ident] = [f"{repository}@{digest}"] if digest else []
        self.runtime.container(f"c{self.n}", pod if isinstance(pod, str) else pod.conf["id"],
                               name=name, image=ident, wanted=image, image_id=ident,
                               image_ref=f"{repository}@{digest}" if digest else ident, **more)
        return f"c{self.n}"

    def started(self, ns, name, digest, ident):
        pod = self.pod(ns, self.ref(name))
        return pod, self.run(pod, self.ref(name), digest, ident)

    def row(self, pod):
        rows = self.node.ask("pods")
        rows = rows if isinstance(rows, list) else rows["pods"]
        return next(x for x in rows if x["pod"] == pod.name)

    def verdict(self, pod, want, container="main"):
        """Waits for the verdict about a container of the pod that runs."""
        def look():
            return [x for x in self.row(pod)["images"] if x.get("runs") is not None and
                    x["container"] == container and x["verdict"] == want]
        return wait_until(look, SEEN_S, f"{pod.name}: {want}", 0.1)[0]

    def is_cut(self, pod):
        return self.row(pod)["state"] == "quarantined"

    def wait_cut(self, pod, what):
        try:
            wait_until(lambda: self.is_cut(pod), SEEN_S, interval=0.1)
            check(True, what)
        except TimeoutError:
            check(False, what, self.row(pod))

    def reason(self, pod):
        return next((q["reason"] for q in self.node.ask("quarantine", "--list")["quarantines"]
                     if q["pod"] == pod.name), "")

    def metric(self, name):
        text = self.node.sh("curl -sf http://127.0.0.1:9473/metrics")
        return next(int(float(line.split()[1])) for line in text.splitlines()
                    if line.startswith(f"bulkhead_{name} "))

    def events(self):
        return self.node.cli("events", "--class", "5002", "-o", "json").stdout


def same(w):
    state = w.node.ask("status")["images"]["runtime"]
    check(state["state"] in ("connected", "starting"), "status knows the runtime", state)
    before = w.metric("image_verifications_total")
    pod, _ = w.started("prod", "good", w.good, w.good_id)
    got = w.verdict(pod, "accept")
    equal((got["digest"], got["runs"], got["policy"]),
          (w.good, [w.ref("good", w.good)], "prod"), "what runs is what was judged")
    check(not w.is_cut(pod) and w.row(pod)["image"] == "accept", "and it goes on", w.row(pod))
    equal(w.metric("image_verifications_total") - before, 1, "one verification for both")
    pod, _ = w.started("prod", "multi", w.platform, w.multi_id)
    w.verdict(pod, "accept")
    check(not w.is_cut(pod), "a platform of the signed index")
    pod, _ = w.started("prod", "multi", w.index, w.multi_id)
    w.verdict(pod, "accept")
    check(not w.is_cut(pod), "the index itself")
    pod, _ = w.started("prod", "good", None, w.good_id)
    w.verdict(pod, "accept")
    check(not w.is_cut(pod), "known by its configuration alone")
    equal(w.metric("image_mismatches_total"), 0, "no mismatch so far")


def moved(w):
    w.content.manifests["team/good", w.evil] = w.content.manifests["team/evil", w.evil]
    pod, _ = w.started("prod", "good", w.evil, w.evil_id)
    w.wait_cut(pod, "a tag that moved to an unsigned image: cut off")
    check("no-signature" in w.reason(pod) and w.evil in w.reason(pod), "and why",
          w.reason(pod))
    check("image mismatch" in w.events() and w.evil in w.events(), "an event tells of both")
    equal(w.metric("image_mismatches_total"), 1, "a metric too")
    w.content.sign("team/good", w.other, w.key.sign)
    w.content.manifests["team/good", w.other] = w.content.manifests["team/other", w.other]
    pod, _ = w.started("prod", "good", w.other, w.other_id)
    got = w.verdict(pod, "accept")
    check(got["digest"] == w.other and not w.is_cut(pod), "to another signed one: it goes on", got)
    pod, _ = w.started("prod", "good", w.good, w.evil_id)
    w.wait_cut(pod, "the judged digest, but another configuration: cut off")
    pod, _ = w.started("prod", "good", None, w.evil_id)
    w.wait_cut(pod, "an image that was never pulled: cut off")
    check("no digest" in w.reason(pod), "and why", w.reason(pod))


def later(w):
    pod, _ = w.started("prod", "good", w.good, w.good_id)
    w.verdict(pod, "accept")
    w.run(pod, w.ref("evil"), w.evil, w.evil_id, name="debug")
    w.wait_cut(pod, "an ephemeral container of an unsigned image: cut off")
    pod, ident = w.started("prod", "good", w.good, w.good_id)
    w.verdict(pod, "accept")
    w.runtime.remove(ident)
    w.run(pod, w.ref("evil"), w.evil, w.evil_id)
    w.wait_cut(pod, "an image patched in a pod that runs: cut off")
    w.node.cli("release", pod.name, "--reason", "test")
    calls = len(w.runtime.calls)
    wait_until(lambda: len(w.runtime.calls) > calls + 4, SEEN_S, "two more looks", 0.1)
    check(not w.is_cut(pod), "what an operator released stays so")
    pod, _ = w.started("prod", "good", w.good, w.good_id)
    w.runtime.images["vol"] = [w.ref("evil", w.evil)]
    w.run(pod, w.ref("good"), w.good, w.good_id, name="second", volumes=["vol"])
    w.wait_cut(pod, "an unsigned image as a volume: cut off")
    pod, _ = w.started("prod", "good", w.good, w.good_id)
    w.run(pod, "registry.example/x:v1", w.evil, w.evil_id, name="foreign")
    w.wait_cut(pod, "an image that no policy is about, in a named namespace: cut off")
    pod, _ = w.started("prod", "good", w.good, w.good_id)
    w.runtime.container("nameless", pod.conf["id"], name="nameless")
    w.wait_cut(pod, "an image without name and digest, in a named namespace: cut off")
    pod, _ = w.started("audit", "evil", w.evil, w.evil_id)
    w.verdict(pod, "reject")
    check(not w.is_cut(pod), "audit: it goes on")
    pod = w.pod("free", w.ref("evil"))
    w.run(pod, w.ref("evil"), w.evil, w.evil_id)
    wait_until(lambda: w.row(pod)["images"], SEEN_S, "it is seen", 0.1)
    check(not w.is_cut(pod), "where nothing is demanded: it goes on")


def host(w):
    root = os.path.join(cgroup2(), f"bh-e2e-{os.getpid()}")
    uid = f"{os.getpid():032x}"
    for path in (root, os.path.join(root, f"pod{uid}")):
        os.mkdir(path)
        t.on_exit(lambda p=path: os.rmdir(p))
    w.node.write("host.yaml", {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "host", "namespace": "prod",
                                                        "uid": uid},
        "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": w.ref("evil")}]},
        "status": {"phase": "Running", "podIP": "192.0.2.1"}})
    w.node.sync()
    w.runtime.sandbox("hostbox", "prod", "host", uid)
    w.run("hostbox", w.ref("evil"), w.evil, w.evil_id)
    wait_until(lambda: "prod/host" in str(w.node.ask("quarantine", "--list")), SEEN_S,
               "the pod on the node's network is cut off", 0.1)
    check(True, "a pod on the node's network, which no ADD saw: cut off")


def bare(w):
    """The same without a manifest: the runtime's word for the uid is all there is."""
    root = os.path.join(cgroup2(), f"bh-e2e-bare-{os.getpid()}")
    outside = w.node.outside()
    outside.listen("80/tcp")
    os.mkdir(root)
    t.on_exit(lambda: os.rmdir(root))

    def start(number):
        uid = f"{os.getpid():030x}b{number}"
        group = os.path.join(root, f"pod{uid}")
        os.mkdir(group)
        t.on_exit(lambda: os.rmdir(group))
        agent = Agent([*enter(w.node.netns), "sh", "-c",
                       f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"])
        check(is_allowed(agent.probe("tcp", OUTSIDE, 80)), "it talks", "no")
        w.runtime.sandbox(f"barebox{number}", "prod", "bare", uid)
        w.run(f"barebox{number}", w.ref("evil"), w.evil, w.evil_id)
        wait_until(lambda: not is_allowed(agent.probe("tcp", OUTSIDE, 80, timeout=0.3)), SEEN_S,
                   "it is cut off", 0.1)
    start(1)
    check("prod/bare" in str(w.node.ask("quarantine", "--list")),
          "one that no manifest describes either: cut off")
    start(2)
    check(True, "and under a new uid again")


def policies(w):
    pod, _ = w.started("free", "evil", w.evil, w.evil_id)
    good, _ = w.started("free", "good", w.good, w.good_id)
    wait_until(lambda: w.row(pod)["images"], SEEN_S, "it is seen", 0.1)
    w.rule("free", {"mode": "audit"})
    w.verdict(pod, "reject")
    check(not w.is_cut(pod), "a new policy in audit: told, and nothing done")
    w.rule("free", {})
    w.wait_cut(pod, "in enforce: what it refuses is cut off")
    w.verdict(good, "accept")
    check(not w.is_cut(good), "what it accepts goes on")
    w.broken = True
    w.rule("free", {"onError": "deny"})
    w.verdict(good, "undecided")
    check(not w.is_cut(good), "a policy that changes while the registry is away: it goes on")
    w.run(good, w.ref("other"), w.other, w.other_id, name="new")
    w.wait_cut(good, "a new container that nobody can judge: cut off")
    w.broken = False
    wait_until(lambda: not w.is_cut(good), SEEN_S, "given back", 0.2)
    check(True, "and given back when it can be judged")
    w.node.remove("images-free.yaml")


def doubts(w):
    """Cut off because nobody could judge: given back by whichever daemon can, unless more is known
    by then."""
    late = [(name, *w.make(name, True)) for name in ("late0", "late1", "late2", "late3")]
    w.rule("free", {"onError": "deny"})

    def doubted(name, digest, ident, container="new"):
        pod, _ = w.started("free", "good", w.good, w.good_id)
        w.verdict(pod, "accept")
        w.broken = True
        w.run(pod, w.ref(name), digest, ident, name=container)
        w.wait_cut(pod, f"{name}: cut off for a doubt")
        return pod

    def given_back(pod, what):
        wait_until(lambda: not w.is_cut(pod), 60, what, 0.2)
        check(True, what)
    pod = doubted(*late[0])
    w.node.restart()
    check(w.is_cut(pod), "still so after the daemon started again")
    w.broken = False
    given_back(pod, "and given back by the new daemon")
    pod = doubted(*late[1])
    w.run(pod, w.ref("evil"), w.evil, w.evil_id, name="bad")
    w.broken = False
    w.verdict(pod, "reject", "bad")
    wait_until(lambda: any(x["container"] == "new" and x["verdict"] == "accept"
                           for x in w.row(pod)["images"]), 60, "the doubt is gone", 0.2)
    w.node.sync()
    check(w.is_cut(pod), "another container is refused meanwhile: the pod stays cut off")
    pod = doubted(*late[2])
    w.node.ask("quarantine", pod.name, "--reason", "mine")
    w.broken = False
    wait_until(lambda: any(x["container"] == "new" and x["verdict"] == "accept"
                           for x in w.row(pod)["images"]), 60, "the doubt is gone", 0.2)
    w.node.sync()
    check(w.is_cut(pod), "an operator's own quarantine stays")
    w.rule("free", {"onError": "quarantine"})
    w.broken = True
    name, digest, ident = late[3]
    pod, _ = w.started("free", name, digest, ident)
    check(w.is_cut(pod), "onError: quarantine: the pod starts, cut off")
    w.broken = False
    given_back(pod, "and is given back when its images can be judged")
    w.node.remove("images-free.yaml")


def restarts(w):
    pod, _ = w.started("prod", "good", w.good, w.good_id)
    w.verdict(pod, "accept")
    w.runtime.close()
    wait_until(lambda: w.node.ask("status")["images"]["runtime"]["state"] == "failing", SEEN_S,
               "failing", 0.2)
    check("cannot be asked" in str(w.node.ask("status")["degraded"]), "the runtime is away: told")
    w.runtime.listen()
    wait_until(lambda: w.node.ask("status")["images"]["runtime"]["state"] == "connected", SEEN_S,
               "connected", 0.2)
    check("cannot be asked" not in str(w.node.ask("status")["degraded"]), "and when it is back")
    w.node.restart()
    w.verdict(pod, "accept")
    check(not w.is_cut(pod), "the daemon starts again: judged again, and it goes on")
    hung = []
    w.runtime.fault = lambda m, a: hung.append(m) or {"hang": True}

    def is_free():
        """Whether an ADD was done while the same question waited."""
        n = len(hung)
        wait_until(lambda: len(hung) > n, SEEN_S, "a question that nobody answers")
        n = len(hung)
        w.pod("prod", w.ref("good"))
        return len(hung) == n
    # a slow machine's ADD may last longer than what is left of the 4 s of a question
    check(any(is_free() for _ in range(4)), "a runtime that hangs holds up no ADD")
    w.runtime.fault = None
    equal(w.runtime.complaints, [], "nothing that the protocols do not allow")


def run():
    w = World()
    for fn in (same, moved, later, host, bare, policies, doubts, restarts):
        with part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)

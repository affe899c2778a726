#!/usr/bin/python3
"""A real runtime: containerd with our image verifier and our plugin at the end of its CNI chain. What
nobody signed is not pulled; a pod whose image is not what policy demands gets no sandbox, with a
sentence that a person understands; an accepted one runs under runc, cut off where policy says so."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import containerd  # noqa: E402
import testing as t  # noqa: E402
import tools  # noqa: E402
from cri import Cri, CriError  # noqa: E402
from node import Node, enter, namespace, network_policy  # noqa: E402
from signing import Lab  # noqa: E402
from testing import SOURCE, check, equal, part  # noqa: E402

TOOLS = ("registry", "umoci", "skopeo", "cosign2", "cosign3", *containerd.TOOLS)


class World:
    def __init__(self):
        self.node = Node(config={"images": {"mode": "enforce"}}, portmap=False)
        self.folder = t.tempdir()
        os.chmod(self.folder, 0o755)
        self.lab = Lab(self.folder, enter(self.node.netns)).start()
        self.make_images()
        self.n = 0
        for ns in ("prod", "cut", "free"):
            self.node.write(f"ns-{ns}.yaml", namespace(ns), network_policy(
                ns, "all", types=("Ingress",), ingress=[{}]))
        self.rule("pulls", {"match": {"images": [f"{self.lab.host}/app/*"],
                                      "exclude": [f"{self.lab.host}/app/late"]}})
        self.rule("prod", {"match": {"namespaces": ["prod"]}})
        self.rule("cut", {"match": {"namespaces": ["cut"]}, "mode": "quarantine"})
        self.node.start()
        self.ctd = containerd.Containerd(self.node, enter(self.node.netns),
                                         self.lab.ref("k8s/pause"))
        self.ctd.start()
        self.cri = self.ctd.cri

    def make_images(self):
        rootfs = os.path.join(self.folder, "rootfs")
        os.mkdir(rootfs)
        t.run("sh", "-c", f"{SOURCE}/examples/demo/rootfs | tar -C {rootfs} -x")
        sleeps = ("--config.cmd", "/bin/sleep", "--config.cmd", "1000")
        lab = self.lab
        lab.key("release")
        for name in ("k8s/pause", "app/web", "app/evil", "app/late"):
            lab.image(name, rootfs=rootfs, config=sleeps)
        lab.sign("cosign2", "release", lab.ref("k8s/pause"))
        lab.sign("cosign3", "release", lab.ref("app/web"))

    def rule(self, name, spec):
        self.lab.policy(f"images-{name}", {"signers": [self.lab.signer("release")], **spec},
                        self.node.manifests)

    def sandbox(self, ns, *images):
        """A pod as kubelet begins it: (sandbox or the error, its configuration, its name)."""
        self.n += 1
        name, uid = f"p{self.n}", f"00000000-0000-4000-8000-{self.n:012x}"
        self.node.write(f"{name}.yaml", {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": ns, "uid": uid},
            "spec": {"containers": [{"name": f"c{i}", "image": image}
                                    for i, image in enumerate(images)]}})
        if self.node.is_alive():
            self.node.sync()
        config = Cri.sandbox_config(ns, name, uid, f"{self.ctd.parent}/pod{uid}")
        try:
            return self.cri.run_sandbox(config), config, f"{ns}/{name}"
        except CriError as e:
            return e, config, f"{ns}/{name}"

    def pull(self, image):
        """What containerd says against pulling it; None when it was pulled."""
        try:
            self.cri.pull(image)
        except CriError as e:
            return e.text
        return None


def pulls(w):
    equal(w.pull(w.lab.ref("app/web")), None, "CRI: a signed image is pulled")
    said = w.pull(w.lab.ref("app/evil"))
    check(said and "bulkhead" in said and "no-signature" in said and "'images-pulls'" in said,
          "CRI: an unsigned one is not, with our sentence", said)
    check(w.lab.ref("app/evil") not in w.cri.images(), "and is not there")
    r = w.ctd.ctr("image", "pull", "--plain-http", "--local=false", w.lab.ref("app/evil"))
    check(r.returncode and "no-signature" in r.stderr + r.stdout,
          "ctr, through the transfer service: refused too", r)
    r = w.ctd.ctr("image", "pull", "--plain-http", "--local=false", w.lab.ref("app/web"))
    equal(r.returncode, 0, "ctr: the signed one is pulled")
    equal(w.pull(w.lab.ref("app/late")), None, "an image that no policy for pulls is about")


def moves(w):
    """The tag moves after it was judged: the digest of this pull is what counts."""
    w.cri.remove_image(w.lab.ref("app/web"))
    good = w.lab.manifest("app/web", "v1")
    w.lab.image("app/web")
    said = w.pull(w.lab.ref("app/web"))
    check(said and "no-signature" in said, "a tag that moved: not pulled", said)
    w.lab.put_manifest("app/web", "v1", good)
    equal(w.pull(w.lab.ref("app/web")), None, "it moved back: pulled")


def away(w):
    """Without the daemon nothing is pulled, also what was judged before."""
    w.cri.remove_image(w.lab.ref("app/web"))
    w.node.stop()
    said = w.pull(w.lab.ref("app/web"))
    check(said and "bulkhead" in said, "daemon away: not pulled, and it says why", said)
    error, _, _ = w.sandbox("prod", w.lab.ref("app/web"))
    check(isinstance(error, CriError) and "bulkheadd" in error.text,
          "daemon away: no sandbox, and it says why", error)
    w.node.start()
    equal(w.pull(w.lab.ref("app/web")), None, "daemon back: pulled")


def pods(w):
    sandbox, config, name = w.sandbox("prod", w.lab.ref("app/web"))
    check(isinstance(sandbox, str), "a pod of a signed image gets its sandbox", sandbox)
    container = w.cri.create(sandbox, config, "c0", w.lab.ref("app/web"))
    w.cri.start(container)
    status = w.cri.status(container)
    equal(status["state"], 1, "and its container runs under runc")
    check("app/web@sha256:" in status["image_ref"], "of the image that was judged", status)
    code, out = w.cri.exec(container, "/bin/sh", "-c", "ls / && echo inside")
    check(code == 0 and "inside" in out, "a command inside it", out)
    rows = {p["pod"]: p for p in w.node.ask("pods")["pods"]}
    equal(rows[name]["state"], "open", "its interface is open")
    error, _, name = w.sandbox("prod", w.lab.ref("app/web"), w.lab.ref("app/late"))
    check(isinstance(error, CriError), "an unsigned image beside it: no sandbox", error)
    check(w.lab.ref("app/late") in error.text and "no-signature" in error.text and
          "'images-prod'" in error.text, "kubelet reads image, policy and reason", error)
    rows = {p["pod"]: p for p in w.node.ask("pods")["pods"]}
    check(rows.get(name, {}).get("state") != "open", "nothing of it is open", rows.get(name))
    w.cri.remove_sandbox(sandbox)


def cut_off(w):
    sandbox, config, name = w.sandbox("cut", w.lab.ref("app/late"))
    check(isinstance(sandbox, str), "mode quarantine: the sandbox is made", sandbox)
    container = w.cri.create(sandbox, config, "c0", w.lab.ref("app/late"))
    w.cri.start(container)
    equal(w.cri.status(container)["state"], 1, "and the container runs")
    code, out = w.cri.exec(container, "/bin/nc", "-w", "1", "-v", "10.77.255.254", "5000")
    check(code, "but reaches nothing", out)
    check(name in str(w.node.ask("quarantine", "--list")), "and is listed")
    w.cri.remove_sandbox(sandbox)
    check(name not in [p["pod"] for p in w.node.ask("pods")["pods"]], "removed: gone")


IMAGES = "[plugins.'io.containerd.cri.v1.images']\n"
REGISTRY = "[plugins.'io.containerd.cri.v1.images'.registry."
PAST = {
    "use_local_image_pull = true": IMAGES,
    "discard_unpacked_layers = true": IMAGES,
    "image_pull_with_sync_fs = true": IMAGES,
    "disable_snapshot_annotations = false": IMAGES,
    "max_concurrent_downloads = 4": IMAGES,
    "registry.mirrors": REGISTRY + "mirrors.'registry.example']\nendpoint = ['https://m.example']\n",
    "registry.configs": REGISTRY + "configs.'registry.example'.auth]\nusername = 'u'\n",
    "registry.auths": REGISTRY + "auths.'https://registry.example']\nusername = 'u'\n",
}


def doctor(w):
    """What `bulkhead doctor` says of the containerd that runs: [(state, sentence)]."""
    r = w.node.cli("doctor", "--containerd", tools.path("containerd"), "--containerd-conf",
                   w.ctd.path("config.toml"), "-o", "json")
    return [(c["state"], c["text"]) for c in json.loads(r.stdout)["checks"]
            if c["name"] == "containerd"]


def settings(w):
    """Each setting that the doctor warns of: containerd pulls what nobody signed. No other."""
    evil = w.lab.ref("app/evil")
    said = doctor(w)
    check(len(said) == 1 and said[0][0] == "ok", "the doctor is content", said)
    for name, table in PAST.items():
        w.ctd.restart(table + (name if table == IMAGES else ""))
        equal(w.pull(evil), None, f"{name}: an unsigned image is pulled")
        said = doctor(w)
        check([s for s, text in said if name in text] == ["wrong"] and len(said) == 1,
              f"{name}: the doctor says so", said)
        w.cri.remove_image(evil)
    os.rename(w.ctd.path("verifiers/bulkhead"), w.ctd.path("verifiers/zz"))
    for i in range(10):
        os.symlink("/bin/true", w.ctd.path(f"verifiers/a{i}"))
    w.ctd.restart()
    equal(w.pull(evil), None, "ten verifiers before ours: an unsigned image is pulled")
    said = doctor(w)
    check([s for s, text in said if "number 11" in text] == ["wrong"], "the doctor says so", said)
    w.cri.remove_image(evil)
    for i in range(10):
        os.unlink(w.ctd.path(f"verifiers/a{i}"))
    check(w.pull(evil), "without them it is not")


def run():
    w = World()
    print(f"containerd {w.cri.version()}")
    for fn in (pulls, moves, pods, cut_off, away, settings):
        with part(fn.__name__):
            fn(w)
    w.ctd.clean()
    equal(w.ctd.processes(), set(), "no process of containerd is left")
    equal(w.ctd.cgroups(), [], "no cgroup either")


if __name__ == "__main__":
    tools.need(*TOOLS)
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)

#!/usr/bin/python3
"""The daemon's passwords and mirrors: what is written to their files counts for the next pod, and no
password is ever shown, logged or left lying in memory."""
import base64
import json
import os
import re
import sys

import image_lib
from image_lib import r, t

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni  # noqa: E402
from node import Node, namespace  # noqa: E402
from testing import check, equal, part  # noqa: E402

USER, WORD, WRONG = "puller", "zweiundvierzig-Elefanten", "einundvierzig-Elefanten"
TOKEN = "Faehnchen-im-Wind-und-noch-ein-Wort"


class World(image_lib.World):
    def __init__(self):
        super().__init__()
        self.config = os.path.join(self.folder, "docker.json")
        self.hosts = os.path.join(self.folder, "certs.d")
        self.conf = os.path.join(self.folder, "registries.conf")
        self.write("registries.conf", "")
        self.node = Node(config={"images": {
            "mode": "enforce", "credentials": self.config, "registryHosts": self.hosts,
            "registriesConf": self.conf}})
        self.gate = r.Bearer(USER, WORD, TOKEN)
        with image_lib.inside(self.node.netns):
            self.registry = self.start(self.gate, r.serve(self.content))
            self.mirror = self.start(r.serve(self.content))
        self.gate.realm = f"http://{self.registry.host}/token"
        self.node.write("ns-prod.yaml", namespace("prod"))
        more = {"match": {"namespaces": ["prod"], "images": ["127.0.0.1*/**", "r.example/**"]}}
        text = self.policy_of(more).replace('"k.pub"', f'"{self.key.public}"')
        with open(os.path.join(self.node.manifests, "images.yaml"), "w") as f:
            f.write(text)
        self.node.start()
        self.n = 0

    def entry(self, **entry):
        self.credentials(self.registry.host, **entry)
        os.rename(os.path.join(self.folder, "config.json"), self.config)

    def image_of(self, name=None):
        """A fresh signed image: no verdict about it is known."""
        self.n += 1
        name = name or f"team/n{self.n}"
        digest = self.content.image(name, "v1", f"{self.n}".encode())
        self.content.sign(name, digest, self.key.sign)
        return name, digest

    def add(self, reference):
        """The error of an ADD, or None."""
        self.n += 1
        pod = self.node.new_pod("prod", f"p{self.n}")
        self.node.write(f"p{self.n}.yaml", {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"p{self.n}", "namespace": "prod"},
            "spec": {"containers": [{"name": "c", "image": reference}]}})
        try:
            pod.add()
        except cni.CniError as e:
            return e
        return None

    def ref(self):
        name, digest = self.image_of()
        return f"{self.registry.host}/{name}@{digest}"


def rotates(w):
    error = w.add(w.ref())
    check(error and error.code == 11 and "auth" in str(error), "no file: try again", error)
    w.entry(username=USER, password=WRONG)
    error = w.add(w.ref())
    check(error and error.code == 11 and "auth" in str(error), "a wrong password: try again", error)
    w.entry(username=USER, password=WORD)
    equal(w.add(w.ref()), None, "the right one counts at once")
    with open(w.config, "w") as f:
        f.write("{")
    error = w.add(w.ref())
    check(error and error.code == 11, "a file caught half-written: try again", error)
    w.entry(identitytoken=TOKEN)
    equal(w.add(w.ref()), None, "an identity token")
    pair = base64.b64encode(f"{USER}:{WORD}".encode()).decode()
    w.entry(auth=pair)
    equal(w.add(w.ref()), None, "user and password as docker writes them")


def mirrors(w):
    os.makedirs(os.path.join(w.hosts, w.registry.host))
    w.write(f"certs.d/{w.registry.host}/hosts.toml", f'[host."http://{w.mirror.host}"]\n')
    before = len(w.registry.seen)
    equal(w.add(w.ref()), None, "through a mirror")
    check(w.mirror.seen and len(w.registry.seen) == before, "which was written just now")
    w.write(f"certs.d/{w.registry.host}/hosts.toml", "[host\n")
    error = w.add(w.ref())
    check(error and error.code == 11 and "hosts.toml" in str(error), "a broken file: try again",
          error)
    os.remove(os.path.join(w.hosts, w.registry.host, "hosts.toml"))
    name, digest = w.image_of()
    w.write("registries.conf", f'[[registry]]\nprefix = "r.example"\n'
                               f'location = "{w.mirror.host}"\n')
    equal(w.add(f"r.example/{name}@{digest}"), None, "another place for a prefix")
    w.write("registries.conf", '[[registry]]\nprefix = "r.example"\nblocked = true\n')
    name, digest = w.image_of()
    error = w.add(f"r.example/{name}@{digest}")
    check(error and error.code >= 100 and "blocks" in str(error), "a blocked one: refused", error)


def memory(pid):
    """All that the daemon may write to."""
    out = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not m or "[vvar" in line:
                continue
            start, end = (int(x, 16) for x in m.groups())
            mem.seek(start)
            try:
                out.append(mem.read(end - start))
            except OSError:
                continue
    return out


def keeps_secrets(w):
    w.node.sync()
    tokens = [token.encode() for token in w.gate.tokens]
    check(len(tokens) >= 3, "tokens were sold", len(tokens))
    words = [WORD.encode(), WRONG.encode(), TOKEN.encode(), *tokens]
    words += [base64.b64encode(f"{USER}:{x}".encode()) for x in (WORD, WRONG)]
    shown = {name: json.dumps(w.node.ask(*name.split())) for name in ("status", "pods")}
    shown["events"] = w.node.cli("events", "-o", "json").stdout
    for folder in ("log", "state"):
        for top, _, files in os.walk(w.node.path(folder)):
            for file in files:
                with open(os.path.join(top, file), "rb") as f:
                    shown[f"{folder}/{file}"] = f.read()
    with open(w.node.path("daemon.log"), "rb") as f:
        shown["log"] = f.read()
    check("n1" in str(shown["events"]), "the events tell of these images", shown["events"][-300:])
    for name, text in shown.items():
        text = text if isinstance(text, bytes) else text.encode()
        equal([x for x in words if x in text], [], f"no secret in {name}")
    left = [x for x in words for piece in memory(w.node.proc.pid) if x in piece]
    equal(left, [], "nor in the daemon's memory")


def run():
    w = World()
    for fn in (rotates, mirrors, keeps_secrets):
        with part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)

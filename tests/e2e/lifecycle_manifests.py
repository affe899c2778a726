#!/usr/bin/python3
"""The manifests directory as people and tools write to it: every way of replacing a file, volumes of
Kubernetes, directories that move, objects that move between files while their connections go on."""
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
import yaml
from node import Node, namespace, network_policy, pods_peer, ports
from testing import check, equal, part
from traffic import is_allowed


MOMENT_S = 0.12  # a file that is gone for so long was deleted, see DELETE_QUIET_MS


def policy(name="p", port="80/TCP"):
    return network_policy("m", name, {"app": "b"}, ["Ingress"],
                          ingress=[{"from": [pods_peer(app="a")], "ports": ports(port)}])


def text_of(*documents):
    return "---\n".join(yaml.safe_dump(d) for d in documents)


class World:
    def __init__(self):
        self.node = node = Node().start()
        node.write("base.yaml", namespace("m"),
                   network_policy("m", "out", None, ["Egress"], egress=[{}]))
        node.sync()
        self.a = node.pod("m", "a", {"app": "a"})
        self.b = node.pod("m", "b", {"app": "b"}, listen=("80/tcp", "81/tcp"))

    def path(self, *names):
        return os.path.join(self.node.manifests, *names)

    def put(self, name, *documents):
        """In place: truncated, written, closed."""
        text = documents[0] if isinstance(documents[0], (str, bytes)) else text_of(*documents)
        with open(self.path(name), "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)

    def allowed(self, port=80, timeout=0.2):
        return is_allowed(self.a.agent.probe("tcp", self.b.ip4, port, timeout=timeout))

    def settled(self, want, name, port=80):
        """What a new connection meets right after sync."""
        self.node.sync()
        check(self.allowed(port, 1 if want else 0.15) == want, name,
              lambda: self.node.ask("status")["problems"])

    def unbroken(self, name, fn):
        """fn never interrupts a stream that stays allowed: neither end loses a packet. fn gives the
        longest time for which it had taken the policy away, by its own doing or because it had to wait
        for a processor: what is gone for longer than a moment is gone, so then it has another try."""
        for _ in range(5):
            stream = self.a.agent.stream("tcp", self.b.ip4, 80, interval=0.002)
            check(stream.lives(), f"{name}: the stream has begun")
            away = fn() or 0
            self.node.sync()
            holds = stream.lives() and stream.is_whole(3) and self.b.agent.is_whole(3)
            state = stream.close()
            if holds or away < MOMENT_S:
                break
        check(holds, name, state)


def sync_means_enforced(w):
    """The first packet after sync meets what was written before it, however it was written."""
    wrong = []
    for i in range(80):
        want = i % 2 == 0
        if want and i % 4:
            w.put("p.yaml", policy())
        elif want:
            w.node.write("p.yaml", policy())
        elif i % 4 == 1:
            w.node.remove("p.yaml")
        else:
            w.put("p.yaml", policy(port="81/TCP"))
        w.node.sync()
        if w.allowed(timeout=1 if want else 0.12) != want:
            wrong.append(i)
    equal(wrong, [], "80 changes: what sync says is enforced")
    w.put("p.yaml", policy())
    w.node.sync()


def objects_move(w):
    def rename():
        for i in range(20):
            names = ("p.yaml", "q.yaml") if i % 2 == 0 else ("q.yaml", "p.yaml")
            os.rename(w.path(names[0]), w.path(names[1]))
            w.node.sync() if i % 3 == 0 else time.sleep(0.01)

    def copy():
        for i in range(20):
            names = ("p.yaml", "q.yaml") if i % 2 == 0 else ("q.yaml", "p.yaml")
            shutil.copy(w.path(names[0]), w.path(names[1]))
            os.unlink(w.path(names[0]))
            w.node.sync() if i % 3 == 0 else time.sleep(0.01)

    def halves():
        text = text_of(policy())
        for i in range(60):
            with open(w.path("p.yaml"), "w") as f:
                f.write(text[:len(text) // 2])
                f.flush()
                time.sleep(0.02 if i % 2 else 0)
                f.write(text[len(text) // 2:])

    def slowly():
        """Emptied, and then cut where it is whole and says something else, each for a while."""
        text = text_of(policy())
        for at in (0, text.index("    ports:"), text.index("  podSelector:")):
            with open(w.path("p.yaml"), "w") as f:
                f.write(text[:at])
                f.flush()
                time.sleep(0.3)
                f.write(text[at:])

    def backup():
        away = 0
        for _ in range(10):
            began = time.monotonic()
            os.rename(w.path("p.yaml"), w.path("p.yaml~"))
            w.put("p.yaml", policy())
            away = max(away, time.monotonic() - began)
            os.unlink(w.path("p.yaml~"))
        return away

    def multi():
        w.node.write("one.yaml", namespace("x"), policy())
        w.node.remove("p.yaml")
        for i in range(10):
            to, source = ("two.yaml", "one.yaml") if i % 2 == 0 else ("one.yaml", "two.yaml")
            w.node.write(to, namespace("y"), policy())
            w.node.write(source, namespace("x"))
            w.node.sync() if i % 3 == 0 else time.sleep(0.005)
        w.node.write("p.yaml", policy())
        w.node.remove("one.yaml")
        w.node.remove("two.yaml")

    for fn, name in ((rename, "renamed"), (copy, "copied, then removed"),
                     (halves, "written in place in two parts"),
                     (slowly, "written in place, slowly"), (backup, "as editors write"),
                     (multi, "moved between files of several objects")):
        w.unbroken(f"a policy's file is {name}: nothing notices", fn)


def half_stays_out(w):
    """A file that stays half written changes nothing until it is whole."""
    text = text_of(policy(port="81/TCP"))
    with open(w.path("p.yaml"), "w") as f:
        f.write(text[:len(text) // 2])
        f.flush()
        w.settled(True, "half a file: the last good version stays")
        f.write(text[len(text) // 2:])
    w.settled(True, "the other half: the new version", 81)
    w.settled(False, "the other half: no more of the old one")
    w.put("p.yaml", policy())
    w.node.sync()


def volumes(w):
    """Kubernetes swaps a volume's files by one link."""
    os.mkdir(w.path("cm"))

    def swap(n, *documents):
        os.mkdir(w.path("cm", f"..{n}"))
        with open(w.path("cm", f"..{n}", "x.yaml"), "w") as f:
            f.write(text_of(*documents))
        os.symlink(f"..{n}", w.path("cm", "..tmp"))
        os.rename(w.path("cm", "..tmp"), w.path("cm", "..data"))
        if not os.path.lexists(w.path("cm", "x.yaml")):
            os.symlink("..data/x.yaml", w.path("cm", "x.yaml"))
        if n:
            shutil.rmtree(w.path("cm", f"..{n - 1}"))

    for n in range(6):
        swap(n, policy("cm", "82/TCP" if n % 2 else "81/TCP"))
        w.settled(n % 2 == 0, f"volume, version {n}", 81)
    shutil.rmtree(w.path("cm"))
    w.settled(False, "the volume is gone", 81)


def directories(w):
    os.makedirs(w.path("n1/n2/n3"))
    w.put("n1/n2/n3/x.yml", policy("nested", "81/TCP"))
    w.settled(True, "a file in new directories", 81)
    os.rename(w.path("n1"), w.path("o1"))
    w.settled(True, "a directory is renamed", 81)
    w.put("o1/n2/n3/x.yml", policy("nested", "82/TCP"))
    w.settled(False, "a file in it changes", 81)
    outside = w.node.path("outside")
    os.mkdir(outside)
    with open(os.path.join(outside, "y.yaml"), "w") as f:
        f.write(text_of(policy("moved", "81/TCP")))
    os.rename(outside, w.path("o1/in"))
    w.settled(True, "a directory is moved in", 81)
    os.rename(w.path("o1/in"), outside)
    w.settled(False, "a directory is moved out", 81)
    shutil.rmtree(w.path("o1"))
    w.node.sync()


def documents(w):
    w.put("md.yaml", policy("x1", "81/TCP"), policy("x2", "82/TCP"))
    w.settled(True, "several objects in a file", 81)
    w.put("md.yaml", policy("x2", "82/TCP"))
    w.settled(False, "one of them goes", 81)
    w.node.remove("md.yaml")
    w.put("d1.yaml", policy("dup", "81/TCP"))
    w.put("d2.yaml", policy("dup", "82/TCP"))
    w.settled(True, "the same object twice: one is in force", 81)
    check(any("d1.yaml" in p["text"] for p in w.node.ask("status")["problems"]),
          "the same object twice: told, with the other place")
    w.node.remove("d1.yaml")
    w.settled(False, "the first is removed: the second takes its place", 81)
    w.node.remove("d2.yaml")
    item = policy("li", "81/TCP")
    item["metadata"].update(uid="1", resourceVersion="3", creationTimestamp="2026-01-01T00:00:00Z",
                            generation=1, managedFields=[{"fieldsV1": {"f:spec": {}}}])
    item["status"] = {}
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""},
              "items": [item, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "z"}}]}
    plain = text_of(policy("li", "81/TCP"))
    for name, text in (("a List as kubectl prints it, JSON", json.dumps(listed, indent=4)),
                       ("a List as kubectl prints it, YAML", text_of(listed)),
                       ("lines that end in CR LF", plain.replace("\n", "\r\n")),
                       ("a byte order mark", b"\xef\xbb\xbf" + plain.encode()),
                       ("empty documents around", "---\n---\n# x\n---\n" + plain + "---\nnull\n")):
        w.put("li.yaml", text)
        w.settled(True, name, 81)
        w.put("li.yaml", "")
        w.settled(False, f"{name}: emptied", 81)
    w.node.remove("li.yaml")


def labels(w):
    w.node.write("pod.yaml", w.a.manifest(labels={"app": "other"}))
    w.settled(False, "a Pod manifest's labels win")
    w.node.write("pod.yaml", w.a.manifest(labels={"app": "a"}))
    w.settled(True, "they change")
    w.node.remove("pod.yaml")
    w.settled(True, "without it CNI's labels count again")


def bytes_read(pid):
    with open(f"/proc/{pid}/io") as f:
        return int(next(line.split()[1] for line in f if line.startswith("rchar")))


def large(w):
    with open(w.path("huge.yaml"), "w") as f:
        f.truncate(3 << 30)
    before = bytes_read(w.node.proc.pid)
    w.settled(True, "a file of 3 GiB: the others are read")
    more = bytes_read(w.node.proc.pid) - before
    check(more < 256 << 20, "a file of 3 GiB: of it only what a manifest may have", more)
    check("huge.yaml" in str(w.node.ask("status")["sources"]), "a file of 3 GiB: told")
    w.node.remove("huge.yaml")
    os.mkdir(w.path("many"))
    for i in range(3000):
        w.put(f"many/{i:04}.yaml",
              "{{{" if i % 500 == 0 else
              "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
              f"metadata: {{name: f{i}, namespace: m}}\nspec: {{podSelector: {{matchLabels: "
              f"{{app: x{i % 50}}}}}, ingress: [{{ports: [{{port: {1000 + i % 100}}}]}}]}}\n")
    w.node.sync()
    status = w.node.ask("status")
    equal((len(status["policies"]), sum(p["level"] == "error" for p in status["problems"])),
          (2994 + 2, 6), "3000 files: all are read, the broken ones told")
    w.node.write("p.yaml", policy(port="81/TCP"))
    w.settled(True, "3000 files: a change among them", 81)
    w.node.write("p.yaml", policy())
    shutil.rmtree(w.path("many"))
    w.settled(True, "3000 files go: the others stay")
    equal(len(w.node.ask("status")["policies"]), 2, "3000 files go: all of them")


def main():
    w = World()
    for fn in (sync_means_enforced, objects_move, half_stays_out, volumes, directories, documents,
               labels, large):
        with part(fn.__name__.replace("_", " ")):
            fn(w)


testing.start()
testing.main(main)

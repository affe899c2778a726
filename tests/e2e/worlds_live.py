#!/usr/bin/python3
"""A world that never stands still: objects come, change, move between files, break and are mended, one
step after the other. After each the running daemon's `policy matrix` must say what the plain evaluator
says, and `policy verify` must find the kernel's tables as they should be. A daemon that builds the next
world out of the last must never tell the difference.

  worlds_live.py [--seed N] [--steps N]"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
import yaml
from dice import NAMESPACES, NUMBERS, PROTOCOLS, Dice, NoAliases
from node import Node
from plain import compare
from testing import check

FILES = 4
LOCAL = 4  # pods that CNI made, the others are elsewhere
PODS = 12
MAX_POLICIES = 10
BATCH = 3  # changes between two looks, at most
MAX_SHOWN = 3


class Live:
    """What the manifests say, as the evaluator sees it, and where it is written."""

    def __init__(self, node, seed):
        self.node, self.default = node, None
        self.dice, self.taken = Dice(seed), set()
        self.objects = {}  # key: (file, manifest)
        self.pods, self.namespaces = {}, {}
        self.broken = set()  # keys of policies whose newest text is refused
        self.written, self.touched = {}, set()
        self.policy_count = 0
        for n in NAMESPACES:
            self.put_namespace(n)
        for n in range(PODS):
            self.put_pod(n)
        self.write()
        for name in list(self.pods)[:LOCAL]:
            self.make_local(name)

    # ---- objects ----

    @property
    def policies(self):
        return [m for k, (_, m) in sorted(self.objects.items()) if k[0] == "policy"]

    def put(self, key, manifest):
        old = self.objects.get(key)
        where = old[0] if old and self.dice.is_hit(0.8) else self.dice.r.randrange(FILES)
        self.objects[key] = (where, manifest)
        self.touched.add(key)

    def put_namespace(self, name):
        self.namespaces[name] = {**self.dice.labels(), "kubernetes.io/metadata.name": name}
        self.put(("namespace", name), {"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": self.namespaces[name]}})

    def put_pod(self, n):
        pod, manifest = self.dice.pod(n, self.taken)
        self.keep_pod(pod, manifest)

    def keep_pod(self, pod, manifest):
        """Pods of one number keep their name, and local ones keep living here."""
        name = f"{pod['ns']}/{pod['name']}"
        self.pods[name] = pod
        self.put(("pod", name), manifest)

    def make_local(self, name):
        pod = self.pods[name]
        spec = self.objects[("pod", name)][1]
        spec["spec"].pop("hostNetwork", None)
        spec["status"]["phase"] = "Running"
        pod["takes_part"] = pod["is_local"] = True
        self.taken.discard(pod["ip"])
        pod["ip"] = self.node.pod(pod["ns"], pod["name"], {}).ip4  # not what the manifest says
        self.taken.add(pod["ip"])

    def write(self):
        """The files that differ, each in one step, in any order."""
        texts = {n: [] for n in range(FILES)}
        for key, (where, manifest) in sorted(self.objects.items()):
            text = yaml.dump(manifest, Dumper=NoAliases)
            if key in self.broken:
                text = text.replace("podSelector:", "podSelektor:")
            texts[where].append(text)
        names = [n for n in texts if self.written.get(n) != texts[n]]
        self.dice.r.shuffle(names)
        for n in names:
            self.node.write(f"f{n}.yaml", *texts[n])
            self.written[n] = texts[n]
        self.touched.clear()

    # ---- steps ----

    def relabel_namespace(self):
        self.put_namespace(self.dice.r.choice(NAMESPACES))

    def relabel_pod(self):
        name = self.dice.r.choice(sorted(self.pods))
        pod, (_, manifest) = self.pods[name], self.objects[("pod", name)]
        pod["labels"] = self.dice.labels()
        self.put(("pod", name), {**manifest,
                                 "metadata": {**manifest["metadata"], "labels": pod["labels"]}})

    def other_pod(self):
        """A pod elsewhere is replaced by another of its name: ports, phase, address, all else."""
        names = [n for n, p in sorted(self.pods.items()) if not p.get("is_local")]
        name = self.dice.r.choice(names)
        self.taken.discard(self.pods[name]["ip"])
        pod, manifest = self.dice.pod(int(name.split("/q")[1]), self.taken)
        pod["ns"] = manifest["metadata"]["namespace"] = name.split("/")[0]
        self.keep_pod(pod, manifest)

    def add_policy(self):
        if len(self.policies) >= MAX_POLICIES:
            return self.drop_policy()
        self.policy_count += 1
        manifest = self.dice.policy(self.policy_count, self.addresses())
        return self.put(("policy", f"p{self.policy_count}"), manifest)

    def change_policy(self):
        if not self.policies:
            return self.add_policy()
        old = self.dice.r.choice(self.policies)
        new = self.dice.policy(0, self.addresses())
        if new["kind"] == old["kind"]:
            old = {**old, "spec": new["spec"]}
        self.broken.discard(("policy", old["metadata"]["name"]))
        return self.put(("policy", old["metadata"]["name"]), old)

    def drop_policy(self):
        if self.policies:
            key = ("policy", self.dice.r.choice(self.policies)["metadata"]["name"])
            del self.objects[key]
            self.broken.discard(key)

    def break_policy(self):
        """Its text has a mistake now; the last good version that was written stays in force."""
        keys = [k for k in sorted(self.objects) if k[0] == "policy" and k not in self.touched]
        if keys:
            self.broken.add(self.dice.r.choice(keys))

    def addresses(self):
        return [*sorted(self.taken), "10.0.0.200", "fd00::99"]

    def step(self):
        kinds = (self.relabel_namespace, self.relabel_pod, self.relabel_pod, self.other_pod,
                 self.add_policy, self.add_policy, self.change_policy, self.change_policy,
                 self.drop_policy, self.break_policy)
        done = [self.dice.r.choice(kinds) for _ in range(self.dice.r.randint(1, BATCH))]
        for fn in done:
            fn()
        self.write()
        self.node.sync()
        return ", ".join(fn.__name__ for fn in done)

    def look(self):
        """(cells compared, what differs)"""
        where = self.dice.r.choice(PROTOCOLS), self.dice.r.choice(NUMBERS)
        cells, bad = compare(self, self.node.ask("policy", "matrix", "--port",
                                                 f"{where[1]}/{where[0]}"), self.default, where)
        verify = self.node.ask("policy", "verify")
        bad += [f"verify: {m}" for m in verify["mismatches"]]
        return cells + verify["cells"], bad


def play(live, steps):
    cells = 0
    for i in range(steps):
        done = live.step()
        if i % 20 == 19:
            live.node.restart(hard=live.dice.is_hit(0.5))
        n, bad = live.look()
        cells += n
        if bad:
            check(False, f"{live.default}: step {i} ({done})",
                  f"{len(bad)} differ: {bad[:MAX_SHOWN]}")
            return
    check(cells > 50 * steps, f"{live.default}: {steps} steps, {cells} cells agree", cells)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--steps", type=int, default=60)
    a = p.parse_args()
    node = Node(default="deny", dual=False).start()
    live = Live(node, a.seed)
    for default in ("deny", "kubernetes"):
        live.default = node.enforcement["default"] = default
        node.write_config()
        node.restart()
        play(live, a.steps)


testing.start()
testing.main(main)

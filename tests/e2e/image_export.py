#!/usr/bin/python3
"""ImagePolicies in other hands: what `bulkhead policy export` writes is enforced by the real skopeo,
whose library podman and CRI-O share. It takes the signed image and refuses the unsigned one, as we
do; what its format cannot say is not exported at all."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing as t  # noqa: E402
import tools  # noqa: E402
from node import add_netns, enter  # noqa: E402
from signing import Lab  # noqa: E402
from testing import check, part  # noqa: E402

TRUSTED = ("team/app", "team/tools/cli")


class World:
    def __init__(self):
        netns = f"bhe{os.getpid():x}-x"
        add_netns(netns)
        self.lab = lab = Lab(t.tempdir(), enter(netns)).start()
        for key in ("good", "other"):
            lab.key(key)
        for name in (*TRUSTED, "team/bare", "team/free/thing", "else/where"):
            lab.image(name)
        for name in TRUSTED:
            lab.sign("cosign2", "good", lab.ref(name))
        lab.image("team/foreign")
        lab.sign("cosign2", "other", lab.ref("team/foreign"))
        self.beside_images()
        self.n = 0

    def beside_images(self):
        """Signatures lie in the registry."""
        folder = self.lab.path(".config/containers/registries.d")
        os.makedirs(folder)
        with open(os.path.join(folder, "default.yaml"), "w") as f:
            f.write("default-docker:\n  use-sigstore-attachments: true\n")

    def export(self, spec):
        """(path of what was exported, or None; what was said)"""
        r = t.run(os.path.join(t.BIN, "bulkhead"), "policy", "export",
                  self.lab.policy("exported", spec), check=False)
        if r.returncode:
            return None, r.stderr
        path = self.lab.path("policy.json")
        with open(path, "w") as f:
            f.write(r.stdout)
        return path, r.stdout

    def skopeo(self, policy, repository):
        """Whether it copies the image; what it said."""
        self.n += 1
        r = self.lab.call("skopeo1.18", "--policy", policy, "copy", "-q", "--src-tls-verify=false",
                          f"docker://{self.lab.ref(repository)}",
                          f"dir:{self.lab.path(f'copy{self.n}')}", check=False)
        return r.returncode == 0, r.stderr

    def agrees(self, spec, name, repository, is_good):
        """skopeo and we are of one mind about an image."""
        path, _ = self.export(spec)
        took, said = self.skopeo(path, repository)
        check(took == is_good, f"{name}: skopeo {'takes' if is_good else 'refuses'} it", said)
        said = self.lab.verify(self.lab.ref(repository), spec)
        check(said["exit"] == (0 if is_good else 1), f"{name}: so do we", said)


def taken_and_refused(w):
    lab = w.lab
    team = {"match": {"images": [f"{lab.host}/team/**"], "exclude": [f"{lab.host}/team/free/**"]},
            "signers": [lab.signer("good")]}
    for repository in TRUSTED:
        w.agrees(team, f"signed, {repository}", repository, True)
    w.agrees(team, "unsigned", "team/bare", False)
    w.agrees(team, "signed by another", "team/foreign", False)
    path, _ = w.export(team)
    for repository in ("team/free/thing", "else/where"):
        took, said = w.skopeo(path, repository)
        check(took, f"{repository}: no policy is about it", said)
    everything = {"match": {"images": ["**"]}, "signers": [lab.signer("good")]}
    w.agrees(everything, "a policy about all: signed", "team/app", True)
    w.agrees(everything, "a policy about all: unsigned", "else/where", False)
    repository = {**team, "signers": [lab.signer("good", signedRepository=f"{lab.host}/team/app")]}
    w.agrees(repository, "signed as this repository", "team/app", True)
    w.agrees(repository, "signed as another repository", "team/tools/cli", False)
    two = {**team, "signers": [lab.signer("good", "other")]}
    for name in ("team/app", "team/foreign"):
        w.agrees(two, f"either of two keys, {name}", name, True)
    w.agrees(two, "neither of two keys", "team/bare", False)


def unsayable(w):
    """What the format cannot express is refused with a sentence, never weakened."""
    lab = w.lab
    good = lab.signer("good")
    rows = {
        "namespaces": {"match": {"namespaces": ["prod"]}, "signers": [good]},
        "mode": {"mode": "audit", "signers": [good]},
        "requireDigest": {"requireDigest": True, "signers": [good]},
        "threshold": {"threshold": 2, "signers": [good, {**lab.signer("other"), "name": "b"}]},
        "several signers": {"signers": [good, {**lab.signer("other"), "name": "b"}]},
        "annotations": {"signers": [lab.signer("good", annotations={"env": "prod"})]},
        "window": {"signers": [lab.signer({"file": lab.path("good.pub"),
                                           "notAfter": "2090-01-01T00:00:00Z"})]},
        "attestations": {"signers": [good], "attestations": [
            {"type": "spdx", "signers": [good]}]},
        "pattern": {"match": {"images": [f"{lab.host}/team/a*"]}, "signers": [good]},
    }
    for what, spec in rows.items():
        path, said = w.export(spec)
        check(path is None and what in said and "cannot be exported" in said,
              f"{what}: not exported, and it says why", said)


def run():
    w = World()
    for fn in (taken_and_refused, unsayable):
        with part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    tools.need("registry", "umoci", "skopeo", "skopeo1.18", "cosign2", "cosign3")
    t.start()
    t.main(run)

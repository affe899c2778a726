#!/usr/bin/python3
"""Signatures by the tools that people use: images in docker-registry, signed by cosign 2 and 3 and by
notation, judged by `bulkhead image verify` and at ADD. Good ones pass; what is unsigned, signed by
somebody else, about another image, moved, attested instead of signed or out of date does not."""
import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni  # noqa: E402
import signing  # noqa: E402
import testing as t  # noqa: E402
import tools  # noqa: E402
from node import Node, enter, namespace  # noqa: E402
from signing import Lab  # noqa: E402
from testing import check, part  # noqa: E402

COSIGNS = ("cosign2", "cosign3")
BUILDER = "https://ci.example/builder@v2"
MISSING = "attestation-missing"
# a bundle hints at its key; without a hint nobody can say whose a signature is
OTHER_KEY = {"cosign2": "signature-invalid", "cosign3": "wrong-key"}


def accepts(lab, name, reference, spec):
    said = lab.verify(reference, spec)
    check(said["exit"] == 0, name, lambda: said)


def rejects(lab, name, reference, spec, reason):
    """reason: what the answer's reason, or the sentence of a check that failed, has in it."""
    said = lab.verify(reference, spec)
    words = [said["reason"]] + [c["detail"] for c in said.get("checks", []) if not c["ok"]]
    check(said["exit"] == 1 and any(reason in x for x in words), name, lambda: said)


class Desk(Lab):
    """What several parts want: two keys, and an image signed by the first of them with each tool."""

    def __init__(self, folder, enter_at):
        super().__init__(folder, enter_at)
        self.start()
        self.key("good")
        self.key("other")
        self.only_good = {"signers": [self.signer("good")]}
        self.only_other = {"signers": [self.signer("other")]}
        self.digests = {}
        for tool in COSIGNS:
            self.digests[tool] = self.image(f"team/{tool}")
            self.sign(tool, "good", self.ref(f"team/{tool}", self.digests[tool]))
        self.image("team/unsigned")


def algorithms(lab):
    for algorithm in signing.ALGORITHMS:
        key = lab.key(algorithm, algorithm)
        spec = {"signers": [lab.signer(key)]}
        for tool in COSIGNS:
            repository = f"algo/{algorithm}-{tool}"
            ref = lab.ref(repository, lab.image(repository))
            lab.sign(tool, key, ref)
            if (algorithm, tool) == ("ed25519", "cosign3"):
                # cosign signs the hash with Ed25519ph there, which OpenSSL 3.0 does not know
                rejects(lab, "ed25519ph: refused as not supported", ref, spec, "unsupported")
            else:
                accepts(lab, f"{tool}, {algorithm}", ref, spec)
            rejects(lab, f"{tool}, {algorithm}: another key", ref, lab.only_other, OTHER_KEY[tool])


def refused(lab):
    for tool in COSIGNS:
        repository, image = f"team/{tool}", lab.digests[tool]
        ref = lab.ref(repository)
        accepts(lab, f"{tool}: signed, by tag", ref, lab.only_good)
        accepts(lab, f"{tool}: signed, by digest", lab.ref(repository, image), lab.only_good)
        rejects(lab, f"{tool}: two signers wanted", ref,
                {"signers": [{**lab.signer("good"), "name": "a"},
                             {**lab.signer("other"), "name": "b"}], "threshold": 2}, "threshold")
        old = {"file": lab.path("good.pub"), "notAfter": "2020-01-01T00:00:00Z"}
        rejects(lab, f"{tool}: a key that has ended", ref, {"signers": [lab.signer(old)]}, "expired")
        new = {"file": lab.path("good.pub"), "notBefore": "2090-01-01T00:00:00Z"}
        rejects(lab, f"{tool}: a key that has not begun", ref, {"signers": [lab.signer(new)]},
                "not-yet-valid")
        both = {"signers": [lab.signer(old, "other")]}
        rejects(lab, f"{tool}: ended, beside one that did not sign", ref, both, "key-expired")
    rejects(lab, "unsigned", lab.ref("team/unsigned"), lab.only_good, "no-signature")
    rejects(lab, "a digest is demanded", lab.ref("team/cosign2"),
            {**lab.only_good, "requireDigest": True}, "digest")
    said = lab.verify(lab.ref("team/nothing"), lab.only_good)
    check(said["exit"] != 0, "an image that is not there", said)


def transplanted(lab):
    """The signature of one image under the name of another; a tag that moved."""
    victim = lab.image("team/cosign2", "victim")
    signature = lab.manifest("team/cosign2", lab.digests["cosign2"].replace(":", "-") + ".sig")
    lab.put_manifest("team/cosign2", victim.replace(":", "-") + ".sig", signature)
    rejects(lab, "cosign2: another image's signature", lab.ref("team/cosign2", victim),
            lab.only_good, "digest")
    victim = lab.image("team/cosign3", "victim")
    listed = lab.manifest("team/cosign3", lab.digests["cosign3"].replace(":", "-"))
    lab.put_manifest("team/cosign3", victim.replace(":", "-"), listed, signing.INDEX)
    rejects(lab, "cosign3: another image's bundle", lab.ref("team/cosign3", victim),
            lab.only_good, "digest-mismatch")
    for tool in COSIGNS:
        image = lab.image(f"moved/{tool}")
        lab.sign(tool, "good", lab.ref(f"moved/{tool}", image))
        accepts(lab, f"{tool}: before the tag moves", lab.ref(f"moved/{tool}"), lab.only_good)
        lab.image(f"moved/{tool}")
        rejects(lab, f"{tool}: the tag moved", lab.ref(f"moved/{tool}"), lab.only_good,
                "no-signature")
        accepts(lab, f"{tool}: by digest it is as it was", lab.ref(f"moved/{tool}", image),
                lab.only_good)


def side_by_side(lab):
    """Classic and bundle beside each other, by different keys: each is found."""
    image = lab.image("team/both")
    lab.sign("cosign2", "good", lab.ref("team/both", image))
    lab.sign("cosign3", "other", lab.ref("team/both", image))
    accepts(lab, "the classic one counts", lab.ref("team/both"), lab.only_good)
    accepts(lab, "the bundle counts", lab.ref("team/both"), lab.only_other)
    two = {"signers": [{**lab.signer("good"), "name": "a"}, {**lab.signer("other"), "name": "b"}],
           "threshold": 2}
    accepts(lab, "both are two signers", lab.ref("team/both"), two)
    image = lab.image("team/oci11")
    lab.env["COSIGN_EXPERIMENTAL"] = "1"
    lab.sign("cosign2", "good", lab.ref("team/oci11", image), "--registry-referrers-mode",
             "oci-1-1")
    del lab.env["COSIGN_EXPERIMENTAL"]
    accepts(lab, "cosign2 with --registry-referrers-mode oci-1-1", lab.ref("team/oci11"),
            lab.only_good)


def annotations(lab):
    for tool in COSIGNS:
        repository = f"notes/{tool}"
        image = lab.image(repository)
        lab.sign(tool, "good", lab.ref(repository, image), "-a", "env=prod", "-a", "team=pay")
        for value, wanted in (("prod", accepts), ("test", rejects)):
            spec = {"signers": [lab.signer("good", annotations={"env": value})]}
            wanted(lab, f"{tool}: env={value} is demanded", lab.ref(repository), spec,
                   *(["annotation"] if wanted is rejects else []))


def platforms(lab):
    for tool in COSIGNS:
        repository = f"multi/{tool}"
        index, (amd, _) = lab.index(repository)
        lab.sign(tool, "good", lab.ref(repository, index))
        accepts(lab, f"{tool}: the index", lab.ref(repository), lab.only_good)
        rejects(lab, f"{tool}: one platform of it alone", lab.ref(repository, amd), lab.only_good,
                "no-signature")
        lab.sign(tool, "good", lab.ref(repository, index), "--recursive")
        accepts(lab, f"{tool} --recursive: one platform", lab.ref(repository, amd),
                lab.only_good)


def scan(severity, age_days=0):
    """A vulnerability report as cosign's predicate wraps Trivy's."""
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=age_days)
    stamp = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    found = [{"VulnerabilityID": "CVE-2026-10004", "PkgName": "zlib", "InstalledVersion": "1",
              "FixedVersion": "2", "Severity": severity}]
    return {"invocation": {"uri": "", "event_id": "", "builder.id": ""},
            "scanner": {"uri": "pkg:github/aquasecurity/trivy@0.60", "version": "0.60",
                        "db": {"uri": "", "version": ""},
                        "result": {"SchemaVersion": 2, "Results": [
                            {"Target": "os", "Vulnerabilities": found}]}},
            "metadata": {"scanStartedOn": stamp, "scanFinishedOn": stamp}}


PREDICATES = {
    "slsaprovenance": {"builder": {"id": BUILDER}, "buildType": "make", "invocation": {}},
    "slsaprovenance1": {"buildDefinition": {"buildType": "make", "externalParameters": {},
                                            "internalParameters": {}, "resolvedDependencies": []},
                        "runDetails": {"builder": {"id": BUILDER}}},
    "spdxjson": {"spdxVersion": "SPDX-2.3", "name": "app", "packages": []},
    "cyclonedx": {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": []},
}
NAMES = {"spdxjson": "spdx"}  # cosign's word and the policy's, where they differ


def attestations(lab):
    lab.key("attester")

    def demand(kind, *keys, **more):
        wanted = {"type": NAMES.get(kind, kind), "signers": [lab.signer(*keys)], **more}
        return {**lab.only_good, "attestations": [wanted]}
    for tool in COSIGNS:
        repository = f"att/{tool}"
        ref = lab.ref(repository, lab.image(repository))
        lab.attest(tool, "good", ref, "slsaprovenance1", PREDICATES["slsaprovenance1"])
        rejects(lab, f"{tool}: an attestation is no signature", ref, lab.only_good, "no-signature")
        lab.sign(tool, "good", ref)
        accepts(lab, f"{tool}: signed as well", ref, lab.only_good)
        rejects(lab, f"{tool}: a signing key is no attesting key", ref,
                demand("slsaprovenance1", "attester"), MISSING)
        for kind, predicate in PREDICATES.items():
            rejects(lab, f"{tool}: no {kind}", ref, demand(kind, "attester"), MISSING)
            lab.attest(tool, "attester", ref, kind, predicate)
            accepts(lab, f"{tool}: {kind}", ref, demand(kind, "attester"))
            rejects(lab, f"{tool}: {kind} by another", ref, demand(kind, "other"), MISSING)
        for kind in ("slsaprovenance", "slsaprovenance1"):
            accepts(lab, f"{tool}: {kind} by this builder", ref,
                    demand(kind, "attester", builderId=BUILDER))
            rejects(lab, f"{tool}: {kind} by a builder whose name begins so", ref,
                    demand(kind, "attester", builderId=BUILDER[:-1]), "builder")


def reports(lab):
    """Vulnerability reports: threshold, exception, age; the newest counts."""
    for tool in COSIGNS:
        repository = f"vuln/{tool}"
        ref = lab.ref(repository, lab.image(repository))
        lab.sign(tool, "good", ref)

        def demand(**more):
            return {**lab.only_good, "attestations": [
                {"type": "vuln", "signers": [lab.signer("good")], "failOn": "HIGH", **more}]}
        rejects(lab, f"{tool}: no report", ref, demand(), MISSING)
        lab.attest(tool, "good", ref, "vuln", scan("LOW", age_days=20))
        accepts(lab, f"{tool}: nothing high", ref, demand())
        rejects(lab, f"{tool}: too old", ref, demand(maxAgeDays=10), "stale")
        lab.attest(tool, "good", ref, "vuln", scan("HIGH", age_days=1))
        rejects(lab, f"{tool}: a newer one with something high", ref, demand(), "CVE-2026-10004")
        accepts(lab, f"{tool}: but nothing critical", ref, demand(failOn="CRITICAL"))
        excuse = {"id": "CVE-2026-10004", "why": "not reachable"}
        accepts(lab, f"{tool}: an exception", ref,
                demand(exceptions=[{**excuse, "until": "2090-01-01"}]))
        rejects(lab, f"{tool}: an exception that has ended", ref,
                demand(exceptions=[{**excuse, "until": "2020-01-01"}]), "CVE-2026-10004")


def notary(lab):
    acme = lab.authority("acme", "/C=US/ST=WA/O=Acme")
    lab.authority("evil", "/C=US/ST=WA/O=Acme")

    def spec(ca, identity):
        return {"signers": [{"name": "n", "notation": {
            "trustStore": lab.path(ca + "-ca.pem"), "trustedIdentities": [identity]}}]}
    who = "x509.subject: C=US, ST=WA, O=Acme"
    for form in ("jws", "cose"):
        repository = f"notary/{form}"
        ref = lab.ref(repository, lab.image(repository))
        rejects(lab, f"{form}: not signed yet", ref, spec(acme, who), "no-signature")
        lab.notarize(acme, ref, "--signature-format", form)
        accepts(lab, f"notation {form}", ref, spec(acme, who))
        rejects(lab, f"{form}: another CA of the same name", ref, spec("evil", who), "cert-chain")
        rejects(lab, f"{form}: another identity", ref,
                spec(acme, "x509.subject: C=US, ST=WA, O=Other"), "identity-mismatch")
        rejects(lab, f"{form}: keys were wanted", ref, lab.only_good, "no-signature")


class Cluster:
    """A node whose namespaces each demand something else of their images."""

    def __init__(self):
        self.node = Node(config={"images": {"mode": "enforce"}})
        folder = t.tempdir()
        os.chmod(folder, 0o755)
        self.lab = Desk(folder, enter(self.node.netns))
        self.n = 0

    def rule(self, ns, spec):
        self.lab.policy(f"images-{ns}", {
            "match": {"namespaces": [ns], "images": [f"{self.lab.host}/**"]}, **spec},
            self.node.manifests)

    def start(self):
        signed = self.lab.only_good
        provenance = {"type": "slsaprovenance1", "signers": [self.lab.signer("attester")],
                      "builderId": BUILDER}
        for ns, spec in (("prod", signed), ("cut", {**signed, "mode": "quarantine"}),
                         ("built", {**signed, "attestations": [provenance]})):
            self.node.write(f"ns-{ns}.yaml", namespace(ns))
            self.rule(ns, spec)
        self.node.start()

    def add(self, ns, *images):
        """The error of ADD, or None."""
        self.n += 1
        name = f"p{self.n}"
        pod = self.node.new_pod(ns, name)
        self.node.write(f"{name}.yaml", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns},
            "spec": {"containers": [{"name": f"c{i}", "image": image}
                                    for i, image in enumerate(images)]}})
        try:
            pod.add()
        except cni.CniError as e:
            return e, pod
        return None, pod


def at_add(w):
    lab = w.lab
    w.start()
    signed = [lab.ref("team/cosign2"), lab.ref("team/cosign3", lab.digests["cosign3"])]
    error, pod = w.add("prod", *signed)
    check(error is None, "cosign 2's and cosign 3's image in one pod: it starts", error)
    rows = w.node.ask("pods")["pods"]
    check([p["state"] for p in rows if p["pod"] == pod.name] == ["open"], "and is open", rows)
    bare = lab.ref("team/unsigned")
    error, _ = w.add("prod", signed[0], bare)
    check(error and error.code >= 100 and bare in str(error) and "no-signature" in str(error),
          "an unsigned one beside: refused, with its name and why", error)
    error, pod = w.add("cut", bare)
    listed = w.node.ask("quarantine", "--list")
    check(error is None and pod.name in str(listed), "mode quarantine: starts cut off", error)
    error, _ = w.add("prod", lab.ref("moved/cosign2"))
    check(error and "no-signature" in str(error), "a tag that moved: refused", error)
    for tool in COSIGNS:
        error, _ = w.add("built", lab.ref(f"att/{tool}"))
        check(error is None, f"provenance by {tool}: it starts", error)
        error, _ = w.add("built", lab.ref(f"team/{tool}"))
        check(error and error.code >= 100 and "slsa" in str(error).lower(),
              f"none by {tool}: refused, and it says what is missing", error)
    lab.stop()
    error, _ = w.add("prod", lab.ref("team/cosign2", lab.digests["cosign2"]))
    check(error is None, "the registry is gone: a judged digest still starts", error)
    error, _ = w.add("prod", lab.ref("notary/jws"))
    check(error and error.code == 11, "what was not judged: try again later", error)


def run():
    w = Cluster()
    for fn in (algorithms, refused, transplanted, side_by_side, annotations, platforms,
               attestations, reports, notary):
        with part(fn.__name__):
            fn(w.lab)
    with part("at_add"):
        at_add(w)


if __name__ == "__main__":
    tools.need(*signing.TOOLS)
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)

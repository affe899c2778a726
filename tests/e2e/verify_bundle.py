#!/usr/bin/python3
"""`bulkhead verify-bundle`, the protocol of sigstore's conformance tests, over every bundle of the
public vectors of image signatures: what their policies say beyond key and identity (windows,
extensions, where a bundle was found) is not part of it.
"""
import base64
import glob
import json
import os
import subprocess

import image_lib
import image_vectors
from image_lib import t

# What the protocol cannot say, or does not ask.
OTHERWISE = {
    "bundle-keyless-tsa": 1,  # no log entry, and identities need one
    "bundle-rot-expired-notime": 0, "bundle-rot-future": 0, "bundle-rot-time-before-window": 0,
    "neg-bundle-layer-mediatype": 0, "neg-b-wrong-extension": 0,
    "neg-bundle-attestation-as-signature": 0,  # the statement's predicate is anybody's
    "neg-att-signature-key-as-attester": 0,
}
BUNDLE = b"vnd.dev.sigstore.bundle"


def bundles(folder):
    for path in sorted(glob.glob(os.path.join(folder, "blobs", "sha256", "*"))):
        with open(path, "rb") as f:
            head = f.read(65536)
        if BUNDLE in head and b"verificationMaterial" in head:
            yield path


def verify(*args):
    return subprocess.run([os.path.join(t.BIN, "bulkhead"), "verify-bundle", *args],
                          capture_output=True, text=True, timeout=30)


def whom(directory, policy):
    """The options for a vector's policy, of its first key or identity."""
    args = []
    if "identities" in policy:
        first = policy["identities"][0]
        if "subject" not in first:
            return None
        args = ["--certificate-identity", first["subject"], "--certificate-oidc-issuer",
                first["issuer"]]
    elif len(policy.get("keys", [])) == 1:
        args = ["--key", str(directory / policy["keys"][0]["key"])]
    else:
        return None
    root = policy.get("trusted_root") or ("trust/trusted_root.json" if "identities" in policy
                                          else None)
    return args + (["--trusted-root", str(directory / root)] if root else [])


def vectors(directory):
    with open(directory / "vectors.json") as f:
        rows = json.load(f)["vectors"]
    n = 0
    for v in rows:
        args = whom(directory, v["policy"])
        found = list(bundles(directory / "layouts" / v["layout"]))
        if not args or not found or "-att-" in v["id"] or "vuln" in v["id"] or \
           v["id"].startswith("mixed") or v["expect"] == "any":
            continue
        codes = {verify("--bundle", path, *args, v["digest"]).returncode for path in found}
        want = OTHERWISE.get(v["id"], 0 if v["expect"] == "accept" else 1)
        t.check(want in codes if want == 0 else codes == {1}, v["id"], (codes, want))
        n += 1
    t.check(n > 60, "there were bundles", n)


def artifacts(directory):
    """Files and digests; what a message signature says about itself."""
    with open(directory / "vectors.json") as f:
        row = next(v for v in json.load(f)["vectors"] if v["id"] == "edge-bundle-message-signature")
    layout = directory / "layouts" / row["layout"]
    bundle = next(bundles(layout))
    key = str(directory / row["policy"]["keys"][0]["key"])
    file = str(layout / "blobs" / "sha256" / row["digest"][7:])
    for name in (file, row["digest"]):
        t.equal(verify("--bundle", bundle, "--key", key, name).returncode, 0, "a signed message")
    folder = t.tempdir()
    other = os.path.join(folder, "other")
    with open(file, "rb") as f, open(other, "wb") as g:
        g.write(f.read() + b" ")
    t.equal(verify("--bundle", bundle, "--key", key, other).returncode, 1, "another file")
    t.equal(verify("--bundle", bundle, "--key", key, "sha256:" + "0" * 64).returncode, 1,
            "another digest")
    t.equal(verify("--bundle", bundle, "--key", key, "sha256:00").returncode, 1,
            "neither a file nor a digest")
    with open(bundle) as f:
        body = json.load(f)
    body["messageSignature"]["messageDigest"]["digest"] = base64.b64encode(b"x" * 32).decode()
    lie = os.path.join(folder, "lie.json")
    with open(lie, "w") as f:
        json.dump(body, f)
    p = verify("--bundle", lie, "--key", key, file)
    t.check(p.returncode == 1 and "digest-mismatch" in p.stderr,
            "a good signature that says it is about something else", p.stderr)
    del body["messageSignature"]["messageDigest"]
    with open(lie, "w") as f:
        json.dump(body, f)
    t.equal(verify("--bundle", lie, "--key", key, file).returncode, 0, "one that says nothing")


def usage(directory):
    key = str(directory / "keys" / "k1.pub")
    for args in (["x"], ["--bundle", "b", "x"], ["--bundle", "b", "--key", key],
                 ["--bundle", "b", "--certificate-identity", "a", "x"],
                 ["--bundle", "b", "--certificate-identity", "a", "--certificate-oidc-issuer", "b",
                  "x"],
                 ["--bundle", "b", "--certificate-identity", "a", "--certificate-oidc-issuer", "b",
                  "--key", key, "--trusted-root", "r", "x"]):
        t.equal(verify(*args).returncode, 2, " ".join(args))
    t.equal(verify("--staging", "--bundle", "/nowhere", "--key", key, "x").returncode, 1,
            "no such bundle")


def run():
    directory = image_vectors.found()
    for fn in (vectors, artifacts, usage):
        with t.part(fn.__name__):
            fn(directory)


if __name__ == "__main__":
    image_lib.enter()
    t.main(run)

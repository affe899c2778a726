#!/usr/bin/python3
"""`bulkhead image verify` against registries that want credentials, redirect, page and lie.

Everything lives on 127.0.0.1 of a network namespace of its own.
"""
import base64
import json
import os
import socket
import ssl
import threading

import image_lib
from image_lib import r, t


def basics(w):
    reg = w.start(r.serve(w.content))
    a = w.verify(f"{reg.host}/team/app:v1")
    t.equal((a["exit"], a["verdict"], a["digest"]), (0, "accept", w.image), "signed: accepted")
    a = w.verify(f"{reg.host}/team/app@{w.image}")
    t.equal((a["exit"], a["digest"]), (0, w.image), "by digest: accepted")
    a = w.verify(f"{reg.host}/team/bare:v1")
    t.equal((a["exit"], a["reason"]), (1, "no-signature"), "unsigned: rejected")
    named = w.write("named.yaml", w.policy_of({"insecureRegistries": ["localhost"]}))
    a = w.verify(f"localhost:{reg.port}/team/app:v1", policy=named)
    t.equal(a["exit"], 0, "by name: accepted")
    a = w.verify("no-such-host.invalid/team/app:v1", policy=named)
    t.equal((a["exit"], a["reason"]), (4, "registry"), "a name that nobody has: undecided")
    a = w.verify(f"{reg.host}/team/none:v1")
    t.check(a["exit"] != 0, "no such image: not accepted", a)
    a = w.verify("127.0.0.1:1/team/app:v1")
    t.equal((a["exit"], a["reason"]), (4, "registry"), "no registry: undecided")
    two = w.write("two.yaml", w.policy_of({"threshold": 2}))
    a = w.verify(f"{reg.host}/team/app:v1", policy=two)
    t.check(a["exit"] == 1 and a["reason"] == "threshold" and
            "1 of 2 different signers" in str(a["checks"]), "one signer of two: it says so", a)
    strict = w.write("strict.yaml", w.policy_of({"requireDigest": True}))
    a = w.verify(f"{reg.host}/team/app:v1", policy=strict)
    t.equal(a["exit"], 1, "a tag where a digest is demanded: rejected")
    other = w.write("other.yaml", w.policy_of({"match": {"images": ["registry.example/**"]}}))
    a = w.verify(f"{reg.host}/team/app:v1", policy=other)
    t.equal((a["exit"], a["reason"]), (1, "no-policy"), "no policy about it: rejected")
    secure = w.write("secure.yaml", w.policy_of({"insecureRegistries": []}))
    a = w.verify(f"{reg.host}/team/app:v1", policy=secure)
    t.equal(a["exit"], 4, "plain http only where the policy allows it")
    mute = socket.create_server(("127.0.0.1", 0))
    t.on_exit(mute.close)

    def babble():
        peer, _ = mute.accept()
        peer.sendall(b"220 mail.example ESMTP\r\n")
        peer.close()
    threading.Thread(target=babble, daemon=True).start()
    a = w.verify(f"127.0.0.1:{mute.getsockname()[1]}/team/app:v1")
    t.check((a["exit"], a["reason"]) == (4, "registry") and "HTTP" in str(a["checks"]),
            "what speaks no HTTP: undecided, and it says so", a)


def bearer(w):
    gate = r.Bearer("user", "word", "refresher")
    reg = w.start(gate, r.serve(w.content))
    gate.realm = f"http://{reg.host}/token"
    ref = f"{reg.host}/team/app:v1"
    a = w.verify(ref)
    t.equal((a["exit"], a["reason"]), (4, "auth"), "no credentials: undecided")
    pair = base64.b64encode(b"user:word").decode()
    a = w.verify(ref, "--credentials", w.credentials(reg.host, auth=pair))
    t.equal(a["exit"], 0, "with a password: accepted")
    t.check("scope=repository%3Ateam%2Fapp%3Apull" in gate.scopes[-1] and "push" not in
            gate.scopes[-1], "asks for what it needs, not for what it is told", gate.scopes[-1])
    tokens = [s for s in reg.seen if s["path"].startswith("/token")]
    t.equal(len(tokens), 2, "one token serves a whole verification")
    a = w.verify(ref, "--credentials", w.credentials(reg.host, identitytoken="refresher"))
    t.equal(a["exit"], 0, "with an identity token: accepted")
    bad = base64.b64encode(b"user:wrong").decode()
    a = w.verify(ref, "--credentials", w.credentials(reg.host, auth=bad))
    t.equal((a["exit"], a["reason"]), (4, "auth"), "a wrong password: undecided")
    t.check("wrong" not in json.dumps(a) and bad not in json.dumps(a), "no secret is shown")
    a = w.verify(ref, "--credentials", w.credentials("127.0.0.1:1", auth=pair))
    t.equal(a["exit"], 4, "credentials of another port are not used")
    t.check(all(s["authorization"] is None for s in reg.seen[-2:]), "and not sent")


def basic(w):
    pair = "Basic " + base64.b64encode(b"user:word").decode()

    def gate(seen):
        if seen["authorization"] != pair:
            return 401, b"{}", {"WWW-Authenticate": 'Basic realm="lab"'}
        return None
    reg = w.start(gate, r.serve(w.content))
    ref = f"{reg.host}/team/app:v1"
    a = w.verify(ref, "--credentials", w.credentials(reg.host, username="user", password="word"))
    t.equal(a["exit"], 0, "basic credentials: accepted")
    a = w.verify(ref, "--credentials", w.credentials(reg.host, username="user", password="x"))
    t.equal((a["exit"], a["reason"]), (4, "auth"), "refused basic credentials: undecided")
    t.check(len(reg.seen) < 20, "and no endless trying", len(reg.seen))


def redirects(w):
    """Blobs lie on another server, which must not learn the registry's credentials."""
    store = w.start(r.serve(w.content))
    gate = r.Bearer("user", "word")

    def away(seen):
        if "/blobs/" in seen["path"]:
            return 307, b"", {"Location": f"http://{store.host}{seen['path']}"}
        return None
    reg = w.start(gate, away, r.serve(w.content))
    gate.realm = f"http://{reg.host}/token"
    pair = base64.b64encode(b"user:word").decode()
    creds = w.credentials(reg.host, auth=pair)
    a = w.verify(f"{reg.host}/team/app:v1", "--credentials", creds)
    t.equal(a["exit"], 0, "blobs of another server: accepted")
    t.check(store.seen and all(s["authorization"] is None for s in store.seen),
            "without the credentials", store.seen)

    def circle(seen):
        if "/blobs/" in seen["path"]:
            return 307, b"", {"Location": seen["path"] + "x"}
        return None
    reg = w.start(circle, r.serve(w.content))
    a = w.verify(f"{reg.host}/team/app:v1")
    t.equal((a["exit"], a["reason"]), (4, "redirect"), "endless redirects: undecided")
    t.check(len(reg.seen) < 20, "few requests", len(reg.seen))
    for place in ("http://169.254.169.254/latest", "http://[fe80::1]/", "http://0.0.0.0/",
                  "http://[fd00:ec2::254]/", "ftp://127.0.0.1/", "http://user:pw@127.0.0.1/",
                  "http://224.0.0.1/", "http://[::ffff:169.254.169.254]/"):
        def out(seen, place=place):
            if "/blobs/" in seen["path"]:
                return 302, b"", {"Location": place}
            return None
        reg = w.start(out, r.serve(w.content))
        a = w.verify(f"{reg.host}/team/app:v1")
        t.equal((a["exit"], a["reason"]), (4, "redirect"), f"a redirect to {place}")


def tls(w):
    """https is the rule: certificates are checked, and nothing falls back to plain http."""
    cert, key = os.path.join(w.folder, "tls.crt"), os.path.join(w.folder, "tls.key")
    t.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
          "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1",
          "-addext", "subjectAltName=IP:127.0.0.1")
    reg = w.start(r.serve(w.content))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    reg.server.socket = context.wrap_socket(reg.server.socket, server_side=True)
    secure = w.write("secure.yaml", w.policy_of({"insecureRegistries": []}))
    a = w.verify(f"{reg.host}/team/app:v1", policy=secure)
    t.equal((a["exit"], a["reason"]), (4, "registry"), "a certificate nobody knows: undecided")
    t.check("certificate" in json.dumps(a), "and the sentence says so", a)
    t.equal(reg.seen, [], "nothing was asked of it")


def pages(w):
    """Lists of referrers in pages; a page of another server, one that never ends."""
    def empty(seen, more):
        if "/referrers/" not in seen["path"]:
            return None
        body = json.dumps({"schemaVersion": 2, "mediaType": r.INDEX, "manifests": []}).encode()
        return 200, body, {"Content-Type": r.INDEX, **more(seen)}

    def endless(seen):
        number = int(seen["path"].partition("n=")[2] or 0)
        return {"Link": f'<{seen["path"].split("?")[0]}?n={number + 1}>; rel="next"'}
    reg = w.start(lambda s: empty(s, endless), r.serve(w.content))
    a = w.verify(f"{reg.host}/team/bare:v1")
    t.check(a["exit"] in (1, 4), "a list without an end ends", a)
    t.check(len(reg.seen) <= 210, "within the requests there are", len(reg.seen))
    reg = w.start(lambda s: empty(s, lambda _: {"Link": '<http://169.254.1.1/x>; rel="next"'}),
                  r.serve(w.content))
    a = w.verify(f"{reg.host}/team/bare:v1")
    t.equal(a["exit"], 4, "a next page on another server: undecided")


def stores(w):
    """OCI layouts: in the place of a registry, and beside it."""
    folder = os.path.join(w.folder, "layout")
    os.makedirs(os.path.join(folder, "blobs", "sha256"))
    entries = []
    for (repository, ref), data in w.content.manifests.items():
        if repository != "team/app":
            continue
        w.write(f"layout/blobs/sha256/{r.digest(data)[7:]}", data.decode())
        if not ref.startswith("sha256:"):
            entries.append({"mediaType": r.MANIFEST, "digest": r.digest(data), "size": len(data),
                            "annotations": {"org.opencontainers.image.ref.name": ref}})
    for name, data in w.content.blobs.items():
        with open(os.path.join(folder, "blobs", "sha256", name[7:]), "wb") as f:
            f.write(data)
    w.write("layout/oci-layout", '{"imageLayoutVersion":"1.0.0"}')
    w.write("layout/index.json", json.dumps({"schemaVersion": 2, "manifests": entries}))
    a = w.verify("registry.example/team/app:v1", "--layout", folder)
    t.equal((a["exit"], a["digest"]), (0, w.image), "an image of a layout: accepted")
    a = w.verify("registry.example/team/app:v2", "--layout", folder)
    t.check(a["exit"] != 0, "a tag that it has not", a)
    bare = r.Content()
    bare.manifests = {k: v for k, v in w.content.manifests.items() if not k[1].endswith(".sig")}
    reg = w.start(r.serve(bare))
    a = w.verify(f"{reg.host}/team/app:v1")
    t.equal(a["exit"], 1, "signatures are not in the registry: rejected")
    for name, place in (("itself", "layout"), ("its folder", ".")):
        policy = w.write("store.yaml", w.policy_of({"signatureStore": place}))
        a = w.verify(f"{reg.host}/team/app:v1", policy=policy)
        t.equal(a["exit"], 0, f"signatures of a store, {name}: accepted")
    os.makedirs(os.path.join(w.folder, "empty"))
    policy = w.write("store.yaml", w.policy_of({"signatureStore": "empty"}))
    full = w.start(r.serve(w.content))
    a = w.verify(f"{full.host}/team/app:v1", policy=policy)
    t.equal(a["exit"], 0, "a store with nothing in it: the registry is asked")
    a = w.verify(f"{reg.host}/team/app:v1", policy=policy)
    t.equal((a["exit"], a["reason"]), (1, "no-signature"), "and its word counts")
    policy = w.write("store.yaml", w.policy_of({"signatureStore": "gone"}))
    a = w.verify(f"{full.host}/team/app:v1", policy=policy)
    t.check(a["exit"] == 4 and "gone" in str(a["checks"]), "a store that is not there: told", a)
    digest = w.write("digest.yaml", w.policy_of({"signers": [], "requireDigest": True}))
    a = w.verify(f"{reg.host}/team/app:v1", policy=digest)
    t.equal((a["exit"], a["reason"]), (1, "reference"), "a digest is all that is demanded: a tag")
    a = w.verify(f"{reg.host}/team/app@{w.image}", policy=digest)
    t.equal(a["exit"], 0, "and a digest")


def policy_check(w):
    """`policy check` opens what a policy names."""
    def check(name, text):
        path = w.write(name, text)
        p = t.run(os.path.join(t.BIN, "bulkhead"), "policy", "check", path, check=False)
        return p.returncode, p.stdout
    t.equal(check("good.yaml", w.policy_of({})), (0, ""), "a good policy: nothing to say")
    code, said = check("gone.yaml", w.policy_of({}).replace("k.pub", "gone.pub"))
    t.check(code == 1 and "gone.yaml:1:" in said and "gone.pub" in said, "a key that is not there",
            said)
    w.write("text.pub", "no key")
    code, said = check("text.yaml", w.policy_of({}).replace("k.pub", "text.pub"))
    t.check(code == 1 and "text.pub" in said, "a file that is no key", said)
    old = w.policy_of({}).replace('"k.pub"', '"k.pub", "notAfter": "2020-01-01"')
    code, said = check("old.yaml", old)
    t.check(code == 0 and "warning: its last key has ended" in said, "a key that has ended", said)
    code, said = check("word.yaml", w.policy_of({"mod": "enforce"}))
    t.check(code == 1 and said.count("unknown field 'mod'") == 1, "an unknown field, told once",
            said)


def policy_export(w):
    """containers-policy.json: what can be said is, the rest is refused."""
    def export(more, name="export.yaml"):
        path = w.write(name, w.policy_of({"insecureRegistries": [], **more}))
        p = t.run(os.path.join(t.BIN, "bulkhead"), "policy", "export", path, check=False)
        return p.returncode, json.loads(p.stdout) if p.stdout else p.stderr
    match = {"images": ["registry.example/**"], "exclude": ["registry.example/debug/**"]}
    code, got = export({"match": match})
    signed = [{"type": "sigstoreSigned", "keyPath": w.key.public,
               "signedIdentity": {"type": "matchRepository"}}]
    free = [{"type": "insecureAcceptAnything"}]
    t.equal((code, got), (0, {"default": free, "transports": {"docker": {
        "registry.example": signed, "registry.example/debug": free}}}), "scopes and keys")
    t.equal(export({"match": {}})[1]["default"], signed, "a policy about everything: the default")
    for more in ({"requireDigest": True}, {"match": {"namespaces": ["a"]}}, {"mode": "audit"},
                 {"match": {"images": ["registry.example/a*"]}}):
        code, said = export(more)
        t.check(code == 1 and "cannot be exported" in said, f"refused: {more}", said)
    if os.path.exists("/usr/bin/skopeo"):
        path = w.write("policy.json", json.dumps(got))
        p = t.run("skopeo", "--policy", path, "copy", "docker://127.0.0.1:1/a", f"dir:{w.folder}/d",
                  check=False)
        t.check("invalid policy" not in p.stderr.lower(), "skopeo reads it", p.stderr)


def run():
    w = image_lib.World()
    for fn in (basics, bearer, basic, redirects, tls, pages, stores, policy_check, policy_export):
        with t.part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    image_lib.enter()
    t.main(run)

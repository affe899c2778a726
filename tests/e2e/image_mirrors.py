#!/usr/bin/python3
"""Mirrors as the container runtime has them: certs.d/HOST/hosts.toml and registries.conf.

What a mirror has comes from it, what it has not, hides, forges or holds back comes from the
registry; nobody's password, header or key goes to anybody else.
"""
import base64
import os
import shutil
import ssl
import time

import image_lib
from image_lib import r, t


class World(image_lib.World):
    def __init__(self):
        super().__init__()
        self.hosts = os.path.join(self.folder, "certs.d")
        self.tls_key, self.ca = self.certificate("ca", "/CN=lab", "basicConstraints=CA:TRUE")

    def certificate(self, name, subject, more):
        key, cert = (os.path.join(self.folder, name + end) for end in (".key", ".crt"))
        t.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
              "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", subject, "-addext",
              more)
        return key, cert

    def issue(self, name, names):
        """A certificate of the lab's authority."""
        key, request, cert = (os.path.join(self.folder, name + e) for e in (".key", ".csr", ".crt"))
        t.run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
              "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        extensions = self.write(name + ".ext", f"subjectAltName={names}\n")
        t.run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.tls_key,
              "-days", "2", "-extfile", extensions, "-out", cert)
        return key, cert

    def secure(self, registry, wants_client=False):
        """TLS from now on, by the lab's authority."""
        key, cert = self.issue(f"server{registry.port}", "IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        registry.server.socket = context.wrap_socket(registry.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)

    def set_hosts(self, host, text):
        shutil.rmtree(self.hosts, ignore_errors=True)
        os.makedirs(os.path.join(self.hosts, host))
        return self.write(f"certs.d/{host}/hosts.toml", text)

    def judge(self, reg, text, image="team/app:v1", policy=None, more=()):
        """The verdict about an image of reg, with hosts.toml as given."""
        self.set_hosts(reg.host, text)
        return self.verify(f"{reg.host}/{image}", "--registry-hosts", self.hosts, *more,
                           policy=policy)


def paths(registry):
    return [s["path"] for s in registry.seen]


def prefers(w):
    up, mirror = w.start(r.serve(w.content)), w.start(r.serve(w.content))
    a = w.judge(up, f'[host."http://{mirror.host}"]\n')
    t.equal((a["exit"], a["digest"]), (0, w.image), "a mirror that has everything")
    t.equal(up.seen, [], "the registry is not asked")
    t.check(all(p.endswith(f"?ns={up.host}") for p in paths(mirror)), "the mirror is told whose",
            paths(mirror))
    up, mirror = w.start(r.serve(w.content)), w.start(r.serve(w.content))
    a = w.judge(up, f'[host."http://{mirror.host}"]\ncapabilities = ["pull"]\n')
    t.equal(a["exit"], 0, "a mirror that may not resolve")
    t.check(any("/manifests/v1" in p for p in paths(up)), "the registry says what the tag is")
    t.check(mirror.seen and not any("/manifests/v1" in p or ".sig" in p for p in paths(mirror)),
            "the mirror is asked for digests only", paths(mirror))
    up, mirror = w.start(r.serve(w.content)), w.start(r.serve(w.content))
    a = w.judge(up, f'server = "http://{mirror.host}"\n')
    t.equal((a["exit"], up.seen), (0, []), "another server in the registry's place")
    proxy = r.Content()
    proxy.blobs = w.content.blobs
    proxy.manifests = {("cache/" + k[0], k[1]): v for k, v in w.content.manifests.items()}
    up, mirror = w.start(r.serve(r.Content())), w.start(r.serve(proxy))
    a = w.judge(up, f'[host."http://{mirror.host}/v2/cache"]\noverride_path = true\n')
    t.equal(a["exit"], 0, "a mirror with a path of its own")


def doubts(w):
    """No mirror has the last word against the registry."""
    bare = r.Content()
    bare.blobs = w.content.blobs
    bare.manifests = {k: v for k, v in w.content.manifests.items() if not k[1].endswith(".sig")}
    up, mirror = w.start(r.serve(w.content)), w.start(r.serve(bare))
    table = '[host."http://%s"]\n'
    a = w.judge(up, table % mirror.host)
    t.equal(a["exit"], 0, "a mirror without the signatures")
    stale = r.Content()
    stale.blobs, stale.manifests = dict(w.content.blobs), dict(w.content.manifests)
    stale.sign("team/app", w.image, image_lib.Key(w.folder, "old").sign)
    up, mirror = w.start(r.serve(w.content)), w.start(r.serve(stale))
    a = w.judge(up, table % mirror.host)
    t.equal(a["exit"], 0, "a mirror with other signatures than the registry's")
    t.check(mirror.seen and up.seen, "both were asked")

    def lie(seen):
        return (200, b'{"schemaVersion":2}', {}) if "sha256:" in seen["path"] else None
    up, mirror = w.start(r.serve(w.content)), w.start(lie, r.serve(w.content))
    a = w.judge(up, table % mirror.host, image=f"team/app@{w.image}")
    t.equal(a["exit"], 0, "a mirror that forges what it is asked for by digest")
    up, mirror = w.start(r.serve(w.content)), w.start(lambda _: time.sleep(60))
    begin = time.monotonic()
    a = w.judge(up, table % mirror.host)
    t.equal(a["exit"], 0, "a mirror that hangs")
    t.check(time.monotonic() - begin < 20, "it leaves time")
    t.equal(len(mirror.seen), 1, "and is asked once")
    up = w.start(r.serve(w.content))
    a = w.judge(up, table % "127.0.0.1:1")
    t.equal(a["exit"], 0, "a mirror that is down")
    up, mirror = w.start(lambda _: (500, b"", {})), w.start(r.serve(bare))
    a = w.judge(up, table % mirror.host)
    t.equal((a["exit"], a["reason"]), (4, "registry"), "no signatures there, and no registry")
    a = w.judge(up, "[host\n")
    t.equal((a["exit"], a["reason"]), (4, "registry"), "a file that cannot be read: undecided")
    t.check("hosts.toml: line 1" in str(a["checks"]), "and the sentence says which", a["checks"])


def tls(w):
    """Certificates are checked whatever skip_verify says; the mirror's authority is the mirror's."""
    up, mirror = w.start(r.serve(r.Content())), w.start(r.serve(w.content))
    w.secure(mirror)
    table = f'[host."https://{mirror.host}"]\n'
    for more in ("", "skip_verify = true\n"):
        a = w.judge(up, table + more)
        t.equal((a["exit"], mirror.seen), (1, []), f"an unknown authority {more}")
    a = w.judge(up, table + f'ca = "{w.ca}"\n')
    t.equal(a["exit"], 0, "its authority is known")
    shutil.copy(w.ca, os.path.join(w.folder, "lab.pem"))
    a = w.judge(up, table + 'ca = ["../../lab.pem"]\n')
    t.equal(a["exit"], 0, "a file beside the settings")
    mutual = w.start(r.serve(w.content))
    w.secure(mutual, wants_client=True)
    key, cert = w.issue("client", "DNS:client")
    table = f'[host."https://{mutual.host}"]\nca = "{w.ca}"\n'
    a = w.judge(up, table)
    t.equal((a["exit"], mutual.seen), (1, []), "a mirror that wants to know its clients")
    a = w.judge(up, table + f'client = [["{cert}", "{key}"]]\n')
    t.equal(a["exit"], 0, "with the client's certificate")
    own = w.write("own.yaml", w.policy_of({"insecureRegistries": []}))
    direct = w.start(r.serve(w.content))
    w.secure(direct)
    a = w.judge(direct, f'ca = "{w.ca}"\n', policy=own)
    t.equal(a["exit"], 0, "the authority of the registry itself")
    plain, up = w.start(r.serve(w.content)), w.start(r.serve(w.content))
    narrow = w.write("narrow.yaml", w.policy_of({"insecureRegistries": [up.host]}))
    a = w.judge(up, f'[host."http://{plain.host}"]\n', policy=narrow)
    t.equal((a["exit"], plain.seen), (0, []), "plain http only where the policy allows it")


def secrets(w):
    """Each server sees its own credentials and headers and nobody else's."""
    def gate(word):
        def rule(seen):
            pair = "Basic " + base64.b64encode(f"{word}:{word}".encode()).decode()
            if seen["authorization"] == pair:
                return None
            return 401, b"", {"WWW-Authenticate": 'Basic realm="x"'}
        return rule
    store = w.start(r.serve(w.content))

    def away(seen):
        if "/blobs/" in seen["path"]:
            return 307, b"", {"Location": f"http://{store.host}{seen['path']}"}
        return None
    bare = r.Content()
    bare.manifests = {k: v for k, v in w.content.manifests.items() if not k[1].endswith(".sig")}
    up = w.start(gate("upper"), r.serve(w.content))
    mirror = w.start(gate("mirror"), away, r.serve(bare))
    def auth(word):
        return base64.b64encode(f"{word}:{word}".encode()).decode()
    config = w.write("both.json", '{"auths": {"%s": {"auth": "%s"}, "%s": {"auth": "%s"}}}' % (
        up.host, auth("upper"), mirror.host, auth("mirror")))
    text = f'[host."http://{mirror.host}".header]\nX-Secret = "shibboleth"\n'
    a = w.judge(up, text, more=("--credentials", config))
    t.equal(a["exit"], 0, "each with its own password")
    for name, reg, own in (("registry", up, "upper"), ("mirror", mirror, "mirror")):
        sent = {s["authorization"] for s in reg.seen}
        t.equal(sent, {None, "Basic " + auth(own)}, f"what the {name} was shown")
    t.check(all(s["headers"].get("X-Secret") == "shibboleth" for s in mirror.seen),
            "the header goes to the mirror")
    for name, reg in (("registry", up), ("server behind a redirect", store)):
        t.check(all("X-Secret" not in s["headers"] for s in reg.seen), f"and not to the {name}")
    t.check(all(s["authorization"] is None for s in store.seen), "nor a password", store.seen)
    alone = w.write("alone.json", '{"auths": {"%s": {"auth": "%s"}}}' % (up.host, auth("upper")))
    up.seen.clear()
    mirror.seen.clear()
    a = w.judge(up, text, more=("--credentials", alone))
    t.equal((a["exit"], {s["authorization"] for s in mirror.seen}), (0, {None}),
            "the registry's password is not the mirror's")


def tokens(w):
    """A mirror's token is asked for by the name that the image has there."""
    gate = r.Bearer("user", "word")
    proxy = r.Content()
    proxy.blobs = w.content.blobs
    proxy.manifests = {("cache/" + k[0], k[1]): v for k, v in w.content.manifests.items()}
    up, mirror = w.start(r.serve(r.Content())), w.start(gate, r.serve(proxy))
    gate.realm = f"http://{mirror.host}/token"
    config = w.credentials(mirror.host + "/cache", username="user", password="word")
    a = w.judge(up, f'[host."http://{mirror.host}/v2/cache"]\noverride_path = true\n',
                more=("--credentials", config))
    t.equal(a["exit"], 0, "with a token")
    t.check(all("scope=repository%3Acache%2Fteam%2Fapp%3Apull" in s for s in gate.scopes),
            "for its repository", gate.scopes)


def containers(w):
    """registries.conf of podman and CRI-O."""
    inner = r.Content()
    inner.blobs = w.content.blobs
    inner.manifests = {("x/" + k[0].split("/")[1], k[1]): v for k, v in w.content.manifests.items()}
    reg = w.start(r.serve(inner))
    conf = w.write("registries.conf", "[[registry]]\nprefix = 'r.example/team'\n"
                                      f"location = '{reg.host}/x'\n")

    def judge(reference):
        return w.verify(reference, "--registries-conf", conf)
    a = judge("r.example/team/app:v1")
    t.equal(a["exit"], 0, "a prefix that stands for another place")
    a = judge("app:v1")
    t.equal((a["exit"], a["reason"]), (1, "reference"), "a name without registry: rejected")
    os.makedirs(conf + ".d")
    w.write("registries.conf.d/1.conf", "[[registry]]\nprefix = 'r.example/team'\nblocked = true\n")
    a = judge("r.example/team/app:v1")
    t.equal((a["exit"], a["reason"]), (1, "reference"), "blocked by a drop-in: rejected")
    t.check("blocks" in str(a["checks"]), "and the sentence says so", a["checks"])
    w.write("registries.conf.d/1.conf", "[[registry]]\nlocation = 1\n")
    a = judge("r.example/team/app:v1")
    t.equal((a["exit"], a["reason"]), (4, "registry"), "a drop-in that is wrong: undecided")
    w.write("registries.conf.d/1.conf", f"[[registry]]\nlocation = 'r.example'\n"
                                        "[[registry.mirror]]\nlocation = '127.0.0.1:1'\n")
    a = judge("r.example/team/app:v1")
    t.equal(a["exit"], 0, "the longer prefix counts")


def signature_repository(w):
    """signatureRepository: where COSIGN_REPOSITORY puts signatures."""
    images, signatures = r.Content(), r.Content()
    images.blobs = w.content.blobs
    signatures.blobs = w.content.blobs
    for (name, ref), data in w.content.manifests.items():
        to = signatures if ref.endswith(".sig") else images
        to.manifests["sigs/all" if to is signatures else name, ref] = data
    up, other = w.start(r.serve(images)), w.start(r.serve(signatures))
    a = w.verify(f"{up.host}/team/app:v1")
    t.equal((a["exit"], a["reason"]), (1, "no-signature"), "not beside the image")
    policy = w.write("sigrepo.yaml", w.policy_of({"signatureRepository": f"{other.host}/sigs/all"}))
    a = w.verify(f"{up.host}/team/app:v1", policy=policy)
    t.equal(a["exit"], 0, "in the repository of signatures")
    a = w.verify(f"{up.host}/team/app@{w.image}", policy=policy)
    t.equal(a["exit"], 0, "by digest")
    other.close()
    a = w.verify(f"{up.host}/team/app:v1", policy=policy)
    t.equal((a["exit"], a["reason"]), (4, "registry"), "which is down: undecided")
    for wrong in ("sigs", "r.example/sigs:tag", "r.example/s@" + w.image, "R.example/Sigs"):
        policy = w.write("wrong.yaml", w.policy_of({"signatureRepository": wrong}))
        p = t.run(os.path.join(t.BIN, "bulkhead"), "policy", "check", policy, check=False)
        t.equal(p.returncode, 1, f"no repository: {wrong}")


def run():
    w = World()
    for fn in (prefers, doubts, tls, secrets, tokens, containers, signature_repository):
        with t.part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    image_lib.enter()
    t.main(run)

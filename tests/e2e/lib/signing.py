"""Images in a real registry, signed by the real tools: docker-registry, umoci, skopeo, cosign 2 and
3, notation. All of it in the network namespace that `enter` leads to; keys are made for the test."""
import json
import os
import subprocess
import sys

import testing
import tools
from testing import on_exit, run, wait_until

sys.path.append(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../fakes"))
from oci_registry import INDEX, MANIFEST, digest  # noqa: E402

TOOLS = ("registry", "umoci", "skopeo", "cosign2", "cosign3", "notation")
NO_LOG = "--tlog-upload=false"
# what keeps cosign off the public services: 2.5 needs the first, 3.1 both
OFFLINE = {"cosign2": [NO_LOG], "cosign3": [NO_LOG, "--use-signing-config=false"]}
ALGORITHMS = {
    "ec256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ec384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "ec521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa2048": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa4096": ["RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "ed25519": ["ed25519"],
}


class Lab:
    """A registry and a signer's desk in `folder`."""

    def __init__(self, folder, enter=(), port=5000):
        self.folder, self.enter, self.port = folder, list(enter), port
        self.host = f"127.0.0.1:{port}"
        self.env = {**os.environ, "HOME": folder, "COSIGN_PASSWORD": "",
                    "XDG_CONFIG_HOME": self.path("xdg"), "DOCKER_CONFIG": folder,
                    "OTEL_TRACES_EXPORTER": "none"}
        self.server = None
        self.n = 0
        os.makedirs(self.path("xdg"), exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def call(self, tool, *args, check=True, **kw):
        return run(*self.enter, tools.path(tool), *args, check=check, cwd=self.folder,
                   env=self.env, **kw)

    # ---- the registry ----

    def start(self):
        with open(self.path("registry.yml"), "w") as f:
            json.dump({"version": "0.1", "log": {"level": "warn"},
                       "storage": {"filesystem": {"rootdirectory": self.path("registry")},
                                   "delete": {"enabled": True}},
                       "http": {"addr": self.host}}, f)
        with open(self.path("registry.log"), "a") as log:
            self.server = testing.spawn(
                [*self.enter, tools.path("registry"), "serve", self.path("registry.yml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        wait_until(lambda: self.get("")[0] == 200, 60, "the registry", 0.05)
        return self

    def stop(self):
        testing.end(self.server)

    def http(self, method, path, body=None, media=None):
        """(status, body, headers as text) of a request to /v2/PATH."""
        out = self.path("http.out")
        args = ["curl", "-sS", "-X", method, "-o", out, "-D", out + ".head", "-w", "%{http_code}",
                "-H", f"Accept: {INDEX}, {MANIFEST}, */*"]
        if body is not None:
            with open(self.path("http.in"), "wb") as f:
                f.write(body)
            args += ["-H", f"Content-Type: {media}", "--data-binary", "@" + self.path("http.in")]
        r = run(*self.enter, *args, f"http://{self.host}/v2/{path}", check=False)
        if r.returncode:
            return 0, b"", r.stderr
        with open(out, "rb") as f, open(out + ".head") as g:
            return int(r.stdout), f.read(), g.read()

    def get(self, path):
        return self.http("GET", path)

    def put_manifest(self, repository, name, body, media=MANIFEST):
        """Under a tag, or under its digest where name is None. Its digest."""
        name = name or digest(body)
        status, said, _ = self.http("PUT", f"{repository}/manifests/{name}", body, media)
        if status != 201:
            raise RuntimeError(f"PUT {repository}/{name}: {status} {said[:200]}")
        return digest(body)

    def manifest(self, repository, name):
        status, body, _ = self.get(f"{repository}/manifests/{name}")
        if status != 200:
            raise RuntimeError(f"GET {repository}/{name}: {status}")
        return body

    # ---- images ----

    def image(self, repository, tag="v1", rootfs=None, config=()):
        """A fresh image with content of its own, pushed; its digest. rootfs: a directory that is
        its content, config: arguments of umoci config."""
        self.n += 1
        layout = self.path(f"img{self.n}")
        name = f"{layout}:x"
        self.call("umoci", "init", "--layout", layout)
        self.call("umoci", "new", "--image", name)
        with open(self.path("unique"), "w") as f:
            f.write(f"{repository}:{tag} {self.n}\n")
        if rootfs:
            self.call("umoci", "insert", "--image", name, rootfs, "/")
        self.call("umoci", "insert", "--image", name, self.path("unique"), "/unique")
        if config:
            self.call("umoci", "config", "--image", name, *config)
        self.call("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                  f"oci:{name}", f"docker://{self.host}/{repository}:{tag}")
        return digest(self.manifest(repository, tag))

    def index(self, repository, tag="v1"):
        """Two platforms under one tag: (digest of the index, [digests of the manifests])."""
        entries = []
        for arch in ("amd64", "arm64"):
            one = self.image(repository, f"{tag}-{arch}")
            size = len(self.manifest(repository, one))
            entries.append({"mediaType": MANIFEST, "digest": one, "size": size,
                            "platform": {"architecture": arch, "os": "linux"}})
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        return self.put_manifest(repository, tag, body, INDEX), [e["digest"] for e in entries]

    def ref(self, repository, name="v1"):
        return f"{self.host}/{repository}{'@' if ':' in name else ':'}{name}"

    # ---- signers ----

    def key(self, name, algorithm="ec256"):
        """A key pair: NAME.key for cosign, NAME.pub for policies, NAME.pem as it is. Its name."""
        run("openssl", "genpkey", "-quiet", "-algorithm", *ALGORITHMS[algorithm], "-out",
            self.path(name + ".pem"))
        run("openssl", "pkey", "-in", self.path(name + ".pem"), "-pubout", "-out",
            self.path(name + ".pub"))
        self.call("cosign3", "import-key-pair", "--key", self.path(name + ".pem"),
                  "--output-key-prefix", self.path(name))
        return name

    def sign(self, tool, key, reference, *more):
        """With cosign2 (.sig tag) or cosign3 (a bundle among the referrers)."""
        self.call(tool, "sign", "-y", *OFFLINE[tool], "--key", self.path(key + ".key"), *more,
                  reference)

    def attest(self, tool, key, reference, kind, predicate):
        path = self.path("predicate.json")
        with open(path, "w") as f:
            json.dump(predicate, f)
        self.call(tool, "attest", "-y", *OFFLINE[tool], "--key", self.path(key + ".key"), "--type",
                  kind, "--predicate", path, reference)

    def authority(self, name, subject):
        """A CA (NAME-ca.pem) and a certificate for signing code under it, known to notation."""
        ca, leaf, ext = self.path(name + "-ca"), self.path(name), self.path(name + ".ext")
        with open(ext, "w") as f:
            f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                    "extendedKeyUsage=codeSigning\n")
        new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-sha256"]
        run(*new, "-x509", "-days", "30", "-subj", f"{subject}/CN={name} CA", "-keyout",
            ca + ".key", "-out", ca + ".pem", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign")
        run(*new, "-subj", f"{subject}/CN={name}", "-keyout", leaf + ".nkey", "-out",
            leaf + ".csr")
        run("openssl", "x509", "-req", "-sha256", "-days", "20", "-in", leaf + ".csr", "-CA",
            ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial", "-extfile", ext, "-out",
            leaf + ".crt")
        with open(leaf + ".crt", "a") as f, open(ca + ".pem") as g:
            f.write(g.read())
        return name

    def notarize(self, authority, reference, *more):
        """Signed by notation, with the certificate of an authority above."""
        folder = self.path("xdg/notation")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "signingkeys.json"), "w") as f:
            json.dump({"default": "k", "keys": [{
                "name": "k", "keyPath": self.path(authority + ".nkey"),
                "certPath": self.path(authority + ".crt")}]}, f)
        self.call("notation", "sign", "--insecure-registry", *more, reference)

    # ---- policies ----

    def policy(self, name, spec, folder=None):
        """An ImagePolicy in a file; keys are named relative to the desk. Its path."""
        spec = {"match": {"images": [f"{self.host}/**"]}, "insecureRegistries": [self.host],
                **spec}
        path = os.path.join(folder or self.folder, name + ".yaml")
        with open(path + ".tmp", "w") as f:
            json.dump({"apiVersion": "bulkhead.io/v1alpha1", "kind": "ImagePolicy",
                       "metadata": {"name": name}, "spec": spec}, f)
        os.rename(path + ".tmp", path)
        return path

    def signer(self, *keys, **more):
        """One signer of a policy with these keys; a key may be a dict with its window."""
        listed = [k if isinstance(k, dict) else {"file": self.path(k + ".pub")} for k in keys]
        return {"name": "s", "keys": listed, **more}

    def verify(self, reference, spec, *more):
        """What `bulkhead image verify` says under a policy of this spec; "exit" is its status."""
        policy = self.policy("asked", spec)
        r = run(*self.enter, os.path.join(testing.BIN, "bulkhead"), "image", "verify", reference,
                "--policy", policy, "-o", "json", *more, check=False)
        answer = json.loads(r.stdout) if r.stdout.strip() else {"reason": r.stderr.strip()}
        answer["exit"] = r.returncode
        return answer

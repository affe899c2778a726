"""What the tests of image verification share: a network of their own, keys, a signed image."""
import contextlib
import ctypes
import json
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "..", "fakes")]
import cni  # noqa: E402
import oci_registry as r  # noqa: E402
import testing as t  # noqa: E402

MARK = "BH_IMAGE_TEST_INSIDE"
CLONE_NEWNET = 0x40000000


def enter():
    """In the place of testing.start(): everything happens on 127.0.0.1 of a fresh namespace."""
    t.start()
    if MARK not in os.environ:
        os.environ.update({MARK: "1", t.INSIDE: "1"})
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    t.run("ip", "link", "set", "lo", "up")


def add_all(pods):
    """Adds at once: (the threads, the list that errors come into)."""
    errors = []

    def add(pod):
        try:
            pod.add()
        except cni.CniError as e:
            errors.append(e)
    threads = [threading.Thread(target=add, args=(pod,)) for pod in pods]
    for thread in threads:
        thread.start()
    return threads, errors


class Key:
    """A P-256 key pair in files."""

    def __init__(self, folder, name):
        self.private = os.path.join(folder, name + ".key")
        self.public = os.path.join(folder, name + ".pub")
        t.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
              self.private)
        t.run("openssl", "ec", "-in", self.private, "-pubout", "-out", self.public)

    def sign(self, data):
        p = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.private], input=data,
                           capture_output=True, check=True)
        return p.stdout


class World:
    """team/app is signed, team/bare is not; policy.yaml trusts the key for everything."""

    def __init__(self):
        self.folder = t.tempdir()
        os.chmod(self.folder, 0o755)
        self.key = Key(self.folder, "k")
        self.content = r.Content()
        self.image = self.content.image("team/app", "v1")
        self.content.sign("team/app", self.image, self.key.sign)
        self.content.image("team/bare", "v1", b"unsigned")
        self.policy = self.write("policy.yaml", self.policy_of({}))

    def policy_of(self, more, name="test"):
        signer = {"name": "k", "keys": [{"file": "k.pub"}]}
        return json.dumps({"apiVersion": "bulkhead.io/v1alpha1", "kind": "ImagePolicy",
                           "metadata": {"name": name},
                           "spec": {"match": {"images": ["**"]}, "signers": [signer],
                                    "insecureRegistries": ["127.0.0.1"], **more}})

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def credentials(self, host, **entry):
        return self.write("config.json", json.dumps({"auths": {host: entry}}))

    def verify(self, reference, *more, policy=None):
        p = subprocess.run([os.path.join(t.BIN, "bulkhead"), "image", "verify", reference,
                            "--policy", policy or self.policy, "-o", "json", *more],
                           capture_output=True, text=True, timeout=t.HANG_S)
        answer = json.loads(p.stdout) if p.stdout else {"stderr": p.stderr}
        answer["exit"] = p.returncode
        return answer

    def start(self, *rules):
        registry = r.Registry(list(rules))
        t.on_exit(registry.close)
        return registry


@contextlib.contextmanager
def inside(netns):
    """Sockets that this thread makes belong to the named network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{netns}") as other:
        if libc.setns(other.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(own.fileno(), CLONE_NEWNET):
                os._exit(1)

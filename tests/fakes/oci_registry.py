"""A registry for tests, in threads of the test: what it serves, and how it misbehaves, is the test's
to say; what it was asked is the test's to read.
"""
import base64
import hashlib
import http.server
import json
import secrets
import threading

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
EMPTY = b"{}"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Content:
    """Manifests by repository and tag or digest, blobs by digest."""

    def __init__(self):
        self.manifests = {}
        self.blobs = {}

    def blob(self, data):
        self.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def manifest(self, repository, tag, body):
        data = json.dumps(body).encode()
        self.manifests[repository, digest(data)] = data
        if tag:
            self.manifests[repository, tag] = data
        return digest(data)

    def image(self, repository, tag, text=b"layer"):
        layer = {**self.blob(text), "mediaType": "application/vnd.oci.image.layer.v1.tar"}
        config = {**self.blob(EMPTY), "mediaType": "application/vnd.oci.image.config.v1+json"}
        return self.manifest(repository, tag, {"schemaVersion": 2, "mediaType": MANIFEST,
                                               "config": config, "layers": [layer]})

    def sign(self, repository, image, sign, n=1):
        """A classic signature under its tag; sign(bytes) returns the signature's bytes."""
        payload = json.dumps({"critical": {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": image},
            "type": "cosign container image signature"}, "optional": None}).encode()
        note = {"dev.cosignproject.cosign/signature": base64.b64encode(sign(payload)).decode()}
        layer = {**self.blob(payload), "mediaType": SIMPLE, "annotations": note}
        config = {**self.blob(EMPTY), "mediaType": "application/vnd.oci.image.config.v1+json"}
        self.manifest(repository, image.replace(":", "-") + ".sig",
                      {"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                       "layers": [layer] * n})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        size = int(self.headers.get("Content-Length", 0))
        self.answer("POST", self.rfile.read(size).decode())

    def do_GET(self):
        self.answer("GET", "")

    def answer(self, method, body):
        seen = {"method": method, "path": self.path, "body": body,
                "authorization": self.headers.get("Authorization"), "headers": self.headers}
        self.server.owner.seen.append(seen)
        for rule in self.server.owner.rules:
            said = rule(seen)
            if said:
                self.say(*said)
                return
        self.say(404, b'{"errors":[]}', {})

    def say(self, status, body, headers):
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # beyond it, the next one is a second late

    def handle_error(self, request, client_address):
        """Clients that hang up in the middle are what some tests are about."""


class Registry:
    """One listener on 127.0.0.1. rules are functions of a request that return (status, body,
    headers) or None; the first answer counts."""

    def __init__(self, rules, port=0):
        self.seen = []
        self.rules = rules
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def serve(content):
    """The plain rules: what content holds, and an empty list of referrers."""
    def rule(seen):
        parts = seen["path"].split("?")[0].split("/")
        if len(parts) < 5 or parts[1] != "v2":
            return None
        repository, kind, ref = "/".join(parts[2:-2]), parts[-2], parts[-1]
        if kind == "manifests":
            data = content.manifests.get((repository, ref))
            return data and (200, data, {"Content-Type": MANIFEST})
        if kind == "blobs":
            data = content.blobs.get(ref)
            return data and (200, data, {"Content-Type": "application/octet-stream"})
        return None
    return rule


class Bearer:
    """Wants a token of its own for everything below /v2/, and sells them to a user."""

    def __init__(self, user, password, identity_token=None):
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.basic = "Basic " + pair
        self.identity_token = identity_token
        self.tokens = set()
        self.scopes = []

    def __call__(self, seen):
        path = seen["path"]
        if path.startswith("/token"):
            return self.sell(seen)
        sent = seen["authorization"] or ""
        if path.startswith("/v2/") and sent.removeprefix("Bearer ") not in self.tokens:
            realm = f'Bearer realm="{self.realm}",service="lab",scope="repository:x:pull,push"'
            return 401, b"{}", {"WWW-Authenticate": realm}
        return None

    def sell(self, seen):
        if seen["method"] == "POST":
            good = self.identity_token and f"refresh_token={self.identity_token}" in seen["body"]
        else:
            good = seen["authorization"] == self.basic
        self.scopes.append(seen["path"] + seen["body"])
        if not good:
            return 401, b"{}", {}
        token = secrets.token_hex(16)
        self.tokens.add(token)
        return 200, json.dumps({"token": token, "expires_in": 60}).encode(), {}

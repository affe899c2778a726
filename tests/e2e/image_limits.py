#!/usr/bin/python3
"""What a registry may do to whoever asks it: bodies without an end, ten gigabytes, a hundred thousand
signatures, certificates made to be slow, headers, redirects and tokens in circles, a byte at a time.

Each ends as rejected or undecided, within the deadline and the worker's 64 MiB.
"""
import base64
import gzip
import json
import os
import socket
import struct
import threading
import time

import image_lib
import image_worker
from image_lib import r, t

# image_worker.question sets a deadline of 5 s; without it those that wait take 20 s and more, and what
# is between is for a machine that is busy or slow
IN_TIME_S = 15
MEMORY_KIB = 64 << 10
CHUNK = b"0" * 65536


class Raw:
    """A server that writes what it likes: fn(path, send) for each request of a connection."""

    def __init__(self, fn):
        self.fn, self.n = fn, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        t.on_exit(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        peer.settimeout(30)
        file = peer.makefile("rb")
        try:
            while True:
                line = file.readline()
                if not line:
                    return
                while file.readline() not in (b"\r\n", b""):
                    continue
                self.n += 1
                self.fn(line.split()[1].decode(), peer.sendall)
        except OSError:
            return
        finally:
            file.close()
            peer.close()


def head(status=200, **headers):
    lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode()


def judge(w, name, server, reference, want):
    worker_begin = time.monotonic()
    answers, worker = image_worker.ask(w, reference)
    took = time.monotonic() - worker_begin
    a = answers[0] or {}
    t.check(a.get("verdict") in want, f"{name}: {' or '.join(want)}", a)
    t.check(took < IN_TIME_S, f"{name}: in time", f"{took:.1f} s")
    t.check(worker.peak_kib < MEMORY_KIB, f"{name}: memory", f"{worker.peak_kib} KiB")
    print(f"      {a.get('reason')}, {took:.1f} s, {worker.peak_kib} KiB")
    return a


def bent(w, bend):
    """The content of the world, but what bend(path, send) answers itself (then it returns True)."""
    plain = r.serve(w.content)

    def fn(path, send):
        if bend(path, send):
            return
        said = plain({"path": path}) or (404, b"{}", {})
        send(head(said[0], Content_Length=len(said[1]), **{
            k.replace("-", "_"): v for k, v in said[2].items()}) + said[1])
    return Raw(fn)


def is_signature(path):
    return ".sig" in path or "/referrers/" in path


def endless(send):
    try:
        while True:
            send(CHUNK)
    except OSError:
        return


def bodies(w):
    def chunked(path, send):
        if not is_signature(path):
            return False
        send(head(Transfer_Encoding="chunked"))
        piece = b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK)
        while True:
            send(piece)

    def long(path, send):
        if not is_signature(path):
            return False
        send(head(Content_Length=10 << 30))
        endless(send)
        return True

    def unsized(path, send):
        if not is_signature(path):
            return False
        send(head(Connection="close"))
        endless(send)
        return True

    def packed(path, send, body=gzip.compress(bytes(256 << 20), 1)):
        if not is_signature(path):
            return False
        send(head(Content_Encoding="gzip", Content_Length=len(body)) + body)
        return True

    def headers(path, send):
        if not is_signature(path):
            return False
        send(b"HTTP/1.1 200 X\r\n")
        while True:
            send(b"X-A: " + b"a" * 8000 + b"\r\n")
    for name, fn in (("a body in chunks without an end", chunked), ("ten gigabytes", long),
                     ("a body without a length", unsized), ("256 MiB of zeros, packed", packed),
                     ("headers without an end", headers)):
        s = bent(w, fn)
        judge(w, name, s, f"{s.host}/team/app:v1", ("reject", "undecided"))
    for name, part in (("an endless image", "/manifests/v1"), ("an endless payload", "/blobs/")):
        def fn(path, send, part=part):
            if part not in path:
                return False
            send(head(Content_Length=10 << 30))
            endless(send)
            return True
        s = bent(w, fn)
        judge(w, name, s, f"{s.host}/team/app:v1", ("reject", "undecided"))


def slowness(w):
    """A byte now and then: the deadline is one for all of it."""
    def drip(path, send):
        if not is_signature(path):
            return False
        send(head(Content_Length=1000))
        for _ in range(1000):
            send(b" ")
            time.sleep(0.2)
        return True

    def head_drip(path, send):
        if not is_signature(path):
            return False
        for c in head(Content_Length=2) * 50:
            send(bytes([c]))
            time.sleep(0.2)
        return True

    def silence(_, send):
        time.sleep(20)
        return True
    for name, fn in (("a byte at a time", drip), ("a head a byte at a time", head_drip),
                     ("nothing at all", silence)):
        s = bent(w, fn)
        a = judge(w, name, s, f"{s.host}/team/app:v1", ("undecided",))
        t.equal(a.get("reason"), "timeout", f"{name}: said so")
    # answers that are each quick, and too many of them
    n = [0]

    def many(path, send):
        if "/referrers/" not in path:
            return False
        n[0] += 1
        body = json.dumps({"manifests": []}).encode()
        send(head(Content_Length=len(body), Link=f'<{path.split("?")[0]}?n={n[0]}>; rel="next"')
             + body)
        return True
    s = bent(w, many)
    judge(w, "a list of a million pages", s, f"{s.host}/team/bare:v1", ("reject", "undecided"))
    t.check(n[0] <= 200, "few of them are read", n[0])


def circles(w):
    def redirect(path, send):
        if not is_signature(path):
            return False
        send(head(307, Location=path.split("?")[0] + f"?{time.monotonic()}", Content_Length=0))
        return True

    def tokens(path, send):
        if path.startswith("/token"):
            body = b'{"token":"x"}'
            send(head(Content_Length=len(body)) + body)
        else:
            send(head(401, Content_Length=0,
                      WWW_Authenticate=f'Bearer realm="http://{place[0]}/token",service="x"'))
        return True

    def long_token(path, send):
        body = json.dumps({"token": "x" * (1 << 20)}).encode()
        if path.startswith("/token"):
            send(head(Content_Length=len(body)) + body)
            return True
        return tokens(path, send)

    def busy(path, send):
        if not is_signature(path):
            return False
        send(head(429, Retry_After="1", Content_Length=0))
        return True
    place = [None]
    for name, fn in (("redirects in a circle", redirect), ("tokens that never suffice", tokens),
                     ("a token of a megabyte", long_token), ("too many requests, always", busy)):
        s = bent(w, fn)
        place[0] = s.host
        judge(w, name, s, f"{s.host}/team/app:v1", ("undecided",))
        t.check(s.n < 30, f"{name}: few requests", s.n)


def hundred_thousand(w):
    """Signatures, referrers, and lists of them."""
    layer = {"mediaType": r.SIMPLE, "digest": "sha256:" + "0" * 64, "size": 2,
             "annotations": {"dev.cosignproject.cosign/signature": "AA=="}}
    body = json.dumps({"layers": [layer] * 100000}).encode()
    short = json.dumps({"layers": [{"mediaType": r.SIMPLE}] * 60000}).encode()
    entries = json.dumps({"manifests": [{"digest": "sha256:%064x" % i} for i in range(
        40000)]}).encode()
    for name, part, data in (("100000 signatures", ".sig", body), ("60000 short ones", ".sig",
                             short), ("40000 referrers", "/referrers/", entries)):
        def fn(path, send, part=part, data=data):
            if part not in path:
                return False
            send(head(Content_Length=len(data)) + data)
            return True
        s = bent(w, fn)
        judge(w, name, s, f"{s.host}/team/bare:v1", ("reject", "undecided"))
        t.check(s.n <= 200, f"{name}: few requests", s.n)


def tlv(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x83" + struct.pack(">I", size)[1:]
    return bytes([tag]) + length + content


def pem(der):
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


def certificates(w):
    """Large, deep and many; the policy's own authority has signed none of them."""
    key, cert = os.path.join(w.folder, "big.key"), os.path.join(w.folder, "big.crt")
    t.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
          "-days", "2", "-subj", "/CN=big", "-addext",
          "subjectAltName=" + ",".join(f"DNS:n{i}.example" for i in range(3000)))
    with open(cert) as f:
        names = f.read()
    with open(os.path.join(w.folder, "root.pem"), "w") as f:
        f.write(names)
    deep = b""
    for _ in range(20000):
        deep = tlv(0x30, deep)
    rows = {"a certificate of 3000 names": (names, names), "200 in a chain": (names, names * 200),
            "20000 sequences in each other": (pem(deep), pem(deep)),
            "no end of a certificate": ("-----BEGIN CERTIFICATE-----\n" + "A" * 250000, ""),
            "a modulus of a megabit": (pem(tlv(0x30, tlv(2, b"\x7f" * 131072))), "")}
    signer = {"name": "pki", "certificates": {"roots": "root.pem", "subject": "x@example"}}
    policy = w.write("pki.yaml", w.policy_of({"signers": [signer]}))
    with open(os.path.join(w.folder, "root.pem"), "rb") as f:
        root = base64.b64encode(f.read()).decode()
    for name, (leaf, chain) in rows.items():
        content = r.Content()
        image = content.image("team/app", "v1")
        payload = json.dumps({"critical": {"image": {"docker-manifest-digest": image}}}).encode()
        note = {"dev.cosignproject.cosign/signature": base64.b64encode(b"x" * 70).decode(),
                "dev.sigstore.cosign/certificate": leaf[:260000],
                "dev.sigstore.cosign/chain": chain[:260000]}
        layer = {**content.blob(payload), "mediaType": r.SIMPLE, "annotations": note}
        content.manifest("team/app", image.replace(":", "-") + ".sig", {
            "schemaVersion": 2, "layers": [layer] * 7})
        reg = w.start(r.serve(content))
        with open(policy) as f:
            text = f.read()
        begin = time.monotonic()
        worker = image_worker.Worker()
        worker.send(image_worker.frame(json.dumps({
            "images": [{"reference": f"{reg.host}/team/app:v1"}], "now": image_worker.NOW,
            "deadlineMs": 5000, "policies": {
                "documents": [{"file": "/p/policy.yaml", "text": text}],
                "files": {"/p/root.pem": root}}}).encode()))
        a = worker.answer() or {}
        worker.end()
        took = time.monotonic() - begin
        t.equal(a.get("verdict"), "reject", name)
        t.check(took < IN_TIME_S, f"{name}: in time", f"{took:.1f} s")
        t.check(worker.peak_kib < MEMORY_KIB, f"{name}: memory", f"{worker.peak_kib} KiB")
        print(f"      {a.get('reason')}, {took:.1f} s, {worker.peak_kib} KiB")


def run():
    w = image_lib.World()
    for fn in (bodies, slowness, circles, hundred_thousand, certificates):
        with t.part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    image_lib.enter()
    t.main(run)

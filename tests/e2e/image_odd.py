#!/usr/bin/python3
"""Registries that do things in their own way and are right, and such as are not: old HTTP, odd
headers, redirects, lists in pages, tokens, busy moments, certificates for another name."""
import base64
import json
import os
import socket
import ssl
import threading
import warnings

import image_lib
from image_lib import r, t
from image_limits import Raw, bent, head

TLS10, TLS11, TLS12 = (ssl.TLSVersion(0x0301 + i) for i in range(3))
PAIR = base64.b64encode(b"user:word").decode()


def verdicts(w, name, server, want, *more, image="team/app:v1"):
    a = w.verify(f"{server.host}/{image}", *more)
    t.check(a.get("verdict") == want, f"{name}: {want}", a)
    return a


def plain(w, rewrite, stays=True):
    """The content of the world; rewrite(status, headers, body) returns what is sent."""
    serve = r.serve(w.content)

    def fn(path, send):
        status, body, headers = serve({"path": path}) or (404, b"{}", {})
        send(rewrite(status, headers, body))
        if not stays:
            raise ConnectionAbortedError
    return Raw(fn)


def text(status, headers, body, version="1.1"):
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return f"HTTP/{version} {status} X\r\n{lines}\r\n".encode() + body


def answers(w):
    """How an answer is put on the wire."""
    def sized(headers, body, **more):
        return {**headers, "Content-Length": len(body), **more}
    good = {
        "HTTP/1.0": lambda s, h, b: text(s, sized(h, b), b, "1.0"),
        "chunks": lambda s, h, b: text(s, {**h, "Transfer-Encoding": "chunked"}, b"".join(
            b"1\r\n%c\r\n" % c for c in b) + b"0\r\n\r\n"),
        "no type": lambda s, h, b: text(s, {"Content-Length": len(b)}, b),
        "a type with a character set": lambda s, h, b: text(s, sized(
            {"Content-Type": h.get("Content-Type", "x/y") + "; charset=utf-8"}, b), b),
        "another type": lambda s, h, b: text(s, sized({"Content-Type": "text/plain"}, b), b),
        "a digest that lies": lambda s, h, b: text(s, sized(h, b, **{
            "Docker-Content-Digest": "sha256:" + "0" * 64}), b),
        "headers in capitals": lambda s, h, b: text(s, {
            k.upper(): v for k, v in sized(h, b).items()}, b),
        "the length twice": lambda s, h, b: text(s, sized(h, b), b).replace(
            b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(b), 1),
    }
    for name, fn in good.items():
        verdicts(w, name, plain(w, fn, "1.0" not in name), "accept")
    bad = {
        "a body that is cut": lambda s, h, b: text(s, sized(h, b + b"123456"), b),
        "a length that is too short": lambda s, h, b: text(s, sized(h, b[:-2]), b),
        "no body": lambda s, h, b: text(s, {**h, "Content-Length": 0}, b""),
        "a web page": lambda s, h, b: text(s, sized({"Content-Type": "text/html"}, b), b),
        "status 206": lambda s, h, b: text(206, sized(h, b), b),
        "status 204": lambda s, h, b: text(204, {}, b""),
        "status 999": lambda s, h, b: text(999, sized(h, b), b),
        "a negative length": lambda s, h, b: text(s, {**h, "Content-Length": -1}, b),
    }
    for name, fn in bad.items():
        server = plain(w, fn, stays=False)
        a = w.verify(f"{server.host}/team/app:v1")
        t.check(a.get("verdict") in ("reject", "undecided"), f"{name}: not accepted", a)


def hangs_up(w):
    """A connection that is said to stay open, and does not."""
    serve = r.serve(w.content)
    listener = socket.create_server(("127.0.0.1", 0))
    t.on_exit(listener.close)

    def accept():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as f:
                line = f.readline().split()
                while f.readline() not in (b"\r\n", b""):
                    continue
                said = serve({"path": line[1].decode()}) if len(line) > 1 else None
                status, body, headers = said or (404, b"{}", {})
                peer.sendall(text(status, {**headers, "Content-Length": len(body)}, body))
    threading.Thread(target=accept, daemon=True).start()
    server = type("Server", (), {"host": "127.0.0.1:%d" % listener.getsockname()[1]})
    verdicts(w, "it hangs up after each answer", server, "accept")


def redirects(w):
    """To itself in all spellings, to another server and on from there."""
    def moved(status, place):
        def fn(path, send):
            if "/blobs/" not in path or "moved=1" in path:
                return False
            send(head(status, Location=place(path), Content_Length=0))
            return True
        return bent(w, fn)
    for name, status, place in (
            ("a path", 307, lambda p: p + "?moved=1"),
            ("301", 301, lambda p: p + "?moved=1"),
            ("303", 303, lambda p: p + "?moved=1"),
            ("308", 308, lambda p: p + "?moved=1"),
            ("a name beside it", 302, lambda p: p.rsplit("/", 1)[1] + "?moved=1"),
            ("only a query", 302, lambda p: "?moved=1")):
        verdicts(w, f"redirected to {name}", moved(status, place), "accept")
    for name, place in (("nothing", lambda p: ""), ("a file", lambda p: "file:///etc/passwd"),
                        ("another scheme", lambda p: "gopher://127.0.0.1/"),
                        ("a name of nobody", lambda p: "http://no-such-host.invalid/")):
        verdicts(w, f"redirected to {name}", moved(302, place), "undecided")


def lists(w):
    """A bundle is on the second page of a list that knows several links."""
    empty = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    names = {"relative": '<{p}?page=2>; rel="next"',
             "whole": '<http://{h}{p}?page=2>; rel="next"',
             "unquoted": "<{p}?page=2>; rel=next",
             "not the first": '<{p}?page=1>; rel="prev", <{p}?page=2>; rel="next"',
             "not the last": '<{p}?page=2>; rel="next", <{p}?page=9>; rel="last"',
             "with more words": '<{p}?page=2>; title="a, b"; rel="next"; type="x/y"',
             "of two meanings": '<{p}?page=2>; rel="next last"'}
    for name, link in names.items():
        pages = []

        def fn(path, send, link=link, pages=pages):
            if "/referrers/" not in path:
                return False
            pages.append(path)
            where = path.split("?")[0]
            more = {} if "page=2" in path else {
                "Link": link.format(p=where, h=server.host)}
            send(head(Content_Length=len(empty), **more) + empty)
            return True
        server = bent(w, fn)
        verdicts(w, f"the next page, {name}", server, "reject", image="team/bare:v1")
        t.check([p.rpartition("?")[2] for p in pages][1:] == ["page=2"],
                f"the next page, {name}: it is asked for once", pages)
    for name, link in (("of another meaning", '<{p}?page=2>; rel="prev"'),
                       ("that begins so", '<{p}?page=2>; rel="nextish"'),
                       ("that is none", "{p}?page=2; rel=next")):
        pages = []

        def other(path, send, link=link, pages=pages):
            if "/referrers/" not in path:
                return False
            pages.append(path)
            send(head(Content_Length=len(empty), Link=link.format(p=path.split("?")[0])) + empty)
            return True
        verdicts(w, f"a link {name}", bent(w, other), "reject", image="team/bare:v1")
        t.check(len(pages) == 1, f"a link {name}: not followed", pages)


def no_lists(w):
    """How registries say that they have no lists of referrers; and what says nothing."""
    for status, want in ((404, "reject"), (400, "reject"), (405, "reject"), (500, "undecided"),
                         (401, "undecided"), (403, "undecided"), (503, "undecided")):
        def fn(path, send, status=status):
            if "/referrers/" not in path:
                return False
            send(head(status, Content_Length=0))
            return True
        verdicts(w, f"a list of referrers: {status}", bent(w, fn), want, image="team/bare:v1")


def busy(w):
    """Once busy is not always busy."""
    for name, status, more in (("429 with a second", 429, {"Retry_After": "1"}),
                               ("429 with a date", 429, {
                                   "Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
                               ("429 alone", 429, {}), ("503", 503, {}), ("502", 502, {})):
        count = []

        def fn(path, send, status=status, more=more, count=count):
            count.append(path)
            if len(count) != 2:
                return False
            send(head(status, Content_Length=0, **more))
            return True
        verdicts(w, f"busy once, {name}", bent(w, fn), "accept")


def tokens(w):
    """Words in which registries ask for tokens."""
    for name, form in (
            ("without quotes", 'Bearer realm=http://{h}/token,service=lab'),
            ("in small letters", 'bearer realm="http://{h}/token",service="lab"'),
            ("beside Basic", 'Basic realm="x", Bearer realm="http://{h}/token",service="lab"'),
            ("Basic after it", 'Bearer realm="http://{h}/token", Basic realm="x"'),
            ("with an error", 'Bearer realm="http://{h}/token",error="invalid_token",scope=""'),
            ("with a query", 'Bearer realm="http://{h}/token?a=b"')):
        for member in ("token", "access_token"):
            gate = r.Bearer("user", "word")

            def ask(seen, gate=gate, form=form, member=member):
                said = gate(seen)
                if said and said[0] == 401:
                    return 401, b"", {"WWW-Authenticate": form.format(h=seller.host)}
                if said and member == "access_token":
                    token = json.loads(said[1])["token"]
                    return 200, json.dumps({member: token}).encode(), {}
                return said
            gate.realm = ""
            seller = w.start(ask)
            shop = w.start(ask, r.serve(w.content))
            verdicts(w, f"a token, {name}, {member}", shop, "accept", "--credentials",
                     w.credentials(shop.host, auth=PAIR))
            t.check(all(s["authorization"] in (None, "Basic " + PAIR) for s in seller.seen),
                    f"a token, {name}, {member}: the seller sees no other's")


def certificate(w, name, san):
    files = [os.path.join(w.folder, name + end) for end in (".crt", ".key")]
    t.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
          "-nodes", "-keyout", files[1], "-out", files[0], "-days", "2", "-subj", "/CN=x",
          "-addext", f"subjectAltName={san}")
    return files


def over_tls(w, files, highest=None):
    server = w.start(r.serve(w.content))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if highest:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():  # that they are old is what the test is about
            warnings.simplefilter("ignore")
            context.maximum_version = highest
    context.load_cert_chain(*files)
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    return server


def tls(w):
    """A CA of the operator's own for one host, as containerd has it; then names and versions."""
    right = certificate(w, "right", "IP:127.0.0.1")
    wrong = certificate(w, "wrong", "DNS:registry.example")
    secure = w.write("secure.yaml", w.policy_of({"insecureRegistries": []}))
    for name, files, highest, want in (
            ("the right name", right, None, "accept"),
            ("TLS 1.2", right, TLS12, "accept"),
            ("another name", wrong, None, "undecided"),
            ("TLS 1.1", right, TLS11, "undecided"),
            ("TLS 1.0", right, TLS10, "undecided")):
        server = over_tls(w, files, highest)
        certs = os.path.join(w.folder, "certs.d", server.host)
        os.makedirs(certs)
        with open(os.path.join(certs, "hosts.toml"), "w") as f:
            f.write(f'server = "https://{server.host}"\nca = "{files[0]}"\n')
        a = w.verify(f"{server.host}/team/app:v1", "--registry-hosts",
                     os.path.dirname(certs), policy=secure)
        t.check(a.get("verdict") == want, f"{name}: {want}", a)


def run():
    w = image_lib.World()
    for part in (answers, hangs_up, redirects, lists, no_lists, busy, tokens, tls):
        with t.part(part.__name__):
            part(w)


if __name__ == "__main__":
    image_lib.enter()
    t.main(run)

#!/usr/bin/python3
"""A strict receiver of OTLP logs (/v1/logs) and of webhooks (/hook) over TLS.

  collector.py PORT CERT KEY DIR

It answers 400 with a reason to whatever the protocol does not allow. DIR/mode says how it behaves:
ok, busy (503 with Retry-After: 1), partial (refuses the first record of each request), hang, refuse
(400 always). Accepted bodies are appended to DIR/otlp.jsonl and DIR/hook.jsonl; DIR/secret signs."""
import hashlib
import hmac
import json
import os
import re
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, CERT, KEY, DIR = int(sys.argv[1]), *sys.argv[2:5]
SEVERITIES = range(0, 25)
lock = threading.Lock()


def mode():
    with open(os.path.join(DIR, "mode")) as f:
        return f.read().strip()


def demand(holds, text):
    if not holds:
        raise ValueError(text)


def keys(obj, allowed, needed=()):
    demand(isinstance(obj, dict), f"{obj!r} is no object")
    demand(set(obj) <= set(allowed), f"unknown fields {set(obj) - set(allowed)}")
    demand(set(needed) <= set(obj), f"missing fields {set(needed) - set(obj)}")


def check_attributes(attributes):
    for a in attributes:
        keys(a, ("key", "value"), ("key", "value"))
        keys(a["value"], ("stringValue", "intValue", "boolValue"))
        demand(len(a["value"]) == 1, "one value")
    demand(len({a["key"] for a in attributes}) == len(attributes), "attribute keys are unique")


def check_record(record):
    keys(record, ("timeUnixNano", "observedTimeUnixNano", "severityNumber", "severityText", "body",
                  "attributes"), ("timeUnixNano", "body"))
    for k in ("timeUnixNano", "observedTimeUnixNano"):
        demand(isinstance(record[k], str) and re.fullmatch(r"\d{19}", record[k]), f"{k} in ns")
    demand(record["severityNumber"] in SEVERITIES, "severityNumber")
    keys(record["body"], ("stringValue",), ("stringValue",))
    check_attributes(record["attributes"])
    return json.loads(record["body"]["stringValue"])


def check_otlp(body, _headers):
    """The events in it."""
    keys(body, ("resourceLogs",), ("resourceLogs",))
    events = []
    for resource in body["resourceLogs"]:
        keys(resource, ("resource", "scopeLogs", "schemaUrl"), ("resource", "scopeLogs"))
        check_attributes(resource["resource"]["attributes"])
        demand("service.name" in {a["key"] for a in resource["resource"]["attributes"]},
               "service.name")
        for scope in resource["scopeLogs"]:
            keys(scope, ("scope", "logRecords", "schemaUrl"), ("logRecords",))
            events += [check_record(r) for r in scope["logRecords"]]
    return events


def check_hook(body, headers, raw):
    keys(body, ("node", "firstSeq", "lastSeq", "events"), ("node", "firstSeq", "lastSeq", "events"))
    found = re.fullmatch(r"t=(\d+),sha256=([0-9a-f]{64})", headers["X-Bulkhead-Signature"] or "")
    demand(found, "signature")
    with open(os.path.join(DIR, "secret"), "rb") as f:
        secret = f.read().rstrip(b"\n")
    good = hmac.new(secret, found[1].encode() + b"." + raw, hashlib.sha256).hexdigest()
    demand(hmac.compare_digest(good, found[2]), "signature does not fit")
    demand(abs(time.time() - int(found[1])) < 60, "signature is old")
    demand(body["firstSeq"] == body["events"][0]["chain"]["seq"], "firstSeq")
    demand(body["lastSeq"] == body["events"][-1]["chain"]["seq"], "lastSeq")
    return body["events"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def keep(self, name, events):
        """In one piece each: connections have threads of their own, and somebody reads along."""
        with open(os.path.join(DIR, name), "ab", buffering=0) as f, lock:
            f.write("".join(json.dumps(e) + "\n" for e in events).encode())

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        how = mode()
        if how == "hang":
            while mode() == "hang":
                time.sleep(0.05)
            self.close_connection = True
            return
        if how == "busy":
            self.answer(503, Retry_After="1")
            return
        try:
            self.take(json.loads(raw), raw, how)
        except (ValueError, KeyError, TypeError) as e:
            self.keep("refused.jsonl", [str(e)])
            self.answer(400, json.dumps({"message": str(e)}).encode())

    def take(self, body, raw, how):
        demand(self.headers["Content-Type"] == "application/json", "content type")
        demand(self.headers["X-Tenant"] == "t1", "the header of the settings")
        demand(how != "refuse", "told to refuse")
        if self.path == "/v1/logs":
            events, name = check_otlp(body, self.headers), "otlp.jsonl"
        else:
            demand(self.path == "/hook", "path")
            events, name = check_hook(body, self.headers, raw), "hook.jsonl"
        answer = {}
        if how == "partial":
            events = events[1:]
            answer = {"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "not this one"}}
        self.keep(name, events)
        self.answer(200, json.dumps(answer).encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # beyond it, the next one is a second late


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERT, KEY)
server = Server(("127.0.0.1", PORT), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()

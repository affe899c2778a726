"""A container runtime for tests: Container Runtime Interface, runtime.v1, over gRPC on a unix socket,
in threads of the test.

Strict: whatever a client does that the protocols do not allow is a complaint, which the test reads.
Messages are written and read here by field number, as api.proto of k8s.io/cri-api has them, and not
by the client's own description of them.
"""
import contextlib
import os
import socket
import threading
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError
from wire import delimited as message, parse, varint

STATES = {"created": 0, "running": 1, "exited": 2, "unknown": 3}
RUNTIME, IMAGES = "/runtime.v1.RuntimeService/", "/runtime.v1.ImageService/"


def field(number, value):
    """Strings, messages (bytes), numbers; what is empty is not written, as in proto3."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    data = value.encode() if isinstance(value, str) else value
    return message(number, data) if data else b""


def strings(data):
    """{number: [bytes]} of a request, which has strings and messages only."""
    out = parse(data)
    if not all(isinstance(v, bytes) for values in out.values() for v in values):
        raise ValueError("a number where the protocol has none")
    return out


class Runtime:
    """What it says it runs is the test's to change at any time."""

    def __init__(self, path):
        self.sandboxes = {}   # id: {"namespace", "name", "uid"}
        self.containers = {}  # id: see container()
        self.images = {}      # id: [repository@digest]
        self.calls = []
        self.complaints = []
        self.fault = None     # function(method, answer) > what to send, see Connection.say
        self.lock = threading.Lock()
        self.path = path
        self.open = []
        self.listen()

    def listen(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        os.chmod(self.path, 0o600)
        self.server.listen()
        threading.Thread(target=self.accept, args=(self.server,), daemon=True).start()

    def accept(self, server):
        with contextlib.suppress(OSError):
            while True:
                client = server.accept()[0]
                self.open.append(client)
                if server is not self.server:  # stopped meanwhile
                    client.close()
                    return
                threading.Thread(target=Connection(self, client).serve, daemon=True).start()

    def close(self):
        """As when the runtime is stopped: the socket file stays."""
        server, self.server = self.server, None
        for s in [x for x in (server, *self.open) if x]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        self.open = []

    # ---- what it runs ----

    def sandbox(self, ident, namespace, name, uid="u1"):
        self.sandboxes[ident] = {"namespace": namespace, "name": name, "uid": uid}

    def container(self, ident, sandbox, **more):
        """name, state, wanted (the pod's words), image (what create was told), image_id, image_ref,
        volumes [(image, digests)]."""
        self.containers[ident] = {"sandbox": sandbox, "name": "main", "state": "running",
                                  "wanted": "", "image": "", "image_id": "", "image_ref": "",
                                  "volumes": [], "created": time.time_ns(), **more}

    def remove(self, ident):
        self.containers.pop(ident, None)
        if ident in self.sandboxes:
            del self.sandboxes[ident]
            for c in [k for k, v in self.containers.items() if v["sandbox"] == ident]:
                del self.containers[c]

    # ---- methods ----

    def spec(self, image, wanted=""):
        return field(1, image) + field(18, wanted) + field(19, "runc")

    def version(self, _):
        return (field(1, "0.1.0") + field(2, "fake") + field(3, "2.1.9") + field(4, "v1"))

    def list_sandboxes(self, _):
        return b"".join(message(1, field(1, k) + message(2, field(1, s["name"]) +
                                field(2, s["uid"]) + field(3, s["namespace"]) + field(4, 1)) +
                                field(4, 5) + message(5, field(1, "app") + field(2, "x")) +
                                field(7, "runc"))
                        for k, s in list(self.sandboxes.items()))

    def list_containers(self, _):
        return b"".join(message(1, field(1, k) + field(2, c["sandbox"]) +
                                message(3, field(1, c["name"]) + field(2, 2)) +
                                message(4, self.spec(c["image"], c["wanted"])) +
                                field(5, c["image_id"]) + field(6, STATES[c["state"]]) +
                                field(7, c["created"]) + field(10, c["image_id"]))
                        for k, c in list(self.containers.items()))

    def container_status(self, rq):
        ident = strings(rq)[1][0].decode()
        c = self.containers.get(ident)
        if not c:
            return (5, f"container {ident} not found")
        mounts = message(14, field(1, "/data") + field(2, "/srv")) + b"".join(
            message(14, field(1, "/vol") + message(9, self.spec(image)))
            for image in c["volumes"])
        status = (field(1, ident) + message(2, field(1, c["name"])) +
                  field(3, STATES[c["state"]]) + field(4, c["created"]) +
                  message(8, self.spec(c["image"])) + field(9, c["image_ref"]) + mounts +
                  field(17, c["image_id"]))
        return message(1, status)

    def image_status(self, rq):
        spec = strings(strings(rq)[1][0])
        name = spec[1][0].decode()
        digests = self.images.get(name)
        if digests is None:
            return b""
        return message(1, field(1, name) + field(2, "example/tag:v1") +
                       b"".join(field(3, d) for d in digests) + field(4, 12345))

    METHODS = {RUNTIME + "Version": version, RUNTIME + "ListPodSandbox": list_sandboxes,
               RUNTIME + "ListContainers": list_containers,
               RUNTIME + "ContainerStatus": container_status,
               IMAGES + "ImageStatus": image_status}

    def answer(self, method, rq):
        fn = self.METHODS.get(method)
        return fn(self, rq) if fn else (12, f"unknown method {method}")

    def complain(self, text):
        self.complaints.append(text)


class Connection:
    def __init__(self, runtime, client):
        self.runtime, self.client = runtime, client
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests = {}

    def serve(self):
        with contextlib.suppress(OSError):
            try:
                self.h2.initiate_connection()
                self.flush()
                while True:
                    data = self.client.recv(65536)
                    if not data:
                        return
                    for event in self.h2.receive_data(data):
                        self.take(event)
                    self.flush()
            except (ProtocolError, ValueError, IndexError, KeyError) as e:
                self.runtime.complain(f"{type(e).__name__}: {e}")
            finally:
                self.client.close()

    def flush(self):
        self.client.sendall(self.h2.data_to_send())

    def take(self, event):
        if isinstance(event, RequestReceived):
            self.requests[event.stream_id] = (dict(event.headers), b"")
        elif isinstance(event, DataReceived):
            headers, body = self.requests[event.stream_id]
            self.requests[event.stream_id] = headers, body + event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.reply(event.stream_id, *self.requests.pop(event.stream_id))

    def check(self, headers, body):
        def demand(holds, text):
            if not holds:
                self.runtime.complain(f"{text}: {headers} {body[:64]!r}")
        demand(headers.get(":method") == "POST", "method")
        demand(headers.get(":scheme") == "http", "scheme")
        demand(headers.get(":authority"), "authority")
        demand(headers.get("te") == "trailers", "te")
        demand(headers.get("content-type") == "application/grpc", "content-type")
        timeout = headers.get("grpc-timeout", "")
        demand(timeout[-1:] in "HMSmun" and timeout[:-1].isdigit() and len(timeout) <= 9,
               "grpc-timeout")
        demand(len(body) >= 5 and body[0] == 0, "flag of the message")
        demand(int.from_bytes(body[1:5], "big") == len(body) - 5, "length of the message")

    def reply(self, stream, headers, body):
        method = headers.get(":path", "")
        self.check(headers, body)
        with self.runtime.lock:
            self.runtime.calls.append(method)
            answer = self.runtime.answer(method, body[5:])
        if self.runtime.fault:
            answer = self.runtime.fault(method, answer)
        self.say(stream, answer)

    def say(self, stream, answer):
        """bytes: a message; (status, text): an error; a dict: as its keys say."""
        how = answer if isinstance(answer, dict) else {}
        if how.get("hang"):
            return
        if isinstance(answer, tuple):
            self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"),
                                          ("grpc-status", str(answer[0])),
                                          ("grpc-message", answer[1])], end_stream=True)
            return
        data = how.get("raw", b"\0" + len(answer).to_bytes(4, "big") + answer if not how else b"")
        kind = how.get("type", "application/grpc")
        self.h2.send_headers(stream, [(":status", how.get("http", "200")),
                                      ("content-type", kind)])
        self.body(stream, data)
        if how.get("trailers", True):
            self.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        else:
            self.h2.end_stream(stream)

    def body(self, stream, data):
        data = memoryview(data)  # a slice of it is no copy of all the rest
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.flush()
                more = self.client.recv(65536)
                if not more:
                    raise OSError("gone")
                for event in self.h2.receive_data(more):
                    self.take(event)
                continue
            self.h2.send_data(stream, bytes(data[:room]))
            data = data[room:]

"""A small client of the Container Runtime Interface (runtime.v1): the few calls that make a pod, as
kubelet makes them. Messages are written by hand, field by field; curl speaks HTTP/2 to the socket.

Protocol: k8s.io/cri-api runtime/v1/api.proto, gRPC over HTTP/2."""
import os
import struct
import subprocess
import urllib.parse

import testing
from wire import delimited, parse, varint


class CriError(Exception):
    """A status other than 0. .code, .text."""

    def __init__(self, method, code, text):
        super().__init__(f"{method}: {code}: {text}")
        self.code, self.text = code, text


# ---- protobuf ----

def message(**fields):
    """message(f1="text", f3=7, f8={...}): fN is field N. A dict of the same form is a message, a
    list repeats the field, a Map is a map."""
    out = b""
    for name, value in fields.items():
        number = int(name[1:])
        for one in value if isinstance(value, list) else [value]:
            out += field(number, one)
    return out


class Map(dict):
    """A map<string, string> field."""


def field(number, value):
    if isinstance(value, bool) or isinstance(value, int):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, Map):
        return b"".join(field(number, message(f1=k, f2=v)) for k, v in value.items())
    if isinstance(value, dict):
        value = message(**value)
    if isinstance(value, str):
        value = value.encode()
    return delimited(number, value)


def text(parsed, number):
    return parsed.get(number, [b""])[0].decode()


# ---- calls ----

class Cri:
    def __init__(self, socket, folder):
        self.socket, self.folder = socket, folder

    def call(self, method, body=b"", timeout=60):
        """method: "RuntimeService/Version". The parsed answer; CriError."""
        paths = [os.path.join(self.folder, "cri." + name) for name in ("in", "out", "head")]
        with open(paths[0], "wb") as f:
            f.write(b"\0" + struct.pack(">I", len(body)) + body)
        r = subprocess.run(
            ["curl", "-sS", "--unix-socket", self.socket, "--http2-prior-knowledge", "-X", "POST",
             "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary",
             "@" + paths[0], "-o", paths[1], "-D", paths[2], "--max-time", str(timeout),
             "http://localhost/runtime.v1." + method], capture_output=True, text=True,
            preexec_fn=testing.die_with_parent)
        if r.returncode:
            raise CriError(method, -1, r.stderr.strip())
        with open(paths[2]) as f:
            parts = (line.partition(":") for line in f)
            head = {name: value.strip() for name, _, value in parts}
        if head.get("grpc-status") != "0":
            raise CriError(method, int(head.get("grpc-status", -1)),
                           urllib.parse.unquote(head.get("grpc-message", "")))
        with open(paths[1], "rb") as f:
            return parse(f.read()[5:])

    def version(self):
        answer = self.call("RuntimeService/Version")
        return text(answer, 2) + " " + text(answer, 3)

    def pull(self, image, sandbox=None):
        """The reference of what was pulled."""
        more = {"f3": sandbox} if sandbox else {}
        return text(self.call("ImageService/PullImage", message(f1={"f1": image}, **more)), 1)

    def remove_image(self, image):
        self.call("ImageService/RemoveImage", message(f1={"f1": image}))

    def images(self):
        """Tags of all images."""
        found = self.call("ImageService/ListImages").get(1, [])
        return [tag.decode() for one in found for tag in parse(one).get(2, [])]

    @staticmethod
    def sandbox_config(ns, name, uid, cgroup_parent, labels=None):
        return {"f1": {"f1": name, "f2": uid, "f3": ns, "f4": 0}, "f2": name,
                "f6": Map(labels or {}),
                "f8": {"f1": cgroup_parent, "f2": {"f1": {"f1": 0, "f2": 1, "f3": 0}}}}

    def run_sandbox(self, config):
        return text(self.call("RuntimeService/RunPodSandbox", message(f1=config)), 1)

    def remove_sandbox(self, sandbox):
        self.call("RuntimeService/StopPodSandbox", message(f1=sandbox))
        self.call("RuntimeService/RemovePodSandbox", message(f1=sandbox))

    def sandboxes(self):
        found = self.call("RuntimeService/ListPodSandbox").get(1, [])
        return [text(parse(one), 1) for one in found]

    def create(self, sandbox, config, name, image, *command):
        asked = {"f1": {"f1": name, "f2": 0}, "f2": {"f1": image}, "f3": list(command)}
        return text(self.call("RuntimeService/CreateContainer",
                              message(f1=sandbox, f2=asked, f3=config)), 1)

    def start(self, container):
        self.call("RuntimeService/StartContainer", message(f1=container))

    def status(self, container):
        """{"state": 0 created, 1 running, 2 exited; "image_ref", ...}"""
        found = self.call("RuntimeService/ContainerStatus", message(f1=container))
        one = parse(found[1][0])
        return {"state": one.get(3, [0])[0], "exit": one.get(7, [0])[0],
                "image_ref": text(one, 9), "message": text(one, 11)}

    def exec(self, container, *command, timeout=20):
        """(exit code, output) of a command inside."""
        found = self.call("RuntimeService/ExecSync",
                          message(f1=container, f2=list(command), f3=timeout))
        return (found.get(3, [0])[0],
                b"".join(found.get(1, []) + found.get(2, [])).decode(errors="replace"))

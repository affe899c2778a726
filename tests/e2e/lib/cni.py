"""Runs CNI plugins as a runtime does: environment, JSON on stdin, prevResult handed on."""
import json
import os
import random
import subprocess

import testing

PLUGINS = "/usr/lib/cni"


class CniError(Exception):
    """A plugin's error object. .code, .msg, .plugin."""

    def __init__(self, plugin, code, msg, details=""):
        super().__init__(f"{plugin}: {code}: {msg} {details}".strip())
        self.plugin, self.code, self.msg, self.details = plugin, code, msg, details


def args_text(args):
    """CNI_ARGS as containerd writes it: in random order."""
    items = [f"{k}={v}" for k, v in args.items()]
    random.shuffle(items)
    return ";".join(items)


class Chain:
    """A conflist, run in the network namespace that `enter` leads to."""

    def __init__(self, conf, enter, path):
        self.conf, self.enter, self.path = conf, enter, path

    def call(self, plugin, command, pod, prev=None, env=None, timeout=testing.HANG_S):
        """One plugin. Returns its parsed stdout (None when empty); raises CniError."""
        conf = {k: v for k, v in plugin.items() if k != "capabilities"}
        conf.update(cniVersion=self.conf["cniVersion"], name=self.conf["name"])
        declared = plugin.get("capabilities", {})
        runtime = {k: v for k, v in pod.get("runtimeConfig", {}).items() if declared.get(k)}
        if declared:
            conf["capabilities"] = declared
        if runtime:
            conf["runtimeConfig"] = runtime
        if pod.get("labels"):
            conf["args"] = {"cni": {"labels": [{"key": k, "value": v}
                                               for k, v in pod["labels"].items()]}}
        if prev is not None:
            conf["prevResult"] = prev
        full = {"PATH": os.environ["PATH"], "CNI_COMMAND": command, "CNI_PATH": self.path}
        full.update(pod_env(pod))
        full.update(env or {})
        binary = next((os.path.join(d, plugin["type"]) for d in self.path.split(":")
                       if os.path.exists(os.path.join(d, plugin["type"]))), plugin["type"])
        r = subprocess.run([*self.enter, binary], input=json.dumps(conf), env=full,
                           capture_output=True, text=True, timeout=timeout,
                           preexec_fn=testing.die_with_parent)
        return parse(plugin["type"], r)

    def add(self, pod, env=None):
        prev = None
        for plugin in self.conf["plugins"]:
            prev = self.call(plugin, "ADD", pod, prev, env)
        pod["result"] = prev
        return prev

    def check(self, pod):
        for plugin in self.conf["plugins"]:
            self.call(plugin, "CHECK", pod, pod["result"])

    def delete(self, pod, prev=True, env=None):
        for plugin in reversed(self.conf["plugins"]):
            self.call(plugin, "DEL", pod, pod.get("result") if prev else None, env)


def pod_env(pod):
    env = {"CNI_CONTAINERID": pod["id"], "CNI_NETNS": pod["netns"],
           "CNI_IFNAME": pod.get("ifname", "eth0")}
    args = {"IgnoreUnknown": "1"}
    for key, name in (("K8S_POD_NAMESPACE", "namespace"), ("K8S_POD_NAME", "name"),
                      ("K8S_POD_UID", "uid")):
        if pod.get(name):
            args[key] = pod[name]
    args["K8S_POD_INFRA_CONTAINER_ID"] = pod["id"]
    env["CNI_ARGS"] = pod["args"] if "args" in pod else args_text(args)
    return env


def parse(plugin, r):
    try:
        out = json.loads(r.stdout) if r.stdout.strip() else None
    except ValueError:
        raise CniError(plugin, -1, f"stdout is not JSON: {r.stdout[:200]!r}") from None
    if r.returncode:
        out = out or {}
        raise CniError(plugin, out.get("code", -1), out.get("msg", r.stderr.strip()),
                       out.get("details", ""))
    return out

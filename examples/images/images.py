#!/usr/bin/python3
"""The five commands of commands.sh on a machine of their own: /etc is a copy that nobody else sees, a
registry listens on localhost:5000 with two images, bulkheadd runs, podman's pods go through its CNI
chain. Then: the pod nobody signed is refused, the signed one runs. Started by examples/images/run."""
import os
import shlex
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/e2e/lib"))
import podman
import testing
import tools
from node import Node, enter
from signing import Lab

MANIFESTS = "/etc/bulkhead/manifests"
SHIMS = {
    "cosign": "exec {cosign} \"$@\"",
    "systemctl": "echo \"$*\" >{dir}/wanted && read -r _ <{dir}/done",
    "podman": """verb=$1
shift
[ "$verb" != run ] || set -- --cgroup-parent {parent} {flags} "$@"
exec podman --root {dir}/podman/root --runroot {dir}/podman/run --storage-driver vfs "$verb" "$@" """,
}


class Podman(podman.Podman):
    def image(self):
        """Images come from the registry."""


class Machine:
    def __init__(self, cosign):
        self.node = Node(config={"sources": {"manifests": {"directory": MANIFESTS}}})
        self.own_etc()
        self.own_config()
        self.lab = Lab(testing.tempdir(), enter(self.node.netns)).start()
        rootfs = self.lab.path("rootfs")
        os.mkdir(rootfs)
        testing.run("sh", "-c", f"{HERE}/../demo/rootfs | tar -C {rootfs} -x")
        for name in ("shop/app", "shop/evil"):
            self.lab.image(name, rootfs=rootfs, config=(
                "--config.cmd", "/bin/sh", "--config.cmd", "-c", "--config.cmd",
                f"echo {name} runs"))
        self.podman = Podman(self.node, enter(self.node.netns))
        self.env = self.make_shims(cosign)
        self.node.start()

    def own_etc(self):
        """A writable copy of /etc in the mount namespace of this program."""
        etc = self.node.path("etc")
        os.mkdir(etc)
        testing.run("mount", "-t", "tmpfs", "tmpfs", etc)
        testing.on_exit(lambda: testing.run("umount", "-l", etc, check=False))
        for name in ("upper", "work"):
            os.mkdir(os.path.join(etc, name))
        testing.run("mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir=/etc,upperdir={etc}/upper,"
                    f"workdir={etc}/work", "/etc")
        testing.on_exit(lambda: testing.run("umount", "-l", "/etc", check=False))
        os.makedirs(MANIFESTS, exist_ok=True)

    def own_config(self):
        """The daemon reads /etc/bulkhead/config.yaml, whose line about images is the usual one."""
        path = self.node.path("config.yaml")
        with open(path) as f:
            text = f.read()
        os.unlink(path)
        os.symlink("/etc/bulkhead/config.yaml", path)
        with open("/etc/bulkhead/config.yaml", "w") as f:
            f.write(text + "images: {mode: off}           # off | audit | enforce\n")

    def make_shims(self, cosign):
        """What stands for programs of a whole machine: PATH begins with them."""
        folder = self.node.path("shims")
        os.mkdir(folder)
        words = {"cosign": tools.path(cosign), "dir": self.node.dir, "parent": self.podman.parent,
                 "flags": " ".join(podman.FLAGS)}
        for name, body in SHIMS.items():
            body = body.format(**words).replace("exec podman", "exec /usr/bin/podman")
            with open(os.path.join(folder, name), "w") as f:
                f.write("#!/bin/sh\n" + body + "\n")
            os.chmod(f.name, 0o755)
        for name in ("wanted", "done"):
            os.mkfifo(self.node.path(name))
        threading.Thread(target=self.serve_systemctl, daemon=True).start()
        with open(self.node.path("registries.conf"), "w") as f:
            f.write('[[registry]]\nlocation = "localhost:5000"\ninsecure = true\n')
        return {**os.environ, "PATH": f"{folder}:{testing.BIN}:{os.environ['PATH']}",
                "HOME": self.lab.folder, "COSIGN_PASSWORD": "", "COSIGN_YES": "true",
                "CONTAINERS_CONF": self.node.path("podman/containers.conf"),
                "CONTAINERS_REGISTRIES_CONF": self.node.path("registries.conf")}

    def serve_systemctl(self):
        """Never returns: the daemon would end with the thread that started it."""
        while True:
            with open(self.node.path("wanted")) as f:
                f.readline()
            self.node.restart()
            with open(self.node.path("done"), "w") as f:
                f.write("done\n")

    def shell(self, line):
        """(exit status, what it said) of a line of commands.sh, as an operator types it."""
        print(f"\n# {line}")
        r = subprocess.run([*enter(self.node.netns), "sh", "-c", line], env=self.env, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=120, cwd=self.desk(),
                           preexec_fn=testing.die_with_parent)
        print("".join(f"  {x}\n" for x in r.stdout.splitlines()), end="")
        return r.returncode, r.stdout

    def desk(self):
        """The directory to work in: keys are made there, and examples/ is at hand."""
        link = self.lab.path("examples")
        if not os.path.islink(link):
            os.symlink(os.path.join(HERE, ".."), link)
        return self.lab.folder


def main(cosign):
    with open(os.path.join(HERE, "commands.sh")) as f:
        lines = f.read().splitlines()
    if cosign == "cosign2":  # it has no signing config to be turned off
        lines = [x.replace(" --use-signing-config=false", "") for x in lines]
    machine = Machine(cosign)
    for line in lines[:-1]:
        status, _ = machine.shell(line)
        if status:
            sys.exit(f"this should not have failed: {shlex.quote(line)}: {status}")
    status, said = machine.shell(lines[-1])
    if not status or "no-signature" not in said or "shop/evil" not in said:
        sys.exit("the pod that nobody signed should have been refused, with the reason")
    status, said = machine.shell(lines[-1].replace("evil", "app"))
    if status or "shop/app runs" not in said:
        sys.exit("the signed pod should have run")
    print("\nThe pod that nobody signed was refused, the signed one runs.")


if __name__ == "__main__":
    which = sys.argv[1] if len(sys.argv) > 1 else "cosign3"
    if which not in ("cosign2", "cosign3"):
        sys.exit("usage: examples/images/run [cosign2 | cosign3]")
    tools.need("registry", "umoci", "skopeo", which)
    testing.start(needs=("/usr/bin/podman", "/usr/lib/cni/bridge"))
    main(which)

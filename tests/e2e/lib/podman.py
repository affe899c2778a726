"""podman with a root, a run directory and a CNI configuration of its own, on a node of the test."""
import json
import os

import cni
import strays
from testing import BIN, HANG_S, SOURCE, on_exit, run

# crun refuses hosts with both cgroup versions; without CAP_SYS_RESOURCE podman's default limits
# cannot be set
FLAGS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]


class Podman:
    """enter: command prefix that leads to the node's network namespace."""

    def __init__(self, node, enter):
        self.node, self.enter = node, enter
        self.parent = f"/{node.prefix}"
        for name in ("podman", "podman/root", "podman/run", "podman/net", "podman/tmp"):
            os.mkdir(node.path(name))
        self.configure()
        on_exit(self.clean)
        self.image()

    def configure(self):
        conf = json.loads(json.dumps(self.node.chain.conf))
        with open(self.node.path("podman/net/10-pods.conflist"), "w") as f:
            json.dump(conf, f)
        with open(self.node.path("podman/containers.conf"), "w") as f:
            f.write(f"""[network]
network_backend = "cni"
cni_plugin_dirs = ["{BIN}", "{cni.PLUGINS}"]
network_config_dir = "{self.node.path('podman/net')}"
default_network = "{conf['name']}"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "none"
lock_type = "file"
tmp_dir = "{self.node.path('podman/tmp')}"
""")

    def __call__(self, *args, check=True, timeout=HANG_S):
        base = [*self.enter, "podman", "--root", self.node.path("podman/root"), "--runroot",
                self.node.path("podman/run"), "--storage-driver", "vfs"]
        env = {**os.environ, "CONTAINERS_CONF": self.node.path("podman/containers.conf")}
        return run(*base, *args, check=check, timeout=timeout, env=env)

    def image(self):
        archive = self.node.path("podman/image.tar")
        run("sh", "-c", f"{SOURCE}/examples/demo/rootfs > {archive}")
        self("import", "--quiet", archive, "pod")
        os.unlink(archive)

    def start(self, name, *command, flags=()):
        """A container in the background; its name is the pod's name, in namespace default."""
        self("run", "--detach", "--name", name, "--cgroup-parent", self.parent, *FLAGS, *flags,
             "localhost/pod", *command)
        return self.address(name)

    def address(self, name):
        """(IPv4, IPv6 or None)"""
        info = json.loads(self("inspect", name))[0]["NetworkSettings"]["Networks"]
        net = next(iter(info.values()))
        return net["IPAddress"], net.get("GlobalIPv6Address") or None

    def exec(self, name, *command):
        """The completed process."""
        return self("exec", name, *command, check=False)

    def remove(self, *names):
        self("rm", "--force", "--time", "0", *names)

    def cgroups(self):
        return strays.cgroups(self.parent)

    def processes(self):
        return strays.processes(self.parent, self.node.path("podman"))

    def clean(self):
        """Also when podman was killed while it made a container, of which it then knows nothing."""
        self("rm", "--force", "--time", "0", "--all", check=False)
        strays.end(self.parent, self.node.path("podman"), self.node.dir)

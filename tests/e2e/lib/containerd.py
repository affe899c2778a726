"""containerd with a root, state, sockets, CNI configuration and cgroups of its own, on a node of the
test. It runs in the node's network namespace and, as all of the test, in a private mount namespace:
its mounts end with the test; its shims and cgroups are ended and removed here."""
import contextlib
import fcntl
import json
import os
import subprocess

import cni
import strays
import testing
import tools
from cri import Cri, CriError
from testing import BIN, on_exit, run, wait_until

TOOLS = ("containerd", "ctr", "shim", "runc")
SHIM_SOCKETS = "/run/containerd"  # compiled into the shim
MADE_BY_TESTS = "bulkhead-tests"  # in a directory of the machine


def enter_shared(path):
    """Makes a directory that several tests use. (lock to hold meanwhile, whether a test made it)"""
    mark = os.path.join(path, MADE_BY_TESTS)
    while True:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
                os.mkdir(mark)
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # the last one has just left it
        fcntl.flock(lock, fcntl.LOCK_SH)
        if os.path.exists(path) and os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock, os.path.exists(mark)
        os.close(lock)


def leave_shared(path, lock, is_ours):
    """The last test in it removes it."""
    with contextlib.suppress(OSError):  # another one is in it, or something else
        if is_ours:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rmdir(os.path.join(path, MADE_BY_TESTS))
            os.rmdir(path)
    os.close(lock)


class Containerd:
    """pause: the image of sandboxes. Its directory of image verifiers holds ours."""

    def __init__(self, node, enter, pause):
        self.node, self.enter, self.proc = node, enter, None
        self.folder = node.path("containerd")
        self.parent = f"/{node.prefix}"
        for name in ("", "cni", "verifiers"):
            os.mkdir(os.path.join(self.folder, name))
        os.symlink(os.path.join(BIN, "bulkhead-image-verifier"), self.path("verifiers/bulkhead"))
        with open(self.path("cni/10-pods.conflist"), "w") as f:
            json.dump(node.chain.conf, f)
        self.pause = pause
        self.configure("")
        self.cri = Cri(self.path("sock"), self.folder)
        self.hide_sockets()
        testing.on_failure(self.trouble)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def configure(self, more):
        """more: lines of TOML for the end of the configuration."""
        with open(self.path("config.toml"), "w") as f:
            f.write(self.config() + more)

    def config(self):
        """What a machine without CAP_SYS_RESOURCE and AppArmor needs; nothing of the system."""
        return f"""version = 3
root = '{self.path("root")}'
state = '{self.path("state")}'
disabled_plugins = ['io.containerd.internal.v1.tracing', 'io.containerd.snapshotter.v1.devmapper',
	'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.erofs',
	'io.containerd.snapshotter.v1.blockfile', 'io.containerd.monitor.container.v1.restart']
[grpc]
address = '{self.path("sock")}'
[ttrpc]
address = '{self.path("ttrpc")}'
[plugins.'io.containerd.image-verifier.v1.bindir']
bin_dir = '{self.path("verifiers")}'
max_verifiers = 10
per_verifier_timeout = '10s'
[plugins.'io.containerd.internal.v1.opt']
path = '{self.path("opt")}'
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{self.pause}'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_apparmor = true
enable_cdi = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{BIN}', '{cni.PLUGINS}']
conf_dir = '{self.path("cni")}'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = '{tools.path("runc")}'
Root = '{self.path("runc")}'
SystemdCgroup = false
"""

    def hide_sockets(self):
        """The directory itself is the machine's, and another test may be in it at the same time: a
        mount of its namespace would be gone with the directory."""
        lock, is_ours = enter_shared(SHIM_SOCKETS)
        run("mount", "-t", "tmpfs", "tmpfs", SHIM_SOCKETS)

        def restore():
            run("umount", "-l", SHIM_SOCKETS, check=False)
            leave_shared(SHIM_SOCKETS, lock, is_ours)
        on_exit(restore)
        on_exit(self.clean)

    def start(self):
        binary = os.path.realpath(tools.path("containerd"))
        env = {**os.environ, "BULKHEAD_SOCKET": self.node.socket,
               "PATH": os.path.dirname(binary) + ":" + os.environ["PATH"]}
        with open(self.path("log"), "a") as log:
            self.proc = testing.spawn([*self.enter, binary, "--config", self.path("config.toml"),
                                       "--log-level", "debug"],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        wait_until(self.is_ready, 60, "containerd", 0.1)
        return self

    def is_ready(self):
        if self.proc.poll() is not None:
            raise RuntimeError(f"containerd ended with {self.proc.returncode}")
        try:
            return self.cri.version()
        except CriError:
            return False

    def stop(self):
        testing.end(self.proc, 10)

    def restart(self, more=""):
        self.stop()
        self.configure(more)
        self.start()

    def ctr(self, *args):
        """The completed process of `ctr ARGS`."""
        return run(*self.enter, tools.path("ctr"), "--address", self.path("sock"), *args,
                   check=False)

    def trouble(self):
        try:
            with open(self.path("log"), errors="replace") as f:
                lines = [x for x in f.readlines() if "level=debug" not in x or "verif" in x]
        except OSError:
            return "containerd was not started"
        return "containerd's log ends with:\n" + "".join(x[:400] + "\n" for x in lines[-30:])

    # ---- leaving nothing ----

    def cgroups(self):
        return strays.cgroups(self.parent)

    def processes(self):
        return strays.processes(self.parent, self.folder)

    def remove_pods(self):
        """As a runtime does it, with DEL."""
        for sandbox in self.cri.sandboxes():
            self.cri.remove_sandbox(sandbox)

    def clean(self):
        if self.proc and self.proc.poll() is None:
            try:
                self.remove_pods()
            except CriError:
                pass
            self.stop()
        strays.end(self.parent, self.folder, self.node.dir)

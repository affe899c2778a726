#!/usr/bin/python3
"""runtime.fanotify: what a RuntimePolicy refuses by its origin gets EPERM; what is the image's runs; a
daemon that dies lets go of everybody, and the kill remains; a mount that hangs stops nobody."""
import json
import os
import shutil
import signal
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import CLONE_NEWNS, Container, mount, setns
from node import Node
from testing import check, equal, part, wait_until

TIMES = 100
POLICY = {"apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
          "metadata": {"name": "image-only", "namespace": "shop"},
          "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "exec": {"origin": ["image"]},
                   "on": {"violation": "kill"}}}
REFUSED, KILLED = 126, 137  # as shells say it


def status(box, text):
    """Exit status of a line; what it says on stderr does not matter."""
    return box.sh(f"({text}) >/dev/null 2>&1")[0]


def place(box, path):
    """A copy of a program of the image that leaves a file when it runs."""
    box.sh(f"mkdir -p {os.path.dirname(path)}; cp /usr/bin/touch {path}")


def refused(node, box):
    place(box, "/opt/x/touch")
    wait_until(lambda: status(box, "/opt/x/touch /tmp/ran") == REFUSED, 10, "the marks", 0.1)
    box.sh("rm -f /tmp/ran")
    _, out = box.sh("n=0; i=0; while [ $i -lt %d ]; do /opt/x/touch /tmp/ran 2>/dev/null; "
                    "[ $? -eq %d ] && n=$((n+1)); i=$((i+1)); done; echo $n" % (TIMES, REFUSED))
    equal(int(out.split()[-1]), TIMES, f"{TIMES} of {TIMES} get EPERM")
    box.sh("printf '#!/bin/sh\\ntouch /tmp/ran\\n' > /opt/x/s.sh; chmod 755 /opt/x/s.sh")
    equal(status(box, "/opt/x/s.sh"), REFUSED, "a dropped script too")
    for where in ["/mnt/touch"] + (["/srv/touch"] if box.volume else []):
        place(box, where)
        wait_until(lambda w=where: status(box, f"{w} /tmp/ran") == REFUSED, 10, "its mark", 0.1)
        equal(status(box, f"{where} /tmp/ran"), REFUSED, f"{where}: another mount")
    equal(status(box, "ls /tmp/ran"), 2, "nothing of it ever ran")
    for line in ("/usr/bin/touch /tmp/x", "ls / | sort | head -1", "python3 -c 'import json'",
                 "chmod 755 /usr/bin/date; date"):
        equal(status(box, line), 0, f"what is the image's runs: {line}")
    _, out = box.sh("python3 -c 'import os\n"
                    "try: os.execv(\"/opt/x/touch\", [\"touch\"])\n"
                    "except OSError as e: print(e.errno)'")
    equal(out.strip(), "1", "the error is EPERM")


def told(node, box):
    node.ask("runtime")
    r = node.cli("events", "--class", "process", "--pod", box.pod.name, "-o", "json")
    events = [e for e in map(json.loads, r.stdout.splitlines())
              if e["unmapped"]["bulkhead"].get("blocked")]
    check(events and all(e["disposition"] == "Blocked" for e in events), "the journal has them")
    check([e for e in events if e["process"]["file"]["path"] == "/opt/x/touch" and
           e["unmapped"]["bulkhead"]["provenance"] == "new"], "with path and provenance")


def later(node):
    """A container that begins when the policy is there already."""
    box = Container(node.pod("shop", "later", {"app": "web"}))
    place(box, "/opt/x/touch")
    wait_until(lambda: status(box, "/opt/x/touch /tmp/ran") == REFUSED, 10, "the marks", 0.1)
    free = Container(node.pod("shop", "free", {"app": "other"}))
    place(free, "/opt/x/touch")
    equal(status(free, "/opt/x/touch /tmp/ran"), 0, "a pod without the policy runs what it wants")


def mount_hung(box, path):
    """In the container, a file system whose server never says a word."""
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    testing.on_exit(lambda: os.close(fd))
    pid = os.fork()
    if pid == 0:
        try:
            setns(f"/proc/{box.pid}/ns/mnt", CLONE_NEWNS)
            mount("fuse", path, "fuse", 0, f"fd={fd},rootmode=40000,user_id=0,group_id=0")
            os._exit(0)
        finally:
            os._exit(1)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, f"{path} is mounted, and hangs")


def hung(node):
    box = Container(node.pod("shop", "hung", {"app": "hung"}))
    place(box, "/opt/x/touch")
    box.sh("mkdir /opt/hung")
    mount_hung(box, "/opt/hung")
    policy = json.loads(json.dumps(POLICY))
    policy["metadata"]["name"] = "hung"
    policy["spec"]["podSelector"]["matchLabels"]["app"] = "hung"
    node.write("hung.yaml", policy)
    node.sync()
    wait_until(lambda: status(box, "/opt/x/touch /tmp/ran") == REFUSED, 10, "the marks", 0.1)
    check(True, "a mount that hangs holds up neither the daemon nor the other marks")


def waiting(box, line):
    """Runs a line beside us; the thread, and a list that gets its status."""
    got = []
    thread = threading.Thread(target=lambda: got.append(status(box, line)))
    thread.start()
    return thread, got


def stopped(node, box):
    """A property of fanotify: while the daemon is stopped, who executes waits; and no longer."""
    node.proc.send_signal(signal.SIGSTOP)
    thread, got = waiting(box, "/usr/bin/true")
    thread.join(0.5)
    check(not got, "who executes waits for a stopped daemon")
    node.proc.send_signal(signal.SIGCONT)
    thread.join(20)
    equal(got, [0], "and goes on with it")
    node.proc.send_signal(signal.SIGSTOP)
    thread, got = waiting(box, "/usr/bin/true")
    thread.join(0.5)
    node.proc.kill()
    thread.join(20)
    equal(got, [0], "or when it is killed")
    node.proc.wait(10)


def dead(node, box):
    equal(status(box, "/usr/bin/true"), 0, "without the daemon, what is the image's runs")
    equal(status(box, "/opt/x/touch /tmp/ran"), KILLED, "and what is not is killed")
    equal(status(box, "ls /tmp/ran"), 2, "before its first instruction")
    node.start()
    wait_until(lambda: status(box, "/opt/x/touch /tmp/ran") == REFUSED, 10, "the marks", 0.1)
    check(True, "with the next daemon it is EPERM again")


def lifted(node, box):
    node.remove("policy.yaml")
    node.sync()
    equal(status(box, "/opt/x/touch /tmp/ran"), 0, "without the policy it runs")


def disk_directory():
    path = tempfile.mkdtemp(prefix="bh-e2e.", dir="/var/tmp")
    testing.on_exit(lambda: shutil.rmtree(path, ignore_errors=True))
    return None if testing.run("stat", "-f", "-c", "%T", path).strip() in ("tmpfs", "overlayfs") \
        else path


def main():
    node = Node(default="kubernetes", config={"runtime": {"mode": "watch", "fanotify": True}}).start()
    box = Container(node.pod("shop", "web", {"app": "web"}), volume=disk_directory())
    node.write("policy.yaml", POLICY)
    node.sync()
    for name, fn in (("refused", refused), ("told", told), ("later", lambda n, b: later(n)),
                     ("hung", lambda n, b: hung(n)),
                     ("stopped", stopped), ("dead", dead), ("lifted", lifted)):
        with part(name):
            fn(node, box)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

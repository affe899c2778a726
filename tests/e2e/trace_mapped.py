#!/usr/bin/python3
"""Code that pods had mapped before anybody looked: watch mode begins, or the daemon comes back, and
what is not the image's is told, what is stays unsaid."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part, wait_until

LIBRARY = "/usr/lib/x86_64-linux-gnu/libz.so.1"
# Maps what it is told to, says so and waits; with the name of a memfd, code of no file.
HOLD = """
import ctypes, mmap, os, sys, time
for path in sys.argv[2:]:
    if path.startswith("shared:"):
        kept = mmap.mmap(os.open(path[7:], os.O_RDWR), 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC)
        continue
    if path.startswith("memfd:"):
        fd = os.memfd_create(path[6:])
        os.write(fd, open("%s", "rb").read())
        path = "/proc/self/fd/%%d" %% fd
    ctypes.CDLL(path)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
""" % LIBRARY
STARTUP_S = 1


def hold(box, name, *paths):
    """A process of the container that has them mapped."""
    with open(f"{box.volume}/hold.py", "w") as f:
        f.write(HOLD)
    box.sh(f"python3 /srv/hold.py /tmp/{name} {' '.join(paths)} </dev/null >/tmp/{name}.log 2>&1 &")
    wait_until(lambda: box.sh(f"test -s /tmp/{name}")[0] == 0, 20, f"{name} has mapped")


def told(node, pod):
    """{path: the event} of modules that were mapped before."""
    node.ask("runtime")
    r = node.cli("events", "--class", "module", "--pod", pod, "-o", "json")
    found = [json.loads(line) for line in r.stdout.splitlines() if line.strip()]
    before = [e for e in found if e["unmapped"]["bulkhead"].get("ranBefore")]
    paths = [e["module"]["file"]["path"] for e in before]
    if len(set(paths)) < len(paths):
        raise AssertionError(f"told twice: {paths}")
    return dict(zip(paths, before))


def findings(node, pod):
    r = node.cli("events", "--class", "finding", "--pod", pod, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def balanced(node):
    b = node.ask("runtime")["books"]
    equal(b["seen"], sum(b[k] for k in ("delivered", "deduplicated", "deferred", "lost")),
          "the books add up")


def watch_begins(node, dropper, decent, pods):
    dropper.sh(f"mkdir -p /opt; cp {LIBRARY} /opt/dropped.so; cp {LIBRARY} /dev/shm/shared.so")
    hold(dropper, "a", "/opt/dropped.so", "/dev/shm/shared.so", "memfd:hidden")
    dropper.sh(f"cp {LIBRARY} /opt/open.so")
    hold(dropper, "s", "shared:/opt/open.so")
    dropper.sh(f"cp {LIBRARY} /opt/gone.so")
    hold(dropper, "b", "/opt/gone.so")
    dropper.sh("rm /opt/gone.so")
    dropper.sh("cp /usr/bin/sleep /opt/sleep; /opt/sleep 600 </dev/null >/dev/null 2>&1 &")
    hold(decent, "a", LIBRARY)
    decent.sh(f"cp {LIBRARY} /srv/volume.so")
    hold(decent, "b", "/srv/volume.so")
    equal(told(node, pods[0].name), {}, "light mode does not look")
    node.ask("runtime", "watch")
    wait_until(lambda: len(told(node, pods[0].name)) >= 5, 20, "what was mapped is told")
    got = told(node, pods[0].name)
    equal({p: e["unmapped"]["bulkhead"]["provenance"] for p, e in got.items()},
          {"/opt/dropped.so": "new", "/opt/open.so": "new", "/opt/gone.so": "new", "/dev/shm/shared.so": "tmpfs",
           "/memfd:hidden": "memfd"}, "where the bytes come from; no image of a process")
    check(not any(e["unmapped"]["bulkhead"].get("shared") for e in got.values()),
          "mapped shared or not, what has a name is code", got)
    equal(told(node, pods[1].name), {}, "not what the image, or a volume, brought")
    high = [f for f in findings(node, pods[0].name) if f["severity_id"] >= 4]
    check(high, "and a finding says so", findings(node, pods[0].name))
    equal([f["finding_info"]["title"] for f in findings(node, pods[1].name) if f["severity_id"] >= 4], [],
          "the other pod has none")
    balanced(node)


def daemon_was_away(node, dropper, pods):
    node.kill()
    dropper.sh(f"cp {LIBRARY} /opt/late.so")
    hold(dropper, "c", "/opt/late.so")
    node.extra["runtime"]["mode"] = "watch"
    node.write_config()
    node.start()
    wait_until(lambda: "/opt/late.so" in told(node, pods[0].name), 20, "mapped without a daemon")
    equal(told(node, pods[1].name), {}, "nothing of the other pod")
    balanced(node)


def main():
    node = Node(config={"runtime": {"mode": "light", "startup": f"{STARTUP_S}s"}}).start()
    pods = [node.pod("shop", "dropper"), node.pod("shop", "decent")]
    boxes = [Container(p, volume=testing.tempdir()) for p in pods]
    with part("watch mode begins"):
        watch_begins(node, *boxes, pods)
    with part("the daemon was away"):
        daemon_was_away(node, boxes[0], pods)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

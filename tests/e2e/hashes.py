#!/usr/bin/python3
"""SHA-256 of what pods execute: as sha256sum says, in the exec's own event, read once for each
state of each file, by a process without privilege; and what is said when there is none."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part, wait_until

MEMFD = """
import os, sys
fd = os.memfd_create("x")
os.write(fd, open(sys.argv[1], "rb").read() + b"tail")
os.execve(fd, ["x", *sys.argv[2:]], {})
"""
BIG = 300 << 20  # bytes; takes a worker longer than an event waits
LONG_S = 300  # what must still run when the daemon looks does so until the container ends
TOLD_S = 30


def sha(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()


def events(node, pod, word="process"):
    node.ask("runtime")
    r = node.cli("events", "--class", word, "--pod", pod, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def completed(node, pod):
    """Starts of programs; where a busy machine was late with a digest, with what came later."""
    def look():
        all_of = events(node, pod)
        late = {ours(e)["completes"]: e["process"]["file"]
                for e in all_of if e["activity_id"] == 99}
        starts = [e for e in all_of if e["activity_id"] == 1]
        for e in starts:
            e["process"]["file"] = late.get(e["metadata"]["uid"], e["process"]["file"])
        return starts if all(of(e) or why(e) != "pending" for e in starts) else None
    return wait_until(look, 60, "all digests", interval=0.1)


def raw_execs(node, pod, name):
    return [e for e in events(node, pod) if e["activity_id"] == 1 and
            os.path.basename(e["process"].get("file", {}).get("path", "")) == name]


def execs(node, pod, name):
    return [e for e in completed(node, pod)
            if os.path.basename(e["process"].get("file", {}).get("path", "")) == name]


def digest(file):
    """The one hash of a file object, checked for its form; None without."""
    hashes = file.get("hashes")
    if not hashes:
        return None
    if [set(h) for h in hashes] != [{"algorithm", "algorithm_id", "value"}] or \
       (hashes[0]["algorithm"], hashes[0]["algorithm_id"]) != ("SHA-256", 3):
        raise RuntimeError(f"hashes: {hashes}")
    return hashes[0]["value"]


def of(e):
    return digest(e["process"]["file"])


def ours(e):
    return e["unmapped"]["bulkhead"]


def why(e):
    return ours(e).get("sha256Missing")


def counts(node):
    return node.ask("runtime")["hashes"]


def delta(node, before):
    now = counts(node)
    return {k: now[k] - before[k] for k in now if now[k] != before[k]}


def in_memory(node, pod):
    return [x for x in completed(node, pod.name) if ours(x)["provenance"] == "memfd"]


def kinds(node, pod, box):
    """Every way for bytes to be executed, against sha256sum."""
    image = sha("/usr/bin/expr")
    box.sh("/usr/bin/expr 1 + 1")
    e = execs(node, pod.name, "expr")
    equal([of(x) for x in e], [image], "a binary of the image")
    box.sh("cp /bin/true /opt/dropped; printf xyz >> /opt/dropped; /opt/dropped")
    dropped = sha(box.path("upper/opt/dropped"))
    e = execs(node, pod.name, "dropped")
    equal([of(x) for x in e], [dropped], "a dropped one")
    equal(e[0]["unmapped"]["bulkhead"]["provenance"], "new", "which is new")
    check(dropped != sha("/bin/true"), "with bytes of its own")
    box.sh("printf abc >> /usr/bin/factor; /usr/bin/factor 6")
    e = execs(node, pod.name, "factor")
    equal([of(x) for x in e], [sha(box.path("upper/usr/bin/factor"))], "a modified copy")
    check(of(e[0]) != sha("/usr/bin/factor"), "which is not the image's")
    box.sh(f"cp /bin/sleep /opt/late; /opt/late {LONG_S} & until [ /proc/$!/exe -ef /opt/late ]; do :; done; "
           "rm /opt/late")
    e = [x for x in completed(node, pod.name) if x["process"]["name"] == "late"]
    equal([of(x) for x in e], [sha("/bin/sleep")], "one that has no name any more")
    for program, argument, what in (("/bin/sleep", LONG_S, "memory that is being executed"),
                                    ("/bin/true", "", "memory that was, and is gone")):
        seen = len(in_memory(node, pod))
        box.sh(f"/usr/bin/python3 -c '{MEMFD}' {program} {argument} &")
        e = wait_until(lambda: in_memory(node, pod)[seen:], TOLD_S, f"{what}: its exec")
        with open(program, "rb") as f:
            want = hashlib.sha256(f.read() + b"tail").hexdigest()
        check([of(x) for x in e] == [want] or (not argument and [why(x) for x in e] == ["gone"]),
              what, [(of(x), why(x), want) for x in e])
    box.sh("cp /bin/true /mnt/shm; /mnt/shm")
    equal([of(x) for x in execs(node, pod.name, "shm")], [sha("/bin/true")], "on a tmpfs")
    box.sh("cp /bin/true /srv/vol; /srv/vol")
    equal([of(x) for x in execs(node, pod.name, "vol")], [sha("/bin/true")], "on a volume")


def once(node, pod, box):
    """A file is read once, whoever executes it; a change makes it another one."""
    before = counts(node)
    box.sh("cp /usr/bin/id /opt/id; /opt/id >/dev/null")
    wait_until(lambda: delta(node, before).get("computed", 0) == 1, TOLD_S, "it was read")
    before = counts(node)
    box.sh("/usr/bin/env /opt/id >/dev/null; /usr/bin/nice /opt/id >/dev/null")
    e = execs(node, pod.name, "id")
    check(len(e) == 3 and {of(x) for x in e} == {sha("/usr/bin/id")},
          "every exec of it has the digest", [(of(x), why(x)) for x in e])
    equal({k: v for k, v in delta(node, before).items() if k in ("read", "cached")},
          {"read": 2, "cached": 2}, "only env and nice were read")
    other = Container(node.pod("shop", "other"))
    other.sh("/usr/bin/expr 2 + 2")
    e = execs(node, "shop/other", "expr")
    equal([of(x) for x in e], [sha("/usr/bin/expr")], "in another pod's overlay too")
    box.sh("printf more >> /opt/id; /usr/bin/timeout 5 /opt/id >/dev/null")
    e = execs(node, pod.name, "id")
    equal([of(x) for x in e[3:]], [sha(box.path("upper/opt/id"))], "changed, it is another one")


def large(node, pod, box):
    """One that takes long: its event does not wait, and the digest is told when it is there."""
    os.makedirs(box.path("upper/opt"), exist_ok=True)
    path = os.path.join(box.volume, "big")
    shutil.copy("/bin/sleep", path)
    os.truncate(path, BIG)
    box.sh(f"/srv/big {LONG_S} & /usr/bin/tac /dev/null")
    e = wait_until(lambda: raw_execs(node, pod.name, "big"), TOLD_S, "its event")
    equal(len(e), 1, "told once")
    if of(e[0]):
        check(of(e[0]) == sha(path), "its digest came at once")
        return
    equal(why(e[0]), "pending", "the large one's is still being computed")
    def late():
        return [x for x in events(node, pod.name) if x["activity_id"] == 99 and
                x["process"]["uid"] == e[0]["process"]["uid"]]
    got = wait_until(late, 150, "the digest of the large one")  # its worker is given 120 s
    equal([of(x) for x in execs(node, pod.name, "tac")], [sha("/usr/bin/tac")],
          "what came behind it has its own")
    equal([of(x) for x in got], [sha(path)], "and comes in an event of its own")
    equal((got[0]["type_uid"], got[0]["unmapped"]["bulkhead"]["completes"]),
          (100799, e[0]["metadata"]["uid"]), "that says which one it completes")


def short_lived(node, pod, box):
    """Gone before anybody looks: through the container's tree."""
    for name in ("dirname", "basename", "seq", "tr", "cut", "nl", "od", "paste"):
        box.sh(f"/usr/bin/{name} --version >/dev/null")
    got = {n: [of(x) for x in execs(node, pod.name, n)]
           for n in ("dirname", "basename", "seq", "tr", "cut", "nl", "od", "paste")}
    equal(got, {n: [sha(f"/usr/bin/{n}")] for n in got}, "programs that end at once")


def findings(node, pod, box):
    """The dropped binary of before was a finding at once."""
    got = [e for e in events(node, pod.name, "detection")
           if e["evidences"][0]["process"].get("file", {}).get("path") == "/opt/dropped"]
    want = sha(box.path("upper/opt/dropped"))
    check(got and all(digest(e["evidences"][0]["process"]["file"]) == want or
                      ours(e).get("sha256Missing") == "pending" for e in got),
          "findings about a dropped binary carry its digest", got)


def hashers(node):
    """Workers of the daemon that hash, with their state; one that has nothing to do may just end."""
    with open(f"/proc/{node.proc.pid}/task/{node.proc.pid}/children") as f:
        pids = [int(p) for p in f.read().split()]
    found = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/cmdline", "rb") as f, open(f"/proc/{pid}/status") as g:
                if f.read() == b"bulkhead-worker\0hash\0":
                    found[pid] = dict(x.split(":\t", 1) for x in g.read().splitlines() if ":\t" in x)
    return found


def worker_killed(node, pod, box):
    """A worker that dies loses its file, and the next one is read by the next worker."""
    box.sh("/usr/bin/shuf -n 1 /etc/hostname")
    execs(node, pod.name, "shuf")
    found = hashers(node)
    check(1 <= len(found) <= 2, "workers that hash", found)
    for pid, s in found.items():
        equal((s["Uid"].split()[0], int(s["CapEff"], 16), s["Seccomp"].strip()),
              ("65534", 0, "2"), f"worker {pid}: nobody, no capability, filtered")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    box.sh("cp /usr/bin/sum /opt/s1; /opt/s1 /etc/hostname; cp /usr/bin/sum /opt/s2")
    wait_until(lambda: raw_execs(node, pod.name, "s1"), TOLD_S, "its event")
    wait_until(lambda: not found.keys() & hashers(node).keys(), TOLD_S, "the killed workers' end")
    box.sh("/opt/s2 /etc/hostname")
    equal([of(x) for x in execs(node, pod.name, "s2")], [sha("/usr/bin/sum")],
          "after the workers were killed others go on")


def books(node):
    """Each executable of an event is in exactly one outcome."""
    wait_until(lambda: counts(node)["waiting"] == 0, 30, "all files read")
    c = counts(node)
    equal(c["read"], c["computed"] + c["changed"] + c["slow"] + c["failed"],
          "what was read came to an end")
    equal({k: c[k] for k in ("busy", "budget", "noWorker", "unreadable", "slow")},
          {k: 0 for k in ("busy", "budget", "noWorker", "unreadable", "slow")}, "nothing skipped")
    print(f"      {c}")


def main():
    node = Node(config={"runtime": {"mode": "light"}}).start()
    pod = node.pod("shop", "web")
    box = Container(pod, volume=testing.tempdir())
    for name, fn in (("kinds of files", kinds), ("once", once), ("short-lived", short_lived),
                     ("findings", findings), ("a large one", large)):
        with part(name):
            fn(node, pod, box)
    with part("books"):
        books(node)
    with part("killed workers"):
        worker_killed(node, pod, box)
    with part("the log"):
        equal(node.cli("events", "verify").returncode, 0, "the chain holds")


if __name__ == "__main__":
    testing.start()
    testing.main(main)

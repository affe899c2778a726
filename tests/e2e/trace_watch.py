#!/usr/bin/python3
"""Watch mode: where the bytes of files come from, what was written, mapped and called; the mode
changes while pods run."""
import json
import os
import shutil
import sys
import tempfile

import xxhash

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part, run


def events(node, kind, pod):
    node.ask("runtime")  # reads what waits in the rings
    r = node.cli("events", "--class", kind, "--pod", pod, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def ours(event):
    return event["unmapped"]["bulkhead"]


def started(node, pod, path):
    """The last start of an executable, or None. Digests that come late are told later."""
    found = [e for e in events(node, "process", pod) if e["activity_name"] == "Launch" and
             e["process"].get("file", {}).get("path") == path]
    return found[-1] if found else None


def origin_of(node, pod, path):
    e = started(node, pod, path)
    return ours(e)["provenance"] if e else None


def provenance(node, box, pod):
    def told(want, path, prepare="", run=None):
        status, out = box.sh(f"{prepare}; {run or path} >/dev/null 2>&1" if prepare
                             else f"{run or path} >/dev/null 2>&1")
        equal(origin_of(node, pod, path), want, f"{path}: {want}")

    told("image", "/usr/bin/id")
    told("new", "/usr/local/bin/dropped", "cp /bin/true /usr/local/bin/dropped")
    told("metacopy", "/usr/bin/date", "chown 12 /usr/bin/date")
    told("modified", "/usr/bin/uptime", "printf x >> /usr/bin/uptime")
    told("tmpfs", "/mnt/true", "cp /bin/true /mnt/true")
    if box.volume:
        told("volume", "/srv/true", "cp /bin/true /srv/true")
    box.sh("python3 -c 'import os; f = os.memfd_create(\"hidden\"); os.write(f, open(\"/bin/true\","
           "\"rb\").read()); os.execve(f, [\"ls\"], {})'")
    equal(origin_of(node, pod, "/memfd:hidden"), "memfd", "a memfd")
    box.sh("cp /bin/true /tmp/gone; exec 9</tmp/gone; rm /tmp/gone; python3 -c "
           "'import os; os.execve(9, [\"x\"], {})'; exec 9<&-")
    e = started(node, pod, "/tmp/gone")
    check(e and ours(e).get("unlinked") and ours(e)["provenance"] == "new", "a file without a name")


def script(node, box, pod):
    box.sh("printf '#!/bin/sh -e\\ntrue\\n' > /tmp/s.sh; chmod +x /tmp/s.sh; /tmp/s.sh one two")
    found = [e for e in events(node, "process", pod) if ours(e).get("script") == "/tmp/s.sh"]
    check(len(found) == 1, "an interpreter started for a script")
    equal(ours(found[0])["args"][-3:], ["/tmp/s.sh", "one", "two"], "with its arguments")


    box.sh("printf 'pass\\n' > /tmp/evil.py; python3 -u /tmp/evil.py; cd /tmp; . /dev/null; "
           "sh evil.sh 2>/dev/null; printf ':\\n' > evil2.sh; sh -e evil2.sh; cd /")
    read = {e["file"]["path"]: e for e in events(node, "file", pod)
            if e["activity_name"] == "Read" and ours(e)["provenance"] == "new"}
    equal(sorted(read), ["/tmp/evil.py", "/tmp/evil2.sh", "/tmp/s.sh"],
          "interpreters that run what the image did not bring")
    names = {ours(e)["detector"] for e in events(node, "finding", pod)}
    check(names, "and findings about them", sorted(names))


def lineage(node, box, pod):
    box.sh("cd /usr; sh -c 'nice id; true' >/dev/null")
    e = started(node, pod, "/usr/bin/nice")
    check(e and e["actor"]["process"]["file"]["path"].endswith("dash"), "the image before", e)
    equal(e and e["process"]["working_directory"], "/usr", "the working directory")
    box.enter("/usr/bin/whoami")
    e = started(node, pod, "/usr/bin/whoami")
    check(e and ours(e).get("fromOutside") and not ours(e).get("containerStart"),
          "a program from outside the pod's tree", e)


def evasions(node, box, pod):
    """Ways to look like somebody else."""
    box.sh("python3 -c 'import os, threading; t = threading.Thread(target=lambda: "
           "os.execv(\"/usr/bin/tty\", [\"tty\"])); t.start(); t.join()' >/dev/null")
    e = started(node, pod, "/usr/bin/tty")
    check(e and not ours(e).get("fromOutside") and
          "python" in e["actor"]["process"]["file"]["path"], "an exec by a thread", e)
    box.sh("unshare -n /usr/bin/printenv >/dev/null")
    e = started(node, pod, "/usr/bin/printenv")
    check(e and ours(e).get("leftNetworkNamespace"), "in a network namespace of its own", e)
    box.sh("cp /usr/bin/id /tmp/sshd; /tmp/sshd >/dev/null; ln -s /usr/bin/id /tmp/link; "
           "/tmp/link >/dev/null; cd /tmp; mkdir -p d; mount --bind /usr/bin d 2>/dev/null && "
           "d/nproc >/dev/null; umount d; cd /")
    check(started(node, pod, "/tmp/sshd"), "a renamed copy is told under its own path")
    check(not started(node, pod, "/tmp/link"), "a link under the file's")
    check(started(node, pod, "/tmp/d/nproc"), "through a bind mount under the mount's path")


def long_args(node, box, pod):
    box.sh("/usr/bin/printf '%s' " + "x" * 6000 + " >/dev/null")
    e = started(node, pod, "/usr/bin/printf")
    check(e and ours(e).get("argsCut") and 4000 < len(e["process"]["cmd_line"]) < 4096,
          "long arguments are cut and say so")
    for count, size in ((1, 4000), (1, 4077), (1, 4078), (1, 4079), (1, 4100), (1, 4109), (1, 4589),
                        (1, 4590), (1, 4621), (1, 130000), (15, 131000)):
        rest_of_args(node, box, pod, count, size)


KEPT = 4095  # bytes of arguments that an event has


def text(size):
    """Printable, and hardly anywhere the same."""
    return "".join(chr(97 + i * 7919 % 8887 % 26) for i in range(size))


def rest_of_args(node, box, pod, count, size):
    """What is beyond the 4 KiB is told by a hash that xxhsum would give for it."""
    path = f"/tmp/args-{count}-{size}"
    with open(f"{box.volume}/args", "w") as f:
        f.write(text(size))
    box.sh(f"cp /usr/bin/true {path}; python3 -c \"import os; a = open('/srv/args').read(); "
           f"os.execv('{path}', ['{path}'] + {count} * [a])\"")
    raw = b"\0".join(x.encode() for x in [path] + count * [text(size)]) + b"\0"
    e = started(node, pod, path)
    got = {k: v for k, v in ours(e).items() if k in ("argsBytes", "argsRest", "argsCut")}
    want = {}
    if len(raw) > KEPT:
        want = {"argsCut": True, "argsBytes": len(raw),
                "argsRest": "xxh64:" + xxhash.xxh64(raw[KEPT:]).hexdigest()}
    equal(got, want, f"{len(raw)} bytes of arguments: what tells the rest")


def environment(node, box, pod):
    box.sh("cp /usr/bin/id /tmp/with; cp /usr/bin/id /tmp/without; "
           "A=1 LD_PRELOAD=/tmp/x.so /tmp/with >/dev/null 2>&1; A=1 /tmp/without >/dev/null")
    check(ours(started(node, pod, "/tmp/with")).get("preload"), "LD_PRELOAD is told")
    check(not ours(started(node, pod, "/tmp/without")).get("preload"), "and its absence is not")
    # the program reads an environment in chunks of 504 bytes, by words of 8
    box.sh("mkdir /tmp/at; for n in $(seq 488 520); do cp /usr/bin/true /tmp/at/$n; "
           "env -i A=$(head -c $n /dev/zero | tr '\\0' x) LD_PRELOAD=/tmp/x.so /tmp/at/$n; "
           "done 2>/dev/null")
    missed = [n for n in range(488, 521)
              if not ours(started(node, pod, f"/tmp/at/{n}")).get("preload")]
    equal(missed, [], "wherever it stands")
    box.sh("cp /usr/bin/true /tmp/many-variables; "
           "env $(seq -f 'A%g=1' 400) LD_PRELOAD=/tmp/x.so /tmp/many-variables 2>/dev/null")
    check(ours(started(node, pod, "/tmp/many-variables")).get("preload"),
          "behind 400 others")


def file_of(node, pod, path, activity):
    return [e for e in events(node, "file", pod) if e["file"].get("path") == path and
            e["activity_name"] == activity]


def files(node, box, pod):
    box.sh("echo x > /etc/new.conf; echo y >> /etc/hostname; cat /etc/shadow >/dev/null; "
           "echo z > /etc/ld.so.preload; : > /etc/ld.so.preload; rm /etc/ld.so.preload; "
           "mv /etc/new.conf /etc/other.conf; ln /etc/other.conf /etc/hard; "
           "cp /bin/true /tmp/tool; chmod u+s /tmp/tool; cat /proc/self/environ >/dev/null")
    for path, activity in (("/etc/new.conf", "Create"), ("/etc/hostname", "Update"),
                           ("/etc/shadow", "Read"), ("/etc/ld.so.preload", "Create"),
                           ("/etc/ld.so.preload", "Delete"), ("/etc/new.conf", "Rename"),
                           ("/etc/other.conf", "Link"), ("/tmp/tool", "Set Attributes")):
        check(file_of(node, pod, path, activity), f"{activity} {path}")
    check(not file_of(node, pod, "/etc/hostname", "Read") and
          not file_of(node, pod, "/etc/passwd", "Read"), "reading what everybody reads is not told")
    box.sh("i=0; mkdir /tmp/many; while [ $i -lt 300 ]; do : > /tmp/many/f$i; i=$((i+1)); done")
    many = [e for e in events(node, "file", pod)
            if e["file"].get("path", "").startswith("/tmp/many/")]
    check(40 <= len(many) <= 200, "many files of a directory become one", len(many))


def maps(node, box, pod):
    box.sh("cp /lib/x86_64-linux-gnu/libz.so.1 /tmp/libz.so 2>/dev/null || "
           "cp /usr/lib/x86_64-linux-gnu/libz.so.1 /tmp/libz.so; "
           "python3 -c 'import ctypes; ctypes.CDLL(\"/tmp/libz.so\")'")
    got = [e for e in events(node, "module", pod)
           if e["module"]["file"].get("path") == "/tmp/libz.so"]
    check(got and ours(got[0])["provenance"] == "new", "a library that is not the image's", got)
    box.sh("python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'")
    check([e for e in events(node, "module", pod)
           if ours(e).get("anonymous") and ours(e).get("writable")], "memory made executable")


CALLS = """
import ctypes, os, socket
libc = ctypes.CDLL(None)
libc.unshare(0x20000)                       # CLONE_NEWNS
libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)
socket.socket(17, 3, 0)                     # AF_PACKET
os.memfd_create("x")
libc.syscall(323, 0o2000000)                # userfaultfd
p = os.fork()
if p == 0:
    os.pause() if hasattr(os, "pause") else __import__("signal").pause()
libc.ptrace(16, p, 0, 0)                    # PTRACE_ATTACH
os.kill(p, 9)
os.setresuid(33, 33, 33)
"""


def calls(node, box, pod):
    with open(box.path("upper", "calls.py"), "w") as f:
        f.write(CALLS)
    box.sh("mount -o remount / 2>/dev/null; python3 /calls.py")
    got = {e["kernel"]["name"] for e in events(node, "kernel", pod)}
    for name in ("unshare", "mount", "socket", "memfd_create", "ptrace", "setresuid",
                 "userfaultfd"):
        check(name in got, f"{name} is told", sorted(got))


def without_calls(node, box, pod):
    """What light mode sees by itself."""
    node.ask("runtime", "light")
    box.sh("python3 -c 'import socket; s = socket.socket(); s.bind((\"0.0.0.0\", 4711)); s.listen()'")
    victim = os.fork()
    if not victim:
        os.execvp("sleep", ["sleep", "60"])
    box.sh(f"kill -CONT {victim}")
    os.kill(victim, 9)
    os.waitpid(victim, 0)
    got = [(e["kernel"]["name"], ours(e)["arguments"]) for e in events(node, "kernel", pod)]
    check(("listen", [4711, 6, 0, 0]) in got, "a listening port", got)
    check(("kill", [18, victim, 0, 0]) in got, "a signal to a task outside", got)


def balanced(node):
    r = node.ask("runtime")
    b = r["books"]
    check(b["seen"] == b["delivered"] + b["deduplicated"] + b["deferred"] + b["lost"],
          "the books balance", b)
    equal((r["records"]["unnamed"], r["records"]["broken"]), (0, 0), "no stray record")


def modes(node, box, pod):
    for mode, wanted in (("light", False), ("watch", True), ("off", False), ("learn", True), ("light", False),
                         ("watch", True)):
        equal(node.ask("runtime", mode)["mode"], mode, f"mode {mode}")
        path = f"/etc/mode-{os.urandom(4).hex()}"
        box.sh(f"echo > {path}")
        equal(bool(file_of(node, pod, path, "Create")), wanted,
              f"{mode}: files are {'' if wanted else 'not '}told")
    equal(node.cli("runtime", "loud").returncode, 1, "another mode is refused")


def disk_directory():
    """A directory on a disk's file system, as a volume would be; None where this machine has none."""
    path = tempfile.mkdtemp(prefix="bh-e2e.", dir="/var/tmp")
    testing.on_exit(lambda: shutil.rmtree(path, ignore_errors=True))
    kind = run("stat", "-f", "-c", "%T", path).strip()
    return None if kind in ("tmpfs", "overlayfs") else path


def main():
    node = Node(config={"runtime": {"mode": "watch"}}).start()
    pod = node.pod("shop", "web")
    volume = disk_directory()
    box = Container(pod, volume=volume)
    for name, fn in (("provenance", provenance), ("script", script), ("lineage", lineage), ("evasions", evasions),
                     
                     ("long arguments", long_args), ("environment", environment),
                     ("files", files), ("mappings", maps),
                     ("calls", calls), ("modes", modes),
                     ("without calls", without_calls)):
        with part(name):
            fn(node, box, pod.name)
    balanced(node)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

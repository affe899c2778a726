#!/usr/bin/python3
"""RuntimePolicy: what is refused executes no instruction, 200 times of 200, with and without the
daemon; findings are in the journal, and an answer follows them."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node
from testing import check, equal, part, run

TIMES = 200
SOURCE = r"""
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void early(void)
{
	close(open("/tmp/ran", O_CREAT | O_WRONLY, 0600));
}
int main(void)
{
	return 0;
}
"""


def policy(name, spec, labels):
    return {"apiVersion": "bulkhead.io/v1alpha1", "kind": "RuntimePolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": labels}, **spec}}


def events(node, kind, pod):
    node.ask("runtime")
    r = node.cli("events", "--class", kind, "--pod", pod, "-o", "json")
    return [json.loads(line) for line in r.stdout.splitlines() if line.strip()]


def kills(box, times):
    """Runs it from the container's shell; how often it was killed, and whether it ever ran."""
    status, out = box.sh("rm -f /tmp/ran; n=0; i=0; while [ $i -lt %d ]; do /opt/x/dropped; "
                         "[ $? -eq 137 ] && n=$((n+1)); i=$((i+1)); done 2>/dev/null; echo $n; "
                         "ls /tmp/ran 2>/dev/null" % times)
    lines = [x for x in out.split("\n") if x.strip() and "Killed" not in x]
    return int(lines[0]), "/tmp/ran" in out


def place(box):
    """A static program in the upper layer, whose constructor leaves a file."""
    with open(box.path("dropped.c"), "w") as f:
        f.write(SOURCE)
    run("gcc", "-static", "-O1", "-o", box.path("dropped"), box.path("dropped.c"))
    box.sh("mkdir -p /opt/x")
    inside = f"/proc/{box.pid}/root/opt/x/dropped"
    with open(box.path("dropped"), "rb") as f, open(inside, "wb") as to:
        to.write(f.read())
    os.chmod(inside, 0o755)


def killing(node, box, pod):
    place(box)
    equal(box.sh("/opt/x/dropped; ls /tmp/ran")[0], 0, "without a policy it runs")
    node.write("runtime.yaml", policy("only-image", {
        "exec": {"origin": ["image"]}, "syscalls": {"deny": ["ptrace"]},
        "on": {"violation": "kill"}}, {"app": "web"}))
    node.sync()
    listed = [p for p in node.ask("status")["policies"] if p["kind"] == "RuntimePolicy"]
    check(listed and all(p["live"] for p in listed), "status: it is live", listed)
    equal(kills(box, TIMES), (TIMES, False), f"killed {TIMES} of {TIMES}, and never ran")
    equal(box.sh("/usr/bin/id >/dev/null")[0], 0, "the image's programs run")
    status, out = box.sh("python3 -c 'import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0); "
                         "print(\"alive\")'")
    check("alive" not in out and status != 0, "a refused system call ends its caller",
          (status, out))
    box.sh("cp /bin/true /mnt/t")
    equal(box.sh("/mnt/t")[0], 137, "from a tmpfs, too")
    box.sh("python3 -c 'import os; f = os.memfd_create(\"h\"); os.write(f, open(\"/bin/true\","
           "\"rb\").read()); os.execve(f, [\"ls\"], {})'")
    box.sh("printf 'echo ran > /tmp/ran2\\n' > /tmp/s.sh; chmod +x /tmp/s.sh")
    equal((box.sh("sh /tmp/s.sh")[0], box.sh("/bin/dash -e /tmp/s.sh")[0], box.sh("ls /tmp/ran2")[0]),
          (137, 137, 2), "interpreters of dropped scripts are killed before the first line")
    box.sh("cp /usr/bin/touch /opt/x/touch; cp /usr/lib/x86_64-linux-gnu/libz.so.1 /opt/x/z.so")
    equal((box.sh("/lib64/ld-linux-x86-64.so.2 /opt/x/touch /tmp/ran3")[0], box.sh("ls /tmp/ran3")[0]),
          (137, 2), "what the loader is asked for is killed when it is mapped, before it runs")
    status, out = box.sh("python3 -c 'import ctypes; ctypes.CDLL(\"/opt/x/z.so\"); print(\"alive\")'")
    check(status == 137 and "alive" not in out, "a dropped library, too", (status, out))
    box.sh("python3 -c 'import mmap, os; f = os.open(\"/usr/bin/uptime\", os.O_RDWR); m = mmap.mmap(f, 0); m[-1:] = b\"x\"'")
    equal(box.sh("/usr/bin/uptime")[0], 137, "what was changed through a mapping, too")
    got = [e for e in events(node, "process", pod) if e["unmapped"]["bulkhead"].get("killed")]
    names = {e["process"]["file"]["path"] for e in got}
    equal(sorted(names), ["/memfd:h", "/mnt/t", "/opt/x/dropped", "/usr/bin/uptime"], "the log says what was killed")
    told = events(node, "kill", pod)
    pids = [e["process"]["pid"] for e in told]
    own = [e["unmapped"]["bulkhead"] for e in told]
    check(len(told) >= 6 and all(e["status"] == "Success" for e in told) and
          len(pids) == len(set(pids)), "and each death once, for it is the kernel that kills", told[-3:])
    check(all(o.get("rule") == "RuntimePolicy shop/only-image" and o.get("line", 0) > 5 and
              o.get("file", "").endswith("runtime.yaml") for o in own), "with the rule and its line", own[-3:])
    answers = {e["unmapped"]["bulkhead"].get("answer", "") for e in events(node, "finding", pod)
               if e["unmapped"]["bulkhead"]["detector"].startswith("policy-")}
    check(answers and all("the kernel has stopped it" in a for a in answers), "findings say so", answers)


def without_daemon(node, box):
    node.kill()
    equal(kills(box, 20), (20, False), "killed while no daemon runs")
    node.start()
    equal(kills(box, 20), (20, False), "and after it came back")
    check(node.ask("runtime")["books"]["killed"] >= TIMES + 40, "counted")


def other_pod(node, box):
    pod = node.pod("shop", "other", {"app": "other"})
    other = Container(pod)
    place(other)
    equal(other.sh("/opt/x/dropped")[0], 0, "a pod that the policy does not select runs it")
    got = [e for e in events(node, "finding", pod.name)]
    names = {e["unmapped"]["bulkhead"]["detector"] for e in got}
    check(any("foreign" in n for n in names), "and there is a finding", sorted(names))
    check(all(e["finding_info"]["title"] and e["class_uid"] in (2003, 2004) for e in got),
          "in OCSF's form")


def released(node, box):
    node.remove("runtime.yaml")
    node.sync()
    equal(kills(box, 3), (0, True), "without the policy it runs again")


def first_program(node):
    """A policy that is there before the pod: also its first program is judged."""
    node.write("strict.yaml", policy("strict", {
        "exec": {"allow": ["/usr/bin/dash", "/bin/dash"]}, "on": {"violation": "kill"}},
        {"app": "strict"}))
    node.sync()
    pod = node.pod("shop", "strict", {"app": "strict"})
    box = Container(pod, first=("/usr/bin/sleep", "60"))
    equal(box.proc.wait(20), -9, "a first program that is not allowed is killed")
    box = Container(pod)
    equal(box.sh("echo here")[0], 0, "the allowed one runs")
    equal(box.sh("/usr/bin/id")[0], 137, "and nothing else")


def allowed_script(node):
    """Allowing a script allows its interpreter to run it, and nothing else."""
    node.write("script.yaml", policy("script", {
        "exec": {"allow": ["/usr/bin/dash", "/bin/dash", "/usr/bin/chmod", "/usr/bin/ln", "/opt/run.py"]},
        "on": {"violation": "kill"}}, {"app": "script"}))
    node.sync()
    pod = node.pod("shop", "script", {"app": "script"})
    box = Container(pod)
    box.sh("printf '#!/usr/bin/python3\\nprint(\"it ran\")\\n' > /opt/run.py; chmod +x /opt/run.py; "
           "ln -s run.py /opt/link.py")
    equal(box.sh("/opt/run.py"), (0, "it ran\n"), "an allowed script runs")
    equal(box.sh("/usr/bin/python3 -c pass")[0], 137, "its interpreter does not without it")
    equal(box.sh("/opt/link.py")[0], 137, "nor under another name")
    equal(box.sh("cd /opt; ./run.py")[0], 137, "a relative name is none, in doubt")
    equal(box.sh("/usr/bin/python3 /opt/run.py")[0], 137, "and an argument is no script")


# an overlay of its own, with what it dropped as the "image": every user may make one
OWN_ROOT = ("cd /opt; unshare -Urm sh -c 'mount -t tmpfs t /mnt; cd /mnt; mkdir a b m a/old; cp /opt/x/dropped a/dropped; "
            "mount -t overlay o -o lowerdir=/mnt/a:/mnt/b m; cd m; {}'")
MAPS = ("python3 -c 'import ctypes, os; c = ctypes.CDLL(None); c.mmap.restype = ctypes.c_void_p; "
        "c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]; {}; print(\"alive\")'")
FILE = "f = os.open(\"/opt/x/touch\", 0); "


def ways_around(node, box):
    """What a task makes itself never becomes the image, nor another pod; whatever the mapping is called."""
    for how in ("exec chroot . /dropped", "pivot_root . old; exec /dropped"):
        equal(box.sh(OWN_ROOT.format(how) + "; ls /tmp/ran")[0], 2, f"in a root of its own: {how}")
        equal(box.sh(OWN_ROOT.format(how))[0], 137, "killed")
    equal(box.sh(OWN_ROOT.format("exec /mnt/m/dropped"))[0], 137, "in an overlay of its own")
    other = node.pod("shop", "neighbour", {"app": "neighbour"})
    equal(box.sh(f"nsenter --net=/proc/{other.agent.pid}/ns/net /opt/x/dropped")[0], 137,
          "in another pod's network namespace")
    box.sh("printf '#!/bin/sh\\nexit 7\\n' > /opt/one; printf '#!/opt/one\\n' > /opt/two; chmod +x /opt/one /opt/two")
    equal(box.sh("/opt/two")[0], 137, "a script that is a script's interpreter")
    for what, text in (("mapped shared", FILE + "c.mmap(None, 4096, 5, 1, f, 0)"),
                       ("mapped to be read by who may execute what he reads",
                        "c.personality(0x400000); " + FILE + "c.mmap(None, 4096, 1, 2, f, 0)")):
        status, out = box.sh(MAPS.format(text))
        check(status == 137 and "alive" not in out, what, (status, out))
    status, out = box.sh(MAPS.format("f = os.memfd_create(\"jit\"); os.ftruncate(f, 4096); c.mmap(None, 4096, 5, 1, f, 0)"))
    equal((status, out), (0, "alive\n"), "a compiler's memory without a name is its own")


# A call of i386's table, in memory that is written and executed.
CODE32 = "53bb{:02x}000000b8{:02x}000000cd805bc3"
CALL32 = ("import ctypes, mmap; m = mmap.mmap(-1, 4096, 0x22, 7); m.write(bytes.fromhex(\"{}\")); "
          "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))(); "
          "print(\"alive\")")


def of_32_bits(node, box):
    """Names are what policies name, whatever number another table has for them."""
    node.write("calls.yaml", policy("calls", {
        "syscalls": {"deny": ["ptrace", "socketpair", "shmget"]},
        "on": {"violation": "kill"}}, {"app": "web"}))
    node.sync()
    for what, first, number, is_killed in (
            ("getpid", 0, 20, False), ("ptrace is 26 there", 0, 26, True),
            ("101 is ioperm there, and ptrace here", 0, 101, False),
            ("socketcall for a pair", 8, 102, True), ("socketcall for listen", 4, 102, False),
            ("ipc for shmget", 23, 117, True), ("ipc for semget", 2, 117, False)):
        status, out = box.sh(f"python3 -c '{CALL32.format(CODE32.format(first, number))}'")
        equal((status, "alive" in out), (137, False) if is_killed else (0, True),
              f"32 bits: {what}")
    node.remove("calls.yaml")
    node.sync()


def while_it_changes(node, box):
    """Both versions refuse it, and so does whatever is between them; also while a daemon starts."""
    text = "n=0; i=0; while [ ! -e /tmp/enough ]; do /opt/x/dropped; [ $? -eq 137 ] || n=$((n+1)); done 2>/dev/null; echo $n >/tmp/n"
    box.sh(f"rm -f /tmp/ran /tmp/enough /tmp/n; {{ {text}; }} &")
    for i in range(60):
        node.write("runtime.yaml", policy("only-image", {"exec": {"origin": ["image"]}, "on": {"violation": "kill"},
                                                         **({"users": {"deny": [7]}} if i % 2 else {})}, {"app": "web"}))
        node.sync()
    for _ in range(3):
        node.restart(hard=True)
    box.sh("touch /tmp/enough; wait")
    equal(box.sh("cat /tmp/n; ls /tmp/ran 2>/dev/null")[1], "0\n", "killed each time while the policy changes")


def own_namespace(node):
    """Where a task mounts what it likes, a path allows nothing; and the finding says whose rule it was."""
    node.write("own.yaml", policy("own", {
        "exec": {"allow": ["/usr/bin/dash", "/bin/dash", "/usr/bin/unshare", "/usr/bin/mount", "/usr/bin/date"]},
        "on": {"violation": "kill"}}, {"app": "own"}))
    node.sync()
    pod = node.pod("shop", "own", {"app": "own"})
    box = Container(pod, uid=1000)
    equal(box.sh("/usr/bin/date > /dev/null")[0], 0, "an allowed program runs")
    equal(box.sh("unshare -Urm /usr/bin/date > /dev/null")[0], 137, "in a mount namespace of its own it does not")
    killed = [e for e in events(node, "kill", pod.name) if e["process"]["file"]["path"] == "/usr/bin/date"]
    check(killed and killed[-1]["unmapped"]["bulkhead"].get("rule") == "RuntimePolicy shop/own",
          "the rule is told", killed)


def main():
    node = Node(config={"runtime": {"mode": "light"}}).start()
    pod = node.pod("shop", "web", {"app": "web"})
    box = Container(pod)
    with part("an allowed script"):
        allowed_script(node)
    with part("killing"):
        killing(node, box, pod.name)
    with part("ways around"):
        ways_around(node, box)
    with part("32 bits"):
        of_32_bits(node, box)
    with part("while it changes"):
        while_it_changes(node, box)
    with part("a mount namespace of its own"):
        own_namespace(node)
    with part("without the daemon"):
        without_daemon(node, box)
    with part("another pod"):
        other_pod(node, box)
    with part("released"):
        released(node, box)
    with part("first program"):
        first_program(node)
    b = node.ask("runtime")["books"]
    check(b["seen"] == b["delivered"] + b["deduplicated"] + b["deferred"] + b["lost"],
          "the books balance", b)


if __name__ == "__main__":
    testing.start(needs=("/usr/bin/gcc",))
    testing.main(main)

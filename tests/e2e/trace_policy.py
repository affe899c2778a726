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
    got = [e for e in events(node, "process", pod) if e["unmapped"]["bulkhead"].get("killed")]
    names = {e["process"]["file"]["path"] for e in got}
    equal(sorted(names), ["/memfd:h", "/mnt/t", "/opt/x/dropped"], "the log says what was killed")
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


def main():
    node = Node(config={"runtime": {"mode": "light"}}).start()
    pod = node.pod("shop", "web", {"app": "web"})
    box = Container(pod)
    with part("an allowed script"):
        allowed_script(node)
    with part("killing"):
        killing(node, box, pod.name)
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

#!/usr/bin/python3
"""Detectors on live pods: each deed is done for real in a container on an overlay, through CNI, and its
detector must speak; ordinary life must not raise more than one finding, and none of high severity.
What needs an exploit, a kernel module or an hour of time is provoked in unit tests only."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import CLONE_NEWNET, CLONE_NEWNS, Container, setns
from node import Node
from testing import check, part

LISTEN = "import socket, subprocess; s = socket.create_server(('0.0.0.0', 8099)); "
SYSCALL = "python3 -c 'import ctypes; ctypes.CDLL(None).syscall({})'"

# detector, what somebody does
DEEDS = [
    ("foreign-code", "cp /bin/true /opt/evil; /opt/evil"),
    ("foreign-code", "cp /usr/lib/x86_64-linux-gnu/libz.so.1 /var/tmp/z.so; "
                     "python3 -c 'import ctypes; ctypes.CDLL(\"/var/tmp/z.so\")'"),
    ("fileless", "python3 -c 'import os; f = os.memfd_create(\"x\"); "
                 "os.write(f, open(\"/bin/true\", \"rb\").read()); os.execve(f, [\"x\"], {})'"),
    ("tmpfs-exec", "cp /bin/true /mnt/x; /mnt/x"),
    ("system-write", "cp /bin/true /usr/local/bin/tool"),
    ("preload-file", "echo /x.so > /etc/ld.so.preload; : > /etc/ld.so.preload; "
                     "rm /etc/ld.so.preload"),
    ("preload-env", "LD_PRELOAD=/x.so /usr/bin/id >/dev/null 2>&1"),
    ("cron", "echo '* * * * * root id' > /etc/cron.d/job"),
    ("package-manager", "dpkg -i /nothing.deb 2>/dev/null"),
    ("server-shell", f"python3 -c \"{LISTEN} subprocess.run(['/bin/sh', '-c', 'true'])\""),
    ("socket-shell", f"python3 -c \"{LISTEN} import os; c = socket.create_connection(('127.0.0.1', "
                     "8099)); subprocess.run(['/bin/sh', '-c', 'true'], stdin=c, stdout=c)\""),
    ("masquerade", "python3 -c 'import os; os.execv(\"/bin/true\", [\"[kworker/0:1]\"])'"),
    ("setuid-bit", "cp /bin/true /opt/s; chmod 4755 /opt/s"),
    ("namespace", "unshare -m true"),
    ("foreign-netns", "unshare -n true"),
    ("nsenter", "nsenter --version >/dev/null"),
    ("mount", "mkdir -p /tmp/m; mount -t tmpfs none /tmp/m; umount /tmp/m"),
    # opened for writing, but nothing is written: this is the machine's own switch
    ("kernel-file", ": >> /proc/sys/kernel/core_pattern"),
    ("process-memory", "python3 -c 'import os; open(f\"/proc/{os.getppid()}/mem\", \"rb\")'"),
    ("ptrace", "sleep 60 & p=$!; " + SYSCALL.format("101, 16, '$p', 0, 0") + "; kill $p"),
    ("bpf", "bpftool prog list >/dev/null 2>&1"),
    ("userfaultfd", SYSCALL.format("323, 0o2000000")),
    ("raw-socket", "python3 -c 'import socket; socket.socket(17, 3, 0)'"),
    ("token-read", "d=/run/secrets/kubernetes.io/serviceaccount; mkdir -p $d; echo t > $d/token; "
                   "cat $d/token >/dev/null"),
    ("ssh-key", "mkdir -p /root/.ssh; echo k > /root/.ssh/id_rsa; cat /root/.ssh/id_rsa >/dev/null"),
    ("shadow", "cat /etc/shadow >/dev/null"),
    ("environ", "sleep 60 & p=$!; cat /proc/$p/environ >/dev/null; kill $p"),
    ("history", "echo x > /root/.bash_history; rm /root/.bash_history"),
    ("firewall", "tc qdisc del dev lo root 2>/dev/null"),
    ("own-pins", "mkdir -p /sys/fs/bpf/bulkhead; echo > /sys/fs/bpf/bulkhead/flow"),
    ("runtime-socket", "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); "
                       "s.bind(\"/run/docker.sock\"); s.listen(); "
                       "socket.socket(socket.AF_UNIX).connect(\"/run/docker.sock\")'"),
    ("drop-chain", "cat /bin/true > /opt/late; chmod 755 /opt/late; /opt/late"),
    ("cloud-metadata", "nc -w 1 -z 169.254.169.254 80 2>/dev/null"),
    ("scan", "for p in $(seq 1 30); do nc -w 1 -z 198.51.100.7 $p 2>/dev/null; done"),
]

# what containers do all day
LIFE = [
    ("chown at start", "chown 12 /usr/bin/date; chmod 700 /usr/bin/uptime; date >/dev/null; "
                       "uptime >/dev/null"),
    ("configuration at start", "echo a > /etc/app.conf; mkdir -p /var/lib/app /run/app; "
                               "echo 1 > /run/app/pid; sed -i s/a/b/ /etc/app.conf"),
    ("a virtual environment", "python3 -m venv --without-pip /opt/venv; /opt/venv/bin/python -c "
                              "'import json, ssl, sqlite3'"),
    ("memory made executable", "python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'"),
    ("a compiler at run time maps a nameless file twice",
     "python3 -c 'import mmap, os; f = os.memfd_create(\"doublemapper\"); os.ftruncate(f, 4096); "
     "mmap.mmap(f, 4096, mmap.MAP_SHARED, 5); mmap.mmap(f, 4096, mmap.MAP_SHARED, 3)'"),
    ("log rotation", "mkdir -p /var/log/app; echo x > /var/log/app/a.log; "
                     "mv /var/log/app/a.log /var/log/app/a.log.1; : > /var/log/app/a.log; "
                     "gzip /var/log/app/a.log.1; rm /var/log/app/a.log.1.gz"),
    ("a scheduled job", "sh -c 'cd / && run-parts --test /etc/cron.daily' >/dev/null"),
    ("asking the package manager", "dpkg -l >/dev/null; dpkg-query -W >/dev/null 2>&1"),
    ("temporary files", "f=$(mktemp); echo x > $f; cat $f >/dev/null; rm $f"),
    ("dropping rights", "python3 -c 'import os; os.setgid(33); os.setuid(33)'"),
    ("a service of its own", f"python3 -c \"{LISTEN}\""),
]


def findings(node, pod):
    node.ask("runtime")  # reads what waits in the rings
    r = node.cli("events", "--class", "finding", "--pod", pod, "-o", "json")
    events = [json.loads(line) for line in r.stdout.splitlines() if line.strip()]
    return [(e["unmapped"]["bulkhead"]["detector"], e["severity_id"], e["message"]) for e in events]


def deeds(node):
    """A pod for each, so that no deed profits from what another one left."""
    for number, (detector, text) in enumerate(DEEDS):
        pod = node.pod("shop", f"deed{number}")
        box = Container(pod)
        box.sh(f"{{ {text}; }} 2>/dev/null")
        got = findings(node, pod.name)
        check(detector in {name for name, _, _ in got}, f"{detector}: {text[:50]}", got)
        box.stop()
        pod.delete()


def interactive(node):
    pod = node.pod("shop", "entered")
    box = Container(pod)
    ours, theirs = os.openpty()

    def into():
        setns(f"/proc/{box.pid}/ns/net", CLONE_NEWNET)
        setns(f"/proc/{box.pid}/ns/mnt", CLONE_NEWNS)
        os.chdir("/")

    subprocess.run(["/bin/sh", "-c", "true"], stdin=theirs, stdout=theirs, stderr=theirs,
                   preexec_fn=into, check=True)
    os.close(ours)
    os.close(theirs)
    got = findings(node, pod.name)
    check("interactive-exec" in {name for name, _, _ in got}, "a shell at a terminal", got)
    box.stop()


def life(node):
    pod = node.pod("shop", "quiet")
    box = Container(pod)
    told = []
    for name, text in LIFE:
        box.sh(f"{{ {text}; }} >/dev/null 2>&1")
        now = [f for f in findings(node, pod.name) if f[1] > 1]
        check(not [f for f in now[len(told):] if f[1] >= 4], f"{name}: nothing grave", now)
        told = now
    out, status = box.enter("/bin/ls", "/")
    check(status == 0 and out, "a command from outside runs")
    box.enter("/bin/sh", "-c", "exit 0")
    now = [f for f in findings(node, pod.name) if f[1] > 1 and f[0] != "privileged"]
    check(len(now) <= 1, "at most one finding about an ordinary life", now)
    box.stop()


def main():
    node = Node(config={"runtime": {"mode": "watch"}}).start()
    for name, fn in (("deeds", deeds), ("a terminal", interactive), ("ordinary life", life)):
        with part(name):
            fn(node)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

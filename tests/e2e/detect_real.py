#!/usr/bin/python3
"""Ordinary life of a container on an overlay, in a pod made through CNI: it must not raise more than one
finding, and none of high severity. What each detector is for is in detect_deeds.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from detect_deeds import findings
from node import Node
from testing import check, part

LISTEN = "import socket, subprocess; s = socket.create_server(('0.0.0.0', 8099)); "

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
    with part("ordinary life"):
        life(node)


if __name__ == "__main__":
    testing.start()
    testing.main(main)

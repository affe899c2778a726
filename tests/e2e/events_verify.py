#!/usr/bin/python3
"""`events verify` against whoever edits, shortens, reorders, removes or rewrites the log of a live
daemon; and that neither kill -9 in the middle of writing nor a torn line is mistaken for that."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from node import Node, namespace, network_policy
from testing import check, equal, part, wait_until

ROUNDS = 5


class Log:
    def __init__(self, node):
        self.node, self.path = node, node.path("log", "events.jsonl")

    def verify(self):
        r = self.node.cli("events", "verify", "-o", "json")
        return r.returncode, json.loads(r.stdout)

    def whole(self, what):
        code, said = self.verify()
        check(code == 0 and said["whole"], f"whole: {what}", said)
        return said

    def broken(self, what, words):
        code, said = self.verify()
        check(code == 1 and not said["whole"] and words in said["problem"],
              f"{what}: {said.get('problem')}", said)

    def text(self):
        with open(self.path, "rb") as f:
            return f.read()

    def put(self, text):
        """In place: the daemon has the file open."""
        with open(self.path, "r+b") as f:
            f.write(text)
            f.truncate()


def tampering(log):
    good = log.text()
    lines = good.splitlines(keepends=True)
    check(len(lines) > 10, f"{len(lines)} events")
    n = len(lines)
    edited = lines[4].replace(b'"node1"', b'"node2"')
    check(edited != lines[4], "there is something to edit")
    cases = (
        ("a byte edited", lines[:4] + [edited] + lines[5:], "line 5: its hash does not belong"),
        ("a line removed", lines[:5] + lines[6:], "1 lines before it are missing"),
        ("the first line removed", lines[1:], "begins with line 2, but 1 was kept"),
        ("the last line removed", lines[:-1], f"ends with line {n - 1}, but {n} were written"),
        ("half of the last line removed", lines[:-1] + [lines[-1][:40]],
         f"ends with line {n - 1}, but {n} were written"),
        ("everything removed", [], f"ends with line 0, but {n} were written"),
        ("two lines swapped", lines[:3] + [lines[4], lines[3]] + lines[5:], "lines before it"),
        ("a line twice", lines[:3] + [lines[2]] + lines[3:], "line 3 comes again"),
        ("a line that is no event", lines[:3] + [b"{}\n"] + lines[3:], "no proper chain object"),
        ("a blank added", [lines[0].replace(b",", b", ", 1)] + lines[1:], "written differently"),
        ("no JSON", lines[:3] + [b"\xff\xfe\n"] + lines[3:], "not a JSON object"),
    )
    for what, text, words in cases:
        log.put(b"".join(text))
        log.broken(what, words)
        log.put(good)
    log.whole("what was put back")


def killed(node, log, box):
    """kill -9 while execs make it write: nothing but what was not written is missing."""
    for i in range(ROUNDS):
        storm = subprocess.Popen(
            ["nsenter", "-t", str(box.pid), "-n", "-m", "/bin/sh", "-c",
             "i=0; while [ $i -lt 400 ]; do cp /bin/true /tmp/x$i; /tmp/x$i; i=$((i+1)); done"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=testing.die_with_parent)
        size = os.path.getsize(log.path)
        wait_until(lambda: os.path.getsize(log.path) > size + 20000 * (i + 1), 90, "it is written")
        node.kill()
        storm.kill()
        storm.wait()
        node.start()
        log.whole(f"after kill -9 number {i + 1}")


def torn(node, log):
    node.kill()
    with open(log.path, "ab") as f:
        f.write(b'{"activity_id":1,"activity_name":"La')
    node.start()
    log.whole("after a line that was torn")
    last = [json.loads(x)["chain"] for x in log.text().splitlines()[-3:]]
    check(any(c.get("torn") == 36 for c in last), "and the next one says how much was cut", last)


def troubled(node):
    node.ask("runtime")
    return any(d["what"] == "events" for d in node.ask("status")["degraded"])


def fill(log):
    """Takes all room; what gives it back."""
    path = os.path.join(os.path.dirname(log.path), "filler")
    with open(path, "wb", buffering=0) as f:
        while True:
            try:
                f.write(b"x" * 65536)
            except OSError:
                return lambda: os.unlink(path)


def full(node, log, box):
    """A disk that is full for a while costs nothing; for longer, and the log says how much."""
    give_back = fill(log)
    box.sh("i=0; while [ $i -lt 60 ]; do cp /bin/true /tmp/full$i; /tmp/full$i; i=$((i+1)); done")
    wait_until(lambda: troubled(node), 10, "status says that the log is not written")
    log.whole("while the disk is full")
    give_back()
    wait_until(lambda: not troubled(node), 10, "it is written again")
    wait_until(lambda: b"full59" in log.text(), 10, "up to the last event")
    started = {e["process"]["cmd_line"] for e in map(json.loads, log.text().splitlines())
               if e["class_uid"] == 1007 and "cmd_line" in e["process"]}
    equal([i for i in range(60) if f"/tmp/full{i}" not in started], [], "nothing is missing")
    equal(log.whole("after that")["missed"], 0, "and none was missed")
    give_back = fill(log)
    box.sh("i=0; while [ $i -lt 1200 ]; do cp /bin/true /tmp/long$i; /tmp/long$i %s; rm /tmp/long$i; "
           "i=$((i+1)); done" % ("x" * 3000))
    wait_until(lambda: troubled(node), 10, "status says so again")
    give_back()
    wait_until(lambda: not troubled(node) and b'"missed":' in log.text(), 20, "events were missed")
    said = log.whole("and that is told")
    line = next(e for e in map(json.loads, log.text().splitlines()) if "missed" in e["chain"])
    check(said["missed"] == line["chain"]["missed"] > 0 and
          f"{said['missed']} events could not be written" in line["message"], "by an event", line)
    check(f"{said['missed']} events could not" in node.cli("events", "verify").stdout, "and by verify")


def read_only(node, log):
    """A log that cannot be written at the start either is no reason not to enforce."""
    directory = os.path.dirname(log.path)
    node.stop()
    testing.run("mount", "--bind", directory, directory)
    testing.on_exit(lambda: testing.run("umount", "-l", directory, check=False))
    testing.run("mount", "-o", "remount,bind,ro", directory)
    node.start()
    check(troubled(node), "it starts, and says what is wrong")
    testing.run("umount", directory)
    wait_until(lambda: not troubled(node), 10, "the log is written again")
    check(b"bulkheadd started" in b"".join(log.text().splitlines()[-5:]), "from the start on")
    log.whole("after a start on a disk that was read-only")


def removed(node, log):
    os.unlink(log.path)
    node.pod("shop", "other")
    wait_until(lambda: os.path.exists(log.path), 60, "the log is begun anew")
    log.broken("the file removed under the daemon", "was kept")
    node.restart()
    log.broken("and a restart does not forget it", "was kept")


def main():
    node = Node(config={"runtime": {"mode": "off"}})
    testing.run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", node.path("log"))
    testing.on_exit(lambda: testing.run("umount", "-l", node.path("log"), check=False))
    node.start()
    log = Log(node)
    for i in range(12):
        node.write("p.yaml", namespace("a"), network_policy(
            "a", "p", {}, ["Ingress"], ingress=[{"ports": [{"port": 80 + i}]}]))
        node.sync()
    with part("tampering"):
        log.whole("untouched")
        tampering(log)
    node.stop()
    node.extra["runtime"]["mode"] = "light"
    node.write_config()
    node.start()
    box = Container(node.pod("shop", "web"))
    with part("killed"):
        killed(node, log, box)
    with part("torn"):
        torn(node, log)
    with part("a full disk"):
        full(node, log, box)
    with part("a read-only one"):
        read_only(node, log)
    with part("removed"):
        removed(node, log)


testing.start()
testing.main(main)

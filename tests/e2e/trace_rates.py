#!/usr/bin/python3
"""What pods use up: processor time, starts of programs, connections, questions for names, as `top` shows
them; and the finding about a pod that computes for long what it never did."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from container import Container
from control import ask, connect
from node import Node, enter
from testing import check, equal, part, spawn, wait_until
from traffic import comes_true

INTERVAL_MS, BUSY_S = 300, 4
LEARNT = 30  # so many readings make a normal
# one processor, whatever else the machine does; where that is not allowed, all there is to have
BURN = """
import os, time
try:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
except OSError:
    for _ in range(3):
        os.fork()
end = time.time() + {}
while time.time() < end:
    pass
"""
SERVER = "198.51.100.53"


def findings(node, pod):
    node.ask("runtime")
    r = node.cli("events", "--class", "finding", "--pod", pod, "-o", "json")
    return [(e["unmapped"]["bulkhead"]["detector"], e["message"])
            for e in map(json.loads, r.stdout.splitlines())]


def has_cpu(node, pod):
    return [text for name, text in findings(node, pod) if name == "cpu"]


def spent(node, pod):
    """Seconds of processor time so far: a counter behind `top`."""
    with connect(node.socket) as s:
        rows = ask(s, "top")["result"]["pods"]
    return next(p for p in rows if p["pod"] == pod)["cpuNanoseconds"] / 1e9


def totals(node, pod):
    """The counters behind `top`, by the shortest interval it takes, as rates."""
    return next(p for p in node.ask("top", "--once", "--interval", "1s")["pods"] if p["pod"] == pod)


def burn(box, seconds):
    with open(box.path("upper", "burn.py"), "w") as f:
        f.write(BURN.format(seconds))
    return box.sh("python3 /burn.py & echo $!")[1].strip()


def shown(node, box, idle):
    """Something of everything, until it was seen."""
    pod, got = box.pod.name, {}
    box.sh("(until [ -e /tmp/enough ]; do /bin/true; done) & "
           "python3 -c 'import itertools, os, socket\n"
           "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
           "q = bytes(4) + b\"\\0\\1\" + bytes(6) + b\"\\1%c\\0\\0\\1\\0\\1\"\n"
           "for i in itertools.count():\n"
           "  if os.path.exists(\"/tmp/enough\"): break\n"
           f"  s.sendto(q % (97 + i % 26), (\"{SERVER}\", 53))\n"
           "  c = socket.socket()\n"
           "  c.settimeout(0.01)\n"
           "  try: c.connect((\"198.51.100.1\", 80 + i % 9000))\n"
           "  except OSError: pass' >/dev/null 2>&1 &")
    least = {"execsPerSecond": 10, "dnsPerSecond": 5, "connectionsPerSecond": 5, "cpuPercent": 0.5}

    def all_there():
        got.update(totals(node, pod))
        return all(got[key] >= n for key, n in least.items())
    comes_true(all_there, 30)
    for key, n in least.items():
        check(got[key] >= n, f"top: {key}", got)
    calm = totals(node, idle.pod.name)
    check(calm["execsPerSecond"] == calm["dnsPerSecond"] == 0 and calm["cpuPercent"] < 1,
          "of a pod that rests: nothing", calm)
    def cost():
        rows = {p["name"]: p for p in node.ask("top", "--once", "--interval", "500ms")["programs"]}
        return {k: rows[k] for k in ("bh_trace_exec", "bh_connect4") if k in rows}
    wait_until(lambda: cost().get("bh_trace_exec", {}).get("nanosecondsPerRun", 0) > 0, 30,
               "what the exec program costs")
    rows = cost()
    check(rows["bh_trace_exec"]["cpuPercent"] > 0 and "bh_connect4" in rows,
          "top: what each program costs, those of tracing too", rows)
    text = node.cli("top", "--once", "--interval", "200ms").stdout.splitlines()
    check(max(map(len, text)) <= 100, "top fits 100 columns", max(map(len, text)))
    check(all(word in text[0] for word in ("EXECS/S", "DNS/S", "CPU")), "and shows them", text[0])
    box.sh(": > /tmp/enough; wait")


def exact(node, box):
    """Processor time as the kernel accounts for it, of tasks that ended too."""
    before = spent(node, box.pod.name)
    _, out = box.sh("python3 -c 'import threading, time, resource\n"
                    "def burn():\n"
                    "  end = time.monotonic() + 1.5\n"
                    "  while time.monotonic() < end: sum(range(1000))\n"
                    "t = [threading.Thread(target=burn) for _ in range(3)]\n"
                    "[x.start() for x in t]; [x.join() for x in t]\n"
                    "u = resource.getrusage(resource.RUSAGE_SELF)\n"
                    "print(u.ru_utime + u.ru_stime)'")
    seconds, own = spent(node, box.pod.name) - before, float(out)
    check(0.9 * own <= seconds <= 1.1 * own + 0.2, "processor time is what was spent",
          (seconds, own))


def busy(node, box, idle):
    """After some time of rest: a short burst is work, a long one is not the pod's."""
    pod = box.pod.name
    burn(box, 1.5)
    box.sh("wait")
    box.sh("sleep 1")
    equal(has_cpu(node, pod), [], "a burst raises nothing")
    pid = burn(box, 60)
    found = wait_until(lambda: has_cpu(node, pod), 60, "the finding about processor time", 0.5)
    box.sh(f"kill $(pgrep -f burn.py); kill {pid}; wait")
    check("usual" in found[0], "computing for long is found", found)
    equal(has_cpu(node, idle.pod.name), [], "of the other pod nothing")


def main():
    node = Node(default="kubernetes", config={"runtime": {
        "mode": "watch", "rates": {"every": f"{INTERVAL_MS}ms", "busy": f"{BUSY_S}s"}}})
    node.start()
    node.outside(SERVER)
    boxes = [Container(node.pod("shop", name)) for name in ("miner", "calm", "busybody")]
    with part("top"):
        shown(node, boxes[2], boxes[1])
    with part("processor time"):
        exact(node, boxes[2])
    wait_until(lambda: node.ask("runtime")["records"]["readings"] > LEARNT + 1, 60,
               "a learnt normal", 0.5)
    with part("busy"):
        busy(node, boxes[0], boxes[1])


if __name__ == "__main__":
    testing.start()
    testing.main(main)

"""Rows 4 to 7: a whole node. Its pods are real interfaces, its daemon is the real one."""
import ctypes
import json
import os
import subprocess
import time

import cni
import nft_node
import row_quarantine
import testing
import world
from fleet import Fleet, start_world
from node import add_netns, enter
from table import Row, median, number, quantile, spread, tail

POLICIES, FEW, MANY = 10000, 1000, 100000
CHANGE_MS, LABEL_MS = 50, 5
ADD_P50_MS, ADD_P99_MS = 10, 30
RSS_MB, RSS_FEW_MB, MAPS_MB, IDLE = 40, 20, 128, 0.002
EPOCH = os.path.join(testing.BUILD, "bench", "bench_epoch")
CLONE_NEWNET = 0x40000000
PAUSE_S = 0.2  # what the change before left to do later (saving, freeing) is done by then


class Bed:
    """The node of these rows; size is what --quick makes smaller."""

    def __init__(self, quick):
        self.quick = quick
        self.count = 50 if quick else 250
        self.policies = 2000 if quick else POLICIES
        self.many = 10000 if quick else MANY
        self.fleet = Fleet()
        start_world(self.fleet, self.policies, FEW)
        self.node = self.fleet.node
        self.pods = []
        self.changes = 0

    def size(self, peers):
        return f"{self.count} pods, {number(self.policies)} policies, {number(peers)} peers"

    def fill(self):
        """All pods, known to the daemon by CNI and by a manifest each."""
        self.pods = self.fleet.local(self.count)
        for p in self.pods:
            self.fleet.add(p)
            world.put(self.node.manifests, f"local/{p.name}.yaml", p.manifest())
        self.node.sync("60s")

    def more_peers(self):
        world.put_peers(self.node.manifests, self.many)
        self.node.sync("120s")


# ---- row 4 ----

def config_pin(node):
    base = node.path("bpffs", "bulkhead")
    abi = sorted(d for d in os.listdir(base) if d.startswith("abi"))[-1]
    return os.path.join(base, abi, "maps", "config")


def change(bed, name, text):
    """After this file changed: (ms until the kernel enforces it, ms of compile and publish, ms of
    the daemon's CPU, with what it leaves to do later)."""
    world.put(bed.node.dir, "next/" + os.path.basename(name), text)
    before = cpu_exact(bed.node.proc.pid)
    us = testing.run(EPOCH, config_pin(bed.node),
                     bed.node.path("next", os.path.basename(name)),
                     os.path.join(bed.node.manifests, name))
    bed.node.sync("60s")
    time.sleep(PAUSE_S)
    used = cpu_exact(bed.node.proc.pid) - before
    return float(us) / 1e3, bed.node.ask("status")["publish"]["lastMilliseconds"], used * 1e3


def label_changes(bed, n):
    """One pod of this node becomes another application of its namespace, each time another pod."""
    out = []
    for i in range(n):
        p = bed.pods[i * 37 % len(bed.pods)]
        p.app = f"a{(int(p.app[1:]) + 1) % world.APPS}"
        out.append(change(bed, f"local/{p.name}.yaml", p.manifest()))
    return out


def policy_changes(bed, n):
    """One of a namespace's hundred policies has another port."""
    out = []
    for i in range(n):
        ns, per = i % world.NAMESPACES, bed.policies // world.NAMESPACES
        texts = [world.policy_text(ns + world.NAMESPACES * k) for k in range(per - 1)]
        bed.changes += 1
        texts[i % 5] = world.policy_text(ns + world.NAMESPACES * (i % 5),
                                         port=20000 + bed.changes)
        out.append(change(bed, f"policies/ns{ns}.yaml", "---\n".join(texts)))
    return out


def fill_changes(row, bed, peers, n):
    for what, fn, limit, name in (
            ("a pod's label", label_changes, LABEL_MS, "<= 5 ms (p99)"),
            ("a policy", policy_changes, CHANGE_MS, "p99 <= 50 ms")):
        found = fn(bed, n)
        total, publish, used = zip(*found)
        row.add(f"{what} changes, {bed.size(peers)}: file in place to enforced", tail(total, "ms"),
                name, quantile(total, 0.99) <= limit)
        row.add(f"{what} changes, {bed.size(peers)}: of which compile and publish",
                tail(publish, "ms"))
        row.add(f"{what} changes, {bed.size(peers)}: the daemon's CPU for it", tail(used, "ms"))


# ---- row 6 ----

class Inside:
    """This thread, for a while, in the node's network namespace: plugins start from it directly."""

    def __init__(self, netns):
        self.target = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self):
        self.go(self.target)

    def __exit__(self, *_):
        self.go(self.home)
        os.close(self.target)
        os.close(self.home)

    def go(self, fd):
        if self.libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def plugin_call(chain, plugin, command, pod, prev):
    """(its result, ms from start to end of the process), the leanest way to run a plugin."""
    conf = {k: v for k, v in plugin.items() if k != "capabilities"}
    conf.update(cniVersion=chain.conf["cniVersion"], name=chain.conf["name"])
    if prev is not None:
        conf["prevResult"] = prev
    env = {"PATH": os.environ["PATH"], "CNI_COMMAND": command, "CNI_PATH": chain.path,
           **cni.pod_env(pod)}
    binary = next(os.path.join(d, plugin["type"]) for d in chain.path.split(":")
                  if os.path.exists(os.path.join(d, plugin["type"])))
    start = time.monotonic()
    r = subprocess.run([binary], input=json.dumps(conf), env=env, capture_output=True, text=True,
                       close_fds=False, timeout=60, check=False)
    ms = (time.monotonic() - start) * 1e3
    return cni.parse(plugin["type"], r), ms


def add_and_delete(chain, plugins, pod):
    """ms of every plugin's ADD."""
    prev, times = None, []
    for plugin in plugins:
        prev, ms = plugin_call(chain, plugin, "ADD", pod, prev)
        times.append(ms)
    for plugin in reversed(plugins):
        plugin_call(chain, plugin, "DEL", pod, prev)
    return times


def adds(bed, n):
    """(ms of bulkhead-cni in the chain, ms of the chain with it, ms of the chain without it), the
    two chains in turns."""
    node = bed.node
    plugins = [p for p in node.chain.conf["plugins"] if p["type"] != "portmap"]
    pod = node.new_pod("ns0", f"added{len(node.pods)}", {"app": "a0"})
    pod.agent.stop()
    own, with_, without = [], [], []
    with Inside(node.netns):
        for i in range(n):
            pod.conf["id"] = f"{i:064x}"
            times = add_and_delete(node.chain, plugins, pod.conf)
            own.append(times[-1])
            with_.append(sum(times))
            without.append(sum(add_and_delete(node.chain, plugins[:-1], pod.conf)))
    return own, with_, without


def fill_adds(row, bed, n):
    own, with_, without = adds(bed, n)
    pods = len(bed.pods) + 1
    what = f"ADD of pod {pods}" if pods > 1 else "ADD of the only pod"
    row.add(f"{what}: bulkhead-cni in the chain", tail(own, "ms"),
            f"p50 <= {ADD_P50_MS}, p99 <= {ADD_P99_MS} ms",
            median(own) <= ADD_P50_MS and quantile(own, 0.99) <= ADD_P99_MS)
    row.compare([f"whole chain, {pods} pods" if pods > 1 else "whole chain, 1 pod", "ms"],
                [["bridge, host-local, bulkhead-cni", tail(with_)],
                 ["bridge, host-local", tail(without)]])


# ---- row 7 ----

def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_exact(pid):
    """As the scheduler counts it, in nanoseconds; ticks where it does not."""
    try:
        total = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
        return total / 1e9
    except OSError:
        return cpu_seconds(pid)


def memory_of(pid):
    """MB: resident, of that its own (not mapped files), highest so far"""
    found = {}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            key, _, rest = line.partition(":")
            if key in ("VmRSS", "RssAnon", "VmHWM"):
                found[key] = int(rest.split()[0]) * 1024 / 1e6
    return found["VmRSS"], found["RssAnon"], found["VmHWM"]


def idle(pid, seconds):
    ticks, exact, start = cpu_seconds(pid), cpu_exact(pid), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - start
    return (cpu_exact(pid) - exact) / passed, (cpu_seconds(pid) - ticks) / passed


def fill_memory(row, bed, peers, limit, when="started anew"):
    pid = bed.node.proc.pid
    rss, anon, peak = memory_of(pid)
    status = bed.node.ask("status")
    maps = status["memory"]["mapsBytes"] / 1e6
    row.add(f"resident, {when}, {bed.size(peers)}",
            f"{rss:.1f} MB (heap {anon:.1f}, highest so far {peak:.1f})",
            f"<= {limit} MB", rss <= limit)
    row.add(f"maps, {when}, {bed.size(peers)}", f"{maps:.1f} MB", f"<= {MAPS_MB} MB",
            maps <= MAPS_MB)
    if when != "started anew":
        return
    largest = sorted(status["maps"], key=lambda m: -m["bytes"])[:6]
    row.compare([f"largest maps, {number(peers)} peers", "MB", "used", "of"],
                [[m["name"], number(m["bytes"] / 1e6), number(m["used"]), number(m["max"])]
                 for m in largest])


def fill_idle(row, bed, peers):
    seconds = 5 if bed.quick else 30
    exact, ticks = idle(bed.node.proc.pid, seconds)
    row.add(f"idle CPU over {seconds} s, {bed.size(peers)}",
            f"{exact:.3%} (by ticks {ticks:.3%})", "<= 0.2 %", exact <= IDLE)


def fill_start(row, bed, peers):
    """A daemon that starts over all that is there."""
    start = time.monotonic()
    bed.node.restart()
    row.add(f"start until enforcing, {bed.size(peers)}",
            f"{(time.monotonic() - start) * 1e3:.0f} ms")


# ---- all ----

def measure_few(numbers, bed, rows):
    n = 20 if bed.quick else 100
    if 6 in numbers:
        fill_adds(rows[6], bed, n)
    bed.fill()
    if 6 in numbers:
        fill_adds(rows[6], bed, n)
        nft_node.adds(rows[6], f"{bed.node.prefix}-nft6", bed.count, n)
        rows[6].note(f"{number(bed.policies)} policies, {number(FEW)} peers. Times are of the "
                     "plugin's process, start to end, with the daemon's answer (the kernel holds "
                     "the pod's final table) inside. ADD and DEL take turns; the two chains too.")
    if 4 in numbers:
        fill_changes(rows[4], bed, FEW, n)
    if 5 in numbers:
        row_quarantine.measure(bed, bed.quick, rows)
    if 7 in numbers:
        fill_start(rows[7], bed, FEW)
        fill_memory(rows[7], bed, FEW, RSS_FEW_MB)
        fill_idle(rows[7], bed, FEW)


def measure_many(numbers, bed, rows):
    bed.more_peers()
    if 4 in numbers:
        fill_changes(rows[4], bed, bed.many, 10 if bed.quick else 50)
        nft_node.changes(rows[4], f"{bed.node.prefix}-nft4", bed.policies, 5 if bed.quick else 20)
        rows[4].note("From the rename that puts the file in place to the store of the epoch by "
                     "which every pod of the node is switched over: notification, reading, "
                     "parsing, compiling, publishing and reading back are inside, `bulkhead sync` "
                     "is not. Every pod has a file of its own; a policy shares its file with the "
                     "others of its namespace. A fifth of a second lies between two changes.")
    if 7 in numbers:
        fill_memory(rows[7], bed, bed.many, RSS_MB, "after many changes")
        fill_start(rows[7], bed, bed.many)
        fill_memory(rows[7], bed, bed.many, RSS_MB)
        fill_idle(rows[7], bed, bed.many)
        nft_node.memory(rows[7], f"{bed.node.prefix}-nft7", bed.policies, bed.many)


def measure(numbers, quick):
    """The rows 4 to 7 of the numbers asked for, all on one node."""
    rows = {}
    titles = {4: "Policy change to enforced", 6: "CNI ADD", 7: "The daemon's memory and idle CPU"}
    for n in titles.keys() & set(numbers):
        rows[n] = Row(n, titles[n])
    bed = Bed(quick)
    measure_few(numbers, bed, rows)
    if {4, 7} & set(numbers):
        measure_many(numbers, bed, rows)
    return rows

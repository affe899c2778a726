#!/usr/bin/python3
"""Lives of pods as runtimes really lead them: ADD again, names and addresses that come back, several
interfaces, quarantine meanwhile, odd namespaces, what CHECK finds."""
import contextlib
import copy
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni
import testing
from node import Node, namespace, network_policy, pods_peer
from testing import check, equal, part, run, wait_until
from traffic import is_allowed

SERVERS = ("80/tcp", "53/udp")
MARK = "bad0bad0bad0bad0"
POLICY = network_policy("l", "friends", {"app": "a"}, ingress=[{"from": [pods_peer(app="a")]}],
                        egress=[{"to": [pods_peer(app="a")]}])


def refusal(fn):
    """(plugin, code, message) of the error, None when it went well."""
    try:
        fn()
    except cni.CniError as e:
        return e.plugin, e.code, e.msg
    return None


def ours(node):
    return node.chain.conf["plugins"][-1]


def bridge(node, name, subnet):
    return {"type": "bridge", "bridge": name, "isGateway": True,
            "ipam": {"type": "host-local", "dataDir": node.path("ipam-" + name),
                     "ranges": [[{"subnet": subnet}]]}}


def chain(node, name, *plugins):
    conf = {"cniVersion": "1.0.0", "name": name, "plugins": [*plugins, ours(node)]}
    return cni.Chain(conf, node.chain.enter, node.chain.path)


def row(node, pod, interface="eth0"):
    return next((p for p in node.ask("pods")["pods"]
                 if p["pod"] == pod and p["interface"] == interface), None)


def reaches(a, b, addr, name):
    equal(a.agent.probe("tcp", addr or b.ip4, 80, timeout=1.5), "open", name)


def reaches_not(a, b, addr, name):
    got = a.agent.probe("tcp", addr or b.ip4, 80, timeout=0.3)
    check(not is_allowed(got), name, got)


def again(node, a, b):
    """ADD of what is there already keeps it enforced without a gap."""
    stranger = node.pod("l", "stranger", {"app": "z"})
    sniffer = b.agent.call("sniff_start", interface="eth0", marks=[MARK])
    outside = node.outside()  # nothing on its side keeps it from sending
    storm = outside.call("storm_start", addr=b.ip4, udp_port=53, tcp_port=80, mark=MARK, pause=0)
    times = 0
    while times < 10 or outside.call("storm_state", storm=storm)["sent"] <= 1000:
        node.chain.call(ours(node), "ADD", b.conf, b.conf["result"])
        times += 1
    state = outside.call("storm_stop", storm=storm)
    seen = b.agent.call("sniff_stop", sniffer=sniffer)
    check(state["sent"] > 1000, f"the storm blew over {times} of them", state["sent"])
    equal((state["connected"], sum(seen["counts"].values())), (0, 0),
          "ADD repeated: nothing slips through")
    reaches(a, b, None, "ADD repeated: still reached")
    equal(len([p for p in node.ask("pods")["pods"] if p["pod"] == "l/b"]), 1,
          "ADD repeated: one endpoint")
    other = {**b.conf, "id": "d" * 64}
    node.chain.call(ours(node), "ADD", other, b.conf["result"])
    node.chain.call(ours(node), "DEL", b.conf, b.conf["result"])
    reaches(a, b, None, "another container id for the interface: DEL of the old one changes nothing")
    reaches_not(stranger, b, None, "another container id for the interface: it stays enforced")
    b.conf["id"] = other["id"]
    stranger.gone()


def comes_back(node, a, b):
    """A name or an address that is used again before its DEL."""
    def vanish(pod):
        pod.agent.stop()
        run("ip", "netns", "del", pod.ns)

    old = node.pod("l", "back", {"app": "z"})
    vanish(old)
    new = node.pod("l", "back", {"app": "a"}, listen=SERVERS)
    reaches(a, new, None, "the same name, the old one vanished: the new labels count, in")
    reaches(new, b, None, "the same name, the old one vanished: the new labels count, out")
    new.gone()
    old = node.pod("l", "twin", {"app": "a"}, listen=SERVERS)
    new = node.pod("l", "twin", {"app": "z"}, listen=SERVERS)
    reaches_not(a, new, None, "the same name, the old one lives: the new labels count")
    new.gone()
    reaches(a, old, None, "the same name: after the new one's DEL the old labels count again")
    old.gone()
    old = node.pod("l", "first", {"app": "z"}, addresses=["10.77.1.9"], listen=SERVERS)
    vanish(old)
    new = node.pod("l", "second", {"app": "a"}, addresses=["10.77.1.9"], listen=SERVERS)
    reaches(a, new, None, "the same address, its owner vanished")
    refused = node.new_pod("l", "third", {"app": "a"}, addresses=["10.77.1.9"])
    got = refusal(refused.add)
    check(got and got[0] == "bulkhead-cni" and "l/second" in got[2],
          "the same address, its owner lives: refused, and the owner named", got)
    reaches(a, new, None, "the owner keeps its address")
    refused.delete()
    run("ip", "netns", "del", new.ns)  # its agent keeps the namespace itself
    heir = node.pod("l", "fourth", {"app": "a"}, addresses=["10.77.1.9"], listen=SERVERS)
    equal(row(node, "l/second")["state"], "shut", "the same address, its owner's path is gone: shut")
    reaches_not(new, b, None, "and it reaches nobody")
    equal(row(node, "l/fourth")["state"], "open", "the new owner is open")
    new.agent.stop()
    heir.gone()


def refused_stays_shut(node):
    """A refused ADD is still refused after a restart of the daemon."""
    pod = node.new_pod("l", "late", {"app": "a"})
    node.kill()
    equal((refusal(pod.add) or ("", 0))[1], 11, "no daemon: code 11")
    node.start()
    pod.conf["result"] = None
    node.chain.delete(pod.conf)
    pod.add()
    equal(row(node, "l/late")["state"], "open", "ADD after a failed ADD and its DEL")
    pod.gone()


def two_interfaces(node):
    second = chain(node, "second", bridge(node, "br1", "10.88.0.0/16"))
    pods = [node.pod("l", f"m{i}", {"app": l}, listen=SERVERS) for i, l in enumerate("aaz")]
    for p in pods:
        p.other = {k: v for k, v in {**p.conf, "ifname": "net1"}.items() if k != "result"}
        p.net1 = second.add(p.other)["ips"][0]["address"].split("/")[0]
    x, y, z = pods
    reaches(x, y, y.net1, "net1: allowed")
    reaches_not(z, y, y.net1, "net1: denied")
    stream = x.agent.stream("tcp", y.net1, 80)
    y.delete()
    check(stream.lives(), "net1 lives on after eth0's DEL", stream.state)
    reaches_not(z, y, y.net1, "net1 is enforced after eth0's DEL")
    reaches_not(y, z, z.net1, "from net1 after eth0's DEL: denied")
    reaches(y, x, x.net1, "from net1 after eth0's DEL: allowed")
    quarantine_both(node, x, y, z)
    second.delete(y.other)
    check(not row(node, "l/m1", "net1"), "DEL of the last interface: gone")


def quarantine_both(node, x, y, z):
    check(node.cli("quarantine", "l/m0", "--reason", "test").returncode == 0, "quarantine")
    for addr in (x.ip4, x.net1):
        reaches_not(y if addr == x.net1 else z, x, addr, f"quarantine covers {addr}")
    reaches_not(x, y, y.net1, "quarantine covers net1 outwards")
    third = chain(node, "third", bridge(node, "br2", "10.89.0.0/16"))
    conf = {k: v for k, v in {**x.conf, "ifname": "net2"}.items() if k != "result"}
    equal(refusal(lambda: third.add(conf)), None, "ADD of one more interface while quarantined")
    node.restart(hard=True)
    equal({(row(node, "l/m0", i) or {}).get("state") for i in ("eth0", "net1", "net2")},
          {"quarantined"}, "all interfaces are quarantined, after kill -9 too")
    equal(refusal(lambda: node.chain.call(ours(node), "CHECK", x.conf, x.conf["result"])), None,
          "CHECK of a quarantined pod holds")
    check(node.cli("release", "l/m0", "--reason", "test").returncode == 0, "release")
    reaches(x, y, y.net1, "released")
    equal(node.ask("policy", "verify")["mismatches"], [], "the tables are right")


def families(node, a, stranger):
    """Only IPv6; as many addresses as fit, and one more; routed instead of bridged."""
    six = node.pod("l", "six", {"app": "a"}, addresses=["fd77::6666"], listen=SERVERS)
    reaches(a, six, six.ip6, "only IPv6: in")
    reaches(six, a, a.ip6, "only IPv6: out")
    reaches_not(stranger, six, six.ip6, "only IPv6: denied")
    many = [f"10.77.30.{i + 1}" for i in range(125)] + [f"fd77::30:{i + 1:x}" for i in range(125)]
    full = node.pod("l", "full", {"app": "a"}, addresses=many, listen=SERVERS)
    some = many[:4] + many[60:64] + many[-4:]
    equal(a.agent.probes([["tcp", m, 80] for m in some], timeout=2), ["open"] * len(some),
          "250 addresses: in")
    equal(full.agent.probes([["tcp", a.ip6 if ":" in m else a.ip4, 80, m] for m in some],
                            timeout=2), ["open"] * len(some), "250 addresses: out")
    got = stranger.agent.probes([["tcp", m, 80] for m in some], timeout=0.3)
    check(not any(is_allowed(r) for r in got), "250 addresses: denied", got)
    over = node.new_pod("l", "over", {"app": "a"}, addresses=many[:2] + ["10.77.31.1"] + many[3:] +
                        ["10.77.31.2"])
    full.gone()
    got = refusal(over.add)
    check(got and got[1] >= 100 and "251 addresses" in got[2], "251 addresses: refused", got)
    over.delete()
    routed = {"type": "ptp", "ipam": {"type": "host-local", "dataDir": node.path("ipam-ptp"),
                                      "ranges": [[{"subnet": "10.99.0.0/16"}]],
                                      "routes": [{"dst": "0.0.0.0/0"}]}}
    pods = [node.new_pod("l", f"ptp{i}", {"app": l}) for i, l in enumerate("aaz")]
    for p in pods:
        p.chain = chain(node, "ptp", routed)
        p.agent.listen(*SERVERS)
        p.add()
    reaches(pods[0], pods[1], None, "ptp: allowed")
    reaches(a, pods[1], None, "bridge to ptp: allowed")
    reaches_not(pods[2], pods[1], None, "ptp: denied")


def odd(node, a):
    """What is no pod's namespace or no interface of a pair."""
    fifo = node.path("fifo")
    os.mkfifo(fifo)
    for path in (f"/run/netns/{node.netns}", "/proc/self/ns/mnt", "/etc/passwd", "/nonexistent",
                 "/run/netns", fifo):
        conf = {**a.conf, "netns": path, "id": "e" * 64}
        prev = copy.deepcopy(a.conf["result"])
        for i in prev["interfaces"]:
            if i.get("sandbox"):
                i["sandbox"] = path
        # a daemon that hangs would make it 11, after the plugin's patience
        got = refusal(lambda: node.chain.call(ours(node), "ADD", conf, prev))
        check(got and got[1] >= 100, f"netns {path}: refused", got)
        equal(refusal(lambda: node.chain.call(ours(node), "DEL", conf, prev)), None,
              f"netns {path}: DEL succeeds")
    node.sh("ip link add mv0 type veth peer name mv1", "ip link set mv0 up", "ip link set mv1 up")
    pod = node.new_pod("l", "macvlan", {"app": "a"})
    pod.chain = chain(node, "mv", {"type": "macvlan", "master": "mv0", "mode": "bridge",
                                   "ipam": {"type": "static",
                                            "addresses": [{"address": "10.97.0.1/16"}]}})
    got = refusal(pod.add)
    check(got and got[1] >= 100 and "macvlan" in got[2], "macvlan: refused and named", got)
    check("UP" in node.sh("ip -br link show mv0"), "its parent stays up")
    pod.delete()


def inode(path):
    with contextlib.suppress(OSError):
        return os.stat(path).st_ino
    return None


def taken_away(node, pod, look):
    """What look() says of a pod one of whose programs was taken off. The daemon looks after them every
    few seconds: where it was quicker than we, which its new link shows, another time."""
    for _ in range(5):
        pin = node.link_pin(pod)
        old = os.stat(pin).st_ino
        run("bpftool", "link", "detach", "pinned", pin)
        got = look()
        if got or inode(pin) == old:
            break
    return got


def checks(node):
    """CHECK finds what is not as ADD left it."""
    pod = node.pod("l", "checked", {"app": "a"})

    def again_with(prev):
        return refusal(lambda: node.chain.call(ours(node), "CHECK", pod.conf, prev))

    equal(again_with(pod.conf["result"]), None, "CHECK: all is well")
    prev = copy.deepcopy(pod.conf["result"])
    prev["ips"][0]["address"] = "10.77.9.9/16"
    got = again_with(prev)
    check(got and "10.77.9.9" in got[2], "CHECK: another address", got)
    mac = pod.mac
    pod.sh("ip link set eth0 down", "ip link set eth0 address 02:11:22:33:44:55",
           "ip link set eth0 up")
    got = again_with(pod.conf["result"])
    check(got and "MAC" in got[2], "CHECK: another MAC address", got)
    pod.sh("ip link set eth0 down", f"ip link set eth0 address {mac}", "ip link set eth0 up")
    equal(again_with(pod.conf["result"]), None, "CHECK: all is well again")
    got = taken_away(node, pod, lambda: again_with(pod.conf["result"]))
    check(got and "not attached" in got[2], "CHECK: a program that somebody took away", got)
    wait_until(lambda: again_with(pod.conf["result"]) is None, 15, "the program is back")
    check(True, "it is attached again")
    pod.gone()


def runtime_1_1(node):
    """STATUS and GC."""
    conf = {**node.chain.conf, "cniVersion": "1.1.0"}
    newest = cni.Chain(conf, node.chain.enter, node.chain.path)
    none = {"id": "x", "netns": "", "args": ""}
    equal(refusal(lambda: newest.call(ours(node), "STATUS", none)), None, "STATUS")
    pods = [node.pod("l", f"gc{i}", {"app": "a"}) for i in range(2)]
    keep = [{"containerID": p.conf["id"], "ifname": "eth0"}
            for p in node.pods.values() if p is not pods[1]]
    keep += [{"containerID": "d" * 64, "ifname": "eth0"}]
    collect = {**ours(node), "cni.dev/valid-attachments": keep}
    equal(refusal(lambda: newest.call(collect, "GC", none)), None, "GC")
    listed = {p["pod"] for p in node.ask("pods")["pods"]}
    check("l/gc0" in listed and "l/gc1" not in listed, "GC: only what is not valid goes", listed)
    for p in pods:
        p.gone()


def main():
    node = Node().start()
    node.write("world.yaml", namespace("l"), POLICY)
    node.sync()
    a, b = (node.pod("l", n, {"app": "a"}, listen=SERVERS) for n in "ab")
    stranger = node.pod("l", "z", {"app": "z"})
    with part("ADD again"):
        again(node, a, b)
    with part("names and addresses come back"):
        comes_back(node, a, b)
    with part("a refused ADD"):
        refused_stays_shut(node)
    with part("two interfaces"):
        two_interfaces(node)
    with part("families and numbers"):
        families(node, a, stranger)
    with part("odd namespaces and links"):
        odd(node, a)
    with part("CHECK"):
        checks(node)
    with part("version 1.1.0"):
        runtime_1_1(node)


testing.start(needs=[os.path.join(cni.PLUGINS, "bridge")])
testing.main(main)

#!/usr/bin/python3
"""Neither an open nor a shut window: packets that a pod sends from before its ADD never reach a
denied peer once the ADD went through the plugin, and allowed ones flow at once when it returns."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni
import testing
from node import Node, namespace, network_policy, pods_peer
from testing import check, equal, part
from traffic import is_allowed

PODS = 12
POLICIES = [
    namespace("w"),
    network_policy("w", "storm", {"app": "storm"}, ["Egress", "Ingress"],
                   ingress=[{"from": [pods_peer(app="good")]}],
                   egress=[{"to": [pods_peer(app="good")]}]),
    network_policy("w", "open", {"role": "peer"}, ["Ingress", "Egress"], ingress=[{}], egress=[{}]),
]


def split_add(pod):
    """ADD as a runtime does it, but the moment before bulkhead-cni runs is seen: returns the Unix
    times when the plugin began and when it returned."""
    chain = pod.chain
    prev = None
    began = None
    for plugin in chain.conf["plugins"]:
        if plugin["type"] == "bulkhead-cni":
            began = time.time()
        prev = chain.call(plugin, "ADD", pod.conf, prev)
    done = time.time()
    pod.conf["result"] = prev
    pod.learn(prev)
    return began, done


def connected_after(pod, storm, when):
    """Unix time of the first connection made from `when` on; None while there is none."""
    offset = time.time() - time.monotonic()
    at = pod.agent.call("storm_state", storm=storm)["connectedAt"]
    return next((t + offset for t in at if t + offset >= when), None)


def storm_pods(node, good, bad):
    """Pods that shout at both peers from before ADD on."""
    for i in range(PODS):
        pod = node.new_pod("w", f"storm{i}", {"app": "storm"})
        pod.agent.listen("80/tcp")
        v6 = i % 3 == 2
        to_bad, to_good = (bad.ip6, good.ip6) if v6 else (bad.ip4, good.ip4)
        mark = os.urandom(16).hex()
        sniffer = bad.agent.call("sniff_start", marks=[mark], interface="eth0")
        shout = pod.agent.call("storm_start", addr=to_bad, udp_port=53, tcp_port=80, mark=mark)
        before = pod.agent.call("storm_state", storm=shout)
        began, done = split_add(pod)
        # begun only now: a bridge loses address resolution while its port comes up, with or without
        # us, and the kernel asks again a second later. It is also the fence for late packets.
        hope = pod.agent.call("storm_start", addr=to_good, udp_port=53, tcp_port=80, mark=mark,
                              pause=0.001)
        first = testing.wait_until(lambda: connected_after(pod, hope, done), 15,
                                   "an allowed connection")
        lost = pod.agent.call("storm_state", storm=hope)["firstLost"]
        back = good.agent.reach("tcp", pod.ip6 if v6 else pod.ip4, 80)
        sent = pod.agent.call("storm_state", storm=shout)["sent"]
        testing.wait_until(lambda: pod.agent.call("storm_state", storm=shout)["sent"] > sent + 50 or
                           pod.agent.call("storm_state", storm=shout)["errors"].get("EPERM", 0) > 50,
                           15, "more of the storm")
        heard = bad.agent.call("sniff_stop", sniffer=sniffer)["last"]
        last = max(heard.values(), default=began)
        state = pod.agent.call("storm_stop", storm=shout)
        pod.agent.call("storm_stop", storm=hope)
        check(last < done, f"{pod.name}: not a packet to the denied peer after ADD returned (last "
              f"{(last - began) * 1000:.1f} ms after the plugin began)", state)
        # not by the clock, which the processes that try it wait for as well
        check(lost == 0, f"{pod.name}: the first connection after ADD, nothing of it lost "
              f"({(first - done) * 1000:.1f} ms)", lambda: (lost, node.ask("status")["drops"]))
        equal(back, "open", f"{pod.name}: and towards it")
        check(done - began < 8, f"{pod.name}: bulkhead-cni took {(done - began) * 1000:.1f} ms of 10 s")
        check(before["connected"] == 0, f"{pod.name}: the storm began before there was a network")
        pod.gone()


def first_connection(node, good):
    """What a container does first: one connection, no retry, the moment ADD has returned."""
    refused = []
    for i in range(PODS):
        pod = node.new_pod("w", f"quick{i}", {"app": "storm"})
        pod.add()
        for addr in good.ips:
            got = pod.agent.probe("tcp", addr, 80, timeout=0.9)
            if got != "open":
                refused.append((pod.name, addr, got))
        pod.gone()
    equal(refused, [], f"the first connection of {PODS} pods, both families, no retry")


def no_daemon(node, bad):
    """ADD fails with 11 when nobody answers, and the interface is shut."""
    node.kill()
    pod = node.new_pod("w", "orphan", {"app": "storm"})
    mark = os.urandom(16).hex()
    shout = pod.agent.call("storm_start", addr=bad.ip4, udp_port=53, tcp_port=80, mark=mark)
    code = None
    try:
        pod.add()
    except cni.CniError as e:
        code = e.code
        check(e.plugin == "bulkhead-cni" and e.msg, f"the error says why: {e.msg}")
    equal(code, 11, "ADD without a daemon: code 11, try again later")
    sniffer = bad.agent.call("sniff_start", marks=[mark], interface="eth0")
    sent = pod.agent.call("storm_state", storm=shout)["sent"]
    testing.wait_until(lambda: sum(pod.agent.call("storm_state", storm=shout)["errors"].values()) +
                       pod.agent.call("storm_state", storm=shout)["sent"] > sent + 100, 15, "a storm")
    equal(bad.agent.call("sniff_stop", sniffer=sniffer)["counts"], {}, "the interface is shut")
    pod.agent.call("storm_stop", storm=shout)
    pod.conf["result"] = {"cniVersion": "1.0.0", "interfaces": [], "ips": []}
    try:
        pod.chain.delete(pod.conf, prev=False)
        check(True, "DEL succeeds without a daemon")
    except cni.CniError as e:
        check(False, "DEL succeeds without a daemon", e)


def enforced_meanwhile(good, bad, victim):
    """What was attached before the daemon died is still enforced."""
    equal(victim.agent.reach("tcp", good.ip4, 80), "open", "allowed while the daemon is dead")
    check(not is_allowed(victim.agent.probe("tcp", bad.ip4, 80)), "denied while it is dead")


def main():
    node = Node().start()
    node.write("world.yaml", *POLICIES)
    node.sync()
    good = node.pod("w", "good", {"app": "good", "role": "peer"}, listen=("80/tcp", "53/udp"))
    bad = node.pod("w", "bad", {"app": "bad", "role": "peer"}, listen=("80/tcp", "53/udp"))
    with part("storms from before ADD"):
        storm_pods(node, good, bad)
    with part("the first connection"):
        first_connection(node, good)
    with part("no daemon"):
        victim = node.pod("w", "victim", {"app": "storm"})
        no_daemon(node, bad)
        enforced_meanwhile(good, bad, victim)
    with part("the daemon is back"):
        node.start()
        pod = node.pod("w", "late", {"app": "storm"})
        equal(pod.agent.reach("tcp", good.ip4, 80), "open", "ADD works again")
        check(not is_allowed(pod.agent.probe("tcp", bad.ip4, 80)), "and denies")


testing.start()
testing.main(main)

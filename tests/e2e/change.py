#!/usr/bin/python3
"""What a change does to connections that live: a revoked rule cuts at the next packet in both
directions, others never notice; labels of pods and namespaces, as subject and as peer; expiry at
its second, also with the daemon dead."""
import datetime
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
from node import Node, namespace, network_policy, pods_peer, segmentation_policy
from testing import check, equal, part, wait_until
from traffic import Pace, is_allowed

SERVED = ("80/tcp", "81/tcp", "53/udp")
LATE_S = 0.3  # an answer is never so much later than one that no policy is about


def allow(name, subject, peer, direction="Ingress", **more):
    key, word = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return network_policy("c", name, subject, [direction], **{key: [{word: [peer], **more}]})


OPEN_OUT = network_policy("c", "open-out", None, ["Egress"], egress=[{}])
PEER_NS = {"namespaceSelector": {"matchLabels": {"team": "red"}}}


class Talk:
    """Conversations of every kind between two pods, and one beside them that passes no network."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.pace = Pace(client.agent, server.agent)
        self.streams = {f"{proto} {addr}": client.agent.stream(proto, addr, port)
                        for addr in server.ips for proto, port in (("tcp", 80), ("udp", 53))}
        self.name = f"{client.name} -> {server.name}"

    def all_live(self, why):
        for what, s in self.streams.items():
            check(s.lives(), f"{why}: {self.name} {what} goes on", s.state)

    def all_cut(self, why):
        for what, s in self.streams.items():
            check(s.is_cut(), f"{why}: {self.name} {what} is cut", s.state)

    def never_noticed(self, why):
        for what, s in self.streams.items():
            check(s.is_whole() and not s.state()["error"],
                  f"{why}: {self.name} {what} did not notice", s.state)
        check(self.server.agent.is_whole(peers=self.client.ips), f"{why}: nor did its other end")

    def later_than(self, moment):
        """{what: answers that the kernel took in after a moment (Unix time)}"""
        return {what: sum(at > moment for at in s.arrivals()) for what, s in self.streams.items()}

    def until(self, moment):
        """{what: how much earlier its last answer before a moment came than that of the one beside}"""
        def last(stream):
            return max((at for at in stream.arrivals() if at < moment), default=0)
        return {what: last(self.pace.stream) - last(s) for what, s in self.streams.items()}

    def close(self):
        for s in (*self.streams.values(), self.pace):
            s.close()


def policy_change(node, a, b, server):
    """Both are allowed; a's permission goes, b stays; then it comes back."""
    rules = [allow("a", {"app": "server"}, pods_peer(app="a")),
             allow("b", {"app": "server"}, pods_peer(app="b"))]
    node.write("policy.yaml", OPEN_OUT, *rules)
    node.sync()
    one, other = Talk(a, server), Talk(b, server)
    one.all_live("allowed")
    other.all_live("allowed")
    node.write("policy.yaml", OPEN_OUT, rules[1])
    node.sync()
    synced = time.time()
    one.all_cut("revoked at the server")
    for what, late in one.later_than(synced).items():
        check(late <= 1, f"cut at the next packet: {what}", f"{late} answers after sync")
    other.never_noticed("somebody else's rule went")
    for i in range(20):
        node.write("more.yaml", allow(f"x{i}", {"app": "nobody"}, pods_peer(app=f"n{i}")))
        node.sync()
    other.never_noticed("twenty changes of other policies")
    one.close()
    node.write("policy.yaml", OPEN_OUT, *rules)
    node.sync()
    again = Talk(a, server)
    again.all_live("the rule is back")
    again.close()
    other.close()
    node.remove("more.yaml")


def opposite_direction(node, a, server):
    """The client's egress is revoked, and then only the server speaks."""
    node.write("policy.yaml", allow("out", {"app": "a"}, pods_peer(app="server"), "Egress"),
               network_policy("c", "in", {"app": "server"}, ["Ingress"], ingress=[{}]))
    node.sync()
    talk = Talk(a, server)
    talk.all_live("egress allowed")
    node.write("policy.yaml", network_policy("c", "in", {"app": "server"}, ["Ingress"],
                                             ingress=[{}]))
    node.sync()
    talk.all_cut("egress revoked")
    talk.close()
    got = a.agent.probe("tcp", server.ip4, 80)
    equal(got, "EPERM", "a new connection fails at once with EPERM")


def labels(node, a, b, server):
    """Labels come from the manifest of the pod; they change under live connections."""
    base = [OPEN_OUT, allow("peer", {"app": "server"}, pods_peer(role="friend"))]
    node.write("policy.yaml", *base)
    node.write("a.yaml", a.manifest({"app": "a", "role": "friend"}))
    node.sync()
    talk = Talk(a, server)
    talk.all_live("a is a friend")
    node.write("a.yaml", a.manifest({"app": "a"}))
    node.sync()
    talk.all_cut("a is a friend no more (label as peer)")
    talk.close()
    node.write("a.yaml", a.manifest({"app": "a", "role": "friend"}))
    node.write("server.yaml", server.manifest({"app": "server"}))
    node.sync()
    talk = Talk(a, server)
    talk.all_live("a is a friend again")
    node.write("server.yaml", server.manifest({"app": "other"}))
    node.sync()
    talk.all_cut("the server is not selected any more (label as subject, default deny)")
    talk.close()
    node.write("server.yaml", server.manifest({"app": "server"}))
    node.write("a.yaml", a.manifest({"app": "a"}))
    node.sync()


def namespace_labels(node, stranger, server):
    node.write("policy.yaml", OPEN_OUT,
               network_policy("d", "open-out", None, ["Egress"], egress=[{}]),
               allow("peer", {"app": "server"}, PEER_NS))
    node.write("ns.yaml", namespace("c"), namespace("d", team="red"))
    node.sync()
    talk = Talk(stranger, server)
    talk.all_live("the namespace is red")
    node.write("ns.yaml", namespace("c"), namespace("d", team="blue"))
    node.sync()
    talk.all_cut("the namespace is blue now")
    talk.close()
    node.write("ns.yaml", namespace("c"), namespace("d", team="red"))
    node.sync()
    equal(stranger.agent.probe("tcp", server.ip4, 80), "open", "red again: open again")


def expiring(seconds):
    """A rule that ends `seconds` from now, on a whole second; the Unix time of its end."""
    end = int(time.time()) + seconds
    text = datetime.datetime.fromtimestamp(end, datetime.timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%SZ")
    rule = {"action": "Allow", "from": [pods_peer(app="a")],
            "reason": {"why": "test", "owner": "t@example.org", "expires": text}}
    return segmentation_policy("c", "until", {"app": "server"}, ["Ingress"], ingress=[rule]), end


def write_expiring(node):
    """A rule that ends soon, and long enough after sync for what its end is about; its end."""
    for seconds in (3, 10, 30):
        policy, end = expiring(seconds)
        node.write("policy.yaml", OPEN_OUT, policy,
                   allow("b", {"app": "server"}, pods_peer(app="b")))
        node.sync()
        if time.time() < end - 1.5:
            break
    return end


def expiry(node, a, b, server, dead):
    """The conversation ends at the second, not before and not noticeably after."""
    word = "with the daemon dead" if dead else "with the daemon alive"
    node.write("policy.yaml", OPEN_OUT, allow("a", {"app": "server"}, pods_peer(app="a")),
               allow("b", {"app": "server"}, pods_peer(app="b")))
    node.sync()
    talk, other = Talk(a, server), Talk(b, server)
    talk.all_live(f"before its end, {word}")
    end = write_expiring(node)
    if dead:
        node.kill()
    wait_until(lambda: time.time() > end + 0.1, 40)
    before = talk.until(end)
    talk.all_cut(f"expired, {word}")
    for what, early in before.items():
        check(early < LATE_S, f"{word}: {what} lives until its second", f"{early} s too early")
    for what, late in talk.later_than(end + 0.1).items():
        check(late == 0, f"{word}: {what} ended at its second", f"{late} answers later than 0.1 s")
    check(not is_allowed(a.agent.probe("tcp", server.ip4, 80)), f"{word}: nothing new either")
    other.never_noticed(f"a rule that does not end, {word}")
    talk.close()
    other.close()
    if dead:
        node.start()
        check(not is_allowed(a.agent.probe("tcp", server.ip4, 80)), "and after the restart")
        equal(b.agent.probe("tcp", server.ip4, 80), "open", "while the other is still allowed")


def sync_alone(node, a, server):
    """`sync` publishes when something changed, and only then: every publish makes all flows of the
    node be decided again."""
    node.write("sync.yaml", allow("sync", {"app": "server"}, pods_peer(app="a")),
               OPEN_OUT)
    before = node.sync()
    equal([node.sync() for _ in range(3)], [before] * 3, "sync with nothing to do changes nothing")
    for what in ("add", "del"):
        node.sh(f"ip addr {what} 198.51.100.7/32 dev lo")
        now = node.sync()
        check(now > before, f"sync publishes what ip addr {what} did just before", (before, now))
        before = now
    check(is_allowed(a.agent.probe("tcp", server.ip4, 80)), "the rule is still in force")
    node.remove("sync.yaml")
    node.sync()


def main():
    node = Node().start()
    node.write("ns.yaml", namespace("c"), namespace("d", team="red"))
    node.sync()
    a, b, server = (node.pod("c", app, {"app": app}, listen=SERVED) for app in
                    ("a", "b", "server"))
    stranger = node.pod("d", "stranger", {"app": "stranger"}, listen=SERVED)
    with part("sync"):
        sync_alone(node, a, server)
    with part("a policy changes"):
        policy_change(node, a, b, server)
    with part("the other direction"):
        opposite_direction(node, a, server)
    with part("pod labels"):
        labels(node, a, b, server)
    with part("namespace labels"):
        namespace_labels(node, stranger, server)
    with part("expiry"):
        expiry(node, a, b, server, dead=False)
    with part("expiry without the daemon"):
        expiry(node, a, b, server, dead=True)


testing.start()
testing.main(main)

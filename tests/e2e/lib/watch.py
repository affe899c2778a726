"""Allowed conversations and a storm of denied packets, watched while the daemon goes through things."""
import os

from node import namespace, network_policy, pods_peer
from testing import check, equal, wait_until
from traffic import is_allowed

POLICIES = [
    namespace("r"),
    network_policy("r", "client", {"app": "client"}, ["Egress"],
                   egress=[{"to": [pods_peer(app="good")]}]),
    network_policy("r", "open", {"role": "peer"}, ["Ingress", "Egress"], ingress=[{}], egress=[{}]),
]


def watched_pods(node):
    """The pods that POLICIES is about, with their traffic running."""
    good, bad = (node.pod("r", app, {"app": app, "role": "peer"}, listen=("80/tcp", "53/udp"))
                 for app in ("good", "bad"))
    return Watch(node.pod("r", "client", {"app": "client"}), good, bad)


class Watch:
    """Allowed conversations and a storm of denied packets, side by side."""

    def __init__(self, client, good, bad):
        self.client, self.good, self.bad, self.spare = client, good, bad, 0
        self.streams = [client.agent.stream(proto, addr, port) for addr in good.ips
                        for proto, port in (("tcp", 80), ("udp", 53))]
        self.mark = os.urandom(16).hex()
        self.sniffer = bad.agent.call("sniff_start", marks=[self.mark], interface="eth0")
        self.storm = client.agent.call("storm_start", addr=bad.ip4, udp_port=53, tcp_port=80,
                                       mark=self.mark, pause=0.002)

    def holds(self, why, spare=0):
        """Both hold, now and since the last time. spare: what each conversation may have lost."""
        self.spare += spare
        for s in self.streams:
            check(s.lives(), f"{why}: an allowed conversation goes on", s.state)
            check(s.is_whole(spare=self.spare), f"{why}: and lost nothing", s.state)
        check(self.good.agent.is_whole(spare=self.spare), f"{why}: nor did its other end")
        wait_until(lambda: self.tried() > 20, 10, "attempts")
        state = self.client.agent.call("storm_state", storm=self.storm)
        check(state["connected"] == 0, f"{why}: of {self.tried()} attempts none connected", state)
        equal(self.bad.agent.call("sniff_state", sniffer=self.sniffer)["counts"], {},
              f"{why}: not one denied packet")
        equal(self.client.agent.reach("tcp", self.good.ip4, 80), "open", f"{why}: new allowed")
        check(not is_allowed(self.client.agent.probe("tcp", self.bad.ip6, 80, timeout=0.3)),
              f"{why}: new denied")

    def tried(self):
        """How many denied packets and connections were tried."""
        state = self.client.agent.call("storm_state", storm=self.storm)
        return state["sent"] + sum(state["errors"].values())

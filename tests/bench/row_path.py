"""Row 3, and rows 1 and 2 on the wire: the same two pods without enforcement, with Bulkhead under 1
and 10 000 policies, and with nftables doing the same, one after the other in every round."""
import os

import world
from fleet import Fleet, measured_pods, start_world
from table import Row, median, spread

MANY, PEERS = 10000, 1000
BLAST, FLOWS, CHAIN_BLAST = 20000, 4000, 500
DENIED_PORT, ALLOWED_PORT = 5999, 9
THROUGHPUT, CONNECT = 0.97, 0.93
VARIANTS = ("none", "bulkhead 1", "bulkhead 10 000", "nftables 1", "nftables set 10 000",
            "nftables chain 10 000")

NFT = """\
table inet bench {{
{sets}
	chain forward {{
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		{rules}
	}}
}}
"""


def nft_ruleset(kind, count):
    """The policy of the measured pods, and count - 1 others. kind set: look-ups in a set of
    (source, destination, protocol, port); kind chain: a rule each, the ones that match last."""
    ports = ", ".join(map(str, world.ALLOWED_PORTS))
    pair = f"{{ {world.CLIENT4}, {world.SERVER4} }}"
    own = (f"ip saddr {pair} ip daddr {pair} meta l4proto {{ tcp, udp }} "
           f"th dport {{ {ports} }} accept")
    if kind == "chain":
        rules = [f"ip saddr {world.address(n)} ip daddr {world.local_address(n % 250)} "
                 f"tcp dport {8000 + n % 1000} accept" for n in range(count - 1)]
        return NFT.format(sets="", rules="\n\t\t".join([*rules, own]))
    if count == 1:
        return NFT.format(sets="", rules=own)
    elements = [f"{world.address(n)} . {world.local_address(n % 250)} . tcp . {8000 + n % 1000}"
                for n in range(count - 1)]
    elements += [f"{a} . {b} . {proto} . {p}" for a, b in
                 ((world.CLIENT4, world.SERVER4), (world.SERVER4, world.CLIENT4))
                 for proto in ("tcp", "udp") for p in world.ALLOWED_PORTS]
    sets = ("\tset allowed {\n\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service\n"
            "\t\telements = { " + ", ".join(elements) + " }\n\t}")
    return NFT.format(sets=sets, rules="ip saddr . ip daddr . meta l4proto . th dport @allowed "
                                       "accept")


class Bed:
    """Two pods, and what stands between them."""

    def __init__(self):
        self.fleet = Fleet()
        self.fleet.sh("echo 1 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout",
                      "echo 10 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait")
        start_world(self.fleet, 1, PEERS)
        self.client, self.server = measured_pods(self.fleet)
        self.fleet.begin(self.server, "serve")
        self.now, self.policies = "none", 1
        self.rulesets = {"nftables 1": nft_ruleset("set", 1),
                         "nftables set 10 000": nft_ruleset("set", MANY),
                         "nftables chain 10 000": nft_ruleset("chain", MANY)}

    def switch(self, variant):
        """Undoes what is and puts up what shall be; flows of before are gone with it."""
        if self.now.startswith("bulkhead"):
            self.fleet.delete(self.client)
            self.fleet.delete(self.server)
        if self.now.startswith("nftables"):
            self.fleet.sh("nft delete table inet bench")
        self.now = variant
        if variant.startswith("bulkhead"):
            self.set_policies(MANY if variant.endswith("000") else 1)
            self.fleet.add(self.client)
            self.fleet.add(self.server)
        elif variant in self.rulesets:
            self.fleet.sh("nft -f -", text=self.rulesets[variant])

    def set_policies(self, count):
        if count == self.policies:
            return
        directory = os.path.join(self.fleet.node.manifests, "policies")
        if count == 1:
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
        else:
            world.put_policies(self.fleet.node.manifests, count)
        self.fleet.node.sync("60s")
        self.policies = count

    def blast(self, port, how, count):
        if self.now == "nftables chain 10 000" and (how == "moving" or port == DENIED_PORT):
            count = CHAIN_BLAST  # each walks all the rules
        return self.fleet.traffic(self.client, "blast", "eth0", "02:00:00:00:00:01",
                                  self.client.ip, self.server.ip, str(port), how, str(count))

    def rate(self, how, seconds):
        return self.fleet.traffic(self.client, how, self.server.ip, str(seconds))


def measurements(numbers, seconds):
    """{name: function of the bed}"""
    out = {}
    if 1 in numbers:
        out["established"] = lambda b: b.blast(ALLOWED_PORT, "fixed", BLAST)
    if 2 in numbers:
        out["denied"] = lambda b: b.blast(DENIED_PORT, "fixed", BLAST)
        out["new"] = lambda b: b.blast(ALLOWED_PORT, "moving", FLOWS)
    if 3 in numbers:
        out["stream"] = lambda b: b.rate("stream", seconds) * 8 / 1e9
        out["rr"] = lambda b: b.rate("rr", seconds)
        out["crr"] = lambda b: b.rate("crr", seconds)
    return out


def collect(numbers, rounds, seconds):
    """{measurement: ({variant: [figures]}, {variant: [figures of "none" beside them]})}"""
    bed = Bed()
    todo = measurements(numbers, seconds)
    found = {name: {v: [] for v in VARIANTS} for name in todo}
    base = {name: {v: [] for v in VARIANTS} for name in todo}
    for n in range(rounds):
        for variant in VARIANTS[1:] if n % 2 else VARIANTS[:0:-1]:
            pair = ("none", variant) if n % 4 < 2 else (variant, "none")
            figures = {v: visit(bed, v, todo) for v in pair}
            for name in todo:
                found[name][variant].append(figures[variant][name])
                found[name]["none"].append(figures["none"][name])
                base[name][variant].append(figures["none"][name])
    return {name: (found[name], base[name]) for name in todo}


def visit(bed, variant, todo):
    bed.switch(variant)
    return {name: fn(bed) for name, fn in todo.items()}


def ratios(measured, variant):
    """variant against none, each against the run without enforcement right beside it."""
    found, base = measured
    return [a / b for a, b in zip(found[variant], base[variant])]


def table(what, measured, unit):
    rows = []
    for v in VARIANTS:
        r = ratios(measured, v)
        against = f"{median(r):.3f} ({min(r):.3f} to {max(r):.3f})" if r else "1"
        rows.append([v, spread(measured[0][v], unit), against])
    return [what, "median (min to max)", "against none"], rows


def wire_row(row, measured, what):
    row.compare(*table(what, measured, "ns"))


def fill_rates(row, found):
    for name, what, limit in (("stream", "TCP throughput", THROUGHPUT),
                              ("rr", "requests and answers", THROUGHPUT),
                              ("crr", "connect, one request, close", CONNECT)):
        for v in VARIANTS[1:3]:
            r = ratios(found[name], v)
            row.add(f"{what}, {v} policies" if v[-1] == "0" else f"{what}, {v} policy",
                    f"{median(r):.1%} ({min(r):.1%} to {max(r):.1%})", f">= {limit:.0%}",
                    median(r) >= limit)
    row.compare(*table("TCP throughput", found["stream"], "Gbit/s"))
    row.compare(*table("requests and answers of 1 byte", found["rr"], "a second"))
    row.compare(*table("connect, request, close", found["crr"], "a second"))
    row.note("Client and server share one CPU, so the rates are the inverse of the CPU time that "
             "an exchange costs, and every nanosecond of enforcement shows. \"None\" is the same "
             "pods after DEL. Every run of a variant has a run without enforcement right before "
             "or after it, and the ratio is of these two. The nftables rulesets are stateful (ct "
             "state established first); \"set\" is one look-up in a set of 10 000 tuples, "
             "\"chain\" 10 000 rules one after the other.")


def measure(numbers, quick, rows):
    """Row 3, and the rows 1 and 2 given with the comparison on the wire added, as far as asked
    for."""
    found = collect(numbers, 3 if quick else 12, 0.15 if quick else 0.3)
    if 1 in rows:
        wire_row(rows[1], found["established"], "on the wire, a datagram of a known flow")
    if 2 in rows:
        wire_row(rows[2], found["denied"], "on the wire, a datagram to be denied")
        wire_row(rows[2], found["new"], "on the wire, a datagram that opens a flow")
    for n in {1, 2} & rows.keys():
        rows[n].note("On the wire: a whole way from pod to pod through the node's routing, both "
                     "programs (sender's and receiver's side) included; for what is denied, as "
                     "far as it comes.")
    if 3 in numbers:
        rows[3] = Row(3, "Traffic through two enforced pods")
        fill_rates(rows[3], found)
    return rows

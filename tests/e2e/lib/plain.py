"""NetworkPolicy and SegmentationPolicy in plain Python, written from the case list alone: a third
opinion beside the reference evaluator and the compiler. Worlds are the objects as YAML has them; a
pod is {ns, name, labels, ip, named: [(name, protocol, number)], takes_part}."""
import ipaddress


def selects(selector, labels):
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for e in selector.get("matchExpressions") or []:
        has, listed = e["key"] in labels, labels.get(e["key"]) in (e.get("values") or [])
        holds = {"In": has and listed, "NotIn": not (has and listed), "Exists": has,
                 "DoesNotExist": not has}[e["operator"]]
        if not holds:
            return False
    return True


def in_block(block, ip):
    ip, net = ipaddress.ip_address(ip), ipaddress.ip_network(block["cidr"])
    if ip.version != net.version or ip not in net:
        return False
    return not any(ip in ipaddress.ip_network(e) for e in block.get("except") or [])


class Plain:
    def __init__(self, namespaces, policies, default):
        self.namespaces, self.policies, self.default = namespaces, policies, default

    def is_peer(self, peer, policy, other):
        if "ipBlock" in peer:
            return in_block(peer["ipBlock"], other["ip"])
        if not other["takes_part"]:
            return False
        if "namespaceSelector" in peer:
            if not selects(peer["namespaceSelector"], self.namespaces[other["ns"]]):
                return False
        elif other["ns"] != policy["metadata"]["namespace"]:
            return False
        return selects(peer.get("podSelector") or {}, other["labels"])

    @staticmethod
    def is_port(port, where, target, names_count):
        """names_count: the destination is a pod whose named ports may be used here"""
        proto, number = where
        if port.get("protocol", "TCP") != proto:
            return False
        if isinstance(port.get("port"), str):
            return names_count and (port["port"], proto, number) in target["named"]
        if "port" not in port:
            return True
        return port["port"] <= number <= port.get("endPort", port["port"])

    def hits(self, rule, direction, policy, pods, where):
        subject, other = pods
        egress = direction == "egress"
        peers, ports = rule.get("to" if egress else "from") or [], rule.get("ports") or []
        target = other if egress else subject

        def ports_hit(is_block):
            names = not egress or (other["takes_part"] and not is_block)
            return not ports or any(self.is_port(p, where, target, names) for p in ports)

        if not peers:
            return ports_hit(False)
        return any(self.is_peer(p, policy, other) and ports_hit("ipBlock" in p) for p in peers)

    def types(self, spec):
        return spec.get("policyTypes") or ["Ingress"] + ["Egress"] * bool(spec.get("egress"))

    def half(self, direction, pods, where):
        """allowed or denied, for pods (subject, other) and where (protocol, number)"""
        subject, actions, is_isolated = pods[0], set(), False
        for policy in self.policies:
            spec = policy["spec"]
            if (policy["metadata"]["namespace"] != subject["ns"] or
                    direction.capitalize() not in self.types(spec) or
                    not selects(spec["podSelector"], subject["labels"])):
                continue
            is_isolated = True
            actions |= {rule.get("action", "Allow") for rule in spec.get(direction) or []
                        if self.hits(rule, direction, policy, pods, where)}
        if "Deny" in actions:
            return "denied"
        if not is_isolated:
            return "allowed" if self.default == "kubernetes" else "denied"
        return "allowed" if actions else "denied"


def compare(world, matrix, default, where):
    """(cells compared, what differs between the answer of `policy matrix` and the evaluator)"""
    plain = Plain(world.namespaces, world.policies, default)
    bad = sorted({n for n, p in world.pods.items() if p["takes_part"]} - set(matrix["pods"]))
    cells = [c for c in matrix["cells"] if c["from"] != c["to"]]
    for c in cells:
        a, b = world.pods[c["from"]], world.pods[c["to"]]
        for direction, pods in (("egress", (a, b)), ("ingress", (b, a))):
            if not pods[0]["takes_part"]:
                continue
            want = plain.half(direction, pods, where)
            if c[direction]["verdict"] != want:
                bad.append(f"{c['from']} -> {c['to']} {where} {default}: {direction} is "
                           f"{c[direction]}, should be {want}")
    return len(cells), bad

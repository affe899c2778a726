"""Worlds of manifests for the benchmarks: so many policies, so many pods elsewhere.

A hundred namespaces with five applications each. Every policy has two ingress and two egress rules:
an application of its namespace, another team's namespaces, an address block with an except, DNS.
Two pods, bench/client and bench/server, are what packets are measured between; one policy of their
own allows them what they need, and when there are more, fifty of those select them too. It has an
address block, so that prefixes are looked up under one policy as under many.
"""
import os

NAMESPACES, APPS = 100, 5
CHOSEN = 50  # of the other policies select the measured pods
CHUNK = 1000
ALLOWED_PORTS = (7, 9, 5001, 5002, 5003)
CLIENT4, SERVER4 = "10.78.255.1", "10.78.255.2"
CLIENT6, SERVER6 = "fd78::1", "fd78::2"

NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata: {{name: {name}, labels: {{team: {team}}}}}
"""

POD = """\
apiVersion: v1
kind: Pod
metadata: {{namespace: {ns}, name: {name}, labels: {{app: {app}, version: "1"}}}}
spec: {{containers: [{{name: main, image: "registry.example/app:1"}}]}}
status: {{phase: Running, podIPs: [{ips}]}}
"""

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: {ns}, name: {name}}}
spec:
  podSelector: {{matchLabels: {{app: {app}}}}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{{podSelector: {{matchLabels: {{app: {other}}}}}}}]
    ports: [{{port: {port}}}, {{port: 443}}]
  - from: [{{namespaceSelector: {{matchLabels: {{team: {team}}}}}}}]
    ports: [{{port: {port2}}}]
  egress:
  - to: [{{podSelector: {{matchLabels: {{app: {other}}}}}}}]
    ports: [{{port: {port}}}, {{port: 443}}]
  - to: [{{ipBlock: {{cidr: {block}/16, except: [{block}/24]}}}}]
    ports: [{{port: {port2}}}, {{port: 53, protocol: UDP}}]
"""

OWN = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: bench, name: measured}}
spec:
  podSelector: {{}}
  policyTypes: [Ingress, Egress]
  ingress: [{{from: [{{podSelector: {{}}}}], ports: [{ports}]}}]
  egress:
  - {{to: [{{podSelector: {{}}}}], ports: [{ports}]}}
  - {{to: [{{ipBlock: {{cidr: 192.0.2.0/24}}}}], ports: [{ports}]}}
"""


def address(n):
    """Of the n-th pod elsewhere."""
    return f"10.{128 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"


def local_address(n):
    """Of the n-th pod of this node."""
    return f"10.78.{n // 250}.{n % 250 + 1}"


def namespace_text(n):
    return NAMESPACE.format(name=f"ns{n}", team=f"t{n % 10}")


def pod_text(ns, name, app, *ips):
    return POD.format(ns=ns, name=name, app=app,
                      ips=", ".join(f'{{ip: "{ip}"}}' for ip in ips))


def local_pod(n, app=None):
    """(namespace, name, application) of the n-th pod of this node."""
    return f"ns{n % NAMESPACES}", f"local{n}", f"a{n // NAMESPACES % APPS if app is None else app}"


def policy_text(n, ns=None, app=None, port=None):
    round_ = n // NAMESPACES
    return POLICY.format(ns=ns or f"ns{n % NAMESPACES}", name=f"policy{n}",
                         app=app or f"a{round_ % APPS}", other=f"a{round_ // APPS % APPS}",
                         team=f"t{(n + round_ % 2) % 10}", port=port or 8000 + n // 500 % 20,
                         port2=9000 + n // 1000 % 10, block=f"172.{n % 200}.0.0")


def own_policy_text():
    listed = ", ".join(f"{{port: {p}, protocol: {proto}}}" for p in ALLOWED_PORTS
                       for proto in ("TCP", "UDP"))
    return OWN.format(ports=listed)


def put(directory, name, *texts):
    """One manifest, in place at once."""
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w") as f:
        f.write("---\n".join(texts))
    os.rename(path + ".tmp", path)


def put_base(directory):
    """Namespaces, and the policy of the measured pods."""
    put(directory, "namespaces.yaml", NAMESPACE.format(name="bench", team="bench"),
        *(namespace_text(n) for n in range(NAMESPACES)))
    put(directory, "measured.yaml", own_policy_text())


def put_measured_pods(directory):
    """The measured pods as manifests, for those who run without CNI."""
    put(directory, "pods.yaml", pod_text("bench", "client", "measured", CLIENT4, CLIENT6),
        pod_text("bench", "server", "measured", SERVER4, SERVER6))


def put_policies(directory, count):
    """count policies, the measured pods' own among them; a file for each namespace."""
    others = count - 1
    chosen = min(CHOSEN, others // 20)
    if chosen:
        put(directory, "policies/bench.yaml",
            *(policy_text(n, "bench", "measured") for n in range(chosen)))
    for ns in range(NAMESPACES):
        texts = [policy_text(n) for n in range(ns, others - chosen, NAMESPACES)]
        if texts:
            put(directory, f"policies/ns{ns}.yaml", *texts)


def put_peers(directory, count):
    """count pods elsewhere."""
    for first in range(0, count, CHUNK):
        put(directory, f"peers/{first}.yaml",
            *(pod_text(f"ns{n % NAMESPACES}", f"pod{n:06}", f"a{n // NAMESPACES % APPS}",
                       address(n)) for n in range(first, min(first + CHUNK, count))))

"""The public NetworkPolicy truth tables: reads the cases and plays them into a manifest directory.

Other runners import it: Table reads the data, World is one case's live state. Addresses are those of
the data unless the runner gives its own: pods by an `address` function, policies by the network that
stands for the data's.
"""

import ipaddress
import json
import os
import pathlib

# Every address of the data lies in it; CREATED is what all pods that a case creates are given there.
NETWORK = ipaddress.ip_network("10.244.1.0/24")
CREATED = ipaddress.ip_address("10.244.1.30")


def data_path():
    """BH_CONFORMANCE, or the file beside the checkout."""
    given = os.environ.get("BH_CONFORMANCE")
    if given:
        return pathlib.Path(given)
    root = pathlib.Path(__file__).resolve().parents[2]
    return root.parent / "shared" / "conformance" / "networkpolicy-cases.json"


class Table:
    """The whole file. Raises FileNotFoundError with the path when it is absent."""

    def __init__(self, path=None):
        with open(path or data_path(), encoding="utf-8") as f:
            data = json.load(f)
        self.namespaces = data["namespaces"]
        self.pods = data["pods"]
        self.cases = data["cases"]


class Cell:
    """One expectation of a step: source, destination, protocol, port, and whether it is allowed."""

    __slots__ = ("source", "target", "protocol", "port", "is_allowed")

    def __init__(self, source, target, protocol, port, is_allowed):
        self.source = source
        self.target = target
        self.protocol = protocol
        self.port = port
        self.is_allowed = is_allowed


def cells(step):
    """All cells of a step but the diagonal: a pod to its own address never leaves the pod."""
    for place, rows in step["expect"].items():
        protocol, port = place.split("/")
        for source, row in rows.items():
            if len(row) != len(step["columns"]):
                raise ValueError(f"row of {source} has {len(row)} cells")
            for target, sign in zip(step["columns"], row):
                if target != source:
                    yield Cell(source, target, protocol, int(port), sign == ".")


class World:
    """Namespaces, pods and policies of one case, changed by its actions.

    network: where the runner's addresses are, a /24 that stands for the data's; host parts stay. A
    pod that a case creates gets the first free address from CREATED on, for the data gives several of
    them the same one.
    """

    def __init__(self, table, network=NETWORK):
        self.network = ipaddress.ip_network(network)
        if self.network.prefixlen != NETWORK.prefixlen:
            raise ValueError(f"{network} is not a /{NETWORK.prefixlen}")
        self.namespaces = {name: dict(labels) for name, labels in table.namespaces.items()}
        self.pods = {}
        self.policies = {}
        self.container_ports = [
            {"name": p["name"], "containerPort": p["port"], "protocol": p["protocol"]}
            for p in table.pods[0]["ports"]
        ]
        for pod in table.pods:
            self._add_pod(pod, ipaddress.ip_address(pod["ip"]))

    # ---- addresses ----

    def translate(self, address):
        """An address of the data as the runner has it; others stay as they are."""
        address = ipaddress.ip_address(address)
        if address not in NETWORK:
            return str(address)
        return str(self.network[int(address) - int(NETWORK.network_address)])

    def translate_cidr(self, cidr):
        address, length = cidr.split("/")
        return f"{self.translate(address)}/{length}"

    def _free_address(self):
        taken = {pod["data_ip"] for pod in self.pods.values()}
        address = CREATED
        while address in taken:
            address += 1
        return address

    def _translate_blocks(self, value):
        if isinstance(value, list):
            return [self._translate_blocks(v) for v in value]
        if not isinstance(value, dict):
            return value
        out = {k: self._translate_blocks(v) for k, v in value.items()}
        if "cidr" in out:
            out["cidr"] = self.translate_cidr(out["cidr"])
            if out.get("except"):
                out["except"] = [self.translate_cidr(c) for c in out["except"]]
        return out

    # ---- actions ----

    def apply(self, action):
        """One action of a step: a dictionary with one key, its name."""
        ((name, on),) = action.items()
        method = getattr(self, "_on_" + name, None)
        if method is None:
            raise ValueError(f"unknown action {name}")
        method(on)

    def _add_pod(self, pod, data_ip):
        self.pods[f"{pod['ns']}/{pod['pod']}"] = {
            "ns": pod["ns"],
            "name": pod["pod"],
            "labels": dict(pod["labels"]),
            "data_ip": data_ip,
            "ip": self.translate(data_ip),
        }

    def _on_createPolicy(self, policy):
        policy = self._translate_blocks(policy)
        policy["apiVersion"] = "networking.k8s.io/v1"
        policy["kind"] = "NetworkPolicy"
        meta = policy["metadata"]
        self.policies[f"{meta['namespace']}/{meta['name']}"] = policy

    _on_updatePolicy = _on_createPolicy

    def _on_deletePolicy(self, on):
        del self.policies[f"{on['Namespace']}/{on['Name']}"]

    def _on_createNamespace(self, on):
        self.namespaces[on["ns"]] = dict(on["labels"])

    _on_setNamespaceLabels = _on_createNamespace

    def _on_deleteNamespace(self, on):
        """Takes the namespace's pods and policies along, as the API server does."""
        del self.namespaces[on["ns"]]
        for objects in (self.pods, self.policies):
            for key in [k for k in objects if k.split("/")[0] == on["ns"]]:
                del objects[key]

    def _on_createPod(self, on):
        self._add_pod(on, self._free_address())

    def _on_setPodLabels(self, on):
        self.pods[f"{on['ns']}/{on['pod']}"]["labels"] = dict(on["labels"])

    def _on_deletePod(self, on):
        del self.pods[f"{on['ns']}/{on['pod']}"]

    # ---- manifests ----

    def _pod_manifest(self, pod):
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod["name"], "namespace": pod["ns"], "labels": pod["labels"]},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "registry.example/app:1",
                        "ports": self.container_ports,
                    }
                ]
            },
            "status": {"phase": "Running", "podIP": pod["ip"], "podIPs": [{"ip": pod["ip"]}]},
        }

    def manifests(self):
        """File name > text of the manifest directory that describes this world."""
        files = {}
        for name, labels in self.namespaces.items():
            files[f"namespace-{name}.json"] = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
            }
        for pod in self.pods.values():
            files[f"pod-{pod['ns']}-{pod['name']}.json"] = self._pod_manifest(pod)
        for key, policy in self.policies.items():
            files[f"policy-{key.replace('/', '-')}.json"] = policy
        return {name: json.dumps(doc, indent=1) + "\n" for name, doc in files.items()}

    def write(self, directory):
        """Makes the directory hold just this world: new files appear whole, what is gone is removed,
        and what did not change is not touched. Returns the number of changes."""
        directory = pathlib.Path(directory)
        wanted = self.manifests()
        changes = 0
        for name, text in wanted.items():
            path = directory / name
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            part = directory / f".{name}.part"
            part.write_text(text, encoding="utf-8")
            part.rename(path)
            changes += 1
        for path in directory.glob("*.json"):
            if path.name not in wanted:
                path.unlink()
                changes += 1
        return changes

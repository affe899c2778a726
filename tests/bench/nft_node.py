"""Rows 4, 6 and 7 with nftables in our place: a rule set of the same policies in a network namespace
of its own, changed, given a pod more, and weighed."""
import os
import subprocess
import time

import testing
import world
from node import add_netns, enter
from row_path import nft_ruleset
from table import number, spread, tail

RULES_A_POD = 20  # about what the policies of the bench's world come to for one of its pods
KERNEL = ("Slab", "VmallocUsed", "Percpu")


def timed(netns, text):
    start = time.monotonic()
    testing.run(*enter(netns), "nft", "-f", "-", input=text)
    return (time.monotonic() - start) * 1e3


def changes(row, netns, policies, n):
    """What a change of policy costs: the whole rule set, and one element of a set."""
    add_netns(netns)
    text = nft_ruleset("chain", policies)
    timed(netns, text)
    timed(netns, nft_ruleset("set", policies).replace("bench", "sets", 1))
    whole, one = [], []
    for i in range(n):
        whole.append(timed(netns, f"flush table inet bench\n{text}"))
        line = f"{world.address(i)} . {world.CLIENT4} . tcp . 80"
        one.append(timed(netns, f"add element inet sets allowed {{ {line} }}\n"))
    row.compare(["nftables, the same change", "ms"],
                [[f"{number(policies)} rules, loaded anew (nft -f)", spread(whole)],
                 [f"one element of a set of {number(policies)} (nft add element)", spread(one)]])


# ---- a pod more ----

def pod_rules(n):
    rules = "\n".join(f"add rule inet pods pod{n} ip saddr {world.address(n * RULES_A_POD + k)} "
                      f"tcp dport {8000 + k} accept" for k in range(RULES_A_POD))
    return (f"add chain inet pods pod{n}\n{rules}\nadd rule inet pods pod{n} drop\n"
            f"add element inet pods by_pod {{ {world.local_address(n)} : goto pod{n} }}\n")


def pod_gone(n):
    return (f"delete element inet pods by_pod {{ {world.local_address(n)} }}\n"
            f"flush chain inet pods pod{n}\ndelete chain inet pods pod{n}\n")


def adds(row, netns, pods, n):
    """A chain of its own for each pod, found by its address: what a plugin that drives nft does."""
    add_netns(netns)
    timed(netns, "table inet pods {\nmap by_pod { type ipv4_addr : verdict; }\n"
          "chain forward {\ntype filter hook forward priority 0; policy drop;\n"
          "ip daddr vmap @by_pod\n}\n}\n" + "".join(pod_rules(k) for k in range(pods)))
    found = []
    for _ in range(n):
        found.append(timed(netns, pod_rules(pods)))
        timed(netns, pod_gone(pods))
    row.compare([f"nftables, pod {pods + 1}", "ms"],
                [[f"a chain of {RULES_A_POD} rules for the pod (nft -f)", tail(found)]])


# ---- memory ----

def kernel_mb():
    """What the kernel holds for itself, as far as it says."""
    total = 0
    with open("/proc/meminfo") as f:
        for line in f:
            key, _, rest = line.partition(":")
            if key in KERNEL:
                total += int(rest.split()[0]) * 1024 / 1e6
    return total


def peak_mb(netns, text):
    """Highest resident memory of the nft process that loads text."""
    p = testing.spawn([*enter(netns), "nft", "-f", "-"], stdin=subprocess.PIPE, text=True)
    p.stdin.write(text)
    p.stdin.close()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        raise RuntimeError("nft does not take its rules")
    return usage.ru_maxrss * 1024 / 1e6


def memory(row, netns, policies, peers):
    """The rules, and a set of the peers' addresses. nft leaves no daemon: its process, while it
    loads, and what the kernel's own memory grew by."""
    add_netns(netns)
    before = kernel_mb()
    elements = ", ".join(world.address(n) for n in range(peers))
    peak = peak_mb(netns, nft_ruleset("chain", policies) +
                   f"table inet peers {{\nset addresses {{ type ipv4_addr; elements = {{ {elements} }}\n"
                   "}\n}\n")
    row.compare(["nftables, the same rules and a set of the peers", "MB"],
                [[f"nft, at its largest, {number(policies)} rules, {number(peers)} peers",
                  number(peak)],
                 ["growth of the kernel's memory (slab, vmalloc, per CPU)",
                  number(kernel_mb() - before)]])

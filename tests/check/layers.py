"""Who may include whom. This table is the law; a new edge is a commit of its own that edits it.

Layer 0  include/bulkhead   <linux/types.h>; ctl.h <stdint.h>; each other
Layer 1  src/base           layer 0; jansson in json only, libevent in loop only
Layer 2  pure code          layers 0 and 1 without fs and loop; the edges below; no sockets, files,
                            clocks, libbpf or netlink: time and kernel answers come as arguments
Layer 3  the outside world  layers 0 to 2, itself; one library per folder
Layer 4  programs           daemon: all below. worker: no datapath, net, store. cli: layers 0 to 2
                            and ctl. cni and verifier: layers 0, 1 and ctl. None of these three sees
                            libbpf.
"""
import re

import tree as t

L2 = {
    # an ImagePolicy becomes the model that verification works with
    "policy": ["policy", "verify"],
    "endpoint": ["endpoint", "policy/model.h"],
    "event": ["event"],
    # what a RuntimePolicy asks for; and what it wrote itself it reads back and evaluates
    "detect": ["detect", "event", "endpoint", "policy", "refeval"],
    "respond": ["respond", "detect", "endpoint", "policy/runtime.h"],
    "verify": ["verify"],
    # the second opinion: it may know the model, never how the model is compiled
    "refeval": ["refeval", "endpoint", "policy/model.h"],
}
L3 = ["datapath", "net", "http", "store", "kube", "registry", "sink", "ctl"]
PURE_BASE = ["base/err.h", "base/own.h", "base/log.h", "base/str.h", "base/vec.h", "base/map.h",
             "base/ip.h", "base/json.h", "base/duration.h"]
L4 = {
    "daemon": ["daemon", "base", *L2, *L3],
    "worker": ["worker", "base", *L2, "http", "kube", "registry", "ctl"],
    "cli": ["cli", "base", *L2, "ctl"],
    "cni": ["cni", "base", "ctl"],
    "verifier": ["verifier", "base", "ctl"],
}
# Libraries and the only places that may know them.
LIBRARIES = {
    r"bpf/.*|linux/bpf\.h": ["src/datapath/", "bpf/", "include/bulkhead/"],
    r".*\.skel\.h": ["src/datapath/"],
    r"netlink/.*": ["src/net/"],
    r"libmnl/.*": ["src/net/"],
    r"sqlite3\.h": ["src/store/"],
    r"curl/.*": ["src/http/"],
    r"event2/.*": ["src/base/loop.c", "src/http/"],
}
IMPURE_HEADERS = re.compile(r"(sys/(socket|stat|epoll|inotify|mman|un|wait|statfs|vfs)|fcntl|dirent"
                            r"|fts|ftw|poll|netdb|sched|mntent|linux/(netlink|rtnetlink))\.h$")
IMPURE_CALLS = re.compile(r"\b(time|clock_gettime|gettimeofday|socket|connect|open|openat|fopen|"
                          r"getrandom|getentropy|random|getenv|fork|sleep|usleep|nanosleep)\s*\(")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
FOLDERS = ["base", *L2, *L3, *L4]


def folder_of(name):
    """'src/base/x.c' > 'base', 'cni/main.c' > 'cni'."""
    parts = name.split("/")
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else ""
    return parts[0] if parts[0] in ("cni", "bpf") else "L0" if parts[0] == "include" else ""


def allowed_for(folder):
    if folder == "base":
        return ["base"]
    if folder in L2:
        return PURE_BASE + L2[folder]
    if folder in L3:
        http = ["http"] if folder in ("kube", "registry") else []
        return ["base", *L2, folder, *http]
    return L4.get(folder)


def is_ours(target):
    return target.split("/")[0] in FOLDERS


def is_contract(target):
    return target.startswith("bulkhead/")


def check_edge(name, target):
    """The sentence against an include of one of our own headers, or None."""
    folder, head = folder_of(name), target.split("/")[0]
    if is_contract(target) or "/" not in target:
        return None  # contracts, headers of the same folder, generated ones
    if not is_ours(target):
        return None
    if folder == "bpf":
        return "bpf/ may include only contracts and bpf/lib"
    if folder == "L0":
        return "a contract must not know our code"
    for entry in allowed_for(folder) or []:
        if target == entry or ("/" not in entry and head == entry):
            return None
    return f"{folder} must not include {target}"


def check_system(name, target):
    folder = folder_of(name)
    for pattern, places in LIBRARIES.items():
        if re.fullmatch(pattern, target) and not name.startswith(tuple(places)):
            return f"{target} belongs to {', '.join(places)} only"
    if folder == "base" and target == "jansson.h" and "json." not in name:
        return "in base, jansson belongs to json only"
    if folder == "L0" and not is_contract(target) and target not in ("linux/types.h", "stdint.h"):
        return "contracts include linux/types.h or stdint.h only"
    if folder in L2 and IMPURE_HEADERS.match(target):
        return f"{folder} is pure: no sockets, no files"
    return None


def check(tree):
    rules = {"folders": [], "edges": [], "libraries": [], "purity": []}
    for name in tree.c_files():
        code = tree.text(name)
        folder = folder_of(name)
        if folder not in FOLDERS + ["L0", "bpf"]:
            rules["folders"].append(f"{name}:1: this folder is on no layer")
            continue
        for m in INCLUDE.finditer(code):
            where = f"{name}:{t.line_of(code, m.start())}"
            # our header in angle brackets is still ours, unlike <net/if.h>
            is_header = m[1] == '"' or "src/" + m[2] in tree.files
            edge = check_edge(name, m[2]) if is_header else None
            library = check_system(name, m[2])
            if edge:
                rules["edges"].append(f"{where}: {edge}")
            if library:
                rules["libraries"].append(f"{where}: {library}")
        if folder in L2:
            bare = t.strip_c(code)
            for m in IMPURE_CALLS.finditer(bare):
                rules["purity"].append(f"{name}:{t.line_of(bare, m.start())}: {m[1]}() in "
                                       f"{folder}, which is pure")
    return rules, []

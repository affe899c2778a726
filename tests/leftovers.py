"""What tests can leave behind outside their own processes: before/after comparison and removal.

tests/run gives the tests a mount namespace with its own bpffs and its own /run/netns, so those and
the mounts are exact. Links, cgroups, BPF objects and temporary files belong to the whole machine:
with BH_TESTS_SHARED=1 (others work on it at the same time) they are not compared.
"""
import json
import os
import shutil
import subprocess
import time

# The kernel frees namespaces, links and programs a little later; on a machine that is busy or stands
# still now and then, much later. It costs time only where something is left.
SETTLE_S = 60
# Directories where the service manager and login sessions come and go by themselves.
FOREIGN_CGROUPS = ("system.slice", "user.slice", "init.scope", "machine.slice")
TEMP_PREFIXES = ("bh-", "bulkhead")
# What the service manager loads for the services that it starts.
FOREIGN_PROGRAMS = ("sd_", "restrict_filesy")


def mounts():
    """(type, mount point) of every mount we can see."""
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            yield right.split()[0], left.split()[4].encode().decode("unicode_escape")


def below(top):
    for path, dirs, files in os.walk(top):
        for name in dirs + files:
            yield os.path.join(path, name)


def find_pins():
    return {p for kind, at in mounts() if kind == "bpf" for p in below(at)}


def find_netns():
    return set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()


def find_mounts():
    return {at for _, at in mounts()}


def find_links():
    out = subprocess.run(["ip", "-j", "link", "show"], capture_output=True, text=True).stdout
    return {link["ifname"] for link in json.loads(out or "[]")}


def find_cgroups():
    found = set()
    for kind, top in mounts():
        if not kind.startswith("cgroup"):
            continue
        for path, dirs, _ in os.walk(top):
            if path == top:
                dirs[:] = [d for d in dirs if d not in FOREIGN_CGROUPS]
            found.update(os.path.join(path, d) for d in dirs)
    return found


def find_bpf(kind):
    out = subprocess.run(["/usr/sbin/bpftool", "-j", kind, "show"], capture_output=True, text=True)
    try:
        rows = json.loads(out.stdout or "[]")
    except ValueError:
        rows = []
    return {f"{r['id']} {r.get('name', r.get('type', ''))}" for r in rows
            if "id" in r and not r.get("name", "").startswith(FOREIGN_PROGRAMS)}


def find_temp():
    return {os.path.join("/tmp", n) for n in os.listdir("/tmp") if n.startswith(TEMP_PREFIXES)}


PRIVATE = {"mount": find_mounts, "netns": find_netns, "pin": find_pins}
MACHINE = {
    "link": find_links,
    "cgroup": find_cgroups,
    "program": lambda: find_bpf("prog"),
    "map": lambda: find_bpf("map"),
    "bpf link": lambda: find_bpf("link"),
    "file": find_temp,
}


def snapshot():
    finders = dict(PRIVATE)
    if not os.environ.get("BH_TESTS_SHARED"):
        finders.update(MACHINE)
    return {kind: find() for kind, find in finders.items()}


def is_inhabited(cgroup):
    """Processes live in it, or below. They are not ours: those come to the runner when their parents
    die, and have been ended before anything is compared."""
    for path, _, _ in os.walk(cgroup):
        try:
            with open(os.path.join(path, "cgroup.procs")) as f:
                if f.read(1):
                    return True
        except OSError:
            pass
    return False


def own_cgroups():
    """The ends of the paths of the cgroups that we live in."""
    with open("/proc/self/cgroup") as f:
        return {path for path in (line.rstrip("\n").split(":", 2)[2] for line in f) if path != "/"}


def is_foreign(cgroup, before):
    """It lies in somebody else's, who comes and goes there: in one that was there before the tests and
    is not ours. Tests make theirs at the top of a hierarchy or below themselves."""
    parent = os.path.dirname(cgroup)
    while parent not in before and parent != "/":
        parent = os.path.dirname(parent)
    return parent in before and not any(parent.endswith(own) for own in own_cgroups())


def new_since(before):
    after = snapshot()
    if "cgroup" in after:
        after["cgroup"] = {c for c in after["cgroup"] - before["cgroup"]
                           if not is_inhabited(c) and not is_foreign(c, before["cgroup"])}
    return {k: sorted(after[k] - before[k], reverse=True) for k in before if after[k] - before[k]}


def quiet(*command):
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def remove_pin(path):
    try:
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
    except OSError:
        pass


def remove_cgroup(path):
    try:
        with open(os.path.join(path, "cgroup.kill"), "w") as f:
            f.write("1")
    except OSError:
        pass
    try:
        os.rmdir(path)
    except OSError:
        pass


def remove_file(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        remove_pin(path)


REMOVERS = {
    "mount": lambda x: quiet("umount", "-l", x),
    "netns": lambda x: quiet("ip", "netns", "del", x),
    "pin": remove_pin,
    "link": lambda x: quiet("ip", "link", "del", x),
    "cgroup": remove_cgroup,
    "bpf link": lambda x: quiet("/usr/sbin/bpftool", "link", "detach", "id", x.split()[0]),
    "file": remove_file,
}


def remove_new(before):
    """Names what is there now and was not before, and removes it. Deepest paths come first."""
    deadline = time.monotonic() + SETTLE_S
    new = new_since(before)
    while new and time.monotonic() < deadline:
        time.sleep(0.2)
        new = new_since(before)
    for kind, remove in REMOVERS.items():
        for what in new.get(kind, []):
            remove(what)
    return [f"{kind} {what}" for kind, names in new.items() for what in names]

"""Row 9: what tracing costs. Programs run in containers of pods made through CNI; the modes take
turns in every round, so that each has a run without tracing right beside it."""
import glob
import os
import shutil
import subprocess
import time

import row_node
import testing
import tools
import world
from container import Container
from fleet import Fleet, measured_pods, start_world
from table import Row, median, number, spread

MODES = ("off", "light", "watch", "learn")
NAMES = {"off": "nothing traced"}
HOOK_NS, SHARE = 3000, 0.01
RSS_MB = {30: 20, 250: 40}
SETTLE_S = 4  # events that wait for a file's digest are written by then
BURSTS = 4  # pods that execute at once while the daemon's memory is looked at
EXECS, CALLS = 1000, 100000  # a second
REDIS_PORT, NGINX_PORT = 5001, 5002
PROGRAMS = ("redis-server", "redis-benchmark", "nginx", "wrk")
STATS = "/proc/sys/kernel/bpf_stats_enabled"
SOURCE = os.path.join(testing.SOURCE, "tests/e2e/lib")
BENCH = os.path.join(testing.BUILD, "bench")
LIGHT = {"runtime": {"mode": "light"}}

NGINX = """\
user root; worker_processes 1; daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
	uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
	server { listen %d; root /srv/www; }
}
"""


def volume(programs):
    """What the containers run, at /srv."""
    d = testing.tempdir()
    for name in ("bench_trace", "bench_load"):
        shutil.copy(os.path.join(BENCH, name), d)
    testing.run("gcc", "-O2", "-static", "-o", f"{d}/burst", f"{SOURCE}/burst.c")
    testing.run("gcc", "-O1", "-static", "-nostdlib", "-o", f"{d}/tiny", f"{SOURCE}/tiny.c")
    os.makedirs(f"{d}/lib")
    for name in programs:
        program = os.path.realpath(tools.path(name))
        shutil.copy(program, os.path.join(d, name))
        for path in glob.glob(program.split("/usr/")[0] + "/usr/lib/*/lib*.so*"):
            shutil.copy(path, f"{d}/lib")
    os.makedirs(f"{d}/www")
    with open(f"{d}/www/index.html", "w") as f:
        f.write("x" * 1024)
    with open(f"{d}/nginx.conf", "w") as f:
        f.write(NGINX % NGINX_PORT)
    return d


class Bed:
    """Two pods, each with a container; server: redis and nginx run there."""

    def __init__(self, programs):
        self.fleet = Fleet(config=LIGHT)
        self.node = self.fleet.node
        start_world(self.fleet, 1, 0)
        srv = volume(programs)
        self.pods = measured_pods(self.fleet)
        for p in self.pods:
            self.fleet.add(p)
        self.client, self.server = [Container(p, volume=srv) for p in self.pods]
        if programs:
            self.start_servers()

    def start_servers(self):
        pin = f"LD_LIBRARY_PATH=/srv/lib taskset -c {self.fleet.cpu}"
        redis = self.sh(self.server, f"{pin} /srv/redis-server --port {REDIS_PORT} --save '' --appendonly no "
                             "--protected-mode no --daemonize no >/tmp/redis.log 2>&1 & echo $!")
        nginx = self.sh(self.server, f"{pin} /srv/nginx -p /tmp -c /srv/nginx.conf >/tmp/nginx.log 2>&1 & echo $!")
        self.redis_pid, self.nginx_pid = int(redis), int(nginx)
        for port in (REDIS_PORT, NGINX_PORT):
            up = f"bash -c 'exec 3<>/dev/tcp/{world.SERVER4}/{port}' 2>/dev/null"
            testing.wait_until(lambda up=up: self.client_run(up, False) is not None, 20,
                               f"a server on port {port}", 0.1)

    @staticmethod
    def sh(box, text, must=True):
        status, out = box.sh(text)
        if status and must:
            raise RuntimeError(f"{text}: {status}: {out}")
        return None if status else out

    def client_run(self, text, must=True):
        return self.sh(self.client, f"export LD_LIBRARY_PATH=/srv/lib; {text}", must)

    def set_mode(self, mode):
        got = self.node.ask("runtime", mode)["mode"]
        if got != mode:
            raise RuntimeError(f"mode {got}, not {mode}")

    def pinned(self, text):
        return self.client_run(f"timeout 60 taskset -c {self.fleet.cpu} {text}")

    # ---- what is measured ----

    def loop(self, n):
        return float(self.pinned(f"/srv/bench_trace loop {n} | od -An -tf8"))

    def cost(self, pid, text):
        """(what the client printed, microseconds of CPU that it and the server used)"""
        before = row_node.cpu_exact(pid)
        out = self.client_run("bash -c \"TIMEFORMAT='%U %S'; time timeout 60 taskset -c "
                              f"{self.fleet.cpu} {text}\" 2>&1")
        user, system = out.splitlines()[-1].split()
        return out, (float(user) + float(system) + row_node.cpu_exact(pid) - before) * 1e6

    def redis(self, n):
        _, us = self.cost(self.redis_pid, f"/srv/redis-benchmark -h {world.SERVER4} "
                          f"-p {REDIS_PORT} -c 8 -n {n} -t get --csv")
        return us / n

    def nginx(self):
        out, us = self.cost(self.nginx_pid, "/srv/wrk -t1 -c8 -d1s "
                            f"http://{world.SERVER4}:{NGINX_PORT}/index.html")
        return us / next(int(line.split()[0]) for line in out.splitlines()
                         if " requests in " in line)


def measurements(quick, has_servers):
    """{what: (unit, function of the bed)}: CPU time, each."""
    loops = {"getppid": ("ns", lambda b: b.loop(0)),
             "open and close": ("ns", lambda b: b.loop(1)),
             "vfork, exec, exit, wait": ("us", lambda b: b.loop(2) / 1e3)}
    servers = {"redis-benchmark, a GET": ("us", lambda b: b.redis(10000 if quick else 40000)),
               "nginx and wrk, a file of 1 KiB": ("us", lambda b: b.nginx())}
    return {**loops, **servers} if has_servers else loops


def collect(bed, todo, rounds):
    """{what: {mode: [figures]}}"""
    found = {what: {m: [] for m in MODES} for what in todo}
    for n in range(rounds + 1):
        for mode in MODES if n % 2 else MODES[::-1]:
            bed.set_mode(mode)
            for what, (_, fn) in todo.items():
                figure = fn(bed)
                if n:  # the first round warms up
                    found[what][mode].append(figure)
    return found


def fill_modes(row, todo, found):
    for what, (unit, _) in todo.items():
        rows = []
        for mode in MODES:
            r = [b / a for a, b in zip(found[what][mode], found[what]["off"])]
            rows.append([NAMES.get(mode, mode), spread(found[what][mode], unit),
                         f"{median(r):.1%} ({min(r):.1%} to {max(r):.1%})"])
        row.compare([what, "median (min to max)", "speed against nothing traced"], rows)


# ---- the programs' own time ----

def tracing_ns(pid):
    """Nanoseconds that the daemon's tracing programs ran, as the kernel counts them."""
    total = 0
    for name in glob.glob(f"/proc/{pid}/fdinfo/*"):
        try:
            with open(name) as f:
                info = dict(line.split(":", 1) for line in f if ":" in line)
        except OSError:
            continue
        if int(info.get("prog_type", -1)) in (17, 24, 26):  # raw_tp, its writable kind, tracing
            total += int(info.get("run_time_ns", 0))
    return total


def with_stats(fn):
    with open(STATS) as f:
        was = f.read()

    def put(text):
        with open(STATS, "w") as f:
            f.write(text)
    put("1")
    try:
        return fn()
    finally:
        put(was)


class Empty:
    """An empty program at the end of system calls, as long as the block lasts; then .runs and .ns."""

    def __enter__(self):
        self.proc = subprocess.Popen([os.path.join(BENCH, "bench_trace"), "empty"], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *why):
        out, _ = self.proc.communicate("")
        self.runs, self.ns = [int(n) for n in out.split()]


def steady(bed, mode, seconds):
    """Shares of a core that the daemon and its programs use, and what the books say of the load."""
    bed.set_mode(mode)
    pid = bed.node.proc.pid
    before = bed.node.ask("runtime")["books"]
    daemon, programs = row_node.cpu_exact(pid), tracing_ns(pid)
    took = float(bed.client_run(f"/srv/bench_load {seconds} {EXECS} {CALLS} /srv/tiny"))
    daemon = (row_node.cpu_exact(pid) - daemon) / took
    programs = (tracing_ns(pid) - programs) / 1e9 / took
    after = bed.node.ask("runtime")["books"]
    return daemon, programs, took / seconds, {k: after[k] - before[k] for k in after}


def fill_floor(row, bed, seconds):
    """What no program on system calls can be cheaper than."""
    bed.set_mode("light")
    with Empty() as empty:
        took = float(bed.client_run(f"/srv/bench_load {seconds} {EXECS} {CALLS} /srv/tiny"))
    row.add("the same load, an empty program at the end of system calls, of a core",
            f"{empty.ns / 1e9 / took:.2%} ({empty.ns / max(1, empty.runs):.0f} ns each)")


def fill_steady(row, bed, quick):
    seconds = 3 if quick else 20
    fill_floor(row, bed, seconds)
    for mode in MODES[1:]:
        daemon, programs, late, b = with_stats(lambda m=mode: steady(bed, m, seconds))
        row.add(f"{number(EXECS)} exec and {number(CALLS)} system calls a second, {mode}: daemon "
                "and programs, of a core",
                f"{daemon + programs:.2%} (daemon {daemon:.2%}, programs {programs:.2%})"
                f"{'' if late < 1.05 else f', at {1 / late:.0%} of the rate'}",
                "<= 1 %" if mode != "learn" else "",
                daemon + programs <= SHARE if mode != "learn" else None)
        rest = b["seen"] - sum(b[k] for k in ("delivered", "deduplicated", "deferred", "lost"))
        row.add(f"the same, {mode}: events seen, of them lost, unexplained",
                f"{number(b['seen'])}, {b['lost']}, {rest}", "0 unexplained", rest == 0)


def fill_hook(row, quick):
    out = subprocess.run([os.path.join(BENCH, "bench_trace"), "7" if quick else "21", "hook"],
                         capture_output=True, text=True, timeout=300, check=True).stdout
    for line in out.splitlines():
        if " hook, " not in line:
            continue
        what, unit, mid, low, high = line.split("\t")
        has_budget = what.startswith("exec") and "no pod" not in what
        row.add(what, f"{number(float(mid))} ({number(float(low))} to {number(float(high))}) {unit}",
                "<= 3 us" if has_budget else "", float(mid) <= HOOK_NS if has_budget else None)


# ---- memory ----

def sizes(quick):
    return (30,) if quick else (30, 250)


def memory(count):
    """{when: (MB resident, of that its own, highest since the line above)} of a daemon that traces so many pods."""
    fleet = Fleet(config=LIGHT)
    start_world(fleet, 100, 1000)
    node, srv = fleet.node, volume(())
    for p in fleet.local(count):
        fleet.add(p)
        world.put(node.manifests, f"local/{p.name}.yaml", p.manifest())
    node.sync("60s")
    boxes = [Container(p, volume=srv) for p in fleet.pods[:BURSTS]]
    pid = node.proc.pid
    found = {"at rest": row_node.memory_of(pid)}
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")  # the highest so far is what it is now
    for i, box in enumerate(boxes):
        Bed.sh(box, f"mkdir /srv/{i} && cp /srv/tiny /srv/{i}/ && "
                    f"{{ /srv/burst 2 4000 900 /srv/{i} >/tmp/out & }}")
    for box in boxes:
        Bed.sh(box, "wait")
    node.ask("runtime")
    time.sleep(SETTLE_S)
    found[f"after {number(BURSTS * 8000)} programs at once"] = row_node.memory_of(pid)
    return found


def fill_memory(row, count, found):
    if not found:
        row.note(f"The daemon's memory with {count} pods could not be measured.")
    for when, (rss, heap, peak) in found.items():
        row.add(f"resident, light, {count} pods, 100 policies, 1 000 peers, {when}",
                f"{rss:.1f} MB (heap {heap:.1f}, highest {peak:.1f})",
                f"<= {RSS_MB[count]} MB", rss <= RSS_MB[count])


def measure(quick):
    row = Row(9, "Tracing")
    fill_hook(row, quick)
    subprocess.run([tools.FETCH, *PROGRAMS], check=False)
    lacking = [name for name in PROGRAMS if not os.path.exists(tools.path(name))]
    bed = Bed(() if lacking else PROGRAMS)
    todo = measurements(quick, not lacking)
    fill_modes(row, todo, collect(bed, todo, 2 if quick else 10))
    fill_steady(row, bed, quick)
    if lacking:
        row.note("Not measured for want of the programs: " + ", ".join(lacking))
    row.note("The hook's time is what the kernel's statistics say of the program, its first look at "
             "caches that an exec has emptied included. Loops, redis, nginx and their clients run "
             "in containers on overlayfs, on one CPU. Their figures are CPU time of a call, or of "
             "client and server for a request. The daemon runs where it likes.")
    return {9: row}

#!/usr/bin/python3
"""Runs the tests that CMake registered, two at a time, counts every single case, and makes sure
that nothing is left behind. Called by tests/run; see there.

How a test says what happened: cmocka programs by their summary, scripts by a last
line "N passed, N failed", fuzz targets by their exit code; exit code 77 means skipped. A skip counts as
a failure when CI is set, for there everything is present.
"""
import argparse
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import leftovers

TAIL_LINES, WIDTH = 60, 240
KEY_LINES = re.compile(r"ERROR|\[   LINE|FAIL|runtime error|Traceback")
GRACE_S = 30  # between asking a test to end and ending it; its clean-up may have much to do
STRAY_S = 20  # for what is just about to end, on a machine that stands still now and then
PR_SET_CHILD_SUBREAPER = 36

CMOCKA = {
    "passed": re.compile(r"^\[  PASSED  \] (\d+) test", re.M),
    "failed": re.compile(r"^\[  FAILED  \] (\d+) test", re.M),
    "skipped": re.compile(r"^\[  SKIPPED \] (\d+) test", re.M),
}
SCRIPT = re.compile(r"^(\d+) passed, (\d+) failed$")


class Test:
    def __init__(self, name, label, command, env, timeout, cwd):
        self.name, self.label, self.command = name, label, command
        self.env, self.timeout, self.cwd = env, timeout, cwd
        self.passed = self.failed = self.skipped = 0
        self.seconds = 0.0
        self.why = ""


def load_tests(build, labels, prefix):
    """The tests of one build directory, as ctest knows them."""
    shown = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"],
                           check=True, capture_output=True, text=True).stdout
    tests = []
    for entry in json.loads(shown)["tests"]:
        props = {p["name"]: p["value"] for p in entry.get("properties", [])}
        label = props.get("LABELS", ["unit"])[0]
        if label not in labels:
            continue
        env = dict(e.split("=", 1) for e in props.get("ENVIRONMENT", []))
        tests.append(Test(prefix + entry["name"], label, entry.get("command", []), env,
                          float(props.get("TIMEOUT", 300)), props.get("WORKING_DIRECTORY", ".")))
    return tests


def count(test, code, output):
    """Fills in the test's numbers from its exit code and what it printed."""
    found = {k: sum(map(int, r.findall(output))) for k, r in CMOCKA.items()}
    lines = output.rstrip().splitlines()
    # the last one that says so: what a script started may say something while it ends
    said = [m for m in (SCRIPT.match(line.strip()) for line in lines) if m]
    script = said[-1] if said else None
    if code == 77:
        test.skipped = 1
        test.why = lines[-1].strip() if lines else "no reason given"
    elif any(found.values()):
        test.passed, test.failed, test.skipped = (found["passed"], found["failed"],
                                                  found["skipped"])
    elif script:
        test.passed, test.failed = int(script[1]), int(script[2])
    elif test.label == "fuzz" and code == 0:
        test.passed = 1
    if code not in (0, 77) and not test.failed:
        test.failed = 1
        test.why = test.why or f"ended with {describe(code)}"
    if not (test.passed or test.failed or test.skipped):
        test.failed = 1
        test.why = "ran no test, or did not say how many"


def describe(code):
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def pids_with_mark(mark):
    """Processes that inherited a test's mark in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark.encode() in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            continue
    return found


def kill_quietly(pid, signo):
    try:
        os.kill(pid, signo)
    except OSError:
        pass


class Runner:
    def __init__(self, tests, jobs, log_dir):
        self.queue = list(tests)
        self.tests, self.jobs, self.log_dir = tests, jobs, log_dir
        self.lock = threading.Lock()
        self.running = {}
        self.is_interrupted = False

    def run(self):
        threads = [threading.Thread(target=self.work, daemon=True) for _ in range(self.jobs)]
        for t in threads:
            t.start()
        for t in threads:
            while t.is_alive():  # a join without time-out would hold signals back
                t.join(0.2)

    def work(self):
        while True:
            with self.lock:
                if not self.queue or self.is_interrupted:
                    return
                test = self.queue.pop(0)
            self.run_one(test)
            self.report(test)

    def run_one(self, test):
        log = os.path.join(self.log_dir, re.sub(r"[^\w.-]", "_", test.name) + ".log")
        mark = f"BH_TEST_MARK={os.getpid()}-{test.name}"
        env = {**os.environ, **test.env, "BH_TEST_NAME": test.name}
        env.update([mark.split("=", 1)])
        start = time.monotonic()
        with open(log, "w+", errors="replace") as out:
            code = self.run_process(test, env, out)
            stray = self.end_strays(mark)
            out.seek(0)
            output = out.read()
        test.seconds = time.monotonic() - start
        if code is not None:
            count(test, code, output)
        if stray:
            test.failed += 1
            test.why = f"left processes behind: {', '.join(stray)}"
        if test.failed or (test.skipped and os.environ.get("CI")):
            self.show_tail(test, output)

    def run_process(self, test, env, out):
        """The exit code; None when there is none, with the reason noted in the test."""
        try:
            proc = subprocess.Popen(test.command, stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=subprocess.STDOUT, env=env, cwd=test.cwd,
                                    start_new_session=True)
        except (OSError, IndexError) as e:
            test.failed, test.why = 1, f"cannot be started: {e}"
            return None
        with self.lock:
            self.running[proc.pid] = proc
            if self.is_interrupted:
                kill_quietly(proc.pid, signal.SIGTERM)
        try:
            return proc.wait(test.timeout)
        except subprocess.TimeoutExpired:
            test.failed, test.why = 1, f"timed out after {test.timeout:.0f} s"
            self.end(proc)
            return None
        finally:
            with self.lock:
                del self.running[proc.pid]

    @staticmethod
    def end(proc):
        """Asks first, so that the test's own clean-up can run."""
        kill_quietly(proc.pid, signal.SIGTERM)
        try:
            proc.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            kill_quietly(-proc.pid, signal.SIGKILL)
            proc.wait()

    @staticmethod
    def end_strays(mark):
        """Ends what the test left running and names it. A process that is just about to end is
        given a moment."""
        deadline = time.monotonic() + STRAY_S
        pids = pids_with_mark(mark)
        while pids and time.monotonic() < deadline:
            time.sleep(0.05)
            pids = pids_with_mark(mark)
        names = []
        for pid in pids:
            try:
                with open(f"/proc/{pid}/comm") as f:
                    names.append(f"{f.read().strip()}({pid})")
            except OSError:
                continue
            kill_quietly(pid, signal.SIGKILL)
        return names

    def interrupt(self, *_):
        """Ends the running tests with their own clean-up; run() then returns."""
        self.is_interrupted = True
        for pid in list(self.running):
            kill_quietly(pid, signal.SIGTERM)

    def report(self, test):
        word = "FAIL" if test.failed else "skip" if test.skipped else "ok"
        text = f"{word:4} {test.name}: {test.passed} passed"
        if test.failed:
            text += f", {test.failed} failed"
        if test.skipped:
            text += f", {test.skipped} skipped"
        why = f" ({test.why})" if test.why else ""
        with self.lock:
            print(f"{text} {test.seconds:.1f} s{why}", flush=True)

    def show_tail(self, test, output):
        """The end of the output, and what looks like a reason further up."""
        lines = output.rstrip().splitlines()
        early = [x for x in lines[:-TAIL_LINES] if KEY_LINES.search(x)][:TAIL_LINES]
        late = lines[-TAIL_LINES:]
        with self.lock:
            print(f"---- {test.name}: the last {len(late)} of {len(lines)} lines", flush=True)
            for line in early + ["..."] * bool(early) + late:
                print(f"| {line[:WIDTH]}")
            print("----", flush=True)


def children():
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as f:
            return [int(pid) for pid in f.read().split()]
    except OSError:
        return []


def end_child(pid):
    """Its name where it was alive."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            stat = f.read()
    except OSError:
        stat = "(?) Z"
    name, state = stat[stat.index("(") + 1:stat.rindex(")")], stat.rsplit(")")[-1].split()[0]
    if state != "Z":
        kill_quietly(pid, signal.SIGKILL)
    try:
        os.waitpid(pid, 0)
    except OSError:
        pass
    return None if state == "Z" else f"process {name}({pid})"


def orphans():
    """Our children that no test accounts for; each is ended. Processes whose parent died come to
    us, as we are their subreaper; so do the children of those that are ended here. Those that end
    by themselves are given the time."""
    found = []
    deadline = time.monotonic() + STRAY_S
    while children() and time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except OSError:
            pass
        time.sleep(0.05)
    while pids := children():
        found += [what for what in map(end_child, pids) if what]
    return found


def parse_args():
    p = argparse.ArgumentParser()
    p.add_argument("--build", action="append", default=[], metavar="DIR=LABEL,...[:PREFIX]",
                   help="a build directory and what to run from it")
    p.add_argument("--failed", action="append", default=[],
                   help="something that has failed already, to be counted")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--logs", default="build/test-logs")
    p.add_argument("--only", default="", help="run tests whose name contains this")
    return p.parse_args()


def gather(args):
    tests = []
    for spec in args.build:
        build, _, rest = spec.partition("=")
        labels, _, prefix = rest.partition(":")
        found = load_tests(build, labels.split(","), prefix)
        # tests that silently vanish from the list would be worse than failing ones
        args.failed += [f"no {label} test is registered in {build}" for label in labels.split(",")
                        if not any(t.label == label for t in found)]
        tests += found
    return [t for t in tests if args.only in t.name]


def main():
    args = parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.makedirs(args.logs, exist_ok=True)
    tests = gather(args)
    # the long ones first, so that no core idles at the end
    order = ["bench", "e2e", "check", "fuzz", "bpf", "golden", "unit"]
    tests.sort(key=lambda t: order.index(t.label) if t.label in order else 0)
    before = leftovers.snapshot()
    runner = Runner(tests, args.jobs, args.logs)
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signo, runner.interrupt)
    runner.run()
    left = orphans() + leftovers.remove_new(before)
    for what in left:
        print(f"FAIL left behind: {what}")
    for what in args.failed:
        print(f"FAIL {what}")
    passed = sum(t.passed for t in tests)
    failed = sum(t.failed for t in tests) + len(left) + len(args.failed)
    skipped = sum(t.skipped for t in tests)
    if skipped:
        print(f"{skipped} skipped" + (", which counts as failed here" if os.environ.get("CI")
                                      else ""))
        failed += skipped if os.environ.get("CI") else 0
    if runner.is_interrupted:
        print("interrupted")
        failed += 1
    if not passed and not failed:
        print("FAIL there was nothing to run")
        failed = 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

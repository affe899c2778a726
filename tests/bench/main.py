"""Measures the rows asked for and prints them. Called by tests/bench/run; see there."""
import argparse
import ctypes
import os
import pickle
import signal
import sys
import time
import traceback

import testing

import row_image
import row_node
import row_packet
import row_path
import row_trace
import table

ALL = (1, 2, 3, 4, 5, 6, 7, 8, 9)


def parse():
    p = argparse.ArgumentParser(prog="tests/bench/run")
    p.add_argument("rows", nargs="*", type=int, choices=[[], *ALL], help="1 to 9; default: all")
    p.add_argument("--quick", action="store_true", help="fewer rounds and pods")
    p.add_argument("--write", metavar="FILE", help="the tables into FILE too")
    a = p.parse_args()
    a.rows = sorted(set(a.rows)) or list(ALL)
    return a


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def attempt(what, fn):
    """fn's rows, worked out by a process of its own: its node, pods and daemon are gone with it. A
    part that cannot be measured is said so, and the others go on."""
    start = time.monotonic()
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(reader)
        ctypes.CDLL(None).prctl(testing.PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        with os.fdopen(writer, "wb") as f:
            pickle.dump(rows_of(fn), f)
        sys.exit()
    os.close(writer)
    testing.on_exit(lambda: end(pid))
    with os.fdopen(reader, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    rows = pickle.loads(data) if data else {}
    say(f"{what}: {time.monotonic() - start:.0f} s{'' if rows else ', FAILED'}")
    return rows


def rows_of(fn):
    try:
        return fn()
    except Exception:
        traceback.print_exc()
        return {}


def end(pid):
    """Asks a child that still runs to clean up, and waits for it."""
    try:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def measure(a):
    """{number: Row}"""
    rows = {}
    if {1, 2} & set(a.rows):
        rows.update(attempt("packets", lambda: row_packet.measure(a.rows, a.quick)))
    if {1, 2, 3} & set(a.rows):
        rows.update(attempt("traffic", lambda: row_path.measure(a.rows, a.quick, rows)))
    if {4, 5, 6, 7} & set(a.rows):
        rows.update(attempt("the node", lambda: row_node.measure(a.rows, a.quick)))
    if 8 in a.rows:
        rows.update(attempt("images", lambda: row_image.measure(a.quick)))
    if 9 in a.rows:
        rows.update(attempt("tracing", lambda: row_trace.measure(a.quick)))
        for n in row_trace.sizes(a.quick) if 9 in rows else ():
            row_trace.fill_memory(rows[9], n, attempt(f"tracing, {n} pods",
                                                      lambda n=n: row_trace.memory(n)))
    return rows


def render(a, rows, facts, seconds):
    how = "--quick: fewer rounds and pods than the budgets speak of" if a.quick else "full run"
    head = ["# Bulkhead, measured", "", f"{facts} {how}, {seconds:.0f} s.", "",
            "Figures are medians with the smallest and the largest. Everything measured runs with "
            "nice -20, so that what else the machine does disturbs it less.", ""]
    missing = [f"Row {n} could not be measured." for n in a.rows if n not in rows]
    return "\n".join([*head, *(rows[n].markdown() for n in sorted(rows)), *missing])


def main():
    a = parse()
    testing.start()
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    facts, start = table.machine(), time.monotonic()
    rows = measure(a)
    text = render(a, rows, facts, time.monotonic() - start)
    print(text)
    if a.write:
        with open(a.write, "w") as f:
            f.write(text)
    sys.exit(0 if len(rows) == len(a.rows) else 1)


main()

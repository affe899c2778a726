"""Measures the rows asked for and prints them. Called by tests/bench/run; see there."""
import argparse
import os
import sys
import time
import traceback

import testing

import row_node
import row_packet
import row_path
import table

ALL = (1, 2, 3, 4, 5, 6, 7)


def parse():
    p = argparse.ArgumentParser(prog="tests/bench/run")
    p.add_argument("rows", nargs="*", type=int, choices=[[], *ALL], help="1 to 7; default: all")
    p.add_argument("--quick", action="store_true", help="fewer rounds and pods")
    p.add_argument("--write", metavar="FILE", help="the tables into FILE too")
    a = p.parse_args()
    a.rows = sorted(set(a.rows)) or list(ALL)
    return a


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def attempt(what, fn):
    """A row that cannot be measured is said so, and the others go on."""
    start = time.monotonic()
    try:
        return fn()
    except Exception:
        traceback.print_exc()
        say(f"{what} FAILED")
        return None
    finally:
        say(f"{what}: {time.monotonic() - start:.0f} s")


def measure(a):
    """{number: Row}"""
    rows = {}
    if {1, 2} & set(a.rows):
        made = attempt("rows 1 and 2", lambda: row_packet.measure(a.quick)) or ()
        rows.update({r.number: r for r in made if r.number in a.rows})
    if {1, 2, 3} & set(a.rows):
        attempt("traffic", lambda: row_path.measure(a.rows, a.quick, rows))
    if {4, 5, 6, 7} & set(a.rows):
        attempt("the node", lambda: row_node.measure(a.rows, a.quick, rows))
    return rows


def render(a, rows, seconds):
    how = "--quick: fewer rounds and pods than the budgets speak of" if a.quick else "full run"
    head = ["# Bulkhead, measured", "", f"{table.machine()} {how}, {seconds:.0f} s.", "",
            "Figures are medians with the smallest and the largest. Everything measured runs with "
            "nice -20, so that what else the machine does disturbs it less.", ""]
    missing = [f"Row {n} could not be measured." for n in a.rows if n not in rows]
    return "\n".join([*head, *(rows[n].markdown() for n in sorted(rows)), *missing])


def main():
    a = parse()
    testing.start()
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    start = time.monotonic()
    machine_rows = measure(a)
    text = render(a, machine_rows, time.monotonic() - start)
    print(text)
    if a.write:
        with open(a.write, "w") as f:
            f.write(text)
    sys.exit(0 if len(machine_rows) == len(a.rows) else 1)


main()

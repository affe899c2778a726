"""Rows 1 and 2: what a packet costs, by BPF_PROG_RUN, under 1 and under 10 000 policies."""
import collections
import os

import testing
import world
from table import Row, median, spread

ONE, MANY, PEERS = 1, 10000, 1000
REPEAT = 2000
ESTABLISHED_NS, DENIED_NS, ALLOWED_NS, SAME = 80, 150, 230, 0.05


def run_program(rounds):
    """{case: [ns under 1 policy, ns under 10 000]}, all rounds."""
    directories = []
    for count in (ONE, MANY):
        d = os.path.join(testing.tempdir(), "manifests")
        os.mkdir(d)
        world.put_base(d)
        world.put_measured_pods(d)
        world.put_policies(d, count)
        world.put_peers(d, PEERS if count > 1 else 0)
        directories.append(d)
    out = testing.run(os.path.join(testing.BUILD, "bench", "bench_verdict"), rounds, REPEAT,
                      *directories, timeout=300)
    figures = collections.OrderedDict()
    for line in out.splitlines():
        case, which, ns = line.split("\t")
        figures.setdefault(case, ([], []))[int(which)].append(int(ns))
    return figures


def budget_of(case):
    if case.startswith("established"):
        return ESTABLISHED_NS
    return DENIED_NS if "denied" in case else ALLOWED_NS


def fill(row, figures):
    for case, (one, many) in figures.items():
        limit = budget_of(case)
        for count, values in ((ONE, one), (MANY, many)):
            row.add(f"{case}, {count:,} {'policy' if count == 1 else 'policies'}"
                    .replace(",000", " 000"), spread(values, "ns"), f"<= {limit} ns",
                    median(values) <= limit)
        change = median(many) / median(one) - 1
        row.add(f"{case}, {MANY // 1000} 000 against 1", f"{change:+.1%}", "within 5 %",
                change <= SAME)
    row.note(f"Each figure is the median of {len(one)} batches of {REPEAT} packets (fastest to "
             "slowest batch), minus the same batch through an empty program, taken just before.")


def measure(numbers, quick):
    """Of the rows 1 and 2 those asked for, without their comparison on the wire."""
    figures = run_program(60 if quick else 300)
    first, second = Row(1, "Established packet"), Row(2, "Decision about a new flow")
    fill(first, {k: v for k, v in figures.items() if k.startswith("established")})
    fill(second, {k: v for k, v in figures.items() if not k.startswith("established")})
    second.note("Every packet of a batch has a source port of its own, set by the small driver "
                "program that calls the one under test; so all of them are new flows, and the "
                "flows are swept away between the batches. The driver's cost is in the empty "
                "run too, and cancels.")
    return {r.number: r for r in (first, second) if r.number in numbers}

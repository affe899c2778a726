"""Medians, ratios and Markdown."""
import math
import os
import platform
import statistics


def median(values):
    return statistics.median(values)


def quantile(values, q):
    """The smallest value that at least the share q of all do not exceed."""
    v = sorted(values)
    return v[max(0, math.ceil(len(v) * q) - 1)]


def number(x):
    """Three digits that mean something, and no more."""
    if abs(x) >= 100:
        return f"{x:,.0f}".replace(",", " ")
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def spread(values, unit=""):
    """median (min-max)"""
    text = f"{number(median(values))} ({number(min(values))} to {number(max(values))})"
    return f"{text} {unit}".strip()


def tail(values, unit=""):
    """p50, p99 and max of single runs."""
    return (f"p50 {number(median(values))}, p99 {number(quantile(values, 0.99))}, "
            f"max {number(max(values))} {unit} (n={len(values)})")


class Line:
    """One line of a row's table. budget: what is promised, in words; value and limit judge it."""

    def __init__(self, what, figure, budget="", met=None):
        self.what, self.figure, self.budget, self.met = what, figure, budget, met


class Row:
    """One row of the budgets: lines against budgets, comparisons beside them, remarks."""

    def __init__(self, number_, title):
        self.number, self.title = number_, title
        self.lines, self.tables, self.notes = [], [], []

    def add(self, what, figure, budget="", met=None):
        self.lines.append(Line(what, figure, budget, met))

    def compare(self, head, rows):
        self.tables.append((head, rows))

    def note(self, text):
        self.notes.append(text)

    def markdown(self):
        out = [f"## {self.number}. {self.title}", ""]
        if self.lines:
            out += grid(["what", "figure", "budget", "met"],
                        [[line.what, line.figure, line.budget, word(line.met)]
                         for line in self.lines]) + [""]
        for head, rows in self.tables:
            out += grid(head, rows) + [""]
        for text in self.notes:
            out += [text, ""]
        return "\n".join(out)


def word(met):
    return {True: "yes", False: "**no**", None: ""}[met]


def grid(head, rows):
    """Markdown, padded so that it reads as plain text too."""
    rows = [[str(c) for c in r] for r in rows]
    width = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]

    def line(cells):
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, width)) + " |"
    return [line(head), "|" + "|".join("-" * (w + 2) for w in width) + "|", *map(line, rows)]


def machine():
    """What the figures were measured on."""
    cpu = "unknown"
    with open("/proc/cpuinfo") as f:
        for text in f:
            if text.startswith("model name"):
                cpu = text.split(":", 1)[1].strip()
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) >> 20
    with open("/proc/cpuinfo") as f:
        virtual = " hypervisor" in f.read()
    return (f"Linux {platform.release()}, {cpu}{' (virtual)' if virtual else ''}, "
            f"{os.cpu_count()} cores, {memory} GiB; load average at the start "
            f"{os.getloadavg()[0]:.1f}.")

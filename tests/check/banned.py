"""Calls that have no place in the product: unbounded copies, hidden state, shells, and ways out of
the process below the programs' own layer. Tests are free."""
import re

import tree as t

CALLS = {
    "unbounded": "strcpy strcat stpcpy sprintf vsprintf gets alloca",
    "hidden state": "strtok rand srand random tmpnam mktemp tempnam asctime ctime gmtime localtime",
    "no errors": "atoi atol atoll atof",
    "shells": "system popen wordexp",
}
# Layer 4 decides about the process; below it, code returns errors.
ENDS = re.compile(r"\b(exit|abort|quick_exit)\s*\(")
ENDS_EXEMPT = ("src/daemon/", "src/worker/", "src/cli/", "cni/", "bpf/")
GOTO = re.compile(r"\bgoto\b")


def find(tree, names, pattern, what):
    for name in names:
        bare = t.strip_c(tree.text(name))
        for m in pattern.finditer(bare):
            yield f"{name}:{t.line_of(bare, m.start())}: {what.format(*m.groups())}"


def check(tree):
    names = tree.c_files()
    rules = {}
    for rule, words in CALLS.items():
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(words.split()) + r")\s*\(")
        rules[rule] = list(find(tree, names, pattern, "{}() is not used here"))
    below = [n for n in names if not n.startswith(ENDS_EXEMPT)]
    rules["ends the process"] = list(find(tree, below, ENDS, "{}() below the programs' layer"))
    in_c = [n for n in names if not n.startswith("bpf/")]
    rules["goto"] = list(find(tree, in_c, GOTO, "goto in C; leave early, clean up by scope"))
    return rules, []

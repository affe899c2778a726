"""Calls that have no place in the product: unbounded copies, hidden state, shells, and ways out of
the process below the programs' own layer. Tests are free. banned.allow lists exceptions, each with
its reason; one that is not needed any more is an error."""
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
ALLOW = "tests/check/banned.allow"
GOTO = re.compile(r"\b(goto)\b")


class Allowed:
    """The exceptions of banned.allow: lines 'FILE WORD REASON'."""

    def __init__(self, tree):
        self.lines, self.bad = {}, []
        text = tree.text(ALLOW) if ALLOW in tree.files else ""
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split(None, 2)
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 3:
                self.bad.append(f"{ALLOW}:{number}: want 'FILE WORD REASON'")
            self.lines[tuple(words[:2])] = number
        self.unused = set(self.lines)

    def has(self, name, word):
        self.unused.discard((name, word))
        return (name, word) in self.lines

    def problems(self):
        return self.bad + [f"{ALLOW}:{self.lines[key]}: {key[0]} has no {key[1]}"
                           for key in sorted(self.unused)]


def find(tree, names, pattern, what, allowed):
    found = []
    for name in names:
        bare = t.strip_c(tree.text(name))
        for m in pattern.finditer(bare):
            if not allowed.has(name, m[1]):
                found.append(f"{name}:{t.line_of(bare, m.start())}: {what.format(m[1])}")
    return found


def check(tree):
    names, allowed = tree.c_files(), Allowed(tree)
    rules = {}
    for rule, words in CALLS.items():
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(words.split()) + r")\s*\(")
        rules[rule] = find(tree, names, pattern, "{}() is not used here", allowed)
    below = [n for n in names if not n.startswith(ENDS_EXEMPT)]
    rules["ends the process"] = find(tree, below, ENDS, "{}() below the programs' layer", allowed)
    in_c = [n for n in names if not n.startswith("bpf/")]
    rules["goto"] = find(tree, in_c, GOTO, "{} in C; leave early, clean up by scope", allowed)
    rules["allow list"] = allowed.problems()
    return rules, []

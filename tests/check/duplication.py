"""Pieces of at least 12 lines that stand twice in our C. Comments, blank lines, includes and lines
of mere punctuation do not count. duplication.allow lists pairs of files that may, with a reason."""
import os
import re

import tree as t

WINDOW = 12
ALLOW = "tests/check/duplication.allow"


def normalised(text):
    """(line number, text) of the lines that count."""
    code = t.strip_preprocessor(strip_comments(text))
    for number, line in enumerate(code.split("\n"), 1):
        line = re.sub(r"\s+", " ", line).strip()
        if re.search(r"\w", line):
            yield number, line


def strip_comments(text):
    return t.TOKEN.sub(lambda m: t.blank(m) if m[0].startswith("/") else m[0], text)


def allowed_pairs(tree):
    pairs, bad = set(), []
    if ALLOW not in tree.files:
        return pairs, bad
    for number, line in enumerate(tree.text(ALLOW).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) < 3:
            bad.append(f"{ALLOW}:{number}: want 'FILE FILE REASON'")
            continue
        for name in words[:2]:
            if not os.path.exists(os.path.join(tree.root, name)):
                bad.append(f"{ALLOW}:{number}: {name} is gone")
        pairs.add(frozenset(words[:2]))
    return pairs, bad


def extend(files, a, b):
    """How many lines the copies starting at positions a and b have in common."""
    n = 0
    la, lb = files[a[0]], files[b[0]]
    while (a[1] + n < len(la) and b[1] + n < len(lb) and la[a[1] + n][1] == lb[b[1] + n][1]
           and not (a[0] == b[0] and a[1] + n >= b[1])):
        n += 1
    return n


def check(tree):
    files = {n: list(normalised(tree.text(n))) for n in tree.c_files(t.PRODUCT + ("tests/",))}
    allowed, bad = allowed_pairs(tree)
    seen, found, covered = {}, [], set()
    for name, lines in files.items():
        for at in range(len(lines) - WINDOW + 1):
            window = tuple(text for _, text in lines[at:at + WINDOW])
            first = seen.setdefault(window, (name, at))
            if first == (name, at) or (name, at) in covered:
                continue
            n = extend(files, first, (name, at))
            covered.update((name, at + i) for i in range(n))
            if n < WINDOW or frozenset((name, first[0])) in allowed:
                continue
            other = files[first[0]][first[1]][0]
            found.append(f"{name}:{lines[at][0]}: {n} lines as in {first[0]}:{other}")
    return {"copies": found, "allow list": bad}, []

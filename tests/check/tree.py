"""What all checks share: the list of files to look at, C without comments and strings, functions."""
import os
import re
import subprocess

PRODUCT = ("src/", "cni/", "bpf/", "include/")
SAMPLES = "tests/check/samples/"


class Tree:
    """The files git tracks below root; for the samples of the self-test, all files there are."""

    def __init__(self, root, is_sample=False):
        self.root = root
        self.cache = {}
        if is_sample:
            self.files = sorted(os.path.relpath(os.path.join(path, name), root)
                                for path, _, names in os.walk(root) for name in names)
            return
        listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True,
                                capture_output=True, text=True).stdout.split("\0")
        self.files = [f for f in listed if f and not f.startswith(SAMPLES)
                      and os.path.isfile(os.path.join(root, f))]

    def text(self, name):
        if name not in self.cache:
            with open(os.path.join(self.root, name), "rb") as f:
                self.cache[name] = f.read().decode("utf-8", "replace")
        return self.cache[name]

    def c_files(self, prefixes=PRODUCT):
        return [f for f in self.files if f.endswith((".c", ".h")) and f.startswith(prefixes)]


TOKEN = re.compile(r"""
    //[^\n]* | /\*.*?\*/ |                        # comments
    "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'     # literals
""", re.X | re.S)


def blank(match):
    """Same number of lines, nothing else; a literal keeps its quotes."""
    text = match[0]
    if text[0] in "\"'":
        return text[0] * 2
    return "\n" * text.count("\n") or " "


def strip_c(text):
    """C source without comments and without what is inside literals; line numbers are kept."""
    return TOKEN.sub(blank, text)


def strip_preprocessor(text):
    """Directives, with their continued lines, become empty lines."""
    def empty(match):
        return "\n" * match[0].count("\n")
    return re.sub(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", empty, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def last_group(head):
    """(name, inside) of the last parenthesised group in head that is no attribute."""
    end = len(head)
    while True:
        close = head.rfind(")", 0, end)
        if close < 0:
            return None
        depth, at = 0, close
        while at >= 0:
            depth += (head[at] == ")") - (head[at] == "(")
            if depth == 0:
                break
            at -= 1
        name = re.search(r"(\w+)\s*$", head[:max(at, 0)])
        if name and name[1] not in ("__attribute__", "SEC", "BH_PRINTF"):
            return name[1], head[at + 1:close]
        if at <= 0:
            return None
        end = at


def split_params(inside):
    """The parameters in a parenthesised list, split at its own commas only."""
    if inside.strip() in ("", "void"):
        return []
    depth, parts = 0, [""]
    for c in inside:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [" ".join(p.split()) for p in parts]


def functions(text):
    """(name, first line, body lines, list of parameters) of every function defined in a C text."""
    code = strip_preprocessor(strip_c(text))
    depth, start, head_start, found = 0, 0, 0, []
    for match in re.finditer(r"[{};]", code):
        at, c = match.start(), match[0]
        if c == "{":
            depth += 1
            if depth == 1:
                start = at
        elif c == "}":
            depth -= 1
            if depth == 0:
                head = code[head_start:start]
                group = last_group(head)
                if group and "=" not in head and head.rstrip()[-1:] in (")", "_"):
                    first = head_start + len(head) - len(head.lstrip())
                    body = code.count("\n", start, at) - 1
                    found.append((group[0], line_of(code, first), max(body, 0),
                                  split_params(group[1])))
                head_start = at + 1
        elif depth == 0:
            head_start = at + 1
    return found

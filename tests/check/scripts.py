"""Every script can be read by what would run it: those that tests seldom or never run, too."""
import os
import re
import subprocess

SHELL = re.compile(r"#!\s*(?:/usr/bin/env\s+)?\S*?\b(bash|busybox sh|sh)\b")
PYTHON = re.compile(r"#!.*python3")


def shell_of(text):
    """Who is asked: a busybox may not be there, and speaks as sh does."""
    m = SHELL.match(text)
    return m and ("bash" if m[1] == "bash" else "sh")


def check(tree):
    rules = {"shell": [], "python": []}
    for name in tree.files:
        with open(os.path.join(tree.root, name), "rb") as f:
            if f.read(2) != b"#!" and not name.endswith(".py"):
                continue
        text = tree.text(name)
        shell = shell_of(text)
        if shell:
            r = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True)
            if r.returncode or r.stderr:
                rules["shell"].append(f"{name}: {r.stderr.strip()}")
        elif name.endswith(".py") or PYTHON.match(text):
            try:
                compile(text, name, "exec")
            except SyntaxError as e:
                rules["python"].append(f"{name}:{e.lineno}: {e.msg}")
    return rules, []

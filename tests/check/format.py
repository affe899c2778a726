"""clang-format decides about layout. Headers are free, for hand-made columns in contracts."""
import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
STYLE = os.path.join(HERE, "..", "..", ".clang-format")
WARNING = re.compile(r"^(?:.*/)?\./(\S+?):(\d+):\d+: (?:warning|error): ", re.M)


def check(tree):
    names = ["./" + n for n in tree.files if n.endswith(".c")]
    said = ""
    if names:
        said = subprocess.run(["clang-format", f"--style=file:{STYLE}", "--dry-run", *names],
                              cwd=tree.root, capture_output=True, text=True).stderr
    # one line per file is enough: clang-format -i mends it
    first = {}
    for m in WARNING.finditer(said):
        first.setdefault(m[1], m[2])
    found = [f"{name}:{line}: not as clang-format has it" for name, line in first.items()]
    if said and not found:
        found.append(said.strip())
    return {"layout": found}, []

"""Words that must not be in any tracked file: notes to oneself, merge marks, and paths of the
machine somebody worked on."""
import re

# put together here, so that this file does not contain them itself
NOTES = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MERGE = re.compile(r"^(<{7}|>{7}) ", re.M)
PATHS = re.compile(r"(?<![\w.$}/-])/(" + "|".join(["wo" + "rk/", "home/[a-z]+/", "root/[^. ]",
                                                  "tmp/b" + "h/"]) + ")")
RULES = {"notes": NOTES, "merge marks": MERGE, "paths": PATHS}


def check(tree):
    rules = {rule: [] for rule in RULES}
    for name in tree.files:
        text = tree.text(name)
        if "\0" in text[:8000]:
            continue
        for rule, pattern in RULES.items():
            for m in pattern.finditer(text):
                line = text.count("\n", 0, m.start()) + 1
                rules[rule].append(f"{name}:{line}: {m[0].strip()!r}")
    return rules, []

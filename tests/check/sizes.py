"""Budgets: file 600 lines, function 70 (50 is the aim, and said), 5 parameters. The two ends of the
error idiom, `T *ret_x` and `struct bh_err *err`, are on top of the five."""
import re

import tree as t

FILE_LINES, FUNCTION_LINES, FUNCTION_AIM, PARAMS = 600, 70, 50, 5
SOURCES = (".c", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt", "/run", "/setup")


IDIOM = re.compile(r"^struct bh_err \*err$|\*\s*ret(_\w+)?$")


def check(tree):
    rules = {"file length": [], "function length": [], "parameters": []}
    warnings = []
    for name in tree.files:
        if not name.endswith(SOURCES):
            continue
        lines = tree.text(name).count("\n")
        if lines > FILE_LINES:
            rules["file length"].append(f"{name}:1: {lines} lines, {FILE_LINES} at most")
    for name in tree.c_files():
        for function, line, lines, params in t.functions(tree.text(name)):
            where = f"{name}:{line}: {function}"
            if lines > FUNCTION_LINES:
                rules["function length"].append(f"{where} has {lines} lines, {FUNCTION_LINES} "
                                                "at most")
            elif lines > FUNCTION_AIM:
                warnings.append(f"{where} has {lines} lines, aim at {FUNCTION_AIM}")
            inputs = sum(1 for p in params if not IDIOM.search(p))
            if inputs > PARAMS:
                rules["parameters"].append(f"{where} takes {inputs} inputs, {PARAMS} at most")
    return rules, warnings

"""run_check.py NAME [--sample DIR]: runs one check over the tracked files, or over a sample tree.

Each rule of a check counts as one test case; the last line says how many held."""
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    import tree
    is_sample = len(sys.argv) == 4 and sys.argv[2] == "--sample"
    root = sys.argv[3] if is_sample else os.path.dirname(os.path.dirname(HERE))
    rules, warnings = importlib.import_module(sys.argv[1]).check(tree.Tree(root, is_sample))
    for text in warnings:
        print(f"note: {text}")
    for rule, findings in rules.items():
        for text in findings:
            print(f"{text} [{rule}]")
    failed = sum(1 for findings in rules.values() if findings)
    print(f"{len(rules) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

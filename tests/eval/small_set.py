#!/usr/bin/python3
"""Trains and scores the generated set with the daemon's model, in both shapes of files, and holds
the figures against floors well below what they are. A model that says the same of every trace, reads
calls wrongly or trains on the attacks fails here."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
FLOORS = {"AUC": 0.95, "1 %": 0.60, "5 %": 0.80}
ORDERS = {6: 1.0, 1: 0.93}  # pairs of calls alone may be this much worse
failures = []
asked = 0


def tool(*args):
    done = subprocess.run([f"{HERE}/anomaly", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"anomaly {' '.join(args)}: exit code {done.returncode}\n{done.stderr}")
    rows = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]
    return {row[0]: [float(x) for x in row[1:]] for row in rows}


def check(what, value, floor):
    global asked
    asked += 1
    print(f"{'ok' if value >= floor else 'FAIL':4} {what}: {value:.3f}, at least {floor:.3f}")
    if value < floor:
        failures.append(what)


def sets_of(out):
    yield "ADFA-LD", ["--adfa", f"{out}/adfa"]
    for name in ("web", "cache"):
        yield name, ["--name", name, "--train", f"{out}/{name}/train", "--normal",
                     f"{out}/{name}/normal", "--attack", f"{out}/{name}/attack"]


def main():
    with tempfile.TemporaryDirectory(prefix="bh-eval.") as out:
        subprocess.run([sys.executable, f"{HERE}/generate.py", out], check=True)
        for name, args in sets_of(out):
            for order, share in ORDERS.items():
                auc, _, one, five, own_fp, own_dr = tool("--order", str(order), *args)[name]
                check(f"{name} order {order} AUC", auc, FLOORS["AUC"] * share)
                check(f"{name} order {order} at 1 %", one, FLOORS["1 %"] * share)
                check(f"{name} order {order} at 5 %", five, FLOORS["5 %"] * share)
                check(f"{name} order {order} specificity at its own threshold", 1 - own_fp, 0.9)
                check(f"{name} order {order} sensitivity at its own threshold", own_dr, 0.6)
        # normal against normal must look like chance, whatever the model
        none = tool("--name", "none", "--train", f"{out}/web/train", "--normal",
                    f"{out}/web/normal", "--attack", f"{out}/web/normal")["none"]
        check("normal against itself is chance", 1 - abs(none[0] - 0.5), 0.999)
    print(f"{asked - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Trains and scores the generated sets with the daemon's model, in both shapes of files, and holds
the figures against floors well below what they are, and against plain STIDE, written here anew: the
share of a trace's sequences of seven calls that training never saw. A model that says the same of
every trace, reads calls wrongly or trains on the attacks fails here; so does a tool that finds other
sets than there are."""
import bisect
import glob
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


# ---- plain STIDE ----

def traces(path):
    for name in sorted(glob.glob(f"{path}/**/*.*", recursive=True)):
        if os.path.isfile(name):
            with open(name) as f:
                yield f.read().split()


def sevens(calls):
    return [tuple(calls[i:i + 7]) for i in range(len(calls) - 6)] or [tuple(calls)]


def stide(train, normal, attack):
    """Area under its ROC curve."""
    known = {s for calls in traces(train) for s in sevens(calls)}

    def scores(path):
        return [sum(s not in known for s in found) / len(found)
                for found in map(sevens, traces(path))]
    low = sorted(scores(normal))
    high = scores(attack)
    return sum(bisect.bisect_left(low, x) + bisect.bisect_right(low, x)
               for x in high) / 2 / len(low) / len(high)


def against_stide(out):
    masters = [f"{p}_Data_Master" for p in ("Training", "Validation", "Attack")]
    for name, parts, margin in (("adfa", masters, 0), ("hard", masters, 0.12),
                                ("web", ("train", "normal", "attack"), -0.001),
                                ("cache", ("train", "normal", "attack"), -0.001)):
        theirs = stide(*(f"{out}/{name}/{p}" for p in parts))
        check(f"{name} AUC against STIDE", tool(f"{out}/{name}")[name][0], theirs + margin)


# ---- where sets lie, and how files look ----

def layouts(out):
    """One directory, nothing else said."""
    found = tool(out)
    check("all sets are found in their directory",
          float(set(found) == {"adfa", "hard", "web", "cache", "flat/cache"}), 1)
    auc, _, one, *_ = found["flat/cache"]
    check("two recordings are cut into traces: AUC", auc, 0.93)
    check("two recordings are cut into traces: at 1 %", one, 0.80)
    across = f"{out}/.across"  # hidden: not part of `out`
    for part in ("train", "normal", "attack"):
        os.makedirs(f"{across}/{part}")
        for name in ("web", "cache"):
            os.symlink(f"{out}/{name}/{part}", f"{across}/{part}/{name}")
    check("a part's directories are sets when all parts have them",
          float(tool(across) == {n: found[n] for n in ("web", "cache")}), 1)
    for form in ("{name}-{part}s", "{part}_{name}_2"):
        beside = f"{out}/.{form[:3].strip('{')}"
        os.makedirs(beside)
        for part, of in (("training", "train"), ("benign", "normal"), ("attack", "attack")):
            for name in ("web", "cache"):
                os.symlink(f"{out}/{name}/{of}", f"{beside}/{form.format(name=name, part=part)}")
        check(f"directories named as {form}",
              float(tool(beside) == {n: found[n] for n in ("web", "cache")}), 1)
    kinds = f"{out}/.kinds"
    os.makedirs(kinds)
    for link, of in (("train", "train"), ("normal_1", "normal"), ("attack_shell", "attack")):
        os.symlink(f"{out}/web/{of}", f"{kinds}/{link}")
    check("kinds of attacks are no sets", float(tool(kinds) == {".kinds": found["web"]}), 1)
    without = f"{out}/.without"
    os.makedirs(without)
    os.symlink(f"{out}/web/train", f"{without}/benign")
    os.symlink(f"{out}/web/attack", f"{without}/exploits")
    check("without training data normal ones are split: AUC", tool(without)[".without"][0], 0.95)


def refusals(out):
    empty = f"{out}/.empty"
    os.makedirs(f"{empty}/attack")
    for what, args in (("no such directory", [f"{out}/nowhere"]), ("no set", [empty]),
                       ("no arguments", []), ("half a set", ["--attack", f"{out}/web/attack"]),
                       ("an order", ["--order", "9", out]), ("a window", ["--window", "x", out])):
        done = subprocess.run([f"{HERE}/anomaly", *args], capture_output=True, text=True,
                              check=False)
        check(f"{what}: refused with a sentence", float(done.returncode in (1, 2) and
                                                        len(done.stderr) > 20), 1)


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
        against_stide(out)
        layouts(out)
        refusals(out)
        # normal against normal must look like chance, whatever the model
        none = tool("--name", "none", "--train", f"{out}/web/train", "--normal",
                    f"{out}/web/normal", "--attack", f"{out}/web/normal")["none"]
        check("normal against itself is chance", 1 - abs(none[0] - 0.5), 0.999)
    print(f"{asked - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

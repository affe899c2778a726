#!/usr/bin/python3
"""Plays the public NetworkPolicy truth tables against `bulkhead policy matrix`.

Every case, every step, every protocol and port, every cell but the diagonal. The last line is
"N passed, N failed", counted in cases. --case N runs one case; --network gives the pods' /24.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import conformance_lib

MAX_SHOWN = 5  # wrong cells per step


def binary():
    build = os.environ.get("BH_BUILD_DIR")
    root = pathlib.Path(__file__).resolve().parents[2]
    return (pathlib.Path(build) if build else root / "build") / "bin" / "bulkhead"


def matrix(program, directory, place):
    """The verdicts of all pairs for one port, as {(from, to): is_allowed}."""
    run = subprocess.run(
        [program, "policy", "matrix", "--manifests", directory, "--default", "kubernetes"]
        + ["--port", place, "-o", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"exit {run.returncode}: {run.stderr.strip()}")
    answer = json.loads(run.stdout)
    if answer["port"] != place:
        raise RuntimeError(f"asked about {place}, answered about {answer['port']}")
    out = {}
    for cell in answer["cells"]:
        sides = cell["egress"]["verdict"], cell["ingress"]["verdict"]
        if (cell["verdict"] == "allowed") != (sides == ("allowed", "allowed")):
            raise RuntimeError(f"the verdict is not that of its sides: {cell}")
        out[cell["from"], cell["to"]] = cell["verdict"] == "allowed"
    return out


def check_step(program, directory, step):
    """Compares one step. Returns (cells, wrong cells as sentences)."""
    answers = {}
    wrong = []
    n = 0
    for cell in conformance_lib.cells(step):
        place = f"{cell.port}/{cell.protocol}"
        if place not in answers:
            answers[place] = matrix(program, directory, place)
        got = answers[place].get((cell.source, cell.target))
        n += 1
        if got != cell.is_allowed:
            wrong.append(
                f"{cell.source} to {cell.target} on {place}: wanted "
                f"{'allowed' if cell.is_allowed else 'denied'}, got "
                f"{'no cell' if got is None else 'allowed' if got else 'denied'}"
            )
    return n, wrong


def play(program, table, case, network):
    """Plays one case. Returns (cells, wrong cells)."""
    world = conformance_lib.World(table, network)
    cells = wrong_cells = 0
    with tempfile.TemporaryDirectory(prefix="bh-conformance.") as directory:
        for number, step in enumerate(case["steps"], 1):
            for action in step["actions"] or []:
                world.apply(action)
            world.write(directory)
            n, wrong = check_step(program, directory, step)
            cells += n
            wrong_cells += len(wrong)
            for sentence in wrong[:MAX_SHOWN]:
                print(f"case {case['id']} step {number}: {sentence}")
            if len(wrong) > MAX_SHOWN:
                print(f"case {case['id']} step {number}: and {len(wrong) - MAX_SHOWN} more")
    return cells, wrong_cells


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", help="the cases; default: beside the checkout")
    parser.add_argument("--binary", default=str(binary()))
    parser.add_argument("--network", default="10.77.5.0/24")
    parser.add_argument("--case", type=int, help="only this one")
    args = parser.parse_args()
    try:
        table = conformance_lib.Table(args.data)
    except OSError as e:
        sys.exit(f"the public cases are not there: {e}; BH_CONFORMANCE names the file")
    passed = failed = cells = wrong = 0
    for case in table.cases:
        if args.case is not None and case["id"] != args.case:
            continue
        try:
            n, bad = play(args.binary, table, case, args.network)
        except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as e:
            print(f"case {case['id']}: {e}")
            n, bad = 0, 1
        cells += n
        wrong += bad
        passed += bad == 0
        failed += bad != 0
    print(f"{cells} cells compared, {wrong} wrong")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

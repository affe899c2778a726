#!/usr/bin/python3
"""The public vectors of image signatures, all of them, through `bulkhead image verify`.

Served by the set's own registry. The last line is "N passed, N failed". The set lies beside the
checkout; BH_SIGNATURES names another one of the same shape.
"""
import os
import pathlib
import sys

import image_lib
from image_lib import t


def vectors():
    root = pathlib.Path(t.SOURCE).resolve()
    place = os.environ.get("BH_SIGNATURES") or root.parent / "shared" / "vectors" / "signatures"
    return pathlib.Path(place)


def play(runner, directory):
    """Runs the set's runner with its output shown; returns its exit code."""
    p = t.spawn(["/usr/bin/python3", str(runner), os.path.join(t.BIN, "bulkhead"), str(directory)])
    return p.wait()


def found():
    directory = vectors()
    if not (directory / "vectors.json").is_file():
        sys.exit(f"the signature vectors are not there: {directory}; BH_SIGNATURES names them")
    return directory


if __name__ == "__main__":
    image_lib.enter()
    sys.exit(play(found() / "run.py", found()))

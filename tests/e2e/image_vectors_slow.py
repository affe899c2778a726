#!/usr/bin/python3
"""The same vectors, served slowly: every answer is late and comes in pieces. No verdict may change.

The set's runner takes its registry from its own folder, so it is run from a folder that has a slow
one in the place of the set's.
"""
import os
import pathlib
import sys

import image_lib
import image_vectors
from image_lib import t

SLOW = pathlib.Path(t.SOURCE) / "tests" / "fakes" / "slow_registry.py"


def main():
    directory = image_vectors.found()
    os.environ["BH_SLOW_SERVE"] = str(directory / "serve.py")
    image_lib.enter()
    folder = t.tempdir()
    os.symlink(directory / "run.py", os.path.join(folder, "run.py"))
    os.symlink(SLOW, os.path.join(folder, "serve.py"))
    return image_vectors.play(os.path.join(folder, "run.py"), directory)


if __name__ == "__main__":
    sys.exit(main())

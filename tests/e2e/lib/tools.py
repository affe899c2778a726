"""Real tools that tests drive, from where tests/fetch puts them; without one a test is skipped."""
import os
import subprocess

import testing

FETCH = os.path.join(testing.SOURCE, "tests/fetch")


def need(*names):
    """Call first, while the test still has the machine's network. Skips the test, with the names of
    what cannot be had."""
    subprocess.run([FETCH, *names], check=False)
    lacking = [name for name in names if not os.path.exists(path(name))]
    if lacking:
        testing.skip("tools that cannot be had: " + ", ".join(lacking))


def path(name):
    """The program of a tool."""
    return os.path.join(folder(), name)


def folder():
    """Where all programs are, under the names that tests/fetch gives them."""
    tools = os.environ.get("BH_TOOLS_DIR") or os.path.join(testing.SOURCE, "build/tools")
    return os.path.join(tools, "bin")

"""Counting checks and cleaning up, for every end-to-end test.

start() must come first: it moves the test into a mount namespace of its own, where /run/netns is
private. Whatever happens to the test, even SIGKILL, its named network namespaces and its bpffs go
away with it; its processes ask the kernel to end them with their parent.
"""
import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = os.environ.get("BH_SOURCE_DIR") or os.path.realpath(
    os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.environ.get("BH_BUILD_DIR") or os.path.join(SOURCE, "build")
BIN = os.path.join(BUILD, "bin")

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
INSIDE = "BH_E2E_INSIDE"
HANG_S = 400  # what takes so long hangs, on any machine; below the runner's limit for a test

_libc = ctypes.CDLL(None, use_errno=True)
_passed = 0
_failed = []
_cleanups = []
_at_end = []
_on_failure = []
_started = time.monotonic()


def die_with_parent():
    """For preexec_fn: the child does not outlive this process."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def spawn(argv, **kw):
    """A child that dies with us and is ended by the clean-up at the latest."""
    p = subprocess.Popen(argv, preexec_fn=die_with_parent, **kw)
    on_exit(lambda: end(p))
    return p


def end(p, grace=3):
    if p.poll() is not None:
        return
    p.terminate()
    try:
        p.wait(grace)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()


def run(*argv, check=True, **kw):
    """Runs a command to its end; stdout as text. A failure raises with what it said."""
    kw.setdefault("timeout", HANG_S)
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                       preexec_fn=die_with_parent, **kw)
    if check and r.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {r.returncode}: "
                           f"{r.stderr.strip() or r.stdout.strip()}")
    return r.stdout if check else r


def on_exit(fn):
    """fn runs at the end, last registered first, whatever happens."""
    _cleanups.append(fn)


def at_end(fn):
    """fn runs once all checks of the test are through, and may make checks of its own."""
    _at_end.append(fn)


def on_failure(fn):
    """fn returns text that helps to understand a failure; shown once, at the end."""
    _on_failure.append(fn)


def _clean():
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while _cleanups:
        with contextlib.suppress(Exception):
            _cleanups.pop()()
    _reap()


def _reap():
    """Ends and collects whatever children are left, also those of children that went away."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        with open(f"/proc/self/task/{os.getpid()}/children") as f:
            for child in f.read().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
        time.sleep(0.01)


def _stop(signo, _frame):
    """What is raised in Python's hooks around a fork, or while an object is freed, is ignored: so it
    comes again until the clean-up begins."""
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(128 + signo))
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    sys.exit(128 + signo)


def start(needs=()):
    """Call first. needs: files without which the test is skipped (exit 77)."""
    if os.geteuid():
        skip("needs root")
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              *sys.argv])
    del os.environ[INSIDE]  # so that a test may start another one
    for path in needs:
        if not os.path.exists(path):
            skip(f"needs {path}")
    sys.stdout.reconfigure(line_buffering=True)
    for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signo, _stop)
    atexit.register(_clean)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def tempdir():
    """A directory of this test, removed at the end."""
    path = tempfile.mkdtemp(prefix="bh-e2e.")
    on_exit(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


# ---- counting ----

def check(holds, name, detail=""):
    """One counted check. Returns whether it holds."""
    global _passed
    if callable(detail) and not holds:
        detail = detail()
    if holds:
        _passed += 1
        print(f"ok    {name}")
    else:
        _failed.append(name)
        print(f"FAIL  {name}{': ' + str(detail) if detail != '' else ''}")
    return bool(holds)


def equal(got, want, name):
    return check(got == want, name, f"got {got!r}, want {want!r}")


@contextlib.contextmanager
def part(name):
    """A part of the test; an exception fails it, and the next part goes on."""
    print(f"--- {name} ({time.monotonic() - _started:.1f} s)")
    try:
        yield
    except Exception as e:
        traceback.print_exc(file=sys.stdout)
        check(False, name, f"{type(e).__name__}: {e}")


def finish():
    """Prints the sum as the last line and ends the program."""
    while _at_end:
        fn = _at_end.pop(0)
        try:
            fn()
        except Exception as e:
            traceback.print_exc(file=sys.stdout)
            check(False, "what is looked at in the end", f"{type(e).__name__}: {e}")
    if _failed:
        for fn in _on_failure:
            with contextlib.suppress(Exception):
                print(fn())
        print("failed: " + "; ".join(_failed))
    _clean()
    print(f"{_passed} passed, {len(_failed)} failed")
    sys.exit(1 if _failed else 0)


def main(fn):
    """Runs fn and finishes; an exception that reaches us is one more failure."""
    try:
        fn()
    except Exception as e:
        traceback.print_exc(file=sys.stdout)
        check(False, "the test ran to its end", f"{type(e).__name__}: {e}")
    finish()


# ---- waiting ----

def wait_until(fn, timeout, what="condition", interval=0.01):
    """Polls fn until it is true; its value, or a TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(interval)

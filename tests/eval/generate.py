#!/usr/bin/python3
"""Makes a small set of system-call traces for the evaluation tool, in both shapes:

    generate.py OUT [SEED]

OUT/adfa: numbers, one trace per file, in ADFA-LD's directories. OUT/web and OUT/cache: names, one
call per line. Normal traces come from a service that starts, serves requests of several kinds and
now and then does something rare; attacks are other programs, a shell within the service, its own
calls in an order of their own, and a mimicry that dresses foreign calls in normal ones. The figures
it gives say that the code works, not how well it does on real attacks."""
import os
import random
import sys

NUMBERS = {name: n for n, name in enumerate(
    "read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction "
    "rt_sigprocmask ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap "
    "msync mincore madvise".split())}
MORE = ("socket connect accept sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname "
        "setsockopt clone fork execve exit wait4 kill fcntl fsync getdents getcwd chdir rename "
        "unlink chmod setuid ptrace dup2 epoll_wait epoll_ctl accept4 futex openat getrandom "
        "prctl sendfile nanosleep times umask").split()
NUMBERS.update({name: 100 + n for n, name in enumerate(MORE)})

REQUESTS = {
    "web": [
        (8, "epoll_wait accept4 fcntl epoll_ctl recvfrom openat fstat sendfile close write "
            "epoll_ctl close"),
        (4, "epoll_wait recvfrom openat fstat pread64 writev close write"),
        (2, "epoll_wait accept4 recvfrom stat socket connect sendto recvfrom close writev close"),
        (1, "epoll_wait recvfrom stat open fstat mmap writev munmap close write"),
    ],
    "cache": [
        (9, "epoll_wait read write epoll_wait"),
        (4, "epoll_wait read futex write futex"),
        (1, "epoll_wait accept4 setsockopt epoll_ctl read write"),
        (1, "clone openat write write fsync rename unlink close wait4"),
    ],
}
REQUESTS["mixed"] = REQUESTS["web"] + REQUESTS["cache"]
START = ("execve brk mmap access openat fstat mmap close openat read fstat mmap mprotect mmap close "
         "mprotect munmap brk openat fstat read close rt_sigaction rt_sigprocmask socket bind "
         "listen getrandom prctl umask clone").split()
RARE = ["openat read close", "rt_sigaction rt_sigprocmask", "wait4 clone", "rename openat fstat",
        "nanosleep times", "brk brk mmap munmap", "getdents getdents close"]
SHELL = ("dup2 dup2 execve brk mmap openat read mmap close fcntl ioctl getcwd fork wait4 read pipe "
         "clone wait4 getdents getdents chdir stat execve").split()
MINER = ("clone futex sched_yield futex nanosleep times connect sendto recvfrom futex madvise "
         "futex").split()
ROOT = "socket ioctl mmap mprotect clone ptrace prctl setuid chmod execve kill unlink".split()


def pick(rng, kinds):
    total = rng.randrange(sum(w for w, _ in kinds))
    for weight, calls in kinds:
        total -= weight
        if total < 0:
            return calls.split()


def normal(rng, service, requests=None):
    kinds = REQUESTS[service]
    # each replica is busy with other things
    kinds = [(1 + rng.randrange(2 * w + 1), c) for w, c in kinds]
    out = list(START) if rng.random() < 0.4 else []
    for _ in range(requests or rng.randrange(6, 80)):
        out += pick(rng, kinds)
        if rng.random() < 0.03:
            out += rng.choice(RARE).split()
        if rng.random() < 0.05:
            out.insert(rng.randrange(len(out)), "futex")
    return out


def program(rng, calls, n):
    out = []
    for _ in range(n):
        at = rng.randrange(len(calls))
        out += calls[at:at + rng.randrange(2, 7)]
    return out


def attack(rng, service):
    kind = rng.randrange(6)
    if kind == 0:
        return list(START) + program(rng, SHELL, rng.randrange(5, 30))
    if kind == 1:
        return program(rng, MINER, rng.randrange(10, 60))
    out = normal(rng, service)
    at = rng.randrange(len(out))
    if kind == 2:
        return out[:at] + program(rng, SHELL, rng.randrange(3, 8)) + out[at:]
    if kind == 3:
        return out[:at] + program(rng, ROOT, rng.randrange(2, 5)) + out[at:]
    if kind == 4:  # nothing but its own calls, in an order of their own
        own = [c for _, calls in REQUESTS[service] for c in calls.split()]
        return out[:at] + [rng.choice(own) for _ in range(rng.randrange(8, 30))] + out[at:]
    for call in program(rng, ROOT + SHELL, 4):  # mimicry: one at a time among normal ones
        out.insert(rng.randrange(len(out)), call)
    return out


def write(path, calls, as_numbers):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        if as_numbers:
            f.write(" ".join(str(NUMBERS[c]) for c in calls) + " \n")
        else:
            f.write("\n".join(calls) + "\n")


def main():
    out, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    parts = {"Training_Data_Master": (normal, 200), "Validation_Data_Master": (normal, 400),
             "Attack_Data_Master/Web_Shell_1": (attack, 150)}
    for part, (make, n) in parts.items():
        for i in range(n):
            write(f"{out}/adfa/{part}/UTD-{i:04}.txt", make(rng, "mixed"), True)
    for service in ("web", "cache"):
        for part, make, n in (("train", normal, 120), ("normal", normal, 200),
                              ("attack", attack, 100)):
            for i in range(n):
                write(f"{out}/{service}/{part}/{i:04}.log", make(rng, service), False)


if __name__ == "__main__":
    main()

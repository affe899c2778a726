#!/usr/bin/python3
"""Makes a small set of system-call traces for the evaluation tool, in both shapes:

    generate.py OUT [SEED]

OUT/adfa and OUT/hard: numbers, one trace per file, in ADFA-LD's directories. OUT/web and OUT/cache:
names, one call per line. OUT/flat: two recordings of a service, normal and under attack. Normal traces come from a service that starts, serves requests of several kinds and
now and then does something rare; attacks are other programs, a shell within the service, its own
calls in an order of their own, and a mimicry that dresses foreign calls in normal ones. In `hard`
many programs make the normal traces, some of which were updated after training or never trained
with, and half of the attacks walk along what was trained, three calls at a time. The figures
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


# ---- hard: many programs, drift, mimicry ----

def programs(rng, n):
    """Each knows some deeds of its own and shares a library's with the others."""
    names = sorted(NUMBERS)
    shared = [[rng.choice(names) for _ in range(rng.randrange(3, 7))] for _ in range(12)]
    return [[[rng.choice(names[i::3]) for _ in range(rng.randrange(3, 9))]
             for i in [rng.randrange(3)] for _ in range(rng.randrange(6, 14))] +
            rng.sample(shared, 5) for _ in range(n)]


def life(rng, deeds, n):
    out, weights = [], [rng.paretovariate(1) for _ in deeds]
    for deed in rng.choices(deeds, weights, k=n):
        out += deed
        if rng.random() < 0.1:  # it takes another turn within
            out[-1:] = rng.choice(deeds)
    return out


def updated(rng, deeds):
    """The next version: one deed in six begins with another call."""
    return [[rng.choice(sorted(NUMBERS))] + d[1:] if rng.random() < 0.17 else d for d in deeds]


def walk(rng, known, n):
    """Mimicry: every three calls in a row are some that were seen in a row."""
    out = list(rng.choice(sorted(known)))
    while len(out) < n:
        after = known.get(tuple(out[-2:]))
        out += [rng.choice(after)] if after else list(rng.choice(sorted(known)))
    return out


def hard(rng, out):
    known, world, strangers = {}, programs(rng, 14), programs(rng, 3)
    for i in range(250):
        calls = life(rng, rng.choice(world), rng.randrange(5, 90))
        for a, b, c in zip(calls, calls[1:], calls[2:]):
            known.setdefault((a, b), []).append(c)
        write(f"{out}/Training_Data_Master/UTD-{i:04}.txt", calls, True)
    for i in range(400):
        deeds = rng.choice(strangers if i % 25 == 0 else world)
        calls = life(rng, updated(rng, deeds) if i % 10 == 0 else deeds, rng.randrange(5, 90))
        write(f"{out}/Validation_Data_Master/UVD-{i:04}.txt", calls, True)
    for i in range(160):
        calls = life(rng, rng.choice(world), rng.randrange(5, 60))
        at = rng.randrange(len(calls))
        odd = walk(rng, known, rng.randrange(20, 60)) if i % 2 else \
            program(rng, rng.choice((SHELL, MINER, ROOT)), rng.randrange(3, 8))
        kind = ("Adduser_1", "Java_Meterpreter_2", "Web_Shell_10")[i % 3]
        write(f"{out}/Attack_Data_Master/{kind}/UAD-{i:04}-=1.txt", calls[:at] + odd + calls[at:],
              True)


def flat(rng, out):
    """One long recording each, as a tracer leaves it: no traces, DOS ends of lines, a head."""
    for what, make, n in (("normal", normal, 300), ("attack", attack, 80)):
        lines = ["# recorded from cache", ""]
        for _ in range(n):
            lines += make(rng, "cache")
        os.makedirs(out, exist_ok=True)
        with open(f"{out}/cache_{what}.log", "w", newline="") as f:
            f.write("\r\n".join(lines) + "\r\n")


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
    hard(rng, f"{out}/hard")
    flat(rng, f"{out}/flat")


if __name__ == "__main__":
    main()

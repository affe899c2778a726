#!/usr/bin/python3
"""Programs of Debian at their ordinary work in pods made through CNI: services that start, drop rights and
reload, just-in-time compilers, cron, log rotation, backups, packages installed while a container starts, a
busybox image, commands from outside. At most one finding about a workload, and none of high severity."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import testing
import tools
from container import Container, mount
from detect_deeds import STRICT, USUAL, findings
from node import Node
from testing import check, on_exit, part, tempdir, wait_until

NEEDED = ("nginx", "redis-server", "cron", "logrotate", "busybox", "luajit", "node", "gosu", "sudo",
          "ssh-keygen")
CERTIFICATE = ("mkdir -p /etc/ssl/private; openssl req -x509 -nodes -newkey rsa:2048 "
               "-keyout /etc/ssl/private/n.key -out /etc/ssl/n.crt -subj /CN=n 2> /dev/null; ")
NGINX = "pid /run/nginx.pid; user daemon; events {} http { access_log /tmp/a.log; server { listen 8080; } " \
        "server { listen 8443 ssl; ssl_certificate /etc/ssl/n.crt; ssl_certificate_key /etc/ssl/private/n.key; } }"
ROTATE = ("/var/log/app/*.log {\nrotate 3\nmissingok\ncompress\ncreate\npostrotate\ntrue\nendscript\n}\n")
# without the modules that want what no container has
PAM = "account sufficient pam_permit.so\nsession sufficient pam_permit.so\nauth sufficient pam_permit.so\n"
# a runtime that brings native code along, in the directory that it is told; then once more by itself
NATIVE = """#!/usr/bin/python3
import ctypes, os, shutil, sys, tempfile
if len(sys.argv) == 3:
    sys.exit(not ctypes.CDLL(sys.argv[2]))
f, name = tempfile.mkstemp(".so", "jna-", sys.argv[1])
shutil.copy("/usr/lib/x86_64-linux-gnu/libz.so.1", name)
p = os.fork() or os.execv("/usr/bin/python3", ["python3", sys.argv[0], sys.argv[1], name])
os.waitpid(p, 0)
ctypes.CDLL(name)
os.unlink(name)
"""
HOT = "var s = 0; for (var i = 0; i < 3e7; i++) s += i % 7; s"
WAIT = "i=0; while ! {} && [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done"

# what containers do while they start
STARTS = {
    "chown -R": "mkdir -p /var/lib/app; cp -r /etc/alternatives /var/lib/app; chown -R 12:12 /var/lib/app "
                "/usr/share/base-files; chown 12 /usr/bin/date; chmod 750 /usr/bin/uptime; date; uptime",
    "configuration": "sed s/a/b/ /etc/hosts > /etc/app.conf; mkdir -p /run/app; echo 1 > /run/app/pid; "
                     "ln -sf /proc/1/fd/1 /var/log/app.log; touch /etc/app.d; rm /etc/app.d",
    "a virtual environment": "python3 -m venv --without-pip /opt/venv; cp /usr/lib/python3.11/lib-dynload/_js*.so "
                             "/opt/venv/lib/python3.11/site-packages/; /opt/venv/bin/python -c 'import _json, ssl'",
    "node": f"node -e '{HOT}'",
    "luajit": "luajit -e 'local s = 0; for i = 1, 3e7 do s = s + i % 7 end'",
    "nginx": CERTIFICATE + "mkdir -p /var/lib/nginx /var/log/nginx; nginx -g 'daemon on;'; " + WAIT.format("nc -z 127.0.0.1 8080") +
             "; nginx -s reload; nc -z 127.0.0.1 8080; nginx -s quit",
    "redis": "mkdir -p /var/lib/redis; redis-server --dir /var/lib/redis --port 6379 --daemonize yes; " +
             WAIT.format("nc -z 127.0.0.1 6379") + "; printf 'SET a 1\\r\\nSAVE\\r\\nSHUTDOWN\\r\\n' | nc 127.0.0.1 6379",
    "dropping rights": "gosu daemon id; setpriv --reuid=12 --clear-groups id; su -s /bin/sh -c id daemon; "
                       "sudo -u daemon id; gosu daemon sh -c 'cd /tmp; mkdir db; echo x > db/a'",
    "host keys": "mkdir -p /etc/ssh; ssh-keygen -A; ssh-keygen -lf /etc/ssh/ssh_host_rsa_key.pub; "
                 "ssh-keygen -y -f /etc/ssh/ssh_host_rsa_key",
    "its token": "d=/run/secrets/kubernetes.io/serviceaccount; mkdir -p $d; echo t > $d/token; "
                 "python3 -c 'open(\"/run/secrets/kubernetes.io/serviceaccount/token\").read()'",
    "a script of its own": "printf '#!/bin/sh\\nexec sleep 0\\n' > /usr/local/bin/start; chmod +x /usr/local/bin/start; "
                           "/usr/local/bin/start",
    "a module": "python3 -m venv --without-pip /opt/venv; d=/opt/venv/lib/python3.11/site-packages/app; mkdir $d; "
                "echo 'print(1)' > $d/__main__.py; /opt/venv/bin/python -m app",
    "a tree of packages": "for i in $(seq 80); do mkdir -p /app/node_modules/p$i/lib; for j in 1 2 3; do "
                          "echo x=1 > /app/node_modules/p$i/lib/f$j.js; done; ln -s ../p$i/lib/f1.js /app/node_modules/l$i; "
                          "chmod 755 /app/node_modules/p$i/lib/f2.js; done; node -e 'require(\"/app/node_modules/p1/lib/f1\")'",
    "a user": "groupadd -g 4242 app; useradd -u 4242 -g 4242 -m app; chown -R app:app /home/app; "
              "su -s /bin/sh -c 'cd; echo x > y' app",
    "packages": "dpkg --force-all -i /srv/app.deb; ldconfig; app-tool",
    # what it brought starts more of that, in directories with random names
    "an application": "mkdir -p /opt/app/bin; cp /bin/true /opt/app/bin/tool; printf '#!/bin/sh\\n/opt/app/bin/tool; d=$(mktemp -d); "
                      "echo id > $d/x; sh $d/x; /opt/app/bin/tool\\n' > /opt/app/bin/run; chmod +x /opt/app/bin/run; "
                      "/opt/app/bin/run; /opt/app/bin/run",
    "copies of python": "python3 -m venv --without-pip --copies /opt/venv; /opt/venv/bin/python -c 'import os, ssl; os.system(\"id\")'",
    "a compiler": "mkdir /src; cd /src; echo 'int main(void) { return 0; }' > a.c; cc -o a a.c; ./a",
    "a tree of files": "for i in $(seq 70); do mkdir -p /opt/lib/p$i; for j in $(seq 50); do echo > /opt/lib/p$i/f$j; done; done; "
                       "printf '#!/bin/sh\\nid\\n' > /opt/lib/run; chmod +x /opt/lib/run; /opt/lib/run",
}
# what they do later
LATER = {
    "log rotation": "mkdir -p /var/log/app; echo x > /var/log/app/a.log; logrotate -f -s /tmp/state /etc/rotate.conf; "
                    "echo y > /var/log/app/a.log; logrotate -f -s /tmp/state /etc/rotate.conf",
    # a machine may have host keys, an image has not
    "a backup": "rm -f /etc/ssh/ssh_host_*; tar czf /tmp/backup.tgz /etc; gzip -t /tmp/backup.tgz; mv /tmp/backup.tgz /tmp/old.tgz",
    "node, later": f"node -e '{HOT}'",
    "luajit, later": "luajit -e 'local s = 0; for i = 1, 3e7 do s = s + i % 7 end'",
    "temporary files": "f=$(mktemp); echo x > $f; chmod 600 $f; sort $f; rm $f; python3 -c 'import tempfile; "
                       "tempfile.TemporaryFile().write(b\"x\")'",
    "health checks": "python3 -m http.server 8099 & p=$!; " + WAIT.format("nc -z 127.0.0.1 8099") +
                     "; curl -s http://127.0.0.1:8099/etc/hostname; kill $p",
    "copied and emptied logs": "mkdir -p /var/log/app; for i in 1 2 3; do echo x > /var/log/app/a.log; cp /var/log/app/a.log "
                               "/var/log/app/a.log.$i; : > /var/log/app/a.log; truncate -s 0 /var/log/app/a.log; done; "
                               "cd /var/log/app; rm a.log.1",
    "a build": "d=$(mktemp -d); echo 'a: ; @true' > $d/Makefile; make -s -C $d; rm -r $d",
    "data from files": "printf 'a b\\n' > /tmp/in; while read x y; do echo $y; done < /tmp/in; sort < /tmp/in; "
                       "awk '{ print $1 }' < /tmp/in; python3 -c 'import sys; sys.stdin.read()' < /tmp/in; "
                       "sed -i s/a/b/ /tmp/in; perl -pi -e s/b/c/ /tmp/in; echo true | sh",
    "an exporter": "echo x > /opt/settings; node_exporter /opt/settings",
    "configuration, later": "cd /etc; for i in 1 2; do echo $i > app.conf.tmp; mv app.conf.tmp app.conf; done; "
                            "ln -sfn app.conf current; mkdir -p /app/.git; echo x > /app/.git/config; cat /app/.git/config",
    "a database": "python3 -c 'import sqlite3; c = sqlite3.connect(\"/tmp/db\"); c.execute(\"pragma journal_mode=wal\"); "
                  "c.execute(\"create table t(a)\"); c.commit()'; rm /tmp/db*",
    "many short programs": "for i in $(seq 100); do /bin/true; done; seq 50 | xargs -n1 echo; "
                           "python3 -c 'import multiprocessing as m; m.get_context(\"fork\").Pool(4).map(abs, range(99))'",
    "commands of a program": "python3 -c 'import subprocess as s, socket; c = socket.socket(); c.setblocking(False); "
                             "c.connect_ex((\"198.51.100.99\", 5432)); "
                             "s.run([\"sh\", \"-c\", \"ls /\"], stdin=s.PIPE, stdout=s.PIPE); "
                             "s.run([\"bash\", \"--norc\", \"-c\", \"true\"], stdin=s.PIPE)'",
    "just in time": "python3 -c 'import ctypes, mmap; m = mmap.mmap(-1, 65536, 0x22, 7); m.write(b\"\\xc3\"); "
                    "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()'",
    "native code": "native /tmp; native /tmp",
    "native code in a volume": "native /srv",
    "native code in memory": "native /mnt",
    "questions": "dpkg -S /usr/bin/dpkg; dpkg --verify base-files; dpkg -l; apt-cache policy bash; ps aux; ss -ltn; df; mount; ip addr",
}


def filesystem():
    """Of its own: layers may not lie inside each other."""
    top = tempdir()
    mount("tmpfs", top, "tmpfs")
    on_exit(lambda: testing.run("umount", "-l", top, check=False))
    return top


def image(names=NEEDED):
    """The host's root file system below, these programs above it."""
    top = filesystem()
    for name in names:
        root = os.path.realpath(tools.path(name))
        while os.path.basename(os.path.dirname(root)) != os.path.basename(os.path.dirname(tools.folder())):
            root = os.path.dirname(root)
        for part_of, to in (("usr", "usr"), ("etc", "etc"), ("var", "var"), ("bin", "usr/bin"), ("sbin", "usr/sbin"),
                            ("lib", "usr/lib")):
            if name != "busybox" and os.path.isdir(os.path.join(root, part_of)):
                os.makedirs(os.path.join(top, to), exist_ok=True)
                testing.run("cp", "-a", "--remove-destination", os.path.join(root, part_of, "."),
                            os.path.join(top, to))
    os.chmod(os.path.join(top, "usr/bin/sudo"), 0o4755)
    shutil.copy("/bin/cat", os.path.join(top, "usr/bin/node_exporter"))
    server = os.path.join(top, "usr/bin/redis-server")
    if not os.path.exists(server):
        os.symlink("redis-check-rdb", server)
    for path, text in (("etc/nginx/nginx.conf", NGINX), ("etc/rotate.conf", ROTATE),
                       ("etc/cron.d/app", "* * * * * root sh -c 'date > /tmp/tick'\n"),
                       ("etc/pam.d/cron", PAM), ("usr/bin/native", NATIVE), ("etc/sudoers", "root ALL=(ALL:ALL) NOPASSWD: ALL\n")):
        os.makedirs(os.path.join(top, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(top, path), "w") as f:
            f.write(text)
        os.chmod(os.path.join(top, path), 0o440 if path == "etc/sudoers" else 0o755 if text.startswith("#!") else 0o644)
    return top


def tiny_image():
    """Nothing but busybox, as small images have it."""
    top = filesystem()
    for name in ("bin", "etc", "proc", "dev", "mnt", "srv", "tmp", "var/log", "run"):
        os.makedirs(os.path.join(top, name))
    shutil.copy(os.path.realpath(tools.path("busybox")), os.path.join(top, "bin/busybox"))
    for applet in ("sh", "ls", "cat", "mkdir", "chown", "sed", "date", "sleep", "id", "nc", "ps", "mount"):
        os.symlink("busybox", os.path.join(top, "bin", applet))
    with open(os.path.join(top, "etc/passwd"), "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\napp:x:12:12:app:/:/bin/sh\n")
    return top


def packages():
    """A volume with a package in it that brings a program, a library directory and scripts."""
    top = tempdir()
    root = os.path.join(top, "app")
    for path, text, mode in (("DEBIAN/control", "Package: app\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.example>\n"
                              "Description: a program\n", 0o644),
                             ("DEBIAN/postinst", "#!/bin/sh\nset -e\n/usr/bin/app-tool\nid\n", 0o755),
                             ("usr/bin/app-tool", "#!/bin/sh\ntrue\n", 0o755),
                             ("etc/cron.d/app2", "# nothing\n", 0o644)):
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(root, path), "w") as f:
            f.write(text)
        os.chmod(os.path.join(root, path), mode)
    testing.run("dpkg-deb", "--root-owner-group", "-b", root, os.path.join(top, "app.deb"))
    return top


def judge(node, pod, what):
    got = [f for f in findings(node, pod.name) if f[1] > 1]
    check(not [f for f in got if f[1] >= 4], f"{what}: nothing grave", got)
    check(len(got) <= 1, f"{what}: {len(got)} findings", got)


class Lives:
    def __init__(self, node):
        self.node, self.count = node, 0
        self.image, self.volume = image(), packages()

    def pod(self, what):
        self.count += 1
        return self.node.pod("life", f"life{self.count}", {"what": "".join(c for c in what if c.isalnum())})

    def live(self, what, text):
        pod = self.pod(what)
        box = Container(pod, lower=f"{self.image}:/", usual=True, volume=self.volume)
        status, out = box.sh(f"{{ {text}; }} 2>&1 < /dev/null")
        check(status == 0, f"{what}: works", out[:900])
        judge(self.node, pod, what)
        box.stop()


def tiny(node, lives):
    pod = lives.pod("busybox")
    box = Container(pod, lower=tiny_image(), first=("/bin/sh",), usual=True)
    status, out = box.sh("export PATH=/bin; mkdir -p /var/lib/app; chown -R 12:12 /var/lib/app; sed s/root/r/ "
                         "/etc/passwd > /etc/app.conf; id; ps; date > /tmp/x; cat /tmp/x")
    check(status == 0, "busybox: works", out)
    box.enter("/bin/ls", "/")
    judge(node, pod, "busybox")
    box.stop()


def from_outside(node, lives):
    pod = lives.pod("exec")
    box = Container(pod, lower=f"{lives.image}:/", usual=True)
    box.sh("python3 -m http.server 8099 > /dev/null 2>&1 & " + WAIT.format("nc -z 127.0.0.1 8099"))
    for argv in (("/bin/ls", "/"), ("/bin/sh", "-c", "date; ls /"), ("/bin/cat", "/etc/hostname"),
                 ("/usr/bin/curl", "-s", "-o", "/dev/null", "http://127.0.0.1:8099/etc/hostname")):
        box.enter(*argv)
    judge(node, pod, "commands from outside")
    box.stop()


def cron(node, lives):
    """Begun first, looked at last: its jobs come once a minute."""
    pod = lives.pod("cron")
    box = Container(pod, lower=f"{lives.image}:/", usual=True)
    check(box.sh("cron")[0] == 0, "cron: starts")

    def done():
        wait_until(lambda: os.path.exists(f"/proc/{box.pid}/root/tmp/tick"), 90, "a job of cron", 0.5)
        check(True, "cron: a job ran")
        judge(node, pod, "cron")
        box.sh("kill $(cat /run/crond.pid)")
        box.stop()

    return done


def main():
    node = Node(config=USUAL).start()
    lives = Lives(node)
    with part("while they start"):
        for what, text in STARTS.items():
            lives.live(what, text)
        tiny(node, lives)
    node.extra = STRICT
    node.write_config()
    node.restart()
    done = cron(node, lives)
    with part("later"):
        for what, text in LATER.items():
            lives.live(what, text)
        from_outside(node, lives)
    with part("cron"):
        done()


if __name__ == "__main__":
    if testing.INSIDE not in os.environ:
        tools.need(*NEEDED)
    testing.start()
    testing.main(main)

#!/usr/bin/python3
"""Ordinary lives whose start brings what runs later: a mail server with its helpers, supervised services in
/run, code that is fetched, an image that is built; and entry points that do one thing many times. At
most one finding about a workload, and none of high severity."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import benign
import testing
import tools
from container import Container
from node import Node
from testing import check, part

NEEDED = benign.NEEDED + ("postfix", "s6-svscan")
STARTUP_S = 45
MAIN = ("compatibility_level = 3.6\nmyhostname = life.example\ninet_protocols = ipv4\n"
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /etc/ssl/n.crt\nsmtpd_tls_key_file = /etc/ssl/private/n.key\n")
SERVICES = "mkdir -p {0}; cp -r /etc/s6/. {0}; s6-svscan {0} > /dev/null 2>&1 & " + benign.WAIT.format(
    "s6-svstat {0}/app | grep -q up") + "; s6-svstat {0}/app | grep up"
AGAIN = "s6-svc -r {0}/app; " + benign.WAIT.format("grep -q finished /tmp/finished") + "; rm /tmp/finished"
MAIL = ("python3 -c 'import smtplib; s = smtplib.SMTP(\"127.0.0.1\"); s.starttls(); "
        "s.sendmail(\"a@life.example\", [\"daemon@life.example\"], \"Subject: x\")'")
CALL = "python3 -c 'import ctypes; ctypes.CDLL(None).{}'"

# what they do while they start; what they do when that is over
LIVES = {
    "a mail server": (
        "groupadd -r postdrop; useradd -r -U postfix; cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf; "
        "sed -i -E '/(smtpd|cleanup|qmgr|pickup|tlsmgr)$/s/^(\\S+ +\\S+ +\\S+ +\\S+ +)n/\\1y/' "
        "/etc/postfix/master.cf; "
        f"printf '{MAIN}' > /etc/postfix/main.cf; mkdir -p /var/spool/postfix /var/lib/postfix; chown postfix "
        "/var/lib/postfix; touch /etc/aliases; newaliases; " + benign.CERTIFICATE + "postfix start; " +
        benign.WAIT.format("nc -z 127.0.0.1 25"),
        f"{MAIL} && {MAIL} && postqueue -f && postfix reload && postfix stop"),
    "services in /run": (SERVICES.format("/run/service"), AGAIN.format("/run/service")),
    "services in memory": (SERVICES.format("/mnt/service"), AGAIN.format("/mnt/service")),
    "fetched code": ("mkdir -p /code/tools; echo 'print(1)' > /code/main.py; echo 'print(2)' > /code/tools/x.py; "
                     "printf '#!/bin/sh\\nid\\n' > /code/tools/y; chmod 755 /code/tools/y; python3 /code/main.py",
                     "python3 /code/tools/x.py; /code/tools/y"),
    "an image": ("dpkg --force-all -i /srv/app.deb; rm -rf /var/log/*tmp /var/log/lastlog",
                 "mkdir -p /usr/src/a; cd /usr/src/a; echo 'int main(void) { return 0; }' > a.c; "
                 "printf '#!/bin/sh\\ncc -o conftest a.c && ./conftest\\n' > configure; chmod 755 configure; ./configure; "
                 "cp conftest /tmp/conftest; /tmp/conftest; install conftest /usr/local/bin/a; a; ln -s a /usr/local/bin/b; "
                 "chmod u+s /usr/local/bin/a; echo '* * * * * root a' > /etc/cron.d/a; for f in a b c; do echo > /var/log/$f.log; "
                 "done; rm -rf /var/log/* /usr/src/a; useradd -m app; ldconfig"),
    "a compiled program": ("cd /tmp; echo 'int main(void) { return 0; }' > a.c; cc -o a a.c; ./a",
                           "mkdir /tmp/d; cd /tmp/d; cc -o conftest ../a.c; ./conftest"),
    "many jobs": ("echo '* * * * * date' | crontab -; crontab -u daemon /etc/jobs; echo '* * * * * root ls' >> /etc/crontab; "
                  "echo '* * * * * root id' > /etc/cron.d/one", "crontab -l"),
    "an allocator": ("export LD_PRELOAD=libm.so.6; id; mkdir -p /tmp/pids; python3 -c 1; date", "id"),
    "an allocator, later": ("true", "export LD_PRELOAD=libm.so.6; id; mkdir -p /tmp/pids; python3 -c 1; date"),
    "titles": (CALL.format("prctl(15, b\"[celeryd: worker@life:MainProcess]\", 0, 0, 0)"),
               CALL.format("prctl(15, b\"[celery beat: x]\", 0, 0, 0)")),
    "users": ("useradd -m app; chsh -s /bin/bash app; chfn -f A app; whose root", "whose app; userdel app"),
    "a mesh": ("iptables-restore < /dev/null; ip6tables-restore < /dev/null; iptables-save; true", "true"),
    "tables of its own": ("true", CALL.format("unshare(0x600)")),
    "copies": ("true", "tar cf /tmp/x.tar -C /etc hostname hosts; tar xmf /tmp/x.tar -C /tmp; mkdir /tmp/new; "
                       "ln -s new /tmp/..data; ln -s newer /tmp/..tmp; mv -T /tmp/..tmp /tmp/..data"),
}


def image():
    top = benign.image(NEEDED)
    for path, text in (("etc/s6/app/run", "#!/bin/sh\nexec sleep 600\n"),
                       ("etc/s6/app/finish", "#!/bin/sh\necho finished > /tmp/finished\n"),
                       ("usr/bin/whose", "#!/usr/bin/perl\nprint((getpwnam($ARGV[0]))[7])\n"),
                       ("etc/jobs", "* * * * * date\n")):
        os.makedirs(os.path.join(top, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(top, path), "w") as f:
            f.write(text)
        os.chmod(os.path.join(top, path), 0o755 if text.startswith("#!") else 0o644)
    return top


class Life:
    def __init__(self, node, number, what, lower, volume):
        self.what = what
        self.pod = node.pod("life", f"life{number}", {"number": str(number)})
        self.box = Container(self.pod, lower=f"{lower}:/", usual=True, volume=volume)
        self.since = time.monotonic()

    def do(self, when, text):
        status, out = self.box.sh("{ " + text + "\n} 2>&1 < /dev/null")
        check(status == 0, f"{self.what}, {when}: works", out[-900:])


def main():
    node = Node(config={"runtime": {"mode": "watch", "startup": f"{STARTUP_S}s"}}).start()
    lower = image()
    lives = []
    with part("their starts"):
        for number, (what, (text, _)) in enumerate(LIVES.items()):
            lives.append(Life(node, number, what, lower, benign.packages()))
            lives[-1].do("at the start", text)
    with part("later"):
        for life in lives:
            time.sleep(max(0, life.since + STARTUP_S + 1 - time.monotonic()))
            life.do("later", LIVES[life.what][1])
            benign.judge(node, life.pod, life.what)
            life.box.stop()


if __name__ == "__main__":
    if testing.INSIDE not in os.environ:
        tools.need(*NEEDED)
    testing.start()
    testing.main(main)

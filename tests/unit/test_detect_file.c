/* Detectors that look at files: each provoked, and its benign twin silent. */
#include "detect_rig.h"

#include <string.h>

#include "base/own.h"

struct row {
	enum bh_file_op op;
	const char *who, *path, *target;
	uint32_t mode;
	bool is_truncated;
	const char *detector; /* NULL: nobody may say anything */
	enum bh_severity severity;
};

#define HIGH   BH_SEVERITY_HIGH
#define MEDIUM BH_SEVERITY_MEDIUM
#define W      BH_FILE_WRITE
#define TOKEN  "/run/secrets/kubernetes.io/serviceaccount/..data/token"

/* clang-format off */
static const struct row rows[] = {
	{W, "/usr/bin/cp", "/usr/bin/ls", "", 0, false, "system-write", MEDIUM},
	{BH_FILE_RENAME, "/usr/bin/mv", "/tmp/x", "/usr/lib/x86_64-linux-gnu/libc.so.6", 0, false, "system-write", MEDIUM},
	{BH_FILE_LINK, "/usr/bin/ln", "/tmp/x", "/usr/local/bin/x", 0, false, "system-write", MEDIUM},
	{W, "/usr/bin/python3.11", "/usr/lib/python3/dist-packages/__pycache__/a.pyc", "", 0, false, NULL, 0},
	{W, "/usr/bin/dpkg", "/usr/bin/x.dpkg-new", "", 0, false, NULL, 0},
	{W, "/usr/sbin/nginx", "/var/lib/nginx/body", "", 0, false, NULL, 0},
	{W, "/bin/sh", "/etc/ld.so.preload", "", 0, false, "preload-file", HIGH},
	{BH_FILE_RENAME, "/bin/mv", "/tmp/a", "/etc/ld.so.preload", 0, false, "preload-file", HIGH},
	{W, "/sbin/ldconfig", "/etc/ld.so.cache~", "", 0, false, NULL, 0},
	{W, "/bin/sh", "/etc/cron.d/x", "", 0, false, "cron", MEDIUM},
	{BH_FILE_RENAME, "/usr/bin/crontab", "/var/spool/cron/crontabs/tmp.1", "/var/spool/cron/crontabs/root", 0, false, "cron", MEDIUM},
	{BH_FILE_CREATE, "/usr/bin/at", "/var/spool/atjobs/a0001", "", 0, false, "cron", MEDIUM},
	{W, "/usr/sbin/cron", "/run/crond.pid", "", 0, false, NULL, 0},
	{W, "/usr/sbin/anacron", "/var/spool/anacron/cron.daily", "", 0, false, NULL, 0},
	{BH_FILE_CHMOD, "/bin/chmod", "/opt/x", "", 0104755, false, "setuid-bit", HIGH},
	{BH_FILE_CHMOD, "/bin/chmod", "/opt/x", "", 0102755, false, "setuid-bit", HIGH},
	{BH_FILE_CHMOD, "/bin/chmod", "/var/log/app", "", 0042775, false, NULL, 0},
	{BH_FILE_CHMOD, "/bin/chmod", "/opt/x", "", 0100755, false, NULL, 0},
	{W, "/bin/sh", "/sys/fs/cgroup/rdma/release_agent", "", 0, false, "kernel-file", HIGH},
	{W, "/bin/sh", "/proc/sys/kernel/core_pattern", "", 0, false, "kernel-file", HIGH},
	{BH_FILE_READ, "/bin/cat", "/proc/sys/kernel/core_pattern", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/dd", "/dev/mem", "", 0, false, "kernel-file", HIGH},
	{W, "/bin/sh", "/proc/sys/net/core/somaxconn", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/proc/1/root/etc/passwd", "", 0, false, "host-root", MEDIUM},
	{W, "/usr/sbin/nginx", "/proc/1/fd/1", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/app", "/proc/417/root/etc/passwd", "", 0, false, "host-root", MEDIUM},
	{BH_FILE_READ, "/bin/app", "/proc/417/cwd/x", "", 0, false, "host-root", MEDIUM},
	{BH_FILE_CHANGE, "/bin/mkdir", "/etc/cron.d/x", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/usr/bin/curl", "/var/run/docker.sock", "", 0, false, "runtime-socket", HIGH},
	{BH_FILE_READ, "/usr/bin/x", "/run/containerd/containerd.sock", "", 0, false, "runtime-socket", HIGH},
	{BH_FILE_READ, "/usr/bin/x", "/run/mysqld/mysqld.sock", "", 0, false, NULL, 0},
	{BH_FILE_UNLINK, "/bin/rm", "/sys/fs/bpf/bulkhead/flow", "", 0, false, "own-pins", HIGH},
	{BH_FILE_UNLINK, "/bin/rm", "/root/.bash_history", "", 0, false, "history", MEDIUM},
	{BH_FILE_LINK, "/bin/ln", "/dev/null", "/root/.bash_history", 0, false, "history", MEDIUM},
	{BH_FILE_WRITE, "/bin/bash", "/root/.bash_history", "", 0, false, NULL, 0},
	{BH_FILE_RENAME, "/bin/bash", "/root/.bash_history-1.tmp", "/root/.bash_history", 0, false, NULL, 0},
	{BH_FILE_UNLINK, "/bin/rm", "/var/log/wtmp", "", 0, false, "logs", MEDIUM},
	{W, "/bin/sh", "/var/log/auth.log", "", 0, true, "logs", MEDIUM},
	{BH_FILE_RENAME, "/usr/sbin/logrotate", "/var/log/wtmp", "/var/log/wtmp.1", 0, false, NULL, 0},
	{BH_FILE_UNLINK, "/usr/sbin/logrotate", "/var/log/syslog.7.gz", "", 0, false, NULL, 0},
	{W, "/usr/sbin/logrotate", "/var/log/app.log", "", 0, true, NULL, 0},
	{BH_FILE_UNLINK, "/bin/gzip", "/var/log/app.log.1", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", TOKEN, "", 0, false, "token-read", MEDIUM},
	{BH_FILE_READ, "/bin/busybox", TOKEN, "", 0, false, "token-read", MEDIUM},
	{BH_FILE_READ, "/usr/bin/controller", TOKEN, "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/root/.ssh/id_ed25519", "", 0, false, "ssh-key", MEDIUM},
	{BH_FILE_READ, "/usr/sbin/sshd", "/etc/ssh/ssh_host_rsa_key", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/usr/bin/git", "/root/.ssh/id_ed25519", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/root/.ssh/id_ed25519.pub", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/srv/app/.ssh/deploy", "", 0, false, "ssh-key", MEDIUM},
	{BH_FILE_READ, "/usr/bin/ssh", "/srv/app/.ssh/deploy", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/root/.ssh/known_hosts.old", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/root/.ssh/config.d", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/base64", "/etc/ssl/private/site", "", 0, false, "ssh-key", MEDIUM},
	{BH_FILE_READ, "/usr/sbin/nginx", "/etc/ssl/private/site.key", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/etc/nginx/tls/tls.key", "", 0, false, "ssh-key", MEDIUM},
	{BH_FILE_READ, "/bin/cat", "/etc/nginx/tls/tls.crt", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/bin/cat", "/etc/shadow", "", 0, false, "shadow", MEDIUM},
	{BH_FILE_READ, "/usr/sbin/unix_chkpwd", "/etc/shadow", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/usr/bin/strings", "/proc/17/environ", "", 0, false, "environ", MEDIUM},
	{BH_FILE_READ, "/usr/bin/app", "/proc/4000/environ", "", 0, false, NULL, 0},
	{BH_FILE_READ, "/usr/bin/ps", "/proc/17/environ", "", 0, false, NULL, 0},
};
/* clang-format on */

static void feed_row(struct rig *r, const struct row *row)
{
	struct bh_activity a = rig_act(r, BH_ACT_FILE, row->who);

	a.u.file = (struct bh_act_file){.op = row->op,
					.path = row->path,
					.target = row->target,
					.mode = row->mode,
					.is_truncated = row->is_truncated};
	rig_feed(r, &a);
}

static void test_rows(void **state)
{
	struct rig r;
	size_t i;

	(void)state;
	rig_init(&r, 600);
	for (i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		feed_row(&r, &rows[i]);
		if (rows[i].detector)
			rig_expect(&r, rows[i].detector, rows[i].severity);
		else
			rig_expect_silent(&r);
	}
	rig_done(&r);
}

/* What the image's own start-up does weighs less, what an intruder's child does weighs more. */
static void test_weight_of_who(void **state)
{
	const struct row cron = {W, "/bin/sh", "/etc/cron.d/x", "", 0, false, "cron", MEDIUM};
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	feed_row(&r, &cron);
	rig_expect(&r, "cron", BH_SEVERITY_LOW);
	rig_done(&r);

	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/bash");
	a.process.stdio[0] = BH_STDIO_INET;
	a.process.exec_id = 50;
	rig_feed(&r, &a);
	rig_clear(&r);
	a = rig_act(&r, BH_ACT_FILE, "/bin/bash");
	a.process.exec_id = 50;
	a.u.file = (struct bh_act_file){.op = W, .path = "/etc/cron.d/x", .target = ""};
	rig_feed(&r, &a);
	rig_expect(&r, "cron", BH_SEVERITY_HIGH);
	/* its child too, by lineage */
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/tee");
	a.process.exec_id = 51;
	a.process.parent_exec_id = 50;
	rig_feed(&r, &a);
	rig_clear(&r);
	a = rig_act(&r, BH_ACT_FILE, "/usr/bin/tee");
	a.process.exec_id = 51;
	a.u.file = (struct bh_act_file){.op = W, .path = "/var/spool/cron/x", .target = ""};
	rig_feed(&r, &a);
	rig_expect(&r, "cron", BH_SEVERITY_HIGH);
	rig_done(&r);
}

/* By another mount a file has another path, and who knows either one is told. */
static void test_two_paths(void **state)
{
	static const struct {
		enum bh_file_op op;
		const char *path, *target, *place[2];
		const char *detector;
	} both[] = {
		{W, "/mnt/job", "", {"/etc/cron.d/job", ""}, "cron"},
		{W, "/etc/cron.d/job", "", {"/srv/data/job", ""}, "cron"},
		{BH_FILE_RENAME, "/mnt/x", "/mnt/job", {"/etc/x", "/etc/cron.d/job"}, "cron"},
		{BH_FILE_RENAME, "/tmp/x", "/mnt/job", {"", "/etc/cron.d/job"}, "cron"},
		{BH_FILE_RENAME, "/mnt/job", "/tmp/x", {"/etc/cron.d/job", NULL}, NULL},
		{W, "/mnt/job", "", {"/srv/etc/cron.d/job", NULL}, NULL},
	};
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	for (size_t i = 0; i < BH_ARRAY_SIZE(both); i++) {
		struct bh_activity a = rig_act(&r, BH_ACT_FILE, "/bin/sh");

		a.u.file = (struct bh_act_file){.op = both[i].op,
						.path = both[i].path,
						.target = both[i].target,
						.place = {both[i].place[0], both[i].place[1]}};
		rig_feed(&r, &a);
		if (both[i].detector)
			rig_expect(&r, both[i].detector, MEDIUM);
		else
			rig_expect_silent(&r);
	}
	rig_done(&r);
}

static void test_runtime_is_not_the_pod(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 0);
	a = rig_act(&r, BH_ACT_MOUNT, "/usr/bin/runc");
	a.process.flags = BH_PROC_RUNTIME | BH_PROC_FROM_OUTSIDE;
	a.u.mount.source = "proc";
	a.u.mount.target = "/proc";
	a.u.mount.type = "proc";
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.process.flags = 0;
	rig_feed(&r, &a);
	rig_expect(&r, "mount", HIGH);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_weight_of_who),
		cmocka_unit_test(test_two_paths),
		cmocka_unit_test(test_runtime_is_not_the_pod),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

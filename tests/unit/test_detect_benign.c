/* Whole stories of ordinary containers: at most one finding a day, and none of it grave. And what
 * must hold of findings whatever happens: counted, bounded, never muted. */
#include "detect_rig.h"

static size_t raised_above_info(const struct rig *r)
{
	size_t i, n = 0;

	for (i = 0; i < r->n_found; i++)
		n += r->found[i].is_raised && r->found[i].severity > BH_SEVERITY_INFO;
	return n;
}

static void expect_benign(struct rig *r, size_t at_most)
{
	size_t i;

	for (i = 0; i < r->n_found && raised_above_info(r) > at_most; i++)
		print_error("%s: %s\n", r->found[i].detector->name, r->found[i].text);
	assert_true(raised_above_info(r) <= at_most);
	assert_true(rig_worst(r) < BH_SEVERITY_HIGH);
}

static void begin(struct rig *r, const char *init)
{
	struct bh_activity a;

	rig_init(r, 0);
	a = rig_act(r, BH_ACT_START, init);
	a.u.start.is_rootfs_writable = true;
	rig_feed(r, &a);
	a = rig_act(r, BH_ACT_EXEC, init);
	rig_args(r, &a, init);
	a.process.flags = BH_PROC_CONTAINER_INIT | BH_PROC_FROM_OUTSIDE;
	a.process.exec_id = 1;
	a.process.uid = 0;
	a.parent.uid = 0;
	rig_feed(r, &a);
}

static void listen_on(struct rig *r, const char *who, uint64_t exec_id)
{
	struct bh_activity a = rig_act(r, BH_ACT_LISTEN, who);

	a.process.exec_id = exec_id;
	a.u.listen.proto = 6;
	a.u.listen.port = 80;
	rig_feed(r, &a);
}

/* An entry script that chowns, writes its configuration and hands over to the service. */
static void test_start_with_chown(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	begin(&r, "/bin/sh");
	rig_exec(&r, "/bin/chown -R app /var/lib/app /usr/sbin/app");
	rig_exec(&r, "/usr/bin/envsubst");
	rig_file(&r, BH_FILE_WRITE, "/usr/bin/envsubst", "/etc/app/app.conf");
	rig_file(&r, BH_FILE_WRITE, "/bin/sh", "/run/app.pid");
	a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/app");
	a.process.exec_id = 30;
	a.process.provenance = BH_PROV_METACOPY;
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_SETID, "/usr/sbin/app");
	a.u.setid.new_uid = 33;
	a.u.setid.had_right = true;
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_MAP_EXEC, "/usr/sbin/app");
	a.u.map.path = "/usr/lib/libapp.so";
	a.u.map.provenance = BH_PROV_METACOPY;
	rig_feed(&r, &a);
	listen_on(&r, "/usr/sbin/app", 30);
	expect_benign(&r, 0);
	rig_done(&r);
}

/* python -m venv, pip install, then the service from it, for a day. */
static void test_venv(void **state)
{
	struct bh_activity a;
	struct rig r;
	int i;

	(void)state;
	begin(&r, "/bin/sh");
	rig_exec(&r, "/usr/bin/python3.11 -m venv /opt/venv");
	rig_file(&r, BH_FILE_LINK, "/usr/bin/python3.11", "/opt/venv/bin/python");
	rig_file(&r, BH_FILE_CREATE, "/usr/bin/python3.11", "/opt/venv/bin/pip");
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/python3.11");
	a.process.script = "/opt/venv/bin/pip";
	a.process.script_provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_file(&r, BH_FILE_CREATE, "/usr/bin/python3.11",
		 "/opt/venv/lib/python3.11/site-packages/x.cpython-311.so");
	r.now_ns += 300 * S; /* pip took its time */
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/python3.11");
	a.process.script = "/opt/venv/bin/gunicorn";
	a.process.script_provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	for (i = 0; i < 24; i++) {
		r.now_ns += 3600 * S;
		a = rig_act(&r, BH_ACT_MAP_EXEC, "/usr/bin/python3.11");
		a.u.map.path = "/opt/venv/lib/python3.11/site-packages/x.cpython-311.so";
		a.u.map.provenance = BH_PROV_NEW;
		rig_feed(&r, &a);
	}
	expect_benign(&r, 1);
	rig_done(&r);
}

static void test_jit(void **state)
{
	static const char *const paths[] = {"/memfd:doublemapper (deleted)", "/tmp/ffiXX (deleted)",
					    "/dev/shm/sljit (deleted)"};
	static const enum bh_provenance from[] = {BH_PROV_MEMFD, BH_PROV_NEW, BH_PROV_TMPFS};
	struct bh_activity a;
	struct rig r;
	int i;

	(void)state;
	begin(&r, "/usr/bin/dotnet");
	r.now_ns += 600 * S;
	for (i = 0; i < 3; i++) {
		a = rig_act(&r, BH_ACT_MAP_EXEC, "/usr/bin/dotnet");
		a.u.map.path = paths[i];
		a.u.map.provenance = from[i];
		a.u.map.is_shared = true;
		a.u.map.is_writable = i == 1;
		rig_feed(&r, &a);
		a = rig_act(&r, BH_ACT_MEMFD, "/usr/bin/dotnet");
		a.u.name = "doublemapper";
		rig_feed(&r, &a);
	}
	expect_benign(&r, 0);
	rig_done(&r);
}

static void rotate(struct rig *r, const char *from, const char *to)
{
	struct bh_activity a = rig_act(r, BH_ACT_FILE, "/usr/sbin/logrotate");

	a.u.file = (struct bh_act_file){.op = BH_FILE_RENAME, .path = from, .target = to};
	rig_feed(r, &a);
}

/* An image with cron: the daemon, its hourly jobs, log rotation. */
static void test_cron_and_rotation(void **state)
{
	struct rig r;
	int i;

	(void)state;
	begin(&r, "/usr/sbin/cron");
	rig_file(&r, BH_FILE_WRITE, "/usr/sbin/cron", "/run/crond.pid");
	for (i = 0; i < 24; i++) {
		r.now_ns += 3600 * S;
		rig_exec(&r, "/bin/sh -c cd / && run-parts --report /etc/cron.hourly");
		rig_exec(&r, "/bin/run-parts --report /etc/cron.hourly");
		rig_exec(&r, "/usr/sbin/logrotate /etc/logrotate.conf");
		rotate(&r, "/var/log/wtmp", "/var/log/wtmp.1");
		rotate(&r, "/var/log/app/access.log", "/var/log/app/access.log.1");
		rig_file(&r, BH_FILE_CREATE, "/usr/sbin/logrotate", "/var/log/app/access.log");
		rig_exec(&r, "/usr/bin/gzip");
		rig_file(&r, BH_FILE_UNLINK, "/usr/sbin/logrotate", "/var/log/app/access.log.9.gz");
		rig_file(&r, BH_FILE_READ, "/usr/sbin/cron", "/etc/shadow");
	}
	expect_benign(&r, 0);
	rig_done(&r);
}

/* Debian's and Alpine's start, probes, kubectl exec ls. */
static void test_start_and_probes(void **state)
{
	static const char *const words[] = {"/bin/sh /docker-entrypoint.sh nginx -g",
					    "/usr/bin/find /docker-entrypoint.d",
					    "/usr/bin/sort -V",
					    "/bin/busybox sh /entrypoint.sh",
					    "/usr/bin/id -u",
					    "/usr/sbin/nginx -g",
					    "/usr/bin/dpkg-query -W nginx",
					    "/usr/bin/md5sum -c",
					    "/usr/bin/tr -d x",
					    "/usr/bin/cut -d= -f2",
					    "/bin/sed -i -E s,x,y, /etc/nginx/x"};
	struct bh_activity a;
	struct rig r;
	size_t i;

	(void)state;
	begin(&r, "/bin/sh");
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		rig_exec(&r, words[i]);
	listen_on(&r, "/usr/sbin/nginx", 40);
	for (i = 0; i < 100; i++) {
		r.now_ns += 10 * S;
		a = rig_act(&r, BH_ACT_EXEC, "/bin/sh");
		rig_args(&r, &a, "sh -c pg_isready");
		a.process.flags = BH_PROC_FROM_OUTSIDE;
		a.process.uid = 0;
		rig_feed(&r, &a);
		a = rig_act(&r, BH_ACT_EXEC, "/bin/ls");
		rig_args(&r, &a, "ls /");
		a.process.flags = BH_PROC_FROM_OUTSIDE;
		a.process.stdio[0] = BH_STDIO_PIPE;
		rig_feed(&r, &a);
	}
	expect_benign(&r, 0);
	rig_done(&r);
}

/* ---- what holds of all findings ---- */

static void test_one_bad_exec_in_a_fork_bomb(void **state)
{
	struct bh_activity a;
	struct rig r;
	unsigned i;

	(void)state;
	begin(&r, "/usr/sbin/app");
	r.now_ns += 600 * S;
	for (i = 0; i < 20000; i++) {
		rig_exec(&r, "/bin/true");
		if (i != 12345)
			continue;
		a = rig_act(&r, BH_ACT_EXEC, "/tmp/x");
		a.process.provenance = BH_PROV_NEW;
		rig_feed(&r, &a);
	}
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	rig_done(&r);
}

static int add_count(const struct bh_found *f, void *arg)
{
	*(uint64_t *)arg += f->count;
	assert_true(f->count > 0 && f->first_ns <= f->last_ns && *f->key);
	return 0;
}

/* A pod cannot make the daemon grow, nor get lost among its own findings. */
static void test_bounds(void **state)
{
	struct bh_detect_stats stats;
	struct bh_activity a;
	char path[64];
	uint64_t sum = 0;
	struct rig r;
	unsigned i;

	(void)state;
	rig_init(&r, 600);
	for (i = 0; i < 20000; i++) {
		/* letters: digits fall together by themselves */
		snprintf(path, sizeof(path), "/tmp/%c%c%c%c", 'a' + i % 26, 'a' + i / 26 % 26,
			 'a' + i / 676 % 26, 'a' + i / 17576);
		a = rig_act(&r, BH_ACT_EXEC, path);
		a.process.provenance = BH_PROV_NEW;
		r.subject.pod_id = 7 + i % 5000;
		rig_feed(&r, &a);
		r.n_found = 0;
	}
	bh_detect_each(r.d, add_count, &sum);
	bh_detect_stats(r.d, &stats);
	assert_int_equal(sum, 20000);
	assert_int_equal(stats.findings, 20000);
	assert_true(stats.raised < 1000);
	assert_true(stats.n_pods <= 2048);
	assert_true(stats.bytes < 4u << 20);
	rig_done(&r);
}

static void test_graver_is_told_again(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	a = rig_act(&r, BH_ACT_EXEC, "/dev/shm/x");
	a.process.provenance = BH_PROV_TMPFS;
	rig_feed(&r, &a);
	rig_feed(&r, &a);
	assert_false(r.found[r.n_found - 1].is_raised);
	rig_expect(&r, "tmpfs-exec", BH_SEVERITY_MEDIUM);
	assert_true(bh_detect_pod_is_suspect(r.d, 7));
	bh_detect_pod_gone(r.d, 7);
	assert_false(bh_detect_pod_is_suspect(r.d, 7));
	/* the next replica, long after its start: same workload and key */
	r.subject.pod_id = 8;
	r.subject.pod_start_ns = 1;
	a.ts_ns += 3600 * S;
	rig_feed(&r, &a);
	assert_true(rig_found(&r, "tmpfs-exec")->is_raised);
	assert_false(rig_found(&r, "tmpfs-exec")->is_new);
	assert_int_equal(rig_found(&r, "tmpfs-exec")->count, 3);
	rig_expect(&r, "tmpfs-exec", BH_SEVERITY_HIGH);
	rig_done(&r);
}

/* A container brings an application and builds it: one finding, and what that does is no
 * intruder's; what comes later is another matter. */
static void test_unpacked(void **state)
{
	struct bh_activity a, b;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	a = rig_act(&r, BH_ACT_EXEC, "/opt/venv/bin/tool");
	a.process.provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_expect(&r, "foreign-code", BH_SEVERITY_MEDIUM);
	/* what it starts in a directory with a random name */
	b = rig_act(&r, BH_ACT_EXEC, "/usr/bin/python3");
	b.process.parent_exec_id = b.parent.exec_id = a.process.exec_id;
	b.process.script = "/tmp/pip-x81h/setup.py";
	b.process.script_provenance = BH_PROV_NEW;
	rig_feed(&r, &b);
	assert_false(rig_found(&r, "foreign-code")->is_raised);
	rig_clear(&r);
	b = rig_act(&r, BH_ACT_FILE, "/opt/venv/bin/tool");
	b.process.exec_id = a.process.exec_id;
	b.u.file = (struct bh_act_file){.op = BH_FILE_READ,
					.path = "/run/secrets/kubernetes.io/serviceaccount/token",
					.target = ""};
	rig_feed(&r, &b);
	rig_expect_silent(&r);
	r.now_ns += 3600 * S;
	a = rig_act(&r, BH_ACT_EXEC, "/tmp/late");
	a.process.provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	rig_done(&r);
}

/* Every row is complete, and no two have one name. */
static void test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < bh_n_detectors; i++) {
		const struct bh_detector *d = &bh_detectors[i];

		assert_ptr_equal(bh_detector_find(d->name), d);
		assert_true(d->acts && d->on && *d->title);
		assert_int_equal(d->attack[0][0], 'T');
		assert_true(d->severity >= BH_SEVERITY_INFO);
		assert_int_equal(d->response, BH_RESPOND_ALERT);
	}
	assert_null(bh_detector_find("nothing"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_with_chown),
		cmocka_unit_test(test_venv),
		cmocka_unit_test(test_jit),
		cmocka_unit_test(test_cron_and_rotation),
		cmocka_unit_test(test_start_and_probes),
		cmocka_unit_test(test_one_bad_exec_in_a_fork_bomb),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_graver_is_told_again),
		cmocka_unit_test(test_unpacked),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

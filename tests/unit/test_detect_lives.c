/* What services, entry points and builds do in ways of their own, and what an intruder would make
 * of each exception. */
#include "detect_rig.h"

#include "detect/baseline.h"

static size_t told(const struct rig *r)
{
	size_t i, n = 0;

	for (i = 0; i < r->n_found; i++)
		n += r->found[i].is_raised && r->found[i].severity > BH_SEVERITY_INFO;
	return n;
}

static struct bh_activity exec_of(struct rig *r, const char *path, uint64_t parent)
{
	struct bh_activity a = rig_act(r, BH_ACT_EXEC, path);

	a.process.parent_exec_id = a.parent.exec_id = parent;
	return a;
}

static struct bh_activity reads(struct rig *r, const struct bh_activity *who, const char *path)
{
	struct bh_activity a = rig_act(r, BH_ACT_FILE, who->process.path);

	a.process.exec_id = who->process.exec_id;
	a.u.file = (struct bh_act_file){.op = BH_FILE_READ, .path = path, .target = ""};
	return a;
}

static uint64_t server(struct rig *r, const char *path)
{
	struct bh_activity a = exec_of(r, path, 1);

	rig_feed(r, &a);
	a.kind = BH_ACT_LISTEN;
	a.u.listen.proto = 6;
	a.u.listen.port = 25;
	rig_feed(r, &a);
	return a.process.exec_id;
}

/* A master process starts what serves, and that reads the key and locks itself in. */
static void test_helpers_of_a_server(void **state)
{
	struct bh_activity a, b;
	struct rig r;
	uint64_t id;

	(void)state;
	rig_init(&r, 3600);
	id = server(&r, "/usr/lib/postfix/sbin/master");
	a = exec_of(&r, "/usr/lib/postfix/sbin/smtpd", id);
	rig_feed(&r, &a);
	b = reads(&r, &a, "/etc/ssl/private/mail.key");
	rig_feed(&r, &b);
	rig_expect_silent(&r);
	b = rig_act(&r, BH_ACT_NAMESPACE, "/usr/lib/postfix/sbin/smtpd");
	b.process.exec_id = a.process.exec_id;
	b.u.ns.is_root_change = true;
	rig_feed(&r, &b);
	b.process.path = "/usr/lib/postfix/sbin/cleanup";
	rig_feed(&r, &b);
	assert_int_equal(told(&r), 1);
	rig_expect(&r, "namespace", BH_SEVERITY_LOW);
	/* a shell between the two, a tool, or a program from where users look for programs */
	b = exec_of(&r, "/bin/sh", a.process.exec_id);
	rig_feed(&r, &b);
	a = exec_of(&r, "/usr/lib/postfix/sbin/smtpd", b.process.exec_id);
	rig_feed(&r, &a);
	rig_clear(&r);
	b = reads(&r, &a, "/etc/ssl/private/mail.key");
	rig_feed(&r, &b);
	rig_expect(&r, "ssh-key", BH_SEVERITY_HIGH);
	a = exec_of(&r, "/usr/bin/date", id);
	rig_feed(&r, &a);
	b = reads(&r, &a, "/etc/ssl/private/mail.key");
	rig_feed(&r, &b);
	rig_expect(&r, "ssh-key", BH_SEVERITY_HIGH);
	rig_done(&r);
}

static void test_no_namespace(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 3600);
	a = rig_act(&r, BH_ACT_NAMESPACE, "/usr/sbin/smbd");
	a.u.ns.flags = 0x200;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.u.ns.flags = 0x10000200;
	rig_feed(&r, &a);
	rig_expect(&r, "namespace", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void name(struct rig *r, const char *text, enum bh_provenance p)
{
	struct bh_activity a = rig_act(r, BH_ACT_NAME, "/usr/bin/python3.11");

	a.process.provenance = p;
	a.u.name = text;
	rig_clear(r);
	rig_feed(r, &a);
}

/* Titles in brackets are no names of threads. */
static void test_titles(void **state)
{
	static const char *const threads[] = {"[kworker/0:1]", "[kworker: x",	     "[foo]",
					      "[jbd2/sda1: x", "[a] b: c",	     "kworker/1:0",
					      "[a b: c",       "[averylongword: ab", "[: x"};
	struct rig r;
	size_t i;

	(void)state;
	rig_init(&r, 3600);
	name(&r, "[celeryd: celery@host:MainProcess]", BH_PROV_IMAGE);
	rig_expect_silent(&r);
	name(&r, "[celeryd: celery@host:MainProcess]", BH_PROV_NEW);
	rig_expect(&r, "masquerade", BH_SEVERITY_HIGH);
	for (i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		name(&r, threads[i], BH_PROV_IMAGE);
		rig_expect(&r, "masquerade", BH_SEVERITY_HIGH);
	}
	rig_done(&r);
}

/* crontab writes a draft and renames it; an entry point may bring many jobs. */
static void test_jobs(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	rig_file(&r, BH_FILE_CREATE, "/usr/bin/crontab", "/var/spool/cron/crontabs/tmp.Xy12Zz");
	rig_expect_silent(&r);
	rig_file(&r, BH_FILE_WRITE, "/bin/sh", "/etc/crontab");
	rig_file(&r, BH_FILE_WRITE, "/bin/sh", "/etc/cron.d/app");
	a = rig_act(&r, BH_ACT_FILE, "/usr/bin/crontab");
	a.u.file = (struct bh_act_file){.op = BH_FILE_RENAME,
					.path = "/var/spool/cron/crontabs/tmp.Xy12Zz",
					.target = "/var/spool/cron/crontabs/root"};
	rig_feed(&r, &a);
	assert_int_equal(told(&r), 1);
	rig_expect(&r, "cron", BH_SEVERITY_LOW);
	/* later each file is told, and drafts of anybody else */
	a.ts_ns += 3600 * S;
	r.now_ns += 3600 * S;
	rig_feed(&r, &a);
	rig_expect(&r, "cron", BH_SEVERITY_MEDIUM);
	rig_file(&r, BH_FILE_CREATE, "/bin/cp", "/var/spool/cron/crontabs/tmp.Xy12Zz");
	rig_expect(&r, "cron", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

/* `export LD_PRELOAD=` in an entry point, before whatever it starts. */
static void test_preload(void **state)
{
	static const char *const programs[] = {"/usr/bin/id", "/usr/bin/mkdir", "/usr/bin/ruby"};
	struct bh_activity shell, a;
	struct rig r;
	size_t i;

	(void)state;
	rig_init(&r, 5);
	shell = exec_of(&r, "/bin/sh", 1);
	rig_feed(&r, &shell);
	for (i = 0; i < 3; i++) {
		a = exec_of(&r, programs[i], shell.process.exec_id);
		a.parent.path = "/bin/sh";
		a.process.flags = BH_PROC_LD_PRELOAD;
		rig_feed(&r, &a);
	}
	assert_int_equal(told(&r), 1);
	rig_expect(&r, "preload-env", BH_SEVERITY_LOW);
	r.now_ns += 3600 * S;
	a.ts_ns = r.now_ns;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	shell = exec_of(&r, "/bin/sh", 1);
	rig_feed(&r, &shell);
	a = exec_of(&r, programs[0], shell.process.exec_id);
	a.parent.path = "/bin/sh";
	a.process.flags = BH_PROC_LD_PRELOAD;
	rig_feed(&r, &a);
	assert_true(rig_found(&r, "preload-env")->is_raised);
	rig_expect(&r, "preload-env", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

/* Its functions for users read the password file; `perl -e` and others do so on purpose. */
static void test_perl(void **state)
{
	struct bh_activity a, b;
	struct rig r;

	(void)state;
	rig_init(&r, 3600);
	a = exec_of(&r, "/usr/bin/perl", 1);
	a.process.script = "/usr/bin/psql";
	rig_args(&r, &a, "perl /usr/bin/psql");
	rig_feed(&r, &a);
	b = reads(&r, &a, "/etc/shadow");
	rig_feed(&r, &b);
	rig_expect(&r, "shadow", BH_SEVERITY_LOW);
	a = exec_of(&r, "/usr/bin/perl", 1);
	rig_args(&r, &a, "perl -e print");
	rig_feed(&r, &a);
	b = reads(&r, &a, "/etc/shadow");
	rig_feed(&r, &b);
	rig_expect(&r, "shadow", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void made(struct rig *r, const char *path)
{
	struct bh_activity a = rig_act(r, BH_ACT_FILE, "/usr/bin/unzip");

	a.u.file = (struct bh_act_file){
		.op = BH_FILE_CREATE, .path = path, .target = "", .mode = 0100644};
	rig_feed(r, &a);
	a.u.file.op = BH_FILE_CHMOD;
	a.u.file.mode = 0755;
	rig_feed(r, &a);
}

static void run(struct rig *r, const char *path, enum bh_provenance p)
{
	struct bh_activity a = exec_of(r, path, 1);

	a.process.provenance = p;
	rig_feed(r, &a);
}

/* Plugins are unpacked while the container starts and run whenever they are needed. */
static void test_plugins(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	made(&r, "/var/lib/app/plugins/x/bin-linux");
	made(&r, "/code/tools/run");
	r.now_ns += 120 * S;
	run(&r, "/var/lib/app/plugins/x/bin-linux", BH_PROV_NEW);
	assert_int_equal(told(&r), 1);
	assert_int_equal(rig_worst(&r), BH_SEVERITY_MEDIUM);
	run(&r, "/code/other/run", BH_PROV_NEW);
	assert_int_equal(told(&r), 1);
	rig_clear(&r);
	/* elsewhere below /var/lib, and what is written there later */
	run(&r, "/var/lib/other/x", BH_PROV_NEW);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	made(&r, "/code/tools/late");
	run(&r, "/code/tools/late", BH_PROV_NEW);
	rig_expect(&r, "drop-chain", BH_SEVERITY_HIGH);
	rig_done(&r);
}

/* The same on a volume, of which the kernel knows that the container wrote it. */
static void test_plugins_of_a_volume(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	made(&r, "/data/plugins/one");
	r.now_ns += 3600 * S;
	a = exec_of(&r, "/data/plugins/one", 1);
	a.process.provenance = BH_PROV_VOLUME;
	a.process.flags = BH_PROC_WROTE;
	rig_feed(&r, &a);
	rig_expect(&r, "drop-chain", BH_SEVERITY_MEDIUM);
	made(&r, "/data/plugins/late");
	a.process.exec_id = r.next_exec++;
	a.process.path = "/data/plugins/late";
	rig_feed(&r, &a);
	rig_expect(&r, "drop-chain", BH_SEVERITY_HIGH);
	rig_done(&r);
}

/* Supervisors copy their services to /run, which is often in memory, and start them again. */
static void test_services_in_run(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	run(&r, "/run/service/app/run", BH_PROV_TMPFS);
	run(&r, "/run/service/log/run", BH_PROV_TMPFS);
	run(&r, "/run/s/app/run", BH_PROV_NEW);
	r.now_ns += 3600 * S;
	run(&r, "/run/service/app/finish", BH_PROV_TMPFS);
	run(&r, "/run/s/app/finish", BH_PROV_NEW);
	assert_int_equal(told(&r), 2);
	assert_int_equal(rig_worst(&r), BH_SEVERITY_MEDIUM);
	rig_clear(&r);
	run(&r, "/run/x", BH_PROV_NEW);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	run(&r, "/dev/shm/x", BH_PROV_TMPFS);
	rig_expect(&r, "tmpfs-exec", BH_SEVERITY_HIGH);
	rig_done(&r);
}

/* Packages, then sources that are compiled and installed, logs emptied, rights given: half an hour
 * of it is one finding. */
static void test_a_build(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	rig_exec(&r, "/usr/bin/apt-get install -y gcc");
	r.now_ns += 1200 * S;
	run(&r, "/usr/src/app/configure", BH_PROV_NEW);
	run(&r, "/tmp/conftest", BH_PROV_NEW);
	rig_file(&r, BH_FILE_WRITE, "/usr/bin/install", "/usr/local/bin/app");
	rig_file(&r, BH_FILE_WRITE, "/bin/sh", "/etc/cron.d/app");
	rig_file(&r, BH_FILE_UNLINK, "/bin/rm", "/var/log/wtmp");
	a = rig_act(&r, BH_ACT_FILE, "/usr/sbin/setcap");
	a.u.file = (struct bh_act_file){.op = BH_FILE_CHMOD,
					.path = "/usr/local/bin/app",
					.target = "",
					.gives_caps = true};
	rig_feed(&r, &a);
	assert_int_equal(told(&r), 1);
	rig_expect(&r, "setuid-bit", BH_SEVERITY_INFO);
	/* an intruder's is not the build's, and the half hour ends */
	a = exec_of(&r, "/bin/sh", 1);
	a.process.stdio[0] = BH_STDIO_INET;
	rig_feed(&r, &a);
	a = exec_of(&r, "/tmp/evil", a.process.exec_id);
	a.process.provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	r.now_ns += 1200 * S;
	run(&r, "/tmp/late", BH_PROV_NEW);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	rig_done(&r);
}

/* A compiler alone lengthens the start, but what comes of it is told. */
static void test_a_compiler(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	rig_exec(&r, "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet");
	r.now_ns += 1200 * S;
	run(&r, "/tmp/conftest", BH_PROV_NEW);
	rig_expect(&r, "foreign-code", BH_SEVERITY_MEDIUM);
	rig_done(&r);
	rig_init(&r, 120);
	rig_exec(&r, "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet");
	run(&r, "/tmp/conftest", BH_PROV_NEW);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	rig_done(&r);
}

static void expect_key(struct rig *r, const char *path, const char *want)
{
	struct bh_activity a = rig_act(r, BH_ACT_FILE, "/usr/bin/python3");
	struct bh_base_key keys[BH_BASE_KEYS_MAX];

	a.u.file = (struct bh_act_file){.op = BH_FILE_CREATE, .path = path, .target = ""};
	assert_int_equal(bh_baseline_keys(&a, keys), 1);
	assert_string_equal(keys[0].text, want);
}

/* Semaphores and temporary files of a learnt workload have new names each time. */
static void test_random_names(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	expect_key(&r, "/dev/shm/sem.mp-x_8k2vq1", "/dev/shm");
	expect_key(&r, "/tmp/tmpab3k/deep/er", "/tmp");
	expect_key(&r, "/var/tmp/a", "/var/tmp");
	expect_key(&r, "/tmpfs/a12", "/tmpfs/a#");
	expect_key(&r, "/dev/shmem", "/dev/shmem");
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_helpers_of_a_server),
		cmocka_unit_test(test_no_namespace),
		cmocka_unit_test(test_titles),
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_preload),
		cmocka_unit_test(test_perl),
		cmocka_unit_test(test_plugins),
		cmocka_unit_test(test_plugins_of_a_volume),
		cmocka_unit_test(test_services_in_run),
		cmocka_unit_test(test_a_build),
		cmocka_unit_test(test_a_compiler),
		cmocka_unit_test(test_random_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

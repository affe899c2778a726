/* Detectors that look at what is executed or mapped: each provoked, and its benign twin silent. */
#include "detect_rig.h"

static void exec_from(struct rig *r, const char *path, enum bh_provenance p, uint32_t flags)
{
	struct bh_activity a = rig_act(r, BH_ACT_EXEC, path);

	rig_args(r, &a, path);
	a.process.provenance = p;
	a.process.flags = flags;
	rig_feed(r, &a);
}

static void map_from(struct rig *r, const char *path, enum bh_provenance p, bool is_shared)
{
	struct bh_activity a = rig_act(r, BH_ACT_MAP_EXEC, "/usr/sbin/app");

	a.u.map.path = path;
	a.u.map.provenance = p;
	a.u.map.is_shared = is_shared;
	rig_feed(r, &a);
}

static void test_foreign_code(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	exec_from(&r, "/usr/bin/ls", BH_PROV_IMAGE, 0);
	exec_from(&r, "/usr/bin/chowned", BH_PROV_METACOPY, 0);
	exec_from(&r, "/data/tool", BH_PROV_VOLUME, 0);
	map_from(&r, "/usr/lib/libc.so.6", BH_PROV_IMAGE, false);
	map_from(&r, "/tmp/#12 (deleted)", BH_PROV_NEW, true); /* a compiler at run time */
	rig_expect_silent(&r);
	exec_from(&r, "/opt/x/evil", BH_PROV_NEW, 0);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	exec_from(&r, "/usr/bin/ls", BH_PROV_MODIFIED, 0);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	map_from(&r, "/opt/x/evil.so", BH_PROV_NEW, false);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	map_from(&r, "/dev/shm/evil.so", BH_PROV_TMPFS, false);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	map_from(&r, "/opt/x/evil.so", BH_PROV_NEW, true);
	rig_expect(&r, "foreign-code", BH_SEVERITY_LOW);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/dash");
	a.process.script = "/opt/y/evil.sh";
	a.process.script_provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_expect(&r, "foreign-code", BH_SEVERITY_HIGH);
	rig_done(&r);
}

static void test_fileless(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	map_from(&r, "/memfd:doublemapper (deleted)", BH_PROV_MEMFD, true);
	exec_from(&r, "/usr/bin/upgraded", BH_PROV_IMAGE, BH_PROC_UNLINKED);
	rig_expect_silent(&r);
	exec_from(&r, "/memfd:x (deleted)", BH_PROV_MEMFD, BH_PROC_UNLINKED);
	rig_expect(&r, "fileless", BH_SEVERITY_HIGH);
	map_from(&r, "/memfd:x (deleted)", BH_PROV_MEMFD, false);
	rig_expect(&r, "fileless", BH_SEVERITY_HIGH);
	exec_from(&r, "/tmp/x (deleted)", BH_PROV_NEW, BH_PROC_UNLINKED);
	rig_expect(&r, "fileless", BH_SEVERITY_HIGH);
	rig_done(&r);
}

static void test_tmpfs_exec(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	exec_from(&r, "/dev/shm/x", BH_PROV_TMPFS, 0);
	rig_expect(&r, "tmpfs-exec", BH_SEVERITY_HIGH);
	exec_from(&r, "/scratch/x", BH_PROV_TMPFS, 0);
	rig_expect(&r, "tmpfs-exec", BH_SEVERITY_MEDIUM);
	exec_from(&r, "/usr/bin/x", BH_PROV_IMAGE, 0);
	rig_expect_silent(&r);
	rig_done(&r);
}

static void listen_on(struct rig *r, uint64_t exec_id, bool is_loopback)
{
	struct bh_activity a = rig_act(r, BH_ACT_LISTEN, "/usr/sbin/app");

	a.process.exec_id = exec_id;
	a.u.listen.proto = 6;
	a.u.listen.port = 80;
	a.u.listen.is_loopback = is_loopback;
	rig_feed(r, &a);
}

static void test_server_shell(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	rig_exec(&r, "/bin/sh -c true");
	listen_on(&r, 1, true);
	rig_exec(&r, "/bin/sh -c true");
	rig_expect_silent(&r);
	listen_on(&r, 1, false);
	rig_exec(&r, "/usr/bin/gzip x");
	rig_expect_silent(&r);
	rig_exec(&r, "/bin/sh -c id");
	rig_expect(&r, "server-shell", BH_SEVERITY_MEDIUM);
	rig_exec(&r, "/bin/busybox sh -c id");
	rig_exec(&r, "/bin/busybox /bin/busybox sh");
	rig_clear(&r);
	rig_done(&r);
}

static void edge_of(struct rig *r, const char *path, const char *ip)
{
	struct bh_activity a = rig_act(r, BH_ACT_CONNECT, path);
	struct bh_err err;

	a.u.edge =
		(struct bh_act_edge){.is_egress = true, .proto = 6, .port = 443, .peer_name = ""};
	bh_assert_ok(&err, bh_ip_parse(ip, &a.u.edge.remote, &err));
	rig_feed(r, &a);
}

static void test_volume(void **state)
{
	struct bh_activity a, m;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_EXEC, "/srv/tool");
	a.process.provenance = BH_PROV_VOLUME;
	m = rig_act(&r, BH_ACT_MAP_EXEC, "/usr/bin/python3");
	m.u.map.path = "/srv/lib.so";
	m.u.map.provenance = BH_PROV_VOLUME;
	rig_feed(&r, &a);
	rig_feed(&r, &m);
	m.u.map.is_own = m.u.map.is_shared = true;
	rig_feed(&r, &m);
	rig_expect_silent(&r);
	m.u.map.is_shared = false;
	rig_feed(&r, &m);
	rig_expect(&r, "drop-chain", BH_SEVERITY_HIGH);
	a.process.flags |= BH_PROC_WROTE;
	rig_feed(&r, &a);
	rig_expect(&r, "drop-chain", BH_SEVERITY_HIGH);
	rig_done(&r);
	rig_init(&r, 5);
	a.ts_ns = r.now_ns;
	rig_feed(&r, &a);
	rig_expect(&r, "drop-chain", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void test_socket_shell(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	rig_exec(&r, "/bin/bash -i");
	edge_of(&r, "/usr/bin/curl", "192.0.2.1");
	a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/in.ftpd"); /* as inetd starts it */
	a.process.stdio[0] = a.process.stdio[1] = BH_STDIO_INET;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/bash");
	a.process.stdio[0] = BH_STDIO_INET;
	rig_feed(&r, &a);
	rig_expect(&r, "socket-shell", BH_SEVERITY_HIGH);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/python3.11");
	a.process.stdio[1] = BH_STDIO_INET;
	rig_feed(&r, &a);
	rig_expect(&r, "socket-shell", BH_SEVERITY_HIGH);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/sh");
	rig_args(&r, &a, "sh -i");
	a.process.stdio[0] = BH_STDIO_PIPE;
	rig_feed(&r, &a);
	rig_expect(&r, "socket-shell", BH_SEVERITY_MEDIUM);
	edge_of(&r, "/bin/bash", "192.0.2.1");
	rig_expect(&r, "socket-shell", BH_SEVERITY_MEDIUM);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/dash");
	rig_args(&r, &a, "sh");
	a.process.stdio[0] = BH_STDIO_FIFO;
	rig_feed(&r, &a);
	rig_expect(&r, "socket-shell", BH_SEVERITY_MEDIUM);
	a.process.stdio[0] = BH_STDIO_TTY;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.process.stdio[1] = BH_STDIO_FIFO;
	rig_feed(&r, &a);
	rig_expect(&r, "socket-shell", BH_SEVERITY_MEDIUM);
	a.process.stdio[1] = BH_STDIO_OTHER;
	rig_exec(&r, "/bin/nc -zv 192.0.2.1 80");
	a.process.stdio[0] = BH_STDIO_PIPE;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	rig_exec(&r, "/bin/nc 192.0.2.1 80");
	rig_expect(&r, "socket-shell", BH_SEVERITY_MEDIUM);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/id");
	a.parent.path = "/bin/bash";
	a.process.stdio[0] = BH_STDIO_INET; /* `cat <&3` */
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.process.stdio[1] = BH_STDIO_INET;
	rig_feed(&r, &a);
	rig_expect(&r, "socket-shell", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void enter(struct rig *r, const char *words, enum bh_stdio in, uint32_t flags)
{
	char path[64];
	struct bh_activity a;

	snprintf(path, sizeof(path), "%.*s", (int)strcspn(words, " "), words);
	a = rig_act(r, BH_ACT_EXEC, path);
	rig_args(r, &a, words);
	a.process.flags = flags;
	a.process.stdio[0] = in;
	rig_feed(r, &a);
}

static void test_interactive_exec(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	enter(&r, "/bin/ls /", BH_STDIO_PIPE, BH_PROC_FROM_OUTSIDE);
	enter(&r, "/bin/sh -c probe", BH_STDIO_NULL, BH_PROC_FROM_OUTSIDE);
	enter(&r, "/bin/sh -c probe", BH_STDIO_PIPE, BH_PROC_FROM_OUTSIDE);
	enter(&r, "/bin/sh", BH_STDIO_TTY, BH_PROC_FROM_OUTSIDE | BH_PROC_CONTAINER_INIT);
	enter(&r, "/bin/sh", BH_STDIO_TTY, 0);
	rig_expect_silent(&r);
	enter(&r, "/bin/sh", BH_STDIO_TTY, BH_PROC_FROM_OUTSIDE);
	rig_expect(&r, "interactive-exec", BH_SEVERITY_MEDIUM);
	enter(&r, "/bin/bash", BH_STDIO_PIPE, BH_PROC_FROM_OUTSIDE);
	rig_expect(&r, "interactive-exec", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

/* What it is told about one that came in so, on a pod of its own. */
static void expect_entered(const char *words, enum bh_stdio in, bool is_told)
{
	struct rig r;

	rig_init(&r, 600);
	enter(&r, words, in, BH_PROC_FROM_OUTSIDE);
	if (is_told)
		rig_expect(&r, "interactive-exec", BH_SEVERITY_MEDIUM);
	else
		rig_expect_silent(&r);
	rig_done(&r);
}

static void test_reads_input(void **state)
{
	static const char *const told[] = {
		"/bin/bash -i",		"/bin/bash --norc -l",	 "/bin/sh -",
		"/bin/bash -s x y",	"/bin/bash -o pipefail", "/bin/busybox sh",
		"/usr/bin/python3 -iu", "/usr/bin/python3 -",	 "/usr/bin/perl"};
	static const char *const silent[] = {
		"/bin/bash -ec true",	    "/bin/bash -o pipefail x.sh",
		"/bin/sh - x.sh",	    "/usr/bin/python3 -c 1",
		"/usr/bin/python3 -m http", "/usr/bin/java",
		"/bin/busybox sh -c x",	    "/bin/cat"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		expect_entered(told[i], BH_STDIO_PIPE, true);
		expect_entered(told[i], BH_STDIO_FILE, true);
		expect_entered(told[i], BH_STDIO_NULL, false);
	}
	for (i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		expect_entered(silent[i], BH_STDIO_PIPE, false);
}

/* `sh -c 'exec bash'` from outside. */
static void test_entered_below(void **state)
{
	struct bh_activity a;
	struct rig r;
	uint64_t above;

	(void)state;
	rig_init(&r, 600);
	above = r.next_exec;
	enter(&r, "/bin/sh -c x", BH_STDIO_NULL, BH_PROC_FROM_OUTSIDE);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/bash");
	rig_args(&r, &a, "bash");
	a.process.parent_exec_id = above;
	a.process.stdio[0] = BH_STDIO_PIPE;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	above = r.next_exec;
	enter(&r, "/bin/sh -c x", BH_STDIO_PIPE, BH_PROC_FROM_OUTSIDE);
	a.process.exec_id = r.next_exec++;
	a.process.parent_exec_id = above;
	rig_args(&r, &a, "bash");
	rig_feed(&r, &a);
	rig_expect(&r, "interactive-exec", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void test_masquerade(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	rig_exec(&r, "/usr/sbin/sshd -D");
	rig_exec(&r, "/usr/bin/[ -f x ]");
	rig_exec(&r, "/opt/app/.venv/bin/gunicorn");
	rig_expect_silent(&r);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/perl");
	rig_args(&r, &a, "[kworker/0:1]");
	rig_feed(&r, &a);
	rig_expect(&r, "masquerade", BH_SEVERITY_HIGH);
	exec_from(&r, "/tmp/sshd", BH_PROV_NEW, 0);
	rig_expect(&r, "masquerade", BH_SEVERITY_HIGH);
	exec_from(&r, "/tmp/.x/run", BH_PROV_NEW, 0);
	rig_expect(&r, "masquerade", BH_SEVERITY_HIGH);
	exec_from(&r, "/opt/ls ", BH_PROV_IMAGE, 0);
	rig_expect(&r, "masquerade", BH_SEVERITY_MEDIUM);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/perl");
	rig_args(&r, &a, "/usr/sbin/sshd -D");
	rig_feed(&r, &a);
	rig_expect(&r, "masquerade", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void test_package_manager(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	rig_exec(&r, "/usr/bin/dpkg -l");
	rig_exec(&r, "/usr/bin/rpm -qa");
	rig_exec(&r, "/sbin/apk info");
	rig_exec(&r, "/usr/bin/apt-cache policy x");
	rig_exec(&r, "/usr/bin/dpkg -S /bin/ls");
	rig_exec(&r, "/usr/bin/rpm -q -i bash");
	rig_exec(&r, "/sbin/apk info -R bash");
	rig_expect_silent(&r);
	rig_exec(&r, "/usr/bin/pacman -S nmap");
	rig_expect(&r, "package-manager", BH_SEVERITY_MEDIUM);
	rig_done(&r);
	rig_init(&r, 600);
	rig_exec(&r, "/usr/bin/apt-get -y install nmap");
	rig_expect(&r, "package-manager", BH_SEVERITY_MEDIUM);
	rig_exec(&r, "/sbin/apk add nmap");
	assert_int_equal(rig_found(&r, "package-manager")->count, 2);
	assert_false(rig_found(&r, "package-manager")->is_raised);
	rig_done(&r);
}

/* Maps a file as `by`; what has written it, if anything, is `writer`. */
static void map_written(uint64_t by, uint64_t writer, const char *text, enum bh_severity want)
{
	struct bh_activity a;
	struct rig r;

	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/python3.11");
	a.process.exec_id = by;
	a.process.parent_exec_id = 40;
	a.process.inode = 9;
	rig_args(&r, &a, text);
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_FILE, "/usr/bin/python3.11");
	a.process.exec_id = writer;
	a.u.file.op = BH_FILE_CREATE;
	a.u.file.path = "/tmp/x.so";
	a.u.file.target = "";
	a.u.file.inode = 77;
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_MAP_EXEC, "/usr/bin/python3.11");
	a.process.exec_id = by;
	a.u.map.path = "/tmp/x.so";
	a.u.map.inode = 77;
	a.u.map.provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_expect(&r, "foreign-code", want);
	rig_done(&r);
}

static void test_own_code(void **state)
{
	(void)state;
	map_written(50, 50, "python3 app.py", BH_SEVERITY_MEDIUM);
	map_written(50, 50, "python3 -c x", BH_SEVERITY_HIGH);
	map_written(50, 51, "python3 app.py", BH_SEVERITY_HIGH);
	/* by what started it, which is not known to be the same program */
	map_written(50, 40, "python3 app.py", BH_SEVERITY_HIGH);
}

static int add_times(const struct bh_found *f, void *arg)
{
	uint64_t *sum = arg;

	sum[0] += f->first_ns;
	sum[1] += f->last_ns;
	return 0;
}

/* Records of two processors come as they come. */
static void test_times_of_a_finding(void **state)
{
	static const uint64_t times[] = {700 * S, 650 * S, 720 * S, 710 * S};
	uint64_t sum[2] = {0};
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	for (size_t i = 0; i < BH_ARRAY_SIZE(times); i++) {
		struct bh_activity a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/apt-get");

		rig_args(&r, &a, "/usr/bin/apt-get -y install nmap");
		a.ts_ns = times[i];
		rig_feed(&r, &a);
	}
	assert_int_equal(rig_found(&r, "package-manager")->count, 4);
	bh_detect_each(r.d, add_times, sum);
	assert_int_equal(sum[0], 650 * S);
	assert_int_equal(sum[1], 720 * S);
	rig_done(&r);
}

static void test_preload_env(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/app");
	a.process.flags = BH_PROC_LD_PRELOAD | BH_PROC_CONTAINER_INIT;
	a.process.exec_id = 40;
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/worker");
	a.process.flags = BH_PROC_LD_PRELOAD;
	a.process.parent_exec_id = 40; /* from an image that sets it for all */
	rig_feed(&r, &a);
	a.process.parent_exec_id = 39; /* nobody knows what that one had */
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.process.parent_exec_id = rig_exec(&r, "/bin/sh");
	rig_feed(&r, &a);
	rig_expect(&r, "preload-env", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void test_tools(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	rig_exec(&r, "/usr/sbin/iptables -L -n");
	rig_exec(&r, "/usr/sbin/nft list ruleset");
	rig_expect_silent(&r);
	rig_exec(&r, "/usr/sbin/iptables -F");
	rig_expect(&r, "firewall", BH_SEVERITY_MEDIUM);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/xtables-nft-multi");
	rig_args(&r, &a, "iptables -A OUTPUT");
	rig_feed(&r, &a);
	rig_expect(&r, "firewall", BH_SEVERITY_MEDIUM);
	rig_exec(&r, "/usr/sbin/tc qdisc del dev eth0 root");
	rig_expect(&r, "firewall", BH_SEVERITY_MEDIUM);
	rig_exec(&r, "/usr/bin/nsenter -t 1 -m sh");
	rig_expect(&r, "nsenter", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void test_drop_chain(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	/* the tracer cannot tell what file system it is: the chain still says it */
	rig_file(&r, BH_FILE_CREATE, "/usr/bin/curl", "/srv/part");
	a = rig_act(&r, BH_ACT_FILE, "/usr/bin/mv");
	a.u.file =
		(struct bh_act_file){.op = BH_FILE_RENAME, .path = "/srv/part", .target = "/srv/x"};
	rig_feed(&r, &a);
	exec_from(&r, "/srv/x", BH_PROV_UNKNOWN, 0);
	rig_expect_silent(&r);
	a = rig_act(&r, BH_ACT_FILE, "/usr/bin/chmod");
	a.u.file = (struct bh_act_file){
		.op = BH_FILE_CHMOD, .path = "/srv/x", .target = "", .mode = 0100755};
	rig_feed(&r, &a);
	exec_from(&r, "/srv/x", BH_PROV_UNKNOWN, 0);
	rig_expect(&r, "drop-chain", BH_SEVERITY_HIGH);
	r.now_ns += 3600 * S;
	exec_from(&r, "/srv/x", BH_PROV_UNKNOWN, 0);
	rig_expect_silent(&r);
	/* what matters most overtakes the rest: the execution is reported first */
	exec_from(&r, "/srv/y", BH_PROV_UNKNOWN, 0);
	rig_file(&r, BH_FILE_CREATE, "/usr/bin/curl", "/srv/y");
	rig_expect_silent(&r);
	a.u.file.path = "/srv/y";
	a.ts_ns = r.now_ns - S;
	rig_feed(&r, &a);
	rig_expect(&r, "drop-chain", BH_SEVERITY_HIGH);
	/* a service that writes and marks files it never runs */
	rig_file(&r, BH_FILE_CREATE, "/usr/bin/app", "/srv/z");
	a.u.file.path = "/srv/z";
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	rig_done(&r);
}

/* What the kernel stopped says nothing of where the program came from. */
static void test_program_of_another_tree(void **state)
{
	struct rig r;
	struct bh_activity a;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/x");
	a.process.flags = BH_PROC_STOPPED | BH_PROC_CONNECTED;
	rig_feed(&r, &a);
	assert_null(rig_found(&r, "host-root"));
	rig_clear(&r);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/x");
	a.process.flags = BH_PROC_OUTER;
	rig_feed(&r, &a);
	rig_expect(&r, "host-root", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign_code),
		cmocka_unit_test(test_fileless),
		cmocka_unit_test(test_tmpfs_exec),
		cmocka_unit_test(test_server_shell),
		cmocka_unit_test(test_volume),
		cmocka_unit_test(test_socket_shell),
		cmocka_unit_test(test_interactive_exec),
		cmocka_unit_test(test_reads_input),
		cmocka_unit_test(test_entered_below),
		cmocka_unit_test(test_masquerade),
		cmocka_unit_test(test_package_manager),
		cmocka_unit_test(test_own_code),
		cmocka_unit_test(test_preload_env),
		cmocka_unit_test(test_tools),
		cmocka_unit_test(test_times_of_a_finding),
		cmocka_unit_test(test_drop_chain),
		cmocka_unit_test(test_program_of_another_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

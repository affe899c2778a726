/* Detectors of privileges, namespaces, other processes, network and resources. */
#include "detect_rig.h"

#include <signal.h>

#define HIGH   BH_SEVERITY_HIGH
#define MEDIUM BH_SEVERITY_MEDIUM
#define LOW    BH_SEVERITY_LOW

static void test_root_gained(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_SETID, "/usr/sbin/app");
	a.u.setid.old_uid = 33;
	a.u.setid.had_right = true;
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_SETID, "/usr/sbin/app"); /* becomes somebody */
	a.u.setid.new_uid = 33;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a = rig_act(&r, BH_ACT_SETID, "/usr/sbin/app");
	a.u.setid.old_uid = 33;
	rig_feed(&r, &a);
	rig_expect(&r, "root-gained", HIGH);
	a.u.setid.is_call = true;
	rig_feed(&r, &a);
	rig_expect(&r, "root-gained", HIGH);
	rig_done(&r);
}

static void test_namespaces_and_mounts(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	a = rig_act(&r, BH_ACT_NAMESPACE, "/usr/sbin/haproxy");
	a.u.ns.is_root_change = true;
	rig_feed(&r, &a);
	rig_expect(&r, "namespace", BH_SEVERITY_INFO);
	r.now_ns += 600 * S;
	a.ts_ns = r.now_ns;
	rig_feed(&r, &a);
	rig_expect(&r, "namespace", LOW);
	a = rig_act(&r, BH_ACT_NAMESPACE, "/usr/bin/unshare");
	a.u.ns.flags = 0x10000000;
	rig_feed(&r, &a);
	rig_expect(&r, "namespace", MEDIUM);
	a.u.ns.is_entering = true;
	rig_feed(&r, &a);
	rig_expect(&r, "namespace", HIGH);
	a = rig_act(&r, BH_ACT_MOUNT, "/bin/mount");
	a.u.mount.source = "none";
	a.u.mount.target = "/mnt";
	a.u.mount.type = "tmpfs";
	rig_feed(&r, &a);
	rig_expect(&r, "mount", MEDIUM);
	a.u.mount.source = "/dev/sda1";
	a.u.mount.type = "ext4";
	rig_feed(&r, &a);
	rig_expect(&r, "mount", HIGH);
	a = rig_act(&r, BH_ACT_NETNS, "/bin/x");
	rig_feed(&r, &a);
	rig_expect(&r, "foreign-netns", HIGH);
	rig_done(&r);
}

static void test_other_processes(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_PTRACE, "/usr/bin/gdb");
	a.u.target.kind = BH_TARGET_CHILD;
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_SIGNAL, "/bin/kill");
	a.u.target.kind = BH_TARGET_OTHER;
	a.u.target.signal = SIGTERM;
	rig_feed(&r, &a);
	a.u.target.kind = BH_TARGET_BULKHEAD;
	a.u.target.signal = SIGCHLD;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.u.target.signal = SIGKILL;
	rig_feed(&r, &a);
	rig_expect(&r, "own-signal", HIGH);
	a = rig_act(&r, BH_ACT_PTRACE, "/usr/bin/gdb");
	a.u.target.kind = BH_TARGET_POD;
	rig_feed(&r, &a);
	rig_expect(&r, "ptrace", MEDIUM);
	a = rig_act(&r, BH_ACT_MEMORY, "/usr/bin/x");
	a.u.target.kind = BH_TARGET_OTHER;
	a.u.target.is_write = true;
	rig_feed(&r, &a);
	rig_expect(&r, "process-memory", HIGH);
	rig_done(&r);
}

static void test_kernel(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_MODULE, "/sbin/insmod");
	a.u.module.name = "rootkit";
	rig_feed(&r, &a);
	rig_expect(&r, "kernel-module", HIGH);
	a.u.module.is_refused = true;
	rig_feed(&r, &a);
	rig_expect(&r, "kernel-module", MEDIUM);
	a = rig_act(&r, BH_ACT_BPF, "/usr/bin/x");
	a.u.number = 5;
	rig_feed(&r, &a);
	rig_expect(&r, "bpf", MEDIUM);
	a = rig_act(&r, BH_ACT_USERFAULTFD, "/usr/bin/x");
	rig_feed(&r, &a);
	rig_expect(&r, "userfaultfd", MEDIUM);
	a = rig_act(&r, BH_ACT_OVERFLOW, "");
	a.u.name = "paths";
	rig_feed(&r, &a);
	rig_expect(&r, "overflow", LOW);
	rig_done(&r);
}

static void test_io_uring(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	a = rig_act(&r, BH_ACT_IO_URING, "/usr/bin/node");
	rig_feed(&r, &a);
	rig_expect(&r, "io-uring", BH_SEVERITY_INFO);
	a.ts_ns += 3600 * S;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	rig_done(&r);
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_IO_URING, "/usr/sbin/nginx");
	rig_feed(&r, &a);
	rig_expect(&r, "io-uring", MEDIUM);
	rig_done(&r);
}

static void test_raw_socket(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_SOCKET, "/usr/bin/ping");
	a.u.socket.family = 2;
	a.u.socket.type = 3;
	a.u.socket.protocol = 1;
	rig_feed(&r, &a);
	a.u.socket.family = 16; /* netlink */
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.u.socket.family = 17;
	rig_feed(&r, &a);
	rig_expect(&r, "raw-socket", MEDIUM);
	a.u.socket.family = 2;
	a.u.socket.protocol = 255;
	rig_feed(&r, &a);
	rig_expect(&r, "raw-socket", LOW);
	rig_done(&r);
}

static void edge(struct rig *r, const char *who, unsigned n, bool is_denied)
{
	struct bh_activity a = rig_act(r, BH_ACT_EDGE, who);

	a.u.edge = (struct bh_act_edge){.is_egress = true,
					.is_denied = is_denied,
					.proto = 6,
					.port = (uint16_t)(1 + n % 1000),
					.remote = bh_ip_from4(0x0a000000u + n),
					.peer_name = ""};
	rig_feed(r, &a);
}

/* Refused at host n of a network. */
static void probe(struct rig *r, unsigned n, unsigned port)
{
	struct bh_activity a = rig_act(r, BH_ACT_EDGE, "");

	a.u.edge = (struct bh_act_edge){.is_egress = true,
					.is_denied = true,
					.proto = 6,
					.port = (uint16_t)port,
					.remote = bh_ip_from4(0x0a010000u + n),
					.peer_name = ""};
	rig_feed(r, &a);
}

static void test_scan(void **state)
{
	struct rig r;
	unsigned i;

	(void)state;
	rig_init(&r, 600);
	for (i = 0; i < 40; i++)
		edge(&r, "/usr/bin/app", i, false);
	for (i = 0; i < 40; i++) {
		r.now_ns += 20 * S; /* a few refused ones a minute are a mistake, not a scan */
		edge(&r, "/usr/bin/app", i, true);
	}
	for (i = 0; i < 200; i++)
		edge(&r, "/usr/bin/app", 7, true); /* one destination, again and again */
	for (i = 0; i < 16; i++) /* agents ask a few hosts at a few ports, all refused */
		probe(&r, i % 20, 9100 + i % 3);
	for (i = 0; i < 10; i++) { /* and what nobody asked for is no scan */
		struct bh_activity a = rig_act(&r, BH_ACT_EDGE, "");

		a.u.edge = (struct bh_act_edge){.is_egress = true,
						.is_denied = true,
						.proto = 17,
						.port = (uint16_t)(1 + i * 7),
						.remote = bh_ip_from4(0xe0000000u + i),
						.peer_name = ""};
		rig_feed(&r, &a);
	}
	rig_expect_silent(&r);
	r.now_ns += 100 * S;
	for (i = 0; i < 30; i++)
		probe(&r, 100 + i, 22);
	rig_expect(&r, "scan", MEDIUM);
	r.now_ns += 100 * S;
	for (i = 0; i < 14; i++)
		edge(&r, "/usr/bin/nmap", 100 + i, true);
	rig_expect(&r, "scan", MEDIUM);
	r.now_ns -= 9 * S / 10; /* its time is the tick's, which lags */
	edge(&r, "/usr/bin/nmap", 500, false);
	assert_non_null(rig_found(&r, "scan-edge"));
	r.now_ns += 9 * S / 10;
	rig_clear(&r);
	for (i = 0; i < 80; i++)
		edge(&r, "/usr/bin/nmap", 200 + i, true);
	rig_expect(&r, "scan", HIGH);
	rig_done(&r);
}

static void test_dropper(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	/* a service that connected starts a helper that connects: every day */
	rig_exec(&r, "/usr/bin/app");
	a = rig_act(&r, BH_ACT_EXEC, "/usr/bin/helper");
	a.process.exec_id = 21;
	rig_feed(&r, &a);
	a.kind = BH_ACT_CONNECT;
	a.u.edge = (struct bh_act_edge){.is_egress = true, .port = 443, .is_second = true};
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	/* the same with code that is not the image's */
	a.kind = BH_ACT_EXEC;
	a.process.path = "/opt/bot";
	a.process.exec_id = 22;
	a.process.provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_clear(&r);
	a.kind = BH_ACT_CONNECT;
	a.u.edge.is_second = false; /* the one before it had not connected */
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.u.edge.is_second = true;
	rig_feed(&r, &a);
	rig_expect(&r, "dropper", HIGH);
	rig_done(&r);
}

static void test_metadata(void **state)
{
	struct bh_activity a;
	struct bh_err err;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_EDGE, "/usr/bin/curl");
	a.u.edge = (struct bh_act_edge){.is_egress = true, .proto = 6, .port = 80, .peer_name = ""};
	bh_assert_ok(&err, bh_ip_parse("169.254.1.1", &a.u.edge.remote, &err));
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	bh_assert_ok(&err, bh_ip_parse("169.254.169.254", &a.u.edge.remote, &err));
	rig_feed(&r, &a);
	rig_expect(&r, "cloud-metadata", MEDIUM);
	a.process.path = "/usr/bin/app";
	rig_feed(&r, &a);
	rig_expect(&r, "cloud-metadata", LOW);
	rig_done(&r);
}

static void ask(struct rig *r, const char *name)
{
	struct bh_activity a = rig_act(r, BH_ACT_DNS, "/usr/bin/app");

	a.u.dns.name = name;
	a.u.dns.type = 1;
	rig_feed(r, &a);
}

static void test_dns_tunnel(void **state)
{
	static const char hex[] = "0123456789abcdefghijklmnopqrstuv";
	char name[256], label[51];
	unsigned i, k, seed = 1;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	for (i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "d%ucf.cloudfront.net", 1000 + i);
		ask(&r, name);
		snprintf(name, sizeof(name), "web-%u.web.shop.svc.cluster.local", i);
		ask(&r, name);
		snprintf(name, sizeof(name), "%u.2.0.192.in-addr.arpa", i);
		ask(&r, name);
		ask(&r, "a-rather-long-name-of-one-service-in-some-cloud.region-1.example.com");
	}
	rig_expect_silent(&r);
	for (i = 0; i < 60; i++) {
		for (k = 0; k < 50; k++) {
			seed = seed * 1664525u + 1013904223u;
			label[k] = hex[seed >> 27];
		}
		label[50] = '\0';
		snprintf(name, sizeof(name), "%s.t.evil.example", label);
		ask(&r, name);
	}
	rig_expect(&r, "dns-tunnel", MEDIUM);
	rig_done(&r);
}

static void rate(struct rig *r, double share)
{
	struct bh_activity a = rig_act(r, BH_ACT_RATE, "");

	a.u.rate.interval_ns = 10 * S;
	a.u.rate.cpu_ns = (uint64_t)(share * 10 * S);
	rig_feed(r, &a);
}

static void test_cpu(void **state)
{
	struct rig r;
	int i;

	(void)state;
	rig_init(&r, 0);
	for (i = 0; i < 60; i++)
		rate(&r, 0.1);
	for (i = 0; i < 20; i++)
		rate(&r, 1.0); /* minutes of work are work */
	for (i = 0; i < 60; i++)
		rate(&r, 0.1);
	for (i = 0; i < 60; i++)
		rate(&r, 0.4); /* four times, but of little */
	rig_expect_silent(&r);
	for (i = 0; i < 40; i++)
		rate(&r, 1.9);
	rig_expect(&r, "cpu", MEDIUM);
	rig_done(&r);
	/* one that rests now and then so as not to be seen */
	rig_init(&r, 0);
	for (i = 0; i < 60; i++)
		rate(&r, 0.1);
	for (i = 0; i < 80; i++)
		rate(&r, i % 6 ? 1.9 : 0.0);
	rig_expect(&r, "cpu", MEDIUM);
	rig_done(&r);
	/* a pod that always computes */
	rig_init(&r, 0);
	for (i = 0; i < 200; i++)
		rate(&r, 2.0);
	rig_expect_silent(&r);
	rig_done(&r);
}

static void test_posture(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 0);
	a = rig_act(&r, BH_ACT_START, "/usr/sbin/app");
	a.u.start.uid = 1000;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.u.start.uid = 0;
	a.u.start.is_rootfs_writable = true;
	rig_feed(&r, &a);
	rig_expect(&r, "posture", BH_SEVERITY_INFO);
	a.u.start.is_privileged = true;
	rig_feed(&r, &a);
	rig_expect(&r, "privileged", LOW);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_gained),
		cmocka_unit_test(test_namespaces_and_mounts),
		cmocka_unit_test(test_other_processes),
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_io_uring),
		cmocka_unit_test(test_raw_socket),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_dropper),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_dns_tunnel),
		cmocka_unit_test(test_cpu),
		cmocka_unit_test(test_posture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

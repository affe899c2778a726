/* test_sock.c - the socket hooks, with real processes in a pod's namespace and a cgroup. */
#include "podns.h"

static struct podns *pod(void **state)
{
	struct podns *p = *state;

	podns_enter(p->host_ns);
	podns_register(p);
	return p;
}

static void set_flags(struct podns *p, uint32_t flags)
{
	p->r->slots[RIG_SLOT].flags = BH_SLOT_LIVE | flags;
}

static void test_connect(void **state)
{
	static const struct {
		const char *addr;
		uint16_t port;
		int type, want;
	} v[] = {
		{"10.0.0.10", 81, SOCK_STREAM, EPERM},
		{"10.0.0.10", 80, SOCK_STREAM, 0},
		{"10.0.0.12", 80, SOCK_STREAM, EPERM},
		{"10.0.0.12", 80, SOCK_DGRAM, EPERM},
		{"10.0.0.10", 53, SOCK_DGRAM, 0},
		{"10.0.0.10", 80, SOCK_DGRAM, EPERM},
		{"10.0.0.11", 7, SOCK_DGRAM, 0},
		{"fd00::10", 80, SOCK_STREAM, 0},
		{"fd00::12", 80, SOCK_STREAM, EPERM},
		{"::ffff:10.0.0.12", 80, SOCK_STREAM, EPERM},
		{"::ffff:10.0.0.10", 80, SOCK_STREAM, 0},
		{"127.0.0.1", 9, SOCK_STREAM, ECONNREFUSED},
		{"::1", 9, SOCK_STREAM, ECONNREFUSED},
		{"0.0.0.0", 9, SOCK_STREAM, ECONNREFUSED},
		{"10.0.0.2", 9, SOCK_STREAM, ECONNREFUSED},
		{"fd00::2", 9, SOCK_STREAM, ECONNREFUSED},
		{"::ffff:10.0.0.2", 9, SOCK_STREAM, ECONNREFUSED},
	};
	struct podns *p = pod(state);
	int l4 = podns_bound("10.0.0.10", 80, SOCK_STREAM);
	int l6 = podns_bound("fd00::10", 80, SOCK_STREAM);

	podns_enter(p->pod_ns);
	for (size_t i = 0; i < BH_ARRAY_SIZE(v); i++) {
		int got = podns_connect(v[i].addr, v[i].port, v[i].type, NULL);

		if (got != v[i].want)
			fail_msg("connect %s %u: %s", v[i].addr, v[i].port, strerror(got));
	}
	podns_enter(p->host_ns);
	close(l4);
	close(l6);
}

static void test_sendto(void **state)
{
	struct podns *p = pod(state);

	podns_enter(p->pod_ns);
	assert_int_equal(podns_sendto("10.0.0.10", 53), 0);
	assert_int_equal(podns_sendto("10.0.0.10", 54), EPERM);
	assert_int_equal(podns_sendto("fd00::10", 53), 0);
	assert_int_equal(podns_sendto("fd00::12", 53), EPERM);
	assert_int_equal(podns_sendto("::ffff:10.0.0.12", 53), EPERM);
	assert_int_equal(podns_sendto("127.0.0.1", 53), 0);
	podns_enter(p->host_ns);
}

static void test_other_namespaces_are_not_ours(void **state)
{
	struct podns *p = pod(state);

	set_flags(p, BH_SLOT_QUARANTINE);
	assert_int_equal(podns_sendto("10.0.0.12", 9), 0);
}

static void test_closed(void **state)
{
	struct podns *p = pod(state);
	int u4, u6, fd;
	union podns_addr a;
	socklen_t n;

	podns_enter(p->pod_ns);
	u4 = podns_socket("10.0.0.1", SOCK_DGRAM);
	u6 = podns_socket("::1", SOCK_STREAM);
	set_flags(p, BH_SLOT_QUARANTINE);
	assert_true(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
	assert_true(socket(AF_INET6, SOCK_DGRAM, 0) < 0 && errno == EPERM);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	close(fd);
	n = podns_addr(&a, "10.0.0.11", 1);
	assert_true(connect(u4, &a.sa, n) < 0 && errno == EPERM);
	n = podns_addr(&a, "127.0.0.1", 1);
	assert_int_equal(connect(u4, &a.sa, n), 0);
	n = podns_addr(&a, "fd00::11", 1);
	assert_true(connect(u6, &a.sa, n) < 0 && errno == EPERM);
	n = podns_addr(&a, "::1", 0);
	assert_int_equal(bind(u6, &a.sa, n), 0);
	set_flags(p, BH_SLOT_SHUT);
	assert_true(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
	set_flags(p, BH_SLOT_QUARANTINE | BH_SLOT_QALLOW);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	close(fd);
	set_flags(p, 0);
	close(u4);
	close(u6);
	podns_enter(p->host_ns);
}

static void test_bind_when_closed(void **state)
{
	struct podns *p = pod(state);
	union podns_addr a;
	socklen_t n;
	int fd, one = 1;

	podns_enter(p->pod_ns);
	fd = podns_socket("10.0.0.1", SOCK_DGRAM);
	setsockopt(fd, SOL_IP, IP_FREEBIND, &one, sizeof(one));
	set_flags(p, BH_SLOT_SHUT);
	n = podns_addr(&a, "10.0.0.77", 0);
	assert_true(bind(fd, &a.sa, n) < 0 && errno == EPERM);
	n = podns_addr(&a, "10.0.0.2", 0);
	assert_int_equal(bind(fd, &a.sa, n), 0);
	set_flags(p, 0);
	close(fd);
	podns_enter(p->host_ns);
}

static void test_hostnet_cgroup(void **state)
{
	struct podns *p = pod(state);
	struct stat st;
	uint64_t id;
	uint32_t one = 1;

	assert_int_equal(stat(p->cgroup, &st), 0);
	id = st.st_ino;
	rig_put(p->r->pod->maps.quarantined_cgroup, &id, &one);
	assert_int_equal(podns_sendto("10.0.0.12", 9), 0); /* not looked at */
	p->r->cfg->has_hostnet_quarantine = 1;
	assert_true(socket(AF_INET, SOCK_DGRAM, 0) < 0 && errno == EPERM);
	bpf_map_delete_elem(rig_fd(p->r->pod->maps.quarantined_cgroup), &id);
	assert_int_equal(podns_sendto("10.0.0.12", 9), 0);
	p->r->cfg->has_hostnet_quarantine = 0;
}

#define EVENT_PORT 4321

struct taken {
	struct bh_event_edge last;
	int n;
};

/* What a test's connection announces. The kernel of the pod says things of its own accord, when it
 * likes: ICMPv6, some of which is refused. */
static int take_event(void *ctx, void *data, size_t n)
{
	struct taken *t = ctx;
	struct bh_event_edge ev;

	assert_int_equal(n, sizeof(ev));
	memcpy(&ev, data, n);
	if (ev.key.proto == IPPROTO_ICMPV6)
		return 0;
	t->last = ev;
	t->n++;
	return 0;
}

static void test_event_names_the_process(void **state)
{
	struct podns *p = pod(state);
	struct taken t = {.n = 0};
	const struct bh_event_edge *ev = &t.last;
	struct ring_buffer *rb =
		ring_buffer__new(rig_fd(p->r->pod->maps.events), take_event, &t, NULL);
	char self[BH_PATH_MAX] = "";
	struct bh_edge e;

	assert_non_null(rb);
	ring_buffer__consume(rb);
	t.n = 0;
	podns_enter(p->pod_ns);
	assert_int_equal(podns_connect("10.0.0.12", EVENT_PORT, SOCK_STREAM, NULL), EPERM);
	podns_enter(p->host_ns);
	ring_buffer__consume(rb);
	assert_int_equal(t.n, 1);
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_int_equal(ev->pid, getpid());
	assert_int_equal(ev->uid, getuid());
	assert_int_equal(ev->key.dir, BH_EGRESS);
	assert_int_equal(ev->key.port, htons(EVENT_PORT));
	assert_int_equal(ev->key.reason, BH_R_DEFAULT_DENY);
	assert_int_equal(ev->path_len, strlen(self));
	assert_string_equal(ev->path, self);
	assert_int_equal(strncmp(ev->comm, strrchr(self, '/') + 1, 15), 0);
	assert_int_equal(rig_edges(p->r, BH_DENIED, BH_R_DEFAULT_DENY, NULL, &e), 1);
	assert_int_equal(e.pid, getpid());
	assert_int_equal(e.packets, 1);
	ring_buffer__free(rb);
}

/* ---- process-bound rules: this program copied to several places ---- */
static void name_exe(struct podns *p, const char *path, uint32_t id)
{
	struct bh_exe_key key = {.path = ""};

	memcpy(key.path, path, strlen(path));
	rig_put(p->r->pod->maps.exe, &key, &id);
}

/* Runs path as a child in the pod; its exit status is the errno of its connect(). */
static int run_in_pod(struct podns *p, const char *path, const char *addr, const char *port)
{
	pid_t pid;
	int status;

	podns_enter(p->pod_ns);
	pid = fork();
	if (pid == 0) {
		execl(path, "helper", "connect", addr, port, NULL);
		_exit(99);
	}
	podns_enter(p->host_ns);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_process_rules(void **state)
{
	struct podns *p = pod(state);
	char dir[BH_TEST_DIR], good[128], other[128], deep[600];
	int l4 = podns_bound("10.0.0.14", 80, SOCK_STREAM);
	int l6 = podns_bound("fd00::14", 80, SOCK_STREAM);

	bh_test_mkdir(dir);
	snprintf(good, sizeof(good), "%s/client", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	podns_sh("cp /proc/%d/exe %s; cp %s %s", getpid(), good, good, other);
	assert_int_equal(run_in_pod(p, good, "10.0.0.14", "80"), EPERM);
	name_exe(p, good, RIG_EXE);
	assert_int_equal(run_in_pod(p, good, "10.0.0.14", "80"), 0);
	assert_int_equal(run_in_pod(p, good, "fd00::14", "80"), 0);
	assert_int_equal(run_in_pod(p, good, "10.0.0.14", "81"), EPERM);
	assert_int_equal(run_in_pod(p, other, "10.0.0.14", "80"), EPERM);
	/* a path of 256 bytes is not known, whatever its beginning */
	snprintf(deep, sizeof(deep), "%s/%0*d/%0*d", dir, 120, 0, 120, 0);
	podns_sh("mkdir -p %s; cp %s %s/client", deep, good, deep);
	strcat(deep, "/client");
	assert_true(strlen(deep) > 255);
	assert_int_equal(run_in_pod(p, deep, "10.0.0.14", "80"), EPERM);
	assert_true(rig_edges(p->r, BH_DENIED, BH_R_PROCESS_UNKNOWN, NULL, NULL) > 0);
	assert_true(rig_edges(p->r, BH_DENIED, BH_R_PROCESS, NULL, NULL) > 0);
	bh_test_rmdir(dir);
	close(l4);
	close(l6);
}

/* The helper unlinks itself first. */
static void test_unlinked_executable(void **state)
{
	struct podns *p = pod(state);
	char dir[BH_TEST_DIR], good[128];
	int l4 = podns_bound("10.0.0.14", 80, SOCK_STREAM);

	bh_test_mkdir(dir);
	snprintf(good, sizeof(good), "%s/client", dir);
	podns_sh("cp /proc/%d/exe %s", getpid(), good);
	name_exe(p, good, RIG_EXE);
	setenv("BH_TEST_UNLINK", good, 1);
	assert_int_equal(run_in_pod(p, good, "10.0.0.14", "80"), EPERM);
	unsetenv("BH_TEST_UNLINK");
	bh_test_rmdir(dir);
	close(l4);
}

/* In a mount namespace of a user namespace of its own, anything can lie at the right path. */
static void test_forged_path(void **state)
{
	struct podns *p = pod(state);
	char dir[BH_TEST_DIR], good[128];
	int l4 = podns_bound("10.0.0.14", 80, SOCK_STREAM);

	bh_test_mkdir(dir);
	snprintf(good, sizeof(good), "%s/client", dir);
	podns_sh("cp /proc/%d/exe %s", getpid(), good);
	name_exe(p, good, RIG_EXE);
	setenv("BH_TEST_USERNS", good, 1);
	assert_int_equal(run_in_pod(p, good, "10.0.0.14", "80"), EPERM);
	unsetenv("BH_TEST_USERNS");
	bh_test_rmdir(dir);
	close(l4);
}

static void test_instruction_ceiling(void **state)
{
	struct podns *p = *state;
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, p->sock->obj)
	{
		struct bpf_prog_info info = {.type = 0};
		uint32_t n = sizeof(info);

		assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &n), 0);
		if (info.verified_insns > 24000) /* policy's loops over ports included */
			fail_msg("%s: %u instructions verified", info.name, info.verified_insns);
	}
}

/* The helper: connect ADDR PORT; exits with the errno. */
static int helper(char **argv)
{
	const char *path = getenv("BH_TEST_UNLINK"), *forge = getenv("BH_TEST_USERNS");
	union podns_addr a;
	socklen_t n = podns_addr(&a, argv[2], atoi(argv[3]));
	int fd;

	if (path)
		unlink(path);
	if (forge) {
		unsetenv("BH_TEST_USERNS");
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			return 98;
		execl(forge, "helper", "connect", argv[2], argv[3], NULL);
		return 97;
	}
	fd = socket(a.sa.sa_family, SOCK_STREAM, 0);
	return connect(fd, &a.sa, n) ? errno : 0;
}

static int setup(void **state)
{
	*state = podns_open();
	return 0;
}

static int teardown(void **state)
{
	podns_close(*state);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_sendto),
		cmocka_unit_test(test_other_namespaces_are_not_ours),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_bind_when_closed),
		cmocka_unit_test(test_hostnet_cgroup),
		cmocka_unit_test(test_event_names_the_process),
		cmocka_unit_test(test_process_rules),
		cmocka_unit_test(test_unlinked_executable),
		cmocka_unit_test(test_forged_path),
		cmocka_unit_test(test_instruction_ceiling),
	};

	if (argc == 4 && !strcmp(argv[1], "connect"))
		return helper(argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}

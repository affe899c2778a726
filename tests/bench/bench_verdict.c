/* bench_verdict.c - nanoseconds per packet over an empty program, by BPF_PROG_RUN, for several
 * manifest directories side by side. tests/bench/run makes a table of it.
 *
 * Usage: bench_verdict ROUNDS REPEAT DIR...
 *
 * Every DIR goes through the real parser, compiler and publish into maps of its own; its pod
 * bench/client stands behind a veth of this process's own network namespace. A round runs the empty
 * program and every world's program, one after the other, REPEAT packets each, and prints the
 * difference: "case<TAB>world<TAB>ns", world counting from 0 in the order of the arguments. For a
 * profiler, BH_BENCH_CASE=TEXT leaves out the cases whose name does not contain TEXT.
 *
 * What is run is a small driver, which moves the packet's source port on by one where a case wants
 * new flows, and tail-calls the program: so every packet of a batch is a connection never seen
 * before, caches are as warm as under load, and what the driver costs is subtracted with the empty
 * program, which is reached the same way. Between rounds the slot's flows are swept away,
 * unmeasured. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <bpf/bpf.h>

#include "base/fs.h"
#include "base/own.h"
#include "datapath/datapath.h"
#include "policy/objects.h"

#define MAX_WORLDS 4
#define SLOT	   1
#define GENERATION 7
#define SPORT_AT   (ETH_HLEN + 20)
#define FRAME_MAX  128
#define BPFFS	   "/sys/fs/bpf"

enum { CALL_EMPTY, CALL_FROM, CALL_TO, CALL_COUNT };

struct world {
	struct bh_datapath *dp;
	uint32_t ifindex;
	int calls;		   /* program array: CALL_* */
	int driver[CALL_COUNT][2]; /* programs; second: the source port moves on */
	int sweep;
};

static char cgroup[256];
static const uint8_t pod_mac[6] = {2, 0, 0, 0, 0, 2}, far_mac[6] = {2, 0, 0, 0, 0, 1};

static void die(const char *what)
{
	fprintf(stderr, "bench_verdict: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void must(int r, const struct bh_err *err)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench_verdict: %s\n", err->text);
	exit(1);
}

static void sh(const char *command)
{
	if (system(command) != 0)
		die(command);
}

/* ---- one world ---- */

static int load(const char *path, void *arg)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	bool changed;
	size_t len;

	must(bh_fs_read(path, 64u << 20, &text, &len, &err), &err);
	must(bh_objects_load(arg, path, text, len, &changed, &err), &err);
	return 0;
}

static struct bh_tables *compile(const char *dir)
{
	static const struct bh_subject subject = {"bench", "client"};
	struct bh_objects_options opt = {0};
	struct bh_objects *o;
	struct bh_tables *t;
	struct bh_world *w;
	struct bh_err err;

	must(bh_objects_new(&opt, &o, &err), &err);
	must(bh_fs_walk(dir, load, o, &err), &err);
	must(bh_world_new(&w, &err), &err);
	must(bh_objects_fill(o, w, &err), &err);
	w->now_s = time(NULL);
	must(bh_world_seal(w, &err), &err);
	must(bh_compile(w, &subject, 1, &t, &err), &err);
	bh_world_unref(w);
	bh_objects_free(o);
	return t;
}

static void publish(struct bh_datapath *dp, const char *dir)
{
	struct bh_tables *t = compile(dir);
	uint32_t slot = SLOT;
	struct bh_err err;
	struct bh_publish p = {.tables = t, .now_s = time(NULL), .now_ns = bh_datapath_now_ns()};

	p.slots_of = calloc(1, sizeof(*p.slots_of));
	if (!p.slots_of || t->n_subjects != 1)
		die("compile");
	p.slots_of[0].slot = &slot;
	p.slots_of[0].n = 1;
	must(bh_datapath_publish(dp, &p, &err), &err);
	free(p.slots_of);
	bh_tables_free(t);
}

static uint32_t attach(struct bh_datapath *dp, unsigned n)
{
	struct bh_ip ips[] = {bh_ip_from4(0x0a4eff01), {{0xfd, 0x78, [15] = 1}}};
	struct bh_attach a = {.slot = SLOT,
			      .generation = GENERATION,
			      .nsid = -1,
			      .has_mac = true,
			      .cookie = 1u << 30 | n,
			      .ips = ips,
			      .n_ips = 2,
			      .owns_cookie = true};
	char command[128], name[16];
	struct bh_err err;

	snprintf(name, sizeof(name), "bhb%u", n);
	snprintf(command, sizeof(command),
		 "ip link add %s type veth peer name pod%u && ip link set %s up", name, n, name);
	sh(command);
	a.ifindex = if_nametoindex(name);
	memcpy(a.mac, pod_mac, 6);
	must(bh_datapath_attach(dp, &a, &err), &err);
	return a.ifindex;
}

/* ---- programs ---- */

static int load_insns(const char *name, const struct bpf_insn *v, size_t n)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", v, n, NULL);

	if (fd < 0)
		die(name);
	return fd;
}

static int load_empty(void)
{
	const struct bpf_insn v[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return load_insns("empty", v, BH_ARRAY_SIZE(v));
}

#define LOAD(size, dst, src, at)                                                                   \
	{                                                                                          \
		.code = BPF_LDX | BPF_MEM | (size), .dst_reg = (dst), .src_reg = (src),            \
		.off = (int16_t)(at)                                                               \
	}
#define ALU(op, dst, from, src, k)                                                                 \
	{                                                                                          \
		.code = BPF_ALU64 | (op) | (from), .dst_reg = (dst), .src_reg = (src), .imm = (k)  \
	}

/* Tail-calls calls[index]; moves: adds one to the 16 bits of the source port before. */
static int load_driver(int calls, int index, bool moves)
{
	const struct bpf_insn v[] = {
		ALU(BPF_MOV, 6, BPF_X, 1, 0),
		LOAD(BPF_W, 2, 1, offsetof(struct __sk_buff, data)),
		LOAD(BPF_W, 3, 1, offsetof(struct __sk_buff, data_end)),
		ALU(BPF_MOV, 4, BPF_X, 2, 0),
		ALU(BPF_ADD, 4, BPF_K, 0, SPORT_AT + 2),
		{.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = 4, .src_reg = 3, .off = 8},
		LOAD(BPF_H, 5, 2, SPORT_AT),
		ALU(BPF_ADD, 5, BPF_K, 0, moves),
		{.code = BPF_STX | BPF_MEM | BPF_H, .dst_reg = 2, .src_reg = 5, .off = SPORT_AT},
		ALU(BPF_MOV, 1, BPF_X, 6, 0),
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = 2,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = calls},
		{0},
		ALU(BPF_MOV, 3, BPF_K, 0, index),
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call},
		ALU(BPF_MOV, 0, BPF_K, 0, 2),
		{.code = BPF_JMP | BPF_EXIT},
	};

	return load_insns("driver", v, BH_ARRAY_SIZE(v));
}

static int pinned_prog(const char *dir, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/abi%d/progs/%s", dir, BH_ABI_VERSION, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		die(path);
	return fd;
}

static void load_drivers(struct world *w, const char *bpffs)
{
	const int progs[CALL_COUNT] = {load_empty(), pinned_prog(bpffs, "bh_from_pod"),
				       pinned_prog(bpffs, "bh_to_pod")};

	w->sweep = pinned_prog(bpffs, "bh_sweep");
	for (int i = 0; i < CALL_COUNT; i++) {
		int calls = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "calls", 4, 4, 1, NULL);
		int zero = 0;

		if (calls < 0 || bpf_map_update_elem(calls, &zero, &progs[i], BPF_ANY))
			die("program array");
		w->driver[i][0] = load_driver(calls, 0, false);
		w->driver[i][1] = load_driver(calls, 0, true);
	}
}

static void open_world(struct world *w, const char *dir, unsigned n)
{
	struct bh_datapath_options opt = {.cgroup = cgroup};
	char bpffs[64];
	struct bh_err err;
	bool adopted;

	snprintf(bpffs, sizeof(bpffs), BPFFS "/w%u", n);
	opt.bpffs = bpffs;
	must(bh_datapath_open(&opt, &w->dp, &adopted, &err), &err);
	w->ifindex = attach(w->dp, n);
	publish(w->dp, dir);
	load_drivers(w, bpffs);
}

/* ---- packets ---- */

struct frame {
	uint8_t b[FRAME_MAX];
	uint32_t n;
};

struct kind {
	const char *name;
	const char *src, *dst;
	uint8_t proto;
	uint16_t sport, dport;
	uint8_t flags; /* TCP */
	uint8_t call;
	bool moves, sweeps;
};

#define FIN 1
#define SYN 2
#define ACK 16

static void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static uint8_t *put_ip(uint8_t *p, const struct kind *k, unsigned len)
{
	if (strchr(k->src, ':')) {
		p[0] = 0x60;
		put16(p + 4, len);
		p[6] = k->proto;
		p[7] = 64;
		inet_pton(AF_INET6, k->src, p + 8);
		inet_pton(AF_INET6, k->dst, p + 24);
		return p + 40;
	}
	p[0] = 0x45;
	put16(p + 2, 20 + len);
	p[8] = 64;
	p[9] = k->proto;
	inet_pton(AF_INET, k->src, p + 12);
	inet_pton(AF_INET, k->dst, p + 16);
	return p + 20;
}

static void build(struct frame *f, const struct kind *k)
{
	bool from = k->call != CALL_TO;
	unsigned len = k->proto == IPPROTO_TCP ? 20 + 12 : 8 + 12;
	uint8_t *p = f->b;

	memset(f, 0, sizeof(*f));
	memcpy(p, from ? far_mac : pod_mac, 6);
	memcpy(p + 6, from ? pod_mac : far_mac, 6);
	put16(p + 12, strchr(k->src, ':') ? ETH_P_IPV6 : ETH_P_IP);
	p = put_ip(p + ETH_HLEN, k, len);
	put16(p, k->sport);
	put16(p + 2, k->dport);
	if (k->proto == IPPROTO_TCP) {
		p[12] = 5 << 4;
		p[13] = k->flags;
	} else {
		put16(p + 4, len);
	}
	f->n = (uint32_t)(p + len - f->b);
}

static uint32_t run(const struct world *w, const struct kind *k, unsigned call, int repeat)
{
	struct __sk_buff ctx = {.ifindex = w->ifindex, .ingress_ifindex = k->call == CALL_TO};
	struct bpf_test_run_opts o = {
		.sz = sizeof(o), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = repeat};
	struct frame f;

	build(&f, k);
	o.data_in = f.b;
	o.data_size_in = f.n;
	if (bpf_prog_test_run_opts(w->driver[call][k->moves], &o))
		die("BPF_PROG_RUN");
	if (call != CALL_EMPTY && strstr(k->name, "denied") && o.retval != 2)
		die("what must be denied passed");
	if (call != CALL_EMPTY && !strstr(k->name, "denied") && (int)o.retval != -1)
		die("what must pass was denied");
	return o.duration;
}

static void sweep(const struct world *w)
{
	struct bh_sweep_args args = {.slot_plus_one = SLOT + 1, .all = 1};
	struct bpf_test_run_opts o = {
		.sz = sizeof(o), .ctx_in = &args, .ctx_size_in = sizeof(args)};

	while (bpf_prog_test_run_opts(w->sweep, &o) == 0 && o.retval)
		;
}

#define CLIENT "10.78.255.1"
#define SERVER "10.78.255.2"

static const struct kind stage[] = {
	{"SYN", CLIENT, SERVER, IPPROTO_TCP, 4000, 5001, SYN, CALL_FROM, false, false},
	{"SYN ACK", SERVER, CLIENT, IPPROTO_TCP, 5001, 4000, SYN | ACK, CALL_TO, false, false},
	{"UDP 6", "fd78::1", "fd78::2", IPPROTO_UDP, 4000, 5001, 0, CALL_FROM, false, false},
};

/* Those that sweep come last: they take the stage's flows with them. */
static const struct kind kinds[] = {
	{"established TCP, from the pod", CLIENT, SERVER, IPPROTO_TCP, 4000, 5001, ACK, CALL_FROM,
	 false, false},
	{"established TCP, to the pod", SERVER, CLIENT, IPPROTO_TCP, 5001, 4000, ACK, CALL_TO,
	 false, false},
	{"established UDP over IPv6, from the pod", "fd78::1", "fd78::2", IPPROTO_UDP, 4000, 5001,
	 0, CALL_FROM, false, false},
	{"new, denied: a port not allowed", CLIENT, SERVER, IPPROTO_TCP, 4000, 5999, SYN, CALL_FROM,
	 true, false},
	{"new, denied: an address nobody names", CLIENT, "203.0.113.9", IPPROTO_TCP, 4000, 5001,
	 SYN, CALL_FROM, true, false},
	{"new, denied: to the pod", "203.0.113.9", CLIENT, IPPROTO_TCP, 4000, 5999, SYN, CALL_TO,
	 true, false},
	{"new, allowed, with its flow entry", CLIENT, SERVER, IPPROTO_TCP, 1, 5001, SYN, CALL_FROM,
	 true, true},
	{"new, allowed, to the pod, with its flow entry", SERVER, CLIENT, IPPROTO_TCP, 1, 5001, SYN,
	 CALL_TO, true, true},
};

struct measuring {
	struct world *worlds;
	int n, rounds, repeat;
};

static void measure(const struct measuring *m, const struct kind *k)
{
	for (int round = 0; round < m->rounds; round++) {
		for (int i = 0; i < m->n; i++) {
			const struct world *w = &m->worlds[i];
			uint32_t empty = run(w, k, CALL_EMPTY, m->repeat);

			if (k->sweeps)
				sweep(w);
			printf("%s\t%d\t%d\n", k->name, i,
			       (int)run(w, k, k->call, m->repeat) - (int)empty);
		}
	}
}

static void measure_all(const struct measuring *m)
{
	const char *only = getenv("BH_BENCH_CASE");

	for (int i = 0; i < m->n; i++)
		for (size_t k = 0; k < BH_ARRAY_SIZE(stage); k++)
			run(&m->worlds[i], &stage[k], stage[k].call, 1);
	for (size_t k = 0; k < BH_ARRAY_SIZE(kinds); k++)
		if (!only || strstr(kinds[k].name, only))
			measure(m, &kinds[k]);
}

/* ---- surroundings ---- */

static void remove_cgroup(void)
{
	rmdir(cgroup);
}

static void on_signal(int signo)
{
	remove_cgroup();
	_exit(128 + signo);
}

/* A cgroup of our own below the cgroup2 mount, so that the socket hooks touch nobody. */
static void make_cgroup(void)
{
	FILE *f = fopen("/proc/self/mounts", "r");
	char type[32], dir[128], line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %127s %31s", dir, type) == 2 && !strcmp(type, "cgroup2"))
			snprintf(cgroup, sizeof(cgroup), "%s/bh-bench-%d", dir, (int)getpid());
	if (f)
		fclose(f);
	if (!cgroup[0] || mkdir(cgroup, 0755))
		die("a cgroup2 directory");
	atexit(remove_cgroup);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
}

static void isolate(void)
{
	cpu_set_t set;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", BPFFS, "bpf", 0, NULL))
		die("namespaces of our own");
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
	setpriority(PRIO_PROCESS, 0, -20);
}

int main(int argc, char **argv)
{
	struct world worlds[MAX_WORLDS] = {0};
	struct measuring m = {.worlds = worlds, .n = argc - 3};

	if (argc < 4 || m.n > MAX_WORLDS) {
		fprintf(stderr, "usage: bench_verdict ROUNDS REPEAT DIR...\n");
		return 2;
	}
	m.rounds = atoi(argv[1]);
	m.repeat = atoi(argv[2]);
	isolate();
	make_cgroup();
	for (int i = 0; i < m.n; i++)
		open_world(&worlds[i], argv[3 + i], (unsigned)i);
	measure_all(&m);
	for (int i = 0; i < m.n; i++)
		bh_datapath_close(worlds[i].dp);
	return 0;
}

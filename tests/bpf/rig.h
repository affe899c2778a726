/* rig.h - loads the packet programs unpinned and fills their maps with one small, fixed world.
 *
 * Slot 1 is the pod under test; its interface is the loopback device of the test's own namespace,
 * which is as good as any for BPF_PROG_RUN. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "bh_test.h"
#include "bulkhead/abi.h"
#include "pod.skel.h"

#define RIG_SLOT	1
#define RIG_IFINDEX	1
#define RIG_OTHER_IF	77 /* a packet that was forwarded came in there */
#define RIG_GENERATION	5
#define RIG_FLOW_QUOTA	1000
#define RIG_EDGE_QUOTA	4000
#define RIG_COOKIE	12345
#define RIG_RULES_OUT	1
#define RIG_RULES_IN	2
#define RIG_RULES_SPARE 3
#define RIG_PORTMAP	1

/* Peer classes of the world. */
enum rig_class {
	RIG_WORLD,
	RIG_WEB,    /* TCP 80, UDP 53, SCTP 99 */
	RIG_FRIEND, /* everything */
	RIG_NODE,   /* nothing, were it not the node */
	RIG_FOE,    /* an explicit deny */
	RIG_PROC,   /* TCP 80 by executable RIG_EXE only */
};
#define RIG_EXE 2

struct rig {
	struct pod_bpf *pod;
	struct bh_config *cfg; /* mapped */
	struct bh_slot *slots; /* mapped */
	uint32_t epoch;	       /* of the last world; each has one of its own, as tables do */
	size_t slots_size;
};

static const uint8_t rig_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t rig_peer_mac[6] = {2, 0, 0, 0, 0, 1};

static inline int rig_fd(const struct bpf_map *m)
{
	return bpf_map__fd(m);
}

/* The address as 16 bytes, IPv4 v4-mapped. */
static inline int rig_addr(const char *text, uint8_t a[16])
{
	if (strchr(text, ':'))
		return inet_pton(AF_INET6, text, a) == 1 ? 6 : 0;
	memset(a, 0, 10);
	memset(a + 10, 0xff, 2);
	return inet_pton(AF_INET, text, a + 12) == 1 ? 4 : 0;
}

static inline void rig_put(const struct bpf_map *m, const void *key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(rig_fd(m), key, value, BPF_ANY), 0);
}

static inline void rig_peer(struct rig *r, const char *addr, uint32_t class)
{
	struct bh_class c = {{class, class}};
	uint8_t a[16];

	if (rig_addr(addr, a) == 6)
		rig_put(r->pod->maps.peer6, a, &c);
	else
		rig_put(r->pod->maps.peer4, a + 12, &c);
}

static inline void rig_cidr(struct rig *r, const char *addr, uint32_t len, uint32_t class)
{
	struct bh_class c = {{class, class}};
	struct bh_lpm6 k6 = {.prefixlen = len};
	struct bh_lpm4 k4 = {.prefixlen = len};
	uint8_t a[16];

	if (rig_addr(addr, a) == 6) {
		memcpy(k6.addr, a, 16);
		rig_put(r->pod->maps.cidr6, &k6, &c);
	} else {
		memcpy(k4.addr, a + 12, 4);
		rig_put(r->pod->maps.cidr4, &k4, &c);
	}
	r->cfg->has_cidrs[0] = r->cfg->has_cidrs[1] = 1;
}

/* Port class 1: TCP 80, 2: UDP 53, 3: SCTP 99; the rest is class 0. */
static inline void rig_ports(struct rig *r)
{
	struct bh_portmap *pm = calloc(1, sizeof(*pm));
	struct bh_portpage page = {{0}};
	uint32_t id;

	assert_non_null(pm);
	for (id = 1; id <= 3; id++) {
		static const uint8_t port[] = {0, 80, 53, 99};

		memset(&page, 0, sizeof(page));
		page.class[port[id]] = id;
		rig_put(r->pod->maps.portpage, &id, &page);
		pm->page[id - 1][0] = id;
	}
	id = RIG_PORTMAP;
	rig_put(r->pod->maps.portmap, &id, pm);
	free(pm);
}

static inline void rig_row(struct rig *r, uint32_t ruleset, uint32_t class, struct bh_row row)
{
	struct bh_row_key key = {ruleset, class};

	rig_put(r->pod->maps.row, &key, &row);
}

static inline void rig_ruleset(struct rig *r, uint32_t id)
{
	static const struct bh_ruleset rs = {.portmap = RIG_PORTMAP};
	struct bh_procrow_key proc = {id, RIG_PROC, 1, RIG_EXE};
	uint32_t one = 1;

	rig_put(r->pod->maps.ruleset, &id, &rs);
	rig_row(r, id, RIG_WEB, (struct bh_row){.allow = {0xe}});
	rig_row(r, id, RIG_FRIEND, (struct bh_row){.allow = {~0ULL, ~0ULL, ~0ULL, ~0ULL}});
	rig_row(r, id, RIG_FOE, (struct bh_row){.deny = {~0ULL, ~0ULL, ~0ULL, ~0ULL}});
	rig_row(r, id, RIG_PROC, (struct bh_row){.cond = {2}});
	rig_put(r->pod->maps.procrow, &proc, &one);
}

static inline void rig_slot_init(struct rig *r)
{
	struct bh_slot *s = &r->slots[RIG_SLOT];
	uint8_t a[16];

	memset(s, 0, sizeof(*s));
	s->side[0].ruleset[BH_EGRESS] = s->side[1].ruleset[BH_EGRESS] = RIG_RULES_OUT;
	s->side[0].ruleset[BH_INGRESS] = s->side[1].ruleset[BH_INGRESS] = RIG_RULES_IN;
	s->flags = BH_SLOT_LIVE;
	s->generation = RIG_GENERATION;
	s->ifindex = RIG_IFINDEX;
	s->nsid = -1;
	s->flow_quota = RIG_FLOW_QUOTA;
	s->edge_quota = RIG_EDGE_QUOTA;
	s->cookie = RIG_COOKIE;
	memcpy(s->mac, rig_mac, 6);
	rig_addr("10.0.0.2", a);
	memcpy(s->addr4[0], a + 12, 4);
	rig_addr("10.0.0.3", a);
	memcpy(s->addr4[1], a + 12, 4);
	rig_addr("fd00::2", s->addr6[0]);
	rig_addr("fd00::3", s->addr6[1]);
}

static inline uint32_t rig_tick_ns(void)
{
	struct timespec t;

	assert_int_equal(clock_getres(CLOCK_MONOTONIC_COARSE, &t), 0);
	return t.tv_nsec;
}

static inline void rig_world(struct rig *r)
{
	uint32_t ifindex = RIG_IFINDEX, slot = RIG_SLOT;

	memset(r->cfg, 0, sizeof(*r->cfg));
	r->cfg->abi = BH_ABI_VERSION;
	r->cfg->epoch = r->epoch += 1024;
	r->cfg->tick_ns = rig_tick_ns();
	rig_put(r->pod->maps.slot_by_ifindex, &ifindex, &slot);
	rig_slot_init(r);
	rig_ports(r);
	rig_ruleset(r, RIG_RULES_OUT);
	rig_ruleset(r, RIG_RULES_IN);
	rig_peer(r, "10.0.0.10", RIG_WEB);
	rig_peer(r, "fd00::10", RIG_WEB);
	rig_peer(r, "10.0.0.11", RIG_FRIEND);
	rig_peer(r, "fd00::11", RIG_FRIEND);
	rig_peer(r, "10.0.0.1", RIG_NODE | BH_CLASS_NODE);
	rig_peer(r, "fd00::1", RIG_NODE | BH_CLASS_NODE);
	rig_peer(r, "10.0.0.13", RIG_FOE);
	rig_peer(r, "10.0.0.14", RIG_PROC);
	rig_peer(r, "fd00::14", RIG_PROC);
	rig_peer(r, "198.51.100.1", BH_CLASS_ABSENT);
	rig_cidr(r, "198.51.100.0", 24, RIG_FRIEND);
	rig_cidr(r, "2001:db8::", 32, RIG_FRIEND);
	rig_cidr(r, "2001:db8:bad::", 48, RIG_WORLD);
}

static inline int rig_run(struct bpf_program *p, void *ctx, uint32_t size)
{
	struct bpf_test_run_opts o = {.sz = sizeof(o), .ctx_in = ctx, .ctx_size_in = size};

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(p), &o), 0);
	return o.retval;
}

/* One sweep. The timer's own may be under way, and where its CPU is stopped in the middle of it,
 * that takes as long as it takes. */
static inline void rig_sweep(struct rig *r, struct bh_sweep_args *a)
{
	int is_busy = 1;

	for (int i = 0; i < 20000 && is_busy; i++) {
		is_busy = rig_run(r->pod->progs.bh_sweep, a, sizeof(*a));
		if (is_busy)
			usleep(1000);
	}
	assert_int_equal(is_busy, 0);
}

/* Forgets every flow, and the slot's edges. */
static inline void rig_purge(struct rig *r)
{
	struct bh_sweep_args a = {.slot_plus_one = RIG_SLOT + 1, .all = 1};

	rig_sweep(r, &a);
}

/* A namespace of the test's own, with its loopback device up; before anything else. */
static inline void rig_netns(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("ip link set lo up"), 0);
}

static inline void rig_unpin(struct bpf_object *obj)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, obj) bpf_map__set_pin_path(m, NULL);
}

static inline int rig_quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

static inline struct rig *rig_open(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	libbpf_set_print(rig_quiet);
	r->pod = pod_bpf__open();
	assert_non_null(r->pod);
	rig_unpin(r->pod->obj);
	assert_int_equal(pod_bpf__load(r->pod), 0);
	r->slots_size = (sizeof(struct bh_slot) * BH_MAX_SLOTS + 4095) & ~4095UL;
	r->slots = mmap(NULL, r->slots_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			rig_fd(r->pod->maps.endpoint), 0);
	assert_true(r->slots != MAP_FAILED);
	r->cfg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, rig_fd(r->pod->maps.config),
		      0);
	assert_true(r->cfg != MAP_FAILED);
	rig_world(r);
	return r;
}

static inline void rig_close(struct rig *r)
{
	munmap(r->slots, r->slots_size);
	munmap(r->cfg, 4096);
	pod_bpf__destroy(r->pod);
	free(r);
}

/* Counters of `drop`, all CPUs. */
static inline void rig_drops(struct rig *r, uint64_t packets[BH_R_COUNT])
{
	int n = libbpf_num_possible_cpus();
	struct bh_drop *v = calloc(n, sizeof(*v));
	uint32_t i;

	assert_non_null(v);
	for (i = 0; i < BH_R_COUNT; i++) {
		packets[i] = 0;
		assert_int_equal(bpf_map_lookup_elem(rig_fd(r->pod->maps.drop), &i, v), 0);
		for (int c = 0; c < n; c++)
			packets[i] += v[c].packets;
	}
	free(v);
}

/* Edges of the slot with this verdict and reason; *ret_last: one of them. */
static inline int rig_edges(struct rig *r, int verdict, int reason, struct bh_edge_key *ret_last,
			    struct bh_edge *ret_value)
{
	struct bh_edge_key key, *prev = NULL;
	struct bh_edge e;
	int n = 0, fd = rig_fd(r->pod->maps.edge);

	while (bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		if (key.verdict != verdict || key.reason != reason ||
		    bpf_map_lookup_elem(fd, &key, &e))
			continue;
		n++;
		if (ret_last)
			*ret_last = key;
		if (ret_value)
			*ret_value = e;
	}
	return n;
}

/* Entries of `flow`; the last one is copied. */
static inline int rig_flows(struct rig *r, struct bh_flow_key *ret_key, struct bh_flow *ret_flow)
{
	struct bh_flow_key key, *prev = NULL;
	int n = 0, fd = rig_fd(r->pod->maps.flow);

	while (bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		n++;
		if (ret_key)
			*ret_key = key;
		if (ret_flow)
			assert_int_equal(bpf_map_lookup_elem(fd, &key, ret_flow), 0);
	}
	return n;
}

static inline struct bh_usage rig_usage(struct rig *r)
{
	uint32_t slot = RIG_SLOT;
	struct bh_usage u;

	assert_int_equal(bpf_map_lookup_elem(rig_fd(r->pod->maps.usage), &slot, &u), 0);
	return u;
}

/* Runs one frame. Returns the reason it was dropped for, or 0 when it passed. */
static inline int rig_frame(struct rig *r, enum bh_dir dir, const void *frame, size_t n,
			    struct __sk_buff *ctx)
{
	struct bpf_program *p =
		dir == BH_EGRESS ? r->pod->progs.bh_from_pod : r->pod->progs.bh_to_pod;
	uint64_t before[BH_R_COUNT], after[BH_R_COUNT];
	int reason = 0, dropped = 0;
	struct bpf_test_run_opts o = {.sz = sizeof(o),
				      .data_in = frame,
				      .data_size_in = n,
				      .ctx_in = ctx,
				      .ctx_size_in = sizeof(*ctx)};

	rig_drops(r, before);
	if (bpf_prog_test_run_opts(bpf_program__fd(p), &o))
		fail_msg("BPF_PROG_RUN of %zu bytes: %s", n, strerror(errno));
	rig_drops(r, after);
	for (int i = 0; i < BH_R_COUNT; i++) {
		if (after[i] == before[i])
			continue;
		dropped++;
		reason = i;
	}
	assert_int_equal((int)o.retval, dropped ? 2 : -1); /* TC_ACT_SHOT, TC_ACT_UNSPEC */
	assert_true(dropped <= 1);
	return reason;
}

static inline const char *rig_reason(int reason)
{
	static const char *const name[] = {
#define RIG_NAME_(sym, n, text) n,
		BH_REASONS(RIG_NAME_)
#undef RIG_NAME_
	};

	return reason >= 0 && reason < BH_R_COUNT ? name[reason] : "?";
}

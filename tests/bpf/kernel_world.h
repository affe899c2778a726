/* kernel_world.h - a world of pods in the kernel: every pod is an interface of its own, its tables
 * are published into real maps. Failures are cmocka failures. See kernel_eval.h for asking it. */
#pragma once

#include <net/if.h>

#include "bh_agree.h"
#include "dp_env.h"
#include "rig.h"

#define KE_PODS	    40
#define KE_IPS	    8
#define KE_CPUS	    1024
#define KE_ABROAD   60000 /* interface that forwarded packets came in by */
#define KE_PORT_MIN 20000 /* openers' ports; no world names one of these */
#define KE_PORT_MAX 59999

struct ke_pod { /* slot and interface are its place in the array */
	char name[128];
	struct bh_ip ips[KE_IPS];
	size_t n_ips;
	uint32_t ifindex, generation;
	bool is_live;  /* has a pod */
	bool is_spare; /* attached, but its pod is gone */
};

struct ke_tally {
	size_t halves, allowed, conditional, packets, publishes;
};

struct ke {
	struct dp_env e;
	struct bh_datapath *dp;			    /* e.dp */
	int prog[2], sweep, drop, flow, usage, exe; /* descriptors */
	struct ke_pod pod[KE_PODS];
	uint64_t drops[BH_R_COUNT]; /* that we know of */
	uint16_t next_port;
	/* in force */
	const struct bh_world *w; /* seen at at_s */
	const struct bh_tables *t;
	int64_t at_s;
	uint64_t since_ns; /* the kernel's time then */
	uint64_t patience_ns;
	bool is_left_alone; /* not published again: a publish has failed and is looked at */
	bool is_contested;  /* addresses may have several owners: the reference is one bound only */
	struct ke_tally tally;
};

/* ---- the machine ---- */

static inline int ke_pin(const char *kind, const char *name)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), DP_BPFFS "/abi%d/%s/%s", BH_ABI_VERSION, kind, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		fail_msg("'%s': %s", path, strerror(errno));
	return fd;
}

static inline void ke_read_drops(const struct ke *k, uint64_t packets[BH_R_COUNT])
{
	int n = libbpf_num_possible_cpus();
	struct bh_drop v[KE_CPUS];

	assert_true(n > 0 && n <= KE_CPUS);
	for (uint32_t i = 0; i < BH_R_COUNT; i++) {
		packets[i] = 0;
		assert_int_equal(bpf_map_lookup_elem(k->drop, &i, v), 0);
		for (int c = 0; c < n; c++)
			packets[i] += v[c].packets;
	}
}

static inline void ke_open(struct ke *k)
{
	dp_open(&k->e);
	k->dp = k->e.dp;
	k->prog[BH_EGRESS] = ke_pin("progs", "bh_from_pod");
	k->prog[BH_INGRESS] = ke_pin("progs", "bh_to_pod");
	k->sweep = ke_pin("progs", "bh_sweep");
	k->drop = ke_pin("maps", "drop");
	k->flow = ke_pin("maps", "flow");
	k->usage = ke_pin("maps", "usage");
	k->exe = ke_pin("maps", "exe");
	ke_read_drops(k, k->drops);
}

static inline void ke_close(struct ke *k)
{
	const int fds[] = {k->prog[0], k->prog[1], k->sweep, k->drop, k->flow, k->usage, k->exe};

	for (size_t i = 0; i < BH_ARRAY_SIZE(fds); i++)
		close(fds[i]);
	bh_datapath_closep(&k->e.dp);
}

/* As if the daemon had been restarted. */
static inline void ke_reopen(struct ke *k)
{
	ke_close(k);
	ke_open(k);
	assert_true(k->e.is_adopted);
}

static inline int ke_setup(void **state)
{
	struct ke *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	*state = k;
	dp_find_cgroup(k->e.cgroup);
	assert_true(k->e.cgroup[0]);
	assert_true(mkdir(k->e.cgroup, 0755) == 0 || errno == EEXIST);
	/* nothing is ever sent through them, so both ends of a pair will do */
	dp_sh("for i in $(seq 1 2 %d); do echo link add bhk$i type veth peer name bhk$((i+1)); "
	      "done | ip -batch -",
	      KE_PODS - 1);
	for (unsigned i = 1; i < KE_PODS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "bhk%u", i);
		k->pod[i].ifindex = if_nametoindex(name);
		assert_true(k->pod[i].ifindex > 0 && k->pod[i].ifindex < KE_ABROAD);
	}
	k->next_port = KE_PORT_MIN;
	ke_open(k);
	return 0;
}

static inline int ke_teardown(void **state)
{
	struct ke *k = *state;
	struct bh_err err;

	ke_close(k);
	bh_datapath_remove_all(DP_BPFFS, &err);
	dp_sh("for i in $(seq 1 2 %d); do echo link del bhk$i; done | ip -batch -", KE_PODS - 1);
	rmdir(k->e.cgroup);
	free(k);
	return 0;
}

/* Forgets every flow. */
static inline void ke_sweep(struct ke *k)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct bh_sweep_args a = {.all = 1};
	struct bpf_test_run_opts o = {.sz = sizeof(o), .ctx_in = &a, .ctx_size_in = sizeof(a)};

	for (int i = 0; i < 20000; i++) { /* the timer's own sweep may be under way */
		assert_int_equal(bpf_prog_test_run_opts(k->sweep, &o), 0);
		if (o.retval == 0)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("the sweeper is always busy");
}

/* ---- the world ---- */

static inline bool ke_is_subject(const struct bh_pod *pod)
{
	return pod && pod->phase == BH_POD_RUNNING && !pod->host_network;
}

/* Its slot; 0: it has none. */
static inline uint32_t ke_slot(const struct ke *k, const char *ns, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", ns, name);
	for (uint32_t i = 1; i < KE_PODS; i++)
		if (k->pod[i].is_live && strcmp(k->pod[i].name, text) == 0)
			return i;
	return 0;
}

static inline void ke_attach(struct ke *k, const struct bh_pod *pod)
{
	struct bh_attach a = {.slot = 1, .nsid = -1, .has_mac = true, .flags = BH_SLOT_SHUT};
	struct ke_pod *p;
	struct bh_err err;

	while (a.slot < KE_PODS && !k->pod[a.slot].is_spare)
		a.slot++;
	for (uint32_t i = 1; a.slot == KE_PODS && i < KE_PODS; i++)
		if (!k->pod[i].is_live)
			a.slot = i;
	assert_true(a.slot < KE_PODS && pod->n_ips <= KE_IPS);
	p = &k->pod[a.slot];
	snprintf(p->name, sizeof(p->name), "%s/%s", pod->ident->ns, pod->name);
	memcpy(p->ips, pod->ips, pod->n_ips * sizeof(*p->ips));
	p->n_ips = pod->n_ips;
	a.generation = ++p->generation;
	a.ifindex = p->ifindex;
	a.cookie = 1000000 + a.slot;
	a.owns_cookie = true;
	memcpy(a.mac, rig_mac, sizeof(a.mac));
	a.ips = p->ips;
	a.n_ips = p->n_ips;
	bh_assert_ok(&err, bh_datapath_attach(k->dp, &a, &err));
	p->is_live = true;
	p->is_spare = false;
}

static inline bool ke_is_current(const struct ke_pod *p, const struct bh_world *w)
{
	char name[128], *slash;
	const struct bh_pod *pod;

	snprintf(name, sizeof(name), "%s", p->name);
	slash = strchr(name, '/');
	*slash = '\0';
	pod = bh_world_pod(w, name, slash + 1);
	return ke_is_subject(pod) && pod->n_ips == p->n_ips &&
	       memcmp(pod->ips, p->ips, p->n_ips * sizeof(*p->ips)) == 0;
}

/* Most interfaces wait for another pod, shut, because attaching and detaching take long. */
static inline void ke_retire(struct ke *k, uint32_t slot)
{
	struct ke_pod *p = &k->pod[slot];
	struct bh_err err;

	p->is_live = false;
	p->is_spare = p->generation % 4 != 0;
	if (p->is_spare)
		assert_int_equal(bh_datapath_set_flags(k->dp, slot, BH_SLOT_SHUT, 0), 0);
	else
		bh_assert_ok(&err, bh_datapath_detach(k->dp, slot, &err));
}

/* Interfaces of exactly the pods of w. */
static inline void ke_fit(struct ke *k, const struct bh_world *w)
{
	for (uint32_t i = 1; i < KE_PODS; i++)
		if (k->pod[i].is_live && !ke_is_current(&k->pod[i], w))
			ke_retire(k, i);
	for (size_t i = 0; i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];

		if (ke_is_subject(pod) && pod->n_ips && !ke_slot(k, pod->ident->ns, pod->name))
			ke_attach(k, pod);
	}
}

static inline int ke_try_publish(struct ke *k, const struct bh_tables *t, int64_t at_s,
				 struct bh_err *err)
{
	struct bh_publish p = {.tables = t, .now_s = at_s, .now_ns = bh_datapath_now_ns()};
	uint32_t slots[KE_PODS];
	int r;

	assert_true(t->n_subjects < KE_PODS);
	p.slots_of = calloc(t->n_subjects + 1, sizeof(*p.slots_of));
	assert_non_null(p.slots_of);
	for (size_t i = 0; i < t->n_subjects; i++) {
		slots[i] = ke_slot(k, t->subjects[i].ns, t->subjects[i].name);
		p.slots_of[i].slot = &slots[i];
		p.slots_of[i].n = slots[i] != 0;
	}
	r = bh_datapath_publish(k->dp, &p, err);
	free(p.slots_of);
	return r;
}

static inline void ke_publish(struct ke *k, const struct bh_tables *t, int64_t at_s)
{
	struct bh_err err;

	bh_assert_ok(&err, ke_try_publish(k, t, at_s, &err));
	k->tally.publishes++;
}

/* How long the kernel may be asked before its time is set back: a third of what is left before the
 * next ruleset ends. */
static inline uint64_t ke_patience_ns(const struct bh_tables *t, int64_t at_s)
{
	int64_t left_s = 86400;

	for (size_t i = 0; i < t->n_rulesets; i++) {
		int64_t until_s = t->rulesets[i].until_s;

		if (until_s > at_s && until_s - at_s < left_s)
			left_s = until_s - at_s;
	}
	return (uint64_t)left_s * 1000000000 / 3;
}

/* A clock that is set by a second is not believed; by a day and back it is, once nobody remembers.
 */
static inline void ke_set_clock(struct ke *k)
{
	for (int i = 0; i < 2; i++)
		ke_publish(k, k->t, k->at_s - 86400);
	k->since_ns = bh_datapath_now_ns();
	ke_publish(k, k->t, k->at_s);
}

/* The kernel enforces t, whose world is w, and believes that it is at_s. Both are borrowed. */
static inline void ke_enforce(struct ke *k, const struct bh_world *w, const struct bh_tables *t,
			      int64_t at_s)
{
	bool is_clock_set = at_s != k->at_s;

	ke_fit(k, w);
	k->w = w;
	k->t = t;
	k->at_s = at_s;
	k->patience_ns = ke_patience_ns(t, at_s);
	if (is_clock_set || k->patience_ns < 1000000000) {
		ke_set_clock(k);
	} else {
		k->since_ns = bh_datapath_now_ns();
		ke_publish(k, t, at_s);
	}
	for (uint32_t i = 1; i < KE_PODS; i++)
		if (k->pod[i].is_live)
			assert_int_equal(bh_datapath_set_flags(k->dp, i, 0, BH_SLOT_SHUT), 0);
}

/* The kernel's time goes on while it is asked: before anything ends, it is set back. */
static inline void ke_stay(struct ke *k)
{
	if (!k->is_left_alone && bh_datapath_now_ns() - k->since_ns > k->patience_ns)
		ke_set_clock(k);
}

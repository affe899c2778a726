/* Facts: edges with the counters of their live flows added. */
#include "datapath/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Live flows of one edge. */
struct live {
	uint64_t packets, bytes, first_ns, last_ns;
	uint32_t n, generation;
	bool has_edge;
};

struct gather {
	struct bh_datapath *dp;
	uint32_t slot;	    /* 0: all */
	struct bh_map live; /* struct bh_edge_key > struct live */
	int (*fn)(const struct bh_edge_fact *e, void *arg);
	void *arg;
};

static void gather_done(struct gather *g)
{
	bh_map_done(&g->live);
}

static struct bh_edge_key key_of_flow(const struct bh_flow_key *k, const struct bh_flow *f)
{
	struct bh_edge_key key = {
		.slot = k->slot,
		.port = f->dir == BH_EGRESS ? k->rport : k->lport,
		.dir = f->dir,
		.proto = k->proto,
		.verdict = BH_ALLOWED,
		.reason = f->reason,
	};

	memcpy(key.remote, k->remote, sizeof(key.remote));
	return key;
}

static int add_flow(const void *key, const void *value, void *arg)
{
	const struct bh_flow_key *k = key;
	const struct bh_flow *f = value;
	struct gather *g = arg;
	struct bh_edge_key ek = key_of_flow(k, f);
	struct live *l;

	/* a former tenant's flow waits for the sweeper and belongs to nobody */
	if ((g->slot && k->slot != g->slot) || k->slot >= BH_MAX_SLOTS ||
	    f->generation != g->dp->slot[k->slot].generation)
		return 0;
	l = bh_map_get(&g->live, &ek, sizeof(ek));
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l || bh_map_set(&g->live, &ek, sizeof(ek), l)) {
			free(l);
			return -ENOMEM;
		}
		l->first_ns = f->first_ns;
		l->generation = f->generation;
	}
	l->packets += f->packets;
	l->bytes += f->bytes;
	l->n++;
	if (f->first_ns < l->first_ns)
		l->first_ns = f->first_ns;
	if (f->last_ns > l->last_ns)
		l->last_ns = f->last_ns;
	return 0;
}

static int give_edge(const void *key, const void *value, void *arg)
{
	struct gather *g = arg;
	struct bh_edge_fact fact;
	struct live *l;

	memcpy(&fact.key, key, sizeof(fact.key));
	memcpy(&fact.value, value, sizeof(fact.value));
	fact.live_flows = 0;
	if (g->slot && fact.key.slot != g->slot)
		return 0;
	l = bh_map_get(&g->live, &fact.key, sizeof(fact.key));
	if (l && l->generation == fact.value.generation) {
		fact.value.packets += l->packets;
		fact.value.bytes += l->bytes;
		if (l->last_ns > fact.value.last_ns)
			fact.value.last_ns = l->last_ns;
		fact.live_flows = l->n;
		l->has_edge = true;
	}
	return g->fn(&fact, g->arg);
}

/* Flows whose edge does not exist: over the quota, or forgotten while they live. */
static int give_rest(struct gather *g)
{
	const struct bh_map_entry *e;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && (e = bh_map_next(&g->live, &pos))) {
		const struct live *l = e->value;
		struct bh_edge_fact fact = {.live_flows = l->n};

		if (l->has_edge)
			continue;
		memcpy(&fact.key, e->key, sizeof(fact.key));
		fact.value = (struct bh_edge){.first_ns = l->first_ns,
					      .last_ns = l->last_ns,
					      .packets = l->packets,
					      .bytes = l->bytes,
					      .generation = l->generation};
		r = g->fn(&fact, g->arg);
	}
	return r;
}

int bh_datapath_edges(struct bh_datapath *dp, uint32_t slot,
		      int (*fn)(const struct bh_edge_fact *e, void *arg), void *arg,
		      struct bh_err *err)
{
	BH_CLEANUP(gather_done) struct gather g = {.dp = dp, .slot = slot, .fn = fn, .arg = arg};
	int r;

	if (slot && bh_dp_slot_is_empty(dp, slot))
		return 0;
	bh_map_init(&g.live, free);
	r = bh_kmap_each(&dp->map[BH_M_FLOW], add_flow, &g, err);
	if (r == 0)
		r = bh_kmap_each(&dp->map[BH_M_EDGE], give_edge, &g, err);
	return r ? r : give_rest(&g);
}

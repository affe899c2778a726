/* What the kernel holds, read into memory: after a restart and after a publish that failed
 * half-way.
 *
 * Contents are not known then, only ids. So the next publish writes everything under fresh ids
 * beside those in use, and what nobody uses (also what a killed daemon left half-written) is
 * released. */
#include "datapath/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_LIMIT 0x7ffffffeu /* below BH_CLASS_DEFAULT and the node flag */

void bh_tstate_done(struct bh_tstate *ts)
{
	bh_ids_done(&ts->classes);
	bh_ids_done(&ts->pages);
	bh_ids_done(&ts->portmaps);
	bh_ids_done(&ts->rulesets);
	for (int f = 0; f < 2; f++) {
		bh_vec_done(&ts->peers[f]);
		bh_vec_done(&ts->cidrs[f]);
	}
	bh_vec_each (exe, &ts->exes)
		free(exe->path);
	bh_vec_done(&ts->exes);
	ts->n_rows = ts->n_procrows = 0;
	ts->is_loaded = false;
}

struct load {
	struct bh_datapath *dp;
	struct bh_tstate *ts;
	unsigned live;
	enum bh_family family;
	uint32_t max_class;
	uint32_t *pos_of; /* by ruleset id: position in rulesets, plus 1; owned */
};

static void load_done(struct load *l)
{
	free(l->pos_of);
}

static void saw_class(struct load *l, uint32_t class)
{
	if (class == BH_CLASS_ABSENT)
		return;
	class &= ~BH_CLASS_NODE;
	if (class > l->max_class && class < CLASS_LIMIT)
		l->max_class = class;
}

static int load_peer(const void *key, const void *value, void *arg)
{
	struct load *l = arg;
	const struct bh_class *class = value;
	struct bh_peer_memo p = {.id = {class->id[0], class->id[1]}};

	if (l->family == BH_V4) {
		p.ip.b[10] = p.ip.b[11] = 0xff;
		memcpy(p.ip.b + 12, key, 4);
	} else {
		memcpy(p.ip.b, key, 16);
	}
	saw_class(l, p.id[0]);
	saw_class(l, p.id[1]);
	return bh_vec_push(&l->ts->peers[l->family], p);
}

static int load_cidr(const void *key, const void *value, void *arg)
{
	struct load *l = arg;
	const struct bh_class *class = value;
	struct bh_cidr_memo c = {.in = (uint8_t)(1u << l->live),
				 .id = {class->id[0], class->id[1]}};

	if (l->family == BH_V4) {
		const struct bh_lpm4 *k = key;

		c.cidr.ip.b[10] = c.cidr.ip.b[11] = 0xff;
		memcpy(c.cidr.ip.b + 12, k->addr, sizeof(k->addr));
		c.cidr.len = (uint8_t)(k->prefixlen + 96);
	} else {
		const struct bh_lpm6 *k = key;

		memcpy(c.cidr.ip.b, k->addr, sizeof(k->addr));
		c.cidr.len = (uint8_t)k->prefixlen;
	}
	saw_class(l, c.id[0]);
	saw_class(l, c.id[1]);
	return bh_vec_push(&l->ts->cidrs[l->family], c);
}

static int peer_cmp(const void *a, const void *b)
{
	return bh_ip_cmp(&((const struct bh_peer_memo *)a)->ip,
			 &((const struct bh_peer_memo *)b)->ip);
}

static int cidr_cmp(const void *a, const void *b)
{
	return bh_cidr_cmp(&((const struct bh_cidr_memo *)a)->cidr,
			   &((const struct bh_cidr_memo *)b)->cidr);
}

static int load_addresses(struct load *l, struct bh_err *err)
{
	struct bh_tstate *ts = l->ts;
	int r = 0;

	for (int f = 0; r == 0 && f < 2; f++) {
		l->family = (enum bh_family)f;
		r = bh_kmap_each(&l->dp->map[f == BH_V4 ? BH_M_PEER4 : BH_M_PEER6], load_peer, l,
				 err);
		if (r == 0)
			r = bh_kmap_each(&l->dp->map[f == BH_V4 ? BH_M_CIDR4 : BH_M_CIDR6],
					 load_cidr, l, err);
		bh_vec_shrink(&ts->peers[f]);
		if (ts->peers[f].n)
			qsort(ts->peers[f].v, ts->peers[f].n, sizeof(*ts->peers[f].v), peer_cmp);
		if (ts->cidrs[f].n)
			qsort(ts->cidrs[f].v, ts->cidrs[f].n, sizeof(*ts->cidrs[f].v), cidr_cmp);
	}
	return r;
}

/* The memo of a ruleset id, made on first sight; NULL without memory or for an impossible id. */
static struct bh_id *ruleset_seen(struct load *l, uint32_t kid)
{
	struct bh_id *id;

	if (kid == 0 || kid >= BH_MAX_RULESETS)
		return NULL;
	if (l->pos_of[kid])
		return &l->ts->rulesets.v.v[l->pos_of[kid] - 1];
	id = bh_ids_adopt(&l->ts->rulesets, kid, 0);
	if (!id)
		return NULL;
	id->memo = calloc(1, sizeof(*id->memo));
	if (!id->memo)
		return NULL;
	l->pos_of[kid] = (uint32_t)l->ts->rulesets.v.n;
	return id;
}

static int grow(void **v, size_t n, size_t *cap, size_t size)
{
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*v, (*cap ? *cap * 2 : 16) * size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = *cap ? *cap * 2 : 16;
	return 0;
}

static int load_row(const void *key, const void *value, void *arg)
{
	const struct bh_row_key *k = key;
	struct load *l = arg;
	struct bh_id *id = ruleset_seen(l, k->ruleset);

	(void)value;
	if (!id || grow((void **)&id->memo->classes, id->memo->n_classes, &id->memo->cap_classes,
			sizeof(*id->memo->classes)))
		return -ENOMEM;
	id->memo->classes[id->memo->n_classes++] = k->class;
	l->ts->n_rows++;
	saw_class(l, k->class);
	return 0;
}

static int load_procrow(const void *key, const void *value, void *arg)
{
	const struct bh_procrow_key *k = key;
	struct load *l = arg;
	struct bh_id *id = ruleset_seen(l, k->ruleset);

	(void)value;
	if (!id || grow((void **)&id->memo->procs, id->memo->n_procs, &id->memo->cap_procs,
			sizeof(*id->memo->procs)))
		return -ENOMEM;
	id->memo->procs[id->memo->n_procs++] = *k;
	l->ts->n_procrows++;
	return 0;
}

static int load_exe(const void *key, const void *value, void *arg)
{
	const struct bh_exe_key *k = key;
	struct load *l = arg;
	struct bh_exe_memo exe = {.proc = (uint16_t) * (const uint32_t *)value, .is_live = true};

	exe.path = strndup(k->path, sizeof(k->path) - 1);
	if (!exe.path || bh_vec_push(&l->ts->exes, exe)) {
		free(exe.path);
		return -ENOMEM;
	}
	if (exe.proc > l->ts->last_proc)
		l->ts->last_proc = exe.proc;
	return 0;
}

/* ---- what the live side reaches ---- */

static int use(struct load *l, struct bh_ids *ids, uint32_t kid)
{
	struct bh_id *id;

	if (kid == 0)
		return 0;
	id = bh_ids_by_kid(ids, kid);
	if (!id)
		id = bh_ids_adopt(ids, kid, 0);
	if (!id)
		return -ENOMEM;
	id->used |= (uint8_t)(1u << l->live);
	return 0;
}

static int use_portmap(struct load *l, uint32_t kid)
{
	struct bh_portmap value;
	int r = use(l, &l->ts->portmaps, kid);

	if (r || kid == 0 || bh_kmap_get(&l->dp->map[BH_M_PORTMAP], &kid, &value))
		return r;
	for (int proto = 0; r == 0 && proto < BH_PP_COUNT; proto++)
		for (int i = 0; r == 0 && i < 256; i++)
			r = use(l, &l->ts->pages, value.page[proto][i]);
	return r;
}

static int use_rulesets(struct load *l, uint32_t kid)
{
	int r = 0;

	for (int depth = 0; r == 0 && kid != 0 && depth <= BH_UNTIL_CHAIN; depth++) {
		struct bh_id *id = ruleset_seen(l, kid);
		struct bh_ruleset value;

		if (!id)
			return -ENOMEM;
		if ((id->used & (1u << l->live)) ||
		    bh_kmap_get(&l->dp->map[BH_M_RULESET], &kid, &value))
			return 0;
		id->used |= (uint8_t)(1u << l->live);
		id->memo->until_ns = value.until_ns;
		id->memo->next = value.next;
		id->memo->portmap = value.portmap;
		r = use_portmap(l, value.portmap);
		kid = value.until_ns ? value.next : 0;
	}
	return r;
}

static int load_used(struct load *l)
{
	int r = 0;

	for (uint32_t slot = 0; r == 0 && slot < BH_MAX_SLOTS; slot++)
		for (int d = 0; r == 0 && d < 2; d++)
			r = use_rulesets(l, l->dp->slot[slot].side[l->live].ruleset[d]);
	return r;
}

static int load_rules(struct load *l, struct bh_err *err)
{
	struct bh_datapath *dp = l->dp;
	int r = bh_kmap_each(&dp->map[BH_M_ROW], load_row, l, err);

	if (r == 0)
		r = bh_kmap_each(&dp->map[BH_M_PROCROW], load_procrow, l, err);
	if (r == 0)
		r = bh_kmap_each(&dp->map[BH_M_EXE], load_exe, l, err);
	if (r)
		return r;
	r = load_used(l);
	return r ? bh_fail(err, ENOMEM, "no memory for the rulesets in use") : 0;
}

static int load(struct load *l, struct bh_err *err)
{
	struct bh_tstate *ts = l->ts;
	struct bh_kmap *map = l->dp->map;
	int r;

	l->pos_of = calloc(BH_MAX_RULESETS, sizeof(*l->pos_of));
	if (!l->pos_of || bh_ids_init(&ts->pages, 1, map[BH_M_PORTPAGE].max) ||
	    bh_ids_init(&ts->portmaps, 1, map[BH_M_PORTMAP].max) ||
	    bh_ids_init(&ts->rulesets, 1, map[BH_M_RULESET].max))
		return bh_fail(err, ENOMEM, "no memory for the tables");
	r = load_addresses(l, err);
	if (r == 0)
		r = load_rules(l, err);
	if (r)
		return r;
	if (bh_ids_init(&ts->classes, l->max_class + 1, CLASS_LIMIT))
		return bh_fail(err, ENOMEM, "no memory for the tables");
	ts->is_loaded = true;
	return 0;
}

int bh_tstate_load(struct bh_datapath *dp, struct bh_tstate *ts, struct bh_err *err)
{
	BH_CLEANUP(load_done) struct load l = {.dp = dp, .ts = ts, .live = dp->config->epoch & 1};
	int r;

	bh_tstate_done(ts);
	r = load(&l, err);
	if (r)
		bh_tstate_done(ts);
	return r;
}

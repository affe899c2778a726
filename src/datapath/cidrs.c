/* Prefix classes. The kernel's trie is shared by both sides, so a prefix that only one side has
 * must give the other side what its own longest match would have given: otherwise adding a prefix
 * for the next policy would change the one in force.
 *
 * With every prefix of the trie sorted (parents before children), the longest match above a prefix
 * is the top of a stack, and its values are already right when a child is reached. */
#include "datapath/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define V4_BITS	  96 /* an IPv4 prefix length counts these in struct bh_cidr */
#define MAX_DEPTH 130

struct wanted {
	struct bh_cidr cidr;
	uint32_t class; /* kernel id */
};

/* One family's prefixes: what the tables want, and the union with what the kernel holds. */
struct merge {
	struct bh_plan *pl;
	enum bh_family family;
	struct bh_kmap *m;
	struct wanted *want; /* sorted; owned */
	size_t n_want;
	struct bh_cidr_memo *u; /* sorted, without stale ones; owned */
	bool *differs;		/* by index in u: must be written; owned */
	size_t n, n_added, n_stale;
};

static void merge_done(struct merge *g)
{
	free(g->want);
	free(g->u);
	free(g->differs);
}

static enum bh_family family_of(const struct bh_cidr *c)
{
	return c->len >= V4_BITS && bh_ip_is4(&c->ip) ? BH_V4 : BH_V6;
}

static int wanted_cmp(const void *a, const void *b)
{
	return bh_cidr_cmp(&((const struct wanted *)a)->cidr, &((const struct wanted *)b)->cidr);
}

static int collect(struct merge *g, struct bh_err *err)
{
	const struct bh_tables *t = g->pl->t;

	g->want = malloc((t->n_cidrs + 1) * sizeof(*g->want));
	if (!g->want)
		return bh_fail(err, ENOMEM, "no memory to publish");
	for (size_t i = 0; i < t->n_cidrs; i++) {
		if (family_of(&t->cidrs[i].cidr) != g->family)
			continue;
		g->want[g->n_want++] = (struct wanted){
			.cidr = t->cidrs[i].cidr,
			.class = g->pl->class_kid[t->cidrs[i].class],
		};
	}
	qsort(g->want, g->n_want, sizeof(*g->want), wanted_cmp);
	return 0;
}

/* Merges has (NULL: not in the kernel) and want (NULL: not in the tables), of one prefix. */
static void merge_one(struct merge *g, const struct bh_cidr_memo *has, const struct wanted *want)
{
	uint8_t live_bit = (uint8_t)(1u << g->pl->live), idle_bit = (uint8_t)(1u << g->pl->idle);
	struct bh_cidr_memo *u = &g->u[g->n];

	if (!want && !(has->in & live_bit)) {
		g->n_stale++;
		return;
	}
	g->n_added += !has;
	g->differs[g->n] = !has;
	g->n++;
	if (has)
		*u = *has;
	else
		*u = (struct bh_cidr_memo){.cidr = want->cidr};
	u->in = (uint8_t)((u->in & live_bit) | (want ? idle_bit : 0));
	if (want && u->id[g->pl->idle] != want->class) {
		u->id[g->pl->idle] = want->class;
		g->differs[g->n - 1] = true;
	}
}

/* Gives each side of every element what that side's longest match gives. */
static void inherit(struct merge *g)
{
	unsigned live = g->pl->live, idle = g->pl->idle;
	const struct bh_cidr_memo *stack[MAX_DEPTH];
	size_t depth = 0;

	for (size_t i = 0; i < g->n; i++) {
		struct bh_cidr_memo *u = &g->u[i];
		bool is_new = !(u->in & (1u << live)); /* stale ones are not here */
		const struct bh_cidr_memo *up;

		while (depth && !bh_cidr_covers(&stack[depth - 1]->cidr, &u->cidr))
			depth--;
		up = depth ? stack[depth - 1] : NULL;
		if (is_new)
			u->id[live] = up ? up->id[live] : 0;
		if (!(u->in & (1u << idle))) {
			uint32_t id = up ? up->id[idle] : 0;

			g->differs[i] = g->differs[i] || u->id[idle] != id;
			u->id[idle] = id;
		}
		stack[depth++] = u;
	}
}

static int merge_all(struct merge *g, struct bh_plan *pl, enum bh_family family, struct bh_err *err)
{
	size_t n_has = pl->ts->cidrs[family].n, i = 0, j = 0;
	const struct bh_cidr_memo *has = pl->ts->cidrs[family].v;
	int r;

	g->pl = pl;
	g->family = family;
	g->m = &pl->dp->map[family == BH_V4 ? BH_M_CIDR4 : BH_M_CIDR6];
	r = collect(g, err);
	if (r)
		return r;
	g->u = malloc((n_has + g->n_want + 1) * sizeof(*g->u));
	g->differs = malloc((n_has + g->n_want + 1) * sizeof(*g->differs));
	if (!g->u || !g->differs)
		return bh_fail(err, ENOMEM, "no memory to publish");
	while (i < n_has || j < g->n_want) {
		int order = i == n_has	     ? 1
			    : j == g->n_want ? -1
					     : bh_cidr_cmp(&has[i].cidr, &g->want[j].cidr);

		merge_one(g, order <= 0 ? &has[i] : NULL, order >= 0 ? &g->want[j] : NULL);
		i += order <= 0;
		j += order >= 0;
	}
	inherit(g);
	return 0;
}

int bh_cidrs_preflight(struct bh_plan *pl, struct bh_err *err)
{
	int r = 0;

	for (int f = 0; r == 0 && f < 2; f++) {
		BH_CLEANUP(merge_done) struct merge g = {0};

		r = merge_all(&g, pl, (enum bh_family)f, err);
		if (r == 0)
			r = bh_plan_room(g.m, pl->ts->cidrs[f].n - g.n_stale, g.n_added,
					 "prefixes in policies", err);
	}
	return r;
}

/* struct bh_lpm4 or struct bh_lpm6 */
union lpm_key {
	struct bh_lpm4 v4;
	struct bh_lpm6 v6;
};

static void *lpm_key(const struct merge *g, const struct bh_cidr *c, union lpm_key *key)
{
	if (g->family == BH_V4) {
		key->v4.prefixlen = c->len - V4_BITS;
		memcpy(key->v4.addr, c->ip.b + 12, sizeof(key->v4.addr));
	} else {
		key->v6.prefixlen = c->len;
		memcpy(key->v6.addr, c->ip.b, sizeof(key->v6.addr));
	}
	return key;
}

static int delete_stale(const struct merge *g, struct bh_err *err)
{
	uint8_t live_bit = (uint8_t)(1u << g->pl->live);
	int r = 0;

	bh_vec_each (has, &g->pl->ts->cidrs[g->family]) {
		struct wanted probe = {.cidr = has->cidr};
		union lpm_key key;

		if ((has->in & live_bit) ||
		    bsearch(&probe, g->want, g->n_want, sizeof(probe), wanted_cmp))
			continue;
		g->pl->has_written = true;
		r = bh_kmap_delete(
			g->m, &(struct bh_kbatch){.keys = lpm_key(g, &has->cidr, &key), .n = 1},
			err);
		if (r)
			break;
	}
	return r;
}

static int write_changes(const struct merge *g, struct bh_err *err)
{
	enum bh_dp_map map = g->family == BH_V4 ? BH_M_CIDR4 : BH_M_CIDR6;
	BH_CLEANUP(bh_freep) uint8_t *keys = malloc((size_t)BH_KMAP_CHUNK * g->m->key_size);
	BH_CLEANUP(bh_freep) struct bh_class *values = malloc(BH_KMAP_CHUNK * sizeof(*values));
	struct bh_kbatch b = {.keys = keys, .values = values};
	int r = 0;

	if (!keys || !values)
		return bh_fail(err, ENOMEM, "no memory to publish");
	for (size_t i = 0; r == 0 && i < g->n; i++) {
		union lpm_key key;

		if (!g->differs[i])
			continue;
		memcpy(keys + (size_t)b.n * g->m->key_size, lpm_key(g, &g->u[i].cidr, &key),
		       g->m->key_size);
		values[b.n++] = (struct bh_class){.id = {g->u[i].id[0], g->u[i].id[1]}};
		if (b.n < BH_KMAP_CHUNK)
			continue;
		r = bh_plan_put(g->pl, map, &b, err);
		b.n = 0;
	}
	return r ? r : bh_plan_put(g->pl, map, &b, err);
}

int bh_cidrs_write(struct bh_plan *pl, struct bh_err *err)
{
	int r = 0;

	for (int f = 0; r == 0 && f < 2; f++) {
		BH_CLEANUP(merge_done) struct merge g = {0};

		r = merge_all(&g, pl, (enum bh_family)f, err);
		if (r == 0)
			r = delete_stale(&g, err);
		if (r == 0)
			r = write_changes(&g, err);
		if (r)
			break;
		free(pl->ts->cidrs[f].v);
		pl->ts->cidrs[f].cap = pl->ts->cidrs[f].n = g.n;
		pl->ts->cidrs[f].v = BH_TAKE(g.u);
	}
	return r;
}

/* Peer classes: pod and node addresses. Both arrays are sorted, so one walk side by side finds what
 * differs, and only that is written. Every value keeps the live side as it is. */
#include "datapath/publish.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DUMP_FROM 4096 /* this many writes are verified by one dump instead of by single reads */

/* Steps through the union of what the kernel holds and what the tables want, of one family. IPv4 is
 * a block in the middle of the tables' array, for it is sorted with v4-mapped addresses. */
struct walk {
	const struct bh_plan *pl;
	enum bh_family family;
	size_t i, j;		      /* next element of memory, of the tables */
	size_t block, block_end, end; /* in the tables: IPv4's block; where the family ends */
	struct bh_ip ip;
	const struct bh_peer_memo *has; /* NULL: not in the kernel */
	uint32_t want;			/* BH_CLASS_ABSENT: not in the tables */
};

/* As bh_ip_cmp, for 100 000 comparisons at a time: the bytes as two big-endian words. */
static inline int order_of(const struct bh_ip *a, const struct bh_ip *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a->b, sizeof(x));
	memcpy(y, b->b, sizeof(y));
	if (x[0] != y[0])
		return be64toh(x[0]) < be64toh(y[0]) ? -1 : 1;
	if (x[1] != y[1])
		return be64toh(x[1]) < be64toh(y[1]) ? -1 : 1;
	return 0;
}

/* The first element of the tables that is not below ip. */
static size_t lower_bound(const struct bh_tables *t, const struct bh_ip *ip)
{
	size_t low = 0, high = t->n_peers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (order_of(&t->peers[mid].ip, ip) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct walk walk_begin(const struct bh_plan *pl, enum bh_family family)
{
	static const struct bh_ip first = {.b = {[10] = 0xff, [11] = 0xff}};
	static const struct bh_ip after = {
		.b = {[9] = 1}}; /* ::1:0:0:0, next to ::ffff:ffff:ffff */
	struct walk w = {.pl = pl, .family = family};

	w.block = lower_bound(pl->t, &first);
	w.block_end = lower_bound(pl->t, &after);
	w.j = family == BH_V4 ? w.block : 0;
	w.end = family == BH_V4 ? w.block_end : pl->t->n_peers;
	return w;
}

static const struct bh_tpeer *wanted_at(struct walk *w)
{
	if (w->family == BH_V6 && w->j == w->block)
		w->j = w->block_end;
	return w->j < w->end ? &w->pl->t->peers[w->j] : NULL;
}

static bool walk_next(struct walk *w)
{
	const struct bh_tstate *ts = w->pl->ts;
	const struct bh_tpeer *t = wanted_at(w);
	int order;

	w->has = w->i < ts->peers[w->family].n ? &ts->peers[w->family].v[w->i] : NULL;
	if (!w->has && !t)
		return false;
	order = !w->has ? 1 : !t ? -1 : order_of(&w->has->ip, &t->ip);
	w->want = BH_CLASS_ABSENT;
	w->ip = order <= 0 ? w->has->ip : t->ip;
	if (order > 0)
		w->has = NULL;
	if (w->has)
		w->i++;
	if (order >= 0) {
		w->want = w->pl->class_kid[t->class] | (t->is_node ? BH_CLASS_NODE : 0);
		w->j++;
	}
	return true;
}

static bool is_stale(const struct walk *w)
{
	return w->want == BH_CLASS_ABSENT && w->has->id[w->pl->live] == BH_CLASS_ABSENT;
}

static int find_changes(const struct bh_plan *pl, enum bh_family family,
			struct bh_peer_changes *ret)
{
	struct walk w = walk_begin(pl, family);

	while (walk_next(&w)) {
		struct bh_peer_change c = {.ip = w.ip, .want = w.want, .is_added = !w.has};

		c.at = w.has ? w.i - 1 : w.i;
		c.is_stale = w.has && is_stale(&w);
		if (w.has && !c.is_stale && w.has->id[pl->idle] == w.want)
			continue;
		ret->n_added += c.is_added;
		ret->n_stale += c.is_stale;
		if (bh_vec_push(&ret->v, c))
			return -ENOMEM;
	}
	return 0;
}

static struct bh_kmap *map_of(const struct bh_plan *pl, enum bh_family family)
{
	return &pl->dp->map[family == BH_V4 ? BH_M_PEER4 : BH_M_PEER6];
}

int bh_peers_preflight(struct bh_plan *pl, struct bh_err *err)
{
	for (int f = 0; f < 2; f++) {
		struct bh_peer_changes *c = &pl->peers[f];
		int r;

		if (find_changes(pl, (enum bh_family)f, c))
			return bh_fail(err, ENOMEM, "no memory to publish");
		r = bh_plan_room(map_of(pl, (enum bh_family)f), pl->ts->peers[f].n - c->n_stale,
				 c->n_added, "addresses that policies tell apart", err);
		if (r)
			return r;
	}
	return 0;
}

/* ---- write ---- */

struct chunk {
	uint8_t keys[BH_KMAP_CHUNK][16]; /* packed by the map's key size */
	struct bh_class values[BH_KMAP_CHUNK];
	struct bh_kbatch b;
};

static void chunk_add(struct chunk *c, const struct bh_kmap *m, const struct bh_peer_memo *p)
{
	memcpy((uint8_t *)c->keys + (size_t)c->b.n * m->key_size,
	       p->ip.b + sizeof(p->ip.b) - m->key_size, m->key_size);
	c->values[c->b.n++] = (struct bh_class){.id = {p->id[0], p->id[1]}};
}

static int flush(struct bh_plan *pl, struct bh_kmap *m, struct chunk *c, bool is_verified,
		 struct bh_err *err)
{
	int r;

	c->b.keys = c->keys;
	c->b.values = c->values;
	if (c->b.n == 0)
		return 0;
	pl->has_written = true;
	r = bh_kmap_write(&pl->dp->fault, m, &c->b, err);
	if (r == 0 && is_verified)
		r = bh_kmap_verify(&pl->dp->fault, m, &c->b, err);
	c->b.n = 0;
	return r;
}

static int delete_stale(struct bh_plan *pl, enum bh_family family, struct bh_err *err)
{
	struct bh_kmap *m = map_of(pl, family);

	bh_vec_each (c, &pl->peers[family].v) {
		int r;

		if (!c->is_stale)
			continue;
		pl->has_written = true;
		r = bh_kmap_delete(m,
				   &(struct bh_kbatch){
					   .keys = c->ip.b + sizeof(c->ip.b) - m->key_size, .n = 1},
				   err);
		if (r)
			return r;
	}
	return 0;
}

/* Sum over all elements of a hash of the element: equal sets have equal sums. */
struct sum {
	const struct bh_kmap *m;
	uint64_t sum, n;
};

static void sum_add(struct sum *s, const void *key, const uint32_t id[2])
{
	uint8_t bytes[24];

	memcpy(bytes, key, s->m->key_size);
	memcpy(bytes + s->m->key_size, id, sizeof(uint32_t) * 2);
	s->sum += bh_hash(bytes, s->m->key_size + sizeof(uint32_t) * 2, 0);
	s->n++;
}

static int sum_kernel(const void *key, const void *value, void *arg)
{
	sum_add(arg, key, ((const struct bh_class *)value)->id);
	return 0;
}

static int verify_all(struct bh_plan *pl, enum bh_family family, struct bh_err *err)
{
	struct bh_kmap *m = map_of(pl, family);
	struct sum mine = {.m = m}, kernel = {.m = m};
	const char *where = family == BH_V4 ? "peer4-readback" : "peer6-readback";
	uint32_t n = (uint32_t)pl->ts->peers[family].n;
	int r;

	bh_vec_each (p, &pl->ts->peers[family])
		sum_add(&mine, p->ip.b + sizeof(p->ip.b) - m->key_size, p->id);
	if (bh_fault_room(&pl->dp->fault, where, n) < n)
		return bh_fail_sys(err, pl->dp->fault.errnum, "read back from map %s", m->name);
	r = bh_kmap_each(m, sum_kernel, &kernel, err);
	if (r)
		return r;
	if (kernel.n != mine.n || kernel.sum != mine.sum)
		return bh_fail(err, EIO, "map %s holds something else than was written", m->name);
	return 0;
}

/* What the kernel holds for a peer that is not stale, once the change is written. */
static struct bh_peer_memo after(const struct bh_plan *pl, enum bh_family family,
				 const struct bh_peer_change *c)
{
	struct bh_peer_memo now = {.ip = c->ip, .id = {BH_CLASS_ABSENT, BH_CLASS_ABSENT}};

	if (!c->is_added)
		now = pl->ts->peers[family].v[c->at];
	now.id[pl->idle] = c->want;
	return now;
}

static int write_changes(struct bh_plan *pl, enum bh_family family, bool is_verified,
			 struct bh_err *err)
{
	BH_CLEANUP(bh_freep) struct chunk *c = calloc(1, sizeof(*c));
	struct bh_kmap *m = map_of(pl, family);

	if (!c)
		return bh_fail(err, ENOMEM, "no memory to publish");
	bh_vec_each (change, &pl->peers[family].v) {
		struct bh_peer_memo now;
		int r = 0;

		if (change->is_stale)
			continue;
		now = after(pl, family, change);
		chunk_add(c, m, &now);
		if (c->b.n == BH_KMAP_CHUNK)
			r = flush(pl, m, c, is_verified, err);
		if (r)
			return r;
	}
	return flush(pl, m, c, is_verified, err);
}

/* The same changes to what is remembered. Peers that stay where they are are not touched. */
static int remember(struct bh_plan *pl, enum bh_family family)
{
	const struct bh_peer_changes *all = &pl->peers[family];
	struct bh_peer_memo *old = pl->ts->peers[family].v, *now = old;
	size_t n_old = pl->ts->peers[family].n, n = n_old - all->n_stale + all->n_added;
	size_t from = 0, to = 0;

	if (all->n_added || all->n_stale)
		now = malloc((n + 1) * sizeof(*now));
	if (!now)
		return -ENOMEM;
	bh_vec_each (c, &all->v) {
		if (now != old && c->at > from)
			memcpy(now + to, old + from, (c->at - from) * sizeof(*now));
		to += c->at - from;
		from = c->at + !c->is_added;
		if (!c->is_stale)
			now[to++] = after(pl, family, c);
	}
	if (now == old)
		return 0;
	if (n_old > from)
		memcpy(now + to, old + from, (n_old - from) * sizeof(*now));
	free(old);
	pl->ts->peers[family].v = now;
	pl->ts->peers[family].n = n;
	pl->ts->peers[family].cap = n + 1;
	return 0;
}

static int write_family(struct bh_plan *pl, enum bh_family family, struct bh_err *err)
{
	const struct bh_peer_changes *c = &pl->peers[family];
	bool is_small = c->v.n - c->n_stale < DUMP_FROM;
	int r;

	if (!c->v.n)
		return 0;
	r = c->n_stale ? delete_stale(pl, family, err) : 0;
	if (!r)
		r = write_changes(pl, family, is_small, err);
	if (r)
		return r;
	if (remember(pl, family)) {
		pl->has_written = true; /* and is not known: it will be read again */
		return bh_fail(err, ENOMEM, "no memory to publish");
	}
	return is_small ? 0 : verify_all(pl, family, err);
}

int bh_peers_write(struct bh_plan *pl, struct bh_err *err)
{
	int r = write_family(pl, BH_V4, err);

	return r ? r : write_family(pl, BH_V6, err);
}

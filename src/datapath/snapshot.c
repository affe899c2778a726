/* A copy of what decides: the slots, and of the tables what the side in use can reach from them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/vec.h"
#include "datapath/private.h"

#define LENGTHS (128 + 1) /* of prefixes */

/* Elements, sorted by key. */
struct table {
	char *v;
	size_t n, cap;
	size_t key_size, value_at, value_size, size; /* of an element; value_at: from its start */
	bool has_length[LENGTHS];		     /* prefixes: of these lengths there are some */
};

struct bh_snapshot {
	struct bh_dp_view view;
	struct bh_slot *slot;
	struct table table[BH_M_COUNT];
	uint32_t epoch;
};

void bh_snapshot_free(struct bh_snapshot *s)
{
	if (!s)
		return;
	for (int i = 0; i < BH_M_COUNT; i++)
		free(s->table[i].v);
	free(s->slot);
	free(s);
}

void bh_snapshot_freep(struct bh_snapshot **s)
{
	bh_snapshot_free(*s);
	*s = NULL;
}

uint32_t bh_snapshot_epoch(const struct bh_snapshot *s)
{
	return s->epoch;
}

/* ---- tables ---- */

static size_t align(size_t n)
{
	return (n + 7) / 8 * 8;
}

static void table_init(struct table *t, const struct bh_kmap *m)
{
	t->key_size = m->key_size;
	t->value_size = m->value_size;
	t->value_at = align(m->key_size);
	t->size = t->value_at + align(m->value_size);
}

static int table_add(struct table *t, const void *key, const void *value)
{
	if (bh_vec_reserve_((void **)&t->v, &t->cap, t->n + 1, t->size))
		return -ENOMEM;
	memcpy(t->v + t->n * t->size, key, t->key_size);
	memcpy(t->v + t->n * t->size + t->value_at, value, t->value_size);
	t->n++;
	return 0;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct table *t = arg;

	return memcmp(a, b, t->key_size);
}

static const void *table_find(const struct table *t, const void *key)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const char *at = t->v + mid * t->size;
		int c = memcmp(at, key, t->key_size);

		if (c == 0)
			return at + t->value_at;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Both families' keys are a length and an address. */
struct prefix {
	uint32_t len;
	uint8_t addr[16];
};

static struct prefix shorten(const struct prefix *p, uint32_t len)
{
	struct prefix s = {.len = len};

	memcpy(s.addr, p->addr, len / 8);
	if (len % 8)
		s.addr[len / 8] = p->addr[len / 8] & (uint8_t)(0xff00 >> len % 8);
	return s;
}

static const void *prefix_find(const struct table *t, const void *key)
{
	struct prefix p = {0};

	memcpy(&p, key, t->key_size);
	for (uint32_t len = p.len + 1; len-- > 0;) {
		struct prefix s = shorten(&p, len);
		const void *found = t->has_length[len] ? table_find(t, &s) : NULL;

		if (found)
			return found;
	}
	return NULL;
}

static const void *get_copy(const struct bh_dp_view *view, enum bh_dp_map map, const void *key,
			    void *room)
{
	const struct bh_snapshot *s = view->source;
	const struct table *t = &s->table[map];

	(void)room;
	return map == BH_M_CIDR4 || map == BH_M_CIDR6 ? prefix_find(t, key) : table_find(t, key);
}

int bh_snapshot_decide(const struct bh_snapshot *s, const struct bh_kernel_question *q,
		       struct bh_kernel_verdict *ret, struct bh_err *err)
{
	return bh_dp_decide(&s->view, q, ret, err);
}

/* ---- taking ---- */

struct taking {
	struct bh_datapath *dp;
	struct bh_snapshot *s;
	struct table *into;
};

/* One element of an array; known ones are not taken again. */
static int take_id(struct taking *t, enum bh_dp_map map, uint32_t id, void *room)
{
	if (bh_kmap_get(&t->dp->map[map], &id, room))
		return 0; /* the answer will be that the table has a gap */
	return table_add(&t->s->table[map], &id, room);
}

/* Ids seen, a byte each. */
struct seen {
	bool ruleset[BH_MAX_RULESETS], portmap[BH_MAX_PORTMAPS], page[BH_MAX_PORTPAGES];
};

static int take_portmap(struct taking *t, struct seen *seen, uint32_t id)
{
	struct bh_portpage page;
	struct bh_portmap pm = {0};
	int r;

	if (id >= BH_MAX_PORTMAPS || seen->portmap[id])
		return 0;
	seen->portmap[id] = true;
	r = take_id(t, BH_M_PORTMAP, id, &pm);
	for (size_t i = 0; r == 0 && i < sizeof(pm.page) / sizeof(pm.page[0][0]); i++) {
		uint32_t p = (&pm.page[0][0])[i];

		if (p >= BH_MAX_PORTPAGES || seen->page[p])
			continue;
		seen->page[p] = true;
		r = take_id(t, BH_M_PORTPAGE, p, &page);
	}
	return r;
}

static int take_ruleset(struct taking *t, struct seen *seen, uint32_t id)
{
	int r = 0;

	while (r == 0 && id < BH_MAX_RULESETS && !seen->ruleset[id]) {
		struct bh_ruleset rs = {0};

		seen->ruleset[id] = true;
		r = take_id(t, BH_M_RULESET, id, &rs);
		if (r == 0)
			r = take_portmap(t, seen, rs.portmap);
		id = rs.next;
	}
	return r;
}

static int take_rulesets(struct taking *t, struct seen *seen)
{
	int r = 0;

	for (uint32_t slot = 1; r == 0 && slot < BH_MAX_SLOTS; slot++) {
		const struct bh_slot *e = &t->s->slot[slot];

		for (int d = 0; r == 0 && d < 2 && (e->flags & BH_SLOT_LIVE); d++)
			r = take_ruleset(t, seen, e->side[t->s->view.side].ruleset[d]);
	}
	return r;
}

static int take_row(const void *key, const void *value, void *arg)
{
	const struct bh_row_key *k = key;
	struct taking *t = arg;

	if (!table_find(&t->s->table[BH_M_RULESET], &k->ruleset))
		return 0;
	return table_add(t->into, key, value);
}

static int take_any(const void *key, const void *value, void *arg)
{
	struct taking *t = arg;

	return table_add(t->into, key, value);
}

static int take_prefix(const void *key, const void *value, void *arg)
{
	struct taking *t = arg;
	struct prefix p = {0};

	memcpy(&p, key, t->into->key_size);
	if (p.len > 128)
		return -EINVAL;
	t->into->has_length[p.len] = true;
	p = shorten(&p, p.len);
	return table_add(t->into, &p, value);
}

static void sort(struct table *t)
{
	if (t->n)
		qsort_r(t->v, t->n, t->size, compare, t);
}

static int take_hashes(struct taking *t, struct bh_err *err)
{
	static const struct {
		enum bh_dp_map map;
		bh_kmap_fn *fn;
	} parts[] = {
		{BH_M_PEER4, take_any},	   {BH_M_PEER6, take_any}, {BH_M_CIDR4, take_prefix},
		{BH_M_CIDR6, take_prefix}, {BH_M_ROW, take_row},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(parts); i++) {
		int r;

		t->into = &t->s->table[parts[i].map];
		r = bh_kmap_each(&t->dp->map[parts[i].map], parts[i].fn, t, err);
		if (r)
			return r;
		sort(t->into);
	}
	return 0;
}

static int take(struct taking *t, struct bh_err *err)
{
	static const enum bh_dp_map arrays[] = {BH_M_RULESET, BH_M_PORTMAP, BH_M_PORTPAGE};
	BH_CLEANUP(bh_freep) struct seen *seen = calloc(1, sizeof(*seen));

	memcpy(t->s->slot, t->dp->slot, BH_MAX_SLOTS * sizeof(*t->s->slot));
	if (!seen || take_rulesets(t, seen))
		return bh_fail(err, ENOMEM, "no memory to copy the tables");
	for (size_t i = 0; i < BH_ARRAY_SIZE(arrays); i++)
		sort(&t->s->table[arrays[i]]);
	return take_hashes(t, err);
}

int bh_datapath_snapshot(struct bh_datapath *dp, struct bh_snapshot **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_snapshot_freep) struct bh_snapshot *s = calloc(1, sizeof(*s));
	struct taking t = {.dp = dp, .s = s};
	int r;

	if (!s)
		return bh_fail(err, ENOMEM, "no memory to copy the tables");
	s->slot = calloc(BH_MAX_SLOTS, sizeof(*s->slot));
	if (!s->slot)
		return bh_fail(err, ENOMEM, "no memory to copy the tables");
	s->epoch = dp->config->epoch;
	s->view = (struct bh_dp_view){
		.source = s,
		.get = get_copy,
		.slot = s->slot,
		.side = s->epoch & 1,
		.has_cidrs = dp->config->has_cidrs[s->epoch & 1],
		.now_ns = bh_datapath_now_ns(),
	};
	for (int i = 0; i < BH_M_COUNT; i++)
		table_init(&s->table[i], &dp->map[i]);
	r = take(&t, err);
	if (r)
		return r;
	*ret = BH_TAKE(s);
	return 0;
}

#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* A predicate begins (its cidr) or ends (one of its excepts) at a prefix. */
struct event {
	struct bh_cidr cidr;
	uint32_t pred;
	bool is_except;
};

static int by_prefix(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	int c = bh_cidr_cmp(&x->cidr, &y->cidr);

	if (c)
		return c;
	return x->pred < y->pred ? -1 : x->pred > y->pred;
}

/* IPv4 addresses are the v4-mapped ones; ::/0 and other short prefixes that happen to contain them
 * are about IPv6 only. */
static bool is4(const struct bh_cidr *c)
{
	return c->len >= 96 && bh_ip_is4(&c->ip);
}

static struct event *list_events(const struct bh_compile_memo *m, size_t *ret_n)
{
	size_t n = 0, at = 0;
	struct event *v;

	bh_vec_each (p, &m->active_cidrs)
		n += 1 + m->preds.v[*p].block->n_excepts;
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return NULL;
	bh_vec_each (p, &m->active_cidrs) {
		const struct bh_peer *block = m->preds.v[*p].block;

		v[at++] = (struct event){.cidr = block->cidr, .pred = *p};
		for (size_t i = 0; i < block->n_excepts; i++)
			v[at++] = (struct event){
				.cidr = block->excepts[i], .pred = *p, .is_except = true};
	}
	qsort(v, n, sizeof(*v), by_prefix);
	*ret_n = n;
	return v;
}

/* What holds inside the prefix of e[0..n): the parent's set, plus beginnings, minus excepts. Both
 * lists are sorted by predicate. The result is in m->scratch. */
static int apply_events(struct bh_compile_memo *m, const struct bh_cm_prefix *parent,
			const struct event *e, size_t n)
{
	size_t n_old = parent ? parent->n_preds : 0, i = 0, k = 0;

	m->scratch.n = 0;
	while (i < n_old || k < n) {
		uint32_t old = i < n_old ? parent->preds[i] : BH_CM_NONE;
		uint32_t new = k < n ? e[k].pred : BH_CM_NONE;
		uint32_t pred = old < new ? old : new;
		bool holds = true;

		i += old == pred;
		for (; k < n && e[k].pred == pred; k++)
			holds = holds && !e[k].is_except;
		if (holds && bh_vec_push(&m->scratch, pred))
			return -ENOMEM;
	}
	return 0;
}

/* Prefixes that change nothing are not needed. */
static bool is_same(const struct bh_compile_memo *m, const struct bh_cm_prefix *parent)
{
	size_t n = parent ? parent->n_preds : 0;

	return m->scratch.n == n &&
	       (n == 0 || memcmp(m->scratch.v, parent->preds, n * sizeof(uint32_t)) == 0);
}

static int add_prefix(struct bh_compile_memo *m, const struct event *e, size_t n, uint32_t top[2])
{
	struct bh_cm_prefix p = {.cidr = e->cidr, .is4 = is4(&e->cidr), .owner = e->pred};
	const struct bh_cm_prefix *parent = NULL;
	uint32_t *at = &top[p.is4];

	while (*at != BH_CM_NONE && !bh_cidr_covers(&m->prefixes.v[*at].cidr, &p.cidr))
		*at = m->prefixes.v[*at].parent;
	if (*at != BH_CM_NONE)
		parent = &m->prefixes.v[*at];
	if (apply_events(m, parent, e, n))
		return -ENOMEM;
	if (is_same(m, parent))
		return 0;
	p.parent = *at;
	p.n_preds = m->scratch.n;
	p.preds = bh_arena_copy(&m->cidr_arena, m->scratch.v, m->scratch.n * sizeof(uint32_t));
	if (!p.preds || bh_cm_set_content(m, p.preds, p.n_preds, &p.content))
		return -ENOMEM;
	*at = (uint32_t)m->prefixes.n;
	return bh_vec_push(&m->prefixes, p);
}

static int rebuild(struct bh_compile_memo *m)
{
	uint32_t top[2] = {BH_CM_NONE, BH_CM_NONE};
	size_t n = 0;
	BH_CLEANUP(bh_freep) struct event *v = list_events(m, &n);
	int r = v ? 0 : -ENOMEM;

	m->prefixes.n = 0;
	bh_arena_done(&m->cidr_arena);
	for (size_t i = 0, k; !r && i < n; i = k) {
		for (k = i + 1; k < n && bh_cidr_cmp(&v[i].cidr, &v[k].cidr) == 0;)
			k++;
		r = add_prefix(m, v + i, k - i, top);
	}
	m->table_cidrs.n = 0;
	if (r || bh_vec_reserve(&m->table_cidrs, m->active_cidrs.n))
		return -ENOMEM;
	bh_vec_each (p, &m->active_cidrs)
		m->table_cidrs.v[m->table_cidrs.n++] = *p;
	return 0;
}

static int check_room(const struct bh_compile_memo *m, struct bh_err *err)
{
	size_t n[2] = {0};

	bh_vec_each (p, &m->prefixes) {
		const struct bh_policy *owner = m->preds.v[p->owner].owner;

		if (++n[p->is4] <= BH_MAX_CIDRS)
			continue;
		if (m->epoch != 1) /* it is said who owns them when all is done anew */
			return bh_fail(err, E2BIG, "too many address blocks");
		return bh_fail(err, E2BIG,
			       "policy '%s/%s': its ipBlocks bring the %s prefix table "
			       "above %d entries",
			       owner->ns, owner->name, p->is4 ? "IPv4" : "IPv6", BH_MAX_CIDRS);
	}
	return 0;
}

int bh_cm_cidr_build(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	size_t n = m->active_cidrs.n;

	if (n)
		qsort(m->active_cidrs.v, n, sizeof(uint32_t), bh_cm_by_number);
	if ((n != m->table_cidrs.n ||
	     (n && memcmp(m->active_cidrs.v, m->table_cidrs.v, n * sizeof(uint32_t)))) &&
	    rebuild(m))
		return bh_fail(err, ENOMEM, "no memory for address blocks");
	return check_room(m, err);
}

#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* One subject ident and direction on the way to its shape. */
struct gather {
	struct bh_compile_memo *m;
	const struct bh_cm_ident *ident;
	struct bh_cm_shape *shape;
	int64_t now_s;
	BH_VEC(struct bh_cm_fact) facts;
	BH_VEC(uint32_t) watch, families;
	BH_VEC(int64_t) expiries;
};

static void gather_done(struct gather *g)
{
	bh_vec_done(&g->facts);
	bh_vec_done(&g->watch);
	bh_vec_done(&g->families);
	bh_vec_done(&g->expiries);
}

void bh_cm_shape_free(struct bh_cm_shape *s)
{
	if (!s)
		return;
	free(s->watch);
	free(s->families);
	free(s);
}

/* ---- facts ---- */

static int add_fact(struct gather *g, const struct bh_cm_atom *a, struct bh_cm_fact f)
{
	f.procs = a->procs;
	f.action = a->action;
	f.expires_s = a->expires_s;
	return bh_vec_push(&g->facts, f);
}

static int one_port(struct bh_compile_memo *m, uint8_t proto, uint16_t port, uint32_t *ret)
{
	struct bh_cm_range v = {.first = BH_CM_PORT_KEY(bh_cm_port_proto(proto), port)};

	v.end = v.first + 1;
	return bh_cm_ports_get(m, &v, 1, ret);
}

/* Ingress: the name stands for all numbers it has on the selected pod. */
static int add_local(struct gather *g, const struct bh_cm_atom *a, struct bh_cm_fact f)
{
	const struct bh_ident *id = g->ident->id;
	int r = 0;

	for (size_t i = 0; !r && i < id->n_ports; i++) {
		const struct bh_named_port *p = &id->ports[i];

		if (p->proto != a->proto || strcmp(p->name, a->name) != 0 ||
		    bh_cm_port_proto(p->proto) < 0)
			continue;
		r = one_port(g->m, p->proto, p->port, &f.ports);
		if (!r)
			r = add_fact(g, a, f);
	}
	return r;
}

/* Egress: each number the name has on some peer is a predicate of its own. */
static int add_members(struct gather *g, const struct bh_cm_atom *a, struct bh_cm_fact f)
{
	const struct bh_cm_family *family = &g->m->families.v[a->pred];
	int r = bh_vec_push(&g->families, a->pred);

	if (bh_cm_port_proto(family->proto) < 0)
		return r;
	for (size_t i = 0; !r && i < family->members.n; i++) {
		f.pred = family->members.v[i].pred;
		if (!bh_cm_is_live(g->m, &g->m->preds.v[f.pred]))
			continue;
		r = one_port(g->m, family->proto, family->members.v[i].port, &f.ports);
		if (!r)
			r = add_fact(g, a, f);
	}
	return r;
}

static int add_atom(struct gather *g, const struct bh_cm_policy *p, const struct bh_cm_atom *a)
{
	struct bh_cm_fact f = {.pred = a->pred, .ports = a->ports, .owner = p->p};

	if (a->expires_s <= g->now_s) {
		if (a->expires_s > g->shape->from_s)
			g->shape->from_s = a->expires_s;
		return 0;
	}
	if (a->expires_s < g->shape->to_s)
		g->shape->to_s = a->expires_s;
	if (a->kind == BH_CM_ATOM_NAMED)
		return add_members(g, a, f);
	if (bh_vec_push(&g->watch, a->pred))
		return -ENOMEM;
	if (!bh_cm_is_live(g->m, &g->m->preds.v[a->pred]))
		return 0;
	return a->kind == BH_CM_ATOM_LOCAL ? add_local(g, a, f) : add_fact(g, a, f);
}

static int number_cmp(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Equal but for owner and time. */
static int same_effect(const struct bh_cm_fact *x, const struct bh_cm_fact *y)
{
	int c = number_cmp(x->pred, y->pred);

	c = c ? c : number_cmp(x->action, y->action);
	c = c ? c : number_cmp(x->procs, y->procs);
	return c ? c : number_cmp(x->ports, y->ports);
}

static int by_effect(const void *a, const void *b)
{
	const struct bh_cm_fact *x = a, *y = b;
	int c = same_effect(x, y);

	if (c)
		return c;
	c = x->owner == y->owner ? 0 : (int)x->owner->kind - (int)y->owner->kind;
	return c || x->owner == y->owner ? c : strcmp(x->owner->name, y->owner->name);
}

static int gather_all(struct gather *g, enum bh_dir dir)
{
	int r = 0;

	for (size_t i = 0; !r && i < g->ident->policies.n; i++) {
		const struct bh_cm_policy *p = g->m->policies.v[g->ident->policies.v[i]];

		if (!p->p->applies[dir])
			continue;
		g->shape->is_keeping =
			p->p->keep_established && (!g->shape->is_isolated || g->shape->is_keeping);
		g->shape->is_isolated = true;
		for (size_t k = 0; !r && k < p->atoms[dir].n; k++)
			r = add_atom(g, p, &p->atoms[dir].v[k]);
	}
	if (g->facts.n)
		qsort(g->facts.v, g->facts.n, sizeof(*g->facts.v), by_effect);
	return r;
}

/* ---- phases ---- */

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int list_expiries(struct gather *g)
{
	size_t n = 0;

	bh_vec_each (f, &g->facts) {
		if (f->expires_s != INT64_MAX && bh_vec_push(&g->expiries, f->expires_s))
			return -ENOMEM;
	}
	if (g->expiries.n)
		qsort(g->expiries.v, g->expiries.n, sizeof(int64_t), by_time);
	for (size_t i = 0; i < g->expiries.n; i++) {
		if (!n || g->expiries.v[n - 1] != g->expiries.v[i])
			g->expiries.v[n++] = g->expiries.v[i];
	}
	g->expiries.n = n;
	return 0;
}

/* What holds from at_s on. is_for_ever: nobody will look at the clock again, so what Allow grants
 * for a time is not granted, and what Deny forbids for a time stays forbidden. */
static int make_phase(const struct gather *g, int64_t at_s, bool is_for_ever,
		      struct bh_cm_phase *ret, struct bh_err *err)
{
	size_t n = 0;
	BH_CLEANUP(bh_freep) struct bh_cm_fact *v = calloc(g->facts.n + 1, sizeof(*v));

	if (!v)
		return bh_fail(err, ENOMEM, "no memory for rules");
	for (size_t i = 0; i < g->facts.n; i++) {
		const struct bh_cm_fact *f = &g->facts.v[i];

		if (f->expires_s <= at_s ||
		    (is_for_ever && f->expires_s != INT64_MAX && f->action == BH_ACTION_ALLOW))
			continue;
		if (!n || same_effect(&v[n - 1], f) != 0)
			v[n++] = *f;
	}
	return bh_cm_cells_get(g->m, v, n, &ret->cells, err);
}

static int make_phases(struct gather *g, struct bh_err *err)
{
	struct bh_cm_shape *s = g->shape;
	size_t n = g->expiries.n;

	s->n_phases = n < BH_UNTIL_CHAIN ? n + 1 : BH_UNTIL_CHAIN;
	for (size_t i = 0; i < s->n_phases; i++) {
		bool is_last = i + 1 == s->n_phases;
		int r = make_phase(g, i ? g->expiries.v[i - 1] : g->now_s, is_last, &s->phase[i],
				   err);

		if (r)
			return r;
		s->phase[i].until_s = is_last ? INT64_MAX : g->expiries.v[i];
	}
	return 0;
}

/* ---- shapes ---- */

static bool is_flipped(const struct bh_compile_memo *m, const struct bh_cm_shape *s)
{
	for (size_t i = 0; i < s->n_watch; i++) {
		if (m->preds.v[s->watch[i]].flipped == m->epoch)
			return true;
	}
	for (size_t i = 0; i < s->n_families; i++) {
		bh_vec_each (member, &m->families.v[s->families[i]].members) {
			if (m->preds.v[member->pred].flipped == m->epoch)
				return true;
		}
	}
	return false;
}

/* It was in use in the last compile, and nothing it was made from has changed. (Policies and labels
 * of the subject are seen to elsewhere: then there is no shape.) */
static bool is_good(const struct bh_cm_job *j, const struct bh_cm_shape *s)
{
	return s && s->used + 1 == j->m->epoch && j->world->now_s >= s->from_s &&
	       j->world->now_s < s->to_s && !is_flipped(j->m, s);
}

static int make_shape(struct bh_cm_job *j, struct bh_cm_ident *ident, enum bh_dir dir,
		      struct bh_err *err)
{
	BH_CLEANUP(gather_done)
	struct gather g = {.m = j->m, .ident = ident, .now_s = j->world->now_s};
	struct bh_cm_shape *s = calloc(1, sizeof(*s));

	bh_cm_shape_free(ident->shape[dir]);
	ident->shape[dir] = g.shape = s;
	if (!s)
		return bh_fail(err, ENOMEM, "no memory for rules");
	s->from_s = INT64_MIN;
	s->to_s = INT64_MAX;
	if (gather_all(&g, dir) || list_expiries(&g))
		return bh_fail(err, ENOMEM, "no memory for rules");
	s->watch = BH_TAKE(g.watch.v);
	s->n_watch = g.watch.n;
	s->families = BH_TAKE(g.families.v);
	s->n_families = g.families.n;
	return s->is_isolated ? make_phases(&g, err) : 0;
}

/* The two cell sets that need no rules. */
static int make_plain(struct bh_compile_memo *m, struct bh_err *err)
{
	struct bh_cm_fact all = {.pred = 0, .action = BH_ACTION_ALLOW};
	int r = bh_cm_cells_get(m, NULL, 0, &m->deny, err);

	if (!r)
		r = bh_cm_cells_get(m, &all, 1, &m->open, err);
	if (!r)
		m->deny->used = m->open->used = m->epoch;
	return r;
}

int bh_cm_shapes(struct bh_cm_job *j, struct bh_err *err)
{
	int plain = make_plain(j->m, err);

	if (plain)
		return plain;
	bh_vec_each (n, &j->m->subjects) {
		struct bh_cm_ident *ident = j->m->idents.v[*n];

		for (int dir = 0; dir < 2; dir++) {
			int r = is_good(j, ident->shape[dir])
					? 0
					: make_shape(j, ident, (enum bh_dir)dir, err);

			if (r)
				return r;
			ident->shape[dir]->used = j->m->epoch;
			for (size_t i = 0; i < ident->shape[dir]->n_phases; i++)
				ident->shape[dir]->phase[i].cells->used = j->m->epoch;
		}
	}
	return 0;
}

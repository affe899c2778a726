#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* The tables' arrays while they grow. Everything gets its number where it is first needed, walking
 * the subjects in order, so the numbers follow from the world alone. */
struct emit {
	struct bh_cm_job *j;
	const struct bh_subject *subject; /* for messages */
	struct bh_map ids;		  /* of rulesets, by content */
	BH_VEC(struct bh_truleset) rulesets;
	BH_VEC(struct bh_tportmap) portmaps;
	BH_VEC(struct bh_tpage) pages;
	size_t n_rows, n_procs;
};

static int no_memory(struct bh_err *err)
{
	return bh_fail(err, ENOMEM, "no memory for tables");
}

static int no_room(const struct emit *e, size_t max, const char *what, struct bh_err *err)
{
	return bh_fail(err, E2BIG,
		       "pod '%s/%s': with its policies this node needs more than %zu %s",
		       e->subject->ns, e->subject->name, max, what);
}

/* ---- port maps ---- */

static int emit_page(struct emit *e, uint32_t number, uint32_t *ret, struct bh_err *err)
{
	struct bh_cm_page *page = e->j->m->pages.v[number];
	struct bh_tpage t = {.id = page->id};

	if (page->epoch != e->j->m->epoch) {
		if (e->pages.n == BH_MAX_PORTPAGES)
			return no_room(e, BH_MAX_PORTPAGES, "pages of port classes", err);
		page->epoch = e->j->m->epoch;
		page->index = (uint32_t)e->pages.n;
		memcpy(t.class, page->class, sizeof(t.class));
		if (bh_vec_push(&e->pages, t))
			return no_memory(err);
	}
	*ret = page->index;
	return 0;
}

static int emit_portmap(struct emit *e, uint32_t number, uint32_t *ret, struct bh_err *err)
{
	struct bh_cm_portmap *map = e->j->m->portmaps.v[number];
	struct bh_tportmap *t;

	*ret = map->index;
	if (map->epoch == e->j->m->epoch)
		return 0;
	if (e->portmaps.n == BH_MAX_PORTMAPS)
		return no_room(e, BH_MAX_PORTMAPS, "port maps", err);
	if (bh_vec_reserve(&e->portmaps, e->portmaps.n + 1))
		return no_memory(err);
	t = &e->portmaps.v[e->portmaps.n];
	t->id = map->id;
	for (int pp = 0; pp < BH_PP_COUNT; pp++) {
		for (int i = 0; i < 256; i++) {
			int r = 0;

			if (i && map->page[pp][i] == map->page[pp][i - 1])
				t->page[pp][i] = t->page[pp][i - 1];
			else
				r = emit_page(e, map->page[pp][i], &t->page[pp][i], err);
			if (r)
				return r;
		}
	}
	map->epoch = e->j->m->epoch;
	*ret = map->index = (uint32_t)e->portmaps.n++;
	return 0;
}

/* ---- rulesets ---- */

static int hash_ruleset(struct emit *e, const struct bh_cm_phase *phase, struct bh_truleset *t)
{
	struct bh_hasher *h = &e->j->m->hasher;

	bh_hasher_begin(h, "ruleset");
	bh_hasher_add(h, &phase->cells->id, sizeof(struct bh_content));
	bh_hasher_add_u64(h, t->flags);
	bh_hasher_add_u64(h, (uint64_t)t->until_s);
	if (t->until_s != INT64_MAX)
		bh_hasher_add(h, &e->rulesets.v[t->next].id, sizeof(struct bh_content));
	return bh_hasher_end(h, &t->id);
}

static void *copy_of(const void *bytes, size_t n)
{
	void *p = calloc(1, n + 1);

	if (p && n)
		memcpy(p, bytes, n);
	return p;
}

static int check_room(struct emit *e, const struct bh_cm_cells *c, struct bh_err *err)
{
	e->n_rows += c->rows.n;
	e->n_procs += c->procs.n;
	if (e->rulesets.n == BH_MAX_RULESETS)
		return no_room(e, BH_MAX_RULESETS, "rulesets", err);
	if (e->n_rows > BH_MAX_ROWS)
		return no_room(e, BH_MAX_ROWS, "rows", err);
	if (e->n_procs > BH_MAX_PROCROWS)
		return no_room(e, BH_MAX_PROCROWS, "cells that depend on the executable", err);
	return 0;
}

/* t: flags, until_s and next are set. */
static int emit_ruleset(struct emit *e, const struct bh_cm_phase *phase, struct bh_truleset *t,
			uint32_t *ret, struct bh_err *err)
{
	const struct bh_cm_cells *c = phase->cells;
	int r;

	if (hash_ruleset(e, phase, t))
		return no_memory(err);
	*ret = bh_idmap_get(&e->ids, &t->id, sizeof(t->id));
	if (*ret != BH_CM_NONE)
		return 0;
	r = check_room(e, c, err);
	if (!r)
		r = emit_portmap(e, c->portmap, &t->portmap, err);
	if (r)
		return r;
	*ret = (uint32_t)e->rulesets.n;
	t->dflt = c->dflt;
	if (bh_idmap_set(&e->ids, &t->id, sizeof(t->id), *ret) || bh_vec_push(&e->rulesets, *t))
		return no_memory(err);
	t = &e->rulesets.v[*ret];
	t->rows = copy_of(c->rows.v, c->rows.n * sizeof(*t->rows));
	t->n_rows = c->rows.n;
	t->procs = copy_of(c->procs.v, c->procs.n * sizeof(*t->procs));
	t->n_procs = c->procs.n;
	return t->rows && t->procs ? 0 : no_memory(err);
}

/* From the last phase to the first, because each names the next. */
static int emit_shape(struct emit *e, struct bh_cm_shape *s, struct bh_err *err)
{
	uint32_t next = 0;

	for (size_t i = s->n_phases; i-- > 0;) {
		struct bh_truleset t = {.flags = s->is_keeping ? BH_RULESET_KEEP : 0,
					.until_s = s->phase[i].until_s,
					.next = next};
		int r = emit_ruleset(e, &s->phase[i], &t, &next, err);

		if (r)
			return r;
	}
	s->ruleset = next;
	s->epoch = e->j->m->epoch;
	return 0;
}

/* No policy selects the pod in the direction. */
static int emit_free(struct emit *e, uint32_t *ret, struct bh_err *err)
{
	struct bh_cm_phase phase = {.cells = e->j->m->open, .until_s = INT64_MAX};
	struct bh_truleset t = {.flags = BH_RULESET_OPEN, .until_s = INT64_MAX};

	*ret = 0;
	return e->j->world->default_allow ? emit_ruleset(e, &phase, &t, ret, err) : 0;
}

/* Number 0. */
static int emit_deny(struct emit *e, struct bh_err *err)
{
	struct bh_cm_phase phase = {.cells = e->j->m->deny, .until_s = INT64_MAX};
	struct bh_truleset t = {.until_s = INT64_MAX};
	uint32_t number;

	return emit_ruleset(e, &phase, &t, &number, err);
}

/* ---- subjects ---- */

static int emit_subject(struct emit *e, size_t n, struct bh_err *err)
{
	struct bh_compile_memo *m = e->j->m;
	struct bh_tsubject *t = &e->j->t->subjects[e->j->t->n_subjects++];
	uint32_t ident = e->j->ident[n];

	e->subject = &e->j->subjects[n];
	t->ns = strdup(e->subject->ns);
	t->name = strdup(e->subject->name);
	if (!t->ns || !t->name)
		return no_memory(err);
	for (int dir = 0; dir < 2; dir++) {
		struct bh_cm_shape *s = ident == BH_CM_NONE ? NULL : m->idents.v[ident]->shape[dir];
		int r = 0;

		if (!s || !s->is_isolated) {
			r = emit_free(e, &t->ruleset[dir], err);
		} else {
			if (s->epoch != m->epoch)
				r = emit_shape(e, s, err);
			t->ruleset[dir] = s->ruleset;
		}
		if (r)
			return r;
	}
	return 0;
}

static int emit_exes(struct bh_cm_job *j)
{
	const struct bh_compile_memo *m = j->m;

	j->t->exes = calloc(m->active_exes.n + 1, sizeof(*j->t->exes));
	if (!j->t->exes)
		return -ENOMEM;
	bh_vec_each (n, &m->active_exes) {
		char *path = strdup(m->exes.v[*n].path);

		if (!path)
			return -ENOMEM;
		j->t->exes[j->t->n_exes++] = path;
	}
	return 0;
}

static int emit_all(struct emit *e, struct bh_err *err)
{
	struct bh_tables *t = e->j->t;
	int r;

	t->subjects = calloc(e->j->n_subjects + 1, sizeof(*t->subjects));
	if (!t->subjects || emit_exes(e->j))
		return no_memory(err);
	r = emit_deny(e, err);
	for (size_t i = 0; !r && i < e->j->n_subjects; i++)
		r = emit_subject(e, i, err);
	return r;
}

#define take_spare(to, from)                                                                       \
	do {                                                                                       \
		(to)->v = (from)->v;                                                               \
		(to)->cap = (from)->cap;                                                           \
		(from)->v = NULL;                                                                  \
		(from)->cap = 0;                                                                   \
	} while (0)

int bh_cm_emit(struct bh_cm_job *j, struct bh_err *err)
{
	struct emit e = {.j = j, .subject = &(struct bh_subject){"", ""}};
	struct bh_compile_memo *m = j->m;
	struct bh_tables *t = j->t;
	int r;

	take_spare(&e.pages, &m->spare_pages);
	take_spare(&e.portmaps, &m->spare_portmaps);
	r = emit_all(&e, err);

	/* also after a failure: bh_tables_free knows what is whose */
	t->rulesets = e.rulesets.v;
	t->n_rulesets = e.rulesets.n;
	t->portmaps = e.portmaps.v;
	t->n_portmaps = e.portmaps.n;
	t->cap_portmaps = e.portmaps.cap;
	t->pages = e.pages.v;
	t->n_pages = e.pages.n;
	t->cap_pages = e.pages.cap;
	bh_map_done(&e.ids);
	return r;
}

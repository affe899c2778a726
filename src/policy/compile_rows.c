#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* The cells of one class: what its predicates' groups say, put together. */
struct cell_bits {
	__u64 by_action[2][BH_PORT_WORDS]; /* groups for any executable */
	uint32_t stamp;			   /* touched by the cell set at hand */
};

struct part_of_row { /* a group with executables that touches a class */
	uint32_t class;
	const struct bh_cm_group *group;
};

/* Which classes satisfy a predicate: of_pred[first[p]] .. of_pred[first[p + 1]]. Only classes that
 * are new since the last compile, or all. */
struct index {
	uint32_t *first, *of_pred;
};

#define MARK_ALLOW 1u
#define MARK_DENY  2u

struct fill {
	struct bh_compile_memo *m;
	struct bh_cm_cells *c;
	struct index all, fresh;
	uint32_t *now;		/* old class > class, or BH_CM_NONE */
	struct cell_bits *bits; /* by class */
	uint32_t stamp;
	BH_VEC(uint32_t) touched;
	BH_VEC(struct part_of_row) parts;
	uint8_t *mark;		       /* by executable's index */
	struct cell_bits base;	       /* of groups for everyone */
	size_t n_base;		       /* parts for everyone stand first in groups */
	BH_VEC(struct bh_tproc) procs; /* of the row at hand */
};

/* ---- index ---- */

static int index_make(const struct bh_compile_memo *m, const bool *is_known, struct index *x)
{
	uint32_t *at, sum = 0;

	x->first = calloc(m->preds.n + 2, sizeof(*x->first));
	if (!x->first)
		return -ENOMEM;
	at = x->first + 1; /* counts end up one place late, which makes them beginnings */
	for (size_t c = 0; c < m->classes.n; c++) {
		for (int k = 0; !is_known[c] && k < 2; k++) {
			const struct bh_cm_part *part = &m->parts.v[m->classes.v[c].part[k]];

			for (size_t i = 0; i < part->n; i++)
				at[part->preds[i]]++;
		}
	}
	for (size_t p = 0; p < m->preds.n; p++) {
		uint32_t count = at[p];

		at[p] = sum;
		sum += count;
	}
	x->of_pred = calloc(sum + 1, sizeof(*x->of_pred));
	if (!x->of_pred)
		return -ENOMEM;
	for (uint32_t c = 0; c < m->classes.n; c++) {
		for (int k = 0; !is_known[c] && k < 2; k++) {
			const struct bh_cm_part *part = &m->parts.v[m->classes.v[c].part[k]];

			for (size_t i = 0; i < part->n; i++)
				x->of_pred[at[part->preds[i]]++] = c;
		}
	}
	return 0;
}

/* ---- one row ---- */

static int by_proc(const void *a, const void *b)
{
	const struct bh_tproc *x = a, *y = b;

	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	if (x->port_class != y->port_class)
		return x->port_class < y->port_class ? -1 : 1;
	return x->exe < y->exe ? -1 : x->exe > y->exe;
}

static int by_class(const void *a, const void *b)
{
	const struct bh_trow *x = a, *y = b;

	return x->class < y->class ? -1 : x->class > y->class;
}

static void mark_group(struct fill *f, const struct bh_cm_group *g, unsigned port_class,
		       unsigned *seen)
{
	const struct bh_cm_procs *p = &f->m->procs.v[g->procs];
	unsigned mark = g->action == BH_ACTION_ALLOW ? MARK_ALLOW : MARK_DENY;

	if (!bh_cm_bit(g->bits, port_class))
		return;
	*seen |= mark;
	for (size_t i = 0; i < p->n; i++)
		f->mark[f->m->exes.v[p->exe[i]].index] |= (uint8_t)mark;
}

static int list_proc(struct fill *f, unsigned port_class, size_t exe)
{
	return bh_vec_push(&f->procs, ((struct bh_tproc){.port_class = (uint16_t)port_class,
							 .exe = (uint16_t)exe}));
}

/* Lists who may open the cell, from the marks. */
static int list_procs(struct fill *f, unsigned port_class, bool is_open)
{
	int r = 0;

	if (is_open)
		r = list_proc(f, port_class, BH_PROC_OTHER);
	for (size_t i = 0; !r && i < f->m->active_exes.n; i++) {
		if (f->mark[i] & MARK_DENY || !(is_open || f->mark[i] & MARK_ALLOW))
			continue;
		r = list_proc(f, port_class, i + 2);
	}
	return r;
}

/* One cell that groups with executables touch. A Deny for some executables also closes the cell to
 * those that are not known, so the cell is conditional even if everybody else may open it. */
static int decide_cell(struct fill *f, const struct part_of_row *parts, size_t n,
		       unsigned port_class, struct bh_row *row)
{
	unsigned seen = 0;
	size_t before = f->procs.n;
	bool is_open = bh_cm_bit(row->allow, port_class);

	if (bh_cm_bit(row->deny, port_class))
		return 0;
	memset(f->mark, 0, f->m->active_exes.n);
	for (size_t i = 0; i < f->n_base; i++)
		mark_group(f, &f->c->groups[i], port_class, &seen);
	for (size_t i = 0; i < n; i++)
		mark_group(f, parts[i].group, port_class, &seen);
	if (is_open ? !(seen & MARK_DENY) : !(seen & MARK_ALLOW))
		return 0;
	row->allow[port_class / 64] &= ~(UINT64_C(1) << port_class % 64);
	if (list_procs(f, port_class, is_open))
		return -ENOMEM;
	if (f->procs.n > before)
		bh_cm_bit_set(row->cond, port_class);
	else
		bh_cm_bit_set(row->deny, port_class);
	return 0;
}

/* The row of a class with the given bits and parts; its executables are in f->procs. */
static int make_row(struct fill *f, const struct cell_bits *b, const struct part_of_row *parts,
		    size_t n, struct bh_row *ret)
{
	*ret = (struct bh_row){.allow = {0}};
	f->procs.n = 0;
	for (int w = 0; w < BH_PORT_WORDS; w++) {
		__u64 deny = b->by_action[BH_ACTION_DENY][w] | f->base.by_action[BH_ACTION_DENY][w];
		__u64 allow =
			b->by_action[BH_ACTION_ALLOW][w] | f->base.by_action[BH_ACTION_ALLOW][w];

		ret->deny[w] = deny;
		ret->allow[w] = allow & ~deny;
	}
	if (!n && !f->n_base)
		return 0;
	for (unsigned c = 0; c < f->c->n_port_classes; c++) {
		int r = decide_cell(f, parts, n, c, ret);

		if (r)
			return r;
	}
	return 0;
}

/* ---- the default row ---- */

static void add_bits(struct cell_bits *b, const struct bh_cm_group *g)
{
	for (int w = 0; w < BH_PORT_WORDS; w++)
		b->by_action[g->action][w] |= g->bits[w];
}

static int by_group_kind(const void *a, const void *b)
{
	const struct bh_cm_group *x = a, *y = b;

	/* groups for everyone with executables, groups for everyone without, the rest */
	int kx = x->pred ? 2 : !x->procs, ky = y->pred ? 2 : !y->procs;

	if (kx != ky)
		return kx - ky;
	return bh_cm_by_number(&x->pred, &y->pred);
}

static void make_base(struct fill *f)
{
	const struct bh_cm_cells *c = f->c;

	f->base = (struct cell_bits){.stamp = 0};
	f->n_base = 0;
	for (size_t i = 0; i < c->n_groups && !c->groups[i].pred; i++) {
		if (c->groups[i].procs)
			f->n_base++;
		else
			add_bits(&f->base, &c->groups[i]);
	}
}

static int make_default(struct fill *f)
{
	int r = make_row(f, &f->base, NULL, 0, &f->c->dflt);

	for (size_t i = 0; !r && i < f->procs.n; i++) {
		f->procs.v[i].class = BH_CLASS_DEFAULT;
		r = bh_vec_push(&f->c->procs, f->procs.v[i]);
	}
	return r;
}

/* ---- rows of classes ---- */

static int touch(struct fill *f, const struct index *x)
{
	struct bh_cm_cells *c = f->c;

	f->stamp++;
	f->touched.n = 0;
	f->parts.n = 0;
	for (size_t i = 0; i < c->n_groups; i++) {
		const struct bh_cm_group *g = &c->groups[i];

		for (uint32_t k = x->first[g->pred]; g->pred && k < x->first[g->pred + 1]; k++) {
			uint32_t class = x->of_pred[k];
			struct cell_bits *b = &f->bits[class];

			if (b->stamp != f->stamp) {
				*b = (struct cell_bits){.stamp = f->stamp};
				if (bh_vec_push(&f->touched, class))
					return -ENOMEM;
			}
			if (!g->procs)
				add_bits(b, g);
			else if (bh_vec_push(&f->parts, ((struct part_of_row){class, g})))
				return -ENOMEM;
		}
	}
	return 0;
}

/* The default's executables are the last ones listed in c->procs. */
static bool is_default(const struct fill *f, const struct bh_row *row, size_t n_dflt,
		       const struct bh_tproc *dflt)
{
	if (memcmp(row, &f->c->dflt, sizeof(*row)) != 0 || f->procs.n != n_dflt)
		return false;
	for (size_t i = 0; i < n_dflt; i++) {
		if (f->procs.v[i].port_class != dflt[i].port_class ||
		    f->procs.v[i].exe != dflt[i].exe)
			return false;
	}
	return true;
}

static int by_part(const void *a, const void *b)
{
	const struct part_of_row *x = a, *y = b;

	return x->class < y->class ? -1 : x->class > y->class;
}

static int add_row(struct fill *f, uint32_t class, const struct part_of_row *parts, size_t n)
{
	struct bh_cm_cells *c = f->c;
	struct bh_trow row;
	size_t n_dflt = 0;
	int r;

	memset(&row, 0, sizeof(row)); /* the padding too: tables are compared as bytes */
	row.class = class;
	r = make_row(f, &f->bits[class], parts, n, &row.row);

	while (n_dflt < c->procs.n && c->procs.v[n_dflt].class == BH_CLASS_DEFAULT)
		n_dflt++;
	if (r || is_default(f, &row.row, n_dflt, c->procs.v))
		return r;
	for (size_t i = 0; i < f->procs.n; i++) {
		f->procs.v[i].class = class;
		if (bh_vec_push(&c->procs, f->procs.v[i]))
			return -ENOMEM;
	}
	return bh_vec_push(&c->rows, row);
}

/* Adds the rows of the index's classes. c->procs begins with the default's. */
static int add_rows(struct fill *f, const struct index *x)
{
	size_t at = 0;
	int r = touch(f, x);

	if (r || !f->touched.n)
		return r;
	qsort(f->touched.v, f->touched.n, sizeof(uint32_t), bh_cm_by_number);
	if (f->parts.n)
		qsort(f->parts.v, f->parts.n, sizeof(*f->parts.v), by_part);
	for (size_t i = 0; !r && i < f->touched.n; i++) {
		uint32_t class = f->touched.v[i];
		size_t from = at;

		while (at < f->parts.n && f->parts.v[at].class == class)
			at++;
		r = add_row(f, class, f->parts.n ? f->parts.v + from : NULL, at - from);
	}
	return r;
}

/* ---- a whole cell set ---- */

static int hash_cells(struct fill *f)
{
	struct bh_compile_memo *m = f->m;
	struct bh_cm_cells *c = f->c;
	struct bh_hasher *h = &m->hasher;

	bh_hasher_begin(h, "cells");
	bh_hasher_add(h, &m->portmaps.v[c->portmap]->id, sizeof(struct bh_content));
	bh_hasher_add(h, &c->dflt, sizeof(c->dflt));
	bh_hasher_add_u64(h, c->rows.n);
	bh_vec_each (row, &c->rows) {
		bh_hasher_add(h, &m->classes.v[row->class].id, sizeof(struct bh_content));
		bh_hasher_add(h, &row->row, sizeof(row->row));
	}
	bh_vec_each (p, &c->procs) {
		bh_hasher_add_u64(h, p->class == BH_CLASS_DEFAULT);
		if (p->class != BH_CLASS_DEFAULT)
			bh_hasher_add(h, &m->classes.v[p->class].id, sizeof(struct bh_content));
		bh_hasher_add_u64(h, p->port_class);
		bh_hasher_add_s(h, p->exe == BH_PROC_OTHER
					   ? NULL
					   : m->exes.v[m->active_exes.v[p->exe - 2]].path);
	}
	return bh_hasher_end(h, &c->id);
}

static void sort_cells(struct bh_cm_cells *c)
{
	if (c->rows.n)
		qsort(c->rows.v, c->rows.n, sizeof(*c->rows.v), by_class);
	if (c->procs.n)
		qsort(c->procs.v, c->procs.n, sizeof(*c->procs.v), by_proc);
}

static int fill_anew(struct fill *f)
{
	struct bh_cm_cells *c = f->c;

	c->rows.n = 0;
	c->procs.n = 0;
	if (c->n_groups)
		qsort(c->groups, c->n_groups, sizeof(*c->groups), by_group_kind);
	make_base(f);
	if (make_default(f) || add_rows(f, &f->all))
		return -ENOMEM;
	sort_cells(c);
	bh_vec_shrink(&c->rows);
	bh_vec_shrink(&c->procs);
	c->is_filled = true;
	return hash_cells(f);
}

/* Renumbers the rows; those of classes that are gone go. Returns whether there were any. Classes
 * that stay keep their order, because it is the order of their contents. */
static bool keep_rows(struct fill *f)
{
	struct bh_cm_cells *c = f->c;
	size_t n = 0, n_procs = 0;
	bool is_less;

	bh_vec_each (row, &c->rows) {
		row->class = f->now[row->class];
		if (row->class != BH_CM_NONE)
			c->rows.v[n++] = *row;
	}
	bh_vec_each (p, &c->procs) {
		if (p->class != BH_CLASS_DEFAULT)
			p->class = f->now[p->class];
		if (p->class != BH_CM_NONE)
			c->procs.v[n_procs++] = *p;
	}
	is_less = n != c->rows.n;
	c->rows.n = n;
	c->procs.n = n_procs;
	return is_less;
}

/* add_rows wants the default's executables first. */
static void rotate_default(struct bh_cm_cells *c)
{
	bh_vec_each (p, &c->procs)
		p->class = p->class == BH_CLASS_DEFAULT ? 0 : p->class + 1;
	sort_cells(c);
	bh_vec_each (p, &c->procs)
		p->class = p->class ? p->class - 1 : BH_CLASS_DEFAULT;
}

static int fill_again(struct fill *f)
{
	struct bh_cm_cells *c = f->c;
	bool is_less = keep_rows(f);
	size_t n = c->rows.n;

	make_base(f);
	if (c->procs.n)
		rotate_default(c);
	if (add_rows(f, &f->fresh))
		return -ENOMEM;
	if (c->procs.n || c->rows.n != n)
		sort_cells(c);
	return is_less || c->rows.n != n ? hash_cells(f) : 0;
}

/* ---- all ---- */

static void fill_done(struct fill *f)
{
	free(f->all.first);
	free(f->all.of_pred);
	free(f->fresh.first);
	free(f->fresh.of_pred);
	free(f->now);
	free(f->bits);
	free(f->mark);
	bh_vec_done(&f->touched);
	bh_vec_done(&f->parts);
	bh_vec_done(&f->procs);
}

/* Both lists are sorted by content. */
static void map_classes(struct fill *f, bool *is_known)
{
	const struct bh_compile_memo *m = f->m;
	size_t i = 0, k = 0;

	while (i < m->old_classes.n) {
		int c = k < m->classes.n
				? bh_content_cmp(&m->old_classes.v[i].id, &m->classes.v[k].id)
				: -1;

		if (c < 0) {
			f->now[i++] = BH_CM_NONE;
		} else if (c > 0) {
			k++;
		} else {
			is_known[k] = true;
			f->now[i++] = (uint32_t)k++;
		}
	}
}

static int prepare(struct fill *f)
{
	const struct bh_compile_memo *m = f->m;
	BH_CLEANUP(bh_freep) bool *is_known = calloc(m->classes.n, sizeof(*is_known));
	BH_CLEANUP(bh_freep) bool *none_known = calloc(m->classes.n, sizeof(*none_known));

	f->now = calloc(m->old_classes.n + 1, sizeof(*f->now));
	f->bits = calloc(m->classes.n, sizeof(*f->bits));
	f->mark = calloc(m->active_exes.n + 1, 1);
	if (!is_known || !none_known || !f->now || !f->bits || !f->mark)
		return -ENOMEM;
	map_classes(f, is_known);
	if (index_make(m, is_known, &f->fresh))
		return -ENOMEM;
	return index_make(m, none_known, &f->all);
}

int bh_cm_rows_fill(struct bh_cm_job *j, struct bh_err *err)
{
	BH_CLEANUP(fill_done) struct fill f = {.m = j->m};
	struct bh_map_entry *e;
	size_t pos = 0;
	int r = prepare(&f);

	while (!r && (e = bh_map_next(&j->m->cells_ids, &pos))) {
		f.c = e->value;
		if (f.c->used != j->m->epoch)
			continue;
		if (!f.c->is_filled || (f.c->has_procs && j->m->exes_changed))
			r = fill_anew(&f);
		else
			r = fill_again(&f);
	}
	return r ? bh_fail(err, -r, "no memory for rulesets") : 0;
}

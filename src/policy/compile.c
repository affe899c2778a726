#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* ---- the memo ---- */

static void vecs_done(struct bh_compile_memo *m)
{
	bh_vec_done(&m->ports);
	bh_vec_done(&m->procs);
	bh_vec_done(&m->exes);
	bh_vec_done(&m->preds);
	bh_vec_done(&m->subjects);
	bh_vec_done(&m->counted);
	bh_vec_done(&m->active_cidrs);
	bh_vec_done(&m->active_exes);
	bh_vec_done(&m->table_cidrs);
	bh_vec_done(&m->prefixes);
	bh_vec_done(&m->parts);
	bh_vec_done(&m->classes);
	bh_vec_done(&m->old_classes);
	bh_vec_done(&m->scratch);
	bh_vec_done(&m->pages);
	bh_vec_done(&m->portmaps);
	bh_vec_each (s, &m->scopes)
		bh_vec_done(&s->pairs);
	bh_vec_done(&m->scopes);
	bh_vec_each (p, &m->pairs)
		bh_vec_done(&p->families);
	bh_vec_done(&m->pairs);
	bh_vec_each (f, &m->families)
		bh_vec_done(&f->members);
	bh_vec_done(&m->families);
}

static void memo_done(struct bh_compile_memo *m)
{
	struct bh_map *maps[] = {&m->scope_ids, &m->pair_ids,	 &m->pred_ids, &m->family_ids,
				 &m->ports_ids, &m->procs_ids,	 &m->exe_ids,  &m->part_ids,
				 &m->cells_ids, &m->portmap_ids, &m->page_ids};

	bh_cm_world_done(m);
	for (size_t i = 0; i < BH_ARRAY_SIZE(maps); i++)
		bh_map_done(maps[i]);
	vecs_done(m);
	bh_nummap_done(&m->class_ids);
	bh_vec_done(&m->spare_peers);
	bh_vec_done(&m->spare_pages);
	bh_vec_done(&m->spare_portmaps);
	bh_arena_done(&m->arena);
	bh_arena_done(&m->cidr_arena);
	bh_arena_done(&m->part_arena);
	bh_hasher_done(&m->hasher);
}

/* Number 0 of predicates, port sets, executable sets, port maps and pages. */
static int memo_init(struct bh_compile_memo *m)
{
	uint32_t number;

	*m = (struct bh_compile_memo){.from_s = INT64_MIN, .to_s = INT64_MAX};
	bh_map_init(&m->cells_ids, bh_cm_cells_free);
	if (bh_hasher_init(&m->hasher) ||
	    bh_vec_push(&m->preds, ((struct bh_cm_pred){.kind = BH_CM_EVERYONE})) ||
	    bh_vec_push(&m->ports, ((struct bh_cm_ports){.n = 0})) ||
	    bh_vec_push(&m->procs, ((struct bh_cm_procs){.n = 0})))
		return -ENOMEM;
	return bh_cm_portmap_get(m, &(struct bh_cm_piece){.key = 0}, 1, &number);
}

int bh_compile_memo_new(struct bh_compile_memo **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_compile_memo_freep) struct bh_compile_memo *m = calloc(1, sizeof(*m));

	if (!m || memo_init(m))
		return bh_fail(err, ENOMEM, "no memory to compile policy");
	*ret = BH_TAKE(m);
	return 0;
}

void bh_compile_memo_free(struct bh_compile_memo *m)
{
	if (!m)
		return;
	memo_done(m);
	free(m);
}

void bh_compile_memo_freep(struct bh_compile_memo **m)
{
	bh_compile_memo_free(*m);
	*m = NULL;
}

/* What objects that are gone have left behind is not cleared away piece by piece: when it is more
 * than what is in use, everything starts over. */
static bool is_worn(const struct bh_compile_memo *m)
{
	return m->is_dirty || m->epoch > UINT32_MAX - 2 ||
	       m->arena.bytes > 2 * m->fresh_bytes + (1u << 20) ||
	       m->preds.n + m->pairs.n > 2 * m->fresh_preds + 4096 ||
	       m->ns.n > 2 * m->fresh_ns + 1024 || m->lenders.n > m->policies.n / 2 + 256;
}

static int refresh(struct bh_compile_memo *m)
{
	memo_done(m);
	return memo_init(m);
}

static void note_size(struct bh_compile_memo *m)
{
	if (m->epoch != 1)
		return;
	m->fresh_bytes = m->arena.bytes;
	m->fresh_preds = m->preds.n + m->pairs.n;
	m->fresh_ns = m->ns.n;
}

/* Moves an array to where the next compile looks for one. */
#define recycle(spare, array, cap_)                                                                \
	do {                                                                                       \
		if (!(spare)->v) {                                                                 \
			(spare)->v = BH_TAKE(array);                                               \
			(spare)->cap = (cap_);                                                     \
		}                                                                                  \
	} while (0)

void bh_compile_recycle(struct bh_compile_memo *m, struct bh_tables *t)
{
	if (!t)
		return;
	recycle(&m->spare_peers, t->peers, t->cap_peers);
	recycle(&m->spare_pages, t->pages, t->cap_pages);
	recycle(&m->spare_portmaps, t->portmaps, t->cap_portmaps);
	bh_tables_free(t);
}

/* ---- one compile ---- */

static int by_name(const void *a, const void *b)
{
	const struct bh_subject *x = a, *y = b;
	int c = strcmp(x->ns, y->ns);

	return c ? c : strcmp(x->name, y->name);
}

/* A sorted copy without duplicates. */
static struct bh_subject *sort_subjects(const struct bh_subject *s, size_t n, size_t *ret_n)
{
	struct bh_subject *v = calloc(n + 1, sizeof(*v));
	size_t kept = 0;

	if (!v)
		return NULL;
	if (n) {
		memcpy(v, s, n * sizeof(*v));
		qsort(v, n, sizeof(*v), by_name);
	}
	for (size_t i = 0; i < n; i++) {
		if (!kept || by_name(&v[kept - 1], &v[i]) != 0)
			v[kept++] = v[i];
	}
	*ret_n = kept;
	return v;
}

static int run(struct bh_cm_job *j, struct bh_err *err)
{
	static int (*const steps[])(struct bh_cm_job * j, struct bh_err * err) = {
		bh_cm_world_sync, bh_cm_select, bh_cm_match,	 bh_cm_cidr_build,
		bh_cm_classes,	  bh_cm_shapes, bh_cm_rows_fill, bh_cm_emit,
	};
	int r = 0;

	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(steps); i++)
		r = steps[i](j, err);
	return r;
}

/* The subjects are sorted. On failure the memo is dirty. */
static int attempt(const struct bh_compile_request *req, const struct bh_subject *subjects,
		   size_t n_subjects, struct bh_tables **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_tables_freep) struct bh_tables *t = calloc(1, sizeof(*t));
	BH_CLEANUP(bh_freep) uint32_t *ident = calloc(n_subjects + 1, sizeof(*ident));
	struct bh_compile_memo *m = req->memo;
	struct bh_cm_job j = {.m = m,
			      .world = req->world,
			      .subjects = subjects,
			      .n_subjects = n_subjects,
			      .ident = ident,
			      .t = t};
	int r;

	if (!t || !ident || (is_worn(m) && refresh(m)))
		return bh_fail(err, ENOMEM, "no memory to compile policy");
	m->epoch++;
	m->is_dirty = true; /* until everything has gone well */
	r = run(&j, err);
	if (r)
		return r;
	bh_cm_cells_purge(m);
	note_size(m);
	bh_world_ref(req->world);
	bh_world_unref(m->world);
	m->world = req->world;
	m->is_dirty = false;
	*ret = BH_TAKE(t);
	return 0;
}

/* What a failure says must not depend on what the memo has seen: it comes from a first compile. */
static int compile(const struct bh_compile_request *req, struct bh_tables **ret, struct bh_err *err)
{
	size_t n = 0;
	BH_CLEANUP(bh_freep)
	struct bh_subject *subjects = sort_subjects(req->subjects, req->n_subjects, &n);
	int r;

	if (!subjects)
		return bh_fail(err, ENOMEM, "no memory to compile policy");
	r = attempt(req, subjects, n, ret, err);
	if (r && req->memo->epoch != 1)
		r = attempt(req, subjects, n, ret, err);
	return r;
}

int bh_compile_run(const struct bh_compile_request *req, struct bh_tables **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_compile_memo_freep) struct bh_compile_memo *own = NULL;
	struct bh_compile_request with = *req;
	int r = req->memo ? 0 : bh_compile_memo_new(&own, err);

	if (r)
		return r;
	if (own)
		with.memo = own;
	return compile(&with, ret, err);
}

int bh_compile(const struct bh_world *w, const struct bh_subject *subjects, size_t n_subjects,
	       struct bh_tables **ret, struct bh_err *err)
{
	struct bh_compile_request req = {
		.world = (struct bh_world *)w, /* only its references are counted */
		.subjects = subjects,
		.n_subjects = n_subjects,
	};

	return bh_compile_run(&req, ret, err);
}

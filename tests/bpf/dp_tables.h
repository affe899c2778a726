/* dp_tables.h - compiled tables built by hand, small enough to see what a publish must do.
 *
 * Contents are numbers: dt_content(kind, n). Equal numbers mean equal content to publish. */
#pragma once

#include "bh_test.h"

#include "datapath/datapath.h"
#include "policy/tables.h"

struct dt {
	struct bh_tables t;
	struct bh_publish p;
};

static inline struct bh_content dt_content(uint32_t kind, uint64_t n)
{
	struct bh_content c = {0};

	memcpy(c.b, &kind, sizeof(kind));
	memcpy(c.b + 4, &n, sizeof(n));
	return c;
}

static inline void *dt_need(void *p)
{
	assert_non_null(p);
	return p;
}

#define DT_GROW(array, n)                                                                          \
	((array) = dt_need(realloc((array), ((n) + 1) * sizeof(*(array)))),                        \
	 memset(&(array)[n], 0, sizeof(*(array))), &(array)[(n)++])

static inline void dt_init(struct dt *d)
{
	memset(d, 0, sizeof(*d));
	DT_GROW(d->t.classes, d->t.n_classes);
	DT_GROW(d->t.pages, d->t.n_pages);
	DT_GROW(d->t.portmaps, d->t.n_portmaps);
	DT_GROW(d->t.rulesets, d->t.n_rulesets)->until_s = INT64_MAX;
}

static inline void dt_done(struct dt *d)
{
	for (size_t i = 0; i < d->t.n_rulesets; i++) {
		free(d->t.rulesets[i].rows);
		free(d->t.rulesets[i].procs);
	}
	for (size_t i = 0; i < d->t.n_subjects; i++)
		free((void *)(uintptr_t)d->p.slots_of[i].slot);
	for (size_t i = 0; i < d->t.n_exes; i++)
		free(d->t.exes[i]);
	free(d->p.slots_of);
	free(d->t.classes);
	free(d->t.peers);
	free(d->t.cidrs);
	free(d->t.pages);
	free(d->t.portmaps);
	free(d->t.rulesets);
	free(d->t.subjects);
	free(d->t.exes);
	memset(d, 0, sizeof(*d));
}

/* Each returns the index. */
static inline uint32_t dt_class(struct dt *d, uint64_t n)
{
	DT_GROW(d->t.classes, d->t.n_classes)->id = dt_content(1, n);
	return (uint32_t)d->t.n_classes - 1;
}

static inline int dt_peer_cmp(const void *a, const void *b)
{
	return bh_ip_cmp(&((const struct bh_tpeer *)a)->ip, &((const struct bh_tpeer *)b)->ip);
}

static inline void dt_peer(struct dt *d, struct bh_ip ip, uint32_t class)
{
	*DT_GROW(d->t.peers, d->t.n_peers) = (struct bh_tpeer){.ip = ip, .class = class};
	qsort(d->t.peers, d->t.n_peers, sizeof(*d->t.peers), dt_peer_cmp);
}

static inline int dt_cidr_cmp(const void *a, const void *b)
{
	return bh_cidr_cmp(&((const struct bh_tcidr *)a)->cidr,
			   &((const struct bh_tcidr *)b)->cidr);
}

static inline void dt_cidr(struct dt *d, const char *text, uint32_t class)
{
	struct bh_tcidr *c = DT_GROW(d->t.cidrs, d->t.n_cidrs);
	struct bh_err err;

	c->class = class;
	bh_assert_ok(&err, bh_cidr_parse(text, &c->cidr, NULL, &err));
	qsort(d->t.cidrs, d->t.n_cidrs, sizeof(*d->t.cidrs), dt_cidr_cmp);
}

/* Port class 1 is one TCP port and the same UDP port; everything else is port class 0. */
static inline uint32_t dt_portmap(struct dt *d, uint16_t port)
{
	struct bh_tpage *page = DT_GROW(d->t.pages, d->t.n_pages);
	struct bh_tportmap *pm = DT_GROW(d->t.portmaps, d->t.n_portmaps);

	page->id = dt_content(2, port & 255);
	page->class[port & 255] = 1;
	pm->id = dt_content(3, port);
	pm->page[BH_PP_TCP][port >> 8] = (uint32_t)d->t.n_pages - 1;
	pm->page[BH_PP_UDP][port >> 8] = (uint32_t)d->t.n_pages - 1;
	return (uint32_t)d->t.n_portmaps - 1;
}

static inline uint32_t dt_ruleset(struct dt *d, uint64_t n, uint32_t portmap)
{
	struct bh_truleset *rs = DT_GROW(d->t.rulesets, d->t.n_rulesets);

	rs->id = dt_content(4, n);
	rs->portmap = portmap;
	rs->until_s = INT64_MAX;
	return (uint32_t)d->t.n_rulesets - 1;
}

/* allow, cond, deny: bits of port classes 0..63. */
static inline void dt_row(struct dt *d, uint32_t ruleset, uint32_t class, uint64_t allow,
			  uint64_t cond)
{
	struct bh_truleset *rs = &d->t.rulesets[ruleset];
	struct bh_trow *row = DT_GROW(rs->rows, rs->n_rows);

	row->class = class;
	row->row.allow[0] = allow;
	row->row.cond[0] = cond;
}

static inline void dt_proc(struct dt *d, uint32_t ruleset, struct bh_tproc p)
{
	struct bh_truleset *rs = &d->t.rulesets[ruleset];

	*DT_GROW(rs->procs, rs->n_procs) = p;
}

static inline uint16_t dt_exe(struct dt *d, const char *path)
{
	*DT_GROW(d->t.exes, d->t.n_exes) = dt_need(strdup(path));
	return (uint16_t)(d->t.n_exes - 1 + 2);
}

static inline void dt_subject(struct dt *d, uint32_t slot, uint32_t egress, uint32_t ingress)
{
	size_t n = d->t.n_subjects;
	uint32_t *list = dt_need(malloc(sizeof(*list)));

	*list = slot;
	*DT_GROW(d->t.subjects, d->t.n_subjects) =
		(struct bh_tsubject){.ns = "test", .name = "pod", .ruleset = {egress, ingress}};
	d->p.slots_of = dt_need(realloc(d->p.slots_of, (n + 1) * sizeof(*d->p.slots_of)));
	d->p.slots_of[n].slot = list;
	d->p.slots_of[n].n = 1;
}

static inline int dt_publish_at(struct bh_datapath *dp, struct dt *d, int64_t now_s,
				struct bh_err *err)
{
	d->p.tables = &d->t;
	d->p.now_s = now_s;
	d->p.now_ns = bh_datapath_now_ns();
	return bh_datapath_publish(dp, &d->p, err);
}

static inline void dt_publish(struct bh_datapath *dp, struct dt *d)
{
	struct bh_err err;

	bh_assert_ok(&err, dt_publish_at(dp, d, 1000, &err));
}

static inline struct bh_kernel_verdict dt_ask(struct bh_datapath *dp, uint32_t slot,
					      enum bh_dir dir, const struct bh_ip *peer,
					      uint16_t port)
{
	const struct bh_kernel_question q = {slot, dir, *peer, 6, port};
	struct bh_kernel_verdict v;
	struct bh_err err;

	bh_assert_ok(&err, bh_datapath_decide(dp, &q, &v, &err));
	return v;
}

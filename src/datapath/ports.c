/* Port pages and port maps: immutable array elements that rulesets share. */
#include "datapath/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Index 0 of both is the empty one and has id 0 in the kernel, where it is all zeros. */
static void resolve(struct bh_ids *ids, const struct bh_content *content, uint32_t *ret_kid)
{
	struct bh_id *id = bh_ids_find(ids, content);

	if (!id)
		return;
	id->is_wanted = true;
	*ret_kid = id->kid;
}

int bh_ports_resolve(struct bh_plan *pl)
{
	for (size_t i = 0; i < pl->t->n_pages; i++) {
		if (i == 0)
			pl->page_kid[0] = 0;
		else
			resolve(&pl->ts->pages, &pl->t->pages[i].id, &pl->page_kid[i]);
	}
	for (size_t i = 0; i < pl->t->n_portmaps; i++) {
		if (i == 0)
			pl->portmap_kid[0] = 0;
		else
			resolve(&pl->ts->portmaps, &pl->t->portmaps[i].id, &pl->portmap_kid[i]);
	}
	return 0;
}

static size_t missing(const uint32_t *kid, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += kid[i] == BH_KID_NONE;
	return count;
}

int bh_ports_preflight(struct bh_plan *pl, struct bh_err *err)
{
	/* plus 1: id 0 is never handed out */
	int r = bh_plan_room(&pl->dp->map[BH_M_PORTPAGE], bh_ids_count(&pl->ts->pages) + 1,
			     missing(pl->page_kid, pl->t->n_pages), "ports in policies", err);

	if (r)
		return r;
	return bh_plan_room(&pl->dp->map[BH_M_PORTMAP], bh_ids_count(&pl->ts->portmaps) + 1,
			    missing(pl->portmap_kid, pl->t->n_portmaps),
			    "port combinations in policies", err);
}

/* Writes one element under a fresh id and binds its content. */
static int put_new(struct bh_plan *pl, enum bh_dp_map map, const struct bh_content *content,
		   void *value, uint32_t *ret_kid, struct bh_err *err)
{
	struct bh_ids *ids = map == BH_M_PORTPAGE ? &pl->ts->pages : &pl->ts->portmaps;
	struct bh_id *id = bh_ids_new(ids, NULL);
	uint32_t kid;
	int r;

	if (!id)
		return bh_fail(err, ENOSPC, "map %s: no free id", pl->dp->map[map].name);
	kid = id->kid;
	r = bh_plan_put(pl, map, &(struct bh_kbatch){.keys = &kid, .values = value, .n = 1}, err);
	if (r)
		return r;
	if (bh_ids_bind(ids, (uint32_t)(ids->v.n - 1), content))
		return bh_fail(err, ENOMEM, "no memory to publish");
	ids->v.v[ids->v.n - 1].is_wanted = true;
	*ret_kid = kid;
	return 0;
}

static int put_portmap(struct bh_plan *pl, size_t i, struct bh_err *err)
{
	const struct bh_tportmap *pm = &pl->t->portmaps[i];
	struct bh_portmap value;

	for (int proto = 0; proto < BH_PP_COUNT; proto++)
		for (int k = 0; k < 256; k++)
			value.page[proto][k] = (uint16_t)pl->page_kid[pm->page[proto][k]];
	return put_new(pl, BH_M_PORTMAP, &pm->id, &value, &pl->portmap_kid[i], err);
}

int bh_ports_write(struct bh_plan *pl, struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < pl->t->n_pages; i++) {
		struct bh_portpage value;

		if (pl->page_kid[i] != BH_KID_NONE)
			continue;
		memcpy(value.class, pl->t->pages[i].class, sizeof(value.class));
		r = put_new(pl, BH_M_PORTPAGE, &pl->t->pages[i].id, &value, &pl->page_kid[i], err);
	}
	for (size_t i = 0; r == 0 && i < pl->t->n_portmaps; i++)
		if (pl->portmap_kid[i] == BH_KID_NONE)
			r = put_portmap(pl, i, err);
	return r;
}

#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

static int page_get(struct bh_compile_memo *m, const uint8_t class[256], uint32_t *ret)
{
	uint32_t n = bh_idmap_get(&m->page_ids, class, 256);
	struct bh_cm_page *page;

	if (n != BH_CM_NONE) {
		*ret = n;
		return 0;
	}
	n = (uint32_t)m->pages.n;
	page = bh_arena_alloc(&m->arena, sizeof(*page));
	if (!page)
		return -ENOMEM;
	memcpy(page->class, class, 256);
	bh_hasher_begin(&m->hasher, "page");
	bh_hasher_add(&m->hasher, class, 256);
	if (bh_hasher_end(&m->hasher, &page->id))
		return -EIO;
	*ret = n;
	if (bh_vec_push(&m->pages, page))
		return -ENOMEM;
	return bh_idmap_set(&m->page_ids, class, 256, n);
}

/* Where the walk over the pieces stands. */
struct reader {
	const struct bh_cm_piece *v;
	size_t n, at;
};

static void advance(struct reader *r, uint32_t key)
{
	while (r->at + 1 < r->n && r->v[r->at + 1].key <= key)
		r->at++;
}

static int fill_page(struct bh_compile_memo *m, struct reader *r, uint32_t key, uint32_t *ret)
{
	uint8_t class[256];

	advance(r, key);
	/* the page before was of the same class throughout, and this one is too */
	if (r->v[r->at].key + 256 <= key && (key & 0xffff) &&
	    (r->at + 1 == r->n || r->v[r->at + 1].key >= key + 256)) {
		*ret = ret[-1];
		return 0;
	}
	for (unsigned i = 0; i < 256; i++) {
		advance(r, key + i);
		class[i] = (uint8_t)r->v[r->at].class;
	}
	return page_get(m, class, ret);
}

static int fill_map(struct bh_compile_memo *m, struct bh_cm_portmap *map, struct reader *r)
{
	for (unsigned pp = 0; pp < BH_PP_COUNT; pp++) {
		for (unsigned page = 0; page < 256; page++) {
			uint32_t key = BH_CM_PORT_KEY(pp, page << 8);
			int e = fill_page(m, r, key, &map->page[pp][page]);

			if (e)
				return e;
		}
	}
	return 0;
}

int bh_cm_portmap_get(struct bh_compile_memo *m, const struct bh_cm_piece *v, size_t n,
		      uint32_t *ret)
{
	uint32_t id = bh_idmap_get(&m->portmap_ids, v, n * sizeof(*v));
	struct bh_cm_portmap *map;
	int r;

	if (id != BH_CM_NONE) {
		*ret = id;
		return 0;
	}
	id = (uint32_t)m->portmaps.n;
	map = bh_arena_alloc(&m->arena, sizeof(*map));
	if (!map)
		return -ENOMEM;
	bh_hasher_begin(&m->hasher, "portmap");
	for (size_t i = 0; i < n; i++) {
		bh_hasher_add_u64(&m->hasher, v[i].key);
		bh_hasher_add_u64(&m->hasher, v[i].class);
	}
	if (bh_hasher_end(&m->hasher, &map->id))
		return -EIO;
	r = fill_map(m, map, &(struct reader){.v = v, .n = n});
	if (r)
		return r;
	*ret = id;
	if (bh_vec_push(&m->portmaps, map))
		return -ENOMEM;
	return bh_idmap_set(&m->portmap_ids, v, n * sizeof(*v), id);
}

#include "datapath/ids.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

int bh_ids_init(struct bh_ids *t, uint32_t first, uint32_t limit)
{
	memset(t, 0, sizeof(*t));
	bh_map_init(&t->by_content, NULL);
	t->first = t->cursor = first;
	t->limit = limit;
	if (limit > 65536)
		return 0;
	t->taken = calloc((limit + WORD_BITS - 1) / WORD_BITS, sizeof(*t->taken));
	return t->taken ? 0 : -ENOMEM;
}

static void memo_free(struct bh_rsmemo *m)
{
	if (!m)
		return;
	free(m->classes);
	free(m->procs);
	free(m);
}

void bh_ids_done(struct bh_ids *t)
{
	bh_vec_each (id, &t->v)
		memo_free(id->memo);
	bh_vec_done(&t->v);
	bh_map_done(&t->by_content);
	free(t->taken);
	memset(t, 0, sizeof(*t));
}

struct bh_id *bh_ids_find(struct bh_ids *t, const struct bh_content *content)
{
	size_t pos = (size_t)(uintptr_t)bh_map_get(&t->by_content, content->b, sizeof(content->b));

	return pos ? &t->v.v[pos - 1] : NULL;
}

struct bh_id *bh_ids_by_kid(struct bh_ids *t, uint32_t kid)
{
	bh_vec_each (id, &t->v)
		if (id->kid == kid)
			return id;
	return NULL;
}

static bool is_taken(const struct bh_ids *t, uint32_t kid)
{
	return t->taken && (t->taken[kid / WORD_BITS] >> (kid % WORD_BITS) & 1);
}

struct bh_id *bh_ids_adopt(struct bh_ids *t, uint32_t kid, uint8_t used)
{
	if (kid < t->first || kid >= t->limit)
		return NULL;
	if (bh_vec_push(&t->v, ((struct bh_id){.kid = kid, .used = used})))
		return NULL;
	if (t->taken)
		t->taken[kid / WORD_BITS] |= 1ull << (kid % WORD_BITS);
	if (kid >= t->cursor && kid + 1 < t->limit)
		t->cursor = kid + 1;
	return &t->v.v[t->v.n - 1];
}

struct bh_id *bh_ids_new(struct bh_ids *t, const struct bh_content *content)
{
	uint32_t span = t->limit - t->first, kid = t->cursor, tried = 0;
	struct bh_id *id;

	while (tried < span && is_taken(t, kid)) {
		kid = kid + 1 < t->limit ? kid + 1 : t->first;
		tried++;
	}
	if (tried == span || (!t->taken && kid + 1 >= t->limit))
		return NULL;
	id = bh_ids_adopt(t, kid, 0);
	if (!id)
		return NULL;
	t->cursor = kid + 1 < t->limit ? kid + 1 : t->first;
	if (content && bh_ids_bind(t, (uint32_t)(t->v.n - 1), content)) {
		bh_ids_release(t, t->v.n - 1);
		return NULL;
	}
	return &t->v.v[t->v.n - 1];
}

int bh_ids_bind(struct bh_ids *t, uint32_t pos, const struct bh_content *content)
{
	struct bh_id *id = &t->v.v[pos];
	int r = bh_map_set(&t->by_content, content->b, sizeof(content->b),
			   (void *)((uintptr_t)pos + 1));

	if (r)
		return r;
	id->content = *content;
	id->has_content = true;
	return 0;
}

/* The content's entry may by now stand for another id (a ruleset whose expiry moved). */
static bool is_bound_here(struct bh_ids *t, size_t pos)
{
	return t->v.v[pos].has_content && bh_ids_find(t, &t->v.v[pos].content) == &t->v.v[pos];
}

void bh_ids_release(struct bh_ids *t, size_t pos)
{
	struct bh_id *id = &t->v.v[pos];
	size_t last = t->v.n - 1;

	if (is_bound_here(t, pos))
		bh_map_del(&t->by_content, id->content.b, sizeof(id->content.b));
	if (t->taken)
		t->taken[id->kid / WORD_BITS] &= ~(1ull << (id->kid % WORD_BITS));
	memo_free(id->memo);
	if (pos != last) {
		bool is_bound = is_bound_here(t, last);

		t->v.v[pos] = t->v.v[last];
		if (is_bound) /* replaces the value of a present key: needs no memory */
			bh_map_set(&t->by_content, id->content.b, sizeof(id->content.b),
				   (void *)((uintptr_t)pos + 1));
	}
	t->v.n--;
}

void bh_ids_settle(struct bh_ids *t, unsigned side, bool is_done)
{
	bh_vec_each (id, &t->v) {
		id->used = (uint8_t)(id->used & ~(1u << side));
		if (is_done && id->is_wanted)
			id->used |= (uint8_t)(1u << side);
		id->is_wanted = false;
	}
}

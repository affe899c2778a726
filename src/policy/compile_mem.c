#include "policy/compile_mem.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536

int bh_cm_by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* ---- arena ---- */

struct bh_arena_chunk {
	struct bh_arena_chunk *next;
	size_t used, size;
	max_align_t data[];
};

static struct bh_arena_chunk *chunk_new(struct bh_arena *a, size_t n)
{
	size_t size = n > CHUNK ? n : CHUNK;
	struct bh_arena_chunk *c = calloc(1, sizeof(*c) + size);

	if (!c)
		return NULL;
	c->size = size;
	c->next = a->head;
	a->head = c;
	return c;
}

void *bh_arena_alloc(struct bh_arena *a, size_t n)
{
	struct bh_arena_chunk *c = a->head;
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + sizeof(max_align_t)) & ~(sizeof(max_align_t) - 1);
	if (!c || c->size - c->used < n)
		c = chunk_new(a, n);
	if (!c)
		return NULL;
	p = (char *)c->data + c->used;
	c->used += n;
	a->bytes += n;
	return p;
}

void *bh_arena_copy(struct bh_arena *a, const void *bytes, size_t n)
{
	void *p = bh_arena_alloc(a, n);

	if (p && n)
		memcpy(p, bytes, n);
	return p;
}

void bh_arena_done(struct bh_arena *a)
{
	while (a->head) {
		struct bh_arena_chunk *c = a->head;

		a->head = c->next;
		free(c);
	}
	a->bytes = 0;
}

/* ---- number map ---- */

static size_t slot_of(const struct bh_nummap *m, uint64_t key)
{
	uint64_t h = key * 0x9e3779b97f4a7c15;

	return (h ^ (h >> 32)) & (m->cap - 1);
}

uint32_t bh_nummap_get(const struct bh_nummap *m, uint64_t key)
{
	if (!m->n)
		return BH_CM_NONE;
	for (size_t i = slot_of(m, key); m->value[i] != BH_CM_NONE; i = (i + 1) & (m->cap - 1)) {
		if (m->key[i] == key)
			return m->value[i];
	}
	return BH_CM_NONE;
}

static void put(struct bh_nummap *m, uint64_t key, uint32_t value)
{
	size_t i = slot_of(m, key);

	while (m->value[i] != BH_CM_NONE && m->key[i] != key)
		i = (i + 1) & (m->cap - 1);
	m->n += m->value[i] == BH_CM_NONE;
	m->key[i] = key;
	m->value[i] = value;
}

static int nummap_grow(struct bh_nummap *m)
{
	struct bh_nummap old = *m, new = {.cap = old.cap ? 2 * old.cap : 64};

	new.key = malloc(new.cap * sizeof(*new.key));
	new.value = malloc(new.cap * sizeof(*new.value));
	if (!new.key || !new.value) {
		bh_nummap_done(&new);
		return -ENOMEM;
	}
	memset(new.value, 0xff, new.cap * sizeof(*new.value));
	for (size_t i = 0; i < old.cap; i++) {
		if (old.value[i] != BH_CM_NONE)
			put(&new, old.key[i], old.value[i]);
	}
	*m = new;
	bh_nummap_done(&old);
	return 0;
}

int bh_nummap_set(struct bh_nummap *m, uint64_t key, uint32_t value)
{
	if (2 * m->n >= m->cap && nummap_grow(m))
		return -ENOMEM;
	put(m, key, value);
	return 0;
}

/* Entries behind the hole move up, so that probing needs no grave marks. */
void bh_nummap_del(struct bh_nummap *m, uint64_t key)
{
	size_t i, hole;

	if (bh_nummap_get(m, key) == BH_CM_NONE)
		return;
	for (hole = slot_of(m, key); m->key[hole] != key;)
		hole = (hole + 1) & (m->cap - 1);
	m->n--;
	for (i = (hole + 1) & (m->cap - 1); m->value[i] != BH_CM_NONE; i = (i + 1) & (m->cap - 1)) {
		size_t home = slot_of(m, m->key[i]);

		if (((i - home) & (m->cap - 1)) < ((i - hole) & (m->cap - 1)))
			continue;
		m->key[hole] = m->key[i];
		m->value[hole] = m->value[i];
		hole = i;
	}
	m->value[hole] = BH_CM_NONE;
}

void bh_nummap_clear(struct bh_nummap *m)
{
	if (m->n)
		memset(m->value, 0xff, m->cap * sizeof(*m->value));
	m->n = 0;
}

void bh_nummap_done(struct bh_nummap *m)
{
	free(m->key);
	free(m->value);
	*m = (struct bh_nummap){0};
}

/* ---- content hash ---- */

int bh_hasher_init(struct bh_hasher *h)
{
	h->failed = false;
	h->ctx = EVP_MD_CTX_new();
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (h->ctx && h->md)
		return 0;
	bh_hasher_done(h);
	return -ENOMEM;
}

void bh_hasher_done(struct bh_hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	h->ctx = NULL;
	h->md = NULL;
}

void bh_hasher_begin(struct bh_hasher *h, const char *tag)
{
	h->failed = EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1;
	bh_hasher_add_s(h, tag);
}

void bh_hasher_add(struct bh_hasher *h, const void *bytes, size_t n)
{
	if (!h->failed && n)
		h->failed = EVP_DigestUpdate(h->ctx, bytes, n) != 1;
}

void bh_hasher_add_s(struct bh_hasher *h, const char *s)
{
	bh_hasher_add_u64(h, s ? strlen(s) : UINT64_MAX);
	bh_hasher_add(h, s, s ? strlen(s) : 0);
}

void bh_hasher_add_u64(struct bh_hasher *h, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (56 - 8 * i));
	bh_hasher_add(h, b, sizeof(b));
}

int bh_hasher_end(struct bh_hasher *h, struct bh_content *ret)
{
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (h->failed || EVP_DigestFinal_ex(h->ctx, digest, NULL) != 1)
		return -EIO;
	memcpy(ret->b, digest, sizeof(ret->b));
	return 0;
}

#include "policy/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct shared {
	struct bh_link link;
	unsigned refs;
	uint32_t n; /* bytes of s */
	char s[];   /* at a multiple of eight */
};

static struct bh_itab strings, blocks;

struct bh_link *bh_itab_first(const struct bh_itab *t, uint64_t hash)
{
	return t->cap ? t->b[hash & (t->cap - 1)] : NULL;
}

static int grow(struct bh_itab *t)
{
	size_t cap = t->cap ? t->cap * 2 : 64;
	struct bh_link **b = calloc(cap, sizeof(struct bh_link *)), *l, *next;
	size_t i;

	if (!b)
		return -ENOMEM;
	for (i = 0; i < t->cap; i++) {
		for (l = t->b[i]; l; l = next) {
			next = l->next;
			l->next = b[l->hash & (cap - 1)];
			b[l->hash & (cap - 1)] = l;
		}
	}
	free(t->b);
	t->b = b;
	t->cap = cap;
	return 0;
}

int bh_itab_add(struct bh_itab *t, struct bh_link *l)
{
	struct bh_link **head;

	if (t->n >= t->cap && grow(t))
		return -ENOMEM;
	head = &t->b[l->hash & (t->cap - 1)];
	l->next = *head;
	*head = l;
	t->n++;
	return 0;
}

void bh_itab_del(struct bh_itab *t, struct bh_link *l)
{
	struct bh_link **at = &t->b[l->hash & (t->cap - 1)];

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	if (--t->n)
		return;
	free(t->b);
	*t = (struct bh_itab){0};
}

static struct shared *find(const struct bh_itab *t, const void *bytes, size_t n, uint64_t hash)
{
	struct bh_link *l;

	for (l = bh_itab_first(t, hash); l; l = l->next) {
		struct shared *x = (struct shared *)l;

		if (l->hash == hash && x->n == n && !memcmp(x->s, bytes, n))
			return x;
	}
	return NULL;
}

static struct shared *get(struct bh_itab *t, const void *bytes, size_t n, bool *ret_is_new)
{
	uint64_t hash = bh_hash(bytes, n, 0);
	struct shared *x = n <= UINT32_MAX ? find(t, bytes, n, hash) : NULL;

	*ret_is_new = !x;
	if (x) {
		x->refs++;
		return x;
	}
	x = n <= UINT32_MAX ? malloc(sizeof(*x) + n) : NULL;
	if (!x)
		return NULL;
	*x = (struct shared){.link = {.hash = hash}, .refs = 1, .n = (uint32_t)n};
	memcpy(x->s, bytes, n);
	if (bh_itab_add(t, &x->link)) {
		free(x);
		return NULL;
	}
	return x;
}

static struct shared *of(const void *s)
{
	return (struct shared *)(void *)((uintptr_t)s - offsetof(struct shared, s));
}

const char *bh_intern_find(const char *s)
{
	size_t n = strlen(s) + 1;
	const struct shared *x = find(&strings, s, n, bh_hash(s, n, 0));

	return x ? x->s : NULL;
}

char *bh_intern(const char *s)
{
	bool is_new;
	struct shared *x = get(&strings, s, strlen(s) + 1, &is_new);

	return x ? x->s : NULL;
}

void bh_intern_unref(const char *s)
{
	if (!s || --of(s)->refs)
		return;
	bh_itab_del(&strings, &of(s)->link);
	free(of(s));
}

void *bh_share(const void *bytes, size_t n, bool *ret_is_new)
{
	struct shared *x = get(&blocks, bytes, n, ret_is_new);

	return x ? x->s : NULL;
}

void *bh_share_unref(const void *block, size_t *ret_n)
{
	struct shared *x = of(block);

	if (--x->refs)
		return NULL;
	bh_itab_del(&blocks, &x->link);
	*ret_n = x->n;
	return x->s;
}

void bh_share_free(void *block)
{
	free(of(block));
}

#include "policy/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct shared {
	struct bh_link link;
	unsigned refs;
	char s[];
};

static struct bh_itab strings;

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

static struct shared *find(const char *s, size_t n, uint64_t hash)
{
	struct bh_link *l;

	for (l = bh_itab_first(&strings, hash); l; l = l->next) {
		struct shared *str = (struct shared *)l;

		if (l->hash == hash && !strncmp(str->s, s, n + 1))
			return str;
	}
	return NULL;
}

const char *bh_intern_find(const char *s)
{
	size_t n = strlen(s);
	const struct shared *str = find(s, n, bh_hash(s, n, 0));

	return str ? str->s : NULL;
}

char *bh_intern(const char *s)
{
	size_t n = strlen(s);
	uint64_t hash = bh_hash(s, n, 0);
	struct shared *str = find(s, n, hash);

	if (str) {
		str->refs++;
		return str->s;
	}
	str = malloc(sizeof(*str) + n + 1);
	if (!str)
		return NULL;
	*str = (struct shared){.link = {.hash = hash}, .refs = 1};
	memcpy(str->s, s, n + 1);
	if (bh_itab_add(&strings, &str->link)) {
		free(str);
		return NULL;
	}
	return str->s;
}

void bh_intern_unref(const char *s)
{
	struct shared *str;

	if (!s)
		return;
	str = (struct shared *)(void *)((uintptr_t)s - offsetof(struct shared, s));
	if (--str->refs)
		return;
	bh_itab_del(&strings, &str->link);
	free(str);
}

#include "base/map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define MIN_ENTRIES 8

/* ---- hashing ---- */

/* Folds the 128-bit product of two words; 32-bit halves, since strict C11 has no wider type. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t ah = a >> 32, al = a & 0xffffffff, bh = b >> 32, bl = b & 0xffffffff;
	uint64_t low = al * bl, m1 = ah * bl, m2 = al * bh, high = ah * bh;
	uint64_t mid = (low >> 32) + (m1 & 0xffffffff) + (m2 & 0xffffffff);

	low = (mid << 32) | (low & 0xffffffff);
	high += (m1 >> 32) + (m2 >> 32) + (mid >> 32);
	return low ^ high;
}

static uint64_t load(const unsigned char *p, size_t n)
{
	uint64_t w = 0;

	memcpy(&w, p, n < sizeof(w) ? n : sizeof(w));
	return w;
}

uint64_t bh_hash(const void *bytes, size_t n, uint64_t seed)
{
	const unsigned char *p = bytes;
	uint64_t h = mix(seed ^ 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93 ^ n);
	/* derived from the seed, so that no chosen input can cancel it */
	uint64_t secret = mix(seed ^ 0xc2b2ae3d27d4eb4f, 0xff51afd7ed558ccd);

	for (; n > 16; n -= 16, p += 16)
		h = mix(load(p, 8) ^ secret, load(p + 8, 8) ^ h);
	if (n > 8)
		h = mix(load(p, 8) ^ secret, load(p + 8, n - 8) ^ h);
	else if (n > 0)
		h = mix(load(p, n) ^ secret, h);
	return mix(h ^ secret, 0x94d049bb133111eb);
}

/* Keys come from outside, so the seed must not be guessable: the kernel leaves 16 random bytes in
 * every process, which saves a global variable. */
static uint64_t process_seed(void)
{
	const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);

	return random ? load(random, 8) : 0;
}

static uint64_t hash_key(const void *key, size_t n)
{
	return bh_hash(key, n, process_seed());
}

/* ---- the index ---- */

/* A removed entry keeps its index slot until the next rebuild, so probing never stops early. */
static struct bh_map_entry *find(const struct bh_map *m, const void *key, size_t n)
{
	uint64_t hash;

	if (!m->count)
		return NULL;
	hash = hash_key(key, n);
	for (size_t i = hash & (m->index_cap - 1); m->index[i]; i = (i + 1) & (m->index_cap - 1)) {
		struct bh_map_entry *e = &m->e[m->index[i] - 1];

		if (e->key && e->hash == hash && e->key_len == n &&
		    (n == 0 || memcmp(e->key, key, n) == 0))
			return e;
	}
	return NULL;
}

static void index_add(struct bh_map *m, size_t nth)
{
	size_t i = m->e[nth].hash & (m->index_cap - 1);

	while (m->index[i])
		i = (i + 1) & (m->index_cap - 1);
	m->index[i] = (uint32_t)nth + 1;
}

static void squeeze(struct bh_map *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_e; i++) {
		if (m->e[i].key)
			m->e[n++] = m->e[i];
	}
	m->n_e = n;
}

/* Makes room for one more entry: drops the removed ones, grows if that did not free a quarter. */
static int make_room(struct bh_map *m)
{
	size_t cap = m->cap_e ? m->cap_e : MIN_ENTRIES;
	struct bh_map_entry *e;
	uint32_t *index;

	if (m->n_e < m->cap_e)
		return 0;
	if (m->cap_e && m->count >= m->cap_e - m->cap_e / 4)
		cap *= 2;
	if (cap > UINT32_MAX / 4)
		return -ENOMEM;
	index = calloc(2 * cap, sizeof(*index));
	if (!index)
		return -ENOMEM;
	e = cap > m->cap_e ? realloc(m->e, cap * sizeof(*e)) : m->e;
	if (!e) {
		free(index);
		return -ENOMEM;
	}
	free(m->index);
	m->index = index;
	m->index_cap = 2 * cap;
	m->e = e;
	m->cap_e = cap;
	squeeze(m);
	for (size_t i = 0; i < m->n_e; i++)
		index_add(m, i);
	return 0;
}

/* ---- the map ---- */

static void free_value(const struct bh_map *m, void *value)
{
	if (m->free_value && value)
		m->free_value(value);
}

void bh_map_init(struct bh_map *m, void (*free_fn)(void *value))
{
	*m = (struct bh_map){.free_value = free_fn};
}

void bh_map_done(struct bh_map *m)
{
	struct bh_map old = *m;

	bh_map_init(m, old.free_value);
	for (size_t i = 0; i < old.n_e; i++) {
		if (!old.e[i].key)
			continue;
		free(old.e[i].key);
		free_value(&old, old.e[i].value);
	}
	free(old.e);
	free(old.index);
}

int bh_map_set(struct bh_map *m, const void *key, size_t key_len, void *value)
{
	struct bh_map_entry *e = find(m, key, key_len);
	unsigned char *copy;

	if (e) {
		void *old = e->value;

		e->value = value;
		if (old != value)
			free_value(m, old);
		return 0;
	}
	copy = malloc(key_len + 1);
	if (!copy || make_room(m)) {
		free(copy);
		return -ENOMEM;
	}
	if (key_len)
		memcpy(copy, key, key_len);
	copy[key_len] = '\0'; /* lets callers with text keys print entry->key */
	m->e[m->n_e] = (struct bh_map_entry){
		.hash = hash_key(key, key_len), .key = copy, .key_len = key_len, .value = value};
	index_add(m, m->n_e++);
	m->count++;
	return 0;
}

void *bh_map_get(const struct bh_map *m, const void *key, size_t key_len)
{
	struct bh_map_entry *e = find(m, key, key_len);

	return e ? e->value : NULL;
}

static bool take_entry(struct bh_map *m, const void *key, size_t key_len, void **ret_value)
{
	struct bh_map_entry *e = find(m, key, key_len);

	if (!e)
		return false;
	*ret_value = e->value;
	free(e->key);
	e->key = NULL;
	e->value = NULL;
	m->count--;
	return true;
}

int bh_map_del(struct bh_map *m, const void *key, size_t key_len)
{
	void *value;

	if (!take_entry(m, key, key_len, &value))
		return -ENOENT;
	free_value(m, value);
	return 0;
}

void *bh_map_steal(struct bh_map *m, const void *key, size_t key_len)
{
	void *value = NULL;

	take_entry(m, key, key_len, &value);
	return value;
}

struct bh_map_entry *bh_map_next(const struct bh_map *m, size_t *pos)
{
	while (*pos < m->n_e) {
		struct bh_map_entry *e = &m->e[(*pos)++];

		if (e->key)
			return e;
	}
	return NULL;
}

int bh_map_set_s(struct bh_map *m, const char *key, void *value)
{
	return bh_map_set(m, key, strlen(key), value);
}

void *bh_map_get_s(const struct bh_map *m, const char *key)
{
	return bh_map_get(m, key, strlen(key));
}

int bh_map_del_s(struct bh_map *m, const char *key)
{
	return bh_map_del(m, key, strlen(key));
}

#include "datapath/kmap.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_ENOTSUPP 524 /* include/linux/errno.h: not a userspace errno, but it gets here */

static const struct {
	const char *name;
	int errnum;
} fault_names[] = {
	{"EIO", EIO},	  {"ENOMEM", ENOMEM}, {"E2BIG", E2BIG},	  {"ENOSPC", ENOSPC},
	{"EBUSY", EBUSY}, {"EPERM", EPERM},   {"EINVAL", EINVAL}, {"ENOENT", ENOENT},
};

void bh_fault_arm(struct bh_fault *f)
{
	const char *text = getenv("BULKHEAD_FAULT");
	char name[16];

	*f = (struct bh_fault){0};
	if (!text || sscanf(text, "%39[^:]:%u:%15[A-Z0-9]", f->where, &f->nth, name) != 3) {
		f->where[0] = '\0';
		return;
	}
	f->errnum = EIO;
	for (size_t i = 0; i < BH_ARRAY_SIZE(fault_names); i++)
		if (strcmp(fault_names[i].name, name) == 0)
			f->errnum = fault_names[i].errnum;
}

uint32_t bh_fault_room(struct bh_fault *f, const char *where, uint32_t n)
{
	uint32_t left;

	if (!f->where[0] || strcmp(f->where, where) != 0)
		return n;
	left = f->nth > f->seen ? f->nth - f->seen : 0;
	f->seen += n;
	return left == 0 || left > n ? n : left - 1;
}

static const void *at(const void *base, uint32_t i, uint32_t size)
{
	return (const char *)base + (size_t)i * size;
}

static bool is_no_batch(int r)
{
	return r == -KERNEL_ENOTSUPP || r == -EOPNOTSUPP || r == -EINVAL;
}

/* Returns 0 or -errno. */
static int write_some(struct bh_kmap *m, const struct bh_kbatch *b, uint32_t n)
{
	uint32_t done = 0;
	int r = 0;

	while (!m->has_no_batch && n - done > 1) {
		uint32_t chunk = n - done < BH_KMAP_CHUNK ? n - done : BH_KMAP_CHUNK;

		r = bpf_map_update_batch(m->fd, at(b->keys, done, m->key_size),
					 at(b->values, done, m->value_size), &chunk, NULL);
		if (r && is_no_batch(r) && done == 0) {
			m->has_no_batch = true;
			break;
		}
		if (r)
			return r;
		done += chunk;
	}
	for (; done < n; done++) {
		r = bpf_map_update_elem(m->fd, at(b->keys, done, m->key_size),
					at(b->values, done, m->value_size), BPF_ANY);
		if (r)
			return r;
	}
	return 0;
}

int bh_kmap_write(struct bh_fault *f, struct bh_kmap *m, const struct bh_kbatch *b,
		  struct bh_err *err)
{
	uint32_t room = bh_fault_room(f, m->name, b->n);
	int r;

	if (b->n == 0)
		return 0;
	r = write_some(m, b, room);
	if (r == 0 && room < b->n)
		r = -f->errnum;
	if (r == -E2BIG || r == -ENOSPC) /* what maps answer when they are full */
		return bh_fail(err, ENOSPC, "map %s is full (%u entries)", m->name, m->max);
	return r ? bh_fail_sys(err, -r, "write to map %s", m->name) : 0;
}

int bh_kmap_verify(struct bh_fault *f, struct bh_kmap *m, const struct bh_kbatch *b,
		   struct bh_err *err)
{
	uint64_t found[256]; /* the largest verified value is a port map */
	char where[40];
	uint32_t room;

	snprintf(where, sizeof(where), "%s-readback", m->name);
	room = bh_fault_room(f, where, b->n);
	if (m->value_size > sizeof(found))
		return bh_fail(err, EINVAL, "map %s has values of %u bytes", m->name,
			       m->value_size);
	for (uint32_t i = 0; i < b->n; i++) {
		int r = bpf_map_lookup_elem(m->fd, at(b->keys, i, m->key_size), found);

		if (i == room)
			r = -f->errnum;
		if (r)
			return bh_fail_sys(err, -r, "read back from map %s", m->name);
		if (memcmp(found, at(b->values, i, m->value_size), m->value_size) != 0)
			return bh_fail(err, EIO, "map %s holds something else than was written",
				       m->name);
	}
	return 0;
}

/* A batch ends at the first key that is not there, which counts as deleted. */
static int delete_batches(struct bh_kmap *m, const struct bh_kbatch *b, uint32_t *ret_done)
{
	uint32_t done = 0;

	while (!m->has_no_batch && b->n - done > 1) {
		uint32_t chunk = b->n - done < BH_KMAP_CHUNK ? b->n - done : BH_KMAP_CHUNK;
		int r = bpf_map_delete_batch(m->fd, at(b->keys, done, m->key_size), &chunk, NULL);

		m->has_no_batch = is_no_batch(r);
		if (m->has_no_batch)
			break;
		if (r && r != -ENOENT)
			return r;
		done += chunk + (r == -ENOENT);
	}
	*ret_done = done;
	return 0;
}

int bh_kmap_delete(struct bh_kmap *m, const struct bh_kbatch *b, struct bh_err *err)
{
	uint32_t i = 0;
	int r = delete_batches(m, b, &i);

	for (; !r && i < b->n; i++) {
		r = bpf_map_delete_elem(m->fd, at(b->keys, i, m->key_size));
		r = r == -ENOENT ? 0 : r;
	}
	return r ? bh_fail_sys(err, -r, "delete from map %s", m->name) : 0;
}

int bh_kmap_get(const struct bh_kmap *m, const void *key, void *ret_value)
{
	return bpf_map_lookup_elem(m->fd, key, ret_value);
}

/* ---- walks ---- */

struct walk {
	void *keys, *values;
	uint64_t cursor[2][40]; /* at least a key each: a hash's position is a number, a trie's a
				   key */
	uint32_t cap;
};

static void walk_done(struct walk *w)
{
	free(w->keys);
	free(w->values);
}

static int walk_init(struct walk *w, const struct bh_kmap *m, struct bh_err *err)
{
	/* a hash hands out whole buckets, so room must be larger than the fullest bucket */
	w->cap = BH_KMAP_CHUNK;
	w->keys = malloc((size_t)w->cap * m->key_size);
	w->values = malloc((size_t)w->cap * m->value_size);
	if (!w->keys || !w->values || m->key_size > sizeof(w->cursor[0]))
		return bh_fail(err, ENOMEM, "no memory to read map %s", m->name);
	return 0;
}

/* One key at a time, for maps without batch look-up. A deleted cursor restarts the kernel's walk,
 * which could repeat elements; callers tolerate that (they delete or add up by key). */
static int each_single(struct bh_kmap *m, struct walk *w, bh_kmap_fn *fn, void *arg)
{
	void *key = NULL;
	int r;

	while (bpf_map_get_next_key(m->fd, key, w->cursor[0]) == 0) {
		key = w->cursor[1];
		memcpy(key, w->cursor[0], m->key_size);
		if (bpf_map_lookup_elem(m->fd, key, w->values) != 0)
			continue;
		r = fn(key, w->values, arg);
		if (r)
			return r;
	}
	return 0;
}

static int each_batch(struct bh_kmap *m, struct walk *w, bh_kmap_fn *fn, void *arg)
{
	bool is_last = false;
	void *in = NULL;

	while (!is_last) {
		uint32_t n = w->cap;
		int r = bpf_map_lookup_batch(m->fd, in, w->cursor[in ? 0 : 1], w->keys, w->values,
					     &n, NULL);

		if (in)
			memcpy(w->cursor[1], w->cursor[0], sizeof(w->cursor[0]));
		in = w->cursor[1];
		is_last = r == -ENOENT;
		if (r && !is_last)
			return r;
		for (uint32_t i = 0; i < n; i++) {
			r = fn(at(w->keys, i, m->key_size), at(w->values, i, m->value_size), arg);
			if (r)
				return r;
		}
	}
	return 0;
}

int bh_kmap_each(struct bh_kmap *m, bh_kmap_fn *fn, void *arg, struct bh_err *err)
{
	BH_CLEANUP(walk_done) struct walk w = {0};
	int r = walk_init(&w, m, err);

	if (r)
		return r;
	if (!m->has_no_batch && m->type != BPF_MAP_TYPE_LPM_TRIE) {
		r = each_batch(m, &w, fn, arg);
		if (!is_no_batch(r))
			return r < 0 ? bh_fail_sys(err, -r, "read map %s", m->name) : r;
		m->has_no_batch = true;
	}
	r = each_single(m, &w, fn, arg);
	return r < 0 ? bh_fail_sys(err, -r, "read map %s", m->name) : r;
}

static int count_one(const void *key, const void *value, void *arg)
{
	(void)key;
	(void)value;
	++*(uint64_t *)arg;
	return 0;
}

int bh_kmap_count(struct bh_kmap *m, uint64_t *ret, struct bh_err *err)
{
	uint64_t n = 0;
	int r = bh_kmap_each(m, count_one, &n, err);

	if (r)
		return r;
	*ret = n;
	return 0;
}

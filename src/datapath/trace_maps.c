/* How full the tracer's maps are, and what they take; what the programs hold of one process. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "datapath/kring.h"
#include "datapath/trace_private.h"

static uint64_t sum_of_books(const struct bh_trace *t, bool is_facts)
{
	uint64_t n = 0;

	for (uint32_t slot = 1; slot < BH_TRACE_SLOTS; slot++)
		n += is_facts ? t->slot[slot].facts : t->slot[slot].generation != 0;
	return n;
}

static uint64_t names_of(const struct bh_trace *t)
{
	uint64_t n = 0;

	for (uint32_t slot = 1; t->rate && slot < BH_TRACE_SLOTS; slot++)
		n += t->rate[slot].names;
	return n;
}

/* Bytes that nobody has read yet. */
static uint64_t unread_of(const struct bh_trace *t, int fd)
{
	if (fd == t->map[BH_T_ALARMS].fd)
		return bh_kring_unread(t->alarms);
	if (fd == t->map[BH_T_EVENTS].fd)
		return bh_kring_unread(t->events);
	return fd == t->map[BH_T_WINDOWS].fd ? bh_kring_unread(t->windows) : 0;
}

/* What the programs count is taken from there; other hashes are walked. */
static uint64_t used_of(struct bh_trace *t, const struct bh_kmap *map)
{
	struct bh_kmap k = *map;
	struct bh_err ignored;
	uint64_t n = 0;

	if (k.fd == t->map[BH_T_FACT].fd)
		return sum_of_books(t, true);
	if (k.fd == t->map[BH_T_CONFIG].fd)
		return 1;
	if (!strcmp(k.name, "trace_dns"))
		return names_of(t);
	switch (k.type) {
	case BPF_MAP_TYPE_RINGBUF:
		return unread_of(t, k.fd);
	case BPF_MAP_TYPE_ARRAY:
		return k.max == BH_TRACE_SLOTS ? sum_of_books(t, false) : 0;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
		return bh_kmap_count(&k, &n, &ignored) ? 0 : n;
	default: /* room to work in, for each processor */
		return 0;
	}
}

static struct bh_map_fill *find(struct bh_map_fill *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(v[i].name, name))
			return &v[i];
	}
	return NULL;
}

/* Returns how many rows there are then. */
static size_t add_map(struct bh_trace *t, const struct bh_trace_own_map *map, struct bh_map_fill *v,
		      size_t n)
{
	struct bh_map_fill *known = find(v, n, map->name);
	uint64_t bytes = bh_dp_memlock(map->k.fd);

	/* a pinned one is shared, the others are the object's own */
	if (known) {
		known->bytes += map->is_pinned ? 0 : bytes;
		return n;
	}
	v[n] = (struct bh_map_fill){
		.name = map->name, .used = used_of(t, &map->k), .max = map->k.max, .bytes = bytes};
	return n + 1;
}

size_t bh_trace_maps(struct bh_trace *t, struct bh_map_fill *v, size_t n)
{
	const struct bh_trace_object *const objects[] = {&t->obj, &t->watch, &t->extra, &t->uring,
							 &t->dns, &t->lsm,   &t->guard, &t->cpu};
	size_t count = 0;

	for (size_t i = 0; i < BH_ARRAY_SIZE(objects); i++) {
		const struct bh_trace_object *o = objects[i];

		/* what a task carries has no table that could be full */
		for (size_t k = 0; k < o->n_maps && count < n; k++)
			if (o->map[k].k.type != BPF_MAP_TYPE_TASK_STORAGE)
				count = add_map(t, &o->map[k], v, count);
	}
	return count;
}

int bh_trace_task(const struct bh_trace *t, int pid, struct bh_trace_task *ret)
{
	BH_CLEANUP(bh_closep) int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	const struct bh_kmap *map = bh_trace_map(&t->obj, "trace_task");

	if (fd < 0)
		return -ESRCH;
	if (!map)
		return -ENOENT;
	return bpf_map_lookup_elem(map->fd, &fd, ret) ? -errno : 0;
}

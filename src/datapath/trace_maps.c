/* How full the tracer's maps are, and what they take; what the programs hold of one process. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

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
static uint64_t unread_of(struct ring_buffer *rb, int fd)
{
	struct ring *r;

	for (unsigned i = 0; rb && (r = ring_buffer__ring(rb, i)); i++) {
		if (ring__map_fd(r) == fd)
			return ring__avail_data_size(r);
	}
	return 0;
}

/* What the programs count is taken from there; other hashes are walked. */
static uint64_t used_of(struct bh_trace *t, const struct bpf_map *map)
{
	struct bh_kmap k = {.name = bpf_map__name(map),
			    .fd = bpf_map__fd(map),
			    .type = bpf_map__type(map),
			    .max = bpf_map__max_entries(map),
			    .key_size = bpf_map__key_size(map),
			    .value_size = bpf_map__value_size(map)};
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
		return unread_of(t->ring, k.fd) + unread_of(t->windows, k.fd);
	case BPF_MAP_TYPE_ARRAY:
		return k.max == BH_TRACE_SLOTS ? sum_of_books(t, false) : 0;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
		return bh_kmap_count(&k, &n, &ignored) ? 0 : n;
	default: /* room to work in, for each processor */
		return 0;
	}
}

static bool is_own(const struct bh_trace *t, const struct bpf_map *map)
{
	/* what a task carries has no table that could be full */
	if (bpf_map__fd(map) < 0 || bpf_map__is_internal(map) ||
	    bpf_map__type(map) == BPF_MAP_TYPE_TASK_STORAGE)
		return false;
	for (int i = 0; i < BH_M_COUNT; i++) {
		if (t->dp->map[i].name && !strcmp(t->dp->map[i].name, bpf_map__name(map)))
			return false;
	}
	return true;
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
static size_t add_map(struct bh_trace *t, const struct bpf_map *map, struct bh_map_fill *v,
		      size_t n)
{
	struct bh_map_fill *known = find(v, n, bpf_map__name(map));
	uint64_t bytes = bh_dp_memlock(bpf_map__fd(map));

	/* a pinned one is shared, the others are the object's own */
	if (known) {
		known->bytes += bpf_map__pin_path(map) ? 0 : bytes;
		return n;
	}
	v[n] = (struct bh_map_fill){.name = bpf_map__name(map),
				    .used = used_of(t, map),
				    .max = bpf_map__max_entries(map),
				    .bytes = bytes};
	return n + 1;
}

size_t bh_trace_maps(struct bh_trace *t, struct bh_map_fill *v, size_t n)
{
	struct bpf_object *const objects[] = {t->obj, t->watch, t->extra, t->uring,
					      t->dns, t->lsm,	t->guard, t->cpu};
	size_t count = 0;

	for (size_t i = 0; i < BH_ARRAY_SIZE(objects); i++) {
		struct bpf_map *map = NULL;

		while (objects[i] && count < n && (map = bpf_object__next_map(objects[i], map))) {
			if (is_own(t, map))
				count = add_map(t, map, v, count);
		}
	}
	return count;
}

int bh_trace_task(const struct bh_trace *t, int pid, struct bh_trace_task *ret)
{
	BH_CLEANUP(bh_closep) int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	const struct bpf_map *map = bpf_object__find_map_by_name(t->obj, "trace_task");

	if (fd < 0)
		return -ESRCH;
	if (!map)
		return -ENOENT;
	return bpf_map_lookup_elem(bpf_map__fd(map), &fd, ret) ? -errno : 0;
}

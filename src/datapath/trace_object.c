/* One BPF object of the tracer: loaded over the data path's maps and the pinned ones, in a process
 * of its own. Only descriptors stay. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/trace_private.h"

struct loading {
	const struct bh_trace *t;
	const struct bh_trace_source *src;
	struct bh_trace_object o;
};

static int share_map(const struct bh_trace *t, struct bpf_map *map)
{
	const char *name = bpf_map__name(map);

	for (int i = 0; i < BH_M_COUNT; i++)
		if (t->dp->map[i].name && strcmp(t->dp->map[i].name, name) == 0)
			return bpf_map__reuse_fd(map, t->dp->map[i].fd);
	return 0;
}

static int place_maps(const struct bh_trace *t, struct bpf_object *obj, struct bh_err *err)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		char path[BH_DP_PATH];
		int r;

		if (bpf_map__is_internal(map))
			continue;
		if (!bpf_map__pin_path(map)) {
			r = share_map(t, map);
		} else {
			r = bh_dp_path(path, t->dp->dir, "maps", bpf_map__name(map));
			if (r)
				return bh_fail(err, -r, "the pin's path is too long");
			r = bpf_map__set_pin_path(map, path);
		}
		if (r)
			return bh_fail_sys(err, -r, "map %s", bpf_map__name(map));
	}
	return 0;
}

static bool is_known(const struct bh_trace *t, const struct bpf_map *map)
{
	const struct bh_trace_object *const objects[] = {&t->obj, &t->watch, &t->extra, &t->uring,
							 &t->dns, &t->lsm,   &t->guard, &t->cpu};
	const char *name = bpf_map__name(map);

	for (int i = 0; i < BH_M_COUNT; i++)
		if (t->dp->map[i].name && strcmp(t->dp->map[i].name, name) == 0)
			return true;
	for (size_t i = 0; bpf_map__pin_path(map) && i < BH_ARRAY_SIZE(objects); i++)
		if (bh_trace_map(objects[i], name))
			return true;
	return false;
}

static int keep_map(struct loading *l, const struct bpf_map *map, struct bh_err *err)
{
	struct bh_trace_own_map *m = &l->o.map[l->o.n_maps];

	if (l->o.n_maps == BH_ARRAY_SIZE(l->o.map))
		return bh_fail(err, E2BIG, "BPF object %s has too many maps", l->src->name);
	snprintf(m->name, sizeof(m->name), "%s", bpf_map__name(map));
	m->is_pinned = bpf_map__pin_path(map);
	m->k = (struct bh_kmap){
		.fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3),
		.type = bpf_map__type(map),
		.max = bpf_map__max_entries(map),
		.key_size = bpf_map__key_size(map),
		.value_size = bpf_map__value_size(map),
	};
	if (m->k.fd < 0)
		return bh_fail_sys(err, errno, "map %s", m->name);
	l->o.n_maps++;
	return 0;
}

static int keep_maps(struct loading *l, const struct bpf_object *obj, struct bh_err *err)
{
	const struct bpf_map *map;
	int r = 0;

	bpf_object__for_each_map(map, obj)
	{
		if (r || bpf_map__is_internal(map) || bpf_map__fd(map) < 0 || is_known(l->t, map))
			continue;
		r = keep_map(l, map, err);
	}
	return r;
}

/* Also the names of those that were left out. */
static int keep_progs(struct loading *l, struct bpf_object *obj, struct bh_err *err)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, obj)
	{
		struct bh_trace_prog *p = &l->o.prog[l->o.n_progs];

		if (l->o.n_progs == BH_ARRAY_SIZE(l->o.prog))
			return bh_fail(err, E2BIG, "BPF object %s has too many programs",
				       l->src->name);
		snprintf(p->name, sizeof(p->name), "%s", bpf_program__name(prog));
		p->fd = bpf_program__fd(prog);
		if (p->fd >= 0)
			p->fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3);
		if (p->fd < 0 && bpf_program__fd(prog) >= 0)
			return bh_fail_sys(err, errno, "program %s", p->name);
		l->o.n_progs++;
	}
	return 0;
}

static int load_opened(struct loading *l, struct bpf_object *obj, struct bh_err *err)
{
	int r = place_maps(l->t, obj, err);

	if (r == 0 && l->src->prepare)
		r = l->src->prepare(obj, err);
	if (r)
		return r;
	r = bpf_object__load(obj);
	if (r)
		return bh_fail_sys(err, -r, "BPF object %s", l->src->name);
	r = keep_maps(l, obj, err);
	return r ? r : keep_progs(l, obj, err);
}

static int load(void *state, struct bh_err *err)
{
	struct loading *l = state;
	struct bpf_object_open_opts opts = {.sz = sizeof(opts), .object_name = l->src->name};
	struct bpf_object *obj;
	const void *bytes;
	size_t size;
	int r;

	bytes = l->src->bytes(&size);
	obj = bpf_object__open_mem(bytes, size, &opts);
	if (!obj)
		return bh_fail_sys(err, errno, "BPF object %s", l->src->name);
	r = load_opened(l, obj, err);
	bpf_object__close(obj);
	return r;
}

int bh_trace_load(const struct bh_trace *t, const struct bh_trace_source *src,
		  struct bh_trace_object *ret, struct bh_err *err)
{
	struct loading l = {.t = t, .src = src};
	int r = bh_dp_apart(load, &l, sizeof(l), err);

	if (r) {
		bh_trace_unload(&l.o);
		return r;
	}
	l.o.is_loaded = true;
	*ret = l.o;
	for (size_t i = 0; i < ret->n_maps; i++)
		ret->map[i].k.name = ret->map[i].name;
	return 0;
}

void bh_trace_unload(struct bh_trace_object *o)
{
	for (size_t i = 0; i < o->n_maps; i++)
		bh_closep(&o->map[i].k.fd);
	for (size_t i = 0; i < o->n_progs; i++)
		bh_closep(&o->prog[i].fd);
	*o = (struct bh_trace_object){0};
}

int bh_trace_prog(const struct bh_trace_object *o, const char *name)
{
	for (size_t i = 0; i < o->n_progs; i++)
		if (strcmp(o->prog[i].name, name) == 0)
			return o->prog[i].fd;
	return -ENOENT;
}

const struct bh_kmap *bh_trace_map(const struct bh_trace_object *o, const char *name)
{
	for (size_t i = 0; i < o->n_maps; i++)
		if (strcmp(o->map[i].name, name) == 0)
			return &o->map[i].k;
	return NULL;
}

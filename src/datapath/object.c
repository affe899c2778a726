/* The BPF objects: opened from the skeletons, matched with the pinned set, loaded, pinned.
 * Only descriptors stay; libbpf's objects (with their BTF) are freed at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/private.h"
#include "kill.skel.h"
#include "pod.skel.h"
#include "sock.skel.h"
#include "sum.skel.h"

#define MAX_SETS 8

const struct bh_dp_prog_info bh_dp_prog_info[BH_P_COUNT] = {
#define INFO(sym, prog, obj, at) [BH_P_##sym] = {.name = prog, .object = obj, .hook = at},
	BH_DP_PROGS(INFO)
#undef INFO
};

static const char *const map_names[BH_M_COUNT] = {
#define NAME(sym, name) [BH_M_##sym] = name,
	BH_DP_MAPS(NAME)
#undef NAME
};

static const struct {
	const char *name;
	const void *(*bytes)(size_t *size);
	bool is_needed; /* else a capability */
} objects[BH_OBJ_COUNT] = {
	[BH_OBJ_POD] = {"pod", pod_bpf__elf_bytes, true},
	[BH_OBJ_SOCK] = {"sock", sock_bpf__elf_bytes, false},
	[BH_OBJ_KILL] = {"kill", kill_bpf__elf_bytes, false},
	[BH_OBJ_SUM] = {"sum", sum_bpf__elf_bytes, false},
};

struct objects {
	struct bpf_object *v[BH_OBJ_COUNT];
};

static void objects_done(struct objects *o)
{
	for (int i = 0; i < BH_OBJ_COUNT; i++)
		if (o->v[i])
			bpf_object__close(o->v[i]);
}

/* libbpf tells why through a global callback: the last warning becomes part of our sentence. */
static char last_warning[200];

static int keep_warning(enum libbpf_print_level level, const char *fmt, va_list args)
{
	if (level == LIBBPF_WARN) {
		vsnprintf(last_warning, sizeof(last_warning), fmt, args);
		last_warning[strcspn(last_warning, "\n")] = '\0';
	}
	return 0;
}

/* BULKHEAD_MAP_MAX="row=64,peer4=16": smaller maps, for tests. 0: no change. */
static uint32_t max_override(const char *name)
{
	const char *text = getenv("BULKHEAD_MAP_MAX");
	size_t n = strlen(name);

	while (text && *text) {
		if (strncmp(text, name, n) == 0 && text[n] == '=')
			return (uint32_t)strtoul(text + n + 1, NULL, 10);
		text = strchr(text, ',');
		text = text ? text + 1 : NULL;
	}
	return 0;
}

static int open_one(enum bh_dp_object which, struct bpf_object **ret, struct bh_err *err)
{
	struct bpf_object_open_opts opts = {.sz = sizeof(opts), .object_name = objects[which].name};
	struct bpf_object *obj;
	struct bpf_map *map;
	const void *bytes;
	size_t size;

	bytes = objects[which].bytes(&size);
	obj = bpf_object__open_mem(bytes, size, &opts);
	if (!obj)
		return bh_fail_sys(err, errno, "BPF object %s: %s", objects[which].name,
				   last_warning);
	*ret = obj;
	bpf_object__for_each_map(map, obj)
	{
		uint32_t max = max_override(bpf_map__name(map));

		if (max)
			bpf_map__set_max_entries(map, max);
	}
	return 0;
}

/* ---- which set is ours ---- */

/* 0: absent or of the same shape; 1: differs. */
static int map_differs(const struct bpf_map *map, const char *path)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_obj_get(path), r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : 1;
	r = bpf_map_get_info_by_fd(fd, &info, &len);
	close(fd);
	return r || info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	       info.value_size != bpf_map__value_size(map) ||
	       info.max_entries != bpf_map__max_entries(map) ||
	       (info.map_flags & ~BPF_F_RDONLY) != (bpf_map__map_flags(map) & ~BPF_F_RDONLY);
}

static bool is_compatible(const struct objects *o, const char *dir)
{
	char path[BH_DP_PATH];
	struct bpf_map *map;

	for (int i = 0; i < BH_OBJ_COUNT; i++) {
		if (!o->v[i])
			continue;
		bpf_object__for_each_map(map, o->v[i])
		{
			if (bpf_map__is_internal(map))
				continue;
			if (bh_dp_path(path, dir, "maps", bpf_map__name(map)) ||
			    map_differs(map, path))
				return false;
		}
	}
	return true;
}

struct sets {
	char name[MAX_SETS][32];
	size_t n;
};

static int collect_set(const char *dir, const char *name, void *arg)
{
	struct sets *s = arg;

	(void)dir;
	if (strncmp(name, "abi", 3) == 0 && s->n < MAX_SETS && strlen(name) < sizeof(s->name[0]))
		snprintf(s->name[s->n++], sizeof(s->name[0]), "%.31s", name);
	return 0;
}

static bool is_our_abi(const char *name)
{
	char ours[16];
	size_t n = (size_t)snprintf(ours, sizeof(ours), "abi%d", BH_ABI_VERSION);

	return strncmp(name, ours, n) == 0 && (name[n] == '\0' || name[n] == '-');
}

static bool exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* Sets dp->dir to a compatible set, or to a fresh name, and dp->old to another set if there is one.
 */
static int choose_set(struct bh_datapath *dp, const struct objects *o, bool *ret_found,
		      struct bh_err *err)
{
	struct sets s = {0};
	char path[BH_DP_PATH];

	bh_dp_each_name(dp->base, collect_set, &s);
	for (size_t i = 0; i < s.n; i++) {
		if (bh_dp_path(path, dp->base, s.name[i], NULL))
			continue;
		if (!dp->dir[0] && is_our_abi(s.name[i]) && is_compatible(o, path))
			memcpy(dp->dir, path, sizeof(path));
		else
			memcpy(dp->old, path, sizeof(path));
	}
	*ret_found = dp->dir[0];
	for (int k = 1; !dp->dir[0] && k <= MAX_SETS; k++) {
		char suffix[16] = "";

		if (k > 1)
			snprintf(suffix, sizeof(suffix), "-%d", k);
		snprintf(path, sizeof(path), "%.200s/abi%d%s", dp->base, BH_ABI_VERSION, suffix);
		if (!exists(path))
			memcpy(dp->dir, path, sizeof(path));
	}
	if (!dp->dir[0])
		return bh_fail(err, EEXIST, "'%s' holds too many sets", dp->base);
	return bh_dp_pins_make(dp->dir, err);
}

/* ---- load ---- */

static int set_pins(struct bh_datapath *dp, struct bpf_object *obj)
{
	char path[BH_DP_PATH];
	struct bpf_map *map;
	int r = 0;

	bpf_object__for_each_map(map, obj)
	{
		if (r || bpf_map__is_internal(map))
			continue;
		r = bh_dp_path(path, dp->dir, "maps", bpf_map__name(map));
		if (r == 0)
			r = bpf_map__set_pin_path(map, path);
	}
	return r;
}

static int keep_maps(struct bh_datapath *dp, const struct bpf_object *obj, struct bh_err *err)
{
	for (int i = 0; i < BH_M_COUNT; i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(obj, map_names[i]);
		struct bh_kmap *m = &dp->map[i];

		if (!map || m->fd >= 0)
			continue;
		*m = (struct bh_kmap){
			.name = map_names[i],
			.fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3),
			.type = bpf_map__type(map),
			.max = bpf_map__max_entries(map),
			.key_size = bpf_map__key_size(map),
			.value_size = bpf_map__value_size(map),
		};
		if (m->fd < 0)
			return bh_fail_sys(err, errno, "map %s", map_names[i]);
	}
	return 0;
}

static int keep_progs(struct bh_datapath *dp, enum bh_dp_object which, const struct bpf_object *obj,
		      struct bh_err *err)
{
	for (int i = 0; i < BH_P_COUNT; i++) {
		const struct bpf_program *prog;
		struct bpf_prog_info info = {0};
		uint32_t len = sizeof(info);
		char path[BH_DP_PATH];
		int r;

		if (bh_dp_prog_info[i].object != which)
			continue;
		prog = bpf_object__find_program_by_name(obj, bh_dp_prog_info[i].name);
		if (!prog || bpf_program__fd(prog) < 0)
			continue;
		dp->prog[i].fd = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 3);
		r = bpf_prog_get_info_by_fd(dp->prog[i].fd, &info, &len);
		if (r)
			return bh_fail_sys(err, -r, "program %s", bh_dp_prog_info[i].name);
		dp->prog[i].id = info.id;
		r = bh_dp_path(path, dp->dir, "progs", bh_dp_prog_info[i].name);
		if (r == 0)
			r = bh_dp_pin(dp->prog[i].fd, path, err);
		if (r)
			return r;
	}
	return 0;
}

/* The variables through which iterators are told what is meant. */
static int keep_variables(const struct bpf_object *obj, size_t bytes, int *ret_fd,
			  struct bh_err *err)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(obj, ".bss");
	int fd;

	if (!map || bpf_map__value_size(map) != bytes)
		return bh_fail(err, ENOENT, "BPF object %s has no variables",
			       bpf_object__name(obj));
	fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return bh_fail_sys(err, errno, "BPF object %s", bpf_object__name(obj));
	*ret_fd = fd;
	return 0;
}

static int load_one(struct bh_datapath *dp, enum bh_dp_object which, struct bpf_object *obj,
		    struct bh_err *err)
{
	int r = set_pins(dp, obj);

	if (r == 0)
		r = bpf_object__load(obj);
	if (r)
		return bh_fail_sys(err, -r, "BPF object %s: %s", objects[which].name, last_warning);
	r = keep_maps(dp, obj, err);
	if (r == 0 && which == BH_OBJ_KILL)
		r = keep_variables(obj, sizeof(struct kill_bpf__bss), &dp->kill_target_fd, err);
	if (r == 0 && which == BH_OBJ_SUM)
		r = keep_variables(obj, sizeof(struct sum_bpf__bss), &dp->sum_target_fd, err);
	return r ? r : keep_progs(dp, which, obj, err);
}

static int need_maps(const struct bh_datapath *dp, struct bh_err *err)
{
	for (int i = 0; i < BH_M_COUNT; i++)
		if (dp->map[i].fd < 0)
			return bh_fail(err, ENOENT, "no BPF object declares map %s", map_names[i]);
	if (dp->prog[BH_P_FROM_POD].fd < 0 || dp->prog[BH_P_TO_POD].fd < 0)
		return bh_fail(err, ENOENT, "the BPF object pod has no interface programs");
	return 0;
}

struct loading {
	struct bh_datapath dp; /* plain bytes still */
	bool is_found;
};

static int load_all(void *state, struct bh_err *err)
{
	BH_CLEANUP(objects_done) struct objects o = {0};
	struct loading *l = state;
	int r;

	for (int i = 0; i < BH_OBJ_COUNT; i++) {
		r = open_one((enum bh_dp_object)i, &o.v[i], err);
		if (r)
			return r;
	}
	r = choose_set(&l->dp, &o, &l->is_found, err);
	for (int i = 0; r == 0 && i < BH_OBJ_COUNT; i++) {
		r = load_one(&l->dp, (enum bh_dp_object)i, o.v[i], err);
		if (r && !objects[i].is_needed)
			r = 0; /* a capability less, probe.c says what that means */
	}
	return r ? r : need_maps(&l->dp, err);
}

int bh_dp_objects_load(struct bh_datapath *dp, bool *ret_found, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) struct loading *l = malloc(sizeof(*l));
	int r;

	if (!l)
		return bh_fail(err, ENOMEM, "no memory for the data path");
	l->dp = *dp;
	l->is_found = false;
	libbpf_set_print(keep_warning); /* also for what is loaded later */
	r = bh_dp_apart(load_all, l, sizeof(*l), err);
	*dp = l->dp; /* descriptors, also after a failure */
	*ret_found = l->is_found;
	return r;
}

/* The tracing object: loaded over the data path's maps, pinned beside them, attached by mode. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/kring.h"
#include "datapath/trace_private.h"
#include "trace.skel.h"

/* What is attached from which mode on. */
static const struct {
	const char *name; /* of the program, and of its pin */
	enum bh_trace_mode from;
} hooks[] = {
	{"bh_trace_fork", BH_TRACE_LIGHT},
	{"bh_trace_exit", BH_TRACE_LIGHT},
	{"bh_trace_exec", BH_TRACE_LIGHT},
};

static const char *const map_names[BH_T_COUNT] = {
#define NAME(sym, name) [BH_T_##sym] = name,
	BH_TRACE_MAPS(NAME)
#undef NAME
};

static int pin_path(const struct bh_trace *t, const char *kind, const char *name,
		    char out[BH_DP_PATH], struct bh_err *err)
{
	int r = bh_dp_path(out, t->dp->dir, kind, name);

	return r ? bh_fail(err, -r, "the pin's path is too long") : 0;
}

/* ---- load ---- */

static int drop_map(const char *dir, const char *name, void *arg)
{
	char path[BH_DP_PATH];

	(void)arg;
	if (strncmp(name, "trace_", 6) == 0 &&
	    snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
		unlink(path);
	return 0;
}

/* Pins of another layout. */
static void drop_pins(struct bh_trace *t)
{
	char path[BH_DP_PATH];

	for (size_t i = 0; i < BH_ARRAY_SIZE(hooks); i++)
		if (bh_dp_path(path, t->dp->dir, "links", hooks[i].name) == 0)
			unlink(path);
	if (bh_dp_path(path, t->dp->dir, "maps", NULL) == 0)
		bh_dp_each_name(path, drop_map, NULL);
}

static int keep_maps(struct bh_trace *t, struct bh_err *err)
{
	for (int i = 0; i < BH_T_COUNT; i++) {
		const struct bh_kmap *m = bh_trace_map(&t->obj, map_names[i]);

		if (!m)
			return bh_fail(err, ENOENT, "no map %s", map_names[i]);
		t->map[i] = *m;
	}
	return 0;
}

static int map_memory(struct bh_trace *t, struct bh_err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *config, *slot;

	t->slot_bytes = (sizeof(struct bh_trace_slot) * BH_TRACE_SLOTS + page - 1) / page * page;
	config = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, t->map[BH_T_CONFIG].fd, 0);
	if (config != MAP_FAILED)
		t->config = config;
	slot = mmap(NULL, t->slot_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->map[BH_T_SLOT].fd,
		    0);
	if (slot != MAP_FAILED)
		t->slot = slot;
	if (!t->config || !t->slot)
		return bh_fail_sys(err, errno, "mmap of maps trace_config and trace_slot");
	return 0;
}

static int open_steps(struct bh_trace *t, struct bh_err *err)
{
	static const struct bh_trace_source source = {"trace", trace_bpf__elf_bytes, NULL};
	int r = bh_trace_load(t, &source, &t->obj, err);

	if (r) {
		drop_pins(t);
		r = bh_trace_load(t, &source, &t->obj, err);
	}
	if (r == 0)
		r = keep_maps(t, err);
	if (r == 0)
		r = map_memory(t, err);
	if (r == 0)
		r = bh_trace_ring_open(t, err);
	if (r == 0)
		r = bh_trace_windows_open(t, err);
	return r;
}

/* Where overlayfs is a module, its types are there once it is; who asks for the file system has it
 * loaded. Without it nothing would be of an image until the daemon starts again. */
static void want_overlay(void)
{
	BH_CLEANUP(bh_closep) int fd = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);

	(void)fd;
}

int bh_trace_open(struct bh_datapath *dp, struct bh_trace **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_trace_closep) struct bh_trace *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return bh_fail(err, ENOMEM, "no memory for the tracer");
	want_overlay();
	t->dp = dp;
	t->poll_fd = -1;
	t->watch_link = t->learn_link = t->cpu_link = t->uring_link = -1;
	for (size_t i = 0; i < BH_TRACE_EXTRAS; i++)
		t->extra_link[i] = -1;
	for (size_t i = 0; i < BH_TRACE_LSMS; i++)
		t->lsm_link[i] = -1;
	r = open_steps(t, err);
	if (r)
		return r;
	*ret = BH_TAKE(t);
	return 0;
}

void bh_trace_close(struct bh_trace *t)
{
	if (!t)
		return;
	bh_trace_ring_close(t);
	bh_kring_close(t->windows);
	bh_trace_learn_end(t);
	bh_trace_watch_end(t);
	bh_trace_unload(&t->watch);
	if (t->dns.is_loaded)
		bh_trace_names_end(t);
	bh_trace_extra_end(t);
	bh_trace_unload(&t->extra);
	bh_trace_uring_end(t);
	bh_trace_unload(&t->uring);
	bh_trace_unload(&t->dns);
	bh_trace_unload(&t->guard);
	bh_trace_lsm_close(t);
	bh_trace_rates_close(t);
	if (t->config)
		munmap(t->config, (size_t)sysconf(_SC_PAGESIZE));
	if (t->slot)
		munmap(t->slot, t->slot_bytes);
	bh_trace_unload(&t->obj);
	free(t);
}

void bh_trace_closep(struct bh_trace **t)
{
	bh_trace_close(*t);
	*t = NULL;
}

/* ---- attach ---- */

/* The new one first, so that no exec goes unseen; the programs count what both see once. */
static int attach_one(struct bh_trace *t, const char *name, struct bh_err *err)
{
	int prog = bh_trace_prog(&t->obj, name);
	BH_CLEANUP(bh_closep) int fd = -1;
	char path[BH_DP_PATH];
	int r = pin_path(t, "links", name, path, err);

	if (r)
		return r;
	if (prog < 0)
		return bh_fail(err, ENOENT, "no program %s", name);
	fd = bpf_link_create(prog, 0, BPF_TRACE_RAW_TP, NULL);
	if (fd == -EINVAL || fd == -EOPNOTSUPP) /* before 5.18 */
		fd = bpf_raw_tracepoint_open(NULL, prog);
	if (fd < 0)
		return bh_fail_sys(err, -fd, "attach %s", name);
	return bh_dp_pin(fd, path, err);
}

static void detach_one(struct bh_trace *t, const char *name)
{
	char path[BH_DP_PATH];

	if (bh_dp_path(path, t->dp->dir, "links", name) == 0)
		unlink(path);
}

void bh_trace_begin(struct bh_trace *t, uint32_t slot, uint32_t generation)
{
	const struct bh_trace_slot books = {.generation = generation};

	if (slot < BH_TRACE_SLOTS && t->slot[slot].generation != generation)
		bpf_map_update_elem(t->map[BH_T_SLOT].fd, &slot, &books, BPF_ANY);
}

/* Of the pods that are there when tracing begins. */
static void begin_all(struct bh_trace *t)
{
	for (uint32_t i = 1; i < BH_MAX_SLOTS; i++)
		if (t->dp->slot[i].flags & BH_SLOT_LIVE)
			bh_trace_begin(t, i, t->dp->slot[i].generation);
}

int bh_trace_iterate(const struct bh_trace_object *o, const char *name, struct bh_err *err)
{
	int prog = bh_trace_prog(o, name);
	BH_CLEANUP(bh_closep) int link = -1;
	BH_CLEANUP(bh_closep) int iter = -1;
	char sink[64];
	ssize_t n;

	link = prog >= 0 ? bpf_link_create(prog, 0, BPF_TRACE_ITER, NULL) : -ENOENT;
	if (link < 0)
		return bh_fail_sys(err, -link, "start iterator %s", name);
	iter = bpf_iter_create(link);
	if (iter < 0)
		return bh_fail_sys(err, -iter, "start iterator %s", name);
	do
		n = read(iter, sink, sizeof(sink));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? bh_fail_sys(err, errno, "run iterator %s", name) : 0;
}

/* Tasks that run already, and what they have mapped; the iterators see those of the reader's pid
 * namespace. */
static int adopt_tasks(struct bh_trace *t, struct bh_err *err)
{
	return bh_trace_iterate(&t->obj, "bh_trace_adopt", err);
}

static int adopt_maps(struct bh_trace *t, struct bh_err *err)
{
	return bh_trace_iterate(&t->obj, "bh_trace_adopt_maps", err);
}

int bh_trace_set_mode(struct bh_trace *t, enum bh_trace_mode mode, struct bh_err *err)
{
	int r = 0;

	for (size_t i = BH_ARRAY_SIZE(hooks); i-- > 0;)
		if (hooks[i].from > mode)
			detach_one(t, hooks[i].name);
	if (mode < BH_TRACE_LEARN)
		bh_trace_learn_end(t);
	if (mode < BH_TRACE_WATCH) {
		bh_trace_watch_end(t);
		bh_trace_uring_end(t);
		bh_trace_names_end(t);
	}
	if (mode < BH_TRACE_LIGHT) {
		bh_trace_extra_end(t);
		bh_trace_rates_end(t);
	}
	if (mode < t->mode)
		t->mode = mode;
	if (t->mode < BH_TRACE_LIGHT && mode >= BH_TRACE_LIGHT)
		begin_all(t);
	__atomic_store_n(&t->config->mode, (uint32_t)mode, __ATOMIC_SEQ_CST);
	for (size_t i = 0; r == 0 && i < BH_ARRAY_SIZE(hooks); i++)
		if (hooks[i].from <= mode && hooks[i].from > t->mode)
			r = attach_one(t, hooks[i].name, err);
	if (r == 0 && t->mode < BH_TRACE_LIGHT && mode >= BH_TRACE_LIGHT) {
		t->mode = BH_TRACE_LIGHT;
		bh_trace_extra_begin(t);
		r = adopt_tasks(t, err);
	}
	if (r == 0 && mode >= BH_TRACE_WATCH)
		r = bh_trace_watch_begin(t, err);
	if (r == 0 && mode >= BH_TRACE_WATCH && t->mode < BH_TRACE_WATCH)
		r = adopt_maps(t, err);
	if (r == 0 && mode >= BH_TRACE_WATCH)
		bh_trace_uring_begin(t);
	if (r == 0 && mode >= BH_TRACE_LEARN)
		r = bh_trace_learn_begin(t, err);
	if (r == 0 && mode >= BH_TRACE_LIGHT)
		r = bh_trace_rates_begin(t, err);
	if (r == 0 && mode >= BH_TRACE_WATCH)
		r = bh_trace_names_begin(t, err);
	bh_trace_lsm_set(t, mode);
	if (r == 0)
		t->mode = mode;
	return r;
}

enum bh_trace_mode bh_trace_mode(const struct bh_trace *t)
{
	return t->mode;
}

/* ---- policy ---- */

/* Paths that a slot's policy does not list, or no longer. */
struct old_allow {
	uint32_t slot, generation;
	const char *const *listed;
	size_t n_listed;
	size_t n;
	struct bh_trace_allow_key key[256];
};

static bool is_listed(const struct old_allow *o, const struct bh_trace_allow_key *k)
{
	if (k->generation != o->generation)
		return false;
	for (size_t i = 0; i < o->n_listed; i++)
		if (!strncmp(k->path, o->listed[i], sizeof(k->path)))
			return true;
	return false;
}

static int collect_allow(const void *key, const void *value, void *arg)
{
	const struct bh_trace_allow_key *k = key;
	struct old_allow *o = arg;

	(void)value;
	if (k->slot == o->slot && o->n < BH_ARRAY_SIZE(o->key) && !is_listed(o, k))
		o->key[o->n++] = *k;
	return 0;
}

/* In portions: a walk does not like deletions. */
static int clear_allow(struct bh_trace *t, struct old_allow *o, struct bh_err *err)
{
	int r;

	do {
		o->n = 0;
		r = bh_kmap_each(&t->map[BH_T_ALLOW], collect_allow, o, err);
		for (size_t i = 0; i < o->n; i++)
			bpf_map_delete_elem(t->map[BH_T_ALLOW].fd, &o->key[i]);
	} while (r == 0 && o->n == BH_ARRAY_SIZE(o->key));
	return r;
}

static int add_allow(struct bh_trace *t, uint32_t slot, uint32_t generation, const char *path,
		     struct bh_err *err)
{
	struct bh_trace_allow_key key = {.slot = slot, .generation = generation};
	uint32_t one = 1;
	int r;

	if (strlen(path) >= sizeof(key.path))
		return bh_fail(err, ENAMETOOLONG, "executable '%.40s...' is too long", path);
	memcpy(key.path, path, strlen(path));
	r = bpf_map_update_elem(t->map[BH_T_ALLOW].fd, &key, &one, BPF_ANY);
	return r ? bh_fail_sys(err, -r, "map trace_allow") : 0;
}

/* What is refused before and after is refused all the time: what the new list has comes first, then
 * the policy in one step, and what only the old list had goes last. */
int bh_trace_set_policy(struct bh_trace *t, uint32_t slot, const struct bh_trace_policy *p,
			const char *const *allow, size_t n_allow, struct bh_err *err)
{
	static const struct bh_trace_policy none;
	BH_CLEANUP(bh_freep) struct old_allow *old = calloc(1, sizeof(*old));
	int r = 0;

	if (!old)
		return bh_fail(err, ENOMEM, "no memory for a policy");
	for (size_t i = 0; r == 0 && p && i < n_allow; i++)
		r = add_allow(t, slot, p->generation, allow[i], err);
	if (r)
		return r;
	bh_trace_want(t, slot, BH_TRACE_WANT_POLICY, true); /* by the old one or the new one */
	r = bpf_map_update_elem(t->map[BH_T_POLICY].fd, &slot, p ? p : &none, BPF_ANY);
	if (r)
		return bh_fail_sys(err, -r, "map trace_policy");
	bh_trace_want_policy(t, slot, p);
	old->slot = slot;
	if (p) {
		old->generation = p->generation;
		old->listed = allow;
		old->n_listed = n_allow;
	}
	return clear_allow(t, old, err);
}

int bh_trace_set_cgroup(struct bh_trace *t, uint64_t cgroup, uint32_t slot, uint32_t generation,
			struct bh_err *err)
{
	const struct bh_trace_slot books = {.generation = generation};
	int fd = t->map[BH_T_CGROUP].fd, r = 0;

	if (slot && (slot < BH_MAX_SLOTS || slot >= BH_TRACE_SLOTS))
		return bh_fail(err, EINVAL, "slot %u is no host-network pod's", slot);
	if (slot)
		r = bpf_map_update_elem(t->map[BH_T_SLOT].fd, &slot, &books, BPF_ANY);
	if (r == 0)
		r = slot ? bpf_map_update_elem(fd, &cgroup, &slot, BPF_ANY)
			 : bpf_map_delete_elem(fd, &cgroup);
	if (r && (slot || r != -ENOENT))
		return bh_fail_sys(err, -r, "map trace_cgroup");
	if (slot)
		__atomic_store_n(&t->config->has_cgroups, 1u, __ATOMIC_SEQ_CST);
	return 0;
}

/* trace_wrote.bpf.h - which files of volumes a pod wrote itself. Where a volume's bytes come from
 * nobody can see, but what a container wrote there and runs is no more the image's than what lies
 * in its own layer. What another container of the pod put there for it, an init container say, the
 * pod's author meant to be run. And which copies of the image's files it opened for writing: their
 * times say nothing, for a write through a mapping may leave them, and anybody may set them. */
#pragma once

#include "lib/trace_path.bpf.h"

struct wrote_key {
	__u64 ino;
	__u32 dev;
	__u32 slot;
};

struct wrote {
	__u32 generation;
	__u32 mntns; /* of the container: the lower half of mntns_id() */
};

/* Full: the file written longest ago is forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct wrote_key);
	__type(value, struct wrote);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_wrote SEC(".maps");

static __always_inline int origin_is_mounted(__u8 origin)
{
	return origin == BH_TRACE_O_VOLUME || origin == BH_TRACE_O_OTHER;
}

static __always_inline int wrote_matters(__u8 origin)
{
	return origin_is_mounted(origin) || origin == BH_TRACE_O_METACOPY;
}

static __always_inline void wrote_note(const struct file_id *id, const struct task_struct *p,
				       const struct bh_trace_task *t)
{
	struct wrote_key k = {.ino = id->ino, .dev = id->dev, .slot = t->slot};
	struct wrote v = {.generation = t->generation, .mntns = mntns_id(p)};
	const struct wrote *old = bpf_map_lookup_elem(&trace_wrote, &k);

	if (!old || old->generation != v.generation || old->mntns != v.mntns)
		bpf_map_update_elem(&trace_wrote, &k, &v, BPF_ANY);
}

/* Whether the task's container wrote the file of a volume. A copy that it wrote becomes a modified
 * one. */
static __always_inline int wrote_has(struct file_id *id, const struct task_struct *p, __u32 slot,
				     __u32 generation)
{
	struct wrote_key k = {.ino = id->ino, .dev = id->dev, .slot = slot};
	const struct wrote *v;

	if (!wrote_matters(id->origin))
		return 0;
	v = bpf_map_lookup_elem(&trace_wrote, &k);
	if (!v || v->generation != generation || v->mntns != (__u32)mntns_id(p))
		return 0;
	if (id->origin != BH_TRACE_O_METACOPY)
		return 1;
	id->origin = BH_TRACE_O_MODIFIED;
	return 0;
}

/* guard.bpf.c - answers the daemon's question whether a file may be executed in a pod: the same
 * provenance and the same policy as the exec program's, for those who ask before it happens. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/trace_act.bpf.h"

struct guard_scratch {
	struct walk walk;
	struct file_id id;
};

/* One question at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guard_scratch);
} guard_scratch SEC(".maps");

static __always_inline void guard_path(struct guard_scratch *s, const struct file *f,
				       struct bh_guard_ask *ask)
{
	struct walk *w = &s->walk;

	ask->path[0] = 0;
	if (walk_path(w, file_path(f)))
		bpf_probe_read_kernel_str(ask->path, sizeof(ask->path),
					  &w->buf[w->pos & (PATH_HALF - 1)]);
}

/* Only by where the bytes come from: what an allow list names starts by way of loaders and
 * interpreters that it does not name, and the exec program tells them apart. */
static __always_inline int guard_refuses(const struct bh_guard_ask *ask)
{
	__u32 slot = ask->slot;
	const struct bh_trace_policy *pol = bpf_map_lookup_elem(&trace_policy, &slot);

	return pol && pol->generation == ask->generation && (pol->flags & BH_TRACE_P_KILL) &&
	       (pol->origins >> (ask->origin & 31) & 1);
}

SEC("syscall")
int bh_guard_ask(struct bh_guard_ask *ctx)
{
	const struct task_struct *p = bpf_get_current_task_btf();
	struct bh_guard_ask ask = {.fd = ctx->fd, .slot = ctx->slot, .generation = ctx->generation};
	const struct file *f = act_file(p, ask.fd);
	struct guard_scratch *s;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&guard_scratch, &zero);
	if (!s || !f)
		return 1;
	file_identify(f, p, 0, &s->id);
	/* the root that it was held against is the daemon's */
	if (BPF_CORE_READ(f, f_inode, i_sb, s_magic) == MAGIC_OVERLAY)
		s->id.origin = ovl_origin(READ(struct file, f, f_inode));
	/* the mount is one of the pod's, for only those are watched */
	else if (s->id.origin == BH_TRACE_O_OTHER)
		s->id.origin = BH_TRACE_O_VOLUME;
	ask.origin = s->id.origin;
	ask.ino = s->id.ino;
	ask.dev = s->id.dev;
	ask.is_refused = guard_refuses(&ask);
	if (ask.is_refused)
		guard_path(s, f, &ask);
	*ctx = ask;
	return 0;
}

char _license[] SEC("license") = "GPL";

/* exe.bpf.h - which executable is the caller? Its absolute path in its mount namespace, and the id
 * that policy gave to that path.
 *
 * Not known, and so never allowed where it matters: unlinked files, files of no mounted file system
 * (memfd), paths longer than BH_PATH_MAX - 1, and executables of a mount namespace that does not
 * belong to the pod's user namespace: there the caller chooses what lies at which path. The path is
 * read without locks; a rename at the same moment can only show names that lead there. */
#pragma once

#include "lib/core.bpf.h"
#include "lib/pkt.bpf.h"

#define EXE_STEPS    64	 /* path components and mounts crossed */
#define EXE_SCRATCH  64	 /* callers at the same time; hooks may be preempted */
#define EXE_BUF_HALF 512 /* the path is written backwards from here, at most BH_PATH_MAX */

struct exe_scratch {
	struct bh_exe_key key;
	__u64 dentry, mnt; /* addresses; read only through probe reads */
	__u32 pos;	   /* of the path in buf */
	__u32 busy;
	char buf[EXE_BUF_HALF + BH_PATH_MAX];
};

/* Every entry taken: the executable is not known. Not pinned, nothing in it lives on. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EXE_SCRATCH);
	__type(key, __u32);
	__type(value, struct exe_scratch);
} exe_pool SEC(".maps");

static __always_inline struct exe_scratch *exe_scratch_get(void)
{
	__u32 first = bpf_get_smp_processor_id(), i;

	for (i = 0; i < 8; i++) {
		__u32 key = (first + i * 7) % EXE_SCRATCH;
		struct exe_scratch *s = bpf_map_lookup_elem(&exe_pool, &key);

		if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
			return s;
	}
	return NULL;
}

static __always_inline void exe_scratch_put(struct exe_scratch *s)
{
	if (s)
		(void)__sync_lock_test_and_set(&s->busy, 0);
}

enum exe_step { EXE_MORE, EXE_DONE, EXE_FAILED };

/* From the root of a mount to where it is mounted. */
static __always_inline int exe_cross_mount(struct exe_scratch *s)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	struct mount *m = (struct mount *)(s->mnt - offset);
	__u64 parent = (__u64)BPF_CORE_READ(m, mnt_parent);

	if (parent == (__u64)m)
		return EXE_DONE;
	if (!parent)
		return EXE_FAILED;
	s->dentry = (__u64)BPF_CORE_READ(m, mnt_mountpoint);
	s->mnt = parent + offset;
	return EXE_MORE;
}

/* One component towards the root. */
__noinline int exe_step(struct exe_scratch *s)
{
	const struct dentry *d;
	const struct vfsmount *mnt;
	const unsigned char *name;
	__u64 parent;
	__u32 len, pos;

	if (!s)
		return EXE_FAILED;
	d = (const struct dentry *)s->dentry;
	mnt = (const struct vfsmount *)s->mnt;
	if (d == BPF_CORE_READ(mnt, mnt_root))
		return exe_cross_mount(s);
	parent = (__u64)BPF_CORE_READ(d, d_parent);
	len = BPF_CORE_READ(d, d_name.len);
	name = BPF_CORE_READ(d, d_name.name);
	pos = s->pos;
	if (parent == (__u64)d || len == 0 || len >= BH_PATH_MAX || pos >= EXE_BUF_HALF ||
	    pos < len + 1 + EXE_BUF_HALF - BH_PATH_MAX)
		return EXE_FAILED;
	pos = (pos - len) & (EXE_BUF_HALF - 1);
	if (bpf_probe_read_kernel(&s->buf[pos], len & (BH_PATH_MAX - 1), name))
		return EXE_FAILED;
	pos = (pos - 1) & (EXE_BUF_HALF - 1);
	s->buf[pos] = '/';
	s->pos = pos;
	s->dentry = parent;
	return EXE_MORE;
}

/* The caller's mount namespace must be owned like the pod's network namespace. */
static __always_inline int exe_start(struct exe_scratch *s)
{
	const struct task_struct *task = (const struct task_struct *)bpf_get_current_task();
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	const struct file *file = BPF_CORE_READ(task, mm, exe_file);
	const struct dentry *d = BPF_CORE_READ(file, f_path.dentry);
	const struct mount *m;
	__u64 owner;

	s->mnt = (__u64)BPF_CORE_READ(file, f_path.mnt);
	s->dentry = (__u64)d;
	s->pos = EXE_BUF_HALF - 1;
	if (!s->mnt || !d || !BPF_CORE_READ(d, d_hash.pprev))
		return 0;
	m = (const struct mount *)(s->mnt - offset);
	owner = (__u64)BPF_CORE_READ(m, mnt_ns, user_ns);
	return owner && owner == (__u64)BPF_CORE_READ(task, nsproxy, net_ns, user_ns);
}

/* Writes the caller's path to s->key and returns its length, 0 when it is not known. */
static __always_inline __u32 exe_path(struct exe_scratch *s)
{
	int r = EXE_FAILED, i;
	__u32 len;

	__builtin_memset(&s->key, 0, sizeof(s->key));
	if (!exe_start(s))
		return 0;
	for (i = 0; i < EXE_STEPS; i++) {
		r = exe_step(s);
		if (r != EXE_MORE)
			break;
	}
	len = EXE_BUF_HALF - 1 - s->pos;
	if (r != EXE_DONE || len == 0 || len >= BH_PATH_MAX)
		return 0;
	if (bpf_probe_read_kernel(s->key.path, len & (BH_PATH_MAX - 1),
				  &s->buf[s->pos & (EXE_BUF_HALF - 1)]))
		return 0;
	return len;
}

static __always_inline __u16 exe_proc(const struct exe_scratch *s, __u32 path_len)
{
	__u32 *id;

	if (!path_len)
		return BH_PROC_UNKNOWN;
	id = bpf_map_lookup_elem(&exe, &s->key);
	if (!id)
		return BH_PROC_OTHER;
	return *id > BH_PROC_OTHER && *id <= 0xffff ? *id : BH_PROC_UNKNOWN;
}

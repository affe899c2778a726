/* trace_exec.bpf.h - one exec: who, which file, from where; the set, the record, the policy. */
#pragma once

#include "lib/trace_args.bpf.h"
#include "lib/trace_emit.bpf.h"

#define TAIL_STRINGS 1024 /* the four strings */
#define TAIL_SIZE    (2 * BH_TRACE_ARGS)

/* One exec. */
struct exec_of {
	struct task_struct *p;
	const struct linux_binprm *bprm;
	struct bh_trace_task *was;   /* what the task was, as long as it is not overwritten */
	const struct bh_fact *known; /* NULL: new */
};

/* What of the task's image before is told; all zero: it was of no pod, or of another. */
struct exec_before {
	__u64 exec_id;
	__u64 ino;
	__u32 dev;
	__u32 uid;
	__u32 flags;
	__u32 home_dev, home_ns; /* see struct bh_trace_task */
	__u8 origin;
	__u8 is_ours;
};

/* What every exec uses comes first and lies together: after an exec the caches are cold. */
/* Where the look through an interpreter's arguments is. In memory, so that the verifier need not
 * follow each way through the options. */
struct script_at {
	__u64 at, end;
	__u32 first, second; /* hashes of names; 0: none */
	__u32 n;	     /* arguments so far, the program's own name included */
	__u8 n_names;
	__u8 is_python;
	__u8 is_module; /* what follows is a module's name */
	__u8 has_value; /* what follows may be the value of an option */
	__u8 is_sure;	/* and is */
	__u8 pad[7];
};

/* What the environment has an interpreter read before its script, see trace_env.bpf.h. */
struct env_at {
	__u32 first, last; /* hashes of names; 0: none */
	__u32 kind;	   /* enum env_kind of the variable */
	__u32 from;	   /* where the name begins that is being looked at */
	__u32 value;	   /* where its value begins */
	__u32 is_file;	   /* it may be one's */
	__u32 len, end;	   /* of the name; letters behind it */
	__u32 begins[2];   /* first three letters of variables that matter to who is started */
};

struct exec_scratch {
	__u64 now;
	__u64 exec_id;
	__u32 slot;
	__u32 generation;
	__u32 flags;
	__u32 pos; /* in the record's tail */
	__u32 is_refused;
	__u32 novelty;
	__u32 is_old;	/* a former tenant's fact has the key */
	__u32 path_len; /* of fact.path, with its NUL */
	struct file_id id;
	struct bh_fact_key key;
	struct bh_trace_mntns_key mntns;
	struct exec_before before;
	struct bh_fact fact;
	struct env_at env;
	struct walk walk;
	__u64 record[(sizeof(struct bh_trace_exec) + TAIL_SIZE) / 8];
	struct bh_trace_name script;
	struct script_at args;
	struct args_rest rest;
	struct bh_trace_allow_key allow;
};

/* Cannot be full: execs do not nest on a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

static __always_inline struct exec_scratch *exec_scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&exec_scratch, &zero);
}

static __always_inline struct bh_trace_exec *record_of(struct exec_scratch *s)
{
	return (struct bh_trace_exec *)s->record;
}

static __always_inline char *tail_of(struct exec_scratch *s, __u32 pos)
{
	return (char *)s->record + sizeof(struct bh_trace_exec) + pos;
}

/* What is executed was opened by its own path, never as a layer below. */
static __always_inline const struct path *exec_file_path(const struct linux_binprm *bprm)
{
	const struct file *file = bprm->file;

	return (const struct path *)__builtin_preserve_access_index(&file->f_path);
}

/* The path into s->fact, and what there is to say about it into s->flags. */
static __always_inline void exec_path(struct exec_scratch *s, const struct file *file)
{
	struct walk *w = &s->walk;

	s->path_len = 0;
	s->fact.path[0] = 0;
	if (!walk_path(w, (const struct path *)__builtin_preserve_access_index(&file->f_path)))
		return;
	if (w->is_cut)
		s->flags |= BH_TRACE_F_PATH_CUT;
	s->path_len = walk_copy(w, s->fact.path);
}

/* ---- what the task has ---- */

static __always_inline __u64 task_caps(const struct task_struct *p)
{
	const struct cred *cred = p->cred;

	if (bpf_core_field_exists(cred->cap_effective.val))
		return cred->cap_effective.val;
	return BPF_CORE_READ((const struct cred___old *)cred, cap_effective.cap[0]) |
	       (__u64)BPF_CORE_READ((const struct cred___old *)cred, cap_effective.cap[1]) << 32;
}

#define TYPE_MASK	 0170000
#define TYPE_SOCKET	 0140000
#define TYPE_REGULAR	 0100000
#define TYPE_CHAR	 0020000
#define TYPE_FIFO	 0010000
#define MODE_SETID	 06000
#define FAMILY_UNIX	 1
#define FAMILY_INET	 2
#define FAMILY_INET6	 10
#define MAGIC_PIPES	 0x50495045 /* those without a name */
#define RDEV_NULL	 ((1u << 20) | 3)
#define RDEV_MAJOR(rdev) ((rdev) >> 20)

static __always_inline __u8 stdio_socket(const struct file *f)
{
	const struct socket *socket = READ(struct file, f, private_data);
	__u16 family = BPF_CORE_READ(socket, sk, __sk_common.skc_family);

	if (family == FAMILY_INET || family == FAMILY_INET6)
		return BH_TSTDIO_INET;
	return family == FAMILY_UNIX ? BH_TSTDIO_UNIX : BH_TSTDIO_OTHER;
}

/* A function of its own: after an exec the caches are cold, and there are three files. */
static __noinline int stdio_kind(const struct file *f)
{
	const struct super_block *inode_sb;
	const struct inode *inode;
	__u32 major;

	if (!f)
		return BH_TSTDIO_NONE;
	inode = READ(struct file, f, f_inode);
	switch (READ(struct inode, inode, i_mode) & TYPE_MASK) {
	case TYPE_SOCKET:
		return stdio_socket(f);
	case TYPE_REGULAR:
		return BH_TSTDIO_FILE;
	case TYPE_FIFO:
		inode_sb = READ(struct inode, inode, i_sb);
		return READ(struct super_block, inode_sb, s_magic) == MAGIC_PIPES ? BH_TSTDIO_PIPE
										  : BH_TSTDIO_FIFO;
	case TYPE_CHAR:
		if (READ(struct inode, inode, i_rdev) == RDEV_NULL)
			return BH_TSTDIO_NONE;
		major = RDEV_MAJOR(READ(struct inode, inode, i_rdev));
		/* console, serial, pseudo terminals */
		return major == 4 || major == 5 || (major >= 136 && major <= 143) ? BH_TSTDIO_TTY
										  : BH_TSTDIO_OTHER;
	}
	return BH_TSTDIO_OTHER;
}

/* Whoever has user id 0 in one of its three places may take it up again. */
static __always_inline __u32 task_root(const struct task_struct *p)
{
	const struct cred *cred = p->cred;

	return cred->uid.val && cred->euid.val && cred->suid.val ? 0 : BH_TRACE_T_ROOT;
}

#define MOUNT_READONLY 0x40
#define SUPER_READONLY 1

static __always_inline __u32 root_flags(const struct task_struct *p)
{
	const struct vfsmount *mnt = p->fs->root.mnt;
	int is_readonly =
		(mnt->mnt_flags & MOUNT_READONLY) || (mnt->mnt_sb->s_flags & SUPER_READONLY);

	return is_readonly ? BH_TRACE_F_RO_ROOT : 0;
}

/* Often the three are one file. */
static __always_inline void record_stdio(struct bh_trace_exec *r, const struct task_struct *p)
{
	const struct fdtable *fdt = p->files->fdt;
	const struct file *f[3] = {};

	r->stdio[0] = r->stdio[1] = r->stdio[2] = BH_TSTDIO_UNKNOWN;
	/* the smallest table has room for more than three */
	if (bpf_probe_read_kernel(f, sizeof(f), READ(struct fdtable, fdt, fd)))
		return;
	r->stdio[0] = stdio_kind(f[0]);
	r->stdio[1] = f[1] == f[0] ? r->stdio[0] : stdio_kind(f[1]);
	r->stdio[2] = f[2] == f[1] ? r->stdio[1] : stdio_kind(f[2]);
}

/* ---- the record ---- */

static __always_inline void tail_add(struct exec_scratch *s, __u32 which, const char *from,
				     __u32 max)
{
	__u32 pos = s->pos & (TAIL_STRINGS - 1);
	long n = bpf_probe_read_kernel_str(tail_of(s, pos), max, from);

	if (n <= 0 || n > BH_PATH_MAX)
		n = 0;
	if (n == 1) /* empty */
		n = 0;
	record_of(s)->string_len[which] = n;
	s->pos = pos + n;
}

static __always_inline void tail_path(struct exec_scratch *s, const struct bh_fact *known)
{
	__u32 n = s->path_len;

	if (!n || n > BH_PATH_MAX) {
		tail_add(s, BH_TRACE_S_PATH, known ? known->path : s->fact.path, BH_PATH_MAX);
		return;
	}
	bpf_probe_read_kernel(tail_of(s, 0), n, s->fact.path);
	record_of(s)->string_len[BH_TRACE_S_PATH] = n;
	s->pos = n;
}

/* What was walked last. */
static __always_inline void tail_walk(struct exec_scratch *s, __u32 which)
{
	__u32 pos = s->pos & (TAIL_STRINGS - 1), n = walk_copy(&s->walk, tail_of(s, pos));

	record_of(s)->string_len[which] = n;
	s->pos = pos + n;
}

static __always_inline void tail_args(struct exec_scratch *s, const struct task_struct *p)
{
	const struct mm_struct *mm = p->mm;
	__u64 start = mm->arg_start, end = mm->arg_end;
	__u32 pos = s->pos & (TAIL_SIZE / 2 - 1);
	__u64 total = end - start, len = total;

	record_of(s)->args_len = 0;
	record_of(s)->args_total = total;
	record_of(s)->args_rest = 0;
	if (start >= end)
		return;
	if (unlikely(len >= BH_TRACE_ARGS)) {
		len = BH_TRACE_ARGS - 1;
		record_of(s)->head.flags |= BH_TRACE_F_ARGS_CUT;
	}
	len &= BH_TRACE_ARGS - 1;
	/* the new image has not run yet: nobody else writes there */
	if (bpf_probe_read_user(tail_of(s, pos), len, (const void *)start))
		return;
	record_of(s)->args_len = len;
	s->pos = pos + len;
	if (likely(len == total))
		return;
	s->rest.at = start + len;
	s->rest.end = end;
	record_of(s)->args_rest = args_rest_hash(&s->rest);
}

static __always_inline void record_head(struct exec_scratch *s, const struct task_struct *p)
{
	struct bh_trace_head *h = &record_of(s)->head;

	h->version = BH_TRACE_VERSION;
	h->kind = BH_TRACE_EXEC;
	h->ts_ns = s->now;
	h->exec_id = s->exec_id;
	h->parent_exec_id = s->before.exec_id;
	h->slot = s->slot;
	h->generation = s->generation;
	h->pid = p->tgid;
	h->flags = s->flags;
	h->uid = s->key.uid;
	h->gid = p->cred->egid.val;
	__builtin_memcpy(h->comm, s->key.name, sizeof(h->comm));
}

static __always_inline void record_numbers(struct exec_scratch *s, const struct task_struct *p)
{
	struct bh_trace_exec *r = record_of(s);

	r->ino = s->id.ino;
	r->dev = s->id.dev;
	r->origin = s->id.origin;
	r->parent_ino = s->before.ino;
	r->parent_dev = s->before.dev;
	r->parent_origin = s->before.origin;
	r->caps = task_caps(p);
	r->cgroup = bpf_get_current_cgroup_id();
	r->loginuid = (__u32)-1;
	if (bpf_core_field_exists(p->loginuid))
		r->loginuid = p->loginuid.val;
	r->ppid = p->real_parent->tgid;
	r->mntns = p->nsproxy->mnt_ns->ns.inum;
	record_stdio(r, p);
}

/* The path is in s->fact already; s->walk is free for the working directory. */
static __always_inline void record_strings(struct exec_scratch *s, const struct exec_of *of)
{
	const char *name = of->bprm->filename;
	const struct fs_struct *fs = of->p->fs;

	s->pos = 0;
	tail_path(s, of->known);
	record_of(s)->string_len[BH_TRACE_S_PARENT] = 0;
	if (of->was && s->before.is_ours)
		tail_add(s, BH_TRACE_S_PARENT, of->was->path, BH_TRACE_PARENT);
	record_of(s)->string_len[BH_TRACE_S_SCRIPT] = 0;
	if (s->flags & BH_TRACE_F_SCRIPT)
		tail_add(s, BH_TRACE_S_SCRIPT, name, BH_PATH_MAX);
	record_of(s)->string_len[BH_TRACE_S_CWD] = 0;
	if (walk_path(&s->walk, (const struct path *)__builtin_preserve_access_index(&fs->pwd)))
		tail_walk(s, BH_TRACE_S_CWD);
	tail_args(s, of->p);
}

_Static_assert(__builtin_offsetof(struct bh_trace_task, path) % 8 == 0, "copied by words");
_Static_assert(__builtin_offsetof(struct bh_fact, path) % 8 == 0, "copied by words");

/* Both are aligned to words, which the compiler does not see in a path: it would copy bytes. */
static __always_inline void words_copy(void *to, const void *from, __u32 n)
{
	__u32 i;

#pragma clang loop unroll(full)
	for (i = 0; i < n; i++)
		((__u64 *)to)[i] = ((const __u64 *)from)[i];
}

/* What a task's memory says of the image it runs, however it came to our notice. */
static __always_inline void image_remember(const struct exec_scratch *s,
					   const struct task_struct *p, struct bh_trace_task *t,
					   const char *path)
{
	t->cookie = p->nsproxy->net_ns->net_cookie;
	t->exec_id = s->exec_id;
	t->ino = s->id.ino;
	t->dev = s->id.dev;
	t->origin = s->id.origin;
	t->slot = s->slot;
	t->generation = s->generation;
	t->uid = s->key.uid;
	words_copy(t->path, path, sizeof(t->path) / 8);
	t->path[sizeof(t->path) - 1] = 0;
}

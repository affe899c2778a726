/* trace_file.bpf.h - files that a pod's task opened, made or mapped. The file is what the returned
 * descriptor or the mapping leads to, never what the caller's memory says. */
#pragma once

#include "lib/trace_claim.bpf.h"
#include "lib/trace_wrote.bpf.h"

#define TYPE_MASK    0170000
#define TYPE_REGULAR 0100000
#define TYPE_BLOCK   0060000
#define MAGIC_PROC   0x9fa0
#define PROT_READ    1
#define PROT_WRITE   2
#define PROT_EXEC    4
#define MAP_SHARED   1

#define READ_IMPLIES_EXEC 0x0400000 /* of personality() */

static __always_inline int dentry_is_hidden(const struct dentry *d)
{
	char first = 0;

	bpf_probe_read_kernel(&first, 1, BPF_CORE_READ(d, d_parent, d_name.name));
	return first == '.';
}

static __always_inline __u32 name_bits(struct act_scratch *s, const struct dentry *d)
{
	const unsigned char *name = READ(struct dentry, d, d_name.name);
	__u32 *bits;

	__builtin_memset(&s->name, 0, sizeof(s->name));
	bpf_probe_read_kernel_str(s->name.text, sizeof(s->name.text), name);
	bits = bpf_map_lookup_elem(&trace_name, &s->name);
	if (!bits || ((*bits & BH_TRACE_N_HIDDEN) && !dentry_is_hidden(d)))
		return 0;
	return *bits;
}

/* The set knows files by directory and name, so that a file that is written anew each time is one.
 */
static __always_inline void file_key(struct act_scratch *s, const struct dentry *d,
				     unsigned long magic)
{
	if (magic != MAGIC_PROC) { /* every process has directories of its own there */
		const struct dentry *dir = READ(struct dentry, d, d_parent);
		const struct inode *inode = READ(struct dentry, dir, d_inode);

		s->key.ino = READ(struct inode, inode, i_ino);
		s->key.dev = s->id.dev;
	}
	__builtin_memcpy(s->key.name, s->name.text, sizeof(s->key.name));
	s->key.origin = s->id.origin;
}

/* Beyond so many files of a directory, the directory stands for the rest. */
static __always_inline void file_collapse(struct act_scratch *s, const struct bh_trace_task *t)
{
	struct bh_fact_key *k = &s->key;
	struct bh_fact *dir;
	char name[BH_TRACE_NAME];

	__builtin_memcpy(name, k->name, sizeof(name));
	__builtin_memset(k->name, 0, sizeof(k->name));
	dir = bpf_map_lookup_elem(&trace_fact, k);
	if (dir && dir->generation == t->generation && dir->count >= ACT_PER_DIR) {
		s->flags |= BH_TRACE_F_COLLAPSED;
		return;
	}
	if (dir && dir->generation == t->generation) {
		__sync_fetch_and_add(&dir->count, 1);
	} else {
		s->fact.generation = t->generation;
		s->fact.count = 1;
		s->fact.flags = BH_TRACE_F_COLLAPSED;
		s->fact.first_ns = s->fact.last_ns = bpf_ktime_get_ns();
		s->fact.path[0] = 0;
		bpf_map_update_elem(&trace_fact, k, &s->fact, BPF_ANY);
	}
	__builtin_memcpy(k->name, name, sizeof(name));
}

/* Bytes of an origin that the policy does not let run: the task ends before it is back from the
 * call. */
static __always_inline void origin_judge(struct act_scratch *s, const struct bh_trace_task *t)
{
	__u32 slot = t->slot;
	const struct bh_trace_policy *pol = bpf_map_lookup_elem(&trace_policy, &slot);
	struct bh_trace_slot *b;

	if (!pol || pol->generation != t->generation || !(pol->origins >> (s->id.origin & 31) & 1))
		return;
	s->flags |= BH_TRACE_F_REFUSED;
	if (!(pol->flags & BH_TRACE_P_KILL) || bpf_send_signal(SIGKILL))
		return;
	s->flags |= BH_TRACE_F_KILLED;
	b = books_of(slot);
	if (b)
		__sync_fetch_and_add(&b->killed, 1);
}

/* Code that the image did not bring, though its interpreter did: as good as an exec of it. */
static __always_inline int script_matters(struct act_scratch *s, const struct task_struct *p,
					  struct bh_trace_task *t)
{
	if (wrote_has(&s->id, p, t->slot, t->generation))
		s->flags |= BH_TRACE_F_WROTE;
	else if (!origin_is_foreign(s->id.origin))
		return 0;
	origin_judge(s, t);
	act_key(s, t, BH_TRACE_FILE, BH_TRACE_OP_SCRIPT);
	s->key.ino = s->id.ino;
	s->key.dev = s->id.dev;
	s->key.origin = s->id.origin;
	s->is_high = 1;
	return 1;
}

static __always_inline void open_script(struct act_scratch *s, const struct task_struct *p,
					const struct file *f, struct bh_trace_task *t)
{
	t->flags &= ~BH_TRACE_T_STDIN;
	if (!script_matters(s, p, t))
		return;
	act_walk(s, file_path(f));
	act_note(s, t);
}

/* Of directories whose files are secrets by where they are, whatever they are called. */
static __always_inline int dir_is_secret(const struct dentry *d)
{
	const struct dentry *dir = READ(struct dentry, d, d_parent);
	__u32 len = READ(struct dentry, dir, d_name.len);
	char name[8] = {};

	if (len != 4 && len != 7)
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), READ(struct dentry, dir, d_name.name));
	if (len == 4)
		return name[0] == '.' && name[1] == 's' && name[2] == 's' && name[3] == 'h';
	return name[0] == 'p' && name[1] == 'r' && name[2] == 'i' && name[3] == 'v' &&
	       name[4] == 'a' && name[5] == 't' && name[6] == 'e';
}

static __always_inline __u8 open_op(__u32 mode, __u32 bits)
{
	if (mode & FMODE_CREATED)
		return BH_TRACE_OP_CREATE;
	if (mode & FMODE_WRITE)
		return BH_TRACE_OP_WRITE;
	return bits & BH_TRACE_N_READ ? BH_TRACE_OP_READ : BH_TRACE_OP_NONE;
}

/* A file of procfs about the task that opens it. */
static __always_inline int open_is_own(const struct file *f, const struct task_struct *p)
{
	const struct inode *inode = BPF_CORE_READ(f, f_inode);
	const struct proc_inode *proc =
		(const void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
	const struct pid *pid = BPF_CORE_READ(proc, pid);

	return pid && (pid == BPF_CORE_READ(p, thread_pid) ||
		       pid == BPF_CORE_READ(p, group_leader, thread_pid));
}

/* Each name is good for one file: one from the environment may come first. */
static __always_inline int hash_is_script(struct bh_trace_task *t, __u32 hash)
{
	__u32 second = t->flags & BH_TRACE_T_SECOND;

	if (hash == t->script) {
		t->script = 0;
		return 1;
	}
	if (!second || (hash & BH_TRACE_T_SECOND) != second)
		return 0;
	t->flags &= ~BH_TRACE_T_SECOND;
	return 1;
}

/* Which file the interpreter was started on is known by the name it was called: that of the file
 * itself, or of a link or descriptor that leads there. */
static __always_inline int open_is_script(struct act_scratch *s, const struct task_struct *p,
					  struct bh_trace_task *t, const struct file *f)
{
	__u32 hash = name_hash(&s->name);

	file_identify(f, p, t->home_dev, &s->id);
	if ((s->id.mode & TYPE_MASK) != TYPE_REGULAR) /* `make -C directory` */
		return 0;
	if (hash_is_script(t, hash))
		return 1;
	if (!s->user || (!origin_is_foreign(s->id.origin) && !origin_is_mounted(s->id.origin)))
		return 0;
	claim(s, 0, s->user);
	s->flags &= ~BH_TRACE_F_CLAIMED;
	return last_name(s) && hash_is_script(t, name_hash(&s->name));
}

static __always_inline void open_tell(struct act_scratch *s, const struct task_struct *p,
				      struct bh_trace_task *t, const struct file *f)
{
	const struct inode *inode;
	const struct dentry *d;
	unsigned long magic;
	__u32 bits, mode;
	int is_outer;
	__u8 op;

	d = READ(struct file, f, f_path.dentry);
	mode = READ(struct file, f, f_mode);
	bits = name_bits(s, d);
	op = open_op(mode, bits);
	inode = READ(struct file, f, f_inode);
	is_outer = path_is_outer(file_path(f), p);
	if (!op && dir_is_secret(d))
		op = BH_TRACE_OP_READ;
	if (!op && (is_outer || (READ(struct inode, inode, i_mode) & TYPE_MASK) == TYPE_BLOCK))
		op = BH_TRACE_OP_READ;
	if ((t->script || (t->flags & BH_TRACE_T_SECOND)) && !op && open_is_script(s, p, t, f)) {
		open_script(s, p, f, t);
		return;
	}
	if (!op)
		return;
	file_identify(f, p, t->home_dev, &s->id);
	if ((s->id.mode & TYPE_MASK) != TYPE_REGULAR && (s->id.mode & TYPE_MASK) != TYPE_BLOCK &&
	    !bits && !is_outer)
		return;
	magic = BPF_CORE_READ(f, f_inode, i_sb, s_magic);
	if (magic == MAGIC_PROC && bits && open_is_own(f, p)) {
		if (op == BH_TRACE_OP_READ)
			return;
		s->flags |= BH_TRACE_F_OWN;
	}
	if (op != BH_TRACE_OP_READ && wrote_matters(s->id.origin) && !is_outer &&
	    magic != MAGIC_PROC)
		wrote_note(&s->id, p, t);
	act_key(s, t, BH_TRACE_FILE, op);
	file_key(s, d, magic);
	if (s->flags & BH_TRACE_F_OWN)
		s->key.ino = 1;
	if (op == BH_TRACE_OP_CREATE)
		s->flags &= ~BH_TRACE_F_TRUNCATED;
	s->key.is_emptied = bits && (s->flags & BH_TRACE_F_TRUNCATED);
	if (op != BH_TRACE_OP_READ)
		s->key.is_emptied |= mode_key(s->id.mode);
	if (act_is_known(s, t))
		return;
	if (!bits && magic != MAGIC_PROC && !(s->key.is_emptied & ~1))
		file_collapse(s, t);
	s->matters = bits || (s->key.is_emptied & ~1) ||
		     (name_bits(s, READ(struct dentry, d, d_parent)) & BH_TRACE_N_DIR);
	s->arg[0] = BPF_CORE_READ(f, f_flags) | (s->flags & BH_TRACE_F_TRUNCATED ? O_TRUNC : 0);
	if (is_outer)
		s->flags |= BH_TRACE_F_OUTER;
	act_walk(s, file_path(f));
	act_note(s, t);
}

/* flags: as the caller wrote them, for the kernel forgets O_TRUNC; s->user: the path, 0: none. */
static __always_inline void call_open(struct act_scratch *s, const struct task_struct *p,
				      struct bh_trace_task *t, __u64 flags)
{
	const struct file *f = act_file(p, s->ret);

	if (flags & O_TRUNC)
		s->flags |= BH_TRACE_F_TRUNCATED;
	if (f)
		open_tell(s, p, t, f);
}

/* What the look has found, as file_identify() does it. */
static __always_inline void found_identify(struct act_scratch *s, const struct bh_trace_task *t)
{
	const struct inode *inode = READ(struct dentry, s->look.found, d_inode);
	const struct super_block *sb = READ(struct inode, inode, i_sb);
	unsigned long magic = READ(struct super_block, sb, s_magic);

	s->id.ino = READ(struct inode, inode, i_ino);
	s->id.dev = READ(struct super_block, sb, s_dev);
	s->id.mode = READ(struct inode, inode, i_mode);
	s->id.is_unlinked = 0;
	if (magic == MAGIC_OVERLAY && s->id.dev == t->home_dev)
		s->id.origin = ovl_origin(inode);
	else if (magic == MAGIC_TMPFS || magic == MAGIC_RAMFS)
		s->id.origin = BH_TRACE_O_TMPFS;
	else
		s->id.origin = BH_TRACE_O_VOLUME;
}

/* `#!/usr/bin/env -S sh -c TEXT`: nobody opens the script again. The kernel has put its name behind
 * the environment, and the task has not run yet. */
static __always_inline void exec_line(struct act_scratch *s, const struct task_struct *p,
				      struct bh_trace_task *t)
{
	s->follows = 1;
	s->is_lost = 0;
	claim_at(s, 0, p->mm->env_end, AT_FDCWD);
	if (s->is_lost || !s->look.name[0] || !look_child(&s->look))
		return;
	found_identify(s, t);
	if (script_matters(s, p, t))
		act_note(s, t);
}

/* A new image: an interpreter without a script reads one from its standard input. */
static __always_inline void call_exec(struct act_scratch *s, const struct task_struct *p,
				      struct bh_trace_task *t)
{
	const struct file *f;

	if (t->flags & BH_TRACE_T_LINE) {
		t->flags &= ~BH_TRACE_T_LINE;
		exec_line(s, p, t);
		return;
	}
	if (!(t->flags & BH_TRACE_T_STDIN))
		return;
	f = act_file(p, 0);
	if (!f)
		return;
	file_identify(f, p, t->home_dev, &s->id);
	if ((s->id.mode & TYPE_MASK) == TYPE_REGULAR)
		open_script(s, p, f, t);
}

/* ---- mappings ---- */

struct vma_found {
	__u64 file;
	__u64 flags;
};

static long vma_look(struct task_struct *task, struct vm_area_struct *vma, struct vma_found *ctx)
{
	ctx->file = (__u64)BPF_CORE_READ(vma, vm_file);
	ctx->flags = BPF_CORE_READ(vma, vm_flags);
	return 0;
}

/* s->arg[2]: what it may be used for. f NULL: no file. is_done: it is mapped, and nobody can refuse
 * that any more. */
static __always_inline void map_tell(struct act_scratch *s, const struct task_struct *p,
				     const struct bh_trace_task *t, const struct file *f,
				     int is_done)
{
	act_key(s, t, BH_TRACE_MAP, 0);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	if (s->arg[2] & PROT_WRITE)
		s->flags |= BH_TRACE_F_WRITABLE;
	if (f) {
		file_identify(f, p, t->home_dev, &s->id);
		if (s->id.origin == BH_TRACE_O_MEMFD && !file_is_memfd(f))
			f = NULL;
	}
	if (f) {
		s->key.by = 0;
		s->key.ino = s->id.ino;
		s->key.dev = s->id.dev;
	} else {
		__builtin_memset(&s->id, 0, sizeof(s->id));
		s->flags |= BH_TRACE_F_ANON;
	}
	if (f && wrote_has(&s->id, p, t->slot, t->generation))
		s->flags |= BH_TRACE_F_WROTE;
	if (f)
		s->key.origin = s->id.origin;
	if (f && file_has_name(&s->id))
		s->flags &= ~BH_TRACE_F_SHARED;
	s->is_high = origin_is_foreign(s->id.origin) || (s->flags & BH_TRACE_F_WROTE);
	/* as by the loader, asked by its name */
	if (is_done && s->is_high && !(s->flags & BH_TRACE_F_SHARED))
		origin_judge(s, t);
	s->key.op = (s->flags & BH_TRACE_F_WRITABLE ? 1 : 0) | (f ? 0 : 2);
	if (act_is_known(s, t))
		return;
	s->text[0][0] = 0;
	if (f)
		act_walk(s, file_path(f));
	act_note(s, t);
}

static __always_inline void call_map(struct act_scratch *s, struct task_struct *p,
				     const struct bh_trace_task *t, __u64 addr)
{
	struct vma_found v = {};

	if (!(s->arg[2] & PROT_EXEC)) {
		if (!(s->arg[2] & PROT_READ) || !(p->personality & READ_IMPLIES_EXEC))
			return;
		s->arg[2] |= PROT_EXEC;
	}
	bpf_find_vma(p, addr, vma_look, &v, 0);
	if (!(v.flags & VM_EXEC)) /* mounted without */
		return;
	map_tell(s, p, t, (const struct file *)v.file, 1);
}

/* ---- modes and lengths by descriptor ---- */

static __always_inline void call_fchmod(struct act_scratch *s, const struct task_struct *p,
					const struct bh_trace_task *t, __u32 mode)
{
	const struct file *f = act_file(p, s->arg[0]);

	if (!f || !(mode & (MODE_TOLD | MODE_CAPABLE)))
		return;
	file_identify(f, p, t->home_dev, &s->id);
	act_key(s, t, BH_TRACE_FILE, BH_TRACE_OP_CHMOD);
	name_bits(s, BPF_CORE_READ(f, f_path.dentry));
	file_key(s, BPF_CORE_READ(f, f_path.dentry), 0);
	s->arg[0] = (mode & (07777 | MODE_CAPABLE)) | (s->id.mode & TYPE_MASK);
	s->key.is_emptied = mode_key(s->arg[0]);
	act_walk(s, file_path(f));
	act_note(s, t);
}

/* Emptied by descriptor: as good as opened with O_TRUNC, where the name matters. */
static __always_inline void call_ftruncate(struct act_scratch *s, const struct task_struct *p,
					   const struct bh_trace_task *t)
{
	const struct file *f = act_file(p, s->arg[0]);

	if (!f || s->arg[1] || !(name_bits(s, BPF_CORE_READ(f, f_path.dentry))))
		return;
	file_identify(f, p, t->home_dev, &s->id);
	act_key(s, t, BH_TRACE_FILE, BH_TRACE_OP_WRITE);
	file_key(s, BPF_CORE_READ(f, f_path.dentry), 0);
	s->key.is_emptied = 1;
	s->flags |= BH_TRACE_F_TRUNCATED;
	s->arg[0] = O_TRUNC;
	if (act_is_known(s, t))
		return;
	act_walk(s, file_path(f));
	act_note(s, t);
}

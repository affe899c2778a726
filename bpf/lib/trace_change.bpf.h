/* trace_change.bpf.h - changes of files that matter only where somebody asks for all of them: a
 * policy that lists what may be written, or a workload that is being learnt. Directories made,
 * owners, modes and times changed, names removed. */
#pragma once

#include "lib/trace_file.bpf.h"
#include "lib/trace_judge.bpf.h"

static __always_inline int changes_are_told(const struct bh_trace_task *t)
{
	const struct bh_trace_policy *pol = policy_of(t);
	const struct bh_trace_slot *b;

	if (pol && (pol->flags & BH_TRACE_P_FILES))
		return 1;
	b = books_of(t->slot);
	return b && b->learn == t->generation;
}

/* Known by directory and name, as files that are opened, where the path could be followed. */
static __always_inline void change_key(struct act_scratch *s)
{
	const struct inode *dir;

	if (s->is_lost || !s->look.name[0]) {
		s->key.ino = text_hash(s->text[0]);
		return;
	}
	dir = READ(struct dentry, s->look.dentry, d_inode);
	s->key.ino = READ(struct inode, dir, i_ino);
	s->key.dev = BPF_CORE_READ(dir, i_sb, s_dev);
	__builtin_memcpy(s->key.name, s->look.name, sizeof(s->key.name));
}

/* path: which argument */
static __noinline __attribute__((unused)) int
call_change(struct act_scratch *s, const struct bh_trace_task *t, __u32 op, __u32 path)
{
	if (!s || !t || !changes_are_told(t))
		return 0;
	act_key(s, t, BH_TRACE_FILE, op);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	s->text[1][0] = 0;
	s->is_lost = 0;
	claim_at(s, 0, s->arg[path & 3], dir_of(s, path));
	claim_ends(s);
	change_key(s);
	s->arg[0] = s->mode;
	if (act_is_known(s, t))
		return 0;
	if (s->key.dev)
		file_collapse(s, t);
	return act_note(s, t);
}

/* The same by descriptor. */
static __always_inline void call_fchange(struct act_scratch *s, const struct task_struct *p,
					 const struct bh_trace_task *t)
{
	const struct file *f = act_file(p, s->arg[0]);

	if (!f || !changes_are_told(t))
		return;
	file_identify(f, p, t->home_dev, &s->id);
	act_key(s, t, BH_TRACE_FILE, BH_TRACE_OP_ATTR);
	name_bits(s, BPF_CORE_READ(f, f_path.dentry));
	file_key(s, BPF_CORE_READ(f, f_path.dentry), 0);
	s->arg[0] = s->mode;
	if (act_is_known(s, t))
		return;
	file_collapse(s, t);
	act_walk(s, file_path(f));
	act_note(s, t);
}

static __always_inline void call_unlink(struct act_scratch *s, const struct bh_trace_task *t,
					__u32 path)
{
	claim(s, 0, s->arg[path & 3]);
	if (text_bits(s)) {
		call_paths(s, t, BH_TRACE_OP_UNLINK, path, 0);
		return;
	}
	s->flags &= ~BH_TRACE_F_CLAIMED;
	call_change(s, t, BH_TRACE_OP_UNLINK, path);
}

/* A mode with the right to execute is told anyway. */
static __always_inline void call_chmod(struct act_scratch *s, const struct bh_trace_task *t,
				       __u32 path)
{
	s->mode = s->arg[(path + 1) & 3] & 07777;
	s->follows = 1;
	if (s->mode & MODE_TOLD)
		call_paths(s, t, BH_TRACE_OP_CHMOD, path, 0);
	else
		call_change(s, t, BH_TRACE_OP_ATTR, path);
}

static __always_inline void call_mknod(struct act_scratch *s, const struct bh_trace_task *t,
				       __u32 path)
{
	s->mode = s->arg[(path + 1) & 3] & 0177777;
	if (!(s->mode & TYPE_MASK))
		s->mode |= TYPE_REGULAR;
	if (s->mode & MODE_TOLD)
		call_paths(s, t, BH_TRACE_OP_CHMOD, path, 0);
	else
		call_change(s, t, BH_TRACE_OP_CREATE, path);
}

static __always_inline void call_xattr(struct act_scratch *s, const struct bh_trace_task *t,
				       __u32 path, __u32 name)
{
	s->follows = 1;
	if (xattr_is_told(s, name)) {
		s->mode = MODE_CAPABLE;
		call_paths(s, t, BH_TRACE_OP_CHMOD, path, 0);
	} else {
		call_change(s, t, BH_TRACE_OP_ATTR, path);
	}
}

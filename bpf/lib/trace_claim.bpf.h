/* trace_claim.bpf.h - what only the caller's memory names: paths of calls that leave no file
 * behind. They are followed through the kernel's names (trace_look.bpf.h); one that cannot be is
 * put behind the directory it counts from, and stays as it was written. */
#pragma once

#include "lib/hold.bpf.h"
#include "lib/trace_look.bpf.h"

/* From where texts are read: the caller's memory, unless the program says otherwise. */
#ifndef CLAIM_COPIED
#define CLAIM_COPIED 0
#endif

#define MODE_TOLD 06111 /* execute and set-id bits */
#define AT_FDCWD  -100

static __always_inline long claim_read(const struct act_scratch *s, char *to, __u32 size,
				       __u64 from)
{
	if (CLAIM_COPIED || s->is_copied)
		return bpf_probe_read_kernel_str(to, size, (const void *)from);
	return bpf_probe_read_user_str(to, size, (const void *)from);
}

/* Zero-padded first, so that equal texts are equal bytes. */
static __always_inline void claim(struct act_scratch *s, __u32 which, __u64 user)
{
	__builtin_memset(s->text[which], 0, sizeof(s->text[which]));
	s->flags |= BH_TRACE_F_CLAIMED;
	if (claim_read(s, s->text[which], BH_PATH_MAX, user) < 0)
		s->text[which][0] = 0;
}

/* It did not fit, and what is there is all that will be known. */
static __always_inline void claim_cut(struct act_scratch *s, __u32 which)
{
	if (s->text[which][BH_PATH_MAX - 2])
		s->flags |= BH_TRACE_F_PATH_CUT;
}

/* What a descriptor leads to, or the directory that paths count from; NULL: nothing. */
static __always_inline const struct path *claim_base(__s32 fd)
{
	const struct task_struct *p = bpf_get_current_task_btf();
	const struct file *f;

	if (fd == AT_FDCWD)
		return (const struct path *)__builtin_preserve_access_index(&p->fs->pwd);
	f = act_file(p, fd);
	return f ? file_path(f) : NULL;
}

/* The path that was walked into s->join, with a slash at its end; its length. */
static __always_inline __u32 join_walked(struct act_scratch *s)
{
	__u32 len = walk_copy(&s->walk, s->join) - 1;

	if (s->walk.is_cut || len >= BH_PATH_MAX - 1)
		return 0;
	len = hold(len);
	if (len && s->join[(len - 1) & (BH_PATH_MAX - 1)] != '/') {
		s->join[hold(len) & (BH_PATH_MAX - 1)] = '/';
		len++;
	}
	return len;
}

/* Behind it a name, or the text that which has: it becomes the text. */
static __always_inline void join_end(struct act_scratch *s, __u32 which, __u32 len,
				     const char *name)
{
	char first = *name;

	len &= BH_PATH_MAX - 1;
	if (!len)
		return;
	bpf_probe_read_kernel_str(&s->join[len], BH_PATH_MAX, name);
	if (!first && len > 1) /* the directory itself is meant */
		s->join[(len - 1) & (BH_PATH_MAX - 1)] = 0;
	__builtin_memset(s->text[which], 0, sizeof(s->text[which]));
	if (bpf_probe_read_kernel_str(s->text[which], BH_PATH_MAX, s->join) >= BH_PATH_MAX)
		s->flags |= BH_TRACE_F_PATH_CUT;
}

/* Follows the path that the caller names; 0: it is not known where it leads. */
static __always_inline int claim_look(struct act_scratch *s, __u32 which, __u64 user,
				      const struct path *base)
{
	__u32 len;

	s->look.is_followed = s->follows >> which & 1;
	if (claim_read(s, s->look.text, LOOK_TEXT, user) < 0 || !look_from(&s->look, base) ||
	    !walk_from(&s->walk, s->look.dentry, s->look.mnt))
		return 0;
	len = join_walked(s);
	if (!len)
		return 0;
	join_end(s, which, len, s->look.name);
	act_place(s, which);
	if (look_is_outer(&s->look))
		s->flags |= BH_TRACE_F_OUTER;
	return 1;
}

/* claim(), and whole. fd: of the directory. */
__noinline int claim_at(struct act_scratch *s, __u32 which, __u64 user, __s32 fd)
{
	const struct path *base;

	if (!s)
		return 0;
	which &= 1;
	claim(s, which, user);
	base = claim_base(fd);
	if (base && claim_look(s, which, user, base))
		return 0;
	s->is_lost = 1;
	claim_cut(s, which);
	if (s->text[which][0] != '/' && base && walk_path(&s->walk, base))
		join_end(s, which, join_walked(s), s->text[which]);
	return 0;
}

static __always_inline __u64 text_hash(const char text[BH_PATH_MAX])
{
	const __u64 *word = (const __u64 *)text;
	__u64 h = 14695981039346656037ull;
	__u32 i;

	for (i = 0; i < BH_PATH_MAX / 8; i++)
		h = (h ^ word[i]) * 1099511628211ull;
	return h;
}

/* The last component of a claimed path becomes s->name; 0: it is too far behind. */
__noinline __u32 last_name(struct act_scratch *s)
{
	return s ? name_last(s->text[0], BH_PATH_MAX, &s->pos, &s->name) : 0;
}

/* Bits of the last component of a claimed path. */
static __always_inline __u32 text_bits(struct act_scratch *s)
{
	__u32 *bits = last_name(s) ? bpf_map_lookup_elem(&trace_name, &s->name) : NULL;

	return bits ? *bits : 0;
}

/* The directory that an argument's path counts from: the argument before it, of calls that have
 * one. */
static __always_inline __s32 dir_of(const struct act_scratch *s, __u32 arg)
{
	return s->has_dirs && arg ? (__s32)s->arg[(arg - 1) & 3] : AT_FDCWD;
}

static __always_inline void claim_ends(struct act_scratch *s)
{
	if (!s->is_lost)
		s->flags |= BH_TRACE_F_RESOLVED;
}

/* The type of what was followed; 0: not known. */
static __always_inline __u32 claim_type(struct act_scratch *s)
{
	__u64 entry = s->look.dentry;
	const struct inode *inode;

	if (s->is_lost || (s->look.name[0] && !look_child(&s->look)))
		return 0;
	if (s->look.name[0])
		entry = s->look.found;
	inode = READ(struct dentry, entry, d_inode);
	return inode ? READ(struct inode, inode, i_mode) & LOOK_TYPE : 0;
}

/* path, target: which argument; target 0: none. The set knows it by the name that is there
 * afterwards. */
static __noinline __attribute__((unused)) int
call_paths(struct act_scratch *s, const struct bh_trace_task *t, __u32 op, __u32 path, __u32 target)
{
	if (!s || !t)
		return 0;
	act_key(s, t, BH_TRACE_FILE, op);
	s->key.is_emptied = !!(s->flags & BH_TRACE_F_TRUNCATED);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	s->text[1][0] = 0;
	s->is_lost = 0;
	claim_at(s, 0, s->arg[path & 3], dir_of(s, path));
	if (target)
		claim_at(s, 1, s->arg[target & 3], dir_of(s, target));
	claim_ends(s);
	s->key.ino = text_hash(s->text[target ? 1 : 0]);
	if (op == BH_TRACE_OP_CHMOD && !(s->mode & LOOK_TYPE))
		s->mode |= claim_type(s);
	s->key.is_emptied |= mode_key(s->mode);
	s->id.mode = op == BH_TRACE_OP_CREATE ? s->mode : 0;
	s->arg[0] = s->mode;
	return act_is_known(s, t) ? 0 : act_note(s, t);
}

/* name_at: which argument */
static __always_inline int xattr_is_told(const struct act_scratch *s, __u32 name_at)
{
	const char *want = "security.capability";
	char name[24] = {};
	int i;

	claim_read(s, name, sizeof(name), s->arg[name_at & 3]);
	for (i = 0; i < 20; i++)
		if (name[i] != want[i])
			return 0;
	return 1;
}

#define MODE_SYMLINK 0120000

/* What a symbolic link says counts from where the link is, not from the caller. */
static __always_inline void call_symlink(struct act_scratch *s, const struct bh_trace_task *t,
					 __u32 target)
{
	act_key(s, t, BH_TRACE_FILE, BH_TRACE_OP_LINK);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	s->id.mode = MODE_SYMLINK;
	claim(s, 0, s->arg[0]);
	s->is_lost = 0;
	claim_at(s, 1, s->arg[target & 3], dir_of(s, target));
	claim_ends(s);
	s->key.ino = text_hash(s->text[1]);
	if (!act_is_known(s, t))
		act_note(s, t);
}

/* trace_claim.bpf.h - what only the caller's memory names: paths of calls that leave no file
 * behind. A path that is not absolute is put behind the directory it counts from, which the kernel
 * knows; what links make of it, and "..", is for the daemon. */
#pragma once

#include "lib/trace_act.bpf.h"

/* From where the text is read: the caller's memory, unless the program says otherwise. */
#ifndef CLAIM_READ
#define CLAIM_READ bpf_probe_read_user_str
#endif

#define MODE_TOLD 06111 /* execute and set-id bits */
#define AT_FDCWD  -100

/* Zero-padded first, so that equal texts are equal bytes. */
static __always_inline void claim(struct act_scratch *s, __u32 which, __u64 user)
{
	__builtin_memset(s->text[which], 0, sizeof(s->text[which]));
	s->flags |= BH_TRACE_F_CLAIMED;
	if (CLAIM_READ(s->text[which], BH_PATH_MAX, (const void *)user) < 0)
		s->text[which][0] = 0;
}

/* The path of the directory into s->join, with a slash at its end; its length. */
static __always_inline __u32 join_base(struct act_scratch *s, __s32 fd)
{
	const struct task_struct *p = bpf_get_current_task_btf();
	const struct path *base = (const struct path *)__builtin_preserve_access_index(&p->fs->pwd);
	const struct file *f;
	__u32 len;

	if (fd != AT_FDCWD) {
		f = act_file(p, fd);
		if (!f)
			return 0;
		base = file_path(f);
	}
	if (!walk_path(&s->walk, base))
		return 0;
	len = walk_copy(&s->walk, s->join) - 1;
	if (len >= BH_PATH_MAX - 1)
		return 0;
	if (len && s->join[(len - 1) & (BH_PATH_MAX - 1)] != '/')
		s->join[len++ & (BH_PATH_MAX - 1)] = '/';
	return len;
}

/* claim(), and whole. fd: of the directory. */
__noinline int claim_at(struct act_scratch *s, __u32 which, __u64 user, __s32 fd)
{
	char first = 0;
	__u32 len;

	if (!s)
		return 0;
	which &= 1;
	claim(s, which, user);
	first = s->text[which][0];
	if (first == '/')
		return 0;
	len = join_base(s, fd) & (BH_PATH_MAX - 1);
	if (!len)
		return 0;
	bpf_probe_read_kernel(&s->join[len], BH_PATH_MAX, s->text[which]);
	if (!first) /* the descriptor itself is meant */
		s->join[(len - 1) & (BH_PATH_MAX - 1)] = 0;
	__builtin_memset(s->text[which], 0, sizeof(s->text[which]));
	if (bpf_probe_read_kernel_str(s->text[which], BH_PATH_MAX, s->join) >= BH_PATH_MAX)
		s->flags |= BH_TRACE_F_PATH_CUT;
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

/* path, target: which argument; target 0: none. The set knows it by the name that is there
 * afterwards. */
static __always_inline void call_paths(struct act_scratch *s, const struct bh_trace_task *t,
				       __u8 op, __u32 path, __u32 target)
{
	act_key(s, t, BH_TRACE_FILE, op);
	s->key.is_emptied = !!(s->flags & BH_TRACE_F_TRUNCATED);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	claim(s, 0, s->arg[path & 3]);
	s->text[1][0] = 0;
	if (op == BH_TRACE_OP_UNLINK && !text_bits(s))
		return;
	claim_at(s, 0, s->arg[path & 3], dir_of(s, path));
	if (target)
		claim_at(s, 1, s->arg[target & 3], dir_of(s, target));
	s->key.ino = text_hash(s->text[target ? 1 : 0]);
	s->arg[0] = s->mode;
	if (!act_is_known(s, t))
		act_note(s, t);
}

/* Capabilities of a file are as good as its owner's rights: told as a mode that only they have. */
#define MODE_CAPABLE 0200000

/* name_at: which argument */
static __always_inline int xattr_is_told(const struct act_scratch *s, __u32 name_at)
{
	const char *want = "security.capability";
	char name[24] = {};
	int i;

	CLAIM_READ(name, sizeof(name), (const void *)s->arg[name_at & 3]);
	for (i = 0; i < 20; i++)
		if (name[i] != want[i])
			return 0;
	return 1;
}

/* What a symbolic link says counts from where the link is, not from the caller. */
static __always_inline void call_symlink(struct act_scratch *s, const struct bh_trace_task *t,
					 __u32 target)
{
	act_key(s, t, BH_TRACE_FILE, BH_TRACE_OP_LINK);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	claim(s, 0, s->arg[0]);
	claim_at(s, 1, s->arg[target & 3], dir_of(s, target));
	s->key.ino = text_hash(s->text[1]);
	if (!act_is_known(s, t))
		act_note(s, t);
}

static __always_inline void call_chmod(struct act_scratch *s, const struct bh_trace_task *t,
				       __u32 path)
{
	s->mode = s->arg[(path + 1) & 3];
	if (s->mode & MODE_TOLD)
		call_paths(s, t, BH_TRACE_OP_CHMOD, path, 0);
}

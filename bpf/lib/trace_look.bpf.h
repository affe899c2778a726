/* trace_look.bpf.h - where a path leads: its directories and symbolic links, followed through the
 * kernel's own cache of names, in which the call that just ended has walked the same way. Nothing
 * is read from a disk and nothing waits; what is not in the cache is not found, and the path stays
 * as it was written.
 *
 * The cache's table is not exported. The daemon finds out where it is (struct bh_look_table); without it
 * no path is followed. Hash of a name: as in the kernel's fs/namei.c for 64-bit machines. */
#pragma once

#include "bulkhead/look.h"
#include "lib/trace_act.bpf.h"

#define LOOK_TYPE    0170000
#define LOOK_SYMLINK 0120000
#define LOOK_PROC    0x9fa0
#define LOOK_DIRS    512 /* components, those of links included */
#define LOOK_SKIP    512 /* in one step */
#define LOOK_LINKS   8	 /* links that are followed */
#define LOOK_CHAIN   48	 /* names in one place of the cache's table */
#define LOOK_MOUNTS  256 /* mounts below one mount */
#define LOOK_STACK   4	 /* mounts above each other */
#define GOLDEN_RATIO 0x61c8864680b583ebull

enum look_step { LOOK_MORE, LOOK_DONE, LOOK_LOST };

/* Cannot be full. All zero: not known. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_look_table);
} look_table SEC(".maps");

/* Over slashes, and over "./", of which there may be many. */
__noinline int look_skip(struct look *l)
{
	__u32 i, pos;

	if (!l)
		return 0;
	pos = l->pos;
	for (i = 0; i < LOOK_SKIP; i++) {
		__u32 c = (__u8)l->text[pos & (LOOK_TEXT - 1)];
		__u32 next = (__u8)l->text[(pos + 1) & (LOOK_TEXT - 1)];

		/* neither a slash nor a dot before one; as one branch, for the verifier follows
		 * each of them 512 times */
		if ((c ^ '/') * ((c ^ '.') | (next ^ '/')))
			break;
		pos++;
	}
	l->pos = pos;
	return 0;
}

/* Full: see struct bh_look_link_key. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct bh_look_link_key);
	__type(value, struct bh_look_link);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_link SEC(".maps");

static __always_inline struct bh_look_link_key look_link_key(const struct inode *inode)
{
	struct bh_look_link_key key = {.ino = READ(struct inode, inode, i_ino)};

	key.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	return key;
}

/* The next component of what is left of the text, zero-padded, and the slashes behind it; its
 * length. */
__noinline int look_name(struct look *l)
{
	__u32 i, pos;

	if (!l)
		return 0;
	pos = l->pos;
	__builtin_memset(l->name, 0, sizeof(l->name));
	for (i = 0; i < LOOK_NAME - 1; i++) {
		char c = l->text[pos & (LOOK_TEXT - 1)];

		if (!c || c == '/')
			break;
		l->name[i] = c;
		pos++;
	}
	l->len = i;
	l->pos = pos;
	look_skip(l);
	return l->len;
}

static __always_inline __u64 look_turn(__u64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

__noinline __u32 look_hash(const struct look *l, __u64 parent)
{
	__u64 x = 0, y = parent;
	__u32 i;

	if (!l)
		return 0;
	for (i = 0; i < LOOK_NAME / 8; i++) {
		x ^= ((const __u64 *)l->name)[i];
		if (l->len < 8 * (i + 1))
			break;
		y ^= x;
		x = look_turn(x, 12) + y;
		y = look_turn(y, 45) * 9;
	}
	return (y ^ x * GOLDEN_RATIO) * GOLDEN_RATIO >> 32;
}

/* The entry of l->name where the look is becomes l->found; 0: the cache has none. */
__noinline int look_child(struct look *l)
{
	__u64 offset = bpf_core_field_offset(struct dentry, d_hash);
	const struct bh_look_table *t;
	__u32 zero = 0, hash, i;
	__u64 node = 0, parent;

	t = bpf_map_lookup_elem(&look_table, &zero);
	if (!l || !t || !t->base)
		return 0;
	parent = l->dentry;
	hash = look_hash(l, parent);
	bpf_probe_read_kernel(&node, sizeof(node),
			      (const void *)(t->base + 8ull * (hash >> (t->shift & 31))));
	node &= ~1ull;
	for (i = 0; i < LOOK_CHAIN && node; i++) {
		const struct dentry *d = (const struct dentry *)(node - offset);

		if (READ(struct dentry, d, d_name.hash) == hash &&
		    READ(struct dentry, d, d_name.len) == l->len &&
		    (__u64)READ(struct dentry, d, d_parent) == parent) {
			l->found = (__u64)d;
			return 1;
		}
		node = (__u64)READ(struct dentry, d, d_hash.next);
	}
	return 0;
}

/* The mount that covers where the look is becomes l->found; 0: none. */
__noinline int look_mounted(struct look *l)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	__u64 child = bpf_core_field_offset(struct mount, mnt_child);
	__u64 node, head;
	__u32 i;

	if (!l)
		return 0;
	if (bpf_core_enum_value_exists(enum dentry_flags___bh, DCACHE_MOUNTED___bh) &&
	    !(READ(struct dentry, l->dentry, d_flags) &
	      bpf_core_enum_value(enum dentry_flags___bh, DCACHE_MOUNTED___bh)))
		return 0;
	head = l->mnt - offset + bpf_core_field_offset(struct mount, mnt_mounts);
	node = (__u64)READ(struct list_head, head, next);
	for (i = 0; i < LOOK_MOUNTS && node && node != head; i++) {
		const struct mount *m = (const struct mount *)(node - child);

		if ((__u64)READ(struct mount, m, mnt_mountpoint) == l->dentry) {
			l->found = (__u64)m + offset;
			return 1;
		}
		node = (__u64)READ(struct list_head, node, next);
	}
	return 0;
}

static __always_inline void look_into(struct look *l)
{
	__u32 i;

	for (i = 0; i < LOOK_STACK && look_mounted(l); i++) {
		l->mnt = l->found;
		l->dentry = (__u64)READ(struct vfsmount, l->mnt, mnt_root);
	}
}

/* ".." */
static __always_inline void look_up(struct look *l)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	__u32 i;

	for (i = 0; i < LOOK_STACK; i++) {
		const struct mount *m = (const struct mount *)(l->mnt - offset);
		__u64 parent;

		if (l->dentry == l->root_dentry && l->mnt == l->root_mnt)
			return;
		if (l->dentry != (__u64)READ(struct vfsmount, l->mnt, mnt_root)) {
			l->dentry = (__u64)READ(struct dentry, l->dentry, d_parent);
			return;
		}
		parent = (__u64)READ(struct mount, m, mnt_parent);
		if (!parent || parent == (__u64)m)
			return;
		l->dentry = (__u64)READ(struct mount, m, mnt_mountpoint);
		l->mnt = parent + offset;
	}
}

/* What a symbolic link says, where the kernel has it in memory. */
static __always_inline const char *look_link_text(const struct inode *inode,
						  const struct super_block *sb)
{
	const struct ovl_inode *o;
	const struct dentry *upper;

	if (READ(struct super_block, sb, s_magic) == MAGIC_OVERLAY) {
		if (!bpf_core_type_exists(struct ovl_inode))
			return NULL;
		o = (const struct ovl_inode *)((__u64)inode - bpf_core_field_offset(
								      struct ovl_inode, vfs_inode));
		upper = BPF_CORE_READ(o, __upperdentry);
		inode = upper ? READ(struct dentry, upper, d_inode) : ovl_lower(o);
		if (!inode)
			return NULL;
	}
	return READ(struct inode, inode, i_link);
}

/* What the link says becomes l->link; as bpf_probe_read_kernel_str. */
static __always_inline long look_read_link(struct look *l, __u64 entry)
{
	const struct inode *inode = READ(struct dentry, entry, d_inode);
	const struct super_block *sb = READ(struct inode, inode, i_sb);
	const char *text = look_link_text(inode, sb);
	struct bh_look_link_key key = look_link_key(inode);
	const struct bh_look_link *made;

	if (text)
		return bpf_probe_read_kernel_str(l->link, LOOK_TEXT, text);
	made = bpf_map_lookup_elem(&trace_link, &key);
	return made ? bpf_probe_read_kernel_str(l->link, LOOK_TEXT, made->text) : -1;
}

/* The text goes on with what the link says, and then what was left. */
__noinline int look_follow(struct look *l, __u64 entry)
{
	__u32 pos;
	long n;

	if (!l || l->links++ >= LOOK_LINKS)
		return LOOK_LOST;
	n = look_read_link(l, entry);
	if (n <= 1 || n >= LOOK_TEXT)
		return LOOK_LOST;
	n--;
	pos = l->pos & (LOOK_TEXT - 1);
	if (l->text[pos]) { /* the slashes before it were taken */
		l->link[n & (LOOK_TEXT - 1)] = '/';
		n++;
		if (bpf_probe_read_kernel_str(&l->link[n & (LOOK_TEXT - 1)], LOOK_TEXT,
					      &l->text[pos]) <= 0)
			return LOOK_LOST;
	}
	if (bpf_probe_read_kernel_str(l->text, LOOK_TEXT, l->link) >= LOOK_TEXT)
		return LOOK_LOST;
	l->pos = 0;
	if (l->text[0] == '/') {
		l->dentry = l->root_dentry;
		l->mnt = l->root_mnt;
	}
	look_skip(l);
	return LOOK_MORE;
}

static __always_inline int look_is(const struct look *l, const char *name, __u32 len)
{
	__u32 i;

	if (l->len != len)
		return 0;
	for (i = 0; i < len; i++)
		if (l->name[i] != name[i])
			return 0;
	return 1;
}

/* Goes on from there; nothing is left of the component that led there. */
static __always_inline int look_jump(struct look *l, const struct path *to)
{
	if (!to)
		return LOOK_LOST;
	l->dentry = (__u64)READ(struct path, to, dentry);
	l->mnt = (__u64)READ(struct path, to, mnt);
	l->len = l->name[0] = 0;
	return l->text[l->pos & (LOOK_TEXT - 1)] ? LOOK_MORE : LOOK_DONE;
}

/* l->name as a descriptor; negative: it is none. */
static __always_inline __s32 look_number(const struct look *l)
{
	__s32 n = 0;
	__u32 i;

	if (!l->len || l->len > 7)
		return -1;
	for (i = 0; i < 7 && l->name[i]; i++) {
		if (l->name[i] < '0' || l->name[i] > '9')
			return -1;
		n = n * 10 + l->name[i] - '0';
	}
	return n;
}

/* What the links below a process's directory in procfs lead to. */
static __always_inline int look_of_task(struct look *l, const struct task_struct *p)
{
	const struct fs_struct *fs = READ(struct task_struct, p, fs);

	if (fs && look_is(l, "root", 4))
		return look_jump(l,
				 (const struct path *)__builtin_preserve_access_index(&fs->root));
	if (fs && look_is(l, "cwd", 3))
		return look_jump(l, (const struct path *)__builtin_preserve_access_index(&fs->pwd));
	return LOOK_LOST;
}

/* "self/root", "self/cwd", "self/fd/N": the task that looks. */
static __always_inline int look_self(struct look *l)
{
	const struct task_struct *p = bpf_get_current_task_btf();
	const struct file *f;

	look_name(l);
	if (!look_is(l, "fd", 2))
		return look_of_task(l, p);
	look_name(l);
	f = act_file(p, look_number(l));
	return look_jump(l, f ? file_path(f) : NULL);
}

/* The process that a directory of procfs is about; NULL: it is gone, or that is none. */
static __always_inline const struct task_struct *look_owner(const struct inode *inode)
{
	const struct proc_inode *proc =
		(const void *)((__u64)inode - bpf_core_field_offset(struct proc_inode, vfs_inode));
	const struct pid *pid = READ(struct proc_inode, proc, pid);
	const struct hlist_node *node = pid ? BPF_CORE_READ(pid, tasks[1].first) : NULL;

	if (!node)
		return NULL;
	return (const struct task_struct *)((__u64)node - bpf_core_field_offset(struct task_struct,
										pid_links[1]));
}

/* Links of procfs say what they lead to only when they are followed. */
static __always_inline int look_magic(struct look *l, const struct inode *inode)
{
	const struct task_struct *p;

	if (look_is(l, "self", 4) || look_is(l, "thread-self", 11))
		return look_self(l);
	p = look_owner(inode);
	return p ? look_of_task(l, p) : LOOK_LOST;
}

/* One component. Done: l->name is the last one, of the directory where the look is; or there is
 * none, and what is meant is the directory itself. */
__noinline int look_step(struct look *l)
{
	const struct inode *inode;
	__u64 entry;
	int is_last;

	if (!l || look_name(l) >= LOOK_NAME - 1)
		return LOOK_LOST;
	is_last = !l->text[l->pos & (LOOK_TEXT - 1)];
	if (!l->len)
		return is_last ? LOOK_DONE : LOOK_MORE;
	if (look_is(l, ".", 1) || look_is(l, "..", 2)) {
		if (l->len == 2)
			look_up(l);
		l->len = l->name[0] = 0;
		return is_last ? LOOK_DONE : LOOK_MORE;
	}
	if (is_last && !l->is_followed)
		return LOOK_DONE;
	entry = look_child(l) ? l->found : 0;
	inode = entry ? READ(struct dentry, entry, d_inode) : NULL;
	if (!inode) /* unlinked meanwhile */
		return is_last ? LOOK_DONE : LOOK_LOST;
	if ((READ(struct inode, inode, i_mode) & LOOK_TYPE) == LOOK_SYMLINK) {
		if (BPF_CORE_READ(inode, i_sb, s_magic) == LOOK_PROC)
			return look_magic(l, inode);
		return look_follow(l, entry);
	}
	if (is_last)
		return LOOK_DONE;
	l->dentry = entry;
	look_into(l);
	return LOOK_MORE;
}

__noinline int look_all(struct look *l)
{
	int r = LOOK_LOST;
	__u32 i;

	if (!l)
		return r;
	for (i = 0; i < LOOK_DIRS; i++) {
		r = look_step(l);
		if (r != LOOK_MORE)
			break;
	}
	return r;
}

/* In a tree of mounts that is not the task's. */
static __always_inline int look_is_outer(const struct look *l)
{
	const struct task_struct *p = bpf_get_current_task_btf();
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	const struct mount *m = (const struct mount *)(l->mnt - offset);
	const struct mnt_namespace *ns = READ(struct mount, m, mnt_ns);

	return !mount_is_loose((__u64)ns) && ns != p->nsproxy->mnt_ns;
}

/* From a directory, or from the task's root; l->text is the path, l->is_followed whether a link at
 * its end is meant or what it leads to. 0: it is not known where it leads. */
static __always_inline int look_from(struct look *l, const struct path *base)
{
	const struct task_struct *p = bpf_get_current_task_btf();
	const struct path *root =
		(const struct path *)__builtin_preserve_access_index(&p->fs->root);

	l->root_dentry = (__u64)READ(struct path, root, dentry);
	l->root_mnt = (__u64)READ(struct path, root, mnt);
	if (l->text[0] == '/')
		base = root;
	l->dentry = (__u64)READ(struct path, base, dentry);
	l->mnt = (__u64)READ(struct path, base, mnt);
	l->links = l->pos = l->len = 0;
	l->name[0] = 0;
	look_skip(l);
	return look_all(l) == LOOK_DONE;
}

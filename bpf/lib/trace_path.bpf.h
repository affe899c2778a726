/* trace_path.bpf.h - path of a file in its mount namespace, and where its bytes come from.
 *
 * Read without locks: a rename at the same moment can only show names that lead there. What is too
 * long loses its first components. */
#pragma once

#include "lib/trace_core.bpf.h"
#include "lib/trace_maps.bpf.h"

#define PATH_STEPS 48
#define PATH_HALF  512 /* the path is written backwards from here, at most BH_PATH_MAX */

/* One walk. One per CPU and kind of program: programs of one kind do not nest on a CPU. */
struct walk {
	__u64 dentry, mnt; /* addresses */
	__u64 root;	   /* of mnt */
	__u64 mnt_ns;	   /* that the file's mount belongs to */
	__u32 pos;	   /* of the path in buf */
	__u32 len;	   /* of the path without NUL */
	__u32 is_cut;
	__u32 pad;
	char buf[PATH_HALF + BH_PATH_MAX];
};

enum walk_step { WALK_MORE, WALK_DONE, WALK_FAILED, WALK_FULL };

/* From the root of a mount to where it is mounted. */
static __always_inline int walk_cross(struct walk *w, __u64 mnt)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	struct mount *m = (struct mount *)(mnt - offset);
	__u64 parent = (__u64)READ(struct mount, m, mnt_parent);

	if (parent == (__u64)m)
		return WALK_DONE;
	if (!parent)
		return WALK_FAILED;
	w->dentry = (__u64)READ(struct mount, m, mnt_mountpoint);
	w->mnt = parent + offset;
	w->root = (__u64)READ(struct vfsmount, w->mnt, mnt_root);
	return WALK_MORE;
}

static __always_inline int walk_name(struct walk *w, const struct dentry *d)
{
	const unsigned char *name = READ(struct dentry, d, d_name.name);
	__u32 len = READ(struct dentry, d, d_name.len), pos = w->pos;

	if (len == 0 || len >= BH_PATH_MAX)
		return WALK_FAILED;
	if (pos < len + 1 + PATH_HALF - BH_PATH_MAX || pos >= PATH_HALF)
		return WALK_FULL;
	pos = (pos - len) & (PATH_HALF - 1);
	if (bpf_probe_read_kernel(&w->buf[pos], len & (BH_PATH_MAX - 1), name))
		return WALK_FAILED;
	pos = (pos - 1) & (PATH_HALF - 1);
	w->buf[pos] = '/';
	w->pos = pos;
	return WALK_MORE;
}

/* Internal mounts of the kernel and those that were taken out of their tree. */
static __always_inline int mount_is_loose(__u64 mnt_ns)
{
	return !mnt_ns || mnt_ns >= (__u64)-4095;
}

/* One component towards the root. */
static __always_inline int walk_step(struct walk *w)
{
	const struct dentry *d = (const struct dentry *)w->dentry;
	__u64 parent;
	int r;

	if ((__u64)d == w->root)
		return mount_is_loose(w->mnt_ns) ? WALK_DONE : walk_cross(w, w->mnt);
	r = walk_name(w, d);
	if (r != WALK_MORE)
		return r;
	parent = (__u64)READ(struct dentry, d, d_parent);
	w->dentry = parent;
	return parent == (__u64)d ? WALK_DONE : WALK_MORE; /* a file that is in no directory */
}

/* A function of its own for the verifier's sake: it looks at the steps once. */
__noinline int walk_all(struct walk *w)
{
	int r = WALK_FAILED, i;

	if (!w)
		return WALK_FAILED;
	for (i = 0; i < PATH_STEPS; i++) {
		r = walk_step(w);
		if (r != WALK_MORE)
			break;
	}
	return r;
}

static __always_inline void walk_begin(struct walk *w, __u64 dentry, __u64 root)
{
	w->dentry = dentry;
	w->root = root;
	w->len = w->is_cut = 0;
	w->pos = PATH_HALF - 1;
	w->buf[PATH_HALF - 1] = 0;
}

static __always_inline __u32 walk_end(struct walk *w)
{
	int r = walk_all(w);

	w->is_cut = r == WALK_FULL || r == WALK_MORE;
	if (w->pos == PATH_HALF - 1 && r == WALK_DONE) { /* the root itself */
		w->pos = PATH_HALF - 2;
		w->buf[PATH_HALF - 2] = '/';
	}
	w->len = r == WALK_FAILED ? 0 : PATH_HALF - 1 - w->pos;
	return w->len;
}

/* As walk_from, up to a directory or the root of the file system, whichever comes first. */
static __always_inline __u32 walk_within(struct walk *w, __u64 dentry, __u64 root)
{
	walk_begin(w, dentry, root);
	w->mnt = w->mnt_ns = 0;
	return walk_end(w);
}

/* Fills w->buf at w->pos with w->len bytes, NUL-terminated; 0 when there is no path. */
static __always_inline __u32 walk_from(struct walk *w, __u64 dentry, __u64 mnt)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	const struct mount *m = (const struct mount *)(mnt - offset);

	w->len = 0;
	if (!dentry || !mnt)
		return 0;
	walk_begin(w, dentry, (__u64)READ(struct vfsmount, mnt, mnt_root));
	w->mnt = mnt;
	w->mnt_ns = (__u64)READ(struct mount, m, mnt_ns);
	return walk_end(w);
}

/* A function of its own: after an exec the caches are cold, and the working directory comes next.
 */
static __noinline __attribute__((unused)) __u32 walk_path(struct walk *w, const struct path *path)
{
	return walk_from(w, (__u64)READ(struct path, path, dentry),
			 (__u64)READ(struct path, path, mnt));
}

/* The path and its NUL to a place for BH_PATH_MAX bytes; how many it were. */
static __always_inline __u32 walk_copy(const struct walk *w, char *to)
{
	__u32 n = w->len + 1;

	if (n > BH_PATH_MAX)
		n = BH_PATH_MAX;
	bpf_probe_read_kernel(to, n, &w->buf[w->pos & (PATH_HALF - 1)]);
	return n;
}

/* Of the task's mount namespace. The number that /proc shows is soon another one's: a container
 * that is started again gets that of the one before. */
static __always_inline __u64 mntns_id(const struct task_struct *p)
{
	const struct mnt_namespace *ns = p->nsproxy->mnt_ns;

	if (bpf_core_field_exists(ns->ns.ns_id))
		return ns->ns.ns_id;
	if (bpf_core_field_exists(((struct mnt_namespace___old *)ns)->seq))
		return BPF_CORE_READ((struct mnt_namespace___old *)ns, seq);
	return ns->ns.inum;
}

/* ---- origin ---- */

#define MAGIC_OVERLAY 0x794c7630
#define MAGIC_TMPFS   0x01021994
#define MAGIC_RAMFS   0x858458f6

struct file_id {
	__u64 ino;
	__u32 dev;
	__u16 mode;
	__u8 origin; /* enum bh_trace_origin */
	__u8 is_unlinked;
};

struct mtime {
	__s64 sec;
	__u32 nsec;
};

static __always_inline struct mtime inode_mtime(const struct inode *i)
{
	struct mtime t = {};

	if (bpf_core_field_exists(i->i_mtime_sec)) {
		t.sec = READ(struct inode, i, i_mtime_sec);
		t.nsec = READ(struct inode, i, i_mtime_nsec);
	} else if (bpf_core_field_exists(((struct inode___middle *)i)->__i_mtime)) {
		t.sec = BPF_CORE_READ((struct inode___middle *)i, __i_mtime.tv_sec);
		t.nsec = BPF_CORE_READ((struct inode___middle *)i, __i_mtime.tv_nsec);
	} else {
		t.sec = BPF_CORE_READ((struct inode___old *)i, i_mtime.tv_sec);
		t.nsec = BPF_CORE_READ((struct inode___old *)i, i_mtime.tv_nsec);
	}
	return t;
}

static __always_inline const struct inode *ovl_lower(const struct ovl_inode *o)
{
	if (bpf_core_field_exists(o->oe)) {
		const struct ovl_entry *oe = BPF_CORE_READ(o, oe);

		if (!oe || !BPF_CORE_READ(oe, __numlower))
			return NULL;
		return BPF_CORE_READ(oe, __lowerstack[0].dentry, d_inode);
	}
	if (bpf_core_field_exists(((struct ovl_inode___middle *)o)->lowerpath))
		return BPF_CORE_READ((struct ovl_inode___middle *)o, lowerpath.dentry, d_inode);
	return BPF_CORE_READ((struct ovl_inode___old *)o, lower);
}

/* Copying up keeps size and time of modification; writing does not. A file whose time was put back
 * by hand looks untouched here: watch mode has seen it opened for writing. */
static __noinline __attribute__((unused)) int ovl_origin(const struct inode *inode)
{
	const struct ovl_inode *o;
	const struct inode *lower, *upper;
	struct mtime a, b;

	if (!bpf_core_type_exists(struct ovl_inode))
		return BH_TRACE_O_OTHER;
	o = (const struct ovl_inode *)((__u64)inode -
				       bpf_core_field_offset(struct ovl_inode, vfs_inode));
	if (!BPF_CORE_READ(o, __upperdentry))
		return BH_TRACE_O_IMAGE;
	lower = ovl_lower(o);
	if (!lower)
		return BH_TRACE_O_NEW;
	if (!(BPF_CORE_READ(o, flags) &
	      (1ul << bpf_core_enum_value(enum ovl_inode_flag___bh, OVL_UPPERDATA___bh))))
		return BH_TRACE_O_METACOPY;
	upper = BPF_CORE_READ(o, __upperdentry, d_inode);
	a = inode_mtime(upper);
	b = inode_mtime(lower);
	if (a.sec == b.sec && a.nsec == b.nsec &&
	    READ(struct inode, upper, i_size) == READ(struct inode, lower, i_size))
		return BH_TRACE_O_METACOPY;
	return BH_TRACE_O_MODIFIED;
}

/* Of an overlay that is not the image's, the file that it shows: whoever may mount one, and in a
 * user namespace everybody may, could call anything a lower layer. */
static __always_inline __u8 nested_origin(const struct inode *inode, __u8 otherwise)
{
	const struct ovl_inode *o;
	const struct dentry *upper;
	const struct inode *real;
	unsigned long magic;

	if (!bpf_core_type_exists(struct ovl_inode))
		return otherwise;
	o = (const struct ovl_inode *)((__u64)inode -
				       bpf_core_field_offset(struct ovl_inode, vfs_inode));
	upper = BPF_CORE_READ(o, __upperdentry);
	real = upper ? BPF_CORE_READ(upper, d_inode) : ovl_lower(o);
	magic = real ? BPF_CORE_READ(real, i_sb, s_magic) : 0;
	if (magic == MAGIC_TMPFS || magic == MAGIC_RAMFS)
		return BH_TRACE_O_TMPFS;
	return magic == MAGIC_OVERLAY ? ovl_origin(real) : otherwise;
}

static __always_inline int path_is_loose(const struct path *path)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	const struct mount *m =
		(const struct mount *)((__u64)READ(struct path, path, mnt) - offset);

	return mount_is_loose((__u64)READ(struct mount, m, mnt_ns));
}

/* In a tree, but not in the task's: reached through another process or an old descriptor. */
static __always_inline int path_is_outer(const struct path *path, const struct task_struct *task)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	const struct mount *m =
		(const struct mount *)((__u64)READ(struct path, path, mnt) - offset);
	const struct mnt_namespace *ns = READ(struct mount, m, mnt_ns);

	return !mount_is_loose((__u64)ns) && ns != task->nsproxy->mnt_ns;
}

/* The path by which the file was opened. What overlayfs maps is a file of the layer below, in a
 * mount that is in no tree; the overlay's own path is remembered beside it. The kernel's flag for
 * such files has changed its number, hence the look at what is there. */
static __always_inline const struct path *file_path(const struct file *file)
{
	const struct backing_file *b = (const struct backing_file *)file;
	const struct path *path =
		(const struct path *)__builtin_preserve_access_index(&file->f_path);

	if (!bpf_core_field_exists(b->user_path) || !path_is_loose(path) ||
	    BPF_CORE_READ(b, user_path.dentry, d_inode, i_sb, s_magic) != MAGIC_OVERLAY)
		return path;
	return (const struct path *)__builtin_preserve_access_index(&b->user_path);
}

/* Code that the image did not bring. */
static __always_inline int origin_is_foreign(__u8 origin)
{
	return origin == BH_TRACE_O_MODIFIED || origin == BH_TRACE_O_NEW ||
	       origin == BH_TRACE_O_TMPFS || origin == BH_TRACE_O_MEMFD;
}

/* Shared memory of no file is one of the same kind, with another name. */
static __always_inline int file_is_memfd(const struct file *f)
{
	const struct dentry *d = READ(struct file, f, f_path.dentry);
	const unsigned char *name = READ(struct dentry, d, d_name.name);
	char t[6] = {};

	bpf_probe_read_kernel(t, sizeof(t), name);
	return t[0] == 'm' && t[1] == 'e' && t[2] == 'm' && t[3] == 'f' && t[4] == 'd' &&
	       t[5] == ':';
}

/* Compilers at run time map twice, and shared, what has none. */
static __always_inline int file_has_name(const struct file_id *id)
{
	return id->origin != BH_TRACE_O_MEMFD && !id->is_unlinked;
}

/* The kernel's own mount holds what memfd_create made. */
static __always_inline __u8 tmpfs_origin(const struct path *path)
{
	return path_is_loose(path) ? BH_TRACE_O_MEMFD : BH_TRACE_O_TMPFS;
}

/* A mount of the task's own tree that is not its root: a volume, when the root is an image. */
static __always_inline __u8 other_origin(const struct path *path, const struct task_struct *task)
{
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	const struct vfsmount *mnt = READ(struct path, path, mnt);
	const struct mount *m = (const struct mount *)((__u64)mnt - offset);
	const struct vfsmount *root = READ(struct fs_struct, task->fs, root.mnt);
	const struct dentry *d = READ(struct vfsmount, root, mnt_root);
	const struct inode *inode = READ(struct dentry, d, d_inode);
	const struct super_block *sb = READ(struct inode, inode, i_sb);

	if (mnt == root || READ(struct super_block, sb, s_magic) != MAGIC_OVERLAY)
		return BH_TRACE_O_OTHER;
	if (READ(struct mount, m, mnt_ns) != task->nsproxy->mnt_ns)
		return BH_TRACE_O_OTHER;
	return BH_TRACE_O_VOLUME;
}

/* The device of the file system that the task has as its root. */
static __always_inline __u32 root_dev(const struct task_struct *task)
{
	const struct vfsmount *root = READ(struct fs_struct, task->fs, root.mnt);
	const struct super_block *sb = READ(struct vfsmount, root, mnt_sb);

	return READ(struct super_block, sb, s_dev);
}

/* home: the device of the image's overlay, as long as the task is one of the pod; 0: its root now.
 */
static __always_inline void path_identify(const struct path *path, const struct task_struct *task,
					  __u32 home, struct file_id *id)
{
	const struct dentry *d = READ(struct path, path, dentry);
	const struct inode *inode = READ(struct dentry, d, d_inode);
	const struct super_block *sb = READ(struct inode, inode, i_sb);
	unsigned long magic = READ(struct super_block, sb, s_magic);

	id->ino = READ(struct inode, inode, i_ino);
	id->dev = READ(struct super_block, sb, s_dev);
	id->mode = READ(struct inode, inode, i_mode);
	id->is_unlinked = !READ(struct dentry, d, d_hash.pprev);
	if (likely(magic == MAGIC_OVERLAY && id->dev == (home ? home : root_dev(task))))
		id->origin = ovl_origin(inode);
	else if (magic == MAGIC_OVERLAY)
		id->origin = nested_origin(inode, other_origin(path, task));
	else if (magic == MAGIC_TMPFS || magic == MAGIC_RAMFS)
		id->origin = tmpfs_origin(path);
	else
		id->origin = other_origin(path, task);
}

static __always_inline void file_identify(const struct file *file, const struct task_struct *task,
					  __u32 home, struct file_id *id)
{
	path_identify(file_path(file), task, home, id);
}

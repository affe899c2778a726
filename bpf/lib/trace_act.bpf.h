/* trace_act.bpf.h - one act of a pod's task after a system call: the set, the record, the books. */
#pragma once

#include "lib/trace_emit.bpf.h"

#define ACT_TAIL      2048
#define ACT_PER_DIR   64 /* files of one directory that are told one by one */
#define O_ACCMODE     3
#define O_TRUNC	      01000
#define FMODE_WRITE   2
#define FMODE_CREATED 0x100000
#define SIGKILL	      9

#define LOOK_TEXT 4096 /* no path is longer */
#define LOOK_NAME 256

/* A path on its way, see trace_look.bpf.h. */
struct look {
	__u64 dentry, mnt;	     /* where it has come to: addresses */
	__u64 root_dentry, root_mnt; /* of the task's root */
	__u64 found;
	__u32 pos;	   /* of what is left of the text */
	__u32 len;	   /* of name */
	__u32 links;	   /* followed so far */
	__u32 is_followed; /* so is one at the end */
	char name[LOOK_NAME];
	char text[2 * LOOK_TEXT];
	char link[2 * LOOK_TEXT];
};

struct act_scratch {
	struct walk walk;
	struct look look;
	struct bh_fact_key key;
	struct bh_fact fact;
	struct file_id id;
	struct bh_trace_name name;
	__u64 arg[6];
	__u64 now;
	__u64 record[(sizeof(struct bh_trace_act) + ACT_TAIL) / 8];
	__s64 ret;
	__u32 call;
	__u32 pos;
	__u32 flags;
	__u32 is_high;
	__u32 matters;	 /* calls, and files whose name or directory is known */
	__u32 has_dirs;	 /* paths count from the descriptor before them */
	__u32 mode;	 /* chmod: the new one */
	__u32 follows;	 /* links at the end of a path: 1: the first one, 2: the second */
	__u32 is_lost;	 /* it is not known where a path leads */
	__u32 is_copied; /* what is claimed lies with us already, not with the caller */
	__u64 user;	 /* where the caller wrote the path of an open; 0: nowhere */
	__u32 place_dev[2];
	char text[2][BH_PATH_MAX];  /* path, target */
	char place[2][BH_PATH_MAX]; /* see struct bh_trace_act */
	char join[2 * BH_PATH_MAX];
};

/* Cannot be full: system calls do not end inside each other on a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct act_scratch);
} act_scratch SEC(".maps");

#define MODE_CAPABLE 0200000 /* capabilities of a file are as good as its owner's rights */

/* Of files: rights given with a mode are another act than the same mode without them. */
static __always_inline __u8 mode_key(__u32 mode)
{
	__u8 key = (mode >> 9 & 6) | (mode & MODE_CAPABLE ? 8 : 0);

	if ((mode & 02010) == 02010)
		key |= 16;
	return key && (mode & 0170000) == 0040000 ? key | 32 : key;
}

static __always_inline void act_tail(struct act_scratch *s, struct bh_trace_act *r, __u32 which,
				     const char *from, __u32 max)
{
	__u32 pos = s->pos & (ACT_TAIL / 2 - 1);
	long n = bpf_probe_read_kernel_str((char *)s->record + sizeof(*r) + pos, max, from);

	if (n <= 1 || n > BH_PATH_MAX)
		n = 0;
	r->string_len[which] = n;
	s->pos = pos + n;
}

static __always_inline int act_send(struct act_scratch *s, const struct bh_trace_task *t)
{
	struct bh_trace_act *r = (struct bh_trace_act *)s->record;
	__u64 len;

	r->head.version = BH_TRACE_VERSION;
	r->head.kind = s->key.kind;
	r->head.ts_ns = s->now;
	r->head.exec_id = t->exec_id;
	r->head.parent_exec_id = t->parent_exec_id;
	r->head.slot = t->slot;
	r->head.generation = t->generation;
	r->head.pid = bpf_get_current_pid_tgid() >> 32;
	r->head.flags = s->flags | (s->is_high ? BH_TRACE_F_HIGH : 0);
	r->head.uid = s->key.uid;
	r->head.gid = bpf_get_current_uid_gid() >> 32;
	bpf_get_current_comm(r->head.comm, sizeof(r->head.comm));
	r->ino = s->id.ino;
	r->dev = s->id.dev;
	r->mode = s->id.mode;
	r->origin = s->id.origin;
	r->op = s->key.op;
	r->image_origin = t->origin;
	r->call = s->call;
	__builtin_memcpy(r->place_dev, s->place_dev, sizeof(r->place_dev));
	__builtin_memcpy(r->arg, s->arg, sizeof(r->arg));
	s->pos = 0;
	act_tail(s, r, BH_TRACE_A_PATH, s->text[0], BH_PATH_MAX);
	act_tail(s, r, BH_TRACE_A_TARGET, s->text[1], BH_PATH_MAX);
	act_tail(s, r, BH_TRACE_A_IMAGE, t->path, BH_TRACE_PARENT);
	act_tail(s, r, BH_TRACE_A_PLACE, s->place[0], BH_PATH_MAX);
	act_tail(s, r, BH_TRACE_A_TARGET_PLACE, s->place[1], BH_PATH_MAX);
	len = s->pos;
	if (len > ACT_TAIL)
		len = ACT_TAIL;
	r->head.len = sizeof(*r) + len;
	return ring_send(s->is_high, s->record, sizeof(*r) + len) == 0;
}

/* Notes the act, which s->key, s->id, s->text and s->flags describe, and announces what is new. */
static __noinline __attribute__((unused)) int act_note(struct act_scratch *s,
						       const struct bh_trace_task *t)
{
	struct bh_trace_slot *b;
	int novelty, is_sent;

	if (!s || !t)
		return 0;
	b = books_of(t->slot);
	if (!b || b->generation != t->generation)
		return 0;
	s->now = bpf_ktime_get_ns();
	s->fact.first_ns = s->fact.last_ns = s->now;
	s->fact.exec_id = t->exec_id;
	s->fact.parent_exec_id = t->parent_exec_id;
	s->fact.generation = t->generation;
	s->fact.flags = s->flags;
	s->fact.pid = bpf_get_current_pid_tgid() >> 32;
	s->fact.arg = s->arg[0];
	__builtin_memcpy(s->fact.path, s->text[0], sizeof(s->fact.path));
	novelty = fact_note(b, &s->key, &s->fact);
	if (novelty == FACT_NEW)
		s->flags |= BH_TRACE_F_FIRST;
	if (!event_wants_record(b, novelty, s->is_high && novelty == FACT_EXTRA, s->now,
				s->matters ? MATTER_ROOM : REPEAT_ROOM))
		return 0;
	if (s->matters && novelty == FACT_EXTRA)
		s->is_high = 1; /* nothing keeps it if the other ring is full */
	is_sent = act_send(s, t);
	event_close(b, &s->key, novelty, is_sent);
	return 0;
}

/* An act that the set knows already, without naming the file: the common case, and quick. */
static __always_inline int act_is_known(struct act_scratch *s, const struct bh_trace_task *t)
{
	struct bh_fact *f = bpf_map_lookup_elem(&trace_fact, &s->key);
	struct bh_trace_slot *b;

	if (!f || f->generation != t->generation)
		return 0;
	b = books_of(t->slot);
	if (!b || b->generation != t->generation)
		return 0;
	__sync_fetch_and_add(&f->count, 1);
	f->last_ns = bpf_ktime_get_ns();
	__sync_fetch_and_add(&b->seen, 1);
	__sync_fetch_and_add(&b->deduplicated, 1);
	return 1;
}

/* Where a file is besides, when another mount than the task's root leads to it: the mount hides
 * which directory that is. From s->look; name: below it. */
__noinline int act_place(struct act_scratch *s, __u32 which)
{
	const struct task_struct *p = bpf_get_current_task_btf();
	__u64 offset = bpf_core_field_offset(struct mount, mnt);
	struct walk *w;
	__u64 root, sb;
	__u32 len;

	if (!s)
		return 0;
	which &= 1;
	w = &s->walk;
	root = (__u64)READ(struct fs_struct, p->fs, root.mnt);
	if (s->look.mnt == root ||
	    mount_is_loose((__u64)READ(struct mount, s->look.mnt - offset, mnt_ns)))
		return 0;
	sb = (__u64)READ(struct vfsmount, s->look.mnt, mnt_sb);
	s->place_dev[which] = 0;
	w->root = (__u64)READ(struct fs_struct, p->fs, root.dentry);
	if (sb != (__u64)READ(struct vfsmount, root, mnt_sb)) {
		s->place_dev[which] = READ(struct super_block, sb, s_dev);
		w->root = (__u64)READ(struct super_block, sb, s_root);
	}
	len = walk_within(w, s->look.dentry, w->root);
	if (w->dentry != w->root) /* it lies outside of the task's root */
		s->place_dev[which] = READ(struct super_block, sb, s_dev);
	if (!len || w->is_cut)
		return 0;
	len = walk_copy(w, s->join) - 1;
	if (s->look.name[0] && len < BH_PATH_MAX) {
		if (len > 1)
			s->join[len++ & (BH_PATH_MAX - 1)] = '/';
		bpf_probe_read_kernel_str(&s->join[len & (BH_PATH_MAX - 1)], BH_PATH_MAX,
					  s->look.name);
	}
	if (bpf_probe_read_kernel_str(s->place[which], BH_PATH_MAX, s->join) >= BH_PATH_MAX)
		s->place[which][0] = 0;
	return 0;
}

static __always_inline void act_key(struct act_scratch *s, const struct bh_trace_task *t, __u8 kind,
				    __u8 op)
{
	__builtin_memset(&s->key, 0, sizeof(s->key));
	s->key.slot = t->slot;
	s->key.kind = kind;
	s->key.op = op;
	s->key.by = t->ino;
	s->key.uid = t->uid;
	s->matters = kind == BH_TRACE_CALL;
	s->place[0][0] = s->place[1][0] = 0;
	s->place_dev[0] = s->place_dev[1] = 0;
}

/* The path in s->look becomes the text. A function of its own for the verifier's sake. */
__noinline int act_walk_there(struct act_scratch *s)
{
	if (!s)
		return 0;
	s->text[0][0] = 0;
	if (!walk_from(&s->walk, s->look.dentry, s->look.mnt))
		return 0;
	if (s->walk.is_cut)
		s->flags |= BH_TRACE_F_PATH_CUT;
	bpf_probe_read_kernel_str(s->text[0], BH_PATH_MAX,
				  &s->walk.buf[s->walk.pos & (PATH_HALF - 1)]);
	s->look.name[0] = 0;
	return act_place(s, 0);
}

static __always_inline void act_walk(struct act_scratch *s, const struct path *path)
{
	s->look.dentry = (__u64)READ(struct path, path, dentry);
	s->look.mnt = (__u64)READ(struct path, path, mnt);
	act_walk_there(s);
}

/* The file behind a descriptor of the current task; NULL: none. */
static __always_inline const struct file *act_file(const struct task_struct *p, __s64 fd)
{
	const struct fdtable *fdt = p->files->fdt;
	struct file **table = READ(struct fdtable, fdt, fd);
	struct file *f = NULL;

	if (fd < 0 || fd >= (__s64)READ(struct fdtable, fdt, max_fds))
		return NULL;
	bpf_probe_read_kernel(&f, sizeof(f), &table[fd & 0xffffffff]);
	return f;
}

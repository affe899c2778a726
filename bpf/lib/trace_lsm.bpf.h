/* trace_lsm.bpf.h - tier 2: the same acts at the kernel's security hooks, where they can be refused
 * before they happen. What is told goes through the bodies of the system-call programs, into the
 * same set; whoever tells first, the other one finds it known. -EPERM is only ever the answer of a
 * policy that would kill. */
#pragma once

#include "lib/trace_file.bpf.h"
#include "lib/trace_judge.bpf.h"

#define EPERM 1

struct lsm_scratch {
	struct act_scratch act;
	struct bh_trace_allow_key allow;
	struct path path;
	__u32 busy;
};

/* Taken: this CPU was interrupted in the middle of one of us. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lsm_scratch);
} lsm_scratch SEC(".maps");

/* Numbers of the calls by which refusals are told; the daemon's, who knows the machine. */
enum lsm_call {
	LSM_EXEC,
	LSM_MMAP,
	LSM_MPROTECT,
	LSM_MOUNT,
	LSM_PTRACE,
	LSM_BPF,
	LSM_KILL,
	LSM_CALLS
};
const volatile __u32 lsm_nr[LSM_CALLS];

/* NULL: then it passes, the act is counted as lost, and the exec program may still kill. */
static __always_inline struct lsm_scratch *lsm_take(const struct bh_trace_task *t)
{
	__u32 zero = 0;
	struct lsm_scratch *l = bpf_map_lookup_elem(&lsm_scratch, &zero);
	struct act_scratch *s;
	struct bh_trace_slot *b;

	if (l && __sync_val_compare_and_swap(&l->busy, 0, 1) == 0) {
		s = &l->act;
		s->flags = s->is_high = 0;
		s->ret = 0;
		s->text[0][0] = s->text[1][0] = 0;
		__builtin_memset(&s->id, 0, sizeof(s->id));
		__builtin_memset(s->arg, 0, sizeof(s->arg));
		return l;
	}
	b = books_of(t->slot);
	if (b && b->generation == t->generation) {
		__sync_fetch_and_add(&b->seen, 1);
		__sync_fetch_and_add(&b->lost, 1);
	}
	return NULL;
}

static __always_inline int lsm_put(struct lsm_scratch *l, int verdict)
{
	(void)__sync_lock_test_and_set(&l->busy, 0);
	return verdict;
}

/* Tells that it is refused. s->id and s->text say what. */
static __always_inline int lsm_refuse(struct act_scratch *s, const struct bh_trace_task *t,
				      enum lsm_call call)
{
	s->flags |= BH_TRACE_F_REFUSED | BH_TRACE_F_BLOCKED;
	s->is_high = 1;
	s->call = lsm_nr[call];
	act_key(s, t, BH_TRACE_CALL, BH_CALL_DENIED);
	s->key.ino = s->id.ino;
	s->key.dev = s->call;
	if (!act_is_known(s, t))
		act_note(s, t);
	return -EPERM;
}

static __always_inline int origin_is_refused(const struct bh_trace_policy *pol, __u8 origin)
{
	return (pol->flags & BH_TRACE_P_KILL) && (pol->origins >> (origin & 31) & 1);
}

/* What is asked for, in a string of the kernel's. */
static __always_inline int name_is_listed(struct lsm_scratch *l, const struct bh_trace_task *t,
					  const char *name)
{
	__builtin_memset(&l->allow, 0, sizeof(l->allow));
	l->allow.slot = t->slot;
	l->allow.generation = t->generation;
	return bpf_probe_read_kernel_str(l->allow.path, sizeof(l->allow.path), name) > 0 &&
	       bpf_map_lookup_elem(&trace_allow, &l->allow) != NULL;
}

/* The kernel asks about a script first, then about its interpreter. */
struct lsm_image {
	const struct file *file;
	const char
		*script; /* of an interpreter: what it is started on, as it was called; or NULL */
	__u32 uid;	 /* the user that it would run as */
	__u32 is_script; /* the interpreter comes next, and the list is asked then */
};

static __always_inline int exec_is_listed(struct lsm_scratch *l, const struct task_struct *p,
					  const struct bh_trace_task *t, const struct lsm_image *i)
{
	if (i->is_script)
		return 1;
	if ((__u32)mntns_id(p) != t->home_ns)
		return 0;
	if (!(l->act.flags & BH_TRACE_F_PATH_CUT) && name_is_listed(l, t, l->act.text[0]))
		return 1;
	return i->script && name_is_listed(l, t, i->script);
}

static __always_inline int lsm_exec(struct lsm_scratch *l, const struct task_struct *p,
				    const struct bh_trace_task *t, const struct lsm_image *i)
{
	const struct bh_trace_policy *pol = policy_of(t);
	struct act_scratch *s = &l->act;

	if (!pol || !(pol->flags & BH_TRACE_P_KILL))
		return 0;
	file_identify(i->file, p, t->home_dev, &s->id);
	wrote_has(&s->id, p, t->slot, t->generation);
	act_walk(s, file_path(i->file));
	if (!origin_is_refused(pol, s->id.origin) && !uid_is_refused(pol, i->uid) &&
	    (!(pol->flags & BH_TRACE_P_ALLOW) || exec_is_listed(l, p, t, i)))
		return 0;
	return lsm_refuse(s, t, LSM_EXEC);
}

/* s->arg[2]: what it may be used for; f NULL: no file. */
static __always_inline int lsm_map(struct lsm_scratch *l, const struct task_struct *p,
				   const struct bh_trace_task *t, const struct file *f,
				   enum lsm_call call)
{
	const struct bh_trace_policy *pol = policy_of(t);
	struct act_scratch *s = &l->act;

	s->call = lsm_nr[call];
	map_tell(s, p, t, f, 0);
	if (!f || !pol || !origin_is_refused(pol, s->id.origin))
		return 0;
	act_walk(s, file_path(f));
	return lsm_refuse(s, t, call);
}

/* The path of a name below a directory into text[which]. */
static __always_inline void lsm_walk(struct lsm_scratch *l, __u32 which, const struct path *dir,
				     const struct dentry *d)
{
	struct act_scratch *s = &l->act;

	l->path.mnt = BPF_CORE_READ(dir, mnt);
	l->path.dentry = (struct dentry *)d;
	__builtin_memset(s->text[which], 0, sizeof(s->text[which]));
	if (walk_path(&s->walk, &l->path))
		walk_copy(&s->walk, s->text[which]);
}

static __always_inline void lsm_named(struct act_scratch *s, const struct bh_trace_task *t, __u8 op,
				      __u32 which)
{
	act_key(s, t, BH_TRACE_FILE, op);
	s->key.ino = text_hash(s->text[which]);
	if (op == BH_TRACE_OP_CHMOD)
		s->key.is_emptied = mode_key(s->arg[0]);
	if (!act_is_known(s, t))
		act_note(s, t);
}

/* Calls that the policy names. */
static __always_inline int lsm_call(struct lsm_scratch *l, const struct bh_trace_task *t,
				    enum lsm_call call)
{
	const struct bh_trace_policy *pol = policy_of(t);
	__u32 nr = lsm_nr[call];

	if (!pol || !(pol->flags & BH_TRACE_P_KILL_CALLS) ||
	    !(pol->calls[(nr / 64) & (BH_TRACE_CALLS / 64 - 1)] >> (nr & 63) & 1))
		return 0;
	return lsm_refuse(&l->act, t, call);
}

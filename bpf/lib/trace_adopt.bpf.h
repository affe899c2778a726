/* trace_adopt.bpf.h - tasks that ran before tracing began: they get what their exec would have
 * given them. Who they are goes into the set; the daemon's sweep announces it. */
#pragma once

#include "lib/trace_exec.bpf.h"
#include "lib/trace_wrote.bpf.h"

/* One reader at a time, and never in the middle of an exec of its own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} adopt_scratch SEC(".maps");

/* The same for all threads, and unique: a process number does not come back so soon. */
static __always_inline __u64 adopt_id(const struct task_struct *p)
{
	return (p->group_leader->start_time & ~1023ull) | (p->tgid & 1023);
}

static __always_inline void adopt_note(struct exec_scratch *s, const struct task_struct *p,
				       struct bh_trace_slot *b)
{
	struct bh_fact_key *k = &s->key;

	__builtin_memset(k, 0, sizeof(*k));
	k->slot = s->slot;
	k->kind = BH_TRACE_EXEC;
	k->origin = s->id.origin;
	k->ino = s->id.ino;
	k->dev = s->id.dev;
	k->uid = p->cred->euid.val;
	bpf_probe_read_kernel_str(k->name, sizeof(k->name), p->comm);
	s->fact.first_ns = s->fact.last_ns = s->now;
	s->fact.exec_id = s->exec_id;
	s->fact.parent_exec_id = 0;
	s->fact.generation = s->generation;
	s->fact.flags = s->flags;
	s->fact.pid = p->tgid;
	s->fact.arg = 0;
	__sync_fetch_and_add(&b->seen, 1);
	s->novelty = fact_note(b, k, &s->fact);
	event_close(b, k, s->novelty, 0);
}

static __always_inline void adopt_remember(struct exec_scratch *s, struct task_struct *p)
{
	struct bh_trace_task *t =
		bpf_task_storage_get(&trace_task, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	image_remember(s, p, t, s->fact.path);
	t->home_dev = root_dev(p);
	t->home_ns = mntns_id(p);
	t->self_exec = p->self_exec_id;
	t->pid = p->tgid;
	t->flags = task_root(p);
}

static __always_inline void adopt_task(struct exec_scratch *s, struct task_struct *p)
{
	const struct file *file = p->mm->exe_file;
	struct bh_trace_slot *b = books_open(s->slot, s->generation);

	if (!b || !file)
		return;
	s->now = bpf_ktime_get_ns();
	s->exec_id = adopt_id(p);
	s->flags = BH_TRACE_F_ADOPTED;
	file_identify(file, p, 0, &s->id);
	if (s->id.is_unlinked)
		s->flags |= BH_TRACE_F_UNLINKED;
	exec_path(s, file);
	adopt_note(s, p, b);
	adopt_remember(s, p);
	s->mntns.slot = s->slot;
	s->mntns.generation = s->generation;
	s->mntns.id = mntns_id(p);
	bpf_map_update_elem(&trace_mntns, &s->mntns, &s->exec_id, BPF_ANY);
}

/* ---- code that is mapped already ---- */

static __always_inline int vma_is_foreign(struct exec_scratch *s, const struct task_struct *p,
					  const struct bh_trace_task *t, const struct file *f)
{
	file_identify(f, p, t->home_dev, &s->id);
	if (wrote_has(&s->id, p, t->slot, t->generation)) {
		s->flags |= BH_TRACE_F_WROTE;
		return 1;
	}
	return origin_is_foreign(s->id.origin) &&
	       (s->id.origin != BH_TRACE_O_MEMFD || file_is_memfd(f));
}

/* The image itself, which its exec has told. */
static __always_inline int vma_is_image(const struct task_struct *p, const struct file *f)
{
	const struct file *exe = p->mm->exe_file;

	return exe &&
	       READ(struct path, file_path(exe), dentry) == READ(struct path, file_path(f), dentry);
}

/* The key that the same mapping has in the set when it is seen being made. */
static __always_inline void vma_key(struct exec_scratch *s, const struct bh_trace_task *t)
{
	struct bh_fact_key *k = &s->key;

	__builtin_memset(k, 0, sizeof(*k));
	k->slot = t->slot;
	k->kind = BH_TRACE_MAP;
	k->origin = s->id.origin;
	k->op = s->flags & BH_TRACE_F_WRITABLE ? 1 : 0;
	k->ino = s->id.ino;
	k->dev = s->id.dev;
	k->uid = t->uid;
}

/* When it was mapped nobody knows: not before its process began, which is the time it gets. */
static __always_inline void adopt_vma(struct exec_scratch *s, const struct task_struct *p,
				      const struct bh_trace_task *t,
				      const struct vm_area_struct *vma)
{
	struct bh_trace_slot *b = books_of(t->slot);
	const struct file *f = vma->vm_file;

	if (!b || b->generation != t->generation || !f || !(vma->vm_flags & VM_EXEC))
		return;
	s->flags = BH_TRACE_F_ADOPTED | (vma->vm_flags & VM_WRITE ? BH_TRACE_F_WRITABLE : 0);
	if (!vma_is_foreign(s, p, t, f) || vma_is_image(p, f))
		return;
	if ((vma->vm_flags & VM_SHARED) && !file_has_name(&s->id))
		s->flags |= BH_TRACE_F_SHARED;
	vma_key(s, t);
	s->fact.path[0] = 0;
	if (walk_path(&s->walk, file_path(f)))
		walk_copy(&s->walk, s->fact.path);
	if (s->walk.is_cut)
		s->flags |= BH_TRACE_F_PATH_CUT;
	s->fact.first_ns = s->fact.last_ns = p->group_leader->start_time;
	s->fact.exec_id = t->exec_id;
	s->fact.parent_exec_id = t->parent_exec_id;
	s->fact.generation = t->generation;
	s->fact.flags = s->flags;
	s->fact.pid = p->tgid;
	s->fact.arg = 0;
	__sync_fetch_and_add(&b->seen, 1);
	s->novelty = fact_note(b, &s->key, &s->fact);
	event_close(b, &s->key, s->novelty, 0);
}

/* trace.bpf.c - what runs inside the pods.
 *
 * The exec, fork and exit programs are pinned like the data path: a RuntimePolicy that kills holds
 * without the daemon, and the tasks' lineage survives its restart. They only announce; whatever
 * happens to the rings, nothing else changes. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/trace_adopt.bpf.h"
#include "lib/trace_env.bpf.h"
#include "lib/trace_judge.bpf.h"
#include "lib/trace_odd.bpf.h"
#include "lib/trace_script.bpf.h"
#include "lib/trace_wrote.bpf.h"

#define SIGKILL	     9
#define MNTNS_SELDOM 0xf000 /* bits of the clock: none in a sixteenth of all moments */

/* What the set is asked: the same file, started by the same image, as the same user and name. */
static __always_inline void exec_key(struct exec_scratch *s, const struct task_struct *p)
{
	struct bh_fact_key *k = &s->key;

	__builtin_memset(k, 0, sizeof(*k));
	k->slot = s->slot;
	k->kind = BH_TRACE_EXEC;
	k->origin = s->id.origin;
	k->ino = s->id.ino;
	k->dev = s->id.dev;
	k->by = s->before.ino;
	k->uid = p->cred->euid.val;
	bpf_probe_read_kernel_str(k->name, sizeof(k->name),
				  __builtin_preserve_access_index(&p->comm));
}

/* Looks the exec up, and walks the path only of what is new. What the set lacks gets a place, and
 * is added once it was announced: nothing has to be marked, looked up again and unmarked. Returns
 * the fact; NULL: it is new. */
static __always_inline const struct bh_fact *
exec_recall(struct exec_scratch *s, struct bh_trace_slot *b, const struct file *file)
{
	struct bh_fact *known = bpf_map_lookup_elem(&trace_fact, &s->key);

	s->is_old = known != NULL;
	s->path_len = 0;
	if (known && known->generation == s->generation) {
		fact_again(known, s->now);
		s->novelty = FACT_KNOWN;
		return known;
	}
	s->novelty = fact_claim(b);
	if (s->novelty == FACT_NEW)
		s->flags |= BH_TRACE_F_FIRST;
	exec_path(s, file);
	return NULL;
}

static __always_inline int exec_add(struct exec_scratch *s, struct bh_trace_slot *b,
				    const struct task_struct *p, int is_sent)
{
	s->fact.first_ns = s->fact.last_ns = s->now;
	s->fact.exec_id = s->exec_id;
	s->fact.parent_exec_id = s->before.exec_id;
	s->fact.generation = s->generation;
	s->fact.flags = s->flags | (is_sent ? 0 : BH_TRACE_F_UNSENT);
	s->fact.pid = p->tgid;
	s->fact.arg = 0;
	return fact_add(b, &s->key, &s->fact, s->is_old ? &s->fact : NULL);
}

/* An allowed script, by its whole name, may be run by its interpreter, which need not be allowed.
 * In a mount namespace that a task of the pod made, a path says nothing. */
static __always_inline int path_is_refused(struct exec_scratch *s, const struct linux_binprm *bprm)
{
	if (s->flags & BH_TRACE_F_OWN_NS)
		return 1;
	s->allow.slot = s->slot;
	s->allow.generation = s->generation;
	exec_path(s, bprm->file); /* the set may know the file by another name */
	__builtin_memset(s->allow.path, 0, sizeof(s->allow.path));
	bpf_probe_read_kernel_str(s->allow.path, sizeof(s->allow.path), s->fact.path);
	if (!(s->flags & BH_TRACE_F_PATH_CUT) && bpf_map_lookup_elem(&trace_allow, &s->allow))
		return 0;
	if (!(s->flags & BH_TRACE_F_SCRIPT))
		return 1;
	__builtin_memset(s->allow.path, 0, sizeof(s->allow.path));
	return bpf_probe_read_kernel_str(s->allow.path, sizeof(s->allow.path), bprm->filename) <
		       0 ||
	       !bpf_map_lookup_elem(&trace_allow, &s->allow);
}

/* The signal is there before the image's first instruction. */
static __always_inline void exec_judge(struct exec_scratch *s, struct bh_trace_slot *b,
				       const struct linux_binprm *bprm)
{
	const struct bh_trace_policy *pol = bpf_map_lookup_elem(&trace_policy, &s->slot);

	s->is_refused = 0;
	if (likely(!pol || pol->generation != s->generation))
		return;
	s->is_refused = (pol->origins >> (s->id.origin & 31) & 1) ||
			uid_is_refused(pol, s->key.uid) ||
			((pol->flags & BH_TRACE_P_ALLOW) && path_is_refused(s, bprm));
	if (!s->is_refused)
		return;
	s->flags |= BH_TRACE_F_REFUSED;
	if (!(pol->flags & BH_TRACE_P_KILL) || bpf_send_signal(SIGKILL))
		return;
	s->flags |= BH_TRACE_F_KILLED;
	__sync_fetch_and_add(&b->killed, 1);
}

/* Whether the announcement went out. */
static __always_inline int exec_announce(struct exec_scratch *s, struct bh_trace_slot *b,
					 const struct exec_of *of)
{
	int is_high = odd_claim(s, b, of) || s->is_refused || origin_is_foreign(s->id.origin) ||
		      (s->flags & BH_TRACE_F_WROTE);
	__u32 hash = 0, *args = is_high ? NULL : args_place(s, b, of, &hash);
	int is_sent;

	if (!event_wants_record(b, s->novelty, is_high && s->novelty == FACT_EXTRA, s->now,
				args ? ARGS_ROOM : REPEAT_ROOM))
		return 0;
	if (args)
		*args = hash;
	is_sent = record_send(s, of, is_high);
	if (s->novelty == FACT_NEW)
		s->novelty = exec_add(s, b, of->p, is_sent);
	event_close(b, NULL, s->novelty, is_sent);
	return is_sent;
}

static __always_inline void script_add(struct script_names *script, __u32 hash)
{
	if (!script->first)
		script->first = hash;
	else if (!script->second)
		script->second = hash;
}

/* What the task is from now on. */
static __always_inline void exec_remember(struct exec_scratch *s, const struct exec_of *of,
					  struct script_names *script, int is_sent)
{
	struct task_struct *p = of->p;
	struct bh_trace_task *t = of->was;

	if (!t)
		t = bpf_task_storage_get(&trace_task, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return;
	image_remember(s, p, t, s->path_len || !of->known ? s->fact.path : of->known->path);
	t->home_dev = s->before.home_dev;
	t->home_ns = s->before.home_ns;
	t->parent_exec_id = s->before.exec_id;
	t->self_exec = p->self_exec_id;
	if (unlikely(s->env.first))
		script_add(script, s->env.first);
	if (unlikely(s->env.last))
		script_add(script, s->env.last);
	t->script = script->first;
	t->pid = p->tgid;
	t->flags = (is_sent ? BH_TRACE_T_ANNOUNCED : 0) | task_root(p) |
		   (script->second & BH_TRACE_T_SECOND) |
		   (script->is_stdin ? BH_TRACE_T_STDIN : 0) |
		   (script->has_line ? BH_TRACE_T_LINE : 0) |
		   (s->before.flags & BH_TRACE_T_CONNECTED ? BH_TRACE_T_AFTER : 0);
}

/* Whether the pod has executed something in the mount namespace. The last one is in the books, for
 * those who come in again and again; now and then the set hears of it all the same, which forgets
 * what it was not asked for. */
static __always_inline int mntns_is_known(struct exec_scratch *s, struct bh_trace_slot *b,
					  const struct task_struct *p)
{
	struct bh_trace_mntns_key *k = &s->mntns;
	__u64 id = mntns_id(p);

	if (b->mntns == (__u32)id && (s->now & MNTNS_SELDOM))
		return 1;
	b->mntns = id;
	k->slot = s->slot;
	k->generation = s->generation;
	k->id = id;
	if (bpf_map_lookup_elem(&trace_mntns, k))
		return 1;
	bpf_map_update_elem(&trace_mntns, k, &s->exec_id, BPF_ANY);
	return 0;
}

/* From outside: the first image of a mount namespace is a container's own start. */
static __always_inline void exec_origin_flags(struct exec_scratch *s, struct bh_trace_slot *b,
					      const struct task_struct *p)
{
	if (s->before.exec_id)
		return;
	s->flags |= BH_TRACE_F_OUTSIDE;
	if (!mntns_is_known(s, b, p))
		s->flags |= BH_TRACE_F_INIT | root_flags(p);
}

static __always_inline void exec_file_flags(struct exec_scratch *s, const struct task_struct *p,
					    const struct linux_binprm *bprm)
{
	if (s->id.is_unlinked)
		s->flags |= BH_TRACE_F_UNLINKED;
	if (s->id.mode & MODE_SETID)
		s->flags |= BH_TRACE_F_SETID;
	if (s->before.exec_id && s->before.uid && !s->key.uid && !(s->id.mode & MODE_SETID) &&
	    !(s->before.flags & BH_TRACE_T_ROOT))
		s->flags |= BH_TRACE_F_UID_GAINED;
	if (s->before.flags & BH_TRACE_T_CONNECTED)
		s->flags |= BH_TRACE_F_CONNECTED;
	if (bprm->interp != bprm->filename)
		s->flags |= BH_TRACE_F_SCRIPT;
	if ((__u32)mntns_id(p) != s->before.home_ns)
		s->flags |= BH_TRACE_F_OWN_NS;
	if (wrote_has(&s->id, p, s->slot, s->generation))
		s->flags |= BH_TRACE_F_WROTE;
	s->key.origin = s->id.origin;
	/* a runtime comes from outside, and brings its own */
	if (s->id.origin == BH_TRACE_O_OTHER && s->before.exec_id &&
	    path_is_outer(exec_file_path(bprm), p))
		s->flags |= BH_TRACE_F_OUTER;
}

/* Who the task was: of this pod, or nobody. Who comes into the pod brings a root and a mount
 * namespace along; what a task makes itself later does not become the image. */
static __always_inline void exec_before(struct exec_scratch *s, const struct task_struct *p,
					const struct bh_trace_task *was)
{
	struct exec_before *b = &s->before;

	b->is_ours = was && was->slot == s->slot && was->generation == s->generation;
	b->exec_id = b->ino = 0;
	b->dev = b->uid = b->flags = b->origin = 0;
	if (!was || !b->is_ours) {
		b->home_dev = root_dev(p);
		b->home_ns = mntns_id(p);
		return;
	}
	b->home_dev = was->home_dev;
	b->home_ns = was->home_ns;
	b->exec_id = was->exec_id;
	b->ino = was->ino;
	b->dev = was->dev;
	b->uid = was->uid;
	b->flags = was->flags;
	b->origin = was->origin;
}

static __always_inline void exec_trace(struct exec_scratch *s, struct exec_of *of)
{
	struct bh_trace_slot *b = books_open(s->slot, s->generation);
	struct script_names script = {};
	int is_sent;

	if (!b)
		return;
	__sync_fetch_and_add(&b->execs, 1);
	s->now = bpf_ktime_get_ns();
	s->env.first = s->env.last = 0;
	s->exec_id = exec_id_make(s->now);
	path_identify(exec_file_path(of->bprm), of->p, s->before.home_dev, &s->id);
	exec_origin_flags(s, b, of->p);
	exec_key(s, of->p);
	exec_file_flags(s, of->p, of->bprm);
	of->known = exec_recall(s, b, of->bprm->file);
	exec_judge(s, b, of->bprm);
	is_sent = exec_announce(s, b, of);
	script_of(s, of->p, of->bprm, &script);
	exec_remember(s, of, &script, is_sent);
}

/* Attached in no mode but those that trace. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(bh_trace_exec, struct task_struct *p, int old_pid, struct linux_binprm *bprm)
{
	struct bh_trace_task *was = bpf_task_storage_get(&trace_task, p, NULL, 0);
	struct exec_of of = {p, bprm, was, NULL};
	struct exec_scratch *s;
	__u32 flags = 0, slot;

	slot = slot_of_task(p, was, &flags);
	if (!slot || (was && was->self_exec == p->self_exec_id && was->slot == slot))
		return 0;
	s = exec_scratch_get();
	if (!s || !slot_generation(slot, &s->generation))
		return 0;
	s->slot = slot;
	s->flags = flags;
	exec_before(s, p, was);
	exec_trace(s, &of);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(bh_trace_fork, struct task_struct *parent, struct task_struct *child)
{
	struct bh_trace_task *t = bpf_task_storage_get(&trace_task, parent, NULL, 0);
	struct bh_trace_slot *b;

	if (!t || !bpf_task_storage_get(&trace_task, child, t, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return 0;
	if (child->pid != child->tgid)
		return 0; /* a thread */
	b = books_of(t->slot);
	if (b && b->generation == t->generation)
		__sync_fetch_and_add(&b->forks, 1);
	return 0;
}

static __always_inline void exit_announce(const struct task_struct *p,
					  const struct bh_trace_task *t, struct bh_trace_slot *b)
{
	struct bh_trace_exit r = {};
	int is_sent;

	r.head.version = BH_TRACE_VERSION;
	r.head.kind = BH_TRACE_EXIT;
	r.head.len = sizeof(r);
	r.head.ts_ns = bpf_ktime_get_ns();
	r.head.exec_id = t->exec_id;
	r.head.parent_exec_id = t->parent_exec_id;
	r.head.slot = t->slot;
	r.head.generation = t->generation;
	r.head.pid = t->pid;
	r.head.uid = t->uid;
	r.head.gid = p->cred->egid.val;
	bpf_probe_read_kernel_str(r.head.comm, sizeof(r.head.comm),
				  __builtin_preserve_access_index(&p->comm));
	r.start_ns = t->exec_id & ~1023ull;
	r.status = p->exit_code;
	__sync_fetch_and_add(&b->seen, 1);
	is_sent = bpf_ringbuf_output(&trace_events, &r, sizeof(r), BPF_RB_NO_WAKEUP) == 0;
	event_close(b, NULL, FACT_EXTRA, is_sent);
}

/* The end of an image whose start was announced. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(bh_trace_exit, struct task_struct *p)
{
	struct bh_trace_task *t = bpf_task_storage_get(&trace_task, p, NULL, 0);
	struct bh_trace_slot *b;

	if (!t || p->signal->live.counter)
		return 0; /* threads go on */
	b = books_of(t->slot);
	if (!b || b->generation != t->generation)
		return 0;
	__sync_fetch_and_add(&b->exits, 1);
	if ((t->flags & BH_TRACE_T_ANNOUNCED) && t->pid == (__u32)p->tgid)
		exit_announce(p, t, b);
	t->flags = 0; /* another program of ours may see it too */
	return 0;
}

/* Read to its end by the daemon after the programs above are attached. */
SEC("iter/task")
int bh_trace_adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *p = ctx->task;
	struct exec_scratch *s;
	__u32 zero = 0, *slot;
	__u64 cookie;

	if (!p || !p->mm)
		return 0;
	cookie = p->nsproxy->net_ns->net_cookie;
	slot = bpf_map_lookup_elem(&slot_by_cookie, &cookie);
	if (!slot || !*slot || bpf_task_storage_get(&trace_task, p, NULL, 0))
		return 0;
	s = bpf_map_lookup_elem(&adopt_scratch, &zero);
	if (!s || !slot_generation(*slot, &s->generation))
		return 0;
	s->slot = *slot;
	adopt_task(s, p);
	return 0;
}

/* Read to its end by the daemon once mappings are told as they are made. */
SEC("iter/task_vma")
int bh_trace_adopt_maps(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *p = ctx->task;
	struct bh_trace_task *t;
	struct exec_scratch *s;
	__u32 zero = 0;

	if (!p || !vma)
		return 0;
	t = bpf_task_storage_get(&trace_task, p, NULL, 0);
	s = bpf_map_lookup_elem(&adopt_scratch, &zero);
	if (t && s)
		adopt_vma(s, p, t, vma);
	return 0;
}

/* Run by the daemon with the key of a fact that it found unsent and announces now: 1 when it was.
 */
SEC("syscall")
int bh_trace_sent(struct bh_fact_key *ctx)
{
	struct bh_fact_key key = *ctx;
	struct bh_trace_slot *b = books_of(key.slot);
	struct bh_fact *f = bpf_map_lookup_elem(&trace_fact, &key);
	__u32 was;

	if (!f || !b)
		return 0;
	was = __sync_fetch_and_and(&f->flags, ~BH_TRACE_F_UNSENT);
	if (!(was & BH_TRACE_F_UNSENT))
		return 0;
	if (b->generation == f->generation)
		__sync_fetch_and_add(&b->swept, 1);
	return 1;
}

char _license[] SEC("license") = "GPL";

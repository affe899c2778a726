/* watch.bpf.c - what pods ask of the kernel. Attached only while a pod needs it: even an empty hook
 * costs every system call of the node, and one at their beginnings as much again. So both watching
 * and learning look at a call when it ends; what a task still waits for is looked up when somebody
 * wants to know. Calls that nobody wants to know of leave first, tasks that belong to no pod at the
 * first look-up. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/trace_change.bpf.h"
#include "lib/trace_number.bpf.h"
#include "lib/trace_seq.bpf.h"
#include "lib/trace_socket.bpf.h"
#include "lib/trace_target.bpf.h"
#include "lib/trace_send.bpf.h"

#define AT_SYMLINK_FOLLOW 0x400

#define PTRACE_POKETEXT	 4
#define PTRACE_POKEUSR	 6
#define PTRACE_SETREGS	 13
#define PTRACE_ATTACH	 16
#define PTRACE_SETREGSET 0x4205
#define PTRACE_SEIZE	 0x4206

static __always_inline struct act_scratch *act_scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&act_scratch, &zero);
}

/* The registers and the task are read directly: a helper for each would cost what all the rest
 * does. */
static __always_inline void call_args(struct act_scratch *s, const struct pt_regs *regs)
{
	const struct pt_regs___arm64 *arm = (const void *)regs;

	if (bpf_core_field_exists(regs->orig_ax)) {
		s->arg[0] = regs->di;
		s->arg[1] = regs->si;
		s->arg[2] = regs->dx;
		s->arg[3] = regs->r10;
		s->arg[4] = regs->r8;
		s->arg[5] = regs->r9;
	} else {
		s->arg[0] = arm->orig_x0;
		s->arg[1] = arm->regs[1];
		s->arg[2] = arm->regs[2];
		s->arg[3] = arm->regs[3];
		s->arg[4] = arm->regs[4];
		s->arg[5] = arm->regs[5];
	}
}

static __always_inline __u32 call_number(const struct pt_regs *regs)
{
	if (bpf_core_field_exists(regs->orig_ax))
		return regs->orig_ax;
	return ((const struct pt_regs___arm64 *)regs)->syscallno;
}

static __always_inline void call_key(struct act_scratch *s, const struct bh_trace_task *t,
				     __u8 class, __u64 what)
{
	act_key(s, t, BH_TRACE_CALL, class);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	s->key.ino = what;
	s->key.dev = s->call;
	s->text[1][0] = 0;
}

/* A call that is told once for each image and `what`. */
static __always_inline void call_note(struct act_scratch *s, const struct bh_trace_task *t,
				      __u8 class, __u64 what)
{
	call_key(s, t, class, what);
	if (!act_is_known(s, t))
		act_note(s, t);
}

static __always_inline void call_setid(struct act_scratch *s, const struct task_struct *p,
				       struct bh_trace_task *t)
{
	__u32 now = BPF_CORE_READ(p, cred, euid.val), before = t->uid;
	__u32 had_root = t->flags & BH_TRACE_T_ROOT;

	s->arg[2] = BPF_CORE_READ(p, cred, uid.val);
	t->flags &= ~BH_TRACE_T_ROOT;
	if (!now || !s->arg[2] || !BPF_CORE_READ(p, cred, suid.val))
		t->flags |= BH_TRACE_T_ROOT;
	if (now == before)
		return;
	s->arg[0] = before;
	s->arg[1] = now;
	s->arg[3] = had_root;
	s->text[0][0] = 0;
	call_note(s, t, BH_CALL_SETID, ((__u64)before << 32) | now | (__u64)!had_root << 63);
	t->uid = now;
}

/* BPF_PROG_DETACH, BPF_LINK_UPDATE, BPF_LINK_DETACH: perhaps of our programs. */
static __always_inline int bpf_takes_away(__u64 command)
{
	return command == 9 || command == 29 || command == 34;
}

static __always_inline int ptrace_is_told(__u64 request)
{
	return (request >= PTRACE_POKETEXT && request <= PTRACE_POKEUSR) ||
	       request == PTRACE_SETREGS || request == PTRACE_ATTACH ||
	       request == PTRACE_SETREGSET || request == PTRACE_SEIZE;
}

#define NEW_NAMESPACES 0x7e020000
#define PR_SET_NAME    15

/* A child in namespaces of its own. The child comes by here too, when its parent may have put
 * something else where the flags were. */
static __always_inline void call_clone(struct act_scratch *s, const struct bh_trace_task *t,
				       __u8 class)
{
	if (!s->ret ||
	    (class == BH_CALL_CLONE3 &&
	     bpf_probe_read_user(&s->arg[0], sizeof(s->arg[0]), (const void *)s->arg[0])))
		return;
	s->text[0][0] = 0;
	if (s->arg[0] & NEW_NAMESPACES)
		call_note(s, t, BH_CALL_UNSHARE, s->arg[0] & NEW_NAMESPACES);
}

/* "[...", "kworker/0", "kthreadd", "ksoftirqd", "kswapd0": as no program is called. */
static __always_inline void call_prctl(struct act_scratch *s, const struct bh_trace_task *t)
{
	const char *n = s->text[0];

	if (s->arg[0] != PR_SET_NAME)
		return;
	claim(s, 0, s->arg[1]);
	if (n[0] == '[' || (n[0] == 'k' && ((n[1] == 'w' && n[2] == 'o' && n[3] == 'r') ||
					    (n[1] == 't' && n[2] == 'h' && n[3] == 'r') ||
					    (n[1] == 's' && n[2] == 'o' && n[3] == 'f') ||
					    (n[1] == 's' && n[2] == 'w' && n[3] == 'a'))))
		call_note(s, t, BH_CALL_PRCTL, 0);
}

/* To a container runtime's socket, or ours: the peer's own path, not what the caller wrote. */
static __always_inline void call_connect(struct act_scratch *s, const struct task_struct *p,
					 const struct bh_trace_task *t)
{
	const struct sock *sk = unix_of(p, s->arg[0]);
	const struct unix_sock *peer;
	const struct dentry *d;

	if (!sk)
		return;
	peer = (const struct unix_sock *)BPF_CORE_READ((const struct unix_sock *)sk, peer);
	d = BPF_CORE_READ(peer, path.dentry);
	if (!d || !(name_bits(s, d) & BH_TRACE_N_CONNECT))
		return;
	act_walk(s, (const struct path *)__builtin_preserve_access_index(&peer->path));
	call_note(s, t, BH_CALL_CONNECT, BPF_CORE_READ(d, d_inode, i_ino));
}

static __always_inline void call_simple(struct act_scratch *s, const struct task_struct *p,
					const struct bh_trace_task *t, __u8 class)
{
	__u64 what = 0;

	s->text[0][0] = 0;
	switch (class) {
	case BH_CALL_PTRACE:
		if (!ptrace_is_told(s->arg[0]))
			return;
		what = s->arg[0] << 32 | target_note(s, p, t, s->arg[1]);
		break;
	case BH_CALL_VMREAD:
	case BH_CALL_VMWRITE:
		what = target_note(s, p, t, s->arg[0]);
		break;
	case BH_CALL_BPF:
		what = s->arg[0];
		if (bpf_takes_away(what)) {
			call_key(s, t, class, what);
			s->is_high = 1;
			act_note(s, t); /* each time */
			return;
		}
		break;
	case BH_CALL_GETFD:
		s->arg[2] = BH_TRACE_TARGET_UNKNOWN;
		s->arg[3] = 0;
		break;
	case BH_CALL_MODULE:
		s->arg[3] = s->ret;
		what = s->ret < 0;
		break;
	case BH_CALL_SOCKET:
		if (!socket_is_told(s->arg[0], s->arg[1]))
			return;
		what = socket_key(s->arg[0], s->arg[1], s->arg[2]);
		break;
	case BH_CALL_MEMFD:
		claim(s, 0, s->arg[0]);
		break;
	case BH_CALL_SETNS:
		what = s->arg[1];
		break;
	case BH_CALL_NEWMOUNT:
		break;
	default:
		what = s->arg[0];
		break;
	}
	call_note(s, t, class, what);
}

static __always_inline void call_mount(struct act_scratch *s, const struct bh_trace_task *t)
{
	claim(s, 0, s->arg[0]);
	claim(s, 1, s->arg[1]);
	act_key(s, t, BH_TRACE_CALL, BH_CALL_MOUNT);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	s->key.ino = text_hash(s->text[1]);
	s->key.dev = s->call;
	if (!act_is_known(s, t))
		act_note(s, t);
}

static __always_inline void call_root(struct act_scratch *s, const struct bh_trace_task *t)
{
	claim(s, 0, s->arg[0]);
	call_note(s, t, BH_CALL_ROOT, text_hash(s->text[0]));
}

/* Opens, with the flags that the caller asked for. */
static __always_inline int call_of_open(struct act_scratch *s, struct task_struct *p,
					struct bh_trace_task *t, __u8 class)
{
	__u64 flags = 0;

	switch (class) {
	case BH_CALL_OPEN:
		s->user = s->arg[0];
		flags = s->arg[1];
		break;
	case BH_CALL_CREAT:
		flags = O_TRUNC;
		break;
	case BH_CALL_OPENAT:
		s->user = s->arg[1];
		flags = s->arg[2];
		break;
	case BH_CALL_HANDLE:
		flags = s->arg[2];
		break;
	case BH_CALL_OPENAT2:
		s->user = s->arg[1];
		if (bpf_probe_read_user(&flags, sizeof(flags), (const void *)s->arg[2]))
			flags = 0;
		break;
	default:
		return 0;
	}
	call_open(s, p, t, flags);
	return 1;
}

/* A link that call_symlink told and that is there now, for paths that will go through it. */
static __always_inline void link_note(struct act_scratch *s)
{
	const struct dentry *entry;
	struct bh_look_link_key key;

	if (s->is_lost || s->text[0][BH_PATH_MAX - 2] || !look_child(&s->look))
		return;
	entry = (const struct dentry *)s->look.found;
	key = look_link_key(READ(struct dentry, entry, d_inode));
	bpf_map_update_elem(&trace_link, &key, s->text[0], BPF_ANY);
}

/* Other classes that leave a file or name one. */
static __always_inline int call_of_file(struct act_scratch *s, struct task_struct *p,
					struct bh_trace_task *t, __u8 class)
{
	switch (class) {
	case BH_CALL_MMAP:
		if (s->arg[3] & MAP_SHARED)
			s->flags |= BH_TRACE_F_SHARED;
		call_map(s, p, t, s->ret);
		return 1;
	case BH_CALL_MPROTECT:
		call_map(s, p, t, s->arg[0]);
		return 1;
	case BH_CALL_FCHMOD:
		s->mode = s->arg[1];
		if (s->mode & MODE_TOLD)
			call_fchmod(s, p, t, s->mode);
		else
			call_fchange(s, p, t);
		return 1;
	case BH_CALL_FXATTR:
		if (xattr_is_told(s, 1))
			call_fchmod(s, p, t, MODE_CAPABLE);
		else
			call_fchange(s, p, t);
		return 1;
	case BH_CALL_FCHANGE:
		call_fchange(s, p, t);
		return 1;
	case BH_CALL_FTRUNCATE:
		call_ftruncate(s, p, t);
		return 1;
	case BH_CALL_EXEC:
		call_exec(s, p, t);
		return 1;
	}
	return 0;
}

/* Is there a directory's descriptor before each path? */
static __always_inline __u32 call_has_dirs(__u8 class)
{
	switch (class) {
	case BH_CALL_RENAMEAT:
	case BH_CALL_LINKAT:
	case BH_CALL_SYMLINKAT:
	case BH_CALL_FCHMODAT:
	case BH_CALL_UNLINKAT:
	case BH_CALL_MKDIRAT:
	case BH_CALL_MKNODAT:
	case BH_CALL_CHANGEAT:
	case BH_CALL_XATTRAT:
		return 1;
	}
	return 0;
}

/* Classes whose paths only the caller knows. at: the first path's argument. */
static __always_inline int call_of_path(struct act_scratch *s, const struct bh_trace_task *t,
					__u8 class)
{
	__u32 at = call_has_dirs(class);

	s->has_dirs = at;
	switch (class) {
	case BH_CALL_RENAME:
	case BH_CALL_RENAMEAT:
		call_paths(s, t, BH_TRACE_OP_RENAME, at, 1 + 2 * at);
		return 1;
	case BH_CALL_LINK:
	case BH_CALL_LINKAT:
		s->follows = at && (s->arg[4] & AT_SYMLINK_FOLLOW);
		call_paths(s, t, BH_TRACE_OP_LINK, at, 1 + 2 * at);
		return 1;
	case BH_CALL_SYMLINK:
	case BH_CALL_SYMLINKAT:
		call_symlink(s, t, 1 + at);
		link_note(s);
		return 1;
	case BH_CALL_CHMOD:
	case BH_CALL_FCHMODAT:
		call_chmod(s, t, at);
		return 1;
	case BH_CALL_UNLINK:
	case BH_CALL_UNLINKAT:
		call_unlink(s, t, at);
		return 1;
	case BH_CALL_MKDIR:
	case BH_CALL_MKDIRAT:
		call_change(s, t, BH_TRACE_OP_MKDIR, at);
		return 1;
	case BH_CALL_MKNOD:
	case BH_CALL_MKNODAT:
		call_mknod(s, t, at);
		return 1;
	case BH_CALL_CHANGE:
	case BH_CALL_CHANGEAT: /* without a path: of the descriptor */
		call_change(s, t, BH_TRACE_OP_ATTR, at);
		return 1;
	case BH_CALL_XATTR:
	case BH_CALL_XATTRAT:
		call_xattr(s, t, at, 1 + 2 * at);
		return 1;
	case BH_CALL_TRUNCATE:
		s->flags |= s->arg[1] ? 0 : BH_TRACE_F_TRUNCATED;
		s->follows = 1;
		call_paths(s, t, BH_TRACE_OP_WRITE, 0, 0);
		return 1;
	}
	return 0;
}

static __always_inline void call_judge(struct act_scratch *s, struct task_struct *p,
				       struct bh_trace_task *t, __u8 class)
{
	s->user = s->mode = s->follows = s->is_copied = 0;
	if (call_of_open(s, p, t, class) || call_of_file(s, p, t, class) ||
	    call_of_path(s, t, class))
		return;
	switch (class) {
	case BH_CALL_SETID:
		call_setid(s, p, t);
		break;
	case BH_CALL_MOUNT:
		call_mount(s, t);
		break;
	case BH_CALL_ROOT:
		call_root(s, t);
		break;
	case BH_CALL_CONNECT:
		call_connect(s, p, t);
		break;
	case BH_CALL_SENDTO:
	case BH_CALL_SENDMSG:
	case BH_CALL_SENDMMSG:
		call_send(s, p, t, class);
		break;
	case BH_CALL_CLONE:
	case BH_CALL_CLONE3:
		call_clone(s, t, class);
		break;
	case BH_CALL_PRCTL:
		call_prctl(s, t);
		break;
	default:
		call_simple(s, p, t, class);
	}
}

#define EFAULT 14

/* Of its class alone: nearly all calls that pods make are of none. */
static __always_inline int call_is_told(__u8 class, long ret)
{
	/* who has the right to another's memory has only missed the address */
	if (ret < 0 && ret > -4096)
		return class == BH_CALL_MODULE || class == BH_CALL_BPF ||
		       (ret == -EFAULT && (class == BH_CALL_VMREAD || class == BH_CALL_VMWRITE));
	return class != 0;
}

/* Whose call it is is asked for last, for that costs more than all before it. */
SEC("tp_btf/sys_exit")
int BPF_PROG(bh_watch_exit, struct pt_regs *regs, long ret)
{
	struct task_struct *p = bpf_get_current_task_btf();
	const struct bh_trace_config *cfg = trace_config_get();
	__u32 nr = call_number(regs), wanted, flags = 0;
	int is_told, is_refused = 0;
	struct act_scratch *s;
	struct bh_trace_task *t;
	__u8 class;

	if (!cfg || nr >= BH_TRACE_CALLS)
		return 0;
	class = task_is_foreign(p) ? BH_CALL_FOREIGN : call_table.class[nr & (BH_TRACE_CALLS - 1)];
	is_told = call_is_told(class, ret);
	wanted = cfg->wanted;
	if (likely(!is_told && !wanted))
		return 0;
	t = bpf_task_storage_get(&trace_task, p, NULL, 0);
	if (!t)
		return 0;
	if (wanted & (BH_TRACE_WANT_SEQ | BH_TRACE_WANT_LEARN))
		seq_step(p, t, class == BH_CALL_FOREIGN ? BH_GRAM_CALLS : nr);
	if (class == BH_CALL_FOREIGN && bpf_core_field_exists(regs->bx))
		nr = call_native(regs, nr);
	if (wanted & BH_TRACE_WANT_POLICY)
		is_refused = call_is_refused(t, nr, &flags);
	if (!is_told && !is_refused)
		return 0;
	s = act_scratch_get();
	if (!s)
		return 0;
	s->call = nr;
	s->ret = ret;
	s->flags = flags;
	s->is_high = is_refused;
	call_args(s, regs);
	if (is_refused) {
		s->text[0][0] = 0;
		call_note(s, t, BH_CALL_DENIED, nr);
	} else if (class == BH_CALL_FOREIGN) {
		s->text[0][0] = 0;
		call_note(s, t, BH_CALL_FOREIGN, 0);
	} else {
		call_judge(s, p, t, class);
	}
	return 0;
}

/* Run by the daemon, about descriptors of its own: where the kernel keeps the names of files. */
SEC("syscall")
int bh_look_at(struct bh_look_at *ctx)
{
	const struct file *f = act_file(bpf_get_current_task_btf(), ctx->fd);
	const struct dentry *d = f ? READ(struct file, f, f_path.dentry) : NULL;

	if (!d)
		return 0;
	ctx->hash = READ(struct dentry, d, d_name.hash);
	ctx->place = (__u64)READ(struct dentry, d, d_hash.pprev);
	return 1;
}

/* Run by the daemon: which calls the slot made since the last time. 1 when there is such a slot. */
SEC("syscall")
int bh_learn_taken(struct bh_learn_take *ctx)
{
	__u32 slot = ctx->slot;
	struct bh_trace_learn *l = bpf_map_lookup_elem(&trace_learn, &slot);
	struct bh_trace_slot *b;

	if (!l || l->generation != ctx->generation)
		return 0;
	for (__u32 i = 0; i < BH_TRACE_CALLS / 64; i++)
		ctx->calls[i] = __sync_fetch_and_and(&l->calls[i], 0);
	b = books_of(slot);
	if (b)
		__sync_fetch_and_add(&b->round, 1);
	return 1;
}

/* The daemon fetched so many grams of a slot. */
SEC("syscall")
int bh_seq_fetched(struct bh_seq_fetched *f)
{
	__u32 slot = f->slot;
	struct bh_trace_seq *q = bpf_map_lookup_elem(&trace_seq, &slot);

	if (!q || q->generation != f->generation)
		return 0;
	__sync_fetch_and_add(&q->held, -f->n);
	return 1;
}

/* Run by the daemon before it looks at what was learnt: calls that tasks sleep in have not ended.
 */
SEC("iter/task")
int bh_learn_waiting(struct bpf_iter__task *ctx)
{
	struct task_struct *p = ctx->task;
	struct bh_trace_task *t = p ? bpf_task_storage_get(&trace_task, p, NULL, 0) : NULL;
	const struct bh_trace_slot *b = t ? books_of(t->slot) : NULL;
	__u32 nr;

	/* what runs may be just entering, with something else where the number will be */
	if (!b || b->learn != t->generation || task_is_foreign(p) ||
	    !BPF_CORE_READ((struct task_struct___state *)p, __state))
		return 0;
	nr = call_number((const struct pt_regs *)bpf_task_pt_regs(p));
	if (nr < BH_TRACE_CALLS)
		calls_learn(t, nr, 0);
	return 0;
}

/* Learn mode only. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(bh_watch_end, struct task_struct *p)
{
	struct bh_trace_task *t = bpf_task_storage_get(&trace_task, p, NULL, 0);

	if (t)
		seq_end(p, t);
	return 0;
}

char _license[] SEC("license") = "GPL";

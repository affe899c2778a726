/* extra.bpf.c - what else a pod's task can do that no system call hook is needed for: listen,
 * signal somebody outside, load a module, make an io_uring. Each program is optional; kernels
 * without the tracepoint do without. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "lib/trace_act.bpf.h"

#define TCP_SYN_SENT 2
#define TCP_LISTEN   10
#define PROTO_TCP    6
#define AF_INET	     2
#define SIGCHLD	     17
#define NO_NUMBER    0xffffffffu

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} extra_busy SEC(".maps");

/* An interrupt may come in the middle of one of us. NULL: then the act is counted as lost. */
static __always_inline struct act_scratch *scratch_take(const struct bh_trace_task *t)
{
	__u32 zero = 0, *busy = bpf_map_lookup_elem(&extra_busy, &zero);
	struct bh_trace_slot *b;

	if (busy && __sync_val_compare_and_swap(busy, 0, 1) == 0)
		return bpf_map_lookup_elem(&act_scratch, &zero);
	b = books_of(t->slot);
	if (b && b->generation == t->generation) {
		__sync_fetch_and_add(&b->seen, 1);
		__sync_fetch_and_add(&b->lost, 1);
	}
	return NULL;
}

static __always_inline void scratch_put(void)
{
	__u32 zero = 0, *busy = bpf_map_lookup_elem(&extra_busy, &zero);

	if (busy)
		(void)__sync_lock_test_and_set(busy, 0);
}

/* Told once for each image and `what`. */
static __always_inline void extra_note(struct act_scratch *s, const struct bh_trace_task *t,
				       __u8 class, __u64 what)
{
	s->call = NO_NUMBER;
	s->flags = 0;
	s->is_high = 0;
	__builtin_memset(&s->id, 0, sizeof(s->id));
	act_key(s, t, BH_TRACE_CALL, class);
	s->key.ino = what;
	s->key.dev = NO_NUMBER;
	s->text[1][0] = 0;
	if (!act_is_known(s, t))
		act_note(s, t);
}

static __always_inline struct bh_trace_task *current_of_pod(void)
{
	return bpf_task_storage_get(&trace_task, bpf_get_current_task_btf(), NULL, 0);
}

union peer {
	__u8 b[16];
	__u32 w[4];
	__u64 d[2];
};

static __always_inline int sock_is_loopback(const struct sock *sk)
{
	if (sk->__sk_common.skc_family == AF_INET)
		return (sk->__sk_common.skc_rcv_saddr & 0xff) == 127;
	return sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0] == 0 &&
	       sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1] == 0 &&
	       sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2] == 0 &&
	       sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3] == __builtin_bswap32(1);
}

/* The peer as the daemon writes addresses, v4-mapped; 0: it is the pod itself. */
static __always_inline int peer_address(const struct sock *sk, union peer *to)
{
	const struct in6_addr *v6 = __builtin_preserve_access_index(&sk->__sk_common.skc_v6_daddr);
	__u32 v4 = sk->__sk_common.skc_daddr;

	__builtin_memset(to, 0, sizeof(*to));
	if (sk->__sk_common.skc_family != AF_INET)
		bpf_probe_read_kernel(to, sizeof(*to), v6);
	if (sk->__sk_common.skc_family == AF_INET ||
	    (!to->w[0] && !to->w[1] && to->w[2] == bpf_htonl(0xffff))) {
		to->w[0] = to->w[1] = 0;
		to->w[2] = bpf_htonl(0xffff);
		to->w[3] = v4;
		return (v4 & 0xff) != 127;
	}
	return to->w[0] || to->w[1] || to->w[2] || to->w[3] != bpf_htonl(1);
}

/* Of link-local addresses each is told, for clouds keep their secrets at some of them. */
static __always_inline __u64 peer_matters(const union peer *to)
{
	return to->b[10] == 0xff && to->b[12] == 169 && to->b[13] == 254 ? to->w[3] : 0;
}

/* Everything else once for each image: who connects, and whether the one before it did. */
static __always_inline void begin_connection(const struct sock *sk)
{
	struct bh_trace_task *t = current_of_pod();
	struct act_scratch *s;
	union peer to;
	__u32 after;

	if (!t || !peer_address(sk, &to))
		return;
	t->flags |= BH_TRACE_T_CONNECTED;
	after = t->flags & BH_TRACE_T_AFTER ? 65536 : 0;
	s = scratch_take(t);
	if (!s)
		return;
	s->arg[0] = bpf_ntohs(sk->__sk_common.skc_dport) | after;
	s->arg[1] = to.d[0];
	s->arg[2] = to.d[1];
	s->arg[3] = 0;
	s->text[0][0] = 0;
	extra_note(s, t, BH_CALL_TCP, peer_matters(&to) << 1 | !!after);
	scratch_put();
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(bh_extra_listen, const struct sock *sk, int oldstate, int newstate)
{
	struct bh_trace_task *t;
	struct act_scratch *s;

	if (newstate == TCP_SYN_SENT)
		begin_connection(sk);
	if (newstate != TCP_LISTEN)
		return 0;
	t = current_of_pod();
	s = t ? scratch_take(t) : NULL;
	if (!s)
		return 0;
	s->arg[0] = sk->__sk_common.skc_num;
	s->arg[1] = PROTO_TCP;
	s->arg[2] = sock_is_loopback(sk);
	s->arg[3] = 0;
	s->text[0][0] = 0;
	extra_note(s, t, BH_CALL_LISTEN, s->arg[0] << 1 | s->arg[2]);
	scratch_put();
	return 0;
}

/* To a task of another pod, or of none. Every end of a container tells its runtime by SIGCHLD. */
SEC("tp_btf/signal_generate")
int BPF_PROG(bh_extra_signal, int sig, void *info, struct task_struct *task)
{
	struct bh_trace_task *t, *to;
	struct act_scratch *s;

	if (sig == SIGCHLD)
		return 0;
	t = current_of_pod();
	if (!t)
		return 0;
	to = bpf_task_storage_get(&trace_task, task, NULL, 0);
	if (to && to->slot == t->slot && to->generation == t->generation)
		return 0;
	s = scratch_take(t);
	if (!s)
		return 0;
	s->arg[0] = sig;
	s->arg[1] = task->tgid;
	s->arg[2] = s->arg[3] = 0;
	s->text[0][0] = 0;
	extra_note(s, t, BH_CALL_SIGNAL, (__u64)s->arg[1] << 8 | sig);
	scratch_put();
	return 0;
}

SEC("tp_btf/module_load")
int BPF_PROG(bh_extra_module, struct module *mod)
{
	struct bh_trace_task *t = current_of_pod();
	struct act_scratch *s = t ? scratch_take(t) : NULL;

	if (!s)
		return 0;
	__builtin_memset(s->arg, 0, sizeof(s->arg));
	bpf_probe_read_kernel_str(s->text[0], BH_PATH_MAX, mod->name);
	extra_note(s, t, BH_CALL_MODULE, 0);
	scratch_put();
	return 0;
}

SEC("tp_btf/io_uring_create")
int BPF_PROG(bh_extra_uring)
{
	struct bh_trace_task *t = current_of_pod();
	struct act_scratch *s = t ? scratch_take(t) : NULL;

	if (!s)
		return 0;
	__builtin_memset(s->arg, 0, sizeof(s->arg));
	s->text[0][0] = 0;
	extra_note(s, t, BH_CALL_URING, 0);
	scratch_put();
	return 0;
}

/* The host-network pod below whose cgroup this one lies; 0: none. */
static __always_inline __u32 slot_of_group(const struct cgroup *group)
{
	const struct cgroup_subsys_state *css =
		(const void *)group + bpf_core_field_offset(struct cgroup, self);
	__u32 level;

	for (level = 0; css && level < CGROUP_LEVELS; level++) {
		__u64 id = BPF_CORE_READ(css, cgroup, kn, id);
		__u32 *slot = bpf_map_lookup_elem(&trace_cgroup, &id);

		if (slot)
			return *slot;
		css = BPF_CORE_READ(css, parent);
	}
	return 0;
}

/* Whose a task is from the moment it is in a pod's cgroup, before it executes anything there. What
 * it executed elsewhere is nobody's business: it has no image until then. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(bh_extra_attach, struct cgroup *group, const char *path, struct task_struct *task)
{
	const struct bh_trace_config *cfg = trace_config_get();
	__u32 slot = cfg && cfg->has_cgroups ? slot_of_group(group) : 0, generation;
	struct bh_trace_task *t;

	if (!slot || slot < BH_MAX_SLOTS || !slot_generation(slot, &generation))
		return 0;
	t = bpf_task_storage_get(&trace_task, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t || (t->slot == slot && t->generation == generation))
		return 0;
	__builtin_memset(t, 0, sizeof(*t));
	t->slot = slot;
	t->generation = generation;
	t->pid = task->tgid;
	t->uid = BPF_CORE_READ(task, cred, euid.val);
	t->self_exec = BPF_CORE_READ(task, self_exec_id);
	return 0;
}

char _license[] SEC("license") = "GPL";

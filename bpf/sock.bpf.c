/* sock.bpf.c - socket calls of pods: refused at once, with the process that tried.
 *
 * A help for applications and for people; the authority is the packet side, which remembers through
 * the sk storage `opener` what only a hook in the caller's context can see. Attached at the root of
 * the cgroup2 hierarchy; the network namespace's cookie says whose call it is. */
#include "lib/emit.bpf.h"
#include "lib/exe.bpf.h"
#include "lib/policy.bpf.h"

#define CALL_REFUSE 0
#define CALL_PASS   1

#define PROTO_MPTCP 262

#define CGROUP_LEVELS 8 /* depth below the root at which a pod's cgroup may lie */

struct call {
	union addr remote;
	struct bh_slot *slot; /* NULL: not a pod */
	__u64 until_ns;
	__u32 slot_id;
	__be16 port;
	__u16 proc;
	__u8 proto;
	__u8 is_v6;
	__u8 is_conditional; /* the verdict depends on proc */
	__u8 is_connect;
};

/* Atomic, because a packet program may interrupt this one on its CPU. */
static __always_inline void call_count_drop(__u8 reason)
{
	struct bh_drop *d = drop_of(reason);

	if (d)
		__sync_fetch_and_add(&d->packets, 1);
}

static __always_inline int call_is_ours(struct call *c, __u64 cookie)
{
	__u32 *id = bpf_map_lookup_elem(&slot_by_cookie, &cookie);

	c->slot_id = id ? *id : 0;
	c->slot = c->slot_id ? slot_of(c->slot_id) : NULL;
	return c->slot != NULL;
}

/* Host-network pods have no namespace of their own; their cgroup, or one above it, is listed. */
static __always_inline int hostnet_is_quarantined(const struct bh_config *cfg)
{
	__u32 level;

	if (!cfg || !cfg->has_hostnet_quarantine)
		return 0;
	for (level = 0; level < CGROUP_LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return 0;
		if (bpf_map_lookup_elem(&quarantined_cgroup, &id))
			return 1;
	}
	return 0;
}

static __always_inline int slot_is_closed(const struct bh_slot *slot)
{
	__u32 flags = *(volatile const __u32 *)&slot->flags;

	if (!(flags & BH_SLOT_LIVE) || (flags & BH_SLOT_SHUT))
		return 1;
	return (flags & BH_SLOT_QUARANTINE) && !(flags & BH_SLOT_QALLOW);
}

static __always_inline __u8 closed_reason(const struct bh_slot *slot)
{
	return slot->flags & BH_SLOT_QUARANTINE ? BH_R_QUARANTINE : BH_R_SHUT;
}

/* Never leaves the pod. */
static __always_inline int call_is_local(const struct call *c)
{
	if (addr_is_loopback(&c->remote) || addr_is_unspecified(&c->remote))
		return 1;
	return c->slot && addr_own(c->slot, c->slot_id, &c->remote, c->is_v6) != ADDR_NOT_OWN;
}

/* Asks policy; walks the caller's path only where the answer depends on it. */
static __always_inline int call_policy(struct call *c, struct exe_scratch **s, __u32 *path_len)
{
	struct bh_config *cfg = config_get();
	struct ask a = {};
	__u32 class, side;

	if (!cfg || cfg->epoch < 2)
		return BH_R_TABLE_INCOMPLETE;
	side = *(volatile __u32 *)&cfg->epoch & 1;
	class = class_of(&c->remote, c->is_v6, side, cfg->has_cidrs[side]);
	if ((class & BH_CLASS_NODE) && cfg->node_mode == BH_NODE_ALLOW)
		return BH_R_NODE;
	a.ruleset = c->slot->side[side].ruleset[BH_EGRESS];
	a.class = class & ~BH_CLASS_NODE;
	a.port = c->port;
	a.proto = c->proto;
	policy_eval_any(&a);
	if (a.reason != BH_R_PROCESS_UNKNOWN)
		return a.reason;
	c->is_conditional = 1;
	*s = exe_scratch_get();
	if (!*s)
		return BH_R_PROCESS_UNKNOWN;
	*path_len = exe_path(*s);
	c->proc = exe_proc(*s, *path_len);
	a.proc = c->proc;
	policy_eval_any(&a);
	return a.reason;
}

/* A connect() starts a connection of its own; a datagram with an address only tells who sends where
 * that matters, else an earlier answer stays. */
static __always_inline void call_remember(struct bpf_sock_addr *ctx, const struct call *c)
{
	struct bh_opener *o;

	if (!ctx->sk || (!c->is_connect && !c->is_conditional))
		return;
	o = bpf_sk_storage_get(&opener, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!o)
		return;
	o->generation = c->slot->generation;
	o->slot = c->slot_id;
	o->proc = c->proc;
	if (c->is_connect)
		o->connected = bpf_get_current_pid_tgid() >> 32 ?: 1;
}

/* edge_count, verified once for all calls; hence the copy. */
__noinline int call_count(struct edge_add *a)
{
	struct edge_add own;
	int r;

	if (!a)
		return EDGE_LOST;
	own = *a;
	r = edge_count(&own, 0);
	*a = own;
	return r;
}

static __always_inline void call_report(const struct call *c, __u8 reason, struct exe_scratch **s,
					__u32 path_len)
{
	struct edge_add a = {};
	int r;

	call_count_drop(reason);
	__builtin_memcpy(a.key.remote, &c->remote, sizeof(a.key.remote));
	a.key.slot = c->slot_id;
	a.key.port = c->port;
	a.key.dir = BH_EGRESS;
	a.key.proto = c->proto;
	a.key.verdict = BH_DENIED;
	a.key.reason = reason;
	a.e.first_ns = a.e.last_ns = bpf_ktime_get_ns();
	a.e.packets = 1;
	a.e.generation = c->slot->generation;
	a.e.pid = bpf_get_current_pid_tgid() >> 32;
	a.e.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(a.e.comm, sizeof(a.e.comm));
	r = call_count(&a);
	if (r != EDGE_NEW && r != EDGE_OTHER_PROCESS)
		return;
	if (!*s) {
		*s = exe_scratch_get();
		if (*s)
			path_len = exe_path(*s);
	}
	edge_announce(&a, *s && path_len ? (*s)->key.path : NULL, path_len);
}

static __always_inline int call_verdict(struct call *c, struct exe_scratch **s, __u32 *path_len)
{
	int r;

	if (slot_is_closed(c->slot))
		return closed_reason(c->slot);
	if (c->slot->flags & BH_SLOT_QUARANTINE) /* with an allow-list, which tc holds */
		return BH_R_QUARANTINE_ALLOW;
	r = call_policy(c, s, path_len);
	if (verdict_is_policy(r) && (c->slot->flags & BH_SLOT_SHADOW))
		return BH_R_SHADOW;
	return r;
}

/* An answer to a datagram that was let in: its flow vouches for it at the interface. Which of the
 * pod's addresses it will leave from is not known yet. */
static __always_inline int call_is_reply(const struct bpf_sock_addr *ctx, const struct call *c)
{
	struct bh_flow_key key = {.slot = c->slot_id, .proto = c->proto, .rport = c->port};
	__u64 now = bpf_ktime_get_ns();
	struct bh_flow *f;
	__u32 i;

	if (c->proto != IPPROTO_UDP || !ctx->sk || slot_is_closed(c->slot))
		return 0;
	if (c->slot->flags & BH_SLOT_MORE_ADDRS) /* left to the interface */
		return 1;
	__builtin_memcpy(key.remote, &c->remote, sizeof(key.remote));
	key.lport = bpf_htons(ctx->sk->src_port);
	for (i = 0; i < BH_INLINE_ADDRS; i++) {
		key.addr_no = (c->is_v6 ? BH_INLINE_ADDRS : 0) + i;
		f = bpf_map_lookup_elem(&flow, &key);
		if (f && f->generation == c->slot->generation && f->dir == BH_INGRESS &&
		    (__s64)(now - f->last_ns) <= (__s64)verdict_idle_limit(c->proto, f->flags))
			return 1;
	}
	return 0;
}

/* connect and sendmsg: the only exit. */
static __always_inline int call_judge(struct bpf_sock_addr *ctx, struct call *c)
{
	struct exe_scratch *s = NULL;
	__u32 path_len = 0;
	int r;

	if (addr_is_mapped4(&c->remote))
		c->is_v6 = 0;
	if (!call_is_ours(c, bpf_get_netns_cookie(ctx))) {
		if (call_is_local(c) || !hostnet_is_quarantined(config_get()))
			return CALL_PASS;
		call_count_drop(BH_R_QUARANTINE);
		return CALL_REFUSE;
	}
	c->port = ctx->user_port;
	c->proto = ctx->protocol;
	if (ctx->protocol == PROTO_MPTCP)
		c->proto = IPPROTO_TCP;
	r = call_is_local(c) ? BH_R_POLICY : call_verdict(c, &s, &path_len);
	if (!verdict_passes(r) && call_is_reply(ctx, c))
		r = BH_R_ESTABLISHED;
	if (verdict_passes(r))
		call_remember(ctx, c);
	else
		call_report(c, r, &s, path_len);
	exe_scratch_put(s);
	return verdict_passes(r) ? CALL_PASS : CALL_REFUSE;
}

/* bind: a closed pod may only use addresses that stay inside. */
static __always_inline int bind_judge(struct bpf_sock_addr *ctx, struct call *c)
{
	int is_ours = call_is_ours(c, bpf_get_netns_cookie(ctx));

	if (addr_is_mapped4(&c->remote))
		c->is_v6 = 0;
	if (is_ours ? !slot_is_closed(c->slot) : !hostnet_is_quarantined(config_get()))
		return CALL_PASS;
	if (call_is_local(c))
		return CALL_PASS;
	call_count_drop(BH_R_SOCKET_REFUSED);
	return CALL_REFUSE;
}

static __always_inline void call_addr6(struct bpf_sock_addr *ctx, struct call *c)
{
	c->is_v6 = 1;
	c->remote.w[0] = ctx->user_ip6[0];
	c->remote.w[1] = ctx->user_ip6[1];
	c->remote.w[2] = ctx->user_ip6[2];
	c->remote.w[3] = ctx->user_ip6[3];
}

SEC("cgroup/connect4")
int bh_connect4(struct bpf_sock_addr *ctx)
{
	struct call c = {.is_connect = 1};

	addr_set4(&c.remote, ctx->user_ip4);
	return call_judge(ctx, &c);
}

SEC("cgroup/connect6")
int bh_connect6(struct bpf_sock_addr *ctx)
{
	struct call c = {.is_connect = 1};

	call_addr6(ctx, &c);
	return call_judge(ctx, &c);
}

SEC("cgroup/sendmsg4")
int bh_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct call c = {};

	addr_set4(&c.remote, ctx->user_ip4);
	return call_judge(ctx, &c);
}

SEC("cgroup/sendmsg6")
int bh_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct call c = {};

	call_addr6(ctx, &c);
	return call_judge(ctx, &c);
}

SEC("cgroup/bind4")
int bh_bind4(struct bpf_sock_addr *ctx)
{
	struct call c = {};

	addr_set4(&c.remote, ctx->user_ip4);
	return bind_judge(ctx, &c);
}

SEC("cgroup/bind6")
int bh_bind6(struct bpf_sock_addr *ctx)
{
	struct call c = {};

	call_addr6(ctx, &c);
	return bind_judge(ctx, &c);
}

SEC("cgroup/sock_create")
int bh_sock_create(struct bpf_sock *ctx)
{
	struct call c = {};
	int is_closed;

	if (call_is_ours(&c, bpf_get_netns_cookie(ctx)))
		is_closed = slot_is_closed(c.slot);
	else
		is_closed = hostnet_is_quarantined(config_get());
	if (!is_closed)
		return CALL_PASS;
	call_count_drop(BH_R_SOCKET_REFUSED);
	return CALL_REFUSE;
}

char _license[] SEC("license") = "GPL";

/* kernel_eval.h - the kernel as an evaluator of policy: a world is compiled and published into real
 * maps, every pod is an interface of its own, and a question is a packet that the programs judge
 * under BPF_PROG_RUN. Every half is compared with the reference evaluator, with the compiled tables
 * and with bh_datapath_decide. Failures are cmocka failures.
 *
 * The executable behind a packet is told by an entry of the flow table that an older policy left:
 * the program must decide it again. */
#pragma once

#include "bh_agree.h"
#include "dp_env.h"
#include "frame.h"

#define KE_PODS	    40
#define KE_IPS	    8
#define KE_ABROAD   60000 /* interface that forwarded packets came in by */
#define KE_PORT_MIN 20000 /* openers' ports; no world names one of these */
#define KE_PORT_MAX 59999

struct ke_pod { /* slot and interface are its place in the array */
	char name[128];
	struct bh_ip ips[KE_IPS];
	size_t n_ips;
	uint32_t ifindex, generation;
	bool is_live;
};

struct ke_tally {
	size_t halves, allowed, conditional, packets, publishes;
};

struct ke {
	struct dp_env e;
	struct bh_datapath *dp; /* e.dp */
	int prog[2], sweep, drop, flow, usage, exe; /* descriptors */
	struct ke_pod pod[KE_PODS];
	uint64_t drops[BH_R_COUNT]; /* that we know of */
	uint16_t next_port;
	/* in force */
	const struct bh_world *w; /* seen at at_s */
	const struct bh_tables *t;
	int64_t at_s;
	bool is_contested; /* addresses may have several owners: the reference is one bound only */
	struct ke_tally tally;
};

/* ---- the machine ---- */

static inline int ke_pin(const char *kind, const char *name)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), DP_BPFFS "/abi%d/%s/%s", BH_ABI_VERSION, kind, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		fail_msg("'%s': %s", path, strerror(errno));
	return fd;
}

static inline void ke_read_drops(const struct ke *k, uint64_t packets[BH_R_COUNT])
{
	int n = libbpf_num_possible_cpus();
	struct bh_drop v[n];

	for (uint32_t i = 0; i < BH_R_COUNT; i++) {
		packets[i] = 0;
		assert_int_equal(bpf_map_lookup_elem(k->drop, &i, v), 0);
		for (int c = 0; c < n; c++)
			packets[i] += v[c].packets;
	}
}

static inline void ke_open(struct ke *k)
{
	dp_open(&k->e);
	k->dp = k->e.dp;
	k->prog[BH_EGRESS] = ke_pin("progs", "bh_from_pod");
	k->prog[BH_INGRESS] = ke_pin("progs", "bh_to_pod");
	k->sweep = ke_pin("progs", "bh_sweep");
	k->drop = ke_pin("maps", "drop");
	k->flow = ke_pin("maps", "flow");
	k->usage = ke_pin("maps", "usage");
	k->exe = ke_pin("maps", "exe");
	ke_read_drops(k, k->drops);
}

static inline void ke_close(struct ke *k)
{
	const int fds[] = {k->prog[0], k->prog[1], k->sweep, k->drop, k->flow, k->usage, k->exe};

	for (size_t i = 0; i < BH_ARRAY_SIZE(fds); i++)
		close(fds[i]);
	bh_datapath_closep(&k->e.dp);
}

/* As if the daemon had been restarted. */
static inline void ke_reopen(struct ke *k)
{
	ke_close(k);
	ke_open(k);
	assert_true(k->e.is_adopted);
}

static inline int ke_setup(void **state)
{
	struct ke *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	*state = k;
	dp_find_cgroup(k->e.cgroup);
	assert_true(k->e.cgroup[0]);
	assert_true(mkdir(k->e.cgroup, 0755) == 0 || errno == EEXIST);
	dp_sh("i=1; while [ $i -lt %d ]; do echo link add bhk$i type dummy; i=$((i+1)); done | "
	      "ip -batch -",
	      KE_PODS);
	for (unsigned i = 1; i < KE_PODS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "bhk%u", i);
		k->pod[i].ifindex = if_nametoindex(name);
		assert_true(k->pod[i].ifindex > 0 && k->pod[i].ifindex < KE_ABROAD);
	}
	k->next_port = KE_PORT_MIN;
	ke_open(k);
	return 0;
}

static inline int ke_teardown(void **state)
{
	struct ke *k = *state;
	struct bh_err err;

	ke_close(k);
	bh_datapath_remove_all(DP_BPFFS, &err);
	for (unsigned i = 1; i < KE_PODS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "bhk%u", i);
		dp_sh("ip link del %s", name);
	}
	rmdir(k->e.cgroup);
	free(k);
	return 0;
}

/* Forgets every flow. */
static inline void ke_sweep(struct ke *k)
{
	struct bh_sweep_args a = {.all = 1};
	struct bpf_test_run_opts o = {.sz = sizeof(o), .ctx_in = &a, .ctx_size_in = sizeof(a)};

	for (int i = 0; i < 1000; i++) { /* the timer's own sweep may be under way */
		assert_int_equal(bpf_prog_test_run_opts(k->sweep, &o), 0);
		if (o.retval == 0)
			return;
		sched_yield();
	}
	fail_msg("the sweeper is always busy");
}

/* ---- the world ---- */

static inline bool ke_is_subject(const struct bh_pod *pod)
{
	return pod && pod->phase == BH_POD_RUNNING && !pod->host_network;
}

/* Its slot; 0: it has none. */
static inline uint32_t ke_slot(const struct ke *k, const char *ns, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", ns, name);
	for (uint32_t i = 1; i < KE_PODS; i++)
		if (k->pod[i].is_live && strcmp(k->pod[i].name, text) == 0)
			return i;
	return 0;
}

static inline void ke_attach(struct ke *k, const struct bh_pod *pod)
{
	struct bh_attach a = {.slot = 1, .nsid = -1, .has_mac = true, .flags = BH_SLOT_SHUT};
	struct ke_pod *p;
	struct bh_err err;

	while (a.slot < KE_PODS && k->pod[a.slot].is_live)
		a.slot++;
	assert_true(a.slot < KE_PODS && pod->n_ips <= KE_IPS);
	p = &k->pod[a.slot];
	snprintf(p->name, sizeof(p->name), "%s/%s", pod->ident->ns, pod->name);
	memcpy(p->ips, pod->ips, pod->n_ips * sizeof(*p->ips));
	p->n_ips = pod->n_ips;
	a.generation = ++p->generation;
	a.ifindex = p->ifindex;
	a.cookie = 1000000 + a.slot;
	a.owns_cookie = true;
	memcpy(a.mac, rig_mac, sizeof(a.mac));
	a.ips = p->ips;
	a.n_ips = p->n_ips;
	bh_assert_ok(&err, bh_datapath_attach(k->dp, &a, &err));
	p->is_live = true;
}

static inline bool ke_is_current(const struct ke_pod *p, const struct bh_world *w)
{
	char name[128], *slash;
	const struct bh_pod *pod;

	snprintf(name, sizeof(name), "%s", p->name);
	slash = strchr(name, '/');
	*slash = '\0';
	pod = bh_world_pod(w, name, slash + 1);
	return ke_is_subject(pod) && pod->n_ips == p->n_ips &&
	       memcmp(pod->ips, p->ips, p->n_ips * sizeof(*p->ips)) == 0;
}

/* Interfaces of exactly the pods of w. */
static inline void ke_fit(struct ke *k, const struct bh_world *w)
{
	struct bh_err err;

	for (uint32_t i = 1; i < KE_PODS; i++) {
		if (!k->pod[i].is_live || ke_is_current(&k->pod[i], w))
			continue;
		bh_assert_ok(&err, bh_datapath_detach(k->dp, i, &err));
		k->pod[i].is_live = false;
	}
	for (size_t i = 0; i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];

		if (ke_is_subject(pod) && pod->n_ips && !ke_slot(k, pod->ident->ns, pod->name))
			ke_attach(k, pod);
	}
}

static inline void ke_publish(struct ke *k, const struct bh_tables *t, int64_t at_s)
{
	struct bh_publish p = {.tables = t, .now_s = at_s, .now_ns = bh_datapath_now_ns()};
	uint32_t slots[KE_PODS];
	struct bh_err err;

	assert_true(t->n_subjects < KE_PODS);
	p.slots_of = calloc(t->n_subjects + 1, sizeof(*p.slots_of));
	assert_non_null(p.slots_of);
	for (size_t i = 0; i < t->n_subjects; i++) {
		slots[i] = ke_slot(k, t->subjects[i].ns, t->subjects[i].name);
		p.slots_of[i].slot = &slots[i];
		p.slots_of[i].n = slots[i] != 0;
	}
	bh_assert_ok(&err, bh_datapath_publish(k->dp, &p, &err));
	free(p.slots_of);
	k->tally.publishes++;
}

/* The kernel enforces t, whose world is w, and believes that it is at_s. Both are borrowed. */
static inline void ke_enforce(struct ke *k, const struct bh_world *w, const struct bh_tables *t,
			      int64_t at_s)
{
	ke_fit(k, w);
	/* a clock that is set by a second is not believed; by a day and back it is */
	if (at_s != k->at_s)
		ke_publish(k, t, at_s - 86400);
	ke_publish(k, t, at_s);
	k->w = w;
	k->t = t;
	k->at_s = at_s;
	for (uint32_t i = 1; i < KE_PODS; i++)
		if (k->pod[i].is_live)
			assert_int_equal(bh_datapath_set_flags(k->dp, i, 0, BH_SLOT_SHUT), 0);
}

/* ---- packets ---- */

/* One packet of a connection, seen at one end. */
struct ke_shot {
	uint32_t slot;
	enum bh_dir dir; /* of the connection, from the pod's point of view */
	struct bh_ip local, remote;
	uint8_t proto, tcp_flags;
	uint16_t opener_port, port;
	uint32_t came_in_by; /* interface, when the packet goes to the pod */
	bool is_reply;
};

static inline uint16_t ke_fresh_port(struct ke *k)
{
	if (k->next_port == KE_PORT_MAX) {
		k->next_port = KE_PORT_MIN;
		ke_sweep(k);
	}
	return k->next_port++;
}

static inline bool ke_is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static inline void ke_spec(const struct ke_shot *s, struct spec *spec)
{
	bool is4 = bh_ip_is4(&s->local);

	spec->proto = s->proto;
	spec->flags = s->tcp_flags;
	spec->sport = s->is_reply ? s->port : s->opener_port;
	spec->dport = s->is_reply ? s->opener_port : s->port;
	spec->payload = 16;
	if (!ke_is_icmp(s->proto))
		return;
	spec->proto = is4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	spec->id = s->opener_port;
	spec->type = is4 ? (s->is_reply ? 0 : 8) : (s->is_reply ? 129 : 128);
}

/* Does the program let it through? */
static inline bool ke_shoot(struct ke *k, const struct ke_shot *s)
{
	struct __sk_buff ctx = {.ifindex = k->pod[s->slot].ifindex};
	enum bh_dir dir = s->is_reply ? !s->dir : s->dir;
	char local[BH_IP_TEXT], remote[BH_IP_TEXT];
	static struct frame f;
	struct bpf_test_run_opts o = {
		.sz = sizeof(o), .data_in = f.b, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx)};
	struct spec spec = {.src = NULL};

	ke_spec(s, &spec);
	bh_ip_format(&s->local, local);
	bh_ip_format(&s->remote, remote);
	spec.src = dir == BH_EGRESS ? local : remote;
	spec.dst = dir == BH_EGRESS ? remote : local;
	if (dir == BH_INGRESS)
		ctx.ingress_ifindex = s->came_in_by;
	frame_build(&f, dir, &spec);
	o.data_size_in = (uint32_t)f.n;
	if (bpf_prog_test_run_opts(k->prog[dir], &o))
		fail_msg("BPF_PROG_RUN: %s", strerror(errno));
	assert_true((int)o.retval == 2 || (int)o.retval == -1); /* TC_ACT_SHOT, TC_ACT_UNSPEC */
	k->tally.packets++;
	return (int)o.retval == -1;
}

/* Why the last packet was refused: whatever was counted beyond what we know. */
static inline int ke_last_reason(struct ke *k)
{
	uint64_t now[BH_R_COUNT];
	int reason = BH_R_NONE;

	ke_read_drops(k, now);
	for (int i = 0; i < BH_R_COUNT; i++)
		if (now[i] != k->drops[i])
			reason = i;
	memcpy(k->drops, now, sizeof(now));
	return reason;
}

/* Every refusal was counted under the reason that the tables give. */
static inline void ke_check_drops(struct ke *k)
{
	uint64_t now[BH_R_COUNT];

	ke_read_drops(k, now);
	for (int i = 0; i < BH_R_COUNT; i++)
		if (now[i] != k->drops[i])
			fail_msg("%lld packets too many were refused because of '%s'",
				 (long long)(now[i] - k->drops[i]), rig_reason(i));
}

/* ---- executables ---- */

static inline uint16_t ke_proc(struct ke *k, const char *exe)
{
	struct bh_exe_key key = {0};
	uint32_t proc;

	snprintf(key.path, sizeof(key.path), "%s", exe);
	return bpf_map_lookup_elem(k->exe, &key, &proc) ? BH_PROC_OTHER : (uint16_t)proc;
}

static inline uint8_t ke_addr_no(const struct ke_pod *p, const struct bh_ip *ip)
{
	uint8_t n4 = 0, n6 = BH_INLINE_ADDRS, more = 2 * BH_INLINE_ADDRS;

	for (size_t i = 0; i < p->n_ips; i++) {
		uint8_t *n = bh_ip_is4(&p->ips[i]) ? &n4 : &n6;
		uint8_t limit = bh_ip_is4(&p->ips[i]) ? BH_INLINE_ADDRS : 2 * BH_INLINE_ADDRS;
		uint8_t number = *n < limit ? (*n)++ : more++;

		if (bh_ip_cmp(&p->ips[i], ip) == 0)
			return number;
	}
	fail_msg("not an address of %s", p->name);
	return 0;
}

/* The connection was opened by this executable under an older policy. */
static inline void ke_remember(struct ke *k, const struct ke_shot *s, uint16_t proc)
{
	struct bh_flow_key key = {.slot = (uint16_t)s->slot, .proto = s->proto};
	struct bh_flow f = {.epoch = bh_datapath_epoch(k->dp) + 1000,
			    .generation = k->pod[s->slot].generation,
			    .proc = proc,
			    .dir = (uint8_t)s->dir,
			    .flags = BH_FLOW_REPLIED,
			    .reason = BH_R_POLICY};
	struct bh_usage u;

	f.first_ns = f.last_ns = bh_datapath_now_ns();
	key.addr_no = ke_addr_no(&k->pod[s->slot], &s->local);
	memcpy(key.remote, s->remote.b, sizeof(key.remote));
	if (s->proto == IPPROTO_TCP || s->proto == IPPROTO_UDP || s->proto == IPPROTO_SCTP) {
		key.lport = htons(s->opener_port);
		key.rport = htons(s->port);
	} else if (ke_is_icmp(s->proto)) {
		key.proto = bh_ip_is4(&s->local) ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		key.lport = htons(s->opener_port);
		key.rport = htons(bh_ip_is4(&s->local) ? 8 : 128);
	}
	assert_int_equal(bpf_map_lookup_elem(k->usage, &s->slot, &u), 0);
	u.flows++;
	assert_int_equal(bpf_map_update_elem(k->usage, &s->slot, &u, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(k->flow, &key, &f, BPF_NOEXIST), 0);
}

/* ---- halves ---- */

static inline bool ke_is_martian(const struct bh_ip *ip)
{
	static const uint8_t none[15];

	if (bh_ip_is4(ip))
		return ip->b[12] == 0 || ip->b[12] == 127 || (ip->b[12] & 0xf0) == 0xe0 ||
		       bh_ip_to4(ip) == 0xffffffff;
	return ip->b[0] == 0xff || (memcmp(ip->b, none, sizeof(none)) == 0 && ip->b[15] < 2);
}

static inline void ke_fail(const struct ke *k, const struct bh_ask *ask, const char *what)
{
	const struct bh_pod *pod = ask->self.pod;
	char self[BH_IP_TEXT], ip[BH_IP_TEXT], proto[8];

	fail_msg("%s of %s (%s/%s) with %s on %u/%s by %s at %lld: %s",
		 ask->dir == BH_EGRESS ? "egress" : "ingress", bh_ip_format(&ask->self.ip, self),
		 pod ? pod->ident->ns : "", pod ? pod->name : "", bh_ip_format(&ask->peer.ip, ip),
		 ask->port, bh_proto_format(ask->proto, proto), ask->exe ? ask->exe : "anyone",
		 (long long)k->at_s, what);
}

static inline void ke_check_decide(struct ke *k, const struct bh_ask *ask, uint32_t slot,
				   const struct bh_tquestion *q)
{
	struct bh_tquestion anyone = *q;
	struct bh_kernel_verdict has;
	struct bh_tverdict want;
	struct bh_err err;

	anyone.exe = NULL;
	want = bh_tables_ask(k->t, &anyone);
	bh_assert_ok(&err, bh_datapath_decide(k->dp, slot, ask->dir, &ask->peer.ip, ask->proto,
					      ask->port, &has, &err));
	if (has.verdict != want.verdict || has.reason != want.reason ||
	    has.is_conditional != want.is_conditional) {
		print_error("decide: %d %s %d; tables: %d %s %d\n", has.verdict,
			    rig_reason(has.reason), has.is_conditional, want.verdict,
			    rig_reason(want.reason), want.is_conditional);
		ke_fail(k, ask, "the maps do not say what the tables do");
	}
}

/* The tables against the reference. */
static inline void ke_check_reference(const struct ke *k, const struct bh_ask *ask,
				      const struct bh_tverdict *v)
{
	struct bh_half half = bh_refeval_ask(k->w, ask);
	enum bh_verdict want = half.verdict;

	if (half.is_conditional && !ask->exe)
		want = BH_DENIED;
	if (k->is_contested ? v->verdict == BH_ALLOWED && want == BH_DENIED : v->verdict != want)
		ke_fail(k, ask, want == BH_ALLOWED ? "the reference allows, the tables deny"
						   : "the reference denies, the tables allow");
}

/* The packet's verdict, or that of the kernel before it asks policy. */
static inline bool ke_check_packet(struct ke *k, const struct bh_ask *ask, struct ke_shot *s,
				   const struct bh_tverdict *v)
{
	bool is_node, passes, want;

	bh_tables_class(k->t, &ask->peer.ip, &is_node);
	want = v->verdict == BH_ALLOWED ||
	       (is_node && (ask->dir == BH_EGRESS || s->came_in_by == 0));
	if (ke_is_martian(&ask->peer.ip))
		want = false;
	passes = ke_shoot(k, s);
	if (passes != want) {
		print_error("refused because: %s; the tables: %s\n",
			    rig_reason(passes ? 0 : ke_last_reason(k)), rig_reason(v->reason));
		ke_fail(k, ask, passes ? "the packet must not pass" : "the packet must pass");
	}
	if (!passes && !ke_is_martian(&ask->peer.ip))
		k->drops[v->reason]++;
	else if (!passes)
		ke_last_reason(k);
	return passes;
}

static inline struct ke_shot ke_shot_of(uint32_t slot, const struct bh_ask *ask, uint16_t port)
{
	struct ke_shot s = {.slot = slot,
			    .dir = ask->dir,
			    .local = ask->self.ip,
			    .remote = ask->peer.ip,
			    .proto = ask->proto,
			    .tcp_flags = F_SYN,
			    .opener_port = port,
			    .port = ask->port,
			    .came_in_by = KE_ABROAD};

	return s;
}

static inline bool ke_has_half(const struct ke *k, const struct bh_ask *ask)
{
	const struct bh_pod *pod = ask->self.pod;

	return ke_is_subject(pod) && ask->self.has_ip && ask->peer.has_ip &&
	       bh_ip_is4(&ask->self.ip) == bh_ip_is4(&ask->peer.ip) &&
	       bh_ip_cmp(&ask->self.ip, &ask->peer.ip) != 0 &&
	       !bh_refeval_ask(k->w, ask).is_self && ke_slot(k, pod->ident->ns, pod->name);
}

/* All evaluators agree about one half; whether its packet passes. A half that no interface of ours
 * sees passes. s: the packet that was sent. */
static inline bool ke_half(struct ke *k, const struct bh_ask *ask, uint16_t opener_port,
			   bool is_from_node, struct ke_shot *ret_s)
{
	const struct bh_pod *pod = ask->self.pod;
	struct bh_tquestion q = {.dir = ask->dir,
				 .peer = ask->peer.ip,
				 .proto = ask->proto,
				 .port = ask->port,
				 .exe = ask->exe,
				 .now_s = k->at_s};
	struct bh_tverdict v;
	struct ke_shot s;

	*ret_s = (struct ke_shot){.slot = 0};
	if (!ke_has_half(k, ask))
		return true;
	s = ke_shot_of(ke_slot(k, pod->ident->ns, pod->name), ask, opener_port);
	s.came_in_by = is_from_node ? 0 : KE_ABROAD;
	q.subject = bh_tables_subject(k->t, pod->ident->ns, pod->name);
	v = bh_tables_ask(k->t, &q);
	ke_check_reference(k, ask, &v);
	ke_check_decide(k, ask, s.slot, &q);
	if (v.is_conditional && ask->exe) {
		ke_remember(k, &s, ke_proc(k, ask->exe));
		s.tcp_flags = F_ACK;
	}
	k->tally.halves++;
	k->tally.allowed += v.verdict == BH_ALLOWED;
	k->tally.conditional += v.is_conditional;
	*ret_s = s;
	return ke_check_packet(k, ask, &s, &v);
}

/* ---- connections ---- */

struct ke_connection {
	struct ke_shot end[2]; /* opener's, other's; slot 0: not one of ours */
	bool passes;
};

static inline bool ke_passes(struct ke *k, const struct ke_connection *c, uint8_t tcp_flags,
			     bool is_reply)
{
	bool passes = true;

	for (int i = 0; i < 2 && passes; i++) {
		struct ke_shot s = c->end[is_reply ? !i : i];

		s.tcp_flags = tcp_flags;
		s.is_reply = is_reply;
		if (s.slot)
			passes = ke_shoot(k, &s);
	}
	return passes;
}

/* Opens a connection: both halves, and when both pass, the answer's way back. */
static inline struct ke_connection ke_connect(struct ke *k, const struct bh_ask *egress,
					      bool is_from_node)
{
	struct ke_connection c = {.passes = true};
	uint16_t port = ke_fresh_port(k);
	struct bh_ask ask = *egress;

	if (ask.proto != IPPROTO_TCP && ask.proto != IPPROTO_UDP && ask.proto != IPPROTO_SCTP &&
	    !ke_is_icmp(ask.proto))
		ke_sweep(k); /* nothing tells two of them apart */
	ask.dir = BH_EGRESS;
	c.passes = ke_half(k, &ask, port, is_from_node, &c.end[0]);
	ask.dir = BH_INGRESS;
	ask.self = egress->peer;
	ask.peer = egress->self;
	if (!ke_half(k, &ask, port, is_from_node, &c.end[1]))
		c.passes = false;
	if (c.passes && !ke_passes(k, &c, F_SYN | F_ACK, true)) {
		print_error("refused because: %s\n", rig_reason(ke_last_reason(k)));
		ke_fail(k, egress, "the answer must pass");
	}
	return c;
}

static inline void ke_connect_ends(struct ke *k, const struct bh_ask *what, const struct bh_pod *to)
{
	struct bh_ask ask = *what;

	for (size_t i = 0; i < to->n_ips; i++) {
		if (bh_ip_is4(&to->ips[i]) != bh_ip_is4(&ask.self.ip))
			continue;
		ask.peer = bh_refeval_end(k->w, &to->ips[i]);
		ke_connect(k, &ask, false);
	}
}

/* Every pair of addresses of running pods, for one destination port and executable. */
static inline void ke_connect_all(struct ke *k, const struct bh_ask *what)
{
	struct bh_ask ask = *what;

	for (size_t i = 0; i < k->w->n_pods; i++) {
		const struct bh_pod *from = k->w->pods[i];

		for (size_t a = 0; from->phase == BH_POD_RUNNING && a < from->n_ips; a++) {
			ask.self = bh_refeval_end(k->w, &from->ips[a]);
			for (size_t n = 0; n < k->w->n_pods; n++)
				if (k->w->pods[n]->phase == BH_POD_RUNNING)
					ke_connect_ends(k, &ask, k->w->pods[n]);
		}
	}
}

static inline void ke_print_tally(const struct ke *k, const char *what, size_t n)
{
	const struct ke_tally *y = &k->tally;

	print_message("%zu %s; %zu halves (%zu allowed, %zu by executable), %zu packets, "
		      "%zu publishes\n",
		      n, what, y->halves, y->allowed, y->conditional, y->packets, y->publishes);
}

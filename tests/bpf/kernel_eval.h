/* kernel_eval.h - the kernel as an evaluator of policy: a question is a packet that the programs
 * judge under BPF_PROG_RUN. Every half is compared with the reference evaluator, with the compiled
 * tables and with bh_datapath_decide.
 *
 * The executable behind a packet is told by an entry of the flow table that an older policy left:
 * the program must decide it again. */
#pragma once

#include "frame.h"
#include "kernel_world.h"

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
	int n_wrong = 0;

	ke_read_drops(k, now);
	for (int i = 0; i < BH_R_COUNT; i++) {
		long long surplus = (long long)(now[i] - k->drops[i]);

		n_wrong += surplus != 0;
		if (surplus)
			print_error("refused because of '%s': %lld more than expected\n",
				    rig_reason(i), surplus);
	}
	assert_int_equal(n_wrong, 0);
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
	const struct bh_kernel_question kq = {slot, ask->dir, ask->peer.ip, ask->proto, ask->port};
	struct bh_tquestion anyone = *q;
	struct bh_kernel_verdict has;
	struct bh_tverdict want;
	struct bh_err err;

	anyone.exe = NULL;
	want = bh_tables_ask(k->t, &anyone);
	bh_assert_ok(&err, bh_datapath_decide(k->dp, &kq, &has, &err));
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
		ke_fail(k, ask,
			want == BH_ALLOWED ? "the reference allows, the tables deny"
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
	       bh_ip_cmp(&ask->self.ip, &ask->peer.ip) != 0 && !bh_refeval_ask(k->w, ask).is_self &&
	       ke_slot(k, pod->ident->ns, pod->name);
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
	ke_stay(k);
	s = ke_shot_of(ke_slot(k, pod->ident->ns, pod->name), ask, opener_port);
	s.came_in_by = is_from_node ? 0 : KE_ABROAD;
	q.subject = bh_tables_subject(k->t, pod->ident->ns, pod->name);
	v = bh_tables_ask(k->t, &q);
	ke_check_reference(k, ask, &v);
	if (!v.is_conditional) { /* then nobody tells the kernel */
		q.exe = NULL;
		v = bh_tables_ask(k->t, &q);
	}
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

	print_message(
		"%zu %s; %zu halves (%zu allowed, %zu by executable), %zu packets, "
		"%zu publishes\n",
		n, what, y->halves, y->allowed, y->conditional, y->packets, y->publishes);
}

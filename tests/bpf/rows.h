/* rows.h - tables of frames and the verdicts they must get. Each row starts with an empty flow
 * table; `before` frames set the stage and must pass. */
#pragma once

#include "frame.h"

#define OUT BH_EGRESS
#define IN  BH_INGRESS

#define TCP(s, d, sp, dp, fl) .src = s, .dst = d, .proto = 6, .sport = sp, .dport = dp, .flags = fl
#define UDP(s, d, sp, dp)     .src = s, .dst = d, .proto = 17, .sport = sp, .dport = dp
#define SCTP(s, d, sp, dp)    .src = s, .dst = d, .proto = 132, .sport = sp, .dport = dp
#define ICMP(s, d, t)	      .src = s, .dst = d, .proto = 1, .type = t
#define ICMP6(s, d, t)	      .src = s, .dst = d, .proto = 58, .type = t
#define RAW(s, d, p)	      .src = s, .dst = d, .proto = p, .payload = 16

#define POD    "10.0.0.2"
#define POD2   "10.0.0.3"
#define WEB    "10.0.0.10"
#define PAL    "10.0.0.11"
#define FAR    "10.0.0.12"
#define NODE   "10.0.0.1"
#define POD_6  "fd00::2"
#define WEB_6  "fd00::10"
#define PAL_6  "fd00::11"
#define NODE_6 "fd00::1"

struct shot {
	const struct spec *spec;
	uint8_t dir;
};

struct row {
	const char *name;
	void (*setup)(struct rig *r);
	struct shot before[3];
	struct spec spec;
	uint8_t dir;
	uint8_t from_node; /* came from no interface */
	uint8_t want;	   /* enum bh_reason */
};

static inline void flag(struct rig *r, uint32_t flags)
{
	r->slots[RIG_SLOT].flags |= flags;
}
static inline void set_unregistered(struct rig *r)
{
	r->slots[RIG_SLOT].flags = 0;
}
static inline void set_shut(struct rig *r)
{
	flag(r, BH_SLOT_SHUT);
}
static inline void set_quarantine(struct rig *r)
{
	flag(r, BH_SLOT_QUARANTINE);
}
static inline void set_shadow(struct rig *r)
{
	flag(r, BH_SLOT_SHADOW);
}
static inline void set_no_mac(struct rig *r)
{
	flag(r, BH_SLOT_NO_MAC);
}
static inline void qallow(struct rig *r, uint16_t port, uint8_t proto, uint32_t n)
{
	struct bh_qallow_key key = {.prefixlen = 32 + 128, .slot = RIG_SLOT};
	struct bh_qallow v = {.n = n, .port = {{.port = htons(port), .proto = proto}}};

	rig_addr("10.0.0.20", key.addr);
	rig_put(r->pod->maps.qallow, &key, &v);
	flag(r, BH_SLOT_QUARANTINE | BH_SLOT_QALLOW);
}
static inline void set_qallow(struct rig *r)
{
	qallow(r, 22, 6, 1);
}
static inline void set_qallow_all(struct rig *r)
{
	qallow(r, 0, 0, 0);
}
static inline void set_node_deny(struct rig *r)
{
	r->cfg->node_mode = BH_NODE_DENY;
}
/* The packets of BPF_PROG_RUN belong to a socket of the root cgroup, whose id is 1. */
static inline void set_node_kubelet(struct rig *r)
{
	r->cfg->node_mode = BH_NODE_KUBELET;
	r->cfg->kubelet_cgroup = 1;
}
static inline void set_node_other(struct rig *r)
{
	r->cfg->node_mode = BH_NODE_KUBELET;
	r->cfg->kubelet_cgroup = 2;
}
static inline void set_unpublished(struct rig *r)
{
	r->cfg->epoch = 0;
}
static inline void set_no_rules(struct rig *r)
{
	memset(r->slots[RIG_SLOT].side, 0, sizeof(r->slots[RIG_SLOT].side));
}
static inline void set_bad_ruleset(struct rig *r)
{
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = BH_MAX_RULESETS;
}
static inline void set_open(struct rig *r)
{
	struct bh_ruleset rs = {.flags = BH_RULESET_OPEN};
	uint32_t id = RIG_RULES_SPARE;

	rig_put(r->pod->maps.ruleset, &id, &rs);
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = id;
	r->slots[RIG_SLOT].side[0].ruleset[IN] = id;
}
/* Egress: what RIG_RULES_OUT allows ended long ago; nothing is allowed since. */
static inline void set_expired(struct rig *r)
{
	struct bh_ruleset rs = {.portmap = RIG_PORTMAP, .until_ns = 1, .next = 0};
	uint32_t id = RIG_RULES_SPARE;

	rig_put(r->pod->maps.ruleset, &id, &rs);
	rig_row(r, id, RIG_WEB, (struct bh_row){.allow = {0xe}});
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = id;
}
/* The first element has ended, the second one is RIG_RULES_OUT. */
static inline void set_successor(struct rig *r)
{
	struct bh_ruleset rs = {.portmap = RIG_PORTMAP, .until_ns = 1, .next = RIG_RULES_OUT};
	uint32_t id = RIG_RULES_SPARE;

	rig_put(r->pod->maps.ruleset, &id, &rs);
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = id;
}
static inline void set_chain_loop(struct rig *r)
{
	struct bh_ruleset rs = {
		.until_ns = 1, .next = RIG_RULES_SPARE, .dflt.allow = {~0ULL, ~0ULL, ~0ULL, ~0ULL}};
	uint32_t id = RIG_RULES_SPARE;

	rig_put(r->pod->maps.ruleset, &id, &rs);
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = id;
}
static inline void set_more_addrs(struct rig *r)
{
	struct bh_local_key key = {.slot = RIG_SLOT};
	uint32_t no = 4;

	rig_addr("10.0.0.99", key.addr);
	rig_put(r->pod->maps.local, &key, &no);
	flag(r, BH_SLOT_MORE_ADDRS);
}

/* ---- stage ---- */
static const struct spec syn = {TCP(POD, WEB, 1000, 80, F_SYN)};
static const struct spec synack = {TCP(WEB, POD, 80, 1000, F_SYN | F_ACK)};
static const struct spec udp_out = {UDP(POD, WEB, 1000, 53)};
static const struct spec udp6_out = {UDP(POD_6, WEB_6, 1000, 53)};
static const struct spec udp_in = {UDP(WEB, POD, 1000, 53)};
static const struct spec ping = {ICMP(POD, PAL, 8), .id = 7};
static const struct spec ping6 = {ICMP6(POD_6, PAL_6, 128), .id = 7};
static const struct spec frag1 = {UDP(POD, WEB, 1000, 53), .more = 1, .frag_id = 9, .payload = 16,
				  .udp_len = 48};
static const struct spec frag1_6 = {.src = POD_6,
				    .dst = WEB_6,
				    .proto = 17,
				    .sport = 1000,
				    .dport = 53,
				    .payload = 16,
				    .udp_len = 48,
				    .ext_first = 44,
				    .ext = "1100000100000009"};
static const struct spec node_syn = {TCP(NODE, POD, 999, 8080, F_SYN)};

static inline void reset(struct rig *r)
{
	rig_world(r);
	rig_purge(r);
}

static inline int passes(int reason)
{
	return reason > BH_R_NONE && reason < BH_R_NO_ENDPOINT;
}

/* The edge that tells the verdict, apart from those that need none. */
static inline void check_edge(struct rig *r, const struct row *row)
{
	if (row->want == BH_R_ESTABLISHED || row->want == BH_R_NEIGHBOUR ||
	    row->want == BH_R_NO_ENDPOINT)
		return;
	if (row->want == BH_R_FRAGMENT && row->before[0].spec)
		return; /* counted in its flow */
	if (rig_edges(r, passes(row->want), row->want, NULL, NULL) == 0)
		fail_msg("%s: no edge says %s", row->name, rig_reason(row->want));
}

static inline uint32_t came_in_by(const struct row *row)
{
	return row->dir == OUT || row->from_node ? 0 : RIG_OTHER_IF;
}

static inline int run_row(struct rig *r, const struct row *row)
{
	int got;

	reset(r);
	if (row->setup)
		row->setup(r);
	for (size_t i = 0; i < BH_ARRAY_SIZE(row->before) && row->before[i].spec; i++) {
		const struct shot *s = &row->before[i]; /* dir | 2: from the node */

		got = frame_run(r, s->dir & 1, s->spec, s->dir == IN ? RIG_OTHER_IF : 0);
		if (got)
			fail_msg("%s: stage frame %zu: %s", row->name, i, rig_reason(got));
	}
	got = frame_run(r, row->dir, &row->spec, came_in_by(row));
	if (got != (passes(row->want) ? 0 : row->want)) {
		print_message("%s: got %s, want %s\n", row->name, got ? rig_reason(got) : "pass",
			      rig_reason(row->want));
		return 1;
	}
	check_edge(r, row);
	return 0;
}

static inline void run_rows(struct rig *r, const struct row *rows, size_t n)
{
	int failed = 0;

	for (size_t i = 0; i < n; i++)
		failed += run_row(r, &rows[i]);
	assert_int_equal(failed, 0);
}

/* ---- what lasts longer than one packet ---- */

static inline int out(struct rig *r, const struct spec *s)
{
	return frame_run(r, OUT, s, 0);
}

static inline int in(struct rig *r, const struct spec *s)
{
	return frame_run(r, IN, s, RIG_OTHER_IF);
}

static inline struct rig *fresh(void **state)
{
	reset(*state);
	return *state;
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Egress is what RIG_RULES_OUT allows to RIG_WEB, for so long. Returns when it ends. */
static inline uint64_t rules_end_in(struct rig *r, uint64_t ms)
{
	struct bh_ruleset rs = {.portmap = RIG_PORTMAP, .next = 0};
	uint32_t id = RIG_RULES_SPARE;

	rs.until_ns = now_ns() + ms * 1000000;
	rig_put(r->pod->maps.ruleset, &id, &rs);
	rig_row(r, id, RIG_WEB, (struct bh_row){.allow = {0xe}});
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = id;
	return rs.until_ns;
}

static inline void wait_until(uint64_t end_ns)
{
	while (now_ns() < end_ns)
		usleep(1000);
}

/* Rewrites the only flow. */
static inline struct bh_flow edit_flow(struct rig *r, void (*edit)(struct bh_flow *f))
{
	struct bh_flow_key key;
	struct bh_flow f;

	assert_int_equal(rig_flows(r, &key, &f), 1);
	edit(&f);
	rig_put(r->pod->maps.flow, &key, &f);
	return f;
}

#define AN_HOUR (3600 * 1000000000ULL)
static inline void age_hour(struct bh_flow *f)
{
	f->last_ns -= AN_HOUR;
}
static inline uint64_t edge_packets(struct rig *r, int verdict, int reason)
{
	struct bh_edge e = {.packets = 0};

	if (rig_edges(r, verdict, reason, NULL, &e) != 1)
		return 0;
	return e.packets;
}

static inline int rows_setup(void **state)
{
	rig_netns();
	*state = rig_open();
	return 0;
}

static inline int rows_teardown(void **state)
{
	rig_close(*state);
	return 0;
}

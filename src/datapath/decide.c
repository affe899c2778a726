/* The kernel's answer, found by walking its maps in the order of the BPF program. */
#include "datapath/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define CLASS_MISSING UINT32_MAX

struct question {
	struct bh_datapath *dp;
	uint32_t class, ruleset;
	uint8_t proto;
	uint16_t port;
};

static uint32_t class_at(const struct bh_kmap *m, const void *key, unsigned side)
{
	struct bh_class value;

	return bh_kmap_get(m, key, &value) ? BH_CLASS_ABSENT : value.id[side];
}

static uint32_t class_of(struct bh_datapath *dp, const struct bh_ip *ip, unsigned side)
{
	bool is4 = bh_ip_is4(ip);
	struct bh_lpm4 key4 = {.prefixlen = 32};
	struct bh_lpm6 key6 = {.prefixlen = 128};
	uint32_t class;

	class = is4 ? class_at(&dp->map[BH_M_PEER4], ip->b + 12, side)
		    : class_at(&dp->map[BH_M_PEER6], ip->b, side);
	if (class != BH_CLASS_ABSENT)
		return class;
	if (!dp->config->has_cidrs[side])
		return 0;
	memcpy(key4.addr, ip->b + 12, sizeof(key4.addr));
	memcpy(key6.addr, ip->b, sizeof(key6.addr));
	class = is4 ? class_at(&dp->map[BH_M_CIDR4], &key4, side)
		    : class_at(&dp->map[BH_M_CIDR6], &key6, side);
	return class == BH_CLASS_ABSENT ? 0 : class;
}

static uint32_t port_class_of(struct bh_datapath *dp, uint32_t portmap, const struct question *q)
{
	struct bh_portpage page;
	struct bh_portmap pm;
	uint32_t id;
	int proto = q->proto == IPPROTO_TCP    ? BH_PP_TCP
		    : q->proto == IPPROTO_UDP  ? BH_PP_UDP
		    : q->proto == IPPROTO_SCTP ? BH_PP_SCTP
					       : BH_PP_COUNT;

	if (proto == BH_PP_COUNT || portmap == 0)
		return 0;
	if (bh_kmap_get(&dp->map[BH_M_PORTMAP], &portmap, &pm))
		return CLASS_MISSING;
	id = pm.page[proto][q->port >> 8];
	if (bh_kmap_get(&dp->map[BH_M_PORTPAGE], &id, &page))
		return CLASS_MISSING;
	return page.class[q->port & 255];
}

static void judge_cell(const struct bh_row *row, uint32_t port_class, struct bh_kernel_verdict *v)
{
	unsigned word = port_class / 64;
	uint64_t bit = 1ull << (port_class % 64);

	if (row->allow[word] & bit) {
		v->verdict = BH_ALLOWED;
		v->reason = BH_R_POLICY;
	} else if (row->cond[word] & bit) {
		v->is_conditional = true;
		v->reason = BH_R_PROCESS_UNKNOWN;
	} else if (row->deny[word] & bit) {
		v->reason = BH_R_POLICY_DENY;
	}
}

/* What the ruleset says by itself, whatever its expiry. */
static struct bh_kernel_verdict eval_one(const struct question *q, uint32_t ruleset)
{
	struct bh_kernel_verdict v = {.verdict = BH_DENIED,
				      .reason = BH_R_DEFAULT_DENY,
				      .class = q->class,
				      .ruleset = ruleset};
	struct bh_row_key key = {.ruleset = ruleset, .class = q->class & ~BH_CLASS_NODE};
	struct bh_ruleset rs;
	struct bh_row row;

	if (ruleset == 0)
		return v;
	if (bh_kmap_get(&q->dp->map[BH_M_RULESET], &ruleset, &rs)) {
		v.reason = BH_R_TABLE_INCOMPLETE;
		return v;
	}
	if (rs.flags & BH_RULESET_OPEN) {
		v.verdict = BH_ALLOWED;
		v.reason = BH_R_DEFAULT_ALLOW;
		return v;
	}
	if (bh_kmap_get(&q->dp->map[BH_M_ROW], &key, &row))
		row = rs.dflt;
	v.port_class = port_class_of(q->dp, rs.portmap, q);
	if (v.port_class == CLASS_MISSING)
		v.reason = BH_R_TABLE_INCOMPLETE;
	else
		judge_cell(&row, v.port_class, &v);
	return v;
}

/* The element of the chain that is in force now; 0 when the chain is too long. */
static uint32_t current(struct bh_datapath *dp, uint32_t id)
{
	uint64_t now_ns = bh_datapath_now_ns();

	for (int i = 0; i < BH_UNTIL_CHAIN; i++) {
		struct bh_ruleset rs;

		if (bh_kmap_get(&dp->map[BH_M_RULESET], &id, &rs) || !rs.until_ns ||
		    now_ns < rs.until_ns)
			return id;
		id = rs.next;
	}
	return 0;
}

int bh_datapath_decide(struct bh_datapath *dp, const struct bh_kernel_question *kq,
		       struct bh_kernel_verdict *ret, struct bh_err *err)
{
	unsigned side = dp->config->epoch & 1;
	struct question q = {.dp = dp, .proto = kq->proto, .port = kq->port};
	struct bh_kernel_verdict v;
	uint32_t first, now;

	if (kq->slot == 0 || kq->slot >= BH_MAX_SLOTS)
		return bh_fail(err, EINVAL, "slot %u is not 1-%d", kq->slot, BH_MAX_SLOTS - 1);
	if (!(dp->slot[kq->slot].flags & BH_SLOT_LIVE)) {
		*ret = (struct bh_kernel_verdict){.verdict = BH_DENIED, .reason = BH_R_NO_ENDPOINT};
		return 0;
	}
	first = dp->slot[kq->slot].side[side].ruleset[kq->dir];
	q.class = class_of(dp, &kq->peer, side);
	now = current(dp, first);
	v = eval_one(&q, now);
	if (v.verdict == BH_DENIED && now != first && eval_one(&q, first).verdict == BH_ALLOWED)
		v.reason = BH_R_EXPIRED;
	*ret = v;
	return 0;
}

/* The kernel's answer, found by walking its maps in the order of the BPF program: the maps
 * themselves, a system call per step, or a snapshot of them. */
#include "datapath/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define CLASS_MISSING UINT32_MAX

struct question {
	const struct bh_dp_view *view;
	uint32_t class;
	uint8_t proto;
	uint16_t port;
};

static uint32_t class_at(const struct bh_dp_view *view, enum bh_dp_map map, const void *key)
{
	struct bh_class room;
	const struct bh_class *value = view->get(view, map, key, &room);

	return value ? value->id[view->side] : BH_CLASS_ABSENT;
}

static uint32_t class_of(const struct bh_dp_view *view, const struct bh_ip *ip)
{
	bool is4 = bh_ip_is4(ip);
	struct bh_lpm4 key4 = {.prefixlen = 32};
	struct bh_lpm6 key6 = {.prefixlen = 128};
	uint32_t class;

	class = is4 ? class_at(view, BH_M_PEER4, ip->b + 12) : class_at(view, BH_M_PEER6, ip->b);
	if (class != BH_CLASS_ABSENT)
		return class;
	if (!view->has_cidrs)
		return 0;
	memcpy(key4.addr, ip->b + 12, sizeof(key4.addr));
	memcpy(key6.addr, ip->b, sizeof(key6.addr));
	class = is4 ? class_at(view, BH_M_CIDR4, &key4) : class_at(view, BH_M_CIDR6, &key6);
	return class == BH_CLASS_ABSENT ? 0 : class;
}

static uint32_t port_class_of(const struct question *q, uint32_t portmap)
{
	const struct bh_portpage *page;
	const struct bh_portmap *pm;
	struct bh_portpage page_room;
	struct bh_portmap pm_room;
	uint32_t id;
	int proto = q->proto == IPPROTO_TCP    ? BH_PP_TCP
		    : q->proto == IPPROTO_UDP  ? BH_PP_UDP
		    : q->proto == IPPROTO_SCTP ? BH_PP_SCTP
					       : BH_PP_COUNT;

	if (proto == BH_PP_COUNT || portmap == 0)
		return 0;
	pm = q->view->get(q->view, BH_M_PORTMAP, &portmap, &pm_room);
	if (!pm)
		return CLASS_MISSING;
	id = pm->page[proto][q->port >> 8];
	page = q->view->get(q->view, BH_M_PORTPAGE, &id, &page_room);
	return page ? page->class[q->port & 255] : CLASS_MISSING;
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
	const struct bh_ruleset *rs;
	const struct bh_row *row;
	struct bh_ruleset rs_room;
	struct bh_row row_room;

	if (ruleset == 0)
		return v;
	rs = q->view->get(q->view, BH_M_RULESET, &ruleset, &rs_room);
	if (!rs) {
		v.reason = BH_R_TABLE_INCOMPLETE;
		return v;
	}
	if (rs->flags & BH_RULESET_OPEN) {
		v.verdict = BH_ALLOWED;
		v.reason = BH_R_DEFAULT_ALLOW;
		return v;
	}
	row = q->view->get(q->view, BH_M_ROW, &key, &row_room);
	v.port_class = port_class_of(q, rs->portmap);
	if (v.port_class == CLASS_MISSING)
		v.reason = BH_R_TABLE_INCOMPLETE;
	else
		judge_cell(row ? row : &rs->dflt, v.port_class, &v);
	return v;
}

/* The element of the chain that is in force now; 0 when the chain is too long. */
static uint32_t current(const struct bh_dp_view *view, uint32_t id)
{
	for (int i = 0; i < BH_UNTIL_CHAIN; i++) {
		struct bh_ruleset room;
		const struct bh_ruleset *rs = view->get(view, BH_M_RULESET, &id, &room);

		if (!rs || !rs->until_ns || view->now_ns < rs->until_ns)
			return id;
		id = rs->next;
	}
	return 0;
}

int bh_dp_decide(const struct bh_dp_view *view, const struct bh_kernel_question *ask,
		 struct bh_kernel_verdict *ret, struct bh_err *err)
{
	struct question q = {.view = view, .proto = ask->proto, .port = ask->port};
	const struct bh_slot *slot;
	struct bh_kernel_verdict v;
	uint32_t first, now;

	if (ask->slot == 0 || ask->slot >= BH_MAX_SLOTS)
		return bh_fail(err, EINVAL, "slot %u is not 1-%d", ask->slot, BH_MAX_SLOTS - 1);
	slot = &view->slot[ask->slot];
	if (!(slot->flags & BH_SLOT_LIVE)) {
		*ret = (struct bh_kernel_verdict){.verdict = BH_DENIED, .reason = BH_R_NO_ENDPOINT};
		return 0;
	}
	first = slot->side[view->side].ruleset[ask->dir];
	q.class = class_of(view, &ask->peer);
	now = current(view, first);
	v = eval_one(&q, now);
	if (v.verdict == BH_DENIED && now != first && eval_one(&q, first).verdict == BH_ALLOWED)
		v.reason = BH_R_EXPIRED;
	*ret = v;
	return 0;
}

static const void *get_live(const struct bh_dp_view *view, enum bh_dp_map map, const void *key,
			    void *room)
{
	const struct bh_datapath *dp = view->source;

	return bh_kmap_get(&dp->map[map], key, room) ? NULL : room;
}

int bh_datapath_decide(struct bh_datapath *dp, const struct bh_kernel_question *q,
		       struct bh_kernel_verdict *ret, struct bh_err *err)
{
	unsigned side = dp->config->epoch & 1;
	struct bh_dp_view view = {
		.source = dp,
		.get = get_live,
		.slot = dp->slot,
		.side = side,
		.has_cidrs = dp->config->has_cidrs[side],
		.now_ns = bh_datapath_now_ns(),
	};

	return bh_dp_decide(&view, q, ret, err);
}

/* verdict.bpf.h - looked-up entries > verdict. No helper calls, so unit tests compile it too. */
#pragma once

#include "bulkhead/abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define VERDICT_S 1000000000ULL

enum cell { CELL_DENY, CELL_DENY_RULE, CELL_COND, CELL_ALLOW };

static __always_inline enum cell verdict_cell(const struct bh_row *row, __u32 port_class)
{
	__u32 word = (port_class >> 6) & (BH_PORT_WORDS - 1);
	__u64 bit = 1ULL << (port_class & 63);

	if (row->allow[word] & bit)
		return CELL_ALLOW;
	if (row->cond[word] & bit)
		return CELL_COND;
	return row->deny[word] & bit ? CELL_DENY_RULE : CELL_DENY;
}

static __always_inline int verdict_allows_nothing(const struct bh_row *row)
{
	return !(row->allow[0] | row->allow[1] | row->allow[2] | row->allow[3]);
}

/* Policy's denials: what a pod that is only watched passes nevertheless. */
static __always_inline int verdict_is_policy(__u8 reason)
{
	return reason >= BH_R_POLICY_DENY && reason <= BH_R_NO_CONNECTION;
}

/* How long a flow may be idle, in nanoseconds. */
static __always_inline __u64 verdict_idle_limit(__u8 proto, __u8 flags)
{
	const __u8 fins = BH_FLOW_FIN_INIT | BH_FLOW_FIN_RESP;

	switch (proto) {
	case 6: /* TCP */
		if (!(flags & BH_FLOW_REPLIED) || (flags & BH_FLOW_RST) || (flags & fins) == fins)
			return 10 * VERDICT_S;
		return 300 * VERDICT_S;
	case 17: /* UDP */
		return (flags & BH_FLOW_REPLIED ? 180 : 30) * VERDICT_S;
	case 1: /* ICMP */
	case 58:
		return 30 * VERDICT_S;
	default:
		return 600 * VERDICT_S;
	}
}

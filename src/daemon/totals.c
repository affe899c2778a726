#include "daemon/totals.h"

static int total_edge(const struct bh_edge_fact *e, void *arg)
{
	struct bh_pod_totals *t = arg;

	t->edges++;
	t->flows += e->live_flows;
	if (e->key.verdict == BH_ALLOWED) {
		t->connections++;
		t->passed_packets += e->value.packets;
		t->passed_bytes += e->value.bytes;
	} else {
		t->dropped_packets += e->value.packets;
		t->dropped_bytes += e->value.bytes;
	}
	return 0;
}

int bh_pod_totals(struct bh_datapath *dp, uint32_t slot, struct bh_pod_totals *ret,
		  struct bh_err *err)
{
	*ret = (struct bh_pod_totals){0};
	return bh_datapath_edges(dp, slot, total_edge, ret, err);
}

/* totals.h - what a pod's interface passed and dropped, added up over its edges. */
#pragma once

#include "datapath/datapath.h"

struct bh_pod_totals {
	uint64_t passed_packets, passed_bytes, dropped_packets, dropped_bytes, flows, edges,
		connections;
};
int bh_pod_totals(struct bh_datapath *dp, uint32_t slot, struct bh_pod_totals *ret,
		  struct bh_err *err);

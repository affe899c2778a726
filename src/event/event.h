/* event.h - ring records > checked C structs in host order. Version and length are looked at before
 * any other field; what does not add up is refused, never guessed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "bulkhead/abi.h"

/* An edge that was seen for the first time, or a refused system call. */
struct bh_edge_event {
	uint64_t ts_ns; /* bpf_ktime_get_ns */
	uint32_t slot, generation;
	enum bh_dir dir; /* of the initiator, or of the packet when it was denied */
	enum bh_verdict verdict;
	enum bh_reason reason;
	uint8_t proto;
	uint16_t port; /* egress: remote, ingress: local; ICMP: type; 0: none */
	struct bh_ip remote;
	uint32_t pid; /* 0: seen at the interface only, then uid, comm and path mean nothing */
	uint32_t uid;
	char comm[BH_COMM_LEN + 1];
	char path[BH_PATH_MAX + 1]; /* "" when not known */
};

/* -EBADMSG: too short, of another version or type, or with values that cannot be. */
int bh_event_decode(const void *record, size_t len, struct bh_edge_event *ret, struct bh_err *err);

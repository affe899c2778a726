/* trace_dns.h - the part of trace.h about names that pods ask for. */
#pragma once

#include "bulkhead/trace.h"

#define BH_DNS_NAME  256 /* bytes of a name as it travels, its root's zero included: at most 255 */
#define BH_DNS_NAMES 16384 /* entries of trace_dns */
#define BH_DNS_QUOTA 256   /* of one slot */

/* map `trace_dns`, HASH: names that pods asked for lately. Names are as they travel (RFC 1035, 3.1:
 * labels of 1 to 63 bytes, each behind its length, and a zero), in lower case, zero-padded. */
struct bh_dns_key {
	__u32 slot;
	__u16 type;
	__u16 pad;
	__u8 name[BH_DNS_NAME];
};
_Static_assert(sizeof(struct bh_dns_key) == 264, "bh_dns_key");

#define BH_DNS_ANSWERED 1u /* an answer was seen, and announced if the ring had room */
struct bh_dns {
	__u64 first_ns, last_ns;
	__u64 questions, answers;
	__u64 failures; /* answers with a response code */
	__u32 generation;
	__u32 flags; /* BH_TRACE_F_UNSENT, BH_DNS_ANSWERED */
	__u32 pid;
	__u16 name_len; /* with the root's zero */
	__u8 rcode;	/* of the last answer */
	__u8 pad;
};
_Static_assert(sizeof(struct bh_dns) == 56, "bh_dns");

/* Ring record of the first question for a name, and of its first answer. head.pid: who asked, where
 * the packet left in its own task's time; 0: not known. */
struct bh_trace_dns {
	struct bh_trace_head head;
	__u8 server[16]; /* IPv4 is v4-mapped */
	__u16 type;
	__u16 name_len;
	__u8 is_answer;
	__u8 rcode;
	__u8 proto; /* 6 or 17 */
	__u8 pad;
	__u8 name[]; /* name_len bytes */
};
_Static_assert(sizeof(struct bh_trace_dns) == 96, "bh_trace_dns");

/* Context of the program bh_dns_forget: forgets names last asked for before before_ns, and those of
 * former tenants. */
struct bh_dns_forget_args {
	__u64 before_ns;
	__u32 forgotten; /* out */
	__u32 pad;
};

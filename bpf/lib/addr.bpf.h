/* addr.bpf.h - whose address is it, and which addresses never belong on a pod's wire. */
#pragma once

#include "lib/pkt.bpf.h"

#define ADDR_NOT_OWN -1

static __always_inline int addr_is_mapped4(const union addr *a)
{
	return a->d[0] == 0 && a->w[2] == bpf_htonl(0xffff);
}

static __always_inline int addr_is_multicast(const union addr *a, int v6)
{
	if (v6)
		return a->b[0] == 0xff;
	return (a->b[12] & 0xf0) == 0xe0 || a->w[3] == 0xffffffff;
}

static __always_inline int addr_is_link_local6(const union addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static __always_inline int addr_is_loopback(const union addr *a)
{
	if (addr_is_mapped4(a))
		return a->b[12] == 127;
	return a->d[0] == 0 && a->d[1] == bpf_cpu_to_be64(1);
}

static __always_inline int addr_is_unspecified(const union addr *a)
{
	return a->d[0] == 0 && (a->d[1] == 0 || a->d[1] == bpf_cpu_to_be64(0xffff00000000ULL));
}

/* The other end can be none of these: unspecified, this-network, loopback, or IPv4 in disguise. */
static __always_inline int addr_is_martian(const union addr *a, int v6)
{
	if (v6)
		return a->d[0] == 0 &&
		       (a->w[2] == bpf_htonl(0xffff) ||
			(a->w[2] == 0 && (a->w[3] == 0 || a->w[3] == bpf_htonl(1))));
	return a->b[12] == 127 || a->b[12] == 0;
}

/* The address's number in flow keys (see struct bh_local_key), or ADDR_NOT_OWN. */
static __always_inline int addr_own4(const struct bh_slot *slot, const union addr *a)
{
	const __be32 *own = (const __be32 *)slot->addr4;

	if (a->w[3] == 0)
		return ADDR_NOT_OWN;
	if (likely(a->w[3] == own[0]))
		return 0;
	return a->w[3] == own[1] ? 1 : ADDR_NOT_OWN;
}

static __always_inline int addr_own6(const struct bh_slot *slot, const union addr *a)
{
	const __u64 *own = (const __u64 *)slot->addr6;

	if (a->d[0] == 0 && a->d[1] == 0)
		return ADDR_NOT_OWN;
	if (likely(a->d[0] == own[0] && a->d[1] == own[1]))
		return BH_INLINE_ADDRS;
	if (a->d[0] == own[2] && a->d[1] == own[3])
		return BH_INLINE_ADDRS + 1;
	return ADDR_NOT_OWN;
}

static __always_inline int addr_own_more(__u32 slot_id, const union addr *a)
{
	struct bh_local_key key = {.slot = slot_id};
	__u32 *no;

	__builtin_memcpy(key.addr, a, sizeof(key.addr));
	no = bpf_map_lookup_elem(&local, &key);
	return no && *no <= 0xff ? (int)*no : ADDR_NOT_OWN;
}

static __always_inline int addr_own(const struct bh_slot *slot, __u32 slot_id, const union addr *a,
				    int v6)
{
	int no;

	if (v6 && addr_is_mapped4(a))
		return ADDR_NOT_OWN;
	no = v6 ? addr_own6(slot, a) : addr_own4(slot, a);
	if (no == ADDR_NOT_OWN && unlikely(slot->flags & BH_SLOT_MORE_ADDRS))
		no = addr_own_more(slot_id, a);
	return no;
}

/* trace_args.bpf.h - arguments that find no room in a record leave their XXH64 (seed 0), so that
 * what differs only there is told apart, and can be compared with a known command line. Source:
 * the XXH64 specification, github.com/Cyan4973/xxHash, doc/xxhash_spec.md. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define REST_CHUNK  512	   /* bytes read at once: whole stripes */
#define REST_CHUNKS 16384u /* more than the kernel lets arguments have */
#define XXH_STRIPE  32

#define XXH_P1 0x9e3779b185ebca87ull
#define XXH_P2 0xc2b2ae3d27d4eb4full
#define XXH_P3 0x165667b19e3779f9ull
#define XXH_P4 0x85ebca77c2b2ae63ull
#define XXH_P5 0x27d4eb2f165667c5ull

struct args_rest {
	__u64 at, end; /* in the task's memory */
	__u64 lane[4];
	__u64 hash;
	__u32 n;      /* bytes in chunk */
	__u32 is_bad; /* could not be read */
	__u64 chunk[REST_CHUNK / 8];
};

static __always_inline __u64 xxh_rotate(__u64 v, int n)
{
	return v << n | v >> (64 - n);
}

static __always_inline __u64 xxh_round(__u64 lane, __u64 input)
{
	return xxh_rotate(lane + input * XXH_P2, 31) * XXH_P1;
}

static __always_inline __u64 xxh_merge(__u64 hash, __u64 lane)
{
	return (hash ^ xxh_round(0, lane)) * XXH_P1 + XXH_P4;
}

/* bpf_loop calls it: the next chunk; 1: it was the last one. */
static long rest_chunk(__u32 i, struct args_rest **at)
{
	struct args_rest *r = *at;
	__u64 left = r->end - r->at;
	__u32 n = left < REST_CHUNK ? left : REST_CHUNK, stripe, lane;

	(void)i;
	r->n = n;
	r->is_bad = bpf_probe_read_user(r->chunk, n, (const void *)r->at) != 0;
	if (r->is_bad)
		return 1;
	for (stripe = 0; stripe < REST_CHUNK / XXH_STRIPE; stripe++) {
		if ((stripe + 1) * XXH_STRIPE > n)
			break;
		for (lane = 0; lane < 4; lane++)
			r->lane[lane] = xxh_round(r->lane[lane], r->chunk[4 * stripe + lane]);
	}
	r->at += n;
	return r->at >= r->end;
}

/* What is left of the last chunk: less than a stripe. */
static __always_inline void rest_tail(struct args_rest *r)
{
	__u32 from = r->n / XXH_STRIPE * XXH_STRIPE, n = r->n % XXH_STRIPE, i;
	const __u8 *bytes = (const __u8 *)r->chunk;

	for (i = 0; i < 3 && n >= 8; i++, from += 8, n -= 8) {
		r->hash ^= xxh_round(0, r->chunk[from / 8 & (REST_CHUNK / 8 - 1)]);
		r->hash = xxh_rotate(r->hash, 27) * XXH_P1 + XXH_P4;
	}
	if (n >= 4) {
		r->hash ^= *(const __u32 *)(bytes + (from & (REST_CHUNK - 4))) * XXH_P1;
		r->hash = xxh_rotate(r->hash, 23) * XXH_P2 + XXH_P3;
		from += 4;
		n -= 4;
	}
	for (i = 0; i < 3 && i < n; i++) {
		r->hash ^= bytes[(from + i) & (REST_CHUNK - 1)] * XXH_P5;
		r->hash = xxh_rotate(r->hash, 11) * XXH_P1;
	}
}

/* Of the bytes from at to end, at least one; 0: they could not be read. A function of its own for
 * the verifier's sake. */
__noinline __u64 args_rest_hash(struct args_rest *r)
{
	__u64 len;

	if (!r)
		return 0;
	len = r->end - r->at;
	r->lane[0] = XXH_P1 + XXH_P2;
	r->lane[1] = XXH_P2;
	r->lane[2] = 0;
	r->lane[3] = -XXH_P1;
	bpf_loop(REST_CHUNKS, rest_chunk, &r, 0);
	if (r->is_bad || r->at < r->end)
		return 0;
	r->hash = XXH_P5;
	if (len >= XXH_STRIPE) {
		r->hash = xxh_rotate(r->lane[0], 1) + xxh_rotate(r->lane[1], 7) +
			  xxh_rotate(r->lane[2], 12) + xxh_rotate(r->lane[3], 18);
		r->hash = xxh_merge(r->hash, r->lane[0]);
		r->hash = xxh_merge(r->hash, r->lane[1]);
		r->hash = xxh_merge(r->hash, r->lane[2]);
		r->hash = xxh_merge(r->hash, r->lane[3]);
	}
	r->hash += len;
	rest_tail(r);
	r->hash = (r->hash ^ r->hash >> 33) * XXH_P2;
	r->hash = (r->hash ^ r->hash >> 29) * XXH_P3;
	return r->hash ^ r->hash >> 32;
}

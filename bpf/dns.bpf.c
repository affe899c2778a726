/* dns.bpf.c - which names a pod asks for. Run by the packet programs, through map `names`, for
 * packets from and to port 53 that have passed; says nothing about them. Only while a mode wants
 * it.
 *
 * Bounded here: one question, no compression (a question's name cannot be compressed), labels of at
 * most 63 bytes, 255 bytes in all. User space takes the name apart once more, and strictly. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/hold.bpf.h"
#include "lib/trace_rate.bpf.h"

#define TC_ACT_UNSPEC (-1)
#define ETH_IPV6      0x86dd
#define PROTO_TCP     6
#define PROTO_UDP     17

#define DNS_HEAD  12
#define DNS_LEAST 5   /* the root's zero, type and class */
#define DNS_MOST  260 /* longest question that is looked at */
#define LABEL_MAX 63

struct dns_head {
	__be16 id;
	__u8 flags; /* QR, opcode, AA, TC, RD */
	__u8 more;  /* RA, Z, response code */
	__be16 questions, answers, authorities, additional;
};

struct dns_scratch {
	struct bh_dns_key key;
	struct bh_dns value;
	struct dns_head head;
	__u8 raw[512];
	__u32 left;	/* of the label that is being read */
	__u32 name_len; /* 0: not a name */
	__u32 slot, generation;
	__u8 is_answer, proto;
	__u64 record[(sizeof(struct bh_trace_dns) + BH_DNS_NAME) / 8];
};

/* Cannot be full: packet programs do not nest on a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_scratch);
} dns_scratch SEC(".maps");

/* Full, or the slot's quota used up: the name is announced while the slot's budget lasts, else lost
 * and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_DNS_NAMES);
	__type(key, struct bh_dns_key);
	__type(value, struct bh_dns);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_dns SEC(".maps");

/* Where the DNS message begins; 0: there is none. */
static __always_inline __u32 message_at(struct __sk_buff *skb, __u32 l4_off, __u8 proto)
{
	__u8 words;

	if (proto == PROTO_UDP)
		return l4_off + 8;
	if (proto != PROTO_TCP || bpf_skb_load_bytes(skb, l4_off + 12, &words, 1))
		return 0;
	/* behind two bytes of length; a message that begins elsewhere than a segment is missed */
	return l4_off + (words >> 4) * 4 + 2;
}

/* The question into s->raw; 0 when this is no DNS message with one. */
static __always_inline __u32 question_load(struct __sk_buff *skb, struct dns_scratch *s, __u32 off)
{
	__u32 len = skb->len;

	if (len < off + DNS_HEAD + DNS_LEAST ||
	    bpf_skb_load_bytes(skb, off, &s->head, sizeof(s->head)))
		return 0;
	/* QR says which way it goes; opcode 0 is a query */
	if ((s->head.flags & 0xf8) != (s->is_answer ? 0x80 : 0) ||
	    s->head.questions != bpf_htons(1))
		return 0;
	len -= off + DNS_HEAD;
	if (len > DNS_MOST)
		len = DNS_MOST;
	len = hold(len);
	if (len < DNS_LEAST || bpf_skb_load_bytes(skb, off + DNS_HEAD, s->raw, len))
		return 0;
	return len;
}

/* The name into s->key, in lower case: some resolvers mix cases at random. The state is in memory,
 * so that the verifier need not follow each value. */
static __always_inline void name_take(struct dns_scratch *s, __u32 len)
{
	volatile __u32 *left = &s->left, *name_len = &s->name_len;
	__u32 i;

	*left = *name_len = 0;
	for (i = 0; i < BH_DNS_NAME - 1; i++) {
		__u8 c = s->raw[i];

		if (i >= len)
			return;
		if (*left) {
			*left -= 1;
			if (c >= 'A' && c <= 'Z')
				c += 'a' - 'A';
		} else if (!c) {
			*name_len = i + 1;
			return;
		} else if (c > LABEL_MAX) {
			return;
		} else {
			*left = c;
		}
		s->key.name[i] = c;
	}
}

/* s->key is complete afterwards, or 0. */
static __always_inline int question_take(struct __sk_buff *skb, struct dns_scratch *s, __u32 off)
{
	__u32 len = question_load(skb, s, off), end;

	if (!len)
		return 0;
	__builtin_memset(&s->key, 0, sizeof(s->key));
	name_take(s, len);
	end = s->name_len;
	if (!end || end + 4 > len)
		return 0;
	end &= 255;
	s->key.slot = s->slot;
	s->key.type = s->raw[end] << 8 | s->raw[end + 1];
	return 1;
}

/* The current task, if it is of the pod: packets often leave in the time of whoever sent them. */
static __always_inline __u32 asker(struct dns_scratch *s, struct bh_trace_dns *r)
{
	const struct task_struct *p = (const void *)bpf_get_current_task();
	struct bh_slot *slot = bpf_map_lookup_elem(&endpoint, &s->slot);
	__u64 cookie = BPF_CORE_READ(p, nsproxy, net_ns, net_cookie);

	__builtin_memset(r->head.comm, 0, sizeof(r->head.comm));
	r->head.uid = r->head.gid = 0;
	if (s->is_answer || !slot || !cookie || cookie != slot->cookie)
		return 0;
	bpf_probe_read_kernel_str(r->head.comm, sizeof(r->head.comm),
				  __builtin_preserve_access_index(&p->comm));
	r->head.uid = BPF_CORE_READ(p, cred, euid.val);
	r->head.gid = BPF_CORE_READ(p, cred, egid.val);
	return BPF_CORE_READ(p, tgid);
}

static __always_inline void server_take(struct __sk_buff *skb, const struct dns_scratch *s,
					struct bh_trace_dns *r)
{
	int is_v6 = skb->protocol == bpf_htons(ETH_IPV6);
	__u32 off = is_v6 ? (s->is_answer ? 8 : 24) : (s->is_answer ? 12 : 16);

	__builtin_memset(r->server, 0, sizeof(r->server));
	if (is_v6) {
		bpf_skb_load_bytes_relative(skb, off, r->server, 16, BPF_HDR_START_NET);
		return;
	}
	r->server[10] = r->server[11] = 0xff;
	bpf_skb_load_bytes_relative(skb, off, r->server + 12, 4, BPF_HDR_START_NET);
}

static __always_inline int dns_send(struct __sk_buff *skb, struct dns_scratch *s, __u64 now,
				    __u32 flags)
{
	struct bh_trace_dns *r = (struct bh_trace_dns *)s->record;
	__u32 len = s->name_len & 255;

	r->head.version = BH_TRACE_VERSION;
	r->head.kind = BH_TRACE_DNS;
	r->head.len = sizeof(*r) + len;
	r->head.ts_ns = now;
	r->head.exec_id = r->head.parent_exec_id = 0;
	r->head.slot = s->slot;
	r->head.generation = s->generation;
	r->head.flags = flags;
	r->head.pid = asker(s, r);
	server_take(skb, s, r);
	r->type = s->key.type;
	r->name_len = len;
	r->is_answer = s->is_answer;
	r->rcode = s->is_answer ? s->head.more & 0xf : 0;
	r->proto = s->proto;
	r->pad = 0;
	__builtin_memcpy(r->name, s->key.name, BH_DNS_NAME);
	return ring_send(0, s->record, sizeof(*r) + len) == 0;
}

/* As fact_note, for names. */
static __always_inline int dns_note(struct dns_scratch *s, struct bh_trace_rate *rate, __u64 now)
{
	struct bh_dns *old = bpf_map_lookup_elem(&trace_dns, &s->key);

	if (old && old->generation == s->generation) {
		__sync_fetch_and_add(&old->questions, 1);
		old->last_ns = now;
		return FACT_KNOWN;
	}
	if (__sync_fetch_and_add(&rate->names, 1) >= BH_DNS_QUOTA) {
		__sync_fetch_and_add(&rate->names, -1);
		return FACT_EXTRA;
	}
	__builtin_memset(&s->value, 0, sizeof(s->value));
	s->value.first_ns = s->value.last_ns = now;
	s->value.questions = 1;
	s->value.generation = s->generation;
	s->value.flags = BH_TRACE_F_UNSENT;
	s->value.name_len = s->name_len;
	if (bpf_map_update_elem(&trace_dns, &s->key, &s->value, old ? BPF_ANY : BPF_NOEXIST) == 0)
		return FACT_NEW;
	__sync_fetch_and_add(&rate->names, -1);
	old = bpf_map_lookup_elem(&trace_dns, &s->key);
	if (!old)
		return FACT_EXTRA;
	__sync_fetch_and_add(&old->questions, 1);
	return FACT_KNOWN;
}

static __always_inline void dns_question(struct __sk_buff *skb, struct dns_scratch *s,
					 struct bh_trace_slot *b, struct bh_trace_rate *rate)
{
	__u64 now = bpf_ktime_get_ns();
	int novelty, is_sent;
	struct bh_dns *d;

	__sync_fetch_and_add(&rate->dns, 1);
	novelty = dns_note(s, rate, now);
	if (novelty == FACT_KNOWN) { /* told once is enough */
		__sync_fetch_and_add(&b->seen, 1);
		__sync_fetch_and_add(&b->deduplicated, 1);
		return;
	}
	if (novelty == FACT_EXTRA)
		__sync_fetch_and_add(&b->overflow, 1);
	if (!event_wants_record(b, novelty, 0, now, REPEAT_ROOM))
		return;
	is_sent = dns_send(skb, s, now, novelty == FACT_NEW ? BH_TRACE_F_FIRST : 0);
	event_close(b, NULL, novelty, is_sent);
	d = is_sent && novelty == FACT_NEW ? bpf_map_lookup_elem(&trace_dns, &s->key) : NULL;
	if (d)
		__sync_fetch_and_and(&d->flags, ~BH_TRACE_F_UNSENT);
}

/* Told of a name whose question is known, once. */
static __always_inline void dns_answer(struct __sk_buff *skb, struct dns_scratch *s,
				       struct bh_trace_slot *b)
{
	struct bh_dns *d = bpf_map_lookup_elem(&trace_dns, &s->key);
	__u8 rcode = s->head.more & 0xf;

	if (!d || d->generation != s->generation)
		return;
	__sync_fetch_and_add(&d->answers, 1);
	if (rcode)
		__sync_fetch_and_add(&d->failures, 1);
	d->rcode = rcode;
	if (__sync_fetch_and_or(&d->flags, BH_DNS_ANSWERED) & BH_DNS_ANSWERED)
		return;
	__sync_fetch_and_add(&b->seen, 1);
	event_close(b, NULL, FACT_EXTRA, dns_send(skb, s, bpf_ktime_get_ns(), 0));
}

/* The pod's first slot, which its other events go by, and not the interface's. */
static __always_inline int pod_take(struct dns_scratch *s, __u32 interface)
{
	const struct bh_slot *slot = bpf_map_lookup_elem(&endpoint, &interface);
	__u32 *first;
	__u64 cookie;

	if (!slot)
		return 0;
	cookie = slot->cookie;
	first = bpf_map_lookup_elem(&slot_by_cookie, &cookie);
	s->slot = first && *first ? *first : interface;
	return slot_generation(s->slot, &s->generation);
}

SEC("tc")
int bh_dns(struct __sk_buff *skb)
{
	__u32 zero = 0, what = skb->cb[1], off;
	struct dns_scratch *s = bpf_map_lookup_elem(&dns_scratch, &zero);
	struct bh_trace_rate *rate;
	struct bh_trace_slot *b;

	if (!s || !pod_take(s, skb->cb[0]))
		return TC_ACT_UNSPEC;
	s->proto = what >> 16;
	s->is_answer = what >> 24 == BH_INGRESS;
	b = books_open(s->slot, s->generation);
	rate = rate_open(s->slot, s->generation);
	off = message_at(skb, what & 0xffff, s->proto);
	if (!b || !rate || !off)
		return TC_ACT_UNSPEC;
	if (!question_take(skb, s, off)) {
		if (s->proto == PROTO_UDP)
			__sync_fetch_and_add(&rate->dns_odd, 1);
	} else if (s->is_answer) {
		dns_answer(skb, s, b);
	} else {
		dns_question(skb, s, b, rate);
	}
	return TC_ACT_UNSPEC;
}

/* Run by the daemon with the key of a name that it found unsent and announces now: 1 when it was.
 */
SEC("syscall")
int bh_dns_sent(struct bh_dns_key *ctx)
{
	struct bh_dns_key key = *ctx;
	struct bh_trace_slot *b = books_of(key.slot);
	struct bh_dns *d = bpf_map_lookup_elem(&trace_dns, &key);
	__u32 was;

	if (!d || !b)
		return 0;
	was = __sync_fetch_and_and(&d->flags, ~BH_TRACE_F_UNSENT);
	if (!(was & BH_TRACE_F_UNSENT))
		return 0;
	if (b->generation == d->generation)
		__sync_fetch_and_add(&b->swept, 1);
	return 1;
}

static int is_tenant(const struct bh_dns_key *k, const struct bh_dns *d)
{
	__u32 slot = k->slot, generation;

	return slot_generation(slot, &generation) && generation == d->generation;
}

static long forget_one(void *map, struct bh_dns_key *k, struct bh_dns *d,
		       struct bh_dns_forget_args *args)
{
	struct bh_trace_rate *r;
	__u32 slot = k->slot;

	if (is_tenant(k, d)) {
		if ((d->flags & BH_TRACE_F_UNSENT) || d->last_ns >= args->before_ns)
			return 0;
		r = bpf_map_lookup_elem(&trace_rate, &slot);
		if (r && r->generation == d->generation)
			__sync_fetch_and_add(&r->names, -1);
	}
	bpf_map_delete_elem(&trace_dns, k);
	args->forgotten++;
	return 0;
}

SEC("syscall")
int bh_dns_forget(struct bh_dns_forget_args *ctx)
{
	struct bh_dns_forget_args args = {.before_ns = ctx->before_ns};

	bpf_for_each_map_elem(&trace_dns, forget_one, &args, 0);
	ctx->forgotten = args.forgotten;
	return 0;
}

char _license[] SEC("license") = "GPL";

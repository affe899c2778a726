/* abi.h - structs and enums shared by BPF programs and C: map keys, map values, ring records.
 *
 * Rules: fixed-width fields, widest first, padding named and zeroed, every size asserted; keys have
 * no holes because the kernel hashes them as bytes. Addresses are 16 bytes in network order, IPv4
 * v4-mapped. Ports in keys are network order and typed so; everything else is host order.
 * A change here is a change of BH_ABI_VERSION. */
#pragma once

#include <linux/types.h>

#include "bulkhead/reasons.h"

#define BH_ABI_VERSION 2

#define BH_MAX_SLOTS	   4096	 /* pod interfaces on a node; slot 0 is never used */
#define BH_IFINDEX_ARRAY   65536 /* ifindex below this: array look-up */
#define BH_MAX_RULESETS	   8192	 /* id 0: never allow anything */
#define BH_MAX_PORTMAPS	   2048	 /* id 0: every port in port class 0 */
#define BH_MAX_PORTPAGES   16384 /* id 0: 256 times port class 0 */
#define BH_PORT_CLASSES	   256	 /* per ruleset; class 0: ports no rule names, other protocols */
#define BH_PORT_WORDS	   (BH_PORT_CLASSES / 64)
#define BH_MAX_PEERS	   262144
#define BH_MAX_CIDRS	   65536
#define BH_MAX_ROWS	   1048576
#define BH_MAX_PROCROWS	   65536
#define BH_MAX_EXES	   4096
#define BH_MAX_FLOWS	   262144
#define BH_MAX_EDGES	   131072
#define BH_MAX_FRAGS	   16384
#define BH_MAX_QALLOW	   16384
#define BH_INLINE_ADDRS	   2  /* of each family, per interface; more are looked up in `local` */
#define BH_MAX_ADDRS	   250 /* per interface */
#define BH_UNTIL_CHAIN	   8  /* rulesets a decision follows through expiries */
#define BH_QALLOW_PORTS	   16
#define BH_PATH_MAX	   256 /* executable paths in policy and events, with NUL */
#define BH_COMM_LEN	   16

enum bh_dir {
	BH_EGRESS = 0,	/* from the pod */
	BH_INGRESS = 1, /* to the pod */
};

enum bh_verdict { BH_DENIED = 0, BH_ALLOWED = 1 };

/* Port maps cover three protocols; every other one is port class 0. */
enum bh_port_proto { BH_PP_TCP, BH_PP_UDP, BH_PP_SCTP, BH_PP_COUNT };

/* Node exemption, config.node_mode. */
enum bh_node_mode { BH_NODE_ALLOW, BH_NODE_KUBELET, BH_NODE_DENY };

/* map `config`, ARRAY[1], mmapable, one writer (the daemon).
 *
 * Publishing: tables are double-buffered. Every table value that depends on policy has two sides;
 * the side in use is epoch & 1. The daemon fills the idle side, reads it back, and stores epoch + 1:
 * that one aligned store switches every pod at once. Flow entries carry the epoch they were decided
 * under and are decided again when it has moved on. A program reads epoch once per packet. The
 * daemon waits for a grace period (all programs that saw the old epoch have ended) before it writes
 * the side that became idle. */
struct bh_config {
	__u64 kubelet_cgroup; /* cgroup id whose sockets are exempt when node_mode is kubelet */
	__u32 epoch;	      /* starts at 2; side in use: epoch & 1 */
	__u32 abi;	      /* BH_ABI_VERSION */
	__u32 node_mode;      /* enum bh_node_mode */
	__u32 keep_established; /* 1: a policy change does not cut live flows (quarantine does) */
	__u32 has_cidrs[2];   /* per side: 0 lets a decision skip the prefix look-up */
	__u32 has_hostnet_quarantine; /* 1: socket hooks look for quarantined cgroups */
	__u32 flow_full;      /* 1 while the last flow insert failed for want of room */
	__u32 has_hurried;    /* 1 while the daemon has the kernel's grace periods expedited */
	__u32 tick_ns;	      /* of a jiffy; 0: not known, packets ask a slower clock */
	__u64 clock_ns; /* written by BPF: bpf_jiffies64() * tick_ns + this is the time of
			 * bpf_ktime_get_coarse_ns(); 0: to be measured */
	__u32 pad[2];
};
_Static_assert(sizeof(struct bh_config) == 64, "bh_config");

/* map `endpoint`, ARRAY[BH_MAX_SLOTS], mmapable: one pod interface. */
#define BH_SLOT_LIVE	   1u /* registered; without it: drop, reason no-endpoint */
#define BH_SLOT_SHUT	   2u /* nothing but ARP and ND for own addresses passes */
#define BH_SLOT_QUARANTINE 4u /* nothing passes, not even ARP, except by the allow-list */
#define BH_SLOT_QALLOW	   8u /* the quarantine has an allow-list in `qallow` (then ARP/ND pass) */
#define BH_SLOT_SHADOW	   16u /* policy denials are counted, not enforced */
#define BH_SLOT_MORE_ADDRS 32u /* addresses beyond the inline ones are in `local` */
#define BH_SLOT_NO_MAC	   64u /* the interface has no MAC check (layer 3 device) */

struct bh_slot {
	struct {
		__u32 ruleset[2]; /* by enum bh_dir; the ruleset id in force on this side */
	} side[2];
	__u32 flags;	  /* BH_SLOT_* ; changed with single aligned stores */
	__u32 generation; /* moves on with every new tenant of the slot */
	__u32 ifindex;	  /* host side */
	__s32 nsid;	  /* pod's network namespace as seen from the host's, -1: unknown */
	__u32 flow_quota; /* entries in `flow` */
	__u32 edge_quota; /* entries in `edge` */
	__u64 cookie;	  /* netns cookie */
	__u8 addr4[BH_INLINE_ADDRS][4]; /* all zero: unused */
	__u8 addr6[BH_INLINE_ADDRS][16];
	__u8 mac[6];
	__u8 pad[2];
};
_Static_assert(sizeof(struct bh_slot) == 96, "bh_slot");

/* map `usage`, ARRAY[BH_MAX_SLOTS], written by BPF with atomics. */
struct bh_usage {
	__u32 flows; /* entries of this slot in `flow` */
	__u32 edges; /* entries of this slot in `edge` */
	__u64 flow_refused; /* flows not made for want of quota or room */
	__u64 edge_overflow; /* packets counted in the overflow edge */
	__u64 flows_ended; /* taken out of `flow`: with flows, all there ever were */
};
_Static_assert(sizeof(struct bh_usage) == 32, "bh_usage");

/* maps `slot_by_ifindex` ARRAY[BH_IFINDEX_ARRAY] (u32 ifindex > u32 slot, 0: none),
 * `slot_by_ifindex_hash` HASH for larger ifindexes, `slot_by_cookie` HASH (u64 netns cookie > u32
 * slot: the pod's first interface; policy is the same for all of them),
 * `quarantined_cgroup` HASH (u64 cgroup id > u32 1): hostNetwork pods. */

/* map `local`, HASH: further addresses of an interface (BH_SLOT_MORE_ADDRS). The value is the
 * address number used in flow keys: inline IPv4 are 0..1, inline IPv6 2..3, these 4 and up. */
struct bh_local_key {
	__u32 slot;
	__u8 addr[16];
};
_Static_assert(sizeof(struct bh_local_key) == 20, "bh_local_key");

/* Peer classes. maps `peer4` HASH (4 bytes > struct bh_class), `peer6` HASH (16 bytes > ...),
 * `cidr4` LPM (struct bh_lpm4 > ...), `cidr6` LPM (struct bh_lpm6 > ...). Look up the address in
 * peerN; if it is absent, or its class on this side is BH_CLASS_ABSENT, look in cidrN; if that is
 * absent too, the class is 0 ("world"). */
#define BH_CLASS_ABSENT 0xffffffffu
#define BH_CLASS_NODE	0x80000000u /* flag: one of this node's own addresses */
struct bh_class {
	__u32 id[2]; /* by side */
};
struct bh_peer6_key {
	__u8 addr[16];
};
struct bh_lpm4 {
	__u32 prefixlen;
	__u8 addr[4];
};
struct bh_lpm6 {
	__u32 prefixlen;
	__u8 addr[16];
};

/* map `ruleset`, ARRAY[BH_MAX_RULESETS]: immutable while any side uses it.
 *
 * One row is {allow, cond}: bit c of allow says that port class c is allowed whoever opens it; bit c
 * of cond says that it depends on the executable (look in `procrow`). Both 0: denied. deny marks
 * cells that an explicit Deny rule closed; it only chooses the reason. */
struct bh_row {
	__u64 allow[BH_PORT_WORDS];
	__u64 cond[BH_PORT_WORDS];
	__u64 deny[BH_PORT_WORDS];
};
_Static_assert(sizeof(struct bh_row) == 96, "bh_row");

#define BH_RULESET_OPEN 1u /* nothing selects the pod in this direction and the default is allow */
#define BH_RULESET_KEEP 2u /* every policy behind it lets live connections outlive a change */
struct bh_ruleset {
	__u64 until_ns; /* bpf_ktime_get_ns from which `next` decides instead; 0: for ever */
	__u32 next;	/* ruleset id; only with until_ns */
	__u32 portmap;	/* id in `portmap` */
	__u32 flags;	/* BH_RULESET_* */
	__u32 pad;
	struct bh_row dflt; /* for peer classes without a row of their own */
};
_Static_assert(sizeof(struct bh_ruleset) == 120, "bh_ruleset");

/* map `row`, HASH. */
struct bh_row_key {
	__u32 ruleset;
	__u32 class; /* without BH_CLASS_NODE */
};

/* map `procrow`, HASH > u32 1: allowed for this executable. Absent: denied. */
#define BH_CLASS_DEFAULT 0x7fffffffu /* the cell of the ruleset's default row */
#define BH_PROC_UNKNOWN	 0u /* no socket, or nobody saw who opened it: denied where it matters */
#define BH_PROC_OTHER	 1u /* known, and named by no policy */
struct bh_procrow_key {
	__u32 ruleset;
	__u32 class; /* or BH_CLASS_DEFAULT */
	__u16 port_class;
	__u16 proc; /* id from map `exe`, from 2 */
};
_Static_assert(sizeof(struct bh_procrow_key) == 12, "bh_procrow_key");

/* map `portmap`, ARRAY[BH_MAX_PORTMAPS]; map `portpage`, ARRAY[BH_MAX_PORTPAGES]. The port class of
 * (proto, port) is portpage[portmap[id].page[proto][port >> 8]].class[port & 255]. */
struct bh_portmap {
	__u16 page[BH_PP_COUNT][256];
};
struct bh_portpage {
	__u8 class[256];
};

/* map `exe`, HASH: absolute path as seen in the pod's mount namespace, NUL-padded > u32 proc id. */
struct bh_exe_key {
	char path[BH_PATH_MAX];
};

/* map `flow`, HASH: a cached decision and its counters.
 * addr_no: which of the interface's addresses is the local end. Ports: TCP, UDP, SCTP as they are;
 * ICMP echo: the identifier at the requester's end and 0x0800 at the other; everything else 0. */
struct bh_flow_key {
	__u16 slot;
	__u8 addr_no;
	__u8 proto;
	__u8 remote[16];
	__be16 lport;
	__be16 rport;
};
_Static_assert(sizeof(struct bh_flow_key) == 24, "bh_flow_key");

#define BH_FLOW_REPLIED 1u  /* a packet came back */
#define BH_FLOW_NODE	2u  /* decided by the node exemption, from a packet that proved it */
#define BH_FLOW_FIN_INIT 4u /* the initiator's end sent FIN */
#define BH_FLOW_FIN_RESP 8u
#define BH_FLOW_RST	16u
#define BH_FLOW_REBUILT 32u /* made again from a live socket */
#define BH_FLOW_CUT 64u /* refused when it was decided again; forgotten soon */
#define BH_FLOW_SELF 128u /* the pod to itself, through a service */
struct bh_flow {
	__u64 first_ns;
	__u64 last_ns;
	__u64 until_ns; /* the decision's ruleset expires then; 0: never */
	__u64 packets; /* not yet moved to the edge */
	__u64 bytes;
	__u32 epoch;
	__u32 generation;
	__u16 proc; /* enum of the opener, for deciding again */
	__u8 dir;   /* enum bh_dir of the initiator as seen from the pod */
	__u8 flags; /* BH_FLOW_* */
	__u8 reason; /* why it was allowed */
	__u8 pad;
	__u16 turn; /* of its place in the sweeper's ring; 0: it has none */
};
_Static_assert(sizeof(struct bh_flow) == 56, "bh_flow");

/* map `edge`, HASH: who talked, or tried to, with whom. Counters of live flows are in `flow` until
 * the flow ends; the sum of both is exact. For an egress edge port is the remote port, for an
 * ingress edge the local one; ICMP: type. Packets without a usable tuple have remote and port 0. */
struct bh_edge_key {
	__u8 remote[16];
	__u16 slot;
	__be16 port;
	__u8 dir; /* of the initiator, or of the packet when it was denied */
	__u8 proto;
	__u8 verdict; /* enum bh_verdict */
	__u8 reason;  /* enum bh_reason */
};
_Static_assert(sizeof(struct bh_edge_key) == 24, "bh_edge_key");

#define BH_EDGE_UNSENT	 1u /* no ring record has announced it yet */
#define BH_EDGE_OVERFLOW 2u /* stands for every edge beyond the slot's quota: remote, port, proto 0 */
struct bh_edge {
	__u64 first_ns; /* bpf_ktime_get_ns */
	__u64 last_ns;
	__u64 packets; /* wire packets: gso_segs of an aggregate; refused system calls count 1 */
	__u64 bytes;
	__u32 generation;
	__u32 flags; /* BH_EDGE_* */
	__u32 pid;   /* last process seen by a socket hook, 0: none */
	__u32 uid;
	char comm[BH_COMM_LEN];
};
_Static_assert(sizeof(struct bh_edge) == 64, "bh_edge");

/* map `frag`, LRU: the ports that a first fragment tells, for the later ones. */
struct bh_frag_key {
	__u8 src[16];
	__u8 dst[16];
	__u32 id; /* IPv4: 16 bits */
	__u16 slot;
	__u8 proto;
	__u8 dir;
};
_Static_assert(sizeof(struct bh_frag_key) == 40, "bh_frag_key");
struct bh_frag {
	__u64 seen_ns; /* valid for 30 s after it */
	__u32 generation;
	__u16 bound; /* end of the first fragment: no later one may overlap it; while it is awaited,
		      * the lowest offset that passed: it may not reach beyond */
	__u8 is_waiting; /* later fragments came first; flow is not known */
	__u8 pad;
	struct bh_flow_key flow; /* whose ports and counters the fragments share */
};
_Static_assert(sizeof(struct bh_frag) == 40, "bh_frag");

/* map `qallow`, LPM over {slot, address}: prefixlen counts the slot's 32 bits. */
struct bh_qallow_key {
	__u32 prefixlen;
	__u32 slot;
	__u8 addr[16];
};
struct bh_qallow {
	__u32 n; /* 0: every protocol and port */
	struct {
		__be16 port; /* 0: every port of proto */
		__u8 proto;
		__u8 pad;
	} port[BH_QALLOW_PORTS];
};

/* sk storage `opener`: who opened the socket; set by connect and sendmsg hooks. */
struct bh_opener {
	__u32 generation;
	__u32 slot;
	__u32 proc; /* BH_PROC_* or id */
	/* connect() ran on it, so the pod is the initiator: the process that called it, 1: nobody
	 * knows which; 0: it did not */
	__u32 connected;
};

/* Context of the program bh_sweep (BPF_PROG_RUN; always whole). Without edges_before_ns and slot it
 * removes what is idle. Returns 0, or 1 when another sweep is running: try again. */
struct bh_sweep_args {
	__u64 edges_before_ns; /* forget edges last used before it and announced; 0: none */
	__u32 slot_plus_one;   /* 0: every slot; else only this slot plus 1 */
	__u32 all;	       /* 1: not only idle flows, all of them (and all edges of the slot given) */
	__u32 flows;	       /* out: entries removed from `flow` */
	__u32 edges;	       /* out: entries removed from `edge` */
};
_Static_assert(sizeof(struct bh_sweep_args) == 24, "bh_sweep_args");

/* map `drop`, PERCPU_ARRAY[BH_R_COUNT]: packets and bytes refused, by reason, whole node. */
struct bh_drop {
	__u64 packets;
	__u64 bytes;
};

/* Ring record in `events`. A full ring loses only the announcement: the edge stays marked UNSENT and
 * the daemon's sweep announces it. */
#define BH_EVENT_VERSION 1
enum bh_event_type { BH_EVENT_EDGE = 1 };
struct bh_event_edge {
	__u16 version;
	__u16 type;
	__u32 len; /* whole record */
	__u64 ts_ns;
	struct bh_edge_key key;
	__u32 generation;
	__u32 pid; /* 0: seen at the interface only */
	__u32 uid;
	__u16 path_len;
	__u16 pad;
	char comm[BH_COMM_LEN];
	char path[BH_PATH_MAX]; /* executable of the caller; path_len bytes are valid */
};
_Static_assert(sizeof(struct bh_event_edge) == 328, "bh_event_edge");

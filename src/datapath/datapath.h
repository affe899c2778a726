/* datapath.h - the kernel half behind one opaque handle: load, pin, adopt, attach, publish, read.
 *
 * Nothing here decides anything. Enforcement outlives the handle: closing it detaches nothing. Pins
 * live below the directory given at open and are removed only by bh_datapath_detach (one interface)
 * and bh_datapath_remove_all (uninstall, tests). Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "bulkhead/abi.h"
#include "policy/tables.h"

struct bh_datapath;

struct bh_datapath_options {
	const char *bpffs;  /* directory on a bpffs, created when absent */
	const char *cgroup; /* cgroup2 mount for the socket hooks; NULL: found in /proc/mounts */
	enum bh_node_mode node_mode;
	uint64_t kubelet_cgroup;
	bool keep_established;
};

/* What works here, found by trying. Text says what is lost without it. */
struct bh_capability {
	const char *name; /* "tcx", "sock-destroy", "cgroup-hooks", "bpf-timer", ... */
	bool has;
	bool is_degraded; /* a guarantee is weaker without it */
	char text[160];
};

/* Opens: loads the programs, reuses (adopts) maps and links that are pinned, replaces the programs
 * of adopted links in place. *ret_adopted: a previous daemon's state was found and is still
 * enforcing. A pinned set of another BH_ABI_VERSION: a new set is loaded beside it, and every
 * adopted interface is moved to it in one link update, only after bh_datapath_publish has filled
 * it; the old set is then removed. */
int bh_datapath_open(const struct bh_datapath_options *opt, struct bh_datapath **ret,
		     bool *ret_adopted, struct bh_err *err);
void bh_datapath_close(struct bh_datapath *dp);
void bh_datapath_closep(struct bh_datapath **dp);
size_t bh_datapath_capabilities(const struct bh_datapath *dp, const struct bh_capability **ret);
/* Detaches and unpins everything below a bpffs directory; for tests and uninstallation. */
int bh_datapath_remove_all(const char *bpffs, struct bh_err *err);

/* One pod interface as the kernel is told about it. */
struct bh_attach {
	uint32_t slot;	     /* 1..BH_MAX_SLOTS-1, chosen by the caller */
	uint32_t generation; /* differs from the slot's last tenant */
	uint32_t ifindex;    /* host side */
	int32_t nsid;
	uint64_t cookie;
	bool has_mac;
	uint8_t mac[6];
	const struct bh_ip *ips;
	size_t n_ips;	  /* up to BH_MAX_ADDRS */
	bool owns_cookie; /* first interface of the pod: slot_by_cookie points here */
	uint32_t flags;	  /* BH_SLOT_SHUT | BH_SLOT_QUARANTINE as it must start; LIVE is added */
};
/* Registers and attaches in the order that never leaves a window: endpoint entry shut, look-up
 * entries, then the two programs (link pinned). On failure the interface is as it was. Attaching
 * an interface that is attached already replaces nothing but the entry. */
int bh_datapath_attach(struct bh_datapath *dp, const struct bh_attach *a, struct bh_err *err);
/* Takes the slot's flags away from the kernel, detaches, removes pins, purges its flows, edges,
 * fragments (fold_edge gets each edge first, may be NULL). Succeeds for what is gone already. */
int bh_datapath_detach(struct bh_datapath *dp, uint32_t slot, struct bh_err *err);
/* Points the socket hooks' look-up of a namespace at another of the pod's slots. */
int bh_datapath_set_cookie(struct bh_datapath *dp, uint64_t cookie, uint32_t slot,
			   struct bh_err *err);
/* Checks that both programs are attached to ifindex and are ours; -ENOENT with a sentence if not.
 */
int bh_datapath_check(struct bh_datapath *dp, uint32_t slot, uint32_t ifindex, struct bh_err *err);
/* Attaches again what check found missing (the slot's entry stays). */
int bh_datapath_mend(struct bh_datapath *dp, uint32_t slot, uint32_t ifindex, struct bh_err *err);
/* Slots that the kernel knows (LIVE), for adoption: calls fn with each entry. */
int bh_datapath_slots(struct bh_datapath *dp,
		      int (*fn)(uint32_t slot, const struct bh_slot *entry, void *arg), void *arg);

/* Sets and clears slot flags with one atomic store; takes effect with the next packet. */
int bh_datapath_set_flags(struct bh_datapath *dp, uint32_t slot, uint32_t set, uint32_t clear);
/* Waits until every program run that began before the call has ended (RCU grace period). */
void bh_datapath_wait_grace(struct bh_datapath *dp);

/* Publishing. subjects of t are matched to slots by the caller: slot_of[i] lists the slots of
 * t->subjects[i]. Slots listed nowhere get ruleset 0 (deny) in both directions. t and the arrays
 * are borrowed. After return 0 the kernel enforces t (epoch stored). Any failure leaves what was
 * enforced before untouched; err names the map. Steps: preflight of every map's capacity, write of
 * the idle side, read back and compare, one store, later release of what nothing uses. */
struct bh_publish {
	const struct bh_tables *tables;
	struct {
		const uint32_t *slot;
		size_t n;
	} * slots_of;  /* n_subjects elements */
	int64_t now_s; /* Unix time, and the same instant in bpf_ktime_get_ns terms: */
	uint64_t now_ns;
};
int bh_datapath_publish(struct bh_datapath *dp, const struct bh_publish *p, struct bh_err *err);
/* Whether the maps have room for p's tables beside what is enforced: 0, -ENOSPC with a sentence
 * that names the map, or another failure. slots_of is not looked at. */
int bh_datapath_fits(struct bh_datapath *dp, const struct bh_publish *p, struct bh_err *err);
uint32_t bh_datapath_epoch(const struct bh_datapath *dp);

/* Reads back what the kernel would answer, by walking its maps like the program does: class of the
 * address, ruleset, port class, row. For `policy verify` and `explain`'s "kernel". */
struct bh_kernel_verdict {
	enum bh_verdict verdict;
	enum bh_reason reason;
	bool is_conditional;
	uint32_t class, ruleset, port_class;
};
struct bh_kernel_question {
	uint32_t slot;
	enum bh_dir dir;
	struct bh_ip peer;
	uint8_t proto;
	uint16_t port; /* egress: the peer's; ingress: the pod's */
};
int bh_datapath_decide(struct bh_datapath *dp, const struct bh_kernel_question *q,
		       struct bh_kernel_verdict *ret, struct bh_err *err);

/* Everything that decides, read into memory at once, for questions in numbers: bh_snapshot_decide
 * says what bh_datapath_decide said when the snapshot was taken, without a system call. */
struct bh_snapshot;
int bh_datapath_snapshot(struct bh_datapath *dp, struct bh_snapshot **ret, struct bh_err *err);
void bh_snapshot_free(struct bh_snapshot *s);
void bh_snapshot_freep(struct bh_snapshot **s);
/* Of the publish that it shows. */
uint32_t bh_snapshot_epoch(const struct bh_snapshot *s);
int bh_snapshot_decide(const struct bh_snapshot *s, const struct bh_kernel_question *q,
		       struct bh_kernel_verdict *ret, struct bh_err *err);

/* Quarantine's allow-list of a slot: replaces it. port 0 and proto 0: everything. */
struct bh_qallow_entry {
	struct bh_cidr cidr;
	uint16_t port;
	uint8_t proto;
};
int bh_datapath_set_qallow(struct bh_datapath *dp, uint32_t slot, const struct bh_qallow_entry *v,
			   size_t n, struct bh_err *err);
/* hostNetwork pods: refuses every socket call of the cgroup (id: inode of its cgroup2 directory).
 */
int bh_datapath_quarantine_cgroup(struct bh_datapath *dp, uint64_t cgroup_id, bool on,
				  struct bh_err *err);
/* Destroys every connected TCP and UDP socket of the network namespace (open fd); by BPF iterator
 * where the kernel has bpf_sock_destroy, else -EOPNOTSUPP (then net/sockdiag does it). */
int bh_datapath_destroy_sockets(struct bh_datapath *dp, int netns_fd, uint64_t cookie,
				uint32_t *ret_destroyed, struct bh_err *err);

/* The same for those of one cgroup (not of the ones below it) in our own network namespace, whose
 * cookie is given. */
int bh_datapath_destroy_cgroup_sockets(struct bh_datapath *dp, uint64_t cookie, uint64_t cgroup_id,
				       uint32_t *ret_destroyed, struct bh_err *err);
/* Stops every packet from and to the sockets of a cgroup and of those below it (cgroup_fd: its
 * directory, cgroup_id: its inode). Pinned: it outlives the daemon. Cutting twice is once. */
int bh_datapath_cut_cgroup(struct bh_datapath *dp, int cgroup_fd, uint64_t cgroup_id,
			   struct bh_err *err);
/* Lets them pass again; the cgroup may be gone. */
void bh_datapath_uncut_cgroup(struct bh_datapath *dp, uint64_t cgroup_id);

/* Facts. An edge with its exact counters: the map's plus those of its live flows. */
struct bh_edge_fact {
	struct bh_edge_key key;
	struct bh_edge value;
	uint32_t live_flows;
};
/* slot 0: all. Calls fn for each edge. */
int bh_datapath_edges(struct bh_datapath *dp, uint32_t slot,
		      int (*fn)(const struct bh_edge_fact *e, void *arg), void *arg,
		      struct bh_err *err);
/* Removes edges that have no live flow and were last used before before_ns; makes room. */
int bh_datapath_forget_edges(struct bh_datapath *dp, uint64_t before_ns, uint32_t *ret_n,
			     struct bh_err *err);
/* Marks an edge announced. */
int bh_datapath_edge_sent(struct bh_datapath *dp, const struct bh_edge_key *key);
/* Newest last_ns of any flow or allowed edge of the slot, and the sum of passed packets. */
int bh_datapath_last_passed(struct bh_datapath *dp, uint32_t slot, uint64_t *ret_last_ns,
			    uint64_t *ret_packets, struct bh_err *err);
/* Refused packets by reason over all CPUs. */
int bh_datapath_drops(struct bh_datapath *dp, struct bh_drop ret[BH_R_COUNT]);

struct bh_map_fill {
	const char *name;
	uint64_t used, max, bytes; /* bytes: memory as the kernel accounts it (fdinfo memlock) */
};
/* Fills up to n rows; returns how many there are. */
/* Flows that the slot's tenant ever had: what is connected, whoever began it. */
uint64_t bh_datapath_flows_ever(struct bh_datapath *dp, uint32_t slot);
size_t bh_datapath_maps(struct bh_datapath *dp, struct bh_map_fill *v, size_t n);
struct bh_prog_cost {
	const char *name;
	uint64_t run_cnt, run_ns; /* of the time in which somebody had it measured */
};
/* Fills in at most n; returns how many. */
size_t bh_datapath_progs(struct bh_datapath *dp, struct bh_prog_cost *v, size_t n);
/* Has the kernel measure every BPF program of the machine, which costs each run some 20 ns, or ends
 * that. -errno where the kernel cannot; kernel.bpf_stats_enabled is left alone. */
int bh_datapath_measure(struct bh_datapath *dp, bool is_wanted);

/* Ring: descriptor to poll (edge records); consume calls fn for every record waiting. Records are
 * checked for length and version before fn sees them. */
int bh_datapath_ring_fd(const struct bh_datapath *dp);
int bh_datapath_ring_consume(struct bh_datapath *dp,
			     void (*fn)(const struct bh_event_edge *ev, void *arg), void *arg);

/* bpf_ktime_get_ns() of now (CLOCK_MONOTONIC). */
uint64_t bh_datapath_now_ns(void);

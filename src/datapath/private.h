/* private.h - what the files of this folder share: the handle, the maps and programs by name.
 *
 * Division of labour: object (load, adopt maps), pins (paths), attach + hooks (programs on
 * interfaces and cgroups), kmap (every map access, fault injection), publish with peers, cidrs,
 * rules and ids (tables), migrate (a set of another ABI), the rest read. */
#pragma once

#include "datapath/datapath.h"
#include "datapath/ids.h"
#include "datapath/kmap.h"

#define BH_DP_PATH 256

/* Every map the C side touches. Pinned by this name. */
#define BH_DP_MAPS(X)                                                                              \
	X(CONFIG, "config")                                                                        \
	X(ENDPOINT, "endpoint")                                                                    \
	X(USAGE, "usage")                                                                          \
	X(SLOT_IFINDEX, "slot_by_ifindex")                                                         \
	X(SLOT_IFINDEX_HASH, "slot_by_ifindex_hash")                                               \
	X(SLOT_COOKIE, "slot_by_cookie")                                                           \
	X(QUARANTINED_CGROUP, "quarantined_cgroup")                                                \
	X(LOCAL, "local")                                                                          \
	X(PEER4, "peer4")                                                                          \
	X(PEER6, "peer6")                                                                          \
	X(CIDR4, "cidr4")                                                                          \
	X(CIDR6, "cidr6")                                                                          \
	X(RULESET, "ruleset")                                                                      \
	X(ROW, "row")                                                                              \
	X(PROCROW, "procrow")                                                                      \
	X(PORTMAP, "portmap")                                                                      \
	X(PORTPAGE, "portpage")                                                                    \
	X(EXE, "exe")                                                                              \
	X(FLOW, "flow")                                                                            \
	X(EDGE, "edge")                                                                            \
	X(FRAG, "frag")                                                                            \
	X(QALLOW, "qallow")                                                                        \
	X(NAMES, "names")                                                                          \
	X(DROP, "drop")                                                                            \
	X(EVENTS, "events")

enum bh_dp_map {
#define BH_DP_MAP_ENUM_(sym, name) BH_M_##sym,
	BH_DP_MAPS(BH_DP_MAP_ENUM_)
#undef BH_DP_MAP_ENUM_
		BH_M_COUNT
};

enum bh_dp_object { BH_OBJ_POD, BH_OBJ_SOCK, BH_OBJ_KILL, BH_OBJ_SUM, BH_OBJ_COUNT };

/* Every program. Third column: cgroup attach type, 0 where it is no cgroup hook. */
#define BH_DP_PROGS(X)                                                                             \
	X(FROM_POD, "bh_from_pod", BH_OBJ_POD, 0)                                                  \
	X(TO_POD, "bh_to_pod", BH_OBJ_POD, 0)                                                      \
	X(SWEEP, "bh_sweep", BH_OBJ_POD, 0)                                                        \
	X(TIMER_START, "bh_timer_start", BH_OBJ_POD, 0)                                            \
	X(CONNECT4, "bh_connect4", BH_OBJ_SOCK, BPF_CGROUP_INET4_CONNECT)                          \
	X(CONNECT6, "bh_connect6", BH_OBJ_SOCK, BPF_CGROUP_INET6_CONNECT)                          \
	X(SENDMSG4, "bh_sendmsg4", BH_OBJ_SOCK, BPF_CGROUP_UDP4_SENDMSG)                           \
	X(SENDMSG6, "bh_sendmsg6", BH_OBJ_SOCK, BPF_CGROUP_UDP6_SENDMSG)                           \
	X(BIND4, "bh_bind4", BH_OBJ_SOCK, BPF_CGROUP_INET4_BIND)                                   \
	X(BIND6, "bh_bind6", BH_OBJ_SOCK, BPF_CGROUP_INET6_BIND)                                   \
	X(SOCK_CREATE, "bh_sock_create", BH_OBJ_SOCK, BPF_CGROUP_INET_SOCK_CREATE)                 \
	X(KILL_TCP, "bh_kill_tcp", BH_OBJ_KILL, 0)                                                 \
	X(KILL_UDP, "bh_kill_udp", BH_OBJ_KILL, 0)                                                 \
	X(CUT_IN, "bh_cut_in", BH_OBJ_KILL, 0)                                                     \
	X(CUT_OUT, "bh_cut_out", BH_OBJ_KILL, 0)                                                   \
	X(SUM, "bh_sum", BH_OBJ_SUM, 0)

enum bh_dp_prog {
#define BH_DP_PROG_ENUM_(sym, name, obj, hook) BH_P_##sym,
	BH_DP_PROGS(BH_DP_PROG_ENUM_)
#undef BH_DP_PROG_ENUM_
		BH_P_COUNT
};

struct bh_dp_prog_info {
	const char *name;
	enum bh_dp_object object;
	uint32_t hook; /* enum bpf_attach_type of a cgroup hook; 0: none */
};
extern const struct bh_dp_prog_info bh_dp_prog_info[BH_P_COUNT];

struct bh_dp_prog_fd {
	int fd; /* -1: not loaded */
	uint32_t id;
};

#define BH_DP_CAPABILITIES 12
#define BH_DP_FLOW_QUOTA   16384 /* per slot: one pod cannot fill the table of BH_MAX_FLOWS */
#define BH_DP_EDGE_QUOTA   2048

struct bh_grace {
	int pid;	 /* child that waits for a grace period; 0: none */
	void *stack;	 /* its stack */
	bool is_owed;	 /* a grace period must pass before the idle side is written */
	bool is_covered; /* the child waits for that very one */
	int hurry_fd;	 /* the kernel's switch for expedited grace periods; -1: not ours to use */
};

struct bh_datapath {
	char base[BH_DP_PATH]; /* the directory given at open */
	char dir[BH_DP_PATH];  /* our set below it */
	char old[BH_DP_PATH];  /* another set that still serves interfaces; "" when there is none */
	int cgroup_fd;
	int marker_fd; /* program that marks an edge announced */
	int stats_fd;  /* programs are measured while it is open; -1: they are not */
	bool has_tcx, has_hooks, has_timer;
	bool has_published; /* through this handle */
	struct bh_kmap map[BH_M_COUNT];
	struct bh_dp_prog_fd prog[BH_P_COUNT];
	int kill_target_fd;	  /* data section of the kill object */
	int sum_target_fd;	  /* and of the sum object; -1: not loaded */
	struct bh_config *config; /* mmaps of the maps of the same names */
	struct bh_slot *slot;
	size_t slot_bytes;
	struct bh_kring *ring;
	struct bh_ring_user *ring_user;
	struct bh_fault fault;
	struct bh_grace grace;
	struct bh_tstate tstate;
	struct bh_capability cap[BH_DP_CAPABILITIES];
	size_t n_caps;
};

/* ---- object.c ---- */
/* Chooses dp->dir (and dp->old) below dp->base and loads the objects into it: maps are reused
 * by pin or created, programs pinned. *ret_found: dp->dir was there already. */
int bh_dp_objects_load(struct bh_datapath *dp, bool *ret_found, struct bh_err *err);

/* ---- apart.c ---- */
/* Calls fn in a process of its own that has our descriptors and a copy of our memory. *state: n
 * plain bytes, which come back as fn leaves them; no owned pointers. Returns what fn returns. */
int bh_dp_apart(int (*fn)(void *state, struct bh_err *err), void *state, size_t n,
		struct bh_err *err);

/* ---- stats.c ---- */
/* What the kernel accounts for the map, in bytes. */
uint64_t bh_dp_memlock(int fd);
/* false when there is no such program. name is borrowed. */
bool bh_dp_cost(int fd, const char *name, struct bh_prog_cost *ret);

/* ---- pins.c ---- */
/* Checks the directory, mounts bpffs at its usual place if that is all that is missing, makes it.
 */
int bh_dp_pins_base(const char *bpffs, char out[BH_DP_PATH], struct bh_err *err);
int bh_dp_pins_make(const char *dir, struct bh_err *err);
int bh_dp_path(char out[BH_DP_PATH], const char *dir, const char *kind, const char *name);
/* Unlinks what is there and pins fd in its place. */
int bh_dp_pin(int fd, const char *path, struct bh_err *err);
/* Calls fn(directory, name, arg) for each entry of dir; fn may unlink it. Absent dir: nothing. */
int bh_dp_each_name(const char *dir, int (*fn)(const char *dir, const char *name, void *arg),
		    void *arg);

/* ---- hooks.c: programs on interfaces ---- */
int bh_dp_hook_attach(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir,
		      struct bh_err *err);
/* Removes ours; succeeds for what is gone. */
void bh_dp_hook_detach(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir);
/* true when our current program is attached. */
bool bh_dp_hook_is_on(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir);
/* After open: replaces the programs of adopted links and filters, drops links of gone devices. */
int bh_dp_hooks_adopt(struct bh_datapath *dp, struct bh_err *err);
bool bh_dp_tcx_works(int prog_fd);
int bh_dp_link_pin_path(char out[BH_DP_PATH], const char *set, uint32_t ifindex, enum bh_dir dir);
/* true when the filter in our place runs one of the programs pinned in the set. */
bool bh_dp_filter_is_of(const char *set, uint32_t ifindex, enum bh_dir dir);
/* Removes the filter in our place, whosever it is. */
void bh_dp_filter_detach(uint32_t ifindex, enum bh_dir dir);
/* Removes the filters below whose program is one of the set's pinned ones. */
void bh_dp_filters_remove(const char *set);

/* ---- cgroup.c ---- */
int bh_dp_cgroup_open(struct bh_datapath *dp, const char *cgroup, struct bh_err *err);
/* Attaches the socket hooks or replaces their programs in place. */
int bh_dp_cgroup_attach(struct bh_datapath *dp, struct bh_err *err);

/* ---- probe.c ---- */
void bh_dp_probe(struct bh_datapath *dp);

/* ---- hurry.c ---- */
/* Opens the switch where it may be used, and puts it back where a daemon that was killed left it.
 */
void bh_dp_hurry_open(struct bh_datapath *dp);
/* From now until bh_dp_hurry_end the kernel's grace periods take microseconds, not milliseconds.
 * Returns what end must be given. */
bool bh_dp_hurry_begin(struct bh_datapath *dp);
void bh_dp_hurry_end(struct bh_datapath *dp, bool has_begun);

/* ---- grace.c ---- */
/* From now on a grace period is owed; a child starts to wait for it beside us. */
void bh_dp_grace_begin(struct bh_datapath *dp);
/* Returns when no grace period is owed any more. */
void bh_dp_grace_end(struct bh_datapath *dp);
/* Ends the waiting child's use of our memory. */
void bh_dp_grace_stop(struct bh_datapath *dp);

/* ---- decide.c ---- */
/* What is enforced, from the kernel's maps or from a copy. */
struct bh_dp_view {
	const void *source;
	/* The element of a map, in room (as large as the map's values) or where the source has it;
	 * NULL: none. */
	const void *(*get)(const struct bh_dp_view *view, enum bh_dp_map map, const void *key,
			   void *room);
	const struct bh_slot *slot; /* BH_MAX_SLOTS */
	unsigned side;
	bool has_cidrs;
	uint64_t now_ns;
};
int bh_dp_decide(const struct bh_dp_view *view, const struct bh_kernel_question *q,
		 struct bh_kernel_verdict *ret, struct bh_err *err);

/* ---- sum.c ---- */
/* true when the slot has neither flows nor edges. */
bool bh_dp_slot_is_empty(struct bh_datapath *dp, uint32_t slot);

/* ---- purge.c ---- */
int bh_dp_sweep(struct bh_datapath *dp, struct bh_sweep_args *args, struct bh_err *err);
int bh_dp_purge_slot_map(struct bh_datapath *dp, enum bh_dp_map map, uint32_t slot,
			 struct bh_err *err);
/* Deletes the slot's entries from flow, edge, frag, local and qallow and zeroes its usage. */
int bh_dp_purge_slot(struct bh_datapath *dp, uint32_t slot, struct bh_err *err);
int bh_dp_purge_addresses(struct bh_datapath *dp, uint32_t slot, struct bh_err *err);

/* ---- migrate.c ---- */
/* After open with dp->old set: carries over what both layouts share. */
int bh_dp_migrate_begin(struct bh_datapath *dp, struct bh_err *err);
/* Moves every interface that is ready from the old set to ours; removes the old set when done. */
void bh_dp_migrate_ready(struct bh_datapath *dp);
/* true while the old set's programs serve the interface. */
bool bh_dp_migrate_has(struct bh_datapath *dp, uint32_t ifindex);
/* The interface is detached: also from the old set. */
void bh_dp_migrate_drop(struct bh_datapath *dp, uint32_t ifindex);
/* Removes a whole set directory. */
int bh_dp_set_remove(const char *dir, struct bh_err *err);

/* ---- marker.c ---- */
int bh_dp_marker_load(struct bh_datapath *dp, struct bh_err *err);

/* ---- ring.c ---- */
int bh_dp_ring_open(struct bh_datapath *dp, struct bh_err *err);
void bh_dp_ring_close(struct bh_datapath *dp);

/* trace.h - what the tracing programs and the daemon agree on: maps, sets, ring records.
 *
 * Rules as in abi.h. Facts are map state: the set `trace_fact` holds everything that was seen once,
 * with counters; the rings only announce. Every event of a slot is counted in exactly one of
 * delivered, deduplicated, deferred and lost; seen is their sum. A full ring never changes what is
 * enforced. A change here is a change of BH_TRACE_VERSION. */
#pragma once

#include <linux/types.h>

#include "bulkhead/abi.h"

#define BH_TRACE_VERSION 7

/* Slots below BH_MAX_SLOTS are the data path's; above it are hostNetwork pods, which have no
 * interface: the daemon numbers them, `trace_cgroup` names them by cgroup id. */
#define BH_TRACE_HOST_SLOTS 256
#define BH_TRACE_SLOTS	    (BH_MAX_SLOTS + BH_TRACE_HOST_SLOTS)
#define BH_TRACE_FACTS	    32768 /* entries of trace_fact */
#define BH_TRACE_FACT_QUOTA 2048  /* of one slot */
#define BH_TRACE_ARGS	    4096  /* bytes of arguments, NULs included */
#define BH_TRACE_PARENT	    96	  /* bytes of the former image's path that a task carries */
#define BH_TRACE_NAME	    16

/* What a record or a fact is about. */
enum bh_trace_kind {
	BH_TRACE_EXEC = 1, /* struct bh_trace_exec */
	BH_TRACE_EXIT,	   /* struct bh_trace_exit */
	BH_TRACE_FILE,	   /* struct bh_trace_act; op: enum bh_trace_op */
	BH_TRACE_MAP,	   /* a file, or memory, became executable: struct bh_trace_act */
	BH_TRACE_CALL,	   /* a system call worth knowing: struct bh_trace_act; op: its class */
	BH_TRACE_DNS,	   /* a name that the pod asked for: struct bh_trace_dns */
	BH_TRACE_KINDS
};

/* Where the bytes of a file come from. The numbers are kept: records and sets hold them. */
enum bh_trace_origin {
	BH_TRACE_O_UNKNOWN,
	BH_TRACE_O_IMAGE,    /* overlay, lower layer only */
	BH_TRACE_O_MODIFIED, /* overlay, copied up, data of another size or time than below */
	BH_TRACE_O_NEW,	     /* overlay, upper layer only */
	BH_TRACE_O_METACOPY, /* overlay, copied up, data as below: a chown is not drift */
	BH_TRACE_O_TMPFS,
	BH_TRACE_O_MEMFD,
	BH_TRACE_O_VOLUME, /* another file system mounted into the pod's tree */
	BH_TRACE_O_OTHER,  /* everything else: not an overlay, or not of the pod's tree */
	BH_TRACE_O_COUNT
};

/* What was done to a file. */
enum bh_trace_op {
	BH_TRACE_OP_NONE,
	BH_TRACE_OP_WRITE, /* opened for writing, or emptied; arg[0]: O_* */
	BH_TRACE_OP_CREATE,
	BH_TRACE_OP_READ,   /* opened, and its name is in trace_name */
	BH_TRACE_OP_RENAME, /* path > target; both as the caller wrote them, made absolute */
	BH_TRACE_OP_LINK,
	BH_TRACE_OP_CHMOD, /* arg[0]: st_mode with execute or set-id bits, its type where that is
			      known; 0200000: capabilities */
	BH_TRACE_OP_UNLINK,
	BH_TRACE_OP_SCRIPT, /* opened by the interpreter that was started on it, and not the image's
			     */
	BH_TRACE_OP_MKDIR,  /* as what follows, UNLINK and CREATE of other names: for
			       BH_TRACE_P_FILES */
	BH_TRACE_OP_ATTR,   /* arg[0]: the mode, where it was that */
	BH_TRACE_OPS
};

#define BH_TRACE_MAP_OPS 4 /* of a mapping: 1: writable, 2: of no file, or both */

/* Classes of system calls; what arg means for each. The daemon tells the kernel which number is in
 * which class, so that one program serves every machine. */
enum bh_trace_class {
	BH_CALL_NONE,
	BH_CALL_OPEN, /* path, flags */
	BH_CALL_CREAT,
	BH_CALL_MMAP,
	BH_CALL_MPROTECT,
	BH_CALL_RENAME,	  /* old, new */
	BH_CALL_RENAMEAT, /* fd, old, fd, new */
	BH_CALL_LINK,	  /* old, new */
	BH_CALL_LINKAT,
	BH_CALL_SYMLINKAT, /* old, fd, new */
	BH_CALL_CHMOD,	   /* path, mode */
	BH_CALL_FCHMOD,	   /* fd, mode */
	BH_CALL_FCHMODAT,  /* fd, path, mode */
	BH_CALL_UNLINK,
	BH_CALL_UNLINKAT,
	BH_CALL_SETID, /* arg: effective user before and after, real user, BH_TRACE_T_ROOT before */
	BH_CALL_SETNS, /* fd, type */
	BH_CALL_UNSHARE,  /* flags */
	BH_CALL_ROOT,	  /* pivot_root, chroot; path: the new root */
	BH_CALL_MOUNT,	  /* path: source, target: where; arg[3]: flags */
	BH_CALL_NEWMOUNT, /* fsopen and its kind */
	BH_CALL_PTRACE,	  /* request, pid; arg[2]: BH_TRACE_TARGET_*, arg[3]: the host's pid */
	BH_CALL_VMREAD,	  /* pid; arg[2] and arg[3] as before */
	BH_CALL_VMWRITE,  /* pid; arg[2] and arg[3] as before */
	BH_CALL_MODULE,	  /* arg[3]: negative: it was refused */
	BH_CALL_BPF,	  /* command */
	BH_CALL_UFFD,
	BH_CALL_MEMFD, /* path: the name */
	BH_CALL_URING,
	BH_CALL_SOCKET,	 /* family, type, protocol */
	BH_CALL_CONNECT, /* or sent, to a unix socket whose name is in trace_name; path: it */
	BH_CALL_LISTEN,	 /* port, protocol, 1: loopback only; in light mode too, as what follows */
	BH_CALL_SIGNAL,	 /* number, pid: to a task outside of the pod */
	BH_CALL_TCP, /* an image's first connection: port, and 65536 when the image before it had
		      * connected too; arg[1], arg[2]: the address, v4-mapped, as bytes */
	BH_CALL_FOREIGN,   /* of another architecture's table; never decoded */
	BH_CALL_DENIED,	   /* named by the slot's policy, and nothing else to say */
	BH_CALL_OPENAT,	   /* fd, path, flags */
	BH_CALL_OPENAT2,   /* fd, path, where flags are */
	BH_CALL_HANDLE,	   /* fd, handle, flags */
	BH_CALL_SYMLINK,   /* what it says, new */
	BH_CALL_TRUNCATE,  /* path, length */
	BH_CALL_FTRUNCATE, /* fd, length */
	BH_CALL_CLONE,	   /* flags; told as UNSHARE where it makes namespaces */
	BH_CALL_CLONE3,	   /* where flags are */
	BH_CALL_XATTR,	   /* path or fd, name; told as CHMOD where it gives capabilities */
	BH_CALL_FXATTR,
	BH_CALL_GETFD,	 /* of another process: pidfd, its descriptor */
	BH_CALL_PRCTL,	 /* told where a task calls itself like one of the kernel's; path: so */
	BH_CALL_EXEC,	 /* a new image began */
	BH_CALL_XATTRAT, /* fd, path, flags, name */
	BH_CALL_MKDIR,	 /* path, mode */
	BH_CALL_MKDIRAT,
	BH_CALL_MKNOD, /* path, mode */
	BH_CALL_MKNODAT,
	BH_CALL_CHANGE, /* path: its owner, times or attributes */
	BH_CALL_CHANGEAT,
	BH_CALL_FCHANGE,
	BH_CALL_SENDTO, /* without a connection; told as CONNECT, as what follows */
	BH_CALL_SENDMSG,
	BH_CALL_SENDMMSG,
	BH_CALL_CLASSES
};
/* Whom ptrace and its kin are about. */
#define BH_TRACE_TARGET_UNKNOWN 0u
#define BH_TRACE_TARGET_POD	1u  /* another process of the pod */
#define BH_TRACE_TARGET_OWN	2u  /* the task itself, or its child */
#define BH_TRACE_TARGET_OTHER	3u  /* of another pod, or of the host */
#define BH_TRACE_CALLS		512 /* system call numbers that are looked at */

enum bh_trace_stdio {
	BH_TSTDIO_UNKNOWN,
	BH_TSTDIO_NONE, /* closed, or the null device */
	BH_TSTDIO_TTY,
	BH_TSTDIO_PIPE,
	BH_TSTDIO_FILE,
	BH_TSTDIO_INET,
	BH_TSTDIO_UNIX,
	BH_TSTDIO_OTHER,
	BH_TSTDIO_FIFO, /* a pipe with a name */
};

/* flags of records and facts */
#define BH_TRACE_F_OUTSIDE    1u   /* the task was of no pod, or of another one, before */
#define BH_TRACE_F_INIT	      2u   /* first image of its mount namespace in this pod */
#define BH_TRACE_F_UNLINKED   4u   /* the file has no name any more */
#define BH_TRACE_F_SETID      8u   /* the file has the set-user or set-group bit */
#define BH_TRACE_F_ARGS_CUT   16u  /* there were more arguments */
#define BH_TRACE_F_NETNS_LEFT 32u  /* the task's network namespace is not its pod's */
#define BH_TRACE_F_KILLED     64u  /* the slot's policy had the task killed */
#define BH_TRACE_F_SCRIPT     128u /* an interpreter that the kernel started for `script` */
#define BH_TRACE_F_FIRST      256u /* the set did not have it */
#define BH_TRACE_F_HIGH	      512u /* went through the ring for what matters most */
#define BH_TRACE_F_PATH_CUT                                                                        \
	1024u			    /* the path is longer than BH_PATH_MAX - 1; its end is missing \
				     */
#define BH_TRACE_F_PRELOAD   2048u  /* LD_PRELOAD or LD_AUDIT was set */
#define BH_TRACE_F_REFUSED   4096u  /* by the slot's policy, whether it was killed or not */
#define BH_TRACE_F_CLAIMED   8192u  /* path and target are what the caller wrote, perhaps since */
#define BH_TRACE_F_TRUNCATED 16384u /* emptied: O_TRUNC, or length 0 */
#define BH_TRACE_F_SHARED    32768u /* mapping: MAP_SHARED */
#define BH_TRACE_F_WRITABLE  65536u /* mapping: writable and executable at once */
#define BH_TRACE_F_ANON	     131072u /* mapping of no file */
#define BH_TRACE_F_COLLAPSED 262144u /* stands for many files of a directory */
#define BH_TRACE_F_UID_GAINED                                                                      \
	524288u /* exec as user 0, from another, by a file without set-id bit */
#define BH_TRACE_F_ADOPTED   1048576u /* exec: it ran already when tracing began */
#define BH_TRACE_F_RO_ROOT   2097152u /* with INIT: the container's root file system is read-only */
#define BH_TRACE_F_OWN	     4194304u /* a file of procfs about the task itself */
#define BH_TRACE_F_OUTER     8388608u /* a file of a mount that is not in the task's tree */
#define BH_TRACE_F_CONNECTED 16777216u /* exec: what executed it had connected somewhere */
#define BH_TRACE_F_RESOLVED                                                                        \
	33554432u /* with CLAIMED: links in path and target were followed, in the kernel's names   \
		   */
#define BH_TRACE_F_WROTE      0x04000000u /* a volume's file that the container wrote itself */
#define BH_TRACE_F_NO_HISTORY 0x08000000u /* HISTFILE was set to nothing, or to a device */
#define BH_TRACE_F_OWN_NS     0x10000000u /* exec: in a mount namespace that the pod made itself */
#define BH_TRACE_F_BLOCKED    0x40000000u /* exec: it got EPERM, and nothing was executed */
#define BH_TRACE_F_UNSENT     0x80000000u /* of facts: no record has announced it yet */

/* map `trace_config`, ARRAY[1], mmapable, one writer (the daemon). All zero: tracing is off. */
struct bh_trace_config {
	__u32 mode;	   /* enum bh_trace_mode */
	__u32 has_cgroups; /* 1: trace_cgroup has entries */
	__u32 wanted;	   /* BH_TRACE_WANT_*: what some slot wants of calls that are of no class */
	__u32 pad;
};
#define BH_TRACE_WANT_POLICY 1u /* its policy names some */
#define BH_TRACE_WANT_SEQ    2u /* their order is counted or judged */
#define BH_TRACE_WANT_LEARN  4u
_Static_assert(sizeof(struct bh_trace_config) == 16, "bh_trace_config");

enum bh_trace_mode { BH_TRACE_OFF, BH_TRACE_LIGHT, BH_TRACE_WATCH, BH_TRACE_LEARN };

/* map `trace_slot`, ARRAY[BH_TRACE_SLOTS], mmapable: the books of one slot. BPF writes with
 * atomics, the daemon adds to swept only. When a slot gets a new tenant, the first program that
 * notices closes the old books. */
struct bh_trace_slot {
	__u64 seen, delivered, deduplicated;
	__u64 deferred; /* in the set, not announced for want of room in the ring */
	__u64 lost;	/* neither set nor ring had room */
	__u64 swept;	/* deferred ones that the daemon found in the set and announced */
	__u64 execs, forks, exits; /* rates; not events */
	__u64 budget_ns; /* until when the slot has spent its share of repeated announcements */
	__u32 generation;
	__u32 facts;	/* entries in trace_fact */
	__u64 overflow; /* events beyond the quota of facts */
	__u64 killed;
	__u32 seq, learn; /* tenants that trace_seq and trace_learn have an entry for; 0: none */
	__u32 round; /* another one whenever those entries, or what is wanted of them, change */
	__u32 mntns; /* lower half of the mount namespace that the last one from outside came into
		      */
	__u32 pad[2];
};
_Static_assert(sizeof(struct bh_trace_slot) == 128, "bh_trace_slot");

/* map `trace_policy`, ARRAY[BH_TRACE_SLOTS]: what the kernel enforces by itself. All zero: nothing.
 * It outlives the daemon with the exec program. */
#define BH_TRACE_P_ALLOW      1u /* only executables named in trace_allow may run */
#define BH_TRACE_P_KILL	      2u /* what is refused is killed; without it: only marked */
#define BH_TRACE_P_KILL_CALLS 4u /* who makes a refused system call is killed */
#define BH_TRACE_P_FILES      8u /* every change of a file is told, for a list of what may change */
#define BH_TRACE_UIDS	      8
struct bh_trace_policy {
	__u32 generation; /* of the slot it is meant for; else it counts for nothing */
	__u32 flags;	  /* BH_TRACE_P_* */
	__u32 origins;	  /* refused ones, 1 << enum bh_trace_origin */
	__u32 n_uids;
	__u32 uid[BH_TRACE_UIDS];	  /* effective users that may not run anything */
	__u64 calls[BH_TRACE_CALLS / 64]; /* refused system calls; needs watch mode */
};
_Static_assert(sizeof(struct bh_trace_policy) == 112, "bh_trace_policy");

/* map `trace_allow`, HASH > u32 1. */
struct bh_trace_allow_key {
	__u32 slot;
	__u32 generation;
	char path[BH_PATH_MAX]; /* NUL-padded */
};
_Static_assert(sizeof(struct bh_trace_allow_key) == 264, "bh_trace_allow_key");

/* What the program on system calls is told about their numbers when it is loaded. */
#define BH_TRACE_PARTS 32 /* of i386's socketcall and of its ipc: the first argument says which */
struct bh_trace_table {
	__u8 class[BH_TRACE_CALLS]; /* enum bh_trace_class */
	/* of i386's calls, then of the parts of those two: the number here; 0: none */
	__u16 native[BH_TRACE_CALLS + 2 * BH_TRACE_PARTS];
	__u16 socketcall, ipc; /* i386's numbers */
};

/* task storage `trace_task`: whose a task is. Copied on fork; the kernel frees it. With what the
 * kernel puts before it, 256 bytes: beyond, each fork takes a fifth longer and twice the memory. */
#define BH_TRACE_T_ANNOUNCED 1u		 /* the image's start was announced, so its end will be */
#define BH_TRACE_T_CONNECTED 2u		 /* it has connected somewhere */
#define BH_TRACE_T_AFTER     4u		 /* and so had the image before it */
#define BH_TRACE_T_ROOT	     8u		 /* one of its user ids is 0: it may become root again */
#define BH_TRACE_T_STDIN     16u	 /* an interpreter that was started on no file */
#define BH_TRACE_T_LINE	     32u	 /* a script's interpreter, with options in its #! line */
#define BH_TRACE_T_SECOND    0xffff0000u /* half the hash of another name that script may have */
struct bh_trace_task {
	__u64 exec_id;	      /* of the image; 0: the task executed nothing in the pod */
	__u64 parent_exec_id; /* of the image before it: its own, or the one that forked it */
	__u64 ino;
	__u64 self_exec; /* the kernel's count of the task's execs: two programs count one once */
	__u64 cookie;	 /* of its network namespace when it executed the image */
	__u32 dev;
	__u32 slot;
	__u32 generation;
	__u32 pid; /* process that executed the image */
	__u32 flags;
	__u32 uid;
	__u8 origin;
	__u8 pad[3];
	__u32 script;	/* hash of the name of the file an interpreter was started on; 0: none */
	__u32 home_dev; /* of the root file system that it came into the pod with */
	__u32 home_ns;	/* the mount namespace; what it makes itself is neither */
	char path[BH_TRACE_PARENT]; /* NUL-terminated, perhaps cut */
};
_Static_assert(sizeof(struct bh_trace_task) == 176, "bh_trace_task");

/* map `trace_fact`, HASH: everything seen once. What the numbers mean depends on kind:
 * exec: ino, dev: the file; by: inode of the image that was executing before; name: comm.
 * file: ino, dev: its directory (0: of procfs); by: inode of the image; name: the file's, cut.
 * map: ino, dev: the file; by: 0. call: ino: class-dependent; by: inode of the image; dev: number.
 */
struct bh_fact_key {
	__u32 slot;
	__u8 kind; /* enum bh_trace_kind */
	__u8 origin;
	__u8 op;
	__u8 is_emptied; /* of files whose name matters, and rights given; of execs: what is odd */
	__u64 ino;
	__u64 by;
	__u32 dev;
	__u32 uid; /* effective */
	char name[BH_TRACE_NAME];
};
_Static_assert(sizeof(struct bh_fact_key) == 48, "bh_fact_key");

struct bh_fact {
	__u64 first_ns; /* bpf_ktime_get_ns, as everywhere here */
	__u64 last_ns;
	__u64 count;
	__u64 exec_id, parent_exec_id; /* of the first one */
	__u32 generation;
	__u32 flags; /* BH_TRACE_F_* */
	__u32 pid;
	__u32 arg;
	char path[BH_PATH_MAX];
};
_Static_assert(sizeof(struct bh_fact) == 312, "bh_fact");

/* map `trace_name`, HASH > u32 BH_TRACE_N_*: last components of paths that matter, NUL-padded. */
#define BH_TRACE_N_READ	   1u  /* reading a file of this name is told */
#define BH_TRACE_N_CONNECT 2u  /* connecting to a socket of this name is told */
#define BH_TRACE_N_KEEP	   4u  /* never collapsed into its directory */
#define BH_TRACE_N_DIR	   16u /* of a directory: what is written there matters */
#define BH_TRACE_N_HIDDEN  8u  /* only in a directory whose own name begins with a dot */
struct bh_trace_name {
	char text[32];
};

/* map `trace_learn`, HASH by slot: in learn mode, which system calls a pod makes, and which pairs
 * of them follow each other in a task, as a Bloom filter of two bits a pair. The daemon makes the
 * entry; without one, or for another generation, nothing is learnt. Bits are only ever set, but
 * that the daemon takes the calls away now and then, to see which are still made. */
#define BH_TRACE_BLOOM_BITS 65536
struct bh_trace_learn {
	__u64 calls[BH_TRACE_CALLS / 64];
	__u64 bloom[BH_TRACE_BLOOM_BITS / 64];
	__u64 total; /* grows whenever a bit is set, and now and then besides */
	__u32 generation;
	__u32 pad;
};
_Static_assert(sizeof(struct bh_trace_learn) == 8272, "bh_trace_learn");
/* Argument of the program that takes the calls of a slot. */
struct bh_learn_take {
	__u64 calls[BH_TRACE_CALLS / 64]; /* out: made since the last time */
	__u32 slot;
	__u32 generation;
};
/* The filter's bits of a pair of system call numbers. */
static inline __u32 bh_trace_bloom_bit(__u32 first, __u32 second, __u32 which)
{
	__u32 h = (first * BH_TRACE_CALLS + second) * (which ? 0x9e3779b1u : 0x85ebca6bu);

	return (h >> 16) & (BH_TRACE_BLOOM_BITS - 1);
}

/* ---- sequences of system calls ----
 *
 * A gram is a task's last seven calls, nine bits each, the newest one lowest. A call is its number
 * plus 1 (from BH_GRAM_CALLS on all are one), 0 what was before the task's first. Kernel and models
 * count the same grams. */
#define BH_GRAM_LEN   7
#define BH_GRAM_BITS  9
#define BH_GRAM_CALLS 511 /* different calls */
#define BH_GRAM_MASK  ((1ull << (BH_GRAM_LEN * BH_GRAM_BITS)) - 1)
static inline __u64 bh_gram_push(__u64 gram, __u32 call)
{
	return (gram << BH_GRAM_BITS | (call < BH_GRAM_CALLS ? call + 1 : BH_GRAM_CALLS)) &
	       BH_GRAM_MASK;
}

/* A set of grams as a Bloom filter whose bits of one gram are all in one word: one in some hundred
 * unknown grams of a task is taken for known while it holds what a workload may have. */
#define BH_SEQ_WORDS 2048
static inline __u64 bh_gram_hash(__u64 gram)
{
	__u64 h = gram * 0x9e3779b97f4a7c15ull;

	return (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
}
static inline __u32 bh_gram_word(__u64 hash)
{
	return hash >> 53 & (BH_SEQ_WORDS - 1);
}
static inline __u64 bh_gram_bits(__u64 hash)
{
	return 1ull << (hash >> 29 & 63) | 1ull << (hash >> 35 & 63) | 1ull << (hash >> 41 & 63) |
	       1ull << (hash >> 47 & 63);
}

/* map `trace_seq`, HASH by slot: what the daemon wants to know of a pod's sequences. Without an
 * entry, or for another generation: nothing. */
#define BH_SEQ_COUNT 1u /* learning: counts every gram in trace_gram, and sends windows */
#define BH_SEQ_JUDGE 2u /* sends the window of a task with `limit` unknown grams in 64 calls */
struct bh_trace_seq {
	__u32 generation;
	__u32 flags; /* BH_SEQ_* */
	__u32 limit;
	__u32 held;    /* grams counted that the daemon has not fetched yet */
	__u64 unknown; /* calls whose gram is not in the filter */
	__u64 sent;    /* windows */
	__u64 unsent;  /* for want of room, or of time since the last one */
	__u64 refused; /* calls whose gram was not counted: quota, or the map is full */
	__u64 next_ns; /* no window before */
	__u64 pad;
	__u64 word[BH_SEQ_WORDS];
};
_Static_assert(sizeof(struct bh_trace_seq) == 64 + 8 * BH_SEQ_WORDS, "bh_trace_seq");

/* map `trace_gram`, HASH > u64 count. Emptied by the daemon. Full, or the quota of a slot used up:
 * the gram is not learnt, and counted in `refused`. */
#define BH_SEQ_GRAMS	 65536	      /* entries */
#define BH_SEQ_QUOTA	 8192	      /* of one slot */
#define BH_SEQ_LEARN_NS	 500000000ull /* at least so long between two windows of a pod */
#define BH_SEQ_WINDOW_NS 100000000ull
struct bh_gram_key {
	__u64 gram;
	__u32 slot;
	__u32 generation;
};
_Static_assert(sizeof(struct bh_gram_key) == 16, "bh_gram_key");

/* Argument of the program that takes fetched grams off the slot's quota. */
struct bh_seq_fetched {
	__u32 slot;
	__u32 generation;
	__u32 n;
	__u32 pad;
};

/* A gram that a task made lately, about which the slot's maps have nothing to learn but that it was
 * made again. */
#define BH_SEQ_KNOWN	  64 /* of a task; each gram has its place */
#define BH_SEQ_KNOWN_MORE 64
struct bh_seq_known {
	__u64 gram; /* 0: none */
	__u32 more; /* times that trace_gram does not have yet */
	__u32 room; /* it gets them when they are so many: the first one at once */
};

/* task storage `trace_seq_task`: calls of a task of such a pod. Not inherited. */
#define BH_SEQ_WINDOW 256
#define BH_SEQ_LEARN  4u /* besides BH_SEQ_*: the slot's calls and pairs are learnt */
struct bh_seq_task {
	__u64 gram;
	__u64 unknown;	  /* which of the last 64 calls' grams were; the newest lowest */
	__u32 n;	  /* calls so far */
	__u32 sent;	  /* n when the last window was due */
	__u32 generation; /* of the slot, and its round, when it was asked for flags */
	__u32 round;
	__u32 flags;
	__u32 pad;
	__u16 call[BH_SEQ_WINDOW]; /* the newest is at (n - 1) % BH_SEQ_WINDOW */
	struct bh_seq_known known[BH_SEQ_KNOWN];
};
_Static_assert(sizeof(struct bh_seq_task) == 40 + 2 * BH_SEQ_WINDOW + 16 * BH_SEQ_KNOWN,
	       "bh_seq_task");

/* Record of ring `trace_windows`: a task's last calls. */
struct bh_trace_window {
	__u32 version; /* BH_TRACE_VERSION */
	__u32 n;       /* as in bh_seq_task, as is `call` */
	__u32 slot;
	__u32 generation;
	__u32 pid;
	__u32 uid;	 /* effective */
	__u32 n_unknown; /* of the last 64; 0: one to learn from */
	__u32 pad;
	__u64 ts_ns;
	__u64 exec_id;
	char comm[BH_COMM_LEN];
	char path[BH_TRACE_PARENT]; /* of the image */
	__u16 call[BH_SEQ_WINDOW];
};
_Static_assert(sizeof(struct bh_trace_window) ==
		       48 + BH_COMM_LEN + BH_TRACE_PARENT + 2 * BH_SEQ_WINDOW,
	       "bh_trace_window");

/* map `trace_mntns`, LRU HASH > u64 exec id: mount namespaces in which the pod executed something.
 */
struct bh_trace_mntns_key {
	__u32 slot;
	__u32 generation;
	__u64 id;
};

/* Ring records. `trace_events` and, for what is worth waking somebody, `trace_alarms`. */
struct bh_trace_head {
	__u16 version; /* BH_TRACE_VERSION */
	__u16 kind;
	__u32 len; /* whole record */
	__u64 ts_ns;
	__u64 exec_id;
	__u64 parent_exec_id;
	__u32 slot;
	__u32 generation;
	__u32 pid; /* process, as the host sees it */
	__u32 flags;
	__u32 uid, gid; /* effective */
	char comm[BH_COMM_LEN];
};
_Static_assert(sizeof(struct bh_trace_head) == 72, "bh_trace_head");

/* Strings follow each other in tail, each with its NUL: path, path of the image before, script,
 * working directory; then the arguments. */
enum { BH_TRACE_S_PATH, BH_TRACE_S_PARENT, BH_TRACE_S_SCRIPT, BH_TRACE_S_CWD, BH_TRACE_STRINGS };
struct bh_trace_exec {
	struct bh_trace_head head;
	__u64 ino;
	__u64 parent_ino;
	__u64 caps;
	__u64 cgroup;	 /* cgroup2 id */
	__u64 args_rest; /* XXH64, seed 0, of the bytes beyond args_len; 0: none, or unreadable */
	__u32 dev;
	__u32 parent_dev;
	__u32 loginuid;
	__u32 ppid;
	__u32 mntns;
	__u32 args_total; /* bytes the task has; args_len of them are here */
	__u16 args_len;
	__u16 string_len[BH_TRACE_STRINGS]; /* with NUL; 0: not known */
	__u8 origin;
	__u8 parent_origin;
	__u8 stdio[3]; /* enum bh_trace_stdio */
	__u8 pad[1];
	char tail[];
};
_Static_assert(sizeof(struct bh_trace_exec) == 152, "bh_trace_exec");

struct bh_trace_exit {
	struct bh_trace_head head;
	__u64 start_ns; /* of the image */
	__u32 status;	/* as wait(2) gives it */
	__u32 pad;
};
_Static_assert(sizeof(struct bh_trace_exit) == 88, "bh_trace_exit");

/* Everything but exec and exit. tail: path, target, the path of the image that acts, and where path
 * and target are besides, through the mount they were reached by: as counted from the task's root,
 * or from the root of their file system; each with its NUL. */
enum {
	BH_TRACE_A_PATH,
	BH_TRACE_A_TARGET,
	BH_TRACE_A_IMAGE,
	BH_TRACE_A_PLACE,
	BH_TRACE_A_TARGET_PLACE,
	BH_TRACE_A_STRINGS
};
struct bh_trace_act {
	struct bh_trace_head head;
	__u64 ino;
	__u64 arg[4];
	__u32 dev;
	__u32 call;			      /* system call number */
	__u32 mode;			      /* st_mode, 0: not known */
	__u16 string_len[BH_TRACE_A_STRINGS]; /* with NUL; 0: not known */
	__u8 origin;
	__u8 op;	   /* enum bh_trace_op or enum bh_trace_class */
	__u8 image_origin; /* of the image that acts */
	__u8 pad[7];
	__u32 place_dev[2]; /* file system of the places; 0: they count from the task's root */
	char tail[];
};
_Static_assert(sizeof(struct bh_trace_act) == 152, "bh_trace_act");

/* map `trace_rate`, ARRAY[BH_TRACE_SLOTS], mmapable: what only counts. Written by BPF; the reader
 * of processor time sets cpu_live_ns to 0 before each reading. */
struct bh_trace_rate {
	__u64 cpu_live_ns;  /* of tasks that run, as of the last reading */
	__u64 cpu_ended_ns; /* of those that ended */
	__u64 dns;	    /* questions */
	__u64 dns_odd;	    /* datagrams to or from port 53 that are no DNS */
	__u32 names;	    /* entries in trace_dns */
	__u32 generation;
	__u64 pad[3];
};
_Static_assert(sizeof(struct bh_trace_rate) == 64, "bh_trace_rate");

/* Context of the program bh_guard_ask: may the slot's pod execute what is behind the caller's
 * descriptor? */
struct bh_guard_ask {
	__s32 fd;
	__u32 slot;
	__u32 generation;
	__u32 is_refused; /* out, as what follows */
	__u64 ino;
	__u32 dev;
	__u32 origin; /* enum bh_trace_origin */
	char path[BH_PATH_MAX];
};
_Static_assert(sizeof(struct bh_guard_ask) == 288, "bh_guard_ask");

#include "bulkhead/trace_dns.h"

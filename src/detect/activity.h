/* activity.h - one thing that happened in a pod, decoded, in host terms: what the tracer hands to
 * the detectors, the baselines and the responses.
 *
 * Everything is borrowed until the call returns. A text that is not known is "" (never NULL), a
 * number that is not known is 0 unless its comment says otherwise. What the tracer cannot tell, it
 * leaves zero: every detector treats "not known" as "not a signal", never as proof. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

enum bh_act {
	BH_ACT_NONE,
	BH_ACT_START, /* a container began (or was adopted): u.start */
	BH_ACT_EXEC,  /* `process` is the new image, `parent` who it was before or who forked it */
	BH_ACT_FORK,  /* `process` is the child */
	BH_ACT_EXIT,  /* u.exit */
	BH_ACT_FILE,  /* u.file */
	BH_ACT_MAP_EXEC,    /* a file was mapped executable: u.map */
	BH_ACT_SETID,	    /* u.setid */
	BH_ACT_NAMESPACE,   /* setns, unshare, clone with namespaces, pivot_root, chroot: u.ns */
	BH_ACT_MOUNT,	    /* u.mount */
	BH_ACT_PTRACE,	    /* attach or write through ptrace: u.target */
	BH_ACT_MEMORY,	    /* process_vm_readv/writev, /proc/PID/mem opened: u.target */
	BH_ACT_MODULE,	    /* a kernel module, loaded or refused: u.module */
	BH_ACT_BPF,	    /* bpf(): u.number is the command */
	BH_ACT_SOCKET,	    /* packet, raw or netlink socket created: u.socket */
	BH_ACT_LISTEN,	    /* u.listen */
	BH_ACT_EDGE,	    /* a new edge, allowed or denied: u.edge */
	BH_ACT_CONNECT,	    /* a process began a TCP connection, told once for each image: u.edge */
	BH_ACT_DNS,	    /* a question: u.dns */
	BH_ACT_IO_URING,    /* io_uring_setup or the first submission */
	BH_ACT_MEMFD,	    /* memfd_create: u.name */
	BH_ACT_USERFAULTFD, /* userfaultfd() or /dev/userfaultfd */
	BH_ACT_SIGNAL,	    /* sent to a process outside of the pod: u.target */
	BH_ACT_SYSCALLS,    /* what a pod newly did since the last report: u.syscalls */
	BH_ACT_SEQUENCE,    /* calls in orders the workload does not know: u.sequence */
	BH_ACT_RATE,	    /* what a pod did in an interval: u.rate */
	BH_ACT_NETNS,	 /* a task of the pod's cgroup whose network namespace is not the pod's */
	BH_ACT_NAME,	 /* a task calls itself like a thread of the kernel: u.name */
	BH_ACT_ABI,	 /* system calls of another architecture's table */
	BH_ACT_OVERFLOW, /* a quota of the kernel's sets is used up: u.name says which */
	BH_ACT_COUNT,
};

/* Where the bytes of an executable file come from. */
enum bh_provenance {
	BH_PROV_UNKNOWN,
	BH_PROV_IMAGE,	  /* lower layer, untouched */
	BH_PROV_MODIFIED, /* copied up and its data changed (or may have) */
	BH_PROV_NEW,	  /* upper layer only */
	BH_PROV_METACOPY, /* metadata copied up, data still the image's: chown, chmod */
	BH_PROV_TMPFS,
	BH_PROV_MEMFD,
	BH_PROV_VOLUME, /* a mount of the pod's own: host path, PVC, config map */
	BH_PROV_OTHER,	/* another file system */
	BH_PROV_COUNT,
};

/* What a standard descriptor is. */
enum bh_stdio {
	BH_STDIO_UNKNOWN,
	BH_STDIO_NULL, /* /dev/null or closed */
	BH_STDIO_TTY,
	BH_STDIO_PIPE,
	BH_STDIO_FILE,
	BH_STDIO_INET, /* a TCP, UDP or SCTP socket */
	BH_STDIO_UNIX,
	BH_STDIO_OTHER,
	BH_STDIO_FIFO, /* a pipe with a name */
};

/* The workload and the pod. One per container, made once by the caller. */
struct bh_subject {
	uint64_t workload; /* bh_subject_workload of the five below; equal for all replicas */
	const char *ns, *owner_kind, *owner, *container, *image_digest;
	const char *pod, *pod_uid; /* this replica */
	uint64_t pod_id;	   /* unique per pod on this node while the daemon lives; never 0 */
	bool is_guessed;	   /* the owner is, from the pod's name */
	uint64_t pod_start_ns;	   /* in the clock of bh_activity.ts_ns; 0: not known */
};

enum {
	BH_PROC_SETUID_FILE = 1u << 0,	/* the executed file had the set-user or set-group bit */
	BH_PROC_FROM_OUTSIDE = 1u << 1, /* its parent is not of this pod: runtime exec, nsenter */
	BH_PROC_CONTAINER_INIT =
		1u << 2, /* first process of a container: outside parent, but expected */
	BH_PROC_ARGS_CUT = 1u << 3,
	BH_PROC_UNLINKED = 1u << 4,   /* the file has no name any more */
	BH_PROC_LD_PRELOAD = 1u << 5, /* LD_PRELOAD or LD_AUDIT was in the environment */
	BH_PROC_LISTENS = 1u << 6, /* it (before an exec: the same task) has a listening socket */
	/* It entered the pod and has not executed anything in it yet: the container runtime's own
	 * code, which mounts, changes roots and ids before the container's first instruction. */
	BH_PROC_RUNTIME = 1u << 7,
	BH_PROC_OUTER = 1u << 10, /* exec: of another container's or the node's tree of mounts */
	BH_PROC_WROTE = 1u << 11, /* exec: of a volume's file that the container wrote itself */
	BH_PROC_NO_HISTORY = 1u << 12, /* its environment tells shells not to keep a history */
	BH_PROC_CONNECTED = 1u << 8,   /* exec: what executed it had connected outside of the pod */
	BH_PROC_STOPPED = 1u << 9,     /* the kernel killed it for this, or did not let it happen */
	BH_PROC_OWN_NS = 1u << 13, /* exec: in a mount namespace that the pod made itself */
};

struct bh_act_process {
	uint32_t pid; /* as the host sees it */
	uint32_t uid, gid, loginuid;
	uint64_t exec_id, parent_exec_id; /* unique per start of the tracer; 0: not known */
	const char *path, *comm, *cwd;
	const char *script; /* interpreter started on a file: that file */
	const char *args;   /* NUL-separated, as copied; args_len bytes */
	size_t args_len;
	uint64_t caps;	/* effective set */
	uint32_t flags; /* BH_PROC_* */
	enum bh_provenance provenance, script_provenance;
	enum bh_stdio stdio[3];
	uint64_t inode, dev; /* of path */
	const char *sha256;  /* hex; "" while the worker has not computed it */
};

enum bh_file_op {
	BH_FILE_WRITE, /* opened for writing, truncated */
	BH_FILE_CREATE,
	BH_FILE_RENAME, /* path > target */
	BH_FILE_LINK,	/* path > target; symbolic links too */
	BH_FILE_CHMOD,	/* mode */
	BH_FILE_UNLINK,
	BH_FILE_READ,	/* only of paths that the tracer takes for sensitive */
	BH_FILE_CHANGE, /* a directory made; owner, times or attributes: only where they are asked
			   for */
};

struct bh_act_file {
	enum bh_file_op op;
	const char *path; /* as the pod sees it, resolved from the struct file where there is one */
	const char *target; /* rename and link: the new name; else "" */
	uint32_t mode;	 /* st_mode after the operation, with its type where known; 0: not known */
	bool gives_caps; /* CHMOD: it is capabilities that the file got */
	bool is_truncated; /* opened with O_TRUNC, or truncated to nothing */
	bool is_symbolic;  /* LINK: path is only what the link says */
	bool is_outer;	   /* of another container's or the node's tree of mounts */
	enum bh_provenance provenance;
	uint64_t inode, dev;
	/* Where path and target are besides, when they were reached through a mount of a directory:
	 * in the container's own tree (is_own_place), else on the node. NULL or "": nowhere. */
	const char *place[2];
	bool is_own_place[2];
};

enum bh_edge_peer {
	BH_EDGE_UNKNOWN,
	BH_EDGE_POD, /* in the cluster: counts as much as the outside */
	BH_EDGE_NODE,
	BH_EDGE_OUTSIDE,
};

struct bh_act_edge {
	bool is_egress, is_denied;
	uint8_t proto; /* IANA number */
	uint16_t port; /* the responder's */
	struct bh_ip remote;
	enum bh_edge_peer peer;
	const char *peer_name; /* "ns/owner kind/owner" of a pod's workload; "" otherwise */
	bool is_second; /* CONNECT: the image that the process was before had connected too */
};

enum bh_target_kind {
	BH_TARGET_POD,	    /* a process of the same pod */
	BH_TARGET_CHILD,    /* its own child or thread: debuggers, tests */
	BH_TARGET_OTHER,    /* a process of another pod or of the host */
	BH_TARGET_BULKHEAD, /* the daemon, the worker */
};

struct bh_activity {
	enum bh_act kind;
	uint64_t ts_ns; /* bpf_ktime_get_boot_ns or any one clock for all activities */
	const struct bh_subject *subject;
	struct bh_act_process process; /* who did it; zeroes when no process is known */
	struct bh_act_process parent;  /* exec and fork; zeroes when not known */
	union {
		struct {
			bool is_privileged, is_rootfs_writable, is_adopted;
			uint32_t uid; /* of its first process */
		} start;
		struct {
			int status; /* as wait(2) gives it */
		} exit;
		struct bh_act_file file;
		struct {
			const char *path;
			enum bh_provenance provenance;
			bool is_shared; /* MAP_SHARED: just-in-time compilers map twice this way */
			bool is_own;	/* a volume's file that the container wrote itself */
			bool is_writable; /* writable and executable at once */
			uint64_t inode, dev;
		} map;
		struct {
			uint32_t old_uid, new_uid; /* effective */
			/* The id was its real or saved one, or a set-user-id file gave it. */
			bool had_right;
			bool is_call; /* it asked for it; else it was seen to have it */
		} setid;
		struct {
			uint64_t flags;	  /* CLONE_NEW* bits; 0 for pivot_root and chroot */
			bool is_entering; /* setns: a namespace that exists */
			bool is_root_change;
		} ns;
		struct {
			const char *source, *target, *type;
		} mount;
		struct {
			enum bh_target_kind kind;
			uint32_t pid;
			int signal; /* BH_ACT_SIGNAL */
			bool is_write;
			bool is_file; /* MEMORY: it is an open file that is taken */
		} target;
		struct {
			int family, type; /* AF_*, SOCK_* without flags */
			int protocol;
		} socket;
		struct {
			uint8_t proto;
			uint16_t port;
			bool is_loopback;
		} listen;
		struct bh_act_edge edge;
		struct {
			const char *name; /* as asked, without the final dot */
			uint16_t type;	  /* 1 A, 16 TXT, 28 AAAA ... */
		} dns;
		struct {
			const uint64_t *set; /* new system calls, one bit each */
			size_t n_words;
			const uint16_t (
				*bigrams)[2]; /* new pairs, where the kernel could tell them */
			size_t n_bigrams;
			const uint8_t *new_pairs; /* bits new in the pod's Bloom filter, of
						     BH_BASE_BLOOM bytes; NULL: no such filter */
			uint32_t all_bigrams;	  /* how many bits are set in it */
		} syscalls;
		struct {
			double score, threshold; /* of the last `calls` calls of the process */
			uint32_t calls, unknown; /* unknown grams among the last 64 */
		} sequence;
		struct {
			uint64_t interval_ns, cpu_ns;
			uint64_t execs, connections, dns, bytes_out;
		} rate;
		struct {
			const char *name; /* "" when not known */
			bool is_refused;
		} module;
		const char *name;
		uint64_t number;
	} u;
};

/* Hash of namespace, owner kind and name, container and image digest; never 0, stable between runs
 * and machines, so that baselines can be moved. */
uint64_t bh_subject_workload(const struct bh_subject *s);
/* "image", "modified", "new", "metacopy", "tmpfs", "memfd", "volume", "other", "unknown". */
const char *bh_provenance_name(enum bh_provenance p);
/* -EINVAL when there is no such name. */
int bh_provenance_parse(const char *name, enum bh_provenance *ret);
/* "exec", "file", "map_exec" ... */
const char *bh_act_name(enum bh_act kind);
/* true for bytes the image's author did not ship: modified, new, tmpfs, memfd. Volumes and
 * metacopies are not: a chown is no drift, and a volume is what the pod's author mounted. */
static inline bool bh_provenance_is_foreign(enum bh_provenance p)
{
	return p == BH_PROV_MODIFIED || p == BH_PROV_NEW || p == BH_PROV_TMPFS ||
	       p == BH_PROV_MEMFD;
}

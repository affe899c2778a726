/* uring.bpf.c - what pods ask of the kernel through io_uring, past every system call. A request is
 * looked at when the kernel has taken it over: its paths are the kernel's own copies by then, and
 * nobody can change them any more. Whether it will work is not known yet, so attempts count.
 * Attached while a pod is watched, where the kernel has the tracepoint (since 6.3). */
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define CLAIM_COPIED 1
#include "lib/trace_change.bpf.h"
#include "lib/trace_socket.bpf.h"
#include "lib/trace_unix.bpf.h"

#define NO_NUMBER 0xffffffffu
#define O_CREAT	  0100
/* younger than the headers that we may be built with */
#define RING_SEND_ZC	47
#define RING_SENDMSG_ZC 48
#define URING_FTRUNCATE 55

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct filename {
	const char *name;
};

struct xattr_name {
	char name[256];
};

struct kernel_xattr_ctx {
	struct xattr_name *kname;
};

struct io_cqe {
	int fd;
};

struct io_kiocb {
	__u8 opcode;
	struct io_cqe cqe;
	void *async_data;
};

struct open_how {
	__u64 flags, mode;
};

struct io_open {
	int dfd;
	struct filename *filename;
	struct open_how how;
};

struct io_rename {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
};

struct io_link {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
};

struct io_unlink {
	int dfd;
	struct filename *filename;
};

struct io_mkdir {
	int dfd;
	unsigned short mode;
	struct filename *filename;
};

struct io_connect {
	void *addr; /* the caller's */
	int addr_len;
};

struct io_sr_msg {
	void *umsg; /* the caller's */
};

struct socket_address {
	unsigned short family;
};

struct msghdr {
	int msg_namelen;
};

struct io_async_msghdr {
	struct msghdr msg;
	struct socket_address addr;
};

struct io_socket {
	int domain, type, protocol;
};

struct io_xattr {
	struct kernel_xattr_ctx ctx;
	struct filename *filename;
};

struct io_ftrunc {
	__s64 len;
};

#pragma clang attribute pop

struct user_message {
	__u64 address;
	__u32 len, pad;
};

/* A request begins with what is its own. */
#define OWN(req, type) ((const struct type *)(req))

static __always_inline __u64 text_of(const struct filename *name)
{
	return (__u64)BPF_CORE_READ(name, name);
}

/* "/proc/N/root/" and "/proc/N/cwd/" */
static __always_inline int goes_through_root(const char *t)
{
	__u32 i;

	for (i = 7; i < 18; i++)
		if (t[i] < '0' || t[i] > '9')
			break;
	if (i >= 18 || t[i] != '/')
		return 0;
	return (t[i + 1] == 'r' && t[i + 2] == 'o' && t[i + 3] == 'o' && t[i + 4] == 't') ||
	       (t[i + 1] == 'c' && t[i + 2] == 'w' && t[i + 3] == 'd');
}

/* By the file's name; or through another process's root, or ours, where it may be anybody's. */
static __always_inline int reads_matter(struct act_scratch *s)
{
	const char *t = s->text[0];
	__u32 bits;

	if (t[0] == '/' && t[1] == 'p' && t[2] == 'r' && t[3] == 'o' && t[4] == 'c' &&
	    t[5] == '/' && t[6] >= '0' && t[6] <= '9' && goes_through_root(t))
		return 1;
	bits = text_bits(s);
	return (bits & BH_TRACE_N_READ) && !(bits & BH_TRACE_N_HIDDEN);
}

/* As a caller of openat names it; reading matters where the name does. */
static __always_inline void ring_open(struct act_scratch *s, const struct bh_trace_task *t,
				      const struct io_open *o)
{
	__u64 flags = BPF_CORE_READ(o, how.flags);
	__u8 op = BH_TRACE_OP_READ;

	s->arg[0] = BPF_CORE_READ(o, dfd);
	s->arg[1] = text_of(BPF_CORE_READ(o, filename));
	if (flags & O_CREAT) {
		op = BH_TRACE_OP_CREATE;
		s->mode = (BPF_CORE_READ(o, how.mode) & 07777) | TYPE_REGULAR;
	} else if (flags & O_ACCMODE) {
		op = BH_TRACE_OP_WRITE;
	} else {
		claim(s, 0, s->arg[1]);
		if (!reads_matter(s))
			return;
	}
	s->follows = 1;
	if (flags & O_TRUNC)
		s->flags |= BH_TRACE_F_TRUNCATED;
	call_paths(s, t, op, 1, 0);
}

static __always_inline void ring_move(struct act_scratch *s, const struct bh_trace_task *t,
				      const struct io_rename *r)
{
	s->arg[0] = BPF_CORE_READ(r, old_dfd);
	s->arg[1] = text_of(BPF_CORE_READ(r, oldpath));
	s->arg[2] = BPF_CORE_READ(r, new_dfd);
	s->arg[3] = text_of(BPF_CORE_READ(r, newpath));
	call_paths(s, t, BH_TRACE_OP_RENAME, 1, 3);
}

static __always_inline void ring_link(struct act_scratch *s, const struct bh_trace_task *t,
				      const struct io_link *l)
{
	s->arg[0] = BPF_CORE_READ(l, old_dfd);
	s->arg[1] = text_of(BPF_CORE_READ(l, oldpath));
	s->arg[2] = BPF_CORE_READ(l, new_dfd);
	s->arg[3] = text_of(BPF_CORE_READ(l, newpath));
	call_paths(s, t, BH_TRACE_OP_LINK, 1, 3);
}

static __always_inline void ring_unlink(struct act_scratch *s, const struct bh_trace_task *t,
					const struct io_unlink *u)
{
	s->arg[0] = BPF_CORE_READ(u, dfd);
	s->arg[1] = text_of(BPF_CORE_READ(u, filename));
	call_unlink(s, t, 1);
}

static __always_inline void ring_symlink(struct act_scratch *s, const struct bh_trace_task *t,
					 const struct io_link *l)
{
	s->arg[0] = text_of(BPF_CORE_READ(l, oldpath));
	s->arg[1] = BPF_CORE_READ(l, new_dfd);
	s->arg[2] = text_of(BPF_CORE_READ(l, newpath));
	call_symlink(s, t, 2);
}

static __always_inline void ring_mkdir(struct act_scratch *s, const struct bh_trace_task *t,
				       const struct io_mkdir *m)
{
	s->arg[0] = BPF_CORE_READ(m, dfd);
	s->arg[1] = text_of(BPF_CORE_READ(m, filename));
	s->mode = BPF_CORE_READ(m, mode);
	call_change(s, t, BH_TRACE_OP_MKDIR, 1);
}

/* By the path that was asked for. The kernel's own copy of the address is not to be found in a way
 * that kernels agree upon, so this one is the caller's. */
static __always_inline void ring_connect(struct act_scratch *s, const struct bh_trace_task *t,
					 const struct io_connect *c)
{
	if (unix_read(s, (__u64)BPF_CORE_READ(c, addr), BPF_CORE_READ(c, addr_len)))
		unix_note(s, t);
}

/* The kernel has a copy of the address by now, or the caller's is what it will use. */
static __always_inline void ring_send_to(struct act_scratch *s, const struct bh_trace_task *t,
					 const struct io_kiocb *req)
{
	const struct io_async_msghdr *copy = (const void *)BPF_CORE_READ(req, async_data);
	const void *message = BPF_CORE_READ(OWN(req, io_sr_msg), umsg);
	struct user_message to = {};
	__u32 len;

	__builtin_memset(s->record, 0, UNIX_ADDRESS);
	if (copy && bpf_core_field_exists(copy->addr)) {
		len = BPF_CORE_READ(copy, msg.msg_namelen);
		if (hold(len) <= UNIX_LEN)
			bpf_probe_read_kernel(s->record, len & (UNIX_ADDRESS - 1),
					      __builtin_preserve_access_index(&copy->addr));
	}
	if (unix_has_name(s) || (req->opcode != IORING_OP_SEND && req->opcode != RING_SEND_ZC &&
				 bpf_probe_read_user(&to, sizeof(to), message) == 0 &&
				 unix_read(s, to.address, to.len)))
		unix_note(s, t);
}

static __always_inline void ring_socket(struct act_scratch *s, const struct bh_trace_task *t,
					const struct io_socket *o)
{
	s->arg[0] = (__u32)BPF_CORE_READ(o, domain);
	s->arg[1] = (__u32)BPF_CORE_READ(o, type);
	s->arg[2] = (__u32)BPF_CORE_READ(o, protocol);
	s->arg[3] = 0;
	if (!socket_is_told(s->arg[0], s->arg[1]))
		return;
	act_key(s, t, BH_TRACE_CALL, BH_CALL_SOCKET);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	s->key.ino = socket_key(s->arg[0], s->arg[1], s->arg[2]);
	s->key.dev = NO_NUMBER;
	s->text[0][0] = s->text[1][0] = 0;
	if (!act_is_known(s, t))
		act_note(s, t);
}

/* Capabilities of a file, by its name or its descriptor. */
static __always_inline void ring_xattr(struct act_scratch *s, struct task_struct *p,
				       const struct bh_trace_task *t, const struct io_kiocb *req)
{
	const struct io_xattr *x = OWN(req, io_xattr);

	s->arg[1] = (__u64)BPF_CORE_READ(x, ctx.kname);
	if (!xattr_is_told(s, 1))
		return;
	s->mode = MODE_CAPABLE;
	if (req->opcode == IORING_OP_FSETXATTR) {
		s->arg[0] = (__u32)BPF_CORE_READ(req, cqe.fd);
		call_fchmod(s, p, t, MODE_CAPABLE);
		return;
	}
	s->arg[0] = AT_FDCWD;
	s->arg[1] = text_of(BPF_CORE_READ(x, filename));
	call_paths(s, t, BH_TRACE_OP_CHMOD, 1, 0);
}

static __always_inline void ring_judge(struct act_scratch *s, struct task_struct *p,
				       const struct bh_trace_task *t, const struct io_kiocb *req)
{
	switch (req->opcode) {
	case IORING_OP_OPENAT:
	case IORING_OP_OPENAT2:
		ring_open(s, t, OWN(req, io_open));
		break;
	case IORING_OP_RENAMEAT:
		ring_move(s, t, OWN(req, io_rename));
		break;
	case IORING_OP_LINKAT:
		ring_link(s, t, OWN(req, io_link));
		break;
	case IORING_OP_UNLINKAT:
		ring_unlink(s, t, OWN(req, io_unlink));
		break;
	case IORING_OP_SYMLINKAT:
		ring_symlink(s, t, OWN(req, io_link));
		break;
	case IORING_OP_MKDIRAT:
		ring_mkdir(s, t, OWN(req, io_mkdir));
		break;
	case IORING_OP_CONNECT:
		ring_connect(s, t, OWN(req, io_connect));
		break;
	case IORING_OP_SEND:
	case IORING_OP_SENDMSG:
	case RING_SEND_ZC:
	case RING_SENDMSG_ZC:
		ring_send_to(s, t, req);
		break;
	case IORING_OP_SOCKET:
		ring_socket(s, t, OWN(req, io_socket));
		break;
	case IORING_OP_SETXATTR:
	case IORING_OP_FSETXATTR:
		ring_xattr(s, p, t, req);
		break;
	case URING_FTRUNCATE:
		s->arg[0] = (__u32)BPF_CORE_READ(req, cqe.fd);
		s->arg[1] = BPF_CORE_READ(OWN(req, io_ftrunc), len);
		call_ftruncate(s, p, t);
		break;
	}
}

static __always_inline int is_looked_at(__u8 opcode)
{
	const __u64 set =
		1ull << IORING_OP_OPENAT | 1ull << IORING_OP_OPENAT2 | 1ull << IORING_OP_RENAMEAT |
		1ull << IORING_OP_LINKAT | 1ull << IORING_OP_SYMLINKAT | 1ull << IORING_OP_MKDIRAT |
		1ull << IORING_OP_CONNECT | 1ull << IORING_OP_UNLINKAT | 1ull << IORING_OP_SOCKET |
		1ull << IORING_OP_SETXATTR | 1ull << IORING_OP_FSETXATTR | 1ull << URING_FTRUNCATE |
		1ull << IORING_OP_SEND | 1ull << IORING_OP_SENDMSG | 1ull << RING_SEND_ZC |
		1ull << RING_SENDMSG_ZC;

	return set >> (opcode & 63) & 1;
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(bh_uring_submit, struct io_kiocb *req)
{
	struct task_struct *p = bpf_get_current_task_btf();
	const struct bh_trace_task *t;
	struct act_scratch *s;
	__u32 zero = 0;

	if (!is_looked_at(req->opcode))
		return 0;
	t = bpf_task_storage_get(&trace_task, p, NULL, 0);
	if (!t && p->pid != p->tgid) /* the ring's own thread */
		t = bpf_task_storage_get(&trace_task, p->group_leader, NULL, 0);
	s = t ? bpf_map_lookup_elem(&act_scratch, &zero) : NULL;
	if (!s)
		return 0;
	s->call = NO_NUMBER;
	s->flags = s->is_high = s->mode = s->follows = 0;
	s->ret = 0;
	s->has_dirs = 1;
	ring_judge(s, p, t, req);
	return 0;
}

char _license[] SEC("license") = "GPL";

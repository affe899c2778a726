/* trace_send.bpf.h - messages to unix sockets that nobody connected to. */
#pragma once

#include "lib/trace_unix.bpf.h"

#define MESSAGE_SIZE 64	  /* of struct mmsghdr */
#define MESSAGES     1024 /* of one call, at most */

/* The unix socket behind a descriptor; NULL: it is something else. */
static __always_inline const struct sock *unix_of(const struct task_struct *p, __u64 fd)
{
	const struct file *f = act_file(p, fd);
	const struct socket *socket;
	const struct sock *sk;

	if (!f || (BPF_CORE_READ(f, f_inode, i_mode) & TYPE_MASK) != 0140000)
		return NULL;
	socket = BPF_CORE_READ(f, private_data);
	sk = BPF_CORE_READ(socket, sk);
	return BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX ? sk : NULL;
}

/* The same without a connection: one message to an address that only the caller has. */
static __always_inline void send_look(struct act_scratch *s, const struct bh_trace_task *t,
				      __u64 message)
{
	struct {
		__u64 address;
		__u32 len, pad;
	} to = {};

	if (bpf_probe_read_user(&to, sizeof(to), (const void *)message) == 0 &&
	    unix_read(s, to.address, to.len))
		unix_note(s, t);
}

struct send_all {
	struct act_scratch *s;
	const struct bh_trace_task *t;
};

static long send_next(__u32 i, struct send_all *all)
{
	send_look(all->s, all->t, all->s->arg[1] + (__u64)i * MESSAGE_SIZE);
	return 0;
}

static __always_inline void call_send(struct act_scratch *s, const struct task_struct *p,
				      const struct bh_trace_task *t, __u8 class)
{
	struct send_all all = {s, t};

	if ((class == BH_CALL_SENDTO && !s->arg[4]) || !unix_of(p, s->arg[0]))
		return;
	if (class == BH_CALL_SENDMMSG)
		bpf_loop(((s->ret - 1) & (MESSAGES - 1)) + 1, send_next, &all, 0);
	else if (class == BH_CALL_SENDMSG)
		send_look(s, t, s->arg[1]);
	else if (unix_read(s, s->arg[4], s->arg[5]))
		unix_note(s, t);
}

/* trace_unix.bpf.h - unix sockets whose names matter, where only an address says which: that of a
 * datagram, or of a ring's connection. It is copied once, and followed from there. */
#pragma once

#include "lib/trace_file.bpf.h"
#include "lib/trace_socket.bpf.h"

#define UNIX_ADDRESS 128 /* room for one, with its end */
#define UNIX_LEN     110 /* of struct sockaddr_un */

/* The address in s->record is one with a name. */
static __always_inline int unix_has_name(const struct act_scratch *s)
{
	const char *address = (const char *)s->record;

	return *(const __u16 *)address == AF_UNIX && address[2];
}

/* From the caller's memory. */
static __always_inline int unix_read(struct act_scratch *s, __u64 user, __u32 len)
{
	__builtin_memset(s->record, 0, UNIX_ADDRESS);
	return user && hold(len) <= UNIX_LEN &&
	       !bpf_probe_read_user(s->record, len & (UNIX_ADDRESS - 1), (const void *)user) &&
	       unix_has_name(s);
}

/* The bits of what is mounted where the path led, when it is a file that is: by the name it has
 * there. */
static __always_inline __u32 unix_mounted(struct act_scratch *s)
{
	__u64 mnt = s->look.mnt;

	if (s->is_lost || !s->look.name[0] || !look_child(&s->look))
		return 0;
	s->look.dentry = s->look.found;
	look_into(&s->look);
	if (s->look.mnt == mnt)
		return 0;
	s->look.name[0] = 0;
	act_place(s, 0);
	return name_bits(s, (const struct dentry *)s->look.dentry);
}

/* Tells that something went to the address in s->record, if its name matters. */
static __noinline __attribute__((unused)) int unix_note(struct act_scratch *s,
							const struct bh_trace_task *t)
{
	volatile __u64 *at; /* as a number, for the verifier */

	if (!s || !t)
		return 0;
	at = &s->user;
	act_key(s, t, BH_TRACE_CALL, BH_CALL_CONNECT);
	__builtin_memset(&s->id, 0, sizeof(s->id));
	s->follows = 1;
	s->is_lost = 0;
	s->is_copied = 1;
	*at = (__u64)s->record + 2;
	claim_at(s, 0, *at, AT_FDCWD);
	s->is_copied = 0;
	if (!((text_bits(s) | unix_mounted(s)) & BH_TRACE_N_CONNECT))
		return 0;
	claim_ends(s);
	s->key.ino = text_hash(s->text[0]);
	s->key.dev = s->call;
	s->text[1][0] = 0;
	return act_is_known(s, t) ? 0 : act_note(s, t);
}

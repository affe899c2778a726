/* sockdiag.h - list and destroy the sockets of a network namespace (SOCK_DIAG, SOCK_DESTROY; libmnl).
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"

struct bh_socket {
	uint8_t proto; /* IPPROTO_TCP or UDP */
	uint8_t state; /* TCP state number, tcp_states.h */
	struct bh_ip local, remote;
	uint16_t lport, rport;
	uint32_t uid;
	uint64_t inode;
};
/* Lists TCP and UDP sockets of both families in the namespace. */
int bh_sockdiag_list(int netns_fd, int (*fn)(const struct bh_socket *s, void *arg), void *arg,
		     struct bh_err *err);
/* Destroys the connected ones (fallback where bpf_sock_destroy is missing). */
int bh_sockdiag_destroy_all(int netns_fd, uint32_t *ret_destroyed, struct bh_err *err);

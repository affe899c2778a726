/* trace_socket.bpf.h - which sockets are worth telling when they are made, and which are the same. */
#pragma once

#define AF_UNIX	       1
#define AF_NETLINK     16
#define AF_PACKET      17
#define AF_VSOCK       40
#define AF_XDP	       44
#define SOCK_TYPE_MASK 0xf
#define SOCK_RAW       3
#define SOCK_PACKET    10

static __always_inline int socket_is_told(__u64 family, __u64 type)
{
	return family == AF_PACKET || family == AF_NETLINK || family == AF_VSOCK ||
	       family == AF_XDP ||
	       (family != AF_UNIX &&
		((type & SOCK_TYPE_MASK) == SOCK_RAW || (type & SOCK_TYPE_MASK) == SOCK_PACKET));
}

static __always_inline __u64 socket_key(__u64 family, __u64 type, __u64 protocol)
{
	return family << 48 | (protocol & 0xffff) << 32 | (__u32)type;
}

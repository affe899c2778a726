/* reasons.h - every verdict reason, once. BPF, C, documentation and tests expand this list.
 *
 * X(symbol, "name in JSON and metrics", "sentence for people"). Order is ABI: append only. */
#pragma once

#define BH_REASONS(X)                                                                              \
	X(NONE, "none", "no verdict was reached")                                                  \
	/* passes */                                                                               \
	X(POLICY, "policy", "a policy rule allows it")                                             \
	X(ESTABLISHED, "established", "it belongs to an allowed connection")                       \
	X(NODE, "node", "it is traffic of the pod's own node")                                     \
	X(NEIGHBOUR, "neighbour", "ARP or neighbour discovery for the pod's own address")          \
	X(ICMP_RELATED, "icmp-related", "an ICMP error about a live connection of the pod")        \
	X(FRAGMENT, "fragment", "a later fragment of an allowed datagram")                         \
	X(QUARANTINE_ALLOW, "quarantine-allow", "the quarantine's allow-list names it")            \
	X(SHADOW, "shadow", "policy denies it, but the pod is only watched")                       \
	X(DEFAULT_ALLOW, "default-allow", "no policy selects the pod in this direction")           \
	/* drops: who it is */                                                                     \
	X(NO_ENDPOINT, "no-endpoint", "the interface is not registered")                           \
	X(SHUT, "shut", "the pod is not open yet")                                                 \
	X(QUARANTINE, "quarantine", "the pod is quarantined")                                      \
	X(POLICY_DENY, "policy-deny", "a policy rule denies it")                                   \
	X(DEFAULT_DENY, "default-deny", "no policy rule allows it")                                \
	X(PROCESS, "process", "the executable may not open this connection")                       \
	X(PROCESS_UNKNOWN, "process-unknown", "the opening executable is not known")               \
	X(EXPIRED, "expired", "the rule that allowed it has expired")                              \
	X(NO_CONNECTION, "no-connection", "it belongs to no live connection of the pod")           \
	/* drops: what it looks like */                                                            \
	X(MALFORMED, "malformed", "a header is truncated or contradicts itself")                   \
	X(VLAN, "vlan", "it carries a VLAN tag")                                                   \
	X(ETHERTYPE, "ethertype", "the ethertype is not IPv4, IPv6 or ARP")                        \
	X(SPOOFED_MAC, "spoofed-mac", "the source MAC address is not the pod's")                   \
	X(SPOOFED_IP, "spoofed-ip", "the source address is not the pod's")                         \
	X(NOT_FOR_POD, "not-for-pod", "the destination is not the pod's")                          \
	X(ARP, "arp", "ARP that is not about the pod's own address")                               \
	X(ND, "nd", "neighbour discovery that is not about the pod's own address")                 \
	X(ROUTER_ADVERTISEMENT, "router-advertisement", "a pod may not advertise routes")          \
	X(MULTICAST, "multicast", "multicast and broadcast are not forwarded")                     \
	X(SOURCE_ROUTE, "source-route", "it carries a source route or routing header")             \
	X(EXTENSION_HEADERS, "extension-headers", "too many or misplaced IPv6 extension headers")  \
	X(FRAGMENT_ORPHAN, "fragment-orphan", "a later fragment whose first one was not allowed")  \
	X(ICMP_ORPHAN, "icmp-orphan", "an ICMP error about no live connection of the pod")         \
	/* drops: limits */                                                                        \
	X(FLOW_QUOTA, "flow-quota", "the pod's connection quota is used up")                       \
	X(FLOW_TABLE, "flow-table", "the connection table is full")                                \
	X(FRAGMENT_TABLE, "fragment-table", "the fragment table is full")                          \
	X(TABLE_INCOMPLETE, "table-incomplete", "a compiled table entry is missing")               \
	X(SERVICE_MIXED, "service-mixed", "some backends of the service are denied")               \
	X(SOCKET_REFUSED, "socket-refused", "a quarantined or shut pod may not open sockets")

enum bh_reason {
#define BH_REASON_ENUM_(sym, name, text) BH_R_##sym,
	BH_REASONS(BH_REASON_ENUM_)
#undef BH_REASON_ENUM_
		BH_R_COUNT
};

/* ctl.h - the control socket's frame and limits, shared by daemon, CLI and CNI plugin.
 *
 * A unix stream socket carries frames: this header, then `length` bytes of one JSON object. A
 * client sends one request {"verb":NAME,"args":{...}} at a time and reads replies until one without
 * BH_CTL_MORE. A reply is {"result":ANY} or {"error":{"code":N,"message":TEXT,"retry":BOOL}}; code
 * is a positive errno. Streams (events, flows --follow) are replies with BH_CTL_MORE; the client
 * ends one by closing. Anything else ends the connection. */
#pragma once

#include <stdint.h>

#define BH_CTL_MAGIC	   0x31484b42u /* "BKH1" little endian */
#define BH_CTL_VERSION	   1
#define BH_CTL_MORE	   1u		 /* further replies follow */
#define BH_CTL_MAX_REQUEST (256u * 1024) /* bytes of JSON */
#define BH_CTL_MAX_ROOT_REQUEST                                                                    \
	(16u * 1024 * 1024) /* the same of uid 0, who alone imports baselines */
#define BH_CTL_MAX_REPLY     (256u * 1024 * 1024)
#define BH_CTL_MAX_CLIENTS   64
#define BH_CTL_MAX_PER_UID   32
#define BH_CTL_MAX_FOLLOWERS 24 /* of one uid */
#define BH_CTL_IDLE_S	     30 /* a client that stalls inside a frame is dropped after it */

#define BH_CTL_DEFAULT_SOCKET "/run/bulkhead/bulkheadd.sock"

struct bh_ctl_header { /* little endian */
	uint32_t magic;
	uint16_t version;
	uint16_t flags;
	uint32_t length;
};
_Static_assert(sizeof(struct bh_ctl_header) == 12, "bh_ctl_header");

/* dns.h - domain names as they travel (RFC 1035, 3.1) > text. Strict: what is not a whole name, of
 * labels of 1 to 63 bytes and 255 bytes in all, is refused; compression too, which a question has
 * no use for. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BH_DNS_TEXT 1024 /* room for any name, each byte written as \DDD */

/* Of exactly len bytes, the root's zero included, without the final dot in the text; the root
 * itself is ".". Bytes that are not printable, dots and backslashes within labels are written as
 * RFC 1035, 5.1 says. -EBADMSG. */
int bh_dns_text(const uint8_t *name, size_t len, char ret[BH_DNS_TEXT], struct bh_err *err);
/* "A", "AAAA", "TXT" ..., else "TYPE65280" (RFC 3597, 5), in out. */
const char *bh_dns_type(uint16_t type, char out[16]);
/* "NoError", "NXDomain" ... as OCSF writes them; "Other" for those it does not know. */
const char *bh_dns_rcode(uint8_t rcode);

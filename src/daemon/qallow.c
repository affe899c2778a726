#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/isolate.h"

/* The prefix ends at the first ':' behind the '/', which no address has. */
int bh_qallow_parse(const char *text, struct bh_qallow_entry *ret, struct bh_err *err)
{
	struct bh_qallow_entry e = {0};
	const char *slash = strchr(text, '/');
	const char *colon = slash ? strchr(slash, ':') : NULL;
	size_t n = colon ? (size_t)(colon - text) : strlen(text);
	char cidr[BH_CIDR_TEXT];
	int r;

	if (!slash)
		return bh_fail(err, EINVAL,
			       "expected CIDR[:PORT/PROTO], such as 10.0.0.5/32:22/TCP");
	if (n >= sizeof(cidr))
		return bh_fail(err, EINVAL, "the CIDR is too long");
	snprintf(cidr, sizeof(cidr), "%.*s", (int)n, text);
	r = bh_cidr_parse(cidr, &e.cidr, NULL, err);
	if (!r && colon)
		r = bh_port_proto_parse(colon + 1, &e.port, &e.proto, err);
	if (r < 0)
		return r;
	*ret = e;
	return 0;
}

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/isolate.h"

/* Where the address or prefix ends: at the bracket, else at the first ':' behind the '/', which no
 * address has, else at the only one. */
static size_t address_len(const char *text)
{
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');

	if (*text == '[')
		return strcspn(text, "]");
	if (slash && (!colon || slash < colon || strchr(colon + 1, ':') || strchr(slash, ':')))
		colon = strchr(slash, ':');
	else if (colon && strchr(colon + 1, ':'))
		colon = NULL; /* an IPv6 address alone */
	return colon ? (size_t)(colon - text) : strlen(text);
}

int bh_qallow_parse(const char *text, struct bh_qallow_entry *ret, struct bh_err *err)
{
	struct bh_qallow_entry e = {0};
	size_t n = address_len(text), skip = *text == '[';
	const char *rest = text + n + (skip && text[n]);
	char cidr[BH_CIDR_TEXT];
	bool is_whole;
	int r;

	if (n <= skip || (*rest && *rest != ':') || (skip && !text[n]))
		return bh_fail(err, EINVAL,
			       "expected CIDR[:PORT/PROTO], such as 10.0.0.5/32:22/TCP");
	if (n - skip >= sizeof(cidr) - 4)
		return bh_fail(err, EINVAL, "the CIDR is too long");
	is_whole = !memchr(text, '/', n);
	snprintf(cidr, sizeof(cidr), "%.*s%s", (int)(n - skip), text + skip,
		 !is_whole		? ""
		 : memchr(text, ':', n) ? "/128"
					: "/32");
	r = bh_cidr_parse(cidr, &e.cidr, NULL, err);
	if (!r && *rest)
		r = bh_port_proto_parse(rest + 1, &e.port, &e.proto, err);
	if (r < 0)
		return r;
	*ret = e;
	return 0;
}

#include "event/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

#define NAME_MAX  255
#define LABEL_MAX 63

static size_t put_byte(char *out, uint8_t c)
{
	if (c <= ' ' || c > '~')
		return (size_t)snprintf(out, 5, "\\%03u", c);
	if (c != '.' && c != '\\') {
		*out = (char)c;
		return 1;
	}
	out[0] = '\\';
	out[1] = (char)c;
	return 2;
}

/* The room is enough: each byte of the name takes at most four, and a label's length one. */
int bh_dns_text(const uint8_t *name, size_t len, char ret[BH_DNS_TEXT], struct bh_err *err)
{
	size_t at = 0, n = 0;

	if (len == 0 || len > NAME_MAX)
		return bh_fail(err, EBADMSG, "a name of %zu bytes", len);
	while (name[at]) {
		size_t label = name[at++];

		if (label > LABEL_MAX || label >= len - at)
			return bh_fail(err, EBADMSG, "a label of %zu bytes at %zu", label, at - 1);
		if (n)
			ret[n++] = '.';
		for (; label; label--)
			n += put_byte(ret + n, name[at++]);
	}
	if (at + 1 != len)
		return bh_fail(err, EBADMSG, "a name of %zu bytes that ends at %zu", len, at);
	if (!n)
		ret[n++] = '.';
	ret[n] = '\0';
	return 0;
}

const char *bh_dns_type(uint16_t type, char out[16])
{
	static const struct {
		uint16_t type;
		const char *name;
	} types[] = {
		{1, "A"},      {2, "NS"},     {5, "CNAME"},  {6, "SOA"},    {10, "NULL"},
		{12, "PTR"},   {15, "MX"},    {16, "TXT"},   {28, "AAAA"},  {33, "SRV"},
		{35, "NAPTR"}, {39, "DNAME"}, {43, "DS"},    {46, "RRSIG"}, {48, "DNSKEY"},
		{52, "TLSA"},  {64, "SVCB"},  {65, "HTTPS"}, {252, "AXFR"}, {255, "ANY"},
		{257, "CAA"},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(types); i++)
		if (types[i].type == type)
			return types[i].name;
	snprintf(out, 16, "TYPE%u", type);
	return out;
}

const char *bh_dns_rcode(uint8_t rcode)
{
	static const char *const names[] = {"NoError", "FormError", "ServError", "NXDomain",
					    "NotImp",  "Refused",   "YXDomain",	 "YXRRSet",
					    "NXRRSet", "NotAuth",   "NotZone"};

	return rcode < BH_ARRAY_SIZE(names) ? names[rcode] : "Other";
}

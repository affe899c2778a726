/* Addresses, CIDRs, protocols and ports: what is accepted must print and parse to the same. */
#include "base/ip.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ip(const char *text)
{
	struct bh_err err = {0};
	struct bh_ip ip, again;
	char out[BH_IP_TEXT];

	if (bh_ip_parse(text, &ip, &err)) {
		if (err.code >= 0 || !*err.text)
			abort();
		return;
	}
	if (bh_ip_parse(bh_ip_format(&ip, out), &again, &err) || bh_ip_cmp(&ip, &again))
		abort();
}

static void check_cidr(const char *text)
{
	struct bh_cidr c, again;
	struct bh_err err = {0};
	char out[BH_CIDR_TEXT];
	bool is_masked;

	if (bh_cidr_parse(text, &c, &is_masked, &err)) {
		if (err.code >= 0 || !*err.text)
			abort();
		return;
	}
	if (bh_cidr_parse(bh_cidr_format(&c, out), &again, &is_masked, &err) || is_masked ||
	    bh_cidr_cmp(&c, &again))
		abort();
	if (!bh_cidr_has(&c, &c.ip) || !bh_cidr_covers(&c, &c))
		abort();
}

static void check_proto(const char *text)
{
	struct bh_err err = {0};
	uint8_t proto, again;
	uint16_t port;
	char out[8];

	if (bh_proto_parse(text, &proto) == 0 &&
	    (bh_proto_parse(bh_proto_format(proto, out), &again) || again != proto))
		abort();
	if (bh_port_proto_parse(text, &port, &proto, &err) && (err.code >= 0 || !*err.text))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BH_CLEANUP(bh_freep) char *text = strndup((const char *)data, size);

	if (!text)
		return 0;
	check_ip(text);
	check_cidr(text);
	check_proto(text);
	return 0;
}

/* parse_peer.c - NetworkPolicyPeer and NetworkPolicyPort of networking.k8s.io/v1. */
#include "policy/parse.h"

#include <netinet/in.h>
#include <string.h>

#include "policy/syntax.h"

static bool parse_cidr(struct bh_parse *p, const struct bh_yaml *n, struct bh_cidr *ret)
{
	char canonical[BH_CIDR_TEXT];
	struct bh_err err;
	bool is_masked;

	if (bh_cidr_parse(n->text, ret, &is_masked, &err)) {
		bh_parse_refuse(p, n, "%s", err.text);
		return false;
	}
	if (is_masked)
		bh_parse_warn(p, n, "'%s' has bits behind its prefix; it is taken as %s", n->text,
			      bh_cidr_format(ret, canonical));
	return true;
}

static void parse_except(struct bh_parse *p, const struct bh_yaml *n, struct bh_peer *ret)
{
	struct bh_cidr *x = &ret->excepts[ret->n_excepts];

	if (!bh_parse_is(p, n, BH_YAML_STRING, "'except'") || !parse_cidr(p, n, x))
		return;
	if (!bh_cidr_covers(&ret->cidr, x) || !bh_cidr_cmp(&ret->cidr, x)) {
		bh_parse_refuse(p, n, "except '%s' is not strictly inside of the cidr", n->text);
		return;
	}
	ret->n_excepts++;
}

static void parse_block(struct bh_parse *p, const struct bh_yaml *n, struct bh_peer *ret)
{
	static const char *const keys[] = {"cidr", "except", NULL};
	const struct bh_yaml *excepts;
	size_t i;

	ret->kind = BH_PEER_CIDR;
	bh_parse_keys(p, n, keys);
	if (!bh_parse_str(p, n, "cidr", true) ||
	    !parse_cidr(p, bh_yaml_find(n, "cidr"), &ret->cidr))
		return;
	excepts = bh_parse_list(p, n, "except");
	if (!excepts)
		return;
	ret->excepts = bh_parse_calloc(p, excepts->n, sizeof(*ret->excepts));
	for (i = 0; ret->excepts && i < excepts->n; i++)
		parse_except(p, excepts->items[i], ret);
}

/* What a newer API may have put there makes the peer not empty, only not understood. */
static bool has_unknown_key(const struct bh_yaml *n, const char *const *keys)
{
	struct bh_yaml_err e;

	return bh_yaml_check_keys(n, keys, &e);
}

void bh_parse_peer(struct bh_parse *p, const struct bh_yaml *n, struct bh_peer *ret)
{
	static const char *const keys[] = {"podSelector", "namespaceSelector", "ipBlock", NULL};
	const struct bh_yaml *pods, *namespaces, *block;

	ret->place = bh_parse_place(p, n);
	if (!bh_parse_is(p, n, BH_YAML_MAP, "peer"))
		return;
	bh_parse_keys(p, n, keys);
	pods = bh_yaml_find(n, "podSelector");
	namespaces = bh_yaml_find(n, "namespaceSelector");
	block = bh_parse_map(p, n, "ipBlock");
	if (block && (pods || namespaces)) {
		bh_parse_refuse(p, n, "a peer has either ipBlock or selectors, not both");
		return;
	}
	if (block) {
		parse_block(p, block, ret);
		return;
	}
	if (!pods && !namespaces) {
		if (!bh_yaml_find(n, "ipBlock") && !has_unknown_key(n, keys))
			bh_parse_refuse(p, n,
					"an empty peer selects nothing; "
					"write podSelector, namespaceSelector or ipBlock");
		return;
	}
	ret->has_pods = pods;
	ret->has_namespaces = namespaces;
	bh_parse_selector(p, pods, &ret->pods);
	bh_parse_selector(p, namespaces, &ret->namespaces);
}

static void parse_protocol(struct bh_parse *p, const struct bh_yaml *n, struct bh_port *ret)
{
	const char *text = bh_parse_str(p, n, "protocol", false);

	ret->proto = IPPROTO_TCP;
	if (!text || !strcmp(text, "TCP"))
		return;
	if (!strcmp(text, "UDP"))
		ret->proto = IPPROTO_UDP;
	else if (!strcmp(text, "SCTP"))
		ret->proto = IPPROTO_SCTP;
	else
		bh_parse_unknown(p, bh_yaml_find(n, "protocol"), "unknown protocol '%s'", text);
}

static void parse_name(struct bh_parse *p, const struct bh_yaml *port, struct bh_port *ret)
{
	ret->kind = BH_PORT_NAMED;
	if (bh_yaml_plain_type(port->text, port->n) == BH_YAML_INT)
		bh_parse_refuse(p, port, "'port': '%s' is a string; write the number unquoted",
				port->text);
	else if (!bh_is_port_name(port->text))
		bh_parse_refuse(p, port, "'port': '%s' is not a valid port name", port->text);
	else
		ret->name = bh_parse_strdup(p, port->text);
}

static uint16_t parse_number(struct bh_parse *p, const struct bh_yaml *n, const char *key)
{
	struct bh_yaml_err e;
	int64_t v = 0;

	if (bh_yaml_get_int(n, key, false, (struct bh_yaml_range){1, 65535}, &v, &e))
		bh_parse_fail(p, &e);
	return (uint16_t)v;
}

static void parse_end(struct bh_parse *p, const struct bh_yaml *n, struct bh_port *ret)
{
	const struct bh_yaml *end = bh_yaml_find(n, "endPort");

	if (!end)
		return;
	if (ret->kind == BH_PORT_NAMED) {
		bh_parse_refuse(p, end, "'endPort' needs a numeric port, not a named one");
		return;
	}
	if (ret->kind == BH_PORT_ALL) {
		bh_parse_refuse(p, end, "'endPort' needs 'port'");
		return;
	}
	ret->last = parse_number(p, n, "endPort");
	if (ret->first && ret->last && ret->last < ret->first)
		bh_parse_refuse(p, end, "'endPort': %u is smaller than port %u", ret->last,
				ret->first);
}

void bh_parse_port(struct bh_parse *p, const struct bh_yaml *n, struct bh_port *ret)
{
	static const char *const keys[] = {"protocol", "port", "endPort", NULL};
	const struct bh_yaml *port;

	ret->kind = BH_PORT_ALL;
	if (!bh_parse_is(p, n, BH_YAML_MAP, "port"))
		return;
	bh_parse_keys(p, n, keys);
	parse_protocol(p, n, ret);
	port = bh_yaml_find(n, "port");
	if (port && port->type == BH_YAML_STRING) {
		parse_name(p, port, ret);
	} else if (port && port->type == BH_YAML_INT) {
		ret->kind = BH_PORT_RANGE;
		ret->first = ret->last = parse_number(p, n, "port");
	} else if (port && port->type == BH_YAML_FLOAT) {
		bh_parse_refuse(p, port, "'port': %s is not 1-65535", port->text);
		return;
	} else if (port) {
		bh_parse_refuse(p, port, "'port': expected a number or a name, found %s",
				bh_yaml_type_text(port->type));
		return;
	}
	parse_end(p, n, ret);
}

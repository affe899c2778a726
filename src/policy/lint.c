/* lint.c - warnings about one policy as it is written. Those that need the whole set of objects are
 * in lint_set.c. */
#include "policy/parse.h"

#include <string.h>

/* Where cloud providers answer with credentials. */
#define METADATA_ADDRESS "169.254.169.254"

static bool blocks_metadata(const struct bh_peer *peer)
{
	struct bh_cidr block;
	struct bh_err err;
	struct bh_ip ip;
	size_t i;

	if (bh_ip_parse(METADATA_ADDRESS, &ip, &err) ||
	    bh_cidr_parse("169.254.0.0/16", &block, NULL, &err))
		return true;
	/* Who writes a link-local range means it. */
	if (!bh_cidr_has(&peer->cidr, &ip) || bh_cidr_covers(&block, &peer->cidr))
		return true;
	for (i = 0; i < peer->n_excepts; i++) {
		if (bh_cidr_has(&peer->excepts[i], &ip))
			return true;
	}
	return false;
}

static void lint_metadata(struct bh_parse *p, const struct bh_yaml *list, const struct bh_rule *r)
{
	char text[BH_CIDR_TEXT];
	size_t i;

	if (r->action != BH_ACTION_ALLOW)
		return;
	for (i = 0; i < r->n_peers; i++) {
		if (r->peers[i].kind == BH_PEER_CIDR && !blocks_metadata(&r->peers[i]))
			bh_parse_warn(p, list->items[i],
				      "%s also opens the metadata service; except " METADATA_ADDRESS
				      "/32 if that is not meant",
				      bh_cidr_format(&r->peers[i].cidr, text));
	}
}

/* Two neighbours with one selector each: perhaps the second '-' is one too many. */
static void lint_split_peer(struct bh_parse *p, const struct bh_yaml *list, const struct bh_rule *r)
{
	size_t i;

	for (i = 1; i < r->n_peers; i++) {
		const struct bh_peer *a = &r->peers[i - 1], *b = &r->peers[i];

		if (a->kind != BH_PEER_PODS || b->kind != BH_PEER_PODS)
			continue;
		if (a->has_pods != b->has_pods && a->has_namespaces != b->has_namespaces &&
		    a->has_pods != a->has_namespaces)
			bh_parse_warn(
				p, list->items[i],
				"podSelector and namespaceSelector are two peers here (either "
				"matches); for pods in those namespaces put both into one item");
	}
}

static bool is_empty_list(const struct bh_yaml *map, const char *key, const struct bh_yaml **ret)
{
	size_t i;

	for (i = 0; i < map->n; i++) {
		const struct bh_yaml *v = map->pairs[i].value;

		*ret = map->pairs[i].key;
		if (!strcmp(map->pairs[i].key->text, key))
			return v->type == BH_YAML_NULL || (v->type == BH_YAML_LIST && !v->n);
	}
	return false;
}

void bh_lint_peers(struct bh_parse *p, const struct bh_yaml *rule, enum bh_dir dir,
		   const struct bh_rule *r)
{
	const char *key = dir == BH_INGRESS ? "from" : "to";
	const struct bh_yaml *list = bh_yaml_find(rule, key), *at;

	if (p->is_refused || r->is_inert)
		return;
	if (is_empty_list(rule, key, &at))
		bh_parse_warn(p, at, "'%s' is empty, which means every peer", key);
	if (is_empty_list(rule, "ports", &at))
		bh_parse_warn(p, at, "'ports' is empty, which means every port and protocol");
	if (!list || !list->n)
		return;
	lint_split_peer(p, list, r);
	if (dir == BH_EGRESS)
		lint_metadata(p, list, r);
}

static void lint_section(struct bh_parse *p, const struct bh_yaml *spec, enum bh_dir dir,
			 const struct bh_policy *policy)
{
	const char *key = dir == BH_INGRESS ? "ingress" : "egress";
	const char *type = dir == BH_INGRESS ? "Ingress" : "Egress";
	const struct bh_yaml *list = bh_yaml_find(spec, key);
	const struct bh_yaml *types = bh_yaml_find(spec, "policyTypes");

	if (!list || policy->applies[dir])
		return;
	if (types && types->n)
		bh_parse_warn(p, list, "the %s section has no effect: policyTypes does not have %s",
			      key, type);
	else
		bh_parse_warn(p, list,
			      "an empty %s section isolates nothing; add policyTypes: [%s]", key,
			      type);
}

void bh_lint_policy(struct bh_parse *p, const struct bh_yaml *spec, const struct bh_policy *policy)
{
	lint_section(p, spec, BH_INGRESS, policy);
	lint_section(p, spec, BH_EGRESS, policy);
}

/* parse_reason.c - why a rule exists, who owns it and until when. */
#include "policy/parse.h"

#include <string.h>

/* A text of its own wins over the policy-wide one that is there already. */
static void replace(struct bh_parse *p, char **to, const char *text)
{
	char *copy;

	if (!text || !*text)
		return;
	copy = bh_parse_strdup(p, text);
	if (!copy)
		return;
	free(*to);
	*to = copy;
}

static void parse_expires(struct bh_parse *p, const struct bh_yaml *n, const char *key,
			  struct bh_reason_note *ret)
{
	int64_t expires = INT64_MAX;
	struct bh_yaml_err e;

	if (bh_yaml_get_time(n, key, false, &expires, &e))
		bh_parse_fail(p, &e);
	else if (expires < ret->expires_s)
		ret->expires_s = expires;
}

void bh_parse_reason(struct bh_parse *p, const struct bh_yaml *n, struct bh_reason_note *ret)
{
	static const char *const keys[] = {"why", "useCase", "owner", "expires", NULL};

	bh_parse_keys(p, n, keys);
	replace(p, &ret->why, bh_parse_str(p, n, "why", false));
	replace(p, &ret->use_case, bh_parse_str(p, n, "useCase", false));
	replace(p, &ret->owner, bh_parse_str(p, n, "owner", false));
	parse_expires(p, n, "expires", ret);
}

/* A misspelt annotation would silently do nothing, an expiry that never comes for example. */
static void warn_unknown(struct bh_parse *p, const struct bh_yaml *annotations)
{
	static const char *const known[] = {"reason", "use-case", "owner", "expires",
					    "established"};
	static const char prefix[] = "bulkhead.io/";
	size_t i, k;

	for (i = 0; i < annotations->n; i++) {
		const struct bh_yaml *key = annotations->pairs[i].key;

		if (strncmp(key->text, prefix, sizeof(prefix) - 1))
			continue;
		for (k = 0; k < BH_ARRAY_SIZE(known); k++) {
			if (!strcmp(key->text + sizeof(prefix) - 1, known[k]))
				break;
		}
		if (k == BH_ARRAY_SIZE(known))
			bh_parse_warn(p, key, "annotation '%s' is not known and does nothing",
				      key->text);
	}
}

void bh_parse_annotations(struct bh_parse *p, const struct bh_yaml *metadata,
			  struct bh_reason_note *ret, bool *ret_keep)
{
	const struct bh_yaml *n = bh_parse_map(p, metadata, "annotations");
	const char *established;

	if (!n)
		return;
	warn_unknown(p, n);
	replace(p, &ret->why, bh_parse_str(p, n, "bulkhead.io/reason", false));
	replace(p, &ret->use_case, bh_parse_str(p, n, "bulkhead.io/use-case", false));
	replace(p, &ret->owner, bh_parse_str(p, n, "bulkhead.io/owner", false));
	parse_expires(p, n, "bulkhead.io/expires", ret);
	established = bh_parse_str(p, n, "bulkhead.io/established", false);
	if (!established)
		return;
	*ret_keep = !strcmp(established, "keep");
	if (!*ret_keep && strcmp(established, "cut"))
		bh_parse_refuse(p, bh_yaml_find(n, "bulkhead.io/established"),
				"'bulkhead.io/established': '%s' is neither keep nor cut",
				established);
}

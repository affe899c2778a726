/* parse_image_signer.c - who may sign and attest. */
#include "policy/parse_image.h"

#include <string.h>
#include <strings.h>

/* ---- what all kinds share ---- */

static void parse_pairs(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
			struct bh_image_pairs *ret)
{
	const struct bh_yaml *n = bh_parse_map(x->p, map, key);

	for (size_t i = 0; n && i < n->n; i++) {
		struct bh_image_pair pair = {0};

		if (!bh_parse_is(x->p, n->pairs[i].value, BH_YAML_STRING, key))
			continue;
		pair.key = bh_parse_strdup(x->p, n->pairs[i].key->text);
		pair.value = bh_parse_strdup(x->p, n->pairs[i].value->text);
		if (pair.key && pair.value && !bh_vec_push(ret, pair))
			continue;
		bh_parse_no_memory(x->p);
		free(pair.key);
		free(pair.value);
	}
}

static void parse_require(struct bh_image_parse *x, const struct bh_yaml *n,
			  struct bh_image_signer *ret)
{
	static const char *const keys[] = {"tlog", "sct", "timestamp", NULL};
	const struct bh_yaml *map = bh_parse_map(x->p, n, "require");
	const struct {
		const char *key;
		bool *to;
	} rows[] = {{"tlog", &ret->require.tlog},
		    {"sct", &ret->require.sct},
		    {"timestamp", &ret->require.timestamp}};
	struct bh_yaml_err e;

	/* without a log, nobody would notice what a stolen account signs */
	ret->require.tlog = ret->require.sct = ret->kind == BH_IMAGE_KEYLESS;
	if (!map)
		return;
	bh_parse_keys(x->p, map, keys);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (bh_yaml_get_bool(map, rows[i].key, false, rows[i].to, &e))
			bh_parse_fail(x->p, &e);
	}
	if (ret->kind == BH_IMAGE_KEYS && ret->require.sct)
		bh_parse_refuse(x->p, bh_yaml_find(map, "sct"),
				"'sct' is about certificates, and these are keys");
}

/* ---- keys ---- */

static void key_done(struct bh_image_key *k)
{
	free(k->file);
	bh_blob_done(&k->pem);
}

static void parse_key(struct bh_image_parse *x, const struct bh_yaml *n,
		      struct bh_image_signer *ret)
{
	static const char *const keys[] = {"file", "notBefore", "notAfter", NULL};
	struct bh_image_key k = {0};
	const char *file;

	if (!bh_parse_is(x->p, n, BH_YAML_MAP, "'keys'"))
		return;
	bh_parse_keys(x->p, n, keys);
	k.not_before_s = bh_image_time(x, n, "notBefore", false, BH_TIME_MIN);
	k.not_after_s = bh_image_time(x, n, "notAfter", true, BH_TIME_MAX);
	if (k.not_after_s < k.not_before_s)
		bh_parse_refuse(x->p, n, "'notAfter' is before 'notBefore'");
	file = bh_parse_str(x->p, n, "file", true);
	if (file)
		k.file = bh_image_file(x, bh_yaml_find(n, "file"), file, &k.pem);
	if (k.file && !bh_vec_push(&ret->keys, k))
		return;
	x->p->is_refused = true; /* the sentence is there already */
	key_done(&k);
}

static void parse_keys(struct bh_image_parse *x, const struct bh_yaml *n,
		       struct bh_image_signer *ret)
{
	const struct bh_yaml *list = bh_parse_list(x->p, n, "keys");

	ret->kind = BH_IMAGE_KEYS;
	if (list && !list->n)
		bh_parse_refuse(x->p, list, "'keys' is empty");
	for (size_t i = 0; list && i < list->n; i++)
		parse_key(x, list->items[i], ret);
}

/* ---- keyless ---- */

static void identity_done(struct bh_image_identity *id)
{
	free(id->issuer);
	free(id->issuer_regex);
	free(id->subject);
	free(id->subject_regex);
	for (size_t i = 0; i < id->extensions.n; i++) {
		free(id->extensions.v[i].key);
		free(id->extensions.v[i].value);
	}
	bh_vec_done(&id->extensions);
}

/* Exactly one of a text and an expression; a missing one would mean anybody. */
static void exactly_one(struct bh_image_parse *x, const struct bh_yaml *n, const char *a,
			const char *b)
{
	bool has_a = bh_yaml_find(n, a), has_b = bh_yaml_find(n, b);

	if (has_a && has_b)
		bh_parse_refuse(x->p, n, "'%s' and '%s' exclude each other", a, b);
	else if (!has_a && !has_b)
		bh_parse_refuse(x->p, n, "'%s' or '%s' is missing", a, b);
}

static void parse_identity(struct bh_image_parse *x, const struct bh_yaml *n,
			   struct bh_image_signer *ret)
{
	static const char *const keys[] = {"issuer",	   "issuerRegex", "subject",
					   "subjectRegex", "extensions",  NULL};
	struct bh_image_identity id = {0};

	if (!bh_parse_is(x->p, n, BH_YAML_MAP, "'identities'"))
		return;
	bh_parse_keys(x->p, n, keys);
	exactly_one(x, n, "issuer", "issuerRegex");
	exactly_one(x, n, "subject", "subjectRegex");
	id.issuer = bh_image_str(x, n, "issuer", false);
	id.issuer_regex = bh_image_str(x, n, "issuerRegex", false);
	id.subject = bh_image_str(x, n, "subject", false);
	id.subject_regex = bh_image_str(x, n, "subjectRegex", false);
	parse_pairs(x, n, "extensions", &id.extensions);
	if (!bh_vec_push(&ret->identities, id))
		return;
	bh_parse_no_memory(x->p);
	identity_done(&id);
}

static void parse_keyless(struct bh_image_parse *x, const struct bh_yaml *n,
			  struct bh_image_signer *ret)
{
	static const char *const keys[] = {"trustRoot", "identities", NULL};
	const struct bh_yaml *map = bh_parse_map(x->p, n, "keyless"), *list;

	ret->kind = BH_IMAGE_KEYLESS;
	if (!map)
		return;
	bh_parse_keys(x->p, map, keys);
	ret->trust_root = bh_image_str(x, map, "trustRoot", false);
	list = bh_parse_list(x->p, map, "identities");
	if (!list || !list->n)
		bh_parse_refuse(x->p, list ? list : map,
				"'identities' is empty: it would trust everybody");
	for (size_t i = 0; list && i < list->n; i++)
		parse_identity(x, list->items[i], ret);
}

/* ---- own PKI, notation ---- */

static void parse_roots(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
			struct bh_image_signer *ret)
{
	const char *file = bh_parse_str(x->p, map, key, true);

	if (file)
		ret->roots_file = bh_image_file(x, bh_yaml_find(map, key), file, &ret->roots);
}

static void parse_certificates(struct bh_image_parse *x, const struct bh_yaml *n,
			       struct bh_image_signer *ret)
{
	static const char *const keys[] = {"roots", "subject", NULL};
	const struct bh_yaml *map = bh_parse_map(x->p, n, "certificates");

	ret->kind = BH_IMAGE_CERTIFICATES;
	if (!map)
		return;
	bh_parse_keys(x->p, map, keys);
	parse_roots(x, map, "roots", ret);
	ret->subject = bh_image_str(x, map, "subject", true);
}

static void parse_notation(struct bh_image_parse *x, const struct bh_yaml *n,
			   struct bh_image_signer *ret)
{
	static const char *const keys[] = {"trustStore", "trustedIdentities", "level", NULL};
	const struct bh_yaml *map = bh_parse_map(x->p, n, "notation");
	const char *level;

	ret->kind = BH_IMAGE_NOTATION;
	if (!map)
		return;
	bh_parse_keys(x->p, map, keys);
	parse_roots(x, map, "trustStore", ret);
	bh_image_list(x, map, "trustedIdentities", &ret->trusted_identities);
	if (!ret->trusted_identities.n)
		bh_parse_refuse(x->p, map, "'trustedIdentities' is missing; \"*\" is anybody");
	level = bh_parse_str(x->p, map, "level", false);
	ret->level = BH_NOTATION_STRICT;
	if (level && !strcmp(level, "permissive"))
		ret->level = BH_NOTATION_PERMISSIVE;
	else if (level && strcmp(level, "strict"))
		bh_parse_refuse(x->p, bh_yaml_find(map, "level"),
				"'level': '%s' is neither strict nor permissive", level);
}

/* ---- signers ---- */

static void parse_signer_kind(struct bh_image_parse *x, const struct bh_yaml *n,
			      struct bh_image_signer *ret)
{
	static const struct {
		const char *key;
		void (*parse)(struct bh_image_parse *x, const struct bh_yaml *n,
			      struct bh_image_signer *ret);
	} rows[] = {{"keys", parse_keys},
		    {"keyless", parse_keyless},
		    {"certificates", parse_certificates},
		    {"notation", parse_notation}};
	size_t found = BH_ARRAY_SIZE(rows);

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		const struct bh_yaml *kind = bh_yaml_find(n, rows[i].key);

		if (kind && found < BH_ARRAY_SIZE(rows))
			bh_parse_refuse(x->p, kind,
					"'%s' beside '%s': a signer is of one kind; make two",
					rows[i].key, rows[found].key);
		if (kind)
			found = i;
	}
	if (found == BH_ARRAY_SIZE(rows))
		bh_parse_refuse(x->p, n,
				"a signer has 'keys', 'keyless', 'certificates' or 'notation'");
	else
		rows[found].parse(x, n, ret);
}

static void parse_signer(struct bh_image_parse *x, const struct bh_yaml *n,
			 struct bh_image_signers *ret)
{
	static const char *const keys[] = {"name",     "keys",	  "keyless",	 "certificates",
					   "notation", "require", "annotations", "signedRepository",
					   NULL};
	struct bh_image_signer s = {0};

	if (!bh_parse_is(x->p, n, BH_YAML_MAP, "'signers'"))
		return;
	bh_parse_keys(x->p, n, keys);
	s.name = bh_image_str(x, n, "name", true);
	parse_signer_kind(x, n, &s);
	parse_require(x, n, &s);
	parse_pairs(x, n, "annotations", &s.annotations);
	s.signed_repository = bh_image_str(x, n, "signedRepository", false);
	if (!bh_vec_push(ret, s))
		return;
	bh_parse_no_memory(x->p);
	bh_image_signer_done(&s);
}

void bh_image_signers(struct bh_image_parse *x, const struct bh_yaml *list,
		      struct bh_image_signers *ret)
{
	for (size_t i = 0; list && i < list->n; i++)
		parse_signer(x, list->items[i], ret);
}

/* ---- attestations ---- */

static void parse_exception(struct bh_image_parse *x, const struct bh_yaml *n,
			    struct bh_image_attestation *ret)
{
	static const char *const keys[] = {"id", "until", "why", NULL};
	struct bh_image_exception e = {0};

	if (!bh_parse_is(x->p, n, BH_YAML_MAP, "'exceptions'"))
		return;
	bh_parse_keys(x->p, n, keys);
	e.id = bh_image_str(x, n, "id", true);
	e.why = bh_image_str(x, n, "why", false);
	e.until_s = bh_image_time(x, n, "until", true, BH_TIME_MAX);
	if (!bh_vec_push(&ret->exceptions, e))
		return;
	bh_parse_no_memory(x->p);
	free(e.id);
	free(e.why);
}

static void parse_severity(struct bh_image_parse *x, const struct bh_yaml *n,
			   struct bh_image_attestation *ret)
{
	static const struct {
		const char *name;
		enum bh_severity severity;
	} rows[] = {{"UNKNOWN", BH_SEVERITY_UNKNOWN},
		    {"LOW", BH_SEVERITY_LOW},
		    {"MEDIUM", BH_SEVERITY_MEDIUM},
		    {"HIGH", BH_SEVERITY_HIGH},
		    {"CRITICAL", BH_SEVERITY_CRITICAL}};
	const char *text = bh_parse_str(x->p, n, "failOn", false);

	for (size_t i = 0; text && i < BH_ARRAY_SIZE(rows); i++) {
		if (!strcasecmp(text, rows[i].name)) {
			ret->fail_on = rows[i].severity;
			return;
		}
	}
	if (text)
		bh_parse_refuse(x->p, bh_yaml_find(n, "failOn"),
				"'failOn': '%s' is none of UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL",
				text);
}

static void parse_report_rules(struct bh_image_parse *x, const struct bh_yaml *n,
			       struct bh_image_attestation *ret)
{
	const struct bh_yaml *list = bh_parse_list(x->p, n, "exceptions");
	int64_t days = 0;
	struct bh_yaml_err e;

	parse_severity(x, n, ret);
	if (bh_yaml_get_bool(n, "ignoreUnfixed", false, &ret->ignore_unfixed, &e))
		bh_parse_fail(x->p, &e);
	if (bh_yaml_get_int(n, "maxAgeDays", false, (struct bh_yaml_range){1, 36500}, &days, &e))
		bh_parse_fail(x->p, &e);
	ret->max_age_days = (uint32_t)days;
	for (size_t i = 0; list && i < list->n; i++)
		parse_exception(x, list->items[i], ret);
}

static void parse_attestation(struct bh_image_parse *x, const struct bh_yaml *n,
			      struct bh_image_policy *ret)
{
	static const char *const keys[] = {"type",	    "signers",	  "builderId",	"failOn",
					   "ignoreUnfixed", "maxAgeDays", "exceptions", NULL};
	const struct bh_yaml *signers;
	struct bh_image_attestation a = {0};

	if (!bh_parse_is(x->p, n, BH_YAML_MAP, "'attestations'"))
		return;
	bh_parse_keys(x->p, n, keys);
	a.type = bh_image_str(x, n, "type", true);
	a.builder_id = bh_image_str(x, n, "builderId", false);
	signers = bh_parse_list(x->p, n, "signers");
	if (!signers || !signers->n)
		bh_parse_refuse(x->p, n, "an attestation without 'signers' could be anybody's");
	bh_image_signers(x, signers, &a.signers);
	parse_report_rules(x, n, &a);
	if (!bh_vec_push(&ret->attestations, a))
		return;
	bh_parse_no_memory(x->p);
	bh_image_attestation_done(&a);
}

void bh_image_attestations(struct bh_image_parse *x, const struct bh_yaml *spec,
			   struct bh_image_policy *ret)
{
	const struct bh_yaml *list = bh_parse_list(x->p, spec, "attestations");

	for (size_t i = 0; list && i < list->n; i++)
		parse_attestation(x, list->items[i], ret);
}

/* What a policy may say: refused where it could not be enforced as written; expressions match all
 * of a text or nothing. */
#include "verify_world.h"

#include "verify/cert.h"
#include "verify/dn.h"
#include "verify/expr.h"
#include "verify/rules.h"

struct rig {
	EVP_PKEY *key;
	struct bh_image_policy *p;
};

static int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->key = new_key();
	r->p = key_policy(r->key);
	*state = r;
	return 0;
}

static int drop_rig(void **state)
{
	struct rig *r = *state;

	EVP_PKEY_free(r->key);
	bh_image_policy_free(r->p);
	free(r);
	return 0;
}

static void refused(const struct bh_image_policy *p, const char *part)
{
	struct bh_image_rules *rules = NULL;
	struct bh_err err;

	bh_assert_fails(&err, -EINVAL, part, bh_image_rules_new(p, &rules, &err));
	assert_null(rules);
}

static void accepted(const struct bh_image_policy *p)
{
	struct bh_image_rules *rules;
	struct bh_err err;

	bh_assert_ok(&err, bh_image_rules_new(p, &rules, &err));
	bh_image_rules_free(rules);
}

static void test_keys(void **state)
{
	struct rig *r = *state;
	struct bh_image_key *key = &r->p->signers.v[0].keys.v[0];

	accepted(r->p);
	key->not_before_s = 10;
	key->not_after_s = 9;
	refused(r->p, "ends before it begins");
	key->not_after_s = 10;
	accepted(r->p);
	key->pem.v[0] = 'x';
	refused(r->p, "one.pub holds no public key");
}

static void test_nothing(void **state)
{
	struct rig *r = *state;
	struct bh_image_policy *p = bh_image_policy_new();

	(void)r;
	refused(p, "demands nothing");
	p->require_digest = true;
	accepted(p);
	bh_image_policy_free(p);
}

static void test_needs(void **state)
{
	struct rig *r = *state;
	struct bh_image_signer *s = &r->p->signers.v[0];

	s->require.tlog = true;
	refused(r->p, "trust root");
	s->require.tlog = false;
	s->require.sct = true;
	refused(r->p, "sct");
	s->require.sct = false;
	s->trust_root = strdup("public");
	refused(r->p, "no trust root 'public'");
}

static void test_attestations(void **state)
{
	struct rig *r = *state;
	struct bh_image_attestation a = {.type = strdup("spdx")}, *in;

	assert_int_equal(bh_vec_push(&r->p->attestations, a), 0);
	in = &r->p->attestations.v[0];
	refused(r->p, "nobody may sign");
	assert_int_equal(bh_vec_push(&in->signers, key_signer("att", r->key)), 0);
	accepted(r->p);
	in->builder_id = strdup("x");
	refused(r->p, "builderId");
	free(in->builder_id);
	in->builder_id = NULL;
	in->max_age_days = 3;
	refused(r->p, "maxAgeDays");
	in->max_age_days = 0;
	free(in->type);
	in->type = strdup("spxd");
	refused(r->p, "no attestation type");
}

/* ---- trust roots ---- */

static void root_is(struct rig *r, const char *json, const char *refusal)
{
	struct bh_image_trust_root root = {strdup("root"), strdup("root.json"), {0}};

	assert_int_equal(bh_blob_copy(json, strlen(json), &root.json), 0);
	assert_int_equal(bh_vec_push(&r->p->trust_roots, root), 0);
	if (refusal)
		refused(r->p, refusal);
	else
		accepted(r->p);
	free(root.name);
	free(root.file);
	bh_blob_done(&root.json);
	r->p->trust_roots.n = 0;
}

#define ROOT "{\"mediaType\":\"application/vnd.dev.sigstore.trustedroot+json;version=0.1\""
#define LOG  "\"baseUrl\":\"https://l.test\",\"publicKey\":{\"rawBytes\":"
#define KEY                                                                                        \
	"\"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXlYI/a1XM9LYk54J0H/"                                \
	"lm4EeboY1vhheo0TbTln8aWofhvUYUH9fIKz10uhbCDlTfOF+ymQlkiuDReSCMA2zAw==\""

static void test_trust_root(void **state)
{
	struct rig *r = *state;

	root_is(r, ROOT "}", NULL);
	root_is(r, "{}", "version");
	root_is(r, "{", "JSON");
	root_is(r,
		ROOT ",\"tlogs\":[{" LOG KEY
		     ",\"validFor\":{\"start\":"
		     "\"2026-01-01T00:00:00Z\"}}}]}",
		NULL);
	root_is(r, ROOT ",\"tlogs\":[{" LOG KEY ",\"validFor\":{}}}]}", "validFor.start");
	root_is(r, ROOT ",\"tlogs\":[{" LOG KEY "}}]}", "validFor.start");
	root_is(r,
		ROOT ",\"tlogs\":[{" LOG KEY
		     ",\"validFor\":{\"start\":"
		     "\"2026-01-01T00:00:00Z\",\"end\":\"never\"}}}]}",
		"validFor.end");
	/* a key of a kind nobody knows is left out, it verifies nothing */
	root_is(r,
		ROOT ",\"ctlogs\":[{" LOG
		     "\"AAAA\",\"validFor\":{\"start\":"
		     "\"2026-01-01T00:00:00Z\"}}}]}",
		NULL);
	root_is(r,
		ROOT
		",\"certificateAuthorities\":[{\"validFor\":{\"start\":"
		"\"2026-01-01T00:00:00Z\"}}]}",
		"certChain");
}

/* ---- identities ---- */

static void test_patterns(void **state)
{
	static const struct {
		const char *regex, *text;
		bool want;
	} rows[] = {
		{"a", "a", true},
		{"a", "ab", false},
		{"a", "ba", false},
		{"a|ab", "ab", true},
		{"https://x/.*", "https://x/y", true},
		{"https://x/.*", "evil https://x/y", false},
		{"a)|b", "zzb", false},
		{"x*", "", true},
		{"(a|b)+", "abab", true},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_pattern p = {.has_regex = true};

		if (regcomp(&p.regex, rows[i].regex, REG_EXTENDED))
			continue;
		assert_int_equal(bh_pattern_matches(&p, rows[i].text), rows[i].want);
		regfree(&p.regex);
	}
}

static void id_is(struct rig *r, struct bh_image_identity id, const char *refusal)
{
	struct bh_image_signer *s = &r->p->signers.v[0];
	enum bh_image_signer_kind kind = s->kind;
	struct bh_image_trust_root root = {"root", "root.json", {(unsigned char *)ROOT "}", 0}};

	root.json.n = strlen(ROOT "}");
	s->kind = BH_IMAGE_KEYLESS;
	assert_int_equal(bh_vec_push(&s->identities, id), 0);
	assert_int_equal(bh_vec_push(&r->p->trust_roots, root), 0);
	if (refusal)
		refused(r->p, refusal);
	else
		accepted(r->p);
	s->identities.n = 0;
	r->p->trust_roots.n = 0;
	s->kind = kind;
}

static struct bh_image_identity oid_of(const char *oid)
{
	static struct bh_image_pair pair = {.value = "v"};

	pair.key = (char *)oid;
	return (struct bh_image_identity){
		.issuer = "i", .subject = "s", .extensions = {.v = &pair, .n = 1}};
}

static void test_identities(void **state)
{
	struct rig *r = *state;
	char *longest = calloc(1, BH_MAX_REGEX + 2);

	memset(longest, 'a', BH_MAX_REGEX + 1);
	id_is(r, (struct bh_image_identity){.issuer = "i", .subject = "s"}, NULL);
	id_is(r, (struct bh_image_identity){.issuer = "i", .subject_regex = "a.*"}, NULL);
	id_is(r, (struct bh_image_identity){.subject = "s"}, "issuer");
	id_is(r, (struct bh_image_identity){.issuer = "i"}, "subject");
	id_is(r, (struct bh_image_identity){.issuer = "", .subject = "s"}, "matches nobody");
	id_is(r, (struct bh_image_identity){.issuer = "i", .subject = "s", .subject_regex = "s"},
	      "either");
	id_is(r, (struct bh_image_identity){.issuer = "i", .subject_regex = "(a"}, "expression");
	id_is(r, (struct bh_image_identity){.issuer = "i", .subject_regex = "(a)\\1"}, "'\\1'");
	id_is(r, (struct bh_image_identity){.issuer = "i", .subject_regex = longest}, "256");
	id_is(r, oid_of("9.9.9.9"), "there is no extension '9.9.9.9'");
	id_is(r, oid_of("1.2.3"), NULL);
	free(longest);
}

/* Expressions of other dialects would silently match something else. */
static void test_escapes(void **state)
{
	static const struct {
		const char *regex, *refusal;
	} rows[] = {
		{"a\\.b\\\\d[]\\]+", NULL},
		{"\\w+@[[:alnum:].]+", NULL},
		{"[^]\\/]+", NULL},
		{"v\\d+", "'\\d' means nothing"},
		{"[\\w.]+", "'\\w' means nothing"},
		{"[]a\\d]", "'\\d' means nothing"},
		{"\\Aa\\z", "'\\A' means nothing"},
		{"a\\", "'\\' means nothing"},
		{"(a)(b)\\2", "'\\2' means nothing"},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_image_identity id = {.issuer = "i"};

		id.subject_regex = (char *)rows[i].regex;
		id_is(r, id, rows[i].refusal);
	}
}

/* The C library writes repetitions out: what multiplies would take all memory there is. */
static void test_repetitions(void **state)
{
	static const char *const good[] = {
		"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
		"([0-9]{1,3}\\.){3}[0-9]{1,3}",
		"((a+)+)+@(x|y+)*",
		"v[0-9]+(\\.[0-9]+){2}(-(rc|beta)[.0-9]{1,3})?",
		"a{0,200}",
		"[(]{3}[{]",
	};
	static const char *const bad[] = {
		"((((a{1,200}){1,200}){1,200}){1,200})",
		"((((a{200}){200}){200}){200})",
		"(((a{,200}){,200}){,200})",
		"((a{200,}){200,}){200,}",
		"(((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+",
		"((a?){25}){20}",
		"((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))",
		"(a{99999999999999999999}){9}",
	};
	struct bh_err err;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(good); i++)
		bh_assert_ok(&err, bh_expr_check(good[i], &err));
	for (size_t i = 0; i < BH_ARRAY_SIZE(bad); i++)
		bh_assert_fails(&err, -EINVAL, "multiply", bh_expr_check(bad[i], &err));
}

static void test_extension_names(void **state)
{
	(void)state;
	assert_string_equal(bh_fulcio_oid("Runner Environment"), "1.3.6.1.4.1.57264.1.11");
	assert_string_equal(bh_fulcio_oid("runnerEnvironment"), "1.3.6.1.4.1.57264.1.11");
	assert_string_equal(bh_fulcio_oid("1.2.3.4"), "1.2.3.4");
	assert_null(bh_fulcio_oid("RunnerEnv"));
	assert_null(bh_fulcio_oid(""));
	assert_null(bh_fulcio_oid("12"));
}

/* ---- subjects of notation ---- */

static void test_subjects(void **state)
{
	static const struct {
		const char *text;
		bool is_good, matches;
	} rows[] = {
		{"*", true, true},
		{"x509.subject: C=US,ST=WA,O=Acme", true, true},
		{"x509.subject:O=Acme", true, true},
		{"x509.subject: O=Acme, C=US", true, true},
		{"x509.subject: O=Acm", true, false},
		{"x509.subject: C=US+ST=WA", false, false},
		{"x509.subject: O=Ac\\+me", true, false},
		{"x509.subject: L=A", true, false}, /* it is there twice */
		{"x509.subject: L=B", true, false},
		{"x509.subject: O=Acme Corp", true, false},
		{"x509.subject: C=US,OU=x", true, false},
		{"x509.subject: CN=a\\,b", true, true},
		{"x509.subject: O=Acme,", false, false},
		{"x509.subject: O=", false, false},
		{"x509.subject: ", false, false},
		{"x509.subject: X=Acme", false, false},
		{"O=Acme", false, false},
		{"", false, false},
	};
	X509_NAME *name = X509_NAME_new();
	const struct {
		const char *key, *value;
	} parts[] = {{"C", "US"},   {"ST", "WA"}, {"O", "Acme"},
		     {"CN", "a,b"}, {"L", "A"},	  {"L", "B"}};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(parts); i++)
		assert_int_equal(X509_NAME_add_entry_by_txt(name, parts[i].key, MBSTRING_UTF8,
							    (const unsigned char *)parts[i].value,
							    -1, -1, 0),
				 1);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_err err;

		assert_int_equal(!bh_dn_check(rows[i].text, &err), rows[i].is_good);
		if (bh_dn_matches(rows[i].text, name) != rows[i].matches)
			fail_msg("'%s'", rows[i].text);
	}
	X509_NAME_free(name);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, drop_rig)
	const struct CMUnitTest tests[] = {
		T(test_keys),	      T(test_nothing),	   T(test_needs),
		T(test_attestations), T(test_trust_root),  T(test_patterns),
		T(test_identities),   T(test_subjects),	   T(test_extension_names),
		T(test_escapes),      T(test_repetitions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

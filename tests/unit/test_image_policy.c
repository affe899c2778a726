/* ImagePolicy documents, and which images they are about. Keys are not parsed here: the files are
 * only named. */
#include "bh_test.h"

#include "base/str.h"
#include "policy/image_bundle.h"

#define HEAD "apiVersion: bulkhead.io/v1alpha1\nkind: ImagePolicy\nmetadata: {name: production}\n"

static const char full[] = HEAD
	"spec:\n"
	"  match: {namespaces: [prod, \"pay-*\"], images: [\"registry.acme.example/**\"], exclude: "
	"[\"registry.acme.example/debug/**\"]}\n"
	"  mode: quarantine\n"
	"  onError: allow\n"
	"  requireDigest: true\n"
	"  insecureRegistries: [\"127.0.0.1\"]\n"
	"  signatureStore: sigs\n"
	"  trustRoots: {public: trust/trusted_root.json}\n"
	"  signers:\n"
	"  - name: release-key\n"
	"    keys:\n"
	"    - {file: keys/2026.pub, notBefore: 2026-01-01T00:00:00Z, notAfter: 2027-02-01}\n"
	"    - {file: /abs/2027.pub}\n"
	"    require: {tlog: false, timestamp: true}\n"
	"    annotations: {env: prod}\n"
	"    signedRepository: registry.acme.example/app\n"
	"  - name: github\n"
	"    keyless:\n"
	"      trustRoot: public\n"
	"      identities:\n"
	"      - {issuer: i, subjectRegex: s.*, extensions: {1.3.6.1.4.1.57264.1.11: hosted}}\n"
	"  - name: pki\n"
	"    certificates: {roots: trust/ca.pem, subject: b@a.example}\n"
	"  - name: notary\n"
	"    notation: {trustStore: n.pem, trustedIdentities: [\"*\"], level: permissive}\n"
	"  threshold: 2\n"
	"  attestations:\n"
	"  - type: vuln\n"
	"    signers: [{name: s, keys: [{file: a.pub}]}]\n"
	"    failOn: high\n"
	"    ignoreUnfixed: true\n"
	"    maxAgeDays: 30\n"
	"    exceptions: [{id: CVE-2026-10004, until: 2026-12-31, why: not reachable}]\n";

static void read_text(const char *text, struct bh_image_policies *ret, struct bh_problems *problems)
{
	assert_int_equal(
		bh_image_policies_read("/etc/p/x.yaml", text, strlen(text), NULL, ret, problems),
		0);
}

static void check_signers(const struct bh_image_policy *p)
{
	const struct bh_image_signer *s = p->signers.v;

	assert_int_equal(p->signers.n, 4);
	assert_string_equal(s[0].keys.v[0].file, "/etc/p/keys/2026.pub");
	assert_int_equal(s[0].keys.v[0].not_before_s, 1767225600);
	assert_int_equal(s[0].keys.v[0].not_after_s, 1801526399);
	assert_string_equal(s[0].keys.v[1].file, "/abs/2027.pub");
	assert_true(s[0].keys.v[1].not_after_s == BH_TIME_MAX);
	assert_true(!s[0].require.tlog && !s[0].require.sct && s[0].require.timestamp);
	assert_string_equal(s[0].annotations.v[0].value, "prod");
	assert_int_equal(s[1].kind, BH_IMAGE_KEYLESS);
	assert_true(s[1].require.tlog && s[1].require.sct && !s[1].require.timestamp);
	assert_string_equal(s[1].identities.v[0].subject_regex, "s.*");
	assert_string_equal(s[1].identities.v[0].extensions.v[0].key, "1.3.6.1.4.1.57264.1.11");
	assert_int_equal(s[2].kind, BH_IMAGE_CERTIFICATES);
	assert_string_equal(s[2].roots_file, "/etc/p/trust/ca.pem");
	assert_int_equal(s[3].kind, BH_IMAGE_NOTATION);
	assert_int_equal(s[3].level, BH_NOTATION_PERMISSIVE);
}

static void reads_everything(void **state)
{
	struct bh_image_policies l = {0};
	struct bh_problems problems = {0};
	const struct bh_image_policy *p;

	(void)state;
	read_text(full, &l, &problems);
	assert_int_equal(problems.n, 0);
	assert_int_equal(l.n, 1);
	p = l.v[0];
	assert_string_equal(p->name, "production");
	assert_int_equal(p->mode, BH_IMAGE_QUARANTINE);
	assert_int_equal(p->on_error, BH_IMAGE_ON_ERROR_ALLOW);
	assert_true(p->require_digest);
	assert_string_equal(p->signature_store, "/etc/p/sigs");
	assert_string_equal(p->trust_roots.v[0].file, "/etc/p/trust/trusted_root.json");
	assert_int_equal(p->threshold, 2);
	check_signers(p);
	assert_int_equal(p->attestations.v[0].fail_on, BH_SEVERITY_HIGH);
	assert_int_equal(p->attestations.v[0].max_age_days, 30);
	assert_int_equal(p->attestations.v[0].exceptions.v[0].until_s, 1798761599);
	assert_true(bh_image_policy_last_key(p) == BH_TIME_MAX);
	bh_image_policies_done(&l);
	bh_problems_done(&problems);
}

#define SIGNERS "  signers: [{name: k, keys: [{file: k.pub}]}]\n"

/* A star alone is every image; a digest may be all that is demanded. */
static void reads_little(void **state)
{
	struct bh_image_policies l = {0};
	struct bh_problems problems = {0};

	(void)state;
	read_text(HEAD "spec: {match: {images: ['*', a/*]}, requireDigest: true}\n", &l, &problems);
	assert_int_equal(problems.n, 0);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.v[0]->match.images.v[0], "**");
	assert_string_equal(l.v[0]->match.images.v[1], "a/*");
	assert_true(l.v[0]->require_digest && !l.v[0]->signers.n);
	/* Flux has a kind of that name; what only looks like ours is a mistake */
	read_text("apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nspec: {}\n", &l,
		  &problems);
	assert_int_equal(problems.n, 0);
	assert_int_equal(l.n, 1);
	read_text("apiVersion: Bulkhead.io/v1alpha1\nkind: ImagePolicy\nspec: {}\n", &l, &problems);
	assert_int_equal(problems.n, 1);
	bh_image_policies_done(&l);
	bh_problems_done(&problems);
}

static void refuses(void **state)
{
	static const struct {
		const char *spec, *want; /* "line:col: sentence" */
	} rows[] = {
		{"spec: {}\n", "neither 'signers' nor 'attestations'"},
		{"spec:\n" SIGNERS "  mod: enforce\n", "6:3: unknown field 'mod'"},
		{"spec:\n" SIGNERS "  mode: Enforce\n",
		 "6:9: 'mode': 'Enforce' is none of enforce, quarantine, audit"},
		{"spec:\n" SIGNERS "  onError: ''\n", "'onError': '' is none of"},
		{"spec:\n" SIGNERS "  requireDigest: 1\n", "expected a boolean"},
		{"spec:\n" SIGNERS "  threshold: 0\n", "'threshold': 0 is not 1-64"},
		{"spec:\n  signers: [{name: k}]\n", "a signer has 'keys'"},
		{"spec:\n  signers: [{name: k, keys: []}]\n", "'keys' is empty"},
		{"spec:\n  signers: [{keys: [{file: k}]}]\n", "'name' is missing"},
		{"spec:\n  signers: [{name: k, keys: [{file: k}], notation: {trustStore: x, "
		 "trustedIdentities: ['*']}}]\n",
		 "'notation' beside 'keys'"},
		{"spec:\n  signers: [{name: k, keys: [{file: k, notAfter: soon}]}]\n",
		 "'notAfter': 'soon' is not a time"},
		{"spec:\n  signers: [{name: k, keys: [{file: k, notBefore: 2027-01-01, notAfter: "
		 "2026-01-01}]}]\n",
		 "'notAfter' is before 'notBefore'"},
		{"spec:\n  signers: [{name: k, keyless: {trustRoot: x, identities: []}}]\n",
		 "it would trust everybody"},
		{"spec:\n  signers: [{name: k, keyless: {trustRoot: x, identities: [{subject: "
		 "x}]}}]\n",
		 "'issuer' or 'issuerRegex' is missing"},
		{"spec:\n  signers: [{name: k, keyless: {trustRoot: x, identities: [{issuer: i, "
		 "subject: x, subjectRegex: y}]}}]\n",
		 "'subject' and 'subjectRegex' exclude each other"},
		{"spec:\n  signers: [{name: k, keyless: {trustRoot: x, identities: [{issuer: i, "
		 "subject: x, sourceRef: y}]}}]\n",
		 "unknown field 'sourceRef'"},
		{"spec:\n" SIGNERS "  match: {images: ['registry.example/app:v1']}\n",
		 "tags and digests have no place in it"},
		{"spec:\n" SIGNERS "  match: {images: ['registry.example/']}\n",
		 "6:20: 'images': 'registry.example/' matches nothing: a part between '/' is "
		 "empty"},
		{"spec:\n" SIGNERS "  match: {images: ['registry.example/Team/*']}\n",
		 "matches nothing: 'Team/*' can be no repository"},
		{"spec:\n" SIGNERS "  match: {exclude: ['registry.example/te?m']}\n",
		 "matches nothing"},
		{"spec:\n" SIGNERS "  match: {images: ['registry.example/**app']}\n",
		 "'**' stands for whole parts"},
		{"spec:\n" SIGNERS "  match: {exclude: ['*']}\n",
		 "'**' is every image, 'docker.io/library/*' those of Docker Hub"},
		{"spec:\n" SIGNERS "  match: {namespaces: [Prod]}\n",
		 "6:24: 'namespaces': no namespace can be named 'Prod'"},
		{"spec:\n" SIGNERS "  match: {namespaces: ['prod?']}\n", "no namespace can be"},
		{"spec:\n" SIGNERS "  match: {images: ['/app']}\n",
		 "'/app' matches nothing: a part between '/' is empty"},
		{"spec:\n" SIGNERS "  match: {images: ['[a-z]/app']}\n",
		 "'[a-z]' can be no registry"},
		{"spec:\n" SIGNERS "  insecureRegistries: ['http://r.example']\n",
		 "6:24: 'insecureRegistries': 'http://r.example' is neither host nor host:port"},
		{"spec:\n" SIGNERS "  insecureRegistries: ['*']\n", "neither host nor"},
		{"spec:\n" SIGNERS "  insecureRegistries: [10.0.0.0/8]\n", "neither host nor"},
		{"spec:\n" SIGNERS "  signatureStore: ''\n", "'signatureStore' is empty"},
		{"spec:\n" SIGNERS "  threshold: 1.0\n",
		 "6:14: 'threshold': 1.0 is not a whole number"},
		{"spec:\n" SIGNERS "  attestations: [{type: vuln}]\n", "could be anybody's"},
		{"spec:\n" SIGNERS "  attestations: [{type: vuln, failOn: BAD, signers: [{name: k, "
		 "keys: [{file: k}]}]}]\n",
		 "'failOn': 'BAD' is none of"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep) char *text = bh_strf("%s%s", HEAD, rows[i].spec);
		BH_CLEANUP(bh_freep) char *all = NULL;
		struct bh_image_policies l = {0};
		struct bh_problems problems = {0};

		read_text(text, &l, &problems);
		if (l.n || !problems.n)
			fail_msg("row %zu is accepted", i);
		all = bh_strf("%u:%u: %s", problems.v[0].line, problems.v[0].col,
			      problems.v[0].text);
		if (!strstr(all, rows[i].want))
			fail_msg("row %zu: %s", i, all);
		bh_image_policies_done(&l);
		bh_problems_done(&problems);
	}
}

static void matches_images(void **state)
{
	static const struct {
		const char *pattern, *image;
		bool want;
	} rows[] = {
		{"**", "nginx", true},
		{"docker.io/**", "registry-1.docker.io/bitnami/redis", true},
		{"docker.io/**", "index.docker.io/bitnami/redis", true},
		{"registry.acme.example/**", "registry.acme.example:0443/app", true},
		{"registry.acme.example:5000/**", "registry.acme.example:05000/app", true},
		{"registry.acme.example/**", "registry.acme.example:0/app", false},
		{"nginx", "docker.io/library/nginx:1", true},
		{"nginx", "nginx", true},
		{"ngin*", "nginx", true},
		{"nginx", "evil.example/nginx", false},
		{"bitnami/*", "bitnami/redis", true},
		{"bitnami/*", "docker.io/bitnami/redis", true},
		{"bitnami/*", "bitnami/a/b", false},
		{"registry.acme.example/**", "registry.acme.example/app", true},
		{"registry.acme.example/**",
		 "registry.acme.example/a/b/c@sha256:"
		 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b"
		 "7852b855",
		 true},
		{"registry.acme.example/**", "REGISTRY.acme.example/app", true},
		{"registry.acme.example/**", "registry.acme.example:443/app", true},
		{"registry.acme.example/**", "registry.acme.example:5000/app", false},
		{"registry.acme.example:5000/**", "registry.acme.example:5000/app", true},
		{"registry.acme.example/**", "evil.example/registry.acme.example/app", false},
		{"registry.acme.example/**", "registry.acme.example.evil.example/app", false},
		{"registry.acme.example/app", "registry.acme.example/app-evil", false},
		{"registry.acme.example/app", "registry.acme.example/x/app", false},
		{"registry.acme.example/**/app", "registry.acme.example/app", true},
		{"registry.acme.example/**/app", "registry.acme.example/a/b/app", true},
		{"registry.acme.example/**/app", "registry.acme.example/a/b/app2", false},
		{"*.acme.example/*", "x.acme.example/app", true},
		{"*.acme.example/*", "acme.example/app", false},
		{"localhost/app", "localhost/app", true},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_image_ref ref;
		struct bh_err err;

		assert_int_equal(bh_image_ref_parse(rows[i].image, &ref, &err), 0);
		if (bh_image_glob_match(rows[i].pattern, &ref) != rows[i].want)
			fail_msg("row %zu: %s %s", i, rows[i].pattern, rows[i].image);
	}
}

static void applies(void **state)
{
	static const struct {
		const char *ns, *image;
		bool applies, names;
	} rows[] = {
		{"prod", "registry.acme.example/app", true, true},
		{"pay-eu", "registry.acme.example/app", true, true},
		{"payments", "registry.acme.example/app", false, false},
		{"prod2", "registry.acme.example/app", false, false},
		{"prod", "registry.acme.example/debug/x", false, true},
		{"prod", "nginx", false, true},
		{NULL, "registry.acme.example/app", true, false},
	};
	struct bh_image_policies l = {0};
	struct bh_problems problems = {0};

	(void)state;
	read_text(full, &l, &problems);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_image_ref ref;
		struct bh_err err;

		assert_int_equal(bh_image_ref_parse(rows[i].image, &ref, &err), 0);
		assert_int_equal(bh_image_policy_applies(l.v[0], rows[i].ns, &ref),
				 rows[i].applies);
		if (rows[i].ns)
			assert_int_equal(bh_image_policy_names(l.v[0], rows[i].ns), rows[i].names);
	}
	bh_image_policies_done(&l);
	bh_problems_done(&problems);
}

/* A pattern full of stars must not take exponential time. */
static void globs_are_linear(void **state)
{
	char pattern[256], text[256];

	(void)state;
	for (size_t i = 0; i < 254; i++)
		pattern[i] = i % 2 ? 'a' : '*';
	pattern[254] = 'b';
	pattern[255] = '\0';
	memset(text, 'a', 255);
	text[255] = '\0';
	assert_false(bh_glob_match(pattern, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_everything), cmocka_unit_test(reads_little),
		cmocka_unit_test(refuses),	    cmocka_unit_test(matches_images),
		cmocka_unit_test(applies),	    cmocka_unit_test(globs_are_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

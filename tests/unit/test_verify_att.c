/* Attestations: who may make them, which of several counts, and what a report must say. */
#include "verify_world.h"

#define T_VULN	"https://cosign.sigstore.dev/attestation/vuln/v1"
#define T_SLSA1 "https://slsa.dev/provenance/v1"
#define BUILDER "https://builder.test/b@v1"

struct rig {
	struct world w;
	EVP_PKEY *key, *attester;
	struct bh_image_policy *p; /* key signs, attester attests */
};

static int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	json_t *layers = json_array();

	world_open(&r->w);
	r->key = new_key();
	r->attester = new_key();
	r->p = key_policy(r->key);
	add_classic(&r->w, layers, r->key);
	put_layers(&r->w, r->w.sig_tag, layers);
	*state = r;
	return 0;
}

static int drop_rig(void **state)
{
	struct rig *r = *state;

	world_close(&r->w);
	bh_image_policy_free(r->p);
	EVP_PKEY_free(r->key);
	EVP_PKEY_free(r->attester);
	free(r);
	return 0;
}

static struct bh_image_attestation *demand(struct rig *r, const char *type)
{
	struct bh_image_attestation a = {.type = strdup(type)};

	assert_int_equal(bh_vec_push(&a.signers, key_signer("att", r->attester)), 0);
	assert_int_equal(bh_vec_push(&r->p->attestations, a), 0);
	return &r->p->attestations.v[r->p->attestations.n - 1];
}

static json_t *report(const char *finished, json_t *take_result)
{
	return json_pack("{s:{s:o},s:{s:s}}", "scanner", "result", take_result, "metadata",
			 "scanFinishedOn", finished);
}

static json_t *trivy(const char *id, const char *severity, const char *fixed)
{
	return json_pack("{s:[{s:[{s:s,s:s,s:s}]},{s:s}]}", "Results", "Vulnerabilities",
			 "VulnerabilityID", id, "Severity", severity, "FixedVersion", fixed,
			 "Target", "clean");
}

static json_t *grype(const char *severity, const char *state)
{
	return json_pack("{s:[{s:{s:s,s:s,s:{s:s}}}]}", "matches", "vulnerability", "id", "CVE-1",
			 "severity", severity, "fix", "state", state);
}

static void attest(struct rig *r, const char *type, json_t *predicate)
{
	add_bundle(&r->w, r->attester, type, predicate);
}

static void expect(struct rig *r, enum bh_image_word word)
{
	world_expect(&r->w, r->p, word ? BH_IMAGE_REJECT : BH_IMAGE_ACCEPT, word);
}

static void test_missing(void **state)
{
	struct rig *r = *state;

	demand(r, "spdx");
	expect(r, BH_WORD_ATT_MISSING);
	/* by a key that may sign but not attest */
	add_bundle(&r->w, r->key, "https://spdx.dev/Document", json_object());
	expect(r, BH_WORD_ATT_MISSING);
	attest(r, "https://spdx.dev/Document/v2", json_object());
	expect(r, BH_WORD_ATT_MISSING);
	attest(r, "https://spdx.dev/Document", json_object());
	expect(r, BH_WORD_OK);
}

/* An attester's key signs no images. */
static void test_attester_is_no_signer(void **state)
{
	struct rig *r = *state;

	put_layers(&r->w, r->w.sig_tag, json_array());
	attest(r, T_SIGN, json_object());
	expect(r, BH_WORD_SIGNATURE_INVALID);
	add_bundle(&r->w, r->key, T_SLSA1, json_object());
	expect(r, BH_WORD_SIGNATURE_INVALID);
}

static void test_builder(void **state)
{
	struct rig *r = *state;

	demand(r, "slsaprovenance1")->builder_id = strdup(BUILDER);
	attest(r, T_SLSA1, json_object());
	expect(r, BH_WORD_BUILDER_MISMATCH);
	attest(r, T_SLSA1,
	       json_pack("{s:{s:{s:s}}}", "runDetails", "builder", "id", BUILDER "-evil"));
	expect(r, BH_WORD_BUILDER_MISMATCH);
	attest(r, T_SLSA1, json_pack("{s:{s:{s:s}}}", "runDetails", "builder", "id", BUILDER));
	expect(r, BH_WORD_OK);
}

static void test_builder_v02(void **state)
{
	struct rig *r = *state;

	demand(r, "slsaprovenance")->builder_id = strdup(BUILDER);
	attest(r, "https://slsa.dev/provenance/v0.2",
	       json_pack("{s:{s:s}}", "builder", "id", BUILDER));
	expect(r, BH_WORD_OK);
}

static void test_severity(void **state)
{
	static const struct {
		const char *severity;
		enum bh_severity fail_on;
		bool is_bad;
	} rows[] = {
		{"HIGH", BH_SEVERITY_HIGH, true},      {"high", BH_SEVERITY_HIGH, true},
		{"CRITICAL", BH_SEVERITY_HIGH, true},  {"MEDIUM", BH_SEVERITY_HIGH, false},
		{"", BH_SEVERITY_CRITICAL, true},      {"bogus", BH_SEVERITY_CRITICAL, true},
		{"UNKNOWN", BH_SEVERITY_LOW, false},   {"UNKNOWN", BH_SEVERITY_UNKNOWN, true},
		{"CRITICAL", BH_SEVERITY_NONE, false},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct rig *r;

		drop_rig(state);
		make_rig(state);
		r = *state;
		demand(r, "vuln")->fail_on = rows[i].fail_on;
		attest(r, T_VULN,
		       report("2026-11-30T00:00:00Z", trivy("CVE-1", rows[i].severity, "1.1")));
		expect(r, rows[i].is_bad ? BH_WORD_VULN_THRESHOLD : BH_WORD_OK);
	}
}

static void test_grype(void **state)
{
	struct rig *r = *state;
	struct bh_image_attestation *a = demand(r, "vuln");

	a->fail_on = BH_SEVERITY_HIGH;
	attest(r, T_VULN, report("2026-11-01T00:00:00Z", grype("Critical", "not-fixed")));
	expect(r, BH_WORD_VULN_THRESHOLD);
	a->ignore_unfixed = true;
	expect(r, BH_WORD_OK);
	attest(r, T_VULN, report("2026-11-02T00:00:00Z", grype("Critical", "fixed")));
	expect(r, BH_WORD_VULN_THRESHOLD);
	attest(r, T_VULN, report("2026-11-03T00:00:00Z", grype("Negligible", "fixed")));
	expect(r, BH_WORD_OK);
}

static void test_unusable(void **state)
{
	struct rig *r = *state;

	demand(r, "vuln");
	attest(r, T_VULN, report("2026-11-01T00:00:00Z", json_object()));
	expect(r, BH_WORD_ATT_MALFORMED);
	attest(r, T_VULN, report("2026-11-02T00:00:00Z", json_string("clean")));
	expect(r, BH_WORD_ATT_MALFORMED);
	attest(r, T_VULN,
	       report("2026-11-03T00:00:00Z", json_pack("{s:[],s:[]}", "Results", "matches")));
	expect(r, BH_WORD_ATT_MALFORMED);
	attest(r, T_VULN,
	       report("2026-11-04T00:00:00Z",
		      json_pack("{s:[{s:s}]}", "Results", "Vulnerabilities", "none")));
	expect(r, BH_WORD_ATT_MALFORMED);
	attest(r, T_VULN, report("2026-11-05T00:00:00Z", json_pack("{s:[]}", "Results")));
	expect(r, BH_WORD_OK);
}

/* Whoever may push can attach an old clean report again. */
static void test_newest(void **state)
{
	struct rig *r = *state;

	demand(r, "vuln")->fail_on = BH_SEVERITY_HIGH;
	attest(r, T_VULN, report("2026-11-20T00:00:00Z", trivy("CVE-1", "HIGH", "2")));
	attest(r, T_VULN, report("2026-11-19T00:00:00Z", trivy("CVE-1", "LOW", "2")));
	expect(r, BH_WORD_VULN_THRESHOLD);
	attest(r, T_VULN, report("2026-11-21T00:00:00Z", trivy("CVE-1", "LOW", "2")));
	expect(r, BH_WORD_OK);
	/* one from the future is not valid, and so not the newest of the valid ones */
	attest(r, T_VULN, report("2027-11-21T00:00:00Z", trivy("CVE-1", "LOW", "9")));
	expect(r, BH_WORD_OK);
	/* two of the same second: the bad one */
	attest(r, T_VULN, report("2026-11-21T00:00:00Z", trivy("CVE-1", "HIGH", "3")));
	expect(r, BH_WORD_VULN_THRESHOLD);
}

static void test_age(void **state)
{
	struct rig *r = *state;
	struct bh_image_attestation *a = demand(r, "vuln");
	struct bh_image_verdict v;

	a->max_age_days = 30;
	attest(r, T_VULN, report("2026-12-01T00:05:01Z", trivy("CVE-1", "LOW", "")));
	expect(r, BH_WORD_ATT_STALE);
	attest(r, T_VULN, report("2026-10-31T23:59:59Z", trivy("CVE-1", "LOW", "")));
	expect(r, BH_WORD_ATT_STALE);
	attest(r, T_VULN, report("2026-11-01T00:00:00Z", trivy("CVE-1", "LOW", "")));
	world_judge(&r->w, r->p, &v);
	assert_int_equal(v.answer, BH_IMAGE_ACCEPT);
	assert_int_equal(v.until_s, NOW_S);
	bh_image_verdict_done(&v);
}

static void test_exceptions(void **state)
{
	struct rig *r = *state;
	struct bh_image_attestation *a = demand(r, "vuln");
	struct bh_image_exception e = {strdup("cve-2026-1"), NOW_S + 50, NULL};
	struct bh_image_verdict v;

	a->fail_on = BH_SEVERITY_LOW;
	assert_int_equal(bh_vec_push(&a->exceptions, e), 0);
	attest(r, T_VULN, report("2026-11-01T00:00:00Z", trivy("CVE-2026-1", "HIGH", "2")));
	world_judge(&r->w, r->p, &v);
	assert_int_equal(v.answer, BH_IMAGE_ACCEPT);
	assert_int_equal(v.until_s, NOW_S + 50);
	bh_image_verdict_done(&v);
	a->exceptions.v[0].until_s = NOW_S;
	expect(r, BH_WORD_VULN_THRESHOLD);
	a->exceptions.v[0].until_s = BH_TIME_MAX;
	attest(r, T_VULN, report("2026-11-02T00:00:00Z", trivy("CVE-2026-10", "HIGH", "2")));
	expect(r, BH_WORD_VULN_THRESHOLD);
}

/* Nothing but an attestation is demanded: then nobody needs to have signed. */
static void test_attestation_only(void **state)
{
	struct rig *r = *state;
	struct bh_image_verdict v;

	bh_image_signer_done(&r->p->signers.v[0]);
	r->p->signers.n = 0;
	put_layers(&r->w, r->w.sig_tag, json_array());
	demand(r, "cyclonedx");
	expect(r, BH_WORD_ATT_MISSING);
	attest(r, "https://cyclonedx.org/bom", json_object());
	world_judge(&r->w, r->p, &v);
	assert_int_equal(v.answer, BH_IMAGE_ACCEPT);
	assert_string_equal(v.signer, "att (key att.pub)");
	bh_image_verdict_done(&v);
}

/* cosign's first format: an envelope in a layer of the .att tag. */
static void test_classic(void **state)
{
	struct rig *r = *state;
	json_t *envelope =
		new_envelope(&r->w, r->attester, "https://spdx.dev/Document", json_object());
	char *text = json_dumps(envelope, 0), digest[BH_DIGEST_TEXT];

	demand(r, "spdx");
	world_add(&r->w, text, digest);
	put_layers(&r->w, r->w.att_tag,
		   json_pack("[{s:s,s:s,s:I}]", "mediaType", T_DSSE, "digest", digest, "size",
			     (json_int_t)strlen(text)));
	expect(r, BH_WORD_OK);
	/* an envelope is no signature, wherever it lies */
	put_layers(&r->w, r->w.sig_tag,
		   json_pack("[{s:s,s:s,s:I}]", "mediaType", T_DSSE, "digest", digest, "size",
			     (json_int_t)strlen(text)));
	expect(r, BH_WORD_NO_SIGNATURE);
	free(text);
	json_decref(envelope);
}

/* Whoever else has signed the same envelope is no harm there. */
static void test_classic_several(void **state)
{
	struct rig *r = *state;
	EVP_PKEY *other = new_key();
	const char *type = "https://spdx.dev/Document";
	json_t *envelope = new_envelope(&r->w, r->attester, type, json_object());
	json_t *foreign = new_envelope(&r->w, other, type, json_object());
	json_t *sigs = json_object_get(envelope, "signatures");
	json_t *sig = json_array_get(json_object_get(foreign, "signatures"), 0);

	demand(r, "spdx");
	for (int i = 0; i < 9; i++) {
		char *text = json_dumps(envelope, 0), digest[BH_DIGEST_TEXT];

		world_add(&r->w, text, digest);
		put_layers(&r->w, r->w.att_tag,
			   json_pack("[{s:s,s:s,s:I}]", "mediaType", T_DSSE, "digest", digest,
				     "size", (json_int_t)strlen(text)));
		expect(r, i < 8 ? BH_WORD_OK : BH_WORD_ATT_MISSING); /* eight are enough */
		json_array_insert(sigs, i % 2 ? json_array_size(sigs) : 0, sig);
		free(text);
	}
	json_decref(envelope);
	json_decref(foreign);
	EVP_PKEY_free(other);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, drop_rig)
	const struct CMUnitTest tests[] = {
		T(test_missing),
		T(test_attester_is_no_signer),
		T(test_builder),
		T(test_builder_v02),
		T(test_severity),
		T(test_grype),
		T(test_unusable),
		T(test_newest),
		T(test_age),
		T(test_exceptions),
		T(test_classic),
		T(test_attestation_only),
		T(test_classic_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* verify_world.h - for tests of image verification: a registry in memory that can be told to fail,
 * and signatures made with keys of the test's own. */
#pragma once

#include "bh_test.h"

#include <errno.h>
#include <jansson.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/map.h"
#include "base/str.h"
#include "verify/bytes.h"
#include "verify/verify.h"

#define T_BUNDLE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define T_SIMPLE "application/vnd.dev.cosign.simplesigning.v1+json"
#define T_DSSE	 "application/vnd.dsse.envelope.v1+json"
#define T_SIGN	 "https://sigstore.dev/cosign/sign/v1"
#define NOW_S	 1796083200 /* 2026-12-01 */

struct world {
	struct bh_map things; /* tag or digest > struct bh_blob * */
	json_t *referrers;    /* digests; NULL: there is no such interface */
	size_t per_page;
	char digest[BH_DIGEST_TEXT]; /* of the image */
	char sig_tag[BH_DIGEST_TEXT], att_tag[BH_DIGEST_TEXT], list_tag[BH_DIGEST_TEXT];
	const char *fail_on; /* a part of the name of what fails */
	enum bh_fetch failure;
	enum bh_image_word word;
	size_t n_asked;
	struct bh_image_source source;
};

static inline void thing_free(void *p)
{
	bh_blob_done(p);
	free(p);
}

static inline void world_put(struct world *w, const char *name, const void *bytes, size_t n)
{
	struct bh_blob *b = calloc(1, sizeof(*b));

	assert_int_equal(bh_blob_copy(bytes, n, b), 0);
	assert_int_equal(bh_map_set_s(&w->things, name, b), 0);
}

/* Stores under its digest; ret_digest may be NULL. */
static inline void world_add(struct world *w, const char *text, char *ret_digest)
{
	char digest[BH_DIGEST_TEXT];

	assert_true(bh_digest_of(text, strlen(text), digest));
	world_put(w, digest, text, strlen(text));
	if (ret_digest)
		memcpy(ret_digest, digest, sizeof(digest));
}

static inline enum bh_fetch world_get(struct world *w, const char *name, size_t limit,
				      struct bh_blob *ret, struct bh_fetch_why *why)
{
	const struct bh_blob *b = bh_map_get_s(&w->things, name);

	w->n_asked++;
	if (w->fail_on && strstr(name, w->fail_on)) {
		why->word = w->word;
		bh_fail(&why->err, EIO, "told to fail");
		return w->failure;
	}
	if (!b)
		return BH_FETCH_ABSENT;
	if (b->n > limit) {
		why->word = BH_WORD_TOO_LARGE;
		bh_fail(&why->err, EFBIG, "too large");
		return BH_FETCH_REFUSED;
	}
	assert_int_equal(bh_blob_copy(b->v, b->n, ret), 0);
	return BH_FETCH_FOUND;
}

static inline enum bh_fetch world_thing(void *ctx, const char *name, size_t limit,
					struct bh_blob *ret, struct bh_fetch_why *why)
{
	return world_get(ctx, name, limit, ret, why);
}

static inline enum bh_fetch world_referrers(void *ctx, const char *digest, unsigned int page,
					    struct bh_blob *ret, bool *ret_more,
					    struct bh_fetch_why *why)
{
	struct world *w = ctx;
	json_t *list = json_array(), *index;
	size_t end = (page + 1) * w->per_page;

	(void)digest;
	w->n_asked++;
	if (w->fail_on && !strcmp(w->fail_on, "referrers")) {
		json_decref(list);
		why->word = w->word;
		bh_fail(&why->err, EIO, "told to fail");
		return w->failure;
	}
	if (!w->referrers) {
		json_decref(list);
		return BH_FETCH_ABSENT;
	}
	for (size_t i = page * w->per_page; i < end && i < json_array_size(w->referrers); i++)
		json_array_append_new(
			list, json_pack("{s:O}", "digest", json_array_get(w->referrers, i)));
	index = json_pack("{s:o}", "manifests", list);
	ret->v = (unsigned char *)json_dumps(index, 0);
	ret->n = strlen((char *)ret->v);
	*ret_more = end < json_array_size(w->referrers);
	json_decref(index);
	return BH_FETCH_FOUND;
}

static inline void dash(const char *digest, const char *suffix, char *ret)
{
	snprintf(ret, BH_DIGEST_TEXT, "%.71s%s", digest, suffix);
	ret[6] = '-';
}

static inline void world_open(struct world *w)
{
	*w = (struct world){.per_page = 2, .referrers = json_array()};
	bh_map_init(&w->things, thing_free);
	world_add(w, "{\"schemaVersion\":2,\"layers\":[]}", w->digest);
	world_put(w, "v1", "{\"schemaVersion\":2,\"layers\":[]}", 31);
	dash(w->digest, ".sig", w->sig_tag);
	dash(w->digest, ".att", w->att_tag);
	dash(w->digest, "", w->list_tag);
	w->source = (struct bh_image_source){
		.ctx = w,
		.name = "memory",
		.manifest = world_thing,
		.blob = world_thing,
		.referrers = world_referrers,
	};
}

static inline void world_close(struct world *w)
{
	bh_map_done(&w->things);
	json_decref(w->referrers);
}

/* ---- keys and signatures ---- */

static inline EVP_PKEY *new_key(void)
{
	return EVP_EC_gen("P-256");
}

static inline struct bh_blob key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct bh_blob ret;
	char *text;
	long n;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	n = BIO_get_mem_data(bio, &text);
	assert_int_equal(bh_blob_copy(text, (size_t)n, &ret), 0);
	BIO_free(bio);
	return ret;
}

/* base64 of an ECDSA-SHA256 signature; the caller frees it. */
static inline char *sign_b64(EVP_PKEY *key, const void *bytes, size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[256];
	size_t n_sig = sizeof(sig);

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n_sig, bytes, n), 1);
	EVP_MD_CTX_free(ctx);
	return bh_b64_encode(sig, n_sig);
}

/* A layer of the .sig manifest; appended to `layers`. */
static inline void add_classic(struct world *w, json_t *layers, EVP_PKEY *key)
{
	char *payload =
		bh_strf("{\"critical\":{\"identity\":{\"docker-reference\":\"r.test/a\"},"
			"\"image\":{\"docker-manifest-digest\":\"%s\"},\"type\":"
			"\"cosign container image signature\"},\"optional\":{\"n\":\"%zu\"}}",
			w->digest, json_array_size(layers));
	char *sig = sign_b64(key, payload, strlen(payload)), digest[BH_DIGEST_TEXT];

	world_add(w, payload, digest);
	json_array_append_new(layers,
			      json_pack("{s:s,s:s,s:I,s:{s:s}}", "mediaType", T_SIMPLE, "digest",
					digest, "size", (json_int_t)strlen(payload), "annotations",
					"dev.cosignproject.cosign/signature", sig));
	free(sig);
	free(payload);
}

/* Puts the layers under a tag. Takes `layers`. */
static inline void put_layers(struct world *w, const char *tag, json_t *layers)
{
	json_t *manifest = json_pack("{s:i,s:o}", "schemaVersion", 2, "layers", layers);
	char *text = json_dumps(manifest, JSON_COMPACT);

	world_put(w, tag, text, strlen(text));
	free(text);
	json_decref(manifest);
}

/* A DSSE envelope around a statement about the image. Takes `predicate`. */
static inline json_t *new_envelope(const struct world *w, EVP_PKEY *key, const char *type,
				   json_t *predicate)
{
	json_t *statement = json_pack("{s:s,s:[{s:{s:s},s:{s:s}}],s:s,s:o}", "_type",
				      "https://in-toto.io/Statement/v1", "subject", "digest",
				      "sha256", w->digest + 7, "annotations", "env", "prod",
				      "predicateType", type, "predicate", predicate);
	char *text = json_dumps(statement, JSON_COMPACT);
	char *b64 = bh_b64_encode(text, strlen(text));
	char *pae = bh_strf("DSSEv1 28 application/vnd.in-toto+json %zu %s", strlen(text), text);
	char *sig = sign_b64(key, pae, strlen(pae));
	json_t *envelope =
		json_pack("{s:s,s:s,s:[{s:s}]}", "payloadType", "application/vnd.in-toto+json",
			  "payload", b64, "signatures", "sig", sig);

	json_decref(statement);
	free(text);
	free(b64);
	free(pae);
	free(sig);
	return envelope;
}

/* Attaches a bundle to the image. Takes `predicate`. */
static inline void add_bundle(struct world *w, EVP_PKEY *key, const char *type, json_t *predicate)
{
	json_t *bundle = json_pack("{s:s,s:{s:{s:s}},s:o}", "mediaType", T_BUNDLE,
				   "verificationMaterial", "publicKey", "hint", "", "dsseEnvelope",
				   new_envelope(w, key, type, predicate));
	char *text = json_dumps(bundle, JSON_COMPACT), digest[BH_DIGEST_TEXT], *manifest;

	world_add(w, text, digest);
	manifest = bh_strf("{\"layers\":[{\"mediaType\":\"" T_BUNDLE
			   "\",\"digest\":\"%s\",\"size\":%zu}]}",
			   digest, strlen(text));
	world_add(w, manifest, digest);
	json_array_append_new(w->referrers, json_string(digest));
	free(manifest);
	free(text);
	json_decref(bundle);
}

/* ---- policies ---- */

static inline struct bh_image_signer key_signer(const char *name, EVP_PKEY *key)
{
	struct bh_image_signer s = {.name = strdup(name), .kind = BH_IMAGE_KEYS};
	struct bh_image_key k = {.file = bh_strf("%s.pub", name),
				 .not_before_s = BH_TIME_MIN,
				 .not_after_s = BH_TIME_MAX};

	k.pem = key_pem(key);
	assert_int_equal(bh_vec_push(&s.keys, k), 0);
	return s;
}

static inline struct bh_image_policy *key_policy(EVP_PKEY *key)
{
	struct bh_image_policy *p = bh_image_policy_new();

	assert_int_equal(bh_vec_push(&p->signers, key_signer("one", key)), 0);
	return p;
}

/* Judges the image by its digest; the caller ends the verdict. */
static inline void world_judge(struct world *w, const struct bh_image_policy *p,
			       struct bh_image_verdict *ret)
{
	char *reference = bh_strf("r.test/a@%s", w->digest);
	struct bh_image_query q = {.reference = reference, .image = &w->source, .now_s = NOW_S};
	struct bh_image_rules *rules;
	struct bh_err err;

	bh_assert_ok(&err, bh_image_rules_new(p, &rules, &err));
	w->n_asked = 0;
	bh_image_verify(rules, &q, ret);
	bh_image_rules_free(rules);
	free(reference);
}

/* Answer and word must be these. */
static inline void world_expect(struct world *w, const struct bh_image_policy *p,
				enum bh_image_answer answer, enum bh_image_word word)
{
	struct bh_image_verdict v;

	world_judge(w, p, &v);
	if (v.answer != answer || v.word != word) {
		bh_vec_each (c, &v.checks)
			print_message("  %s %s: %s\n", c->ok ? "ok" : "BAD", c->name, c->detail);
		fail_msg("answer %d '%s', want %d '%s'", v.answer, bh_image_word_text(v.word),
			 answer, bh_image_word_text(word));
	}
	bh_image_verdict_done(&v);
}

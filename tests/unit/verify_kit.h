/* verify_kit.h - for tests of image verification: an OCI layout directory as a source, and policies
 * as the signature vectors write them. */
#pragma once

#include "bh_test.h"

#include <jansson.h>

#include "base/fs.h"
#include "base/str.h"
#include "verify/bytes.h"
#include "verify/verify.h"

#define KIT_MAX_FILE (64u << 20)

/* ---- a directory with an OCI layout ---- */

struct kit_layout {
	char *dir;
	json_t *index;
	struct bh_image_source source;
};

static inline bool kit_read(const char *path, struct bh_blob *ret)
{
	struct bh_err err;
	char *text;
	size_t n;

	if (bh_fs_read(path, KIT_MAX_FILE, &text, &n, &err))
		return false;
	*ret = (struct bh_blob){(unsigned char *)text, n};
	return true;
}

static inline enum bh_fetch kit_blob(void *ctx, const char *digest, size_t limit,
				     struct bh_blob *ret, struct bh_fetch_why *why)
{
	struct kit_layout *l = ctx;
	char *path = bh_strf("%s/blobs/%.6s/%s", l->dir, digest, digest + 7);
	bool is_there = kit_read(path, ret);

	free(path);
	if (is_there && ret->n > limit) {
		bh_blob_done(ret);
		why->word = BH_WORD_TOO_LARGE;
		bh_fail(&why->err, EFBIG, "too large");
		return BH_FETCH_REFUSED;
	}
	return is_there ? BH_FETCH_FOUND : BH_FETCH_ABSENT;
}

static inline enum bh_fetch kit_manifest(void *ctx, const char *reference, size_t limit,
					 struct bh_blob *ret, struct bh_fetch_why *why)
{
	struct kit_layout *l = ctx;
	size_t i;
	json_t *m;

	if (strchr(reference, ':'))
		return kit_blob(ctx, reference, limit, ret, why);
	json_array_foreach(json_object_get(l->index, "manifests"), i, m)
	{
		const char *tag = json_string_value(json_object_get(
			json_object_get(m, "annotations"), "org.opencontainers.image.ref.name"));

		if (tag && !strcmp(tag, reference))
			return kit_blob(ctx, json_string_value(json_object_get(m, "digest")), limit,
					ret, why);
	}
	return BH_FETCH_ABSENT;
}

/* The entry of a manifest whose subject is `digest`; NULL otherwise. */
static inline json_t *kit_referrer(struct kit_layout *l, const json_t *entry, const char *digest)
{
	const char *own = json_string_value(json_object_get(entry, "digest")), *subject;
	struct bh_fetch_why why;
	struct bh_blob bytes;
	json_t *manifest, *ret = NULL;

	if (kit_blob(l, own, KIT_MAX_FILE, &bytes, &why) != BH_FETCH_FOUND)
		return NULL;
	manifest = json_loadb((char *)bytes.v, bytes.n, 0, NULL);
	subject =
		json_string_value(json_object_get(json_object_get(manifest, "subject"), "digest"));
	if (subject && !strcmp(subject, digest))
		ret = json_pack("{s:s}", "digest", own);
	json_decref(manifest);
	bh_blob_done(&bytes);
	return ret;
}

static inline enum bh_fetch kit_referrers(void *ctx, const char *digest, unsigned int page,
					  struct bh_blob *ret, bool *ret_more,
					  struct bh_fetch_why *why)
{
	struct kit_layout *l = ctx;
	json_t *list = json_array(), *index = json_pack("{s:o}", "manifests", list), *m;
	size_t i;

	(void)page;
	(void)why;
	json_array_foreach(json_object_get(l->index, "manifests"), i, m)
	{
		json_t *entry = kit_referrer(l, m, digest);

		if (entry)
			json_array_append_new(list, entry);
	}
	ret->v = (unsigned char *)json_dumps(index, 0);
	ret->n = strlen((char *)ret->v);
	*ret_more = false;
	json_decref(index);
	return BH_FETCH_FOUND;
}

static inline enum bh_fetch kit_no_referrers(void *ctx, const char *digest, unsigned int page,
					     struct bh_blob *ret, bool *ret_more,
					     struct bh_fetch_why *why)
{
	(void)ctx;
	(void)digest;
	(void)page;
	(void)ret;
	(void)ret_more;
	(void)why;
	return BH_FETCH_ABSENT;
}

static inline void kit_open(struct kit_layout *l, char *take_dir, bool has_referrers)
{
	char *path = bh_strf("%s/index.json", take_dir);

	*l = (struct kit_layout){.dir = take_dir};
	l->index = json_load_file(path, 0, NULL);
	assert_non_null(l->index);
	free(path);
	l->source = (struct bh_image_source){
		.ctx = l,
		.name = "layout",
		.manifest = kit_manifest,
		.blob = kit_blob,
		.referrers = has_referrers ? kit_referrers : kit_no_referrers,
	};
}

static inline void kit_close(struct kit_layout *l)
{
	json_decref(l->index);
	free(l->dir);
}

/* ---- policies ---- */

struct kit_files {
	const char *dir; /* names in the policy are relative to it */
};

static inline char *kit_text(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text ? strdup(text) : NULL;
}

static inline struct bh_blob kit_file(const struct kit_files *f, const char *name)
{
	char *path = bh_strf("%s/%s", f->dir, name);
	struct bh_blob ret = {0};

	if (!kit_read(path, &ret))
		fail_msg("cannot read %s", path);
	free(path);
	return ret;
}

static inline int64_t kit_time(const json_t *obj, const char *key, int64_t otherwise);

static inline void kit_keys(const struct kit_files *f, const json_t *list,
			    struct bh_image_signer *s)
{
	size_t i;
	json_t *j;

	s->kind = BH_IMAGE_KEYS;
	json_array_foreach(list, i, j)
	{
		struct bh_image_key key = {
			.file = kit_text(j, "key"),
			.not_before_s = kit_time(j, "notBefore", BH_TIME_MIN),
			.not_after_s = kit_time(j, "notAfter", BH_TIME_MAX),
		};

		key.pem = kit_file(f, key.file);
		assert_int_equal(bh_vec_push(&s->keys, key), 0);
	}
}

static inline void kit_pairs(const json_t *obj, struct bh_image_pairs *ret)
{
	const char *key;
	json_t *j;

	json_object_foreach((json_t *)obj, key, j)
	{
		struct bh_image_pair pair = {strdup(key), strdup(json_string_value(j))};

		assert_int_equal(bh_vec_push(ret, pair), 0);
	}
}

static inline void kit_identities(const json_t *p, struct bh_image_signer *s)
{
	size_t i;
	json_t *j;

	s->kind = BH_IMAGE_KEYLESS;
	s->trust_root = strdup("root");
	json_array_foreach(json_object_get(p, "identities"), i, j)
	{
		struct bh_image_identity id = {
			.issuer = kit_text(j, "issuer"),
			.subject = kit_text(j, "subject"),
			.subject_regex = kit_text(j, "subjectRegex"),
		};

		kit_pairs(json_object_get(p, "extensions"), &id.extensions);
		assert_int_equal(bh_vec_push(&s->identities, id), 0);
	}
}

static inline void kit_notation(const struct kit_files *f, const json_t *p,
				struct bh_image_signer *s)
{
	size_t i;
	json_t *j;

	s->kind = BH_IMAGE_NOTATION;
	s->roots_file = kit_text(p, "trustStore");
	s->roots = kit_file(f, s->roots_file);
	json_array_foreach(json_object_get(p, "trustedIdentities"), i, j) assert_int_equal(
		bh_vec_push(&s->trusted_identities, strdup(json_string_value(j))), 0);
}

static inline struct bh_image_signer kit_signer(const struct kit_files *f, const json_t *p,
						const json_t *require)
{
	struct bh_image_signer s = {.name = strdup("signer")};
	json_t *ca = json_object_get(p, "ca");

	if (json_object_get(p, "keys"))
		kit_keys(f, json_object_get(p, "keys"), &s);
	if (json_object_get(p, "identities"))
		kit_identities(p, &s);
	if (json_object_get(p, "notation"))
		kit_notation(f, json_object_get(p, "notation"), &s);
	if (ca) {
		s.kind = BH_IMAGE_CERTIFICATES;
		s.roots_file = kit_text(ca, "roots");
		s.roots = kit_file(f, s.roots_file);
		s.subject = kit_text(ca, "subject");
	}
	s.require.tlog = json_is_true(json_object_get(require, "tlog"));
	s.require.timestamp = json_is_true(json_object_get(require, "timestamp"));
	s.require.sct = json_is_true(json_object_get(require, "sct")) && s.kind == BH_IMAGE_KEYLESS;
	s.signed_repository = kit_text(p, "signedRepository");
	kit_pairs(json_object_get(p, "annotations"), &s.annotations);
	return s;
}

static inline enum bh_severity kit_severity(const char *text)
{
	static const char *const names[] = {"", "UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"};

	for (size_t i = 1; text && i < BH_ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i]))
			return (enum bh_severity)i;
	return BH_SEVERITY_NONE;
}

static inline struct bh_image_attestation kit_attestation(const struct kit_files *f,
							  const json_t *j, const json_t *require)
{
	struct bh_image_attestation a = {
		.type = kit_text(j, "predicateType"),
		.builder_id = kit_text(j, "builderId"),
		.fail_on = kit_severity(json_string_value(json_object_get(j, "maxSeverity"))),
		.max_age_days = (uint32_t)json_integer_value(json_object_get(j, "maxAgeDays")),
		.ignore_unfixed = json_is_true(json_object_get(j, "ignoreUnfixed")),
	};
	size_t i;
	json_t *id;

	assert_int_equal(bh_vec_push(&a.signers, kit_signer(f, j, require)), 0);
	json_array_foreach(json_object_get(j, "exceptions"), i, id)
	{
		struct bh_image_exception e = {
			.id = strdup(json_string_value(id)),
			.until_s = BH_TIME_MAX,
		};

		assert_int_equal(bh_vec_push(&a.exceptions, e), 0);
	}
	return a;
}

static inline bool kit_has_signer(const json_t *p)
{
	return json_object_get(p, "keys") || json_object_get(p, "identities") ||
	       json_object_get(p, "notation") || json_object_get(p, "ca");
}

/* The policy object of a vector; files are relative to `dir`. The caller frees it. */
static inline struct bh_image_policy *kit_policy(const char *dir, const json_t *j)
{
	struct bh_image_policy *p = bh_image_policy_new();
	const json_t *require = json_object_get(j, "require");
	struct kit_files f = {dir};
	size_t i;
	json_t *att;

	assert_non_null(p);
	if (json_object_get(j, "trusted_root")) {
		struct bh_image_trust_root root = {
			strdup("root"), kit_text(j, "trusted_root"), {0}};

		root.json = kit_file(&f, root.file);
		assert_int_equal(bh_vec_push(&p->trust_roots, root), 0);
	}
	if (kit_has_signer(j))
		assert_int_equal(bh_vec_push(&p->signers, kit_signer(&f, j, require)), 0);
	p->threshold = (uint32_t)json_integer_value(json_object_get(j, "threshold"));
	json_array_foreach(json_object_get(j, "attestations"), i, att) assert_int_equal(
		bh_vec_push(&p->attestations, kit_attestation(&f, att, require)), 0);
	return p;
}

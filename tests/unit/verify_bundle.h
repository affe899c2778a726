/* verify_bundle.h - a rig for tests of keyless signatures: a registry, a small sigstore, a policy
 * that trusts it, and one bundle that is bent as the rig says. */
#pragma once

#include "verify_log.h"

struct rig {
	struct world w;
	struct pki pki;
	struct bh_image_policy *p;
	struct leaf_knobs leaf;
	const char *kind; /* of the log entry; NULL: none */
	bool is_v2;
	int64_t logged_s;
	int64_t stamps_s[2]; /* 0: none */
	bool stamps_payload; /* over the wrong bytes */
	X509 *entry_leaf;    /* the certificate in the entry, when it is another */
	bool has_key;	     /* signed with a plain key that the policy names */
	json_t *bundle;
};

static inline struct bh_image_signer keyless_signer(void)
{
	struct bh_image_signer s = {
		.name = strdup("ci"),
		.kind = BH_IMAGE_KEYLESS,
		.trust_root = strdup("test"),
		.require = {.tlog = true, .sct = true},
	};
	struct bh_image_identity id = {.issuer = strdup(ISSUER), .subject = strdup(SUBJECT)};

	assert_int_equal(bh_vec_push(&s.identities, id), 0);
	return s;
}

static inline int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct bh_image_trust_root root = {strdup("test"), strdup("test.json"), {0}};

	world_open(&r->w);
	pki_open(&r->pki);
	r->p = bh_image_policy_new();
	root.json.v = (unsigned char *)trusted_root(&r->pki);
	root.json.n = strlen((char *)root.json.v);
	assert_int_equal(bh_vec_push(&r->p->trust_roots, root), 0);
	assert_int_equal(bh_vec_push(&r->p->signers, keyless_signer()), 0);
	r->kind = "dsse";
	r->logged_s = SIGNED_S;
	*state = r;
	return 0;
}

static inline int drop_rig(void **state)
{
	struct rig *r = *state;

	world_close(&r->w);
	pki_close(&r->pki);
	bh_image_policy_free(r->p);
	json_decref(r->bundle);
	free(r);
	return 0;
}

/* ---- one signature, bent as the rig says ---- */

static inline json_t *make_stamps(struct rig *r, const char *sig_b64, const char *payload)
{
	json_t *list = json_array();
	struct bh_blob sig;

	assert_int_equal(bh_b64_decode(sig_b64, strlen(sig_b64), &sig), 0);
	for (int i = 0; i < 2; i++) {
		json_t *der;

		if (!r->stamps_s[i])
			continue;
		der = r->stamps_payload ? stamp(&r->pki, payload, strlen(payload), r->stamps_s[i])
					: stamp(&r->pki, sig.v, sig.n, r->stamps_s[i]);
		json_array_append_new(list, json_pack("{s:o}", "signedTimestamp", der));
	}
	bh_blob_done(&sig);
	return json_pack("{s:o}", "rfc3161Timestamps", list);
}

static inline json_t *make_entries(struct rig *r, const struct logged *l)
{
	json_t *list = json_array();

	if (r->kind)
		json_array_append_new(list, entry_json(&r->pki, r->kind, r->is_v2, l, r->logged_s));
	return list;
}

/* The bundle in r->bundle, not yet attached. */
static inline void sign_bundle(struct rig *r)
{
	X509 *leaf = new_leaf(&r->pki, &r->leaf);
	json_t *envelope = new_envelope(&r->w, r->pki.leaf_key, T_SIGN, json_object());
	const char *b64 = json_string_value(json_object_get(envelope, "payload"));
	const char *sig = json_string_value(
		json_object_get(json_array_get(json_object_get(envelope, "signatures"), 0), "sig"));
	struct bh_blob payload;
	struct logged l = {.sig_b64 = sig};
	char *pae, *text;
	json_t *material;

	assert_int_equal(bh_b64_decode(b64, strlen(b64), &payload), 0);
	text = strndup((char *)payload.v, payload.n);
	pae = bh_strf("DSSEv1 28 application/vnd.in-toto+json %zu %s", payload.n, text);
	l.message = pae;
	l.n_message = strlen(pae);
	l.payload = payload.v;
	l.n_payload = payload.n;
	l.leaf = r->has_key ? NULL : r->entry_leaf ? r->entry_leaf : leaf;
	l.key = r->pki.leaf_key;
	material = json_pack("{s:o,s:o}", "tlogEntries", make_entries(r, &l),
			     "timestampVerificationData", make_stamps(r, sig, text));
	if (r->has_key)
		json_object_set_new(material, "publicKey", json_object());
	else
		json_object_set_new(material, "certificate", cert_json(leaf));
	r->bundle = json_pack("{s:s,s:o,s:o}", "mediaType", T_BUNDLE, "verificationMaterial",
			      material, "dsseEnvelope", envelope);
	free(pae);
	free(text);
	bh_blob_done(&payload);
	X509_free(leaf);
}

static inline void attach(struct rig *r)
{
	char *text = json_dumps(r->bundle, JSON_COMPACT), digest[BH_DIGEST_TEXT], *manifest;

	world_add(&r->w, text, digest);
	manifest = bh_strf("{\"layers\":[{\"mediaType\":\"" T_BUNDLE
			   "\",\"digest\":\"%s\",\"size\":%zu}]}",
			   digest, strlen(text));
	world_add(&r->w, manifest, digest);
	json_array_append_new(r->w.referrers, json_string(digest));
	free(manifest);
	free(text);
}

static inline void expect(struct rig *r, enum bh_image_word word)
{
	sign_bundle(r);
	attach(r);
	world_expect(&r->w, r->p, word ? BH_IMAGE_REJECT : BH_IMAGE_ACCEPT, word);
}

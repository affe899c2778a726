#include "verify/image_policy.h"

#include "base/own.h"

void bh_blob_done(struct bh_blob *b)
{
	free(b->v);
	b->v = NULL;
	b->n = 0;
}

void bh_image_strings_done(struct bh_image_strings *s)
{
	bh_vec_each (text, s)
		free(*text);
	bh_vec_done(s);
}

static void pairs_done(struct bh_image_pairs *pairs)
{
	bh_vec_each (pair, pairs) {
		free(pair->key);
		free(pair->value);
	}
	bh_vec_done(pairs);
}

static void identity_done(struct bh_image_identity *id)
{
	free(id->issuer);
	free(id->issuer_regex);
	free(id->subject);
	free(id->subject_regex);
	pairs_done(&id->extensions);
}

void bh_image_signer_done(struct bh_image_signer *s)
{
	free(s->name);
	bh_vec_each (key, &s->keys) {
		free(key->file);
		bh_blob_done(&key->pem);
	}
	bh_vec_done(&s->keys);
	free(s->trust_root);
	bh_vec_each (id, &s->identities)
		identity_done(id);
	bh_vec_done(&s->identities);
	free(s->roots_file);
	bh_blob_done(&s->roots);
	free(s->subject);
	bh_image_strings_done(&s->trusted_identities);
	pairs_done(&s->annotations);
	free(s->signed_repository);
}

static void signers_done(struct bh_image_signers *signers)
{
	bh_vec_each (s, signers)
		bh_image_signer_done(s);
	bh_vec_done(signers);
}

void bh_image_attestation_done(struct bh_image_attestation *a)
{
	free(a->type);
	signers_done(&a->signers);
	free(a->builder_id);
	bh_vec_each (e, &a->exceptions) {
		free(e->id);
		free(e->why);
	}
	bh_vec_done(&a->exceptions);
}

struct bh_image_policy *bh_image_policy_new(void)
{
	return calloc(1, sizeof(struct bh_image_policy));
}

void bh_image_policy_free(struct bh_image_policy *p)
{
	if (!p)
		return;
	free(p->name);
	free(p->origin);
	bh_image_strings_done(&p->match.namespaces);
	bh_image_strings_done(&p->match.images);
	bh_image_strings_done(&p->match.exclude);
	bh_image_strings_done(&p->insecure_registries);
	free(p->signature_store);
	free(p->signature_repository);
	bh_vec_each (root, &p->trust_roots) {
		free(root->name);
		free(root->file);
		bh_blob_done(&root->json);
	}
	bh_vec_done(&p->trust_roots);
	signers_done(&p->signers);
	bh_vec_each (a, &p->attestations)
		bh_image_attestation_done(a);
	bh_vec_done(&p->attestations);
	free(p);
}

void bh_image_policy_freep(struct bh_image_policy **p)
{
	bh_image_policy_free(*p);
	*p = NULL;
}

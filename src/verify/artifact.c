#include "verify/artifact.h"

#include <string.h>

#include "base/own.h"
#include "verify/bundle.h"
#include "verify/judge.h"
#include "verify/ref.h"
#include "verify/statement.h"

static int check_content(const struct bh_evidence *ev, const char *digest, struct bh_flaw *flaw)
{
	struct bh_statement s;
	int r;

	if (ev->content == BH_CONTENT_MESSAGE)
		return bh_message_check(ev, flaw);
	r = bh_statement_read(ev, digest, &s, flaw);
	if (!r)
		bh_statement_done(&s);
	return r;
}

/* The bytes, or their hash in their place. */
static int read_bundle(const struct bh_artifact *a, const char *digest, struct bh_evidence **ret,
		       struct bh_flaw *flaw)
{
	unsigned char hash[BH_SHA256_LEN];
	struct bh_blob known = {hash, sizeof(hash)};
	int r;

	if (bh_hex_decode(digest + strlen("sha256:"), sizeof(hash), hash))
		return bh_flaw(flaw, BH_WORD_REFERENCE, "'%s' is no SHA-256", digest);
	r = bh_bundle_read(a->bundle, a->bytes ? a->bytes : &known, ret, flaw);
	if (!r)
		(*ret)->is_hash = !a->bytes && (*ret)->content == BH_CONTENT_MESSAGE;
	return r;
}

static int judge(const struct bh_signer_rule *signer, const struct bh_evidence *ev, int64_t now_s,
		 struct bh_signed_by *ret, struct bh_flaw *flaw)
{
	int r = bh_judge(ev, signer, now_s, ret, flaw);

	if (!r && ret->vouched.n_logs != ev->n_tlog && signer->n_trusts) {
		bh_signed_by_done(ret);
		return bh_flaw(flaw, BH_WORD_TLOG_BODY, "one of its log entries is not good");
	}
	return r;
}

int bh_artifact_verify(const struct bh_image_rules *rules, const struct bh_artifact *a,
		       char **ret_who, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = NULL;
	struct bh_signed_by by = {.who = NULL};
	char digest[BH_DIGEST_TEXT];
	int r;

	if (a->bytes ? !bh_digest_of(a->bytes->v, a->bytes->n, digest)
		     : strlen(a->digest) >= sizeof(digest) || strncmp(a->digest, "sha256:", 7))
		return bh_flaw(flaw, BH_WORD_REFERENCE, "the artifact has no SHA-256");
	if (!a->bytes)
		memcpy(digest, a->digest, strlen(a->digest) + 1);
	r = read_bundle(a, digest, &ev, flaw);
	if (!r)
		r = judge(&rules->signers.v[0], ev, a->now_s, &by, flaw);
	if (!r)
		r = check_content(ev, digest, flaw);
	if (!r)
		*ret_who = BH_TAKE(by.who);
	bh_signed_by_done(&by);
	return r;
}

/* artifact.h - one sigstore bundle about one file: what the conformance tests of sigstore ask
 * (github.com/sigstore/sigstore-conformance docs/cli_protocol.md). Images are verify.h's. */
#pragma once

#include "verify/flaw.h"
#include "verify/verify.h"

struct bh_artifact {
	const struct bh_blob *bundle; /* its JSON */
	const struct bh_blob *bytes;  /* of the artifact; NULL: only the digest is known */
	const char *digest;	      /* "sha256:<hex>"; not used with bytes */
	int64_t now_s;
};

/* By the first signer of the rules. In a DSSE envelope the artifact must be a subject of the
 * statement, whatever its predicate. What the bundle brings from logs must be good, also where the
 * policy does not demand it. 0 and *ret_who, the caller's; else the flaw. */
int bh_artifact_verify(const struct bh_image_rules *rules, const struct bh_artifact *a,
		       char **ret_who, struct bh_flaw *flaw);

/* source.h - what verification asks of the world: bytes of manifests, blobs and lists of referrers.
 *
 * Verification is pure, so whoever has a registry client or a directory with an OCI layout fills in
 * these callbacks. A source needs to promise nothing about the bytes: verification hashes what it
 * was given and believes no header, size or annotation. What a source must do is to keep apart "it
 * is not there" from "I could not find out", to stop at the limit, and to keep to its deadline.
 *
 * Every digest handed to a callback has been checked against the digest grammar before. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "verify/word.h"

/* Bytes on the heap. The owner frees v; an empty blob may have v NULL. */
struct bh_blob {
	unsigned char *v;
	size_t n;
};

void bh_blob_done(struct bh_blob *b);

enum bh_fetch {
	BH_FETCH_FOUND,
	BH_FETCH_ABSENT,  /* the other side says with authority that there is no such thing (404) */
	BH_FETCH_REFUSED, /* what it sent broke a rule of ours (too large, too many): a REJECT */
	BH_FETCH_FAULT,	  /* nobody knows (5xx, 401, time-out, no connection): an UNDECIDED */
};

/* Why a callback did not answer FOUND. Filled in for ABSENT too where there is something to say. */
struct bh_fetch_why {
	enum bh_image_word word; /* FAULT: REGISTRY, AUTH, TIMEOUT, REDIRECT; REFUSED: TOO_LARGE,
				    TOO_MANY */
	struct bh_err err;	 /* the sentence */
};

/* ret_* is written only with FOUND and then belongs to the caller. `limit` is in bytes: one byte
 * more is REFUSED "too-large". */
struct bh_image_source {
	void *ctx;
	const char *name; /* for the list of checks: "127.0.0.1:5000/app", "layout /srv/sig" */
	/* GET /v2/<repository>/manifests/<reference>; reference: a tag or a digest. An answer that
	 * is a web page and no manifest (text/html) is FAULT "registry". */
	enum bh_fetch (*manifest)(void *ctx, const char *reference, size_t limit,
				  struct bh_blob *ret_bytes, struct bh_fetch_why *why);
	/* GET /v2/<repository>/blobs/<digest> */
	enum bh_fetch (*blob)(void *ctx, const char *digest, size_t limit,
			      struct bh_blob *ret_bytes, struct bh_fetch_why *why);
	/* GET /v2/<repository>/referrers/<digest>: page 0, then 1 and so on while *ret_more; the
	 * source keeps the link to the next page. Each page is the JSON of an OCI index. ABSENT on
	 * page 0: there is no such interface, and verification asks for the fallback tag itself. */
	enum bh_fetch (*referrers)(void *ctx, const char *digest, unsigned int page,
				   struct bh_blob *ret_bytes, bool *ret_more,
				   struct bh_fetch_why *why);
};

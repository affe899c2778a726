/* ref.h - image references and digests: the grammar, before anything is made of them.
 *
 * registry.example:5000/team/app:v1@sha256:<64 hex>. A name without a dot, colon or "localhost" in
 * its first part belongs to docker.io, and a single name there lives below library/. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define BH_REF_MAX 1024

struct bh_image_ref {
	char registry[256];   /* host or host:port; docker.io for Docker Hub */
	char repository[256]; /* library/nginx */
	char tag[129];	  /* "latest" when neither tag nor digest is given, "" with a digest only */
	char digest[136]; /* "" when there is none */
};

/* true for sha256:<64 lower-case hex> and sha512:<128 lower-case hex> and nothing else. */
bool bh_digest_ok(const char *text);

/* true for a tag: [A-Za-z0-9_][A-Za-z0-9._-]{0,127}. */
bool bh_tag_ok(const char *text);

/* true for host, host:port, [v6] and [v6]:port. */
bool bh_registry_ok(const char *text);

/* -EINVAL with a sentence when text is no reference. */
int bh_image_ref_parse(const char *text, struct bh_image_ref *ret, struct bh_err *err);

/* true for a name without a registry in front ("nginx", "team/app:v1"), whatever else is wrong. */
bool bh_image_ref_is_short(const char *text);

/* The server that answers for the registry of that name: docker.io's has another one. Borrowed. */
const char *bh_registry_server(const char *registry);

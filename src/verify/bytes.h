/* bytes.h - base64 without tolerance, and hashes of what was received. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verify/source.h"

#define BH_SHA256_LEN 32
#define BH_HASH_MAX   64

/* Standard alphabet, padded, canonical (unused bits zero), no white space. -EINVAL, -ENOMEM. */
int bh_b64_decode(const char *text, size_t n, struct bh_blob *ret);

/* The URL alphabet without padding, as JWS has it (RFC 7515); canonical too. */
int bh_b64url_decode(const char *text, size_t n, struct bh_blob *ret);

/* Standard base64 of n bytes on the heap, NUL-terminated; NULL when memory ran out. */
char *bh_b64_encode(const void *bytes, size_t n);

/* 2n hex digits, lower case only, to n bytes. */
int bh_hex_decode(const char *text, size_t n, unsigned char *out);

/* bits: 256, 384 or 512. out has BH_HASH_MAX bytes. Returns the length of the hash, 0 on failure.
 */
size_t bh_sha2(unsigned int bits, const void *bytes, size_t n, unsigned char *out);

static inline size_t bh_sha256(const void *bytes, size_t n, unsigned char *out)
{
	return bh_sha2(256, bytes, n, out);
}

/* true when the bytes hash to `digest` ("sha256:..."/"sha512:...", grammar checked before). */
bool bh_digest_is_of(const char *digest, const void *bytes, size_t n);

/* "sha256:<hex>" of the bytes; out has BH_DIGEST_TEXT bytes. false when hashing failed. */
bool bh_digest_of(const void *bytes, size_t n, char *out);

/* Copies n bytes. -ENOMEM. */
int bh_blob_copy(const void *bytes, size_t n, struct bh_blob *ret);

static inline bool bh_blob_is(const struct bh_blob *b, const void *bytes, size_t n)
{
	return b->n == n && (!n || !__builtin_memcmp(b->v, bytes, n));
}

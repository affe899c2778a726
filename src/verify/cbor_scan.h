/* cbor_scan.h - a look at CBOR before libcbor builds a tree of it: libcbor takes memory for as many
 * members as an array says it has, and frees trees by recursion. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* true when the bytes are one item, all lengths definite and covered by what is there, at most 16
 * levels deep. */
bool bh_cbor_is_plain(const unsigned char *bytes, size_t n);

#include "verify/cbor_scan.h"

#include <stdint.h>

#define MAX_DEPTH 16

/* Major types that have something behind their head. */
enum { BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, TAG = 6 };

struct scan {
	const unsigned char *at;
	size_t left;
	uint64_t missing[MAX_DEPTH]; /* items still to come on each level */
	size_t depth;
};

/* The head of an item: type and argument. Lengths that are not given are refused. */
static bool read_head(struct scan *s, unsigned int *ret_major, uint64_t *ret_n)
{
	unsigned int info, width;

	if (!s->left)
		return false;
	*ret_major = *s->at >> 5;
	info = *s->at & 31;
	if (info > 27)
		return false;
	width = info < 24 ? 0 : 1u << (info - 24);
	if (s->left < 1 + width)
		return false;
	*ret_n = info;
	for (unsigned int i = 0; i < width; i++)
		*ret_n = (i ? *ret_n << 8 : 0) | s->at[1 + i];
	s->at += 1 + width;
	s->left -= 1 + width;
	return true;
}

static bool enter(struct scan *s, uint64_t n)
{
	/* each item takes a byte at least */
	if (s->depth == MAX_DEPTH || n > s->left)
		return false;
	s->missing[s->depth++] = n;
	return true;
}

static bool read_item(struct scan *s)
{
	unsigned int major;
	uint64_t n;

	if (!read_head(s, &major, &n))
		return false;
	switch (major) {
	case BYTES:
	case TEXT:
		if (n > s->left)
			return false;
		s->at += n;
		s->left -= n;
		return true;
	case ARRAY:
		return enter(s, n);
	case MAP:
		return n <= s->left && enter(s, 2 * n);
	case TAG:
		return enter(s, 1);
	default:
		return true;
	}
}

bool bh_cbor_is_plain(const unsigned char *bytes, size_t n)
{
	struct scan s = {.at = bytes, .left = n, .missing = {1}, .depth = 1};

	while (s.depth) {
		if (!s.missing[s.depth - 1]) {
			s.depth--;
			continue;
		}
		s.missing[s.depth - 1]--;
		if (!read_item(&s))
			return false;
	}
	return !s.left;
}

#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Makes room for n more bytes and the NUL. */
static bool grow(struct bh_str *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 32;
	char *s;

	if (b->failed)
		return false;
	if (n >= SIZE_MAX / 2 - b->n) {
		b->failed = true;
		return false;
	}
	if (b->n + n + 1 <= b->cap)
		return true;
	while (cap < b->n + n + 1)
		cap *= 2;
	s = realloc(b->s, cap);
	if (!s) {
		b->failed = true;
		return false;
	}
	b->s = s;
	b->cap = cap;
	return true;
}

void bh_str_add(struct bh_str *b, const char *text)
{
	bh_str_addn(b, text, strlen(text));
}

void bh_str_addn(struct bh_str *b, const void *bytes, size_t n)
{
	if (!n || !grow(b, n))
		return;
	memcpy(b->s + b->n, bytes, n);
	b->n += n;
	b->s[b->n] = '\0';
}

void bh_str_fmt(struct bh_str *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n < sizeof(small)) {
		bh_str_addn(b, small, (size_t)n);
		return;
	}
	if (!grow(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->s + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

const char *bh_str_text(const struct bh_str *b)
{
	return b->s ? b->s : "";
}

char *bh_str_take(struct bh_str *b)
{
	char *s = b->failed ? NULL : b->s;

	if (!b->failed && !s)
		return strdup("");
	if (b->failed)
		free(b->s);
	*b = (struct bh_str){0};
	return s;
}

void bh_str_done(struct bh_str *b)
{
	free(b->s);
	*b = (struct bh_str){0};
}

char *bh_strf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

bool bh_streq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

void bh_hex(const void *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

size_t bh_utf8_len(const void *text, size_t left)
{
	const unsigned char *s = text;
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (!left)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0; /* below: overlong */
	else if (s[0] == 0xed)
		high = 0x9f; /* above: surrogates */
	else if (s[0] == 0xf0)
		low = 0x90; /* below: overlong */
	else if (s[0] == 0xf4)
		high = 0x8f; /* above: U+10FFFF */
	if (left < n || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

void bh_utf8_mend(char *text)
{
	size_t left = strlen(text);

	while (left) {
		size_t n = bh_utf8_len(text, left);

		if (!n)
			*text = '?';
		n = n ? n : 1;
		text += n;
		left -= n;
	}
}

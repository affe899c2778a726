#include "policy/yaml_text.h"

#include <errno.h>
#include <string.h>

static int refuse(struct bh_yaml_err *err, unsigned line, unsigned col)
{
	err->line = line;
	err->col = col;
	return err->err.code;
}

/* Length of the UTF-8 sequence at s (n bytes left) and its code point; 0 when it is not valid
 * (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF). */
static size_t decode(const unsigned char *s, size_t n, uint32_t *ret)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c, i;

	if (!len || len > n || s[0] > 0xf4)
		return 0;
	c = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
	    (len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	*ret = c;
	return len;
}

/* Beyond what YAML forbids: NEL, LS and PS, which YAML takes for line breaks and nobody else does.
 */
static bool is_forbidden(uint32_t c)
{
	if (c < 0x20)
		return c != '\t' && c != '\n' && c != '\r';
	return (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
	       c == 0xfffe || c == 0xffff;
}

static int check_text(const char *text, size_t len, struct bh_yaml_err *err)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned line = 1, col = 1;
	size_t i = 0, n;
	uint32_t c = 0;

	while (i < len) {
		n = decode(s + i, len - i, &c);
		if (!n) {
			bh_fail(&err->err, EINVAL, "byte 0x%02x is not valid UTF-8", s[i]);
			return refuse(err, line, col);
		}
		if (is_forbidden(c)) {
			bh_fail(&err->err, EINVAL, "character U+%04X is not allowed in text",
				(unsigned)c);
			return refuse(err, line, col);
		}
		if (c == '\n' || (c == '\r' && !(i + 1 < len && s[i + 1] == '\n'))) {
			line++;
			col = 1;
		} else {
			col++;
		}
		i += n;
	}
	return 0;
}

int bh_yaml_open(struct bh_yaml_stream *s, const char *text, size_t len, struct bh_yaml_err *err)
{
	int r;

	if (len > BH_YAML_MAX_BYTES) {
		bh_fail(&err->err, EFBIG, "the file is larger than 4 MiB");
		return refuse(err, 0, 0);
	}
	/* A byte order mark says nothing in UTF-8. */
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	r = check_text(text, len, err);
	if (r)
		return r;
	*s = (struct bh_yaml_stream){.at = text, .end = text + len, .line = 1};
	return 0;
}

/* One line without its break; *ret_next is behind the break. */
static const char *line_end(const char *s, const char *end, const char **ret_next)
{
	while (s < end && *s != '\n' && *s != '\r')
		s++;
	*ret_next = s;
	if (s < end)
		*ret_next = s + 1 + (*s == '\r' && s + 1 < end && s[1] == '\n');
	return s;
}

static bool is_marker(const char *s, const char *end, const char *marker)
{
	return end - s >= 3 && !memcmp(s, marker, 3) &&
	       (end - s == 3 || s[3] == ' ' || s[3] == '\t');
}

static bool is_blank(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	return s == end || *s == '#';
}

/* "---" and "..." at the first column are markers wherever they stand, also inside of scalars.
 * Directives (%) go with the marker behind them. */
bool bh_yaml_next(struct bh_yaml_stream *s, struct bh_yaml_slice *ret)
{
	bool has_marker = false, has_content = false;
	const char *next, *end;

	*ret = (struct bh_yaml_slice){.s = s->at, .line = s->line};
	for (; s->at < s->end; s->at = next, s->line++) {
		end = line_end(s->at, s->end, &next);
		if (is_marker(s->at, end, "---")) {
			if (has_content)
				break;
			if (has_marker)
				*ret = (struct bh_yaml_slice){.s = s->at, .line = s->line};
			has_marker = true;
			has_content = !is_blank(s->at + 3, end);
		} else if (is_marker(s->at, end, "...")) {
			if (has_content)
				break;
			has_marker = false;
			*ret = (struct bh_yaml_slice){.s = next, .line = s->line + 1};
		} else if (!is_blank(s->at, end) && (has_marker || *s->at != '%')) {
			has_content = true;
		}
	}
	ret->n = (size_t)(s->at - ret->s);
	return has_content;
}

/* The first character that is neither blank, comment nor document marker is a brace or bracket. */
static bool looks_like_json(const char *s, size_t n)
{
	const char *end = s + n, *next;

	for (; s < end; s = next) {
		const char *stop = line_end(s, end, &next);

		if (is_marker(s, stop, "---"))
			s += 3;
		while (s < stop && (*s == ' ' || *s == '\t'))
			s++;
		if (s < stop && *s != '#' && *s != '%')
			return *s == '{' || *s == '[';
	}
	return false;
}

/* The code unit of "\uXXXX" at s; 0 when it is something else. */
static uint32_t code_unit(const char *s, const char *end)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t c = 0;
	int i;

	if (end - s < 6 || s[0] != '\\' || s[1] != 'u')
		return 0;
	for (i = 2; i < 6; i++) {
		const char *d = s[i] ? strchr(digits, s[i] | (s[i] >= 'A' ? 0x20 : 0)) : NULL;

		if (!d)
			return 0;
		c = c << 4 | (uint32_t)(d - digits);
	}
	return c;
}

/* Copies one escape of a string; returns how many bytes of s it was. */
static size_t copy_escape(const char *s, const char *end, struct bh_str *out)
{
	uint32_t high = code_unit(s, end), low = high ? code_unit(s + 6, end) : 0;

	if (high >= 0xd800 && high < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
		bh_str_fmt(out, "\\U%08x",
			   (unsigned)(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)));
		return 12;
	}
	bh_str_addn(out, s, end - s < 2 ? 1 : 2);
	return end - s < 2 ? 1 : 2;
}

int bh_yaml_from_json(const struct bh_yaml_slice *slice, char **ret, size_t *ret_len)
{
	const char *s = slice->s, *end = s + slice->n;
	struct bh_str out = {0};
	bool in_string = false;

	*ret = NULL;
	if (!looks_like_json(s, slice->n) ||
	    (!memchr(s, '\t', slice->n) && !memmem(s, slice->n, "\\u", 2)))
		return 0;
	while (s < end) {
		const char *from = s;

		while (s < end && *s != '"' && *s != '\\' && *s != '\t')
			s++;
		bh_str_addn(&out, from, (size_t)(s - from));
		if (s == end)
			break;
		if (*s == '\\' && in_string) {
			s += copy_escape(s, end, &out);
			continue;
		}
		in_string ^= *s == '"';
		bh_str_addn(&out, *s == '\t' && !in_string ? " " : s, 1);
		s++;
	}
	*ret_len = out.n;
	*ret = bh_str_take(&out);
	return *ret ? 0 : -ENOMEM;
}

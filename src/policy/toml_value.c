#include "policy/toml_value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/toml.h"

static size_t left(const struct bh_toml *t)
{
	return (size_t)(t->end - t->at);
}

static bool looks_at(const struct bh_toml *t, const char *text)
{
	size_t n = strlen(text);

	return left(t) >= n && !memcmp(t->at, text, n);
}

void bh_toml_blanks(struct bh_toml *t)
{
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\t'))
		t->at++;
}

bool bh_toml_take(struct bh_toml *t, char c)
{
	if (t->at >= t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static bool take_newline(struct bh_toml *t)
{
	if (looks_at(t, "\r\n"))
		t->at++;
	if (!bh_toml_take(t, '\n'))
		return false;
	t->line++;
	return true;
}

int bh_toml_line_end(struct bh_toml *t)
{
	bh_toml_blanks(t);
	if (bh_toml_take(t, '#')) {
		while (t->at < t->end && *t->at != '\n' && !looks_at(t, "\r\n")) {
			if (is_control(*t->at))
				return bh_toml_fail(t, "a control character in a comment");
			t->at++;
		}
	}
	if (t->at < t->end && !take_newline(t))
		return bh_toml_fail(t, "there is more on the line than belongs there");
	return 0;
}

/* Between the elements of an array: blanks, comments and lines' ends. */
static int skip_lines(struct bh_toml *t)
{
	int r = 0;

	for (bh_toml_blanks(t); !r && t->at < t->end && strchr("#\r\n", *t->at); bh_toml_blanks(t))
		r = bh_toml_line_end(t);
	return r;
}

/* ---- strings ---- */

/* \uXXXX or \UXXXXXXXX; the NUL is refused, for what is read ends up as C strings. */
static int take_unicode(struct bh_toml *t, size_t digits, struct bh_str *out)
{
	unsigned long c = 0;
	char utf8[4];
	size_t n = 0;

	for (size_t i = 0; i < digits; i++, t->at++) {
		if (t->at >= t->end || !isxdigit((unsigned char)*t->at))
			return bh_toml_fail(t, "\\u and \\U take %zu hexadecimal digits", digits);
		c = c << 4 | (unsigned long)(isdigit((unsigned char)*t->at)
						     ? *t->at - '0'
						     : tolower((unsigned char)*t->at) - 'a' + 10);
	}
	if (!c || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return bh_toml_fail(t, "\\u%04lX is no character of a text", c);
	if (c < 0x80) {
		utf8[n++] = (char)c;
	} else {
		int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
		static const unsigned char heads[] = {0, 0xc0, 0xe0, 0xf0};

		utf8[n++] = (char)(heads[more] | c >> 6 * more);
		while (more--)
			utf8[n++] = (char)(0x80 | (c >> 6 * more & 0x3f));
	}
	bh_str_addn(out, utf8, n);
	return 0;
}

/* Behind the '\'. A line's end takes all white space after it along, in long strings only. */
static int take_escape(struct bh_toml *t, bool is_long, struct bh_str *out)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	const char *found;
	char c;

	if (is_long) {
		const char *old = t->at;

		bh_toml_blanks(t);
		if (take_newline(t)) {
			do
				bh_toml_blanks(t);
			while (take_newline(t));
			return 0;
		}
		t->at = old;
	}
	c = t->at < t->end ? *t->at++ : '\0';
	if (c == 'u' || c == 'U')
		return take_unicode(t, c == 'u' ? 4 : 8, out);
	found = c ? strchr(from, c) : NULL;
	if (!found)
		return bh_toml_fail(t, "an escape that does not exist");
	bh_str_addn(out, to + (found - from), 1);
	return 0;
}

/* Three quotes end a long string; up to two more before them belong to it. */
static bool take_long_end(struct bh_toml *t, char quote, struct bh_str *out)
{
	size_t n = 0;

	while (n < 5 && n < left(t) && t->at[n] == quote)
		n++;
	if (n < 3)
		return false;
	bh_str_addn(out, t->at, n - 3);
	t->at += n;
	return true;
}

/* 1: a character was taken; 0: the string is over. */
static int take_char(struct bh_toml *t, char quote, bool is_long, struct bh_str *out)
{
	int r;

	if (is_long ? take_long_end(t, quote, out) : bh_toml_take(t, quote))
		return 0;
	if (t->at >= t->end)
		return bh_toml_fail(t, "a string does not end");
	if (quote == '"' && bh_toml_take(t, '\\')) {
		r = take_escape(t, is_long, out);
		return r ? r : 1;
	}
	if (is_long && take_newline(t)) {
		bh_str_add(out, "\n");
		return 1;
	}
	if (is_control(*t->at))
		return bh_toml_fail(t,
				    "a string does not end on its line, or has a control "
				    "character in it");
	bh_str_addn(out, t->at++, 1);
	return 1;
}

static int take_string(struct bh_toml *t, bool may_be_long, json_t **ret)
{
	char quote = *t->at++, both[] = {quote, quote, '\0'};
	bool is_long = may_be_long && looks_at(t, both);
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	int r;

	if (is_long) {
		t->at += 2;
		take_newline(t); /* the first one is not part of it */
	}
	do
		r = take_char(t, quote, is_long, &out);
	while (r > 0);
	if (r)
		return r;
	if (out.failed)
		return bh_toml_no_memory(t);
	*ret = json_stringn(bh_str_text(&out), out.n);
	return *ret ? 0 : bh_toml_fail(t, "a string that is no UTF-8");
}

/* ---- keys ---- */

static size_t bare_len(const struct bh_toml *t)
{
	size_t n = 0;

	while (n < left(t) &&
	       (isalnum((unsigned char)t->at[n]) || t->at[n] == '-' || t->at[n] == '_'))
		n++;
	return n;
}

static int take_part(struct bh_toml *t, json_t **ret)
{
	size_t n = bare_len(t);

	if (t->at < t->end && (*t->at == '"' || *t->at == '\''))
		return take_string(t, false, ret);
	if (!n)
		return bh_toml_fail(t, "a key is missing or has a character that needs quotes");
	*ret = json_stringn(t->at, n);
	t->at += n;
	return *ret ? 0 : bh_toml_no_memory(t);
}

int bh_toml_key(struct bh_toml *t, json_t **ret)
{
	BH_CLEANUP(bh_json_decrefp) json_t *path = json_array();

	if (!path)
		return bh_toml_no_memory(t);
	do {
		json_t *part = NULL;
		int r;

		bh_toml_blanks(t);
		r = take_part(t, &part);
		if (r)
			return r;
		if (json_array_append_new(path, part))
			return bh_toml_no_memory(t);
		if (json_array_size(path) > BH_TOML_MAX_DEPTH)
			return bh_toml_fail(t, "a key of more than %d parts", BH_TOML_MAX_DEPTH);
		bh_toml_blanks(t);
	} while (bh_toml_take(t, '.'));
	*ret = BH_TAKE(path);
	return 0;
}

/* ---- values ---- */

static int digit_of(char c, int base)
{
	int v = isdigit((unsigned char)c)    ? c - '0'
		: isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					     : 99;

	return v < base ? v : -1;
}

/* Digits with single underscores between them, the whole of `text`. */
static bool digits_of(const char *text, size_t n, int base, json_int_t *ret)
{
	bool was_digit = false;

	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		int v = digit_of(text[i], base);

		if (text[i] == '_' && was_digit && i + 1 < n) {
			was_digit = false;
			continue;
		}
		if (v < 0 || __builtin_mul_overflow(*ret, base, ret) ||
		    __builtin_add_overflow(*ret, v, ret))
			return false;
		was_digit = true;
	}
	return n && was_digit;
}

static bool integer_of(const char *text, size_t n, json_int_t *ret)
{
	static const struct {
		char letter;
		int base;
	} prefixes[] = {{'x', 16}, {'o', 8}, {'b', 2}};
	bool is_negative = n && *text == '-';

	for (size_t i = 0; n > 2 && *text == '0' && i < BH_ARRAY_SIZE(prefixes); i++) {
		if (text[1] == prefixes[i].letter)
			return digits_of(text + 2, n - 2, prefixes[i].base, ret);
	}
	if (n && (*text == '-' || *text == '+')) {
		text++;
		n--;
	}
	if (!digits_of(text, n, 10, ret) || (n > 1 && *text == '0'))
		return false;
	*ret = is_negative ? -*ret : *ret;
	return true;
}

/* How long the digits at text are, underscores between them included; 0: there are none. */
static size_t n_digits(const char *text, size_t n)
{
	json_int_t ignored;
	size_t len = 0;

	while (len < n && (isdigit((unsigned char)text[len]) || text[len] == '_'))
		len++;
	return len && len < 19 && digits_of(text, len, 10, &ignored) ? len : 0;
}

/* [sign] digits [. digits] [e [sign] digits], with at least one of the latter two. */
static bool float_of(const char *text, size_t n, double *ret)
{
	size_t i = n && strchr("+-", *text) ? 1 : 0, len, m = 0;
	bool is_float = false;
	char buf[64];

	len = n_digits(text + i, n - i);
	if (!len || (len > 1 && text[i] == '0') || n >= sizeof(buf))
		return false;
	i += len;
	if (i < n && text[i] == '.') {
		len = n_digits(text + i + 1, n - i - 1);
		is_float = len > 0;
		i += 1 + len;
	}
	if (i + 1 < n && strchr("eE", text[i])) {
		i += strchr("+-", text[i + 1]) ? 2 : 1;
		len = n_digits(text + i, n - i);
		is_float = len > 0;
		i += len;
	}
	if (!is_float || i != n)
		return false;
	for (i = 0; i < n; i++) {
		if (text[i] != '_')
			buf[m++] = text[i];
	}
	buf[m] = '\0';
	*ret = strtod(buf, NULL);
	return isfinite(*ret);
}

static int take_word(struct bh_toml *t, json_t **ret)
{
	json_int_t number;
	double real;
	size_t n = 0;

	while (n < left(t) && !strchr(" \t\r\n,]}#", t->at[n]))
		n++;
	if (n == 4 && looks_at(t, "true"))
		*ret = json_true();
	else if (n == 5 && looks_at(t, "false"))
		*ret = json_false();
	else if (integer_of(t->at, n, &number))
		*ret = json_integer(number);
	else if (float_of(t->at, n, &real))
		*ret = json_real(real);
	else
		return bh_toml_fail(t,
				    "'%.*s' is no string, number, boolean, list or table; "
				    "other values are not read",
				    (int)(n < 40 ? n : 40), t->at);
	t->at += n;
	return *ret ? 0 : bh_toml_no_memory(t);
}

static int take_value(struct bh_toml *t, json_t **ret);

static int take_array(struct bh_toml *t, json_t *list)
{
	int r = skip_lines(t);

	while (!r && !bh_toml_take(t, ']')) {
		json_t *value = NULL;

		r = take_value(t, &value);
		if (!r && json_array_append_new(list, value))
			r = bh_toml_no_memory(t);
		if (!r)
			r = skip_lines(t);
		if (!r && !bh_toml_take(t, ',') && (t->at >= t->end || *t->at != ']'))
			r = bh_toml_fail(t, "a list needs ',' or ']' here");
		if (!r)
			r = skip_lines(t);
	}
	return r;
}

static int take_table(struct bh_toml *t, json_t *table)
{
	bh_toml_blanks(t);
	if (bh_toml_take(t, '}'))
		return 0;
	for (;;) {
		int r = bh_toml_pair(t, table);

		if (r)
			return r;
		bh_toml_blanks(t);
		if (bh_toml_take(t, '}'))
			return 0;
		if (!bh_toml_take(t, ','))
			return bh_toml_fail(t, "a table needs ',' or '}' here");
	}
}

/* Nothing may be added to what is below a value, however it was made. */
static int close_all(struct bh_toml *t, const json_t *table)
{
	const char *key;
	json_t *j;
	int r = bh_toml_mark(t, table, BH_TOML_CLOSED);

	json_object_foreach((json_t *)(uintptr_t)table, key, j)
	{
		if (!r && json_is_object(j))
			r = close_all(t, j);
	}
	return r;
}

static int take_nested(struct bh_toml *t, json_t **ret)
{
	bool is_list = *t->at++ == '[';
	BH_CLEANUP(bh_json_decrefp) json_t *j = is_list ? json_array() : json_object();
	int r;

	if (!j)
		return bh_toml_no_memory(t);
	if (++t->depth > BH_TOML_MAX_DEPTH)
		return bh_toml_fail(t, "more than %d values inside each other", BH_TOML_MAX_DEPTH);
	r = bh_toml_mark(t, j, BH_TOML_DOTTED);
	if (!r)
		r = is_list ? take_array(t, j) : take_table(t, j);
	t->depth--;
	if (!r)
		r = is_list ? bh_toml_mark(t, j, BH_TOML_CLOSED) : close_all(t, j);
	if (r)
		return r;
	*ret = BH_TAKE(j);
	return 0;
}

static int take_value(struct bh_toml *t, json_t **ret)
{
	if (t->at >= t->end)
		return bh_toml_fail(t, "a value is missing");
	switch (*t->at) {
	case '"':
	case '\'':
		return take_string(t, true, ret);
	case '[':
	case '{':
		return take_nested(t, ret);
	default:
		return take_word(t, ret);
	}
}

/* The table that all parts of a key but the last lead to. */
static int walk(struct bh_toml *t, json_t *table, const json_t *path, json_t **ret)
{
	for (size_t i = 0; i + 1 < json_array_size(path); i++) {
		const char *key = json_string_value(json_array_get(path, i));
		json_t *next = json_object_get(table, key);
		int r = 0;

		if (next && bh_toml_kind_of(t, next) != BH_TOML_DOTTED)
			return bh_toml_fail(t, "'%.100s' is defined elsewhere", key);
		if (!next) {
			next = json_object();
			if (!next || json_object_set_new(table, key, next))
				return bh_toml_no_memory(t);
			r = bh_toml_mark(t, next, BH_TOML_DOTTED);
		}
		if (r)
			return r;
		table = next;
	}
	*ret = table;
	return 0;
}

int bh_toml_pair(struct bh_toml *t, json_t *table)
{
	BH_CLEANUP(bh_json_decrefp) json_t *path = NULL;
	json_t *value = NULL, *into = NULL;
	const char *last;
	int r = bh_toml_key(t, &path);

	if (r)
		return r;
	if (!bh_toml_take(t, '='))
		return bh_toml_fail(t, "a key needs '=' and a value");
	bh_toml_blanks(t);
	r = take_value(t, &value);
	if (!r)
		r = walk(t, table, path, &into);
	last = json_string_value(json_array_get(path, json_array_size(path) - 1));
	if (!r && json_object_get(into, last))
		r = bh_toml_fail(t, "'%.100s' is defined twice", last);
	if (r) {
		json_decref(value);
		return r;
	}
	return json_object_set_new(into, last, value) ? bh_toml_no_memory(t) : 0;
}

#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* ---- the scan before jansson: jansson recurses once per nesting level ---- */

struct scan {
	const unsigned char *text;
	size_t len, at;
	size_t line, column; /* of the character at `at`, counted from 1 */
	unsigned depth;
	bool is_in_string;
};

static int scan_fail(const struct scan *s, struct bh_err *err, const char *what)
{
	return bh_fail(err, EINVAL, "JSON line %zu column %zu: %s", s->line, s->column, what);
}

static void scan_advance(struct scan *s, size_t n)
{
	if (s->text[s->at] == '\n') {
		s->line++;
		s->column = 1;
	} else {
		s->column++;
	}
	s->at += n;
}

static int scan_char(struct scan *s, struct bh_err *err)
{
	unsigned char c = s->text[s->at];

	if (s->is_in_string) {
		if (c == '\\' && s->at + 1 < s->len && s->text[s->at + 1] < 0x80)
			scan_advance(s, 1);
		else if (c == '"')
			s->is_in_string = false;
		return 0;
	}
	if (c == '"')
		s->is_in_string = true;
	else if (c == '{' || c == '[')
		s->depth++;
	else if ((c == '}' || c == ']') && s->depth)
		s->depth--;
	if (s->depth > BH_JSON_MAX_DEPTH)
		return scan_fail(s, err, "nested too deep");
	return 0;
}

static int scan_all(const char *text, size_t len, struct bh_err *err)
{
	struct scan s = {.text = (const void *)text, .len = len, .line = 1, .column = 1};

	while (s.at < s.len) {
		size_t n = bh_utf8_len(s.text + s.at, s.len - s.at);
		int r;

		if (!n)
			return scan_fail(&s, err, "not valid UTF-8");
		if (!s.text[s.at])
			return scan_fail(&s, err, "a NUL byte");
		r = scan_char(&s, err);
		if (r)
			return r;
		scan_advance(&s, n);
	}
	return 0;
}

int bh_json_parse(const char *text, size_t len, size_t max_len, json_t **ret, struct bh_err *err)
{
	json_error_t why;
	json_t *j;
	int r;

	if (len > max_len)
		return bh_fail(err, EFBIG, "JSON of %zu bytes is larger than %zu", len, max_len);
	r = scan_all(text, len, err);
	if (r)
		return r;
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	/* where memory runs out inside of a string, jansson gives no reason at all */
	if (!j && (json_error_code(&why) == json_error_out_of_memory || !*why.text))
		return bh_fail(err, ENOMEM, "JSON of %zu bytes", len);
	if (!j)
		return bh_fail(err, EINVAL, "JSON line %d column %d: %s", why.line, why.column,
			       why.text);
	*ret = j;
	return 0;
}

/* ---- getters ---- */

static const char *type_name(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

/* Finds a member that is there and not null; *ret is NULL for one that may stay away. */
static int find(const json_t *obj, const char *key, bool required, json_t **ret, struct bh_err *err)
{
	json_t *j;

	*ret = NULL;
	if (!json_is_object(obj))
		return bh_fail(err, EINVAL, "'%s': expected an object around it, found %s", key,
			       obj ? type_name(obj) : "nothing");
	j = json_object_get(obj, key);
	if (json_is_null(j))
		j = NULL;
	if (!j && required)
		return bh_fail(err, EINVAL, "'%s' is missing", key);
	*ret = j;
	return 0;
}

static int wrong_type(const char *key, const char *want, const json_t *j, struct bh_err *err)
{
	return bh_fail(err, EINVAL, "'%s': expected %s, found %s", key, want, type_name(j));
}

int bh_json_get_str(const json_t *obj, const char *key, bool required, const char **ret,
		    struct bh_err *err)
{
	json_t *j;
	int r = find(obj, key, required, &j, err);

	if (r || !j)
		return r;
	if (!json_is_string(j))
		return wrong_type(key, "a string", j, err);
	*ret = json_string_value(j);
	return 0;
}

int bh_json_get_int(const json_t *obj, const char *key, bool required, int64_t min, int64_t max,
		    int64_t *ret, struct bh_err *err)
{
	int64_t value;
	json_t *j;
	int r = find(obj, key, required, &j, err);

	if (r || !j)
		return r;
	if (!json_is_integer(j))
		return wrong_type(key, "an integer", j, err);
	value = json_integer_value(j);
	if (value < min || value > max)
		return bh_fail(err, EINVAL, "'%s': %" PRId64 " is not %" PRId64 "-%" PRId64, key,
			       value, min, max);
	*ret = value;
	return 0;
}

int bh_json_get_bool(const json_t *obj, const char *key, bool required, bool *ret,
		     struct bh_err *err)
{
	json_t *j;
	int r = find(obj, key, required, &j, err);

	if (r || !j)
		return r;
	if (!json_is_boolean(j))
		return wrong_type(key, "a boolean", j, err);
	*ret = json_is_true(j);
	return 0;
}

int bh_json_get_obj(const json_t *obj, const char *key, bool required, json_t **ret,
		    struct bh_err *err)
{
	json_t *j;
	int r = find(obj, key, required, &j, err);

	if (r || !j)
		return r;
	if (!json_is_object(j))
		return wrong_type(key, "an object", j, err);
	*ret = j;
	return 0;
}

int bh_json_get_arr(const json_t *obj, const char *key, bool required, json_t **ret,
		    struct bh_err *err)
{
	json_t *j;
	int r = find(obj, key, required, &j, err);

	if (r || !j)
		return r;
	if (!json_is_array(j))
		return wrong_type(key, "an array", j, err);
	*ret = j;
	return 0;
}

static void forget(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

void bh_json_forgets(void)
{
	json_set_alloc_funcs(malloc, forget);
}

json_t *bh_json_text(const char *text)
{
	BH_CLEANUP(bh_freep) char *copy = text && *text ? strdup(text) : NULL;

	if (!copy)
		return json_null();
	bh_utf8_mend(copy);
	return json_string(copy);
}
